//! Measures the cost of a message in memory, without the kernel.
//!
//! ```text
//! cargo bench --bench protocol                    CPU time of each case
//! cargo bench --bench protocol -- CASE COUNT      one case, COUNT times, for callgrind
//! python3 benches/baseline.py                     instructions and allocations of all cases
//! ```
//!
//! With a case, the bench also prints the number of allocations. `baseline.py` compares both with
//! `benches/baseline.tsv`.
//!
//! Connections of [`lariat::protocol`] get bytes and return bytes. A message is unmasked in place,
//! so its bytes are copied into place for each turn, as the kernel would copy them. Only the cases
//! named `loop` have sockets. Their instructions are those of the whole server and of a minimal
//! client, in one thread.

#![allow(missing_docs)]

#[cfg(not(lariat_plain))]
use lariat::protocol::LONGEST_RUN;
use lariat::protocol::time::Tick;
use lariat::protocol::{Connection, Event, Header, Input, Prepared, Request, Role, Shared, State, Ticket, Upgrade};
use lariat::{ClientId, Clients, EventLoop, Handler, Limits, LocalAddr, Message, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUEST: &[u8] = b"GET /echo HTTP/1.1\r\nHost: localhost:9998\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// The most bytes that the loop reads at once.
const READ: usize = 64 << 10;
const COPIED: usize = 1 << 10;

/// Returns a complete masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => bytes.extend([&[0x80 | 126][..], &(length as u16).to_be_bytes()].concat()),
        length => bytes.extend([&[0x80 | 127][..], &(length as u64).to_be_bytes()].concat()),
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn multi_byte(length: usize) -> Vec<u8> {
    let mut text = "äß€漢字😀".repeat(length / 17).into_bytes();
    text.resize(length, b'.');
    text
}

/// A server's connection.
struct Conversation {
    connection: Connection,
    shared: Shared,
    now: Tick,
    buffer: Vec<u8>,
}

impl Conversation {
    fn new() -> Conversation {
        let shared = Shared::with_seed(Limits::default(), 1);
        let now = Tick::from_millis(0);
        Conversation { connection: Connection::new(Role::Server, now), shared, now, buffer: vec![0; READ] }
    }

    fn open() -> Conversation {
        let mut conversation = Conversation::new();
        conversation.receive(REQUEST, true);
        conversation.flush();
        conversation
    }

    /// Passes the bytes to the connection, one read at a time. Messages are echoed or only counted.
    fn receive(&mut self, bytes: &[u8], is_echoed: bool) {
        let mut read_buffer = std::mem::take(&mut self.buffer);
        for read in bytes.chunks(READ) {
            let buffer = &mut read_buffer[..read.len()];
            // The copy is made in pieces, because each byte of a `rep movsb` counts as an
            // instruction.
            for (to, from) in buffer.chunks_mut(COPIED).zip(read.chunks(COPIED)) {
                to.copy_from_slice(from);
            }
            let count = buffer.len();
            #[cfg(not(lariat_plain))]
            if let Some(message) = self.connection.receive_single(&mut self.shared, self.now, &mut read_buffer, count) {
                match is_echoed {
                    true => self.connection.send(&mut self.shared, message).expect("there is room"),
                    false => drop(black_box(message)),
                }
                continue;
            }
            let mut input = Input::new(&mut read_buffer[..count]);
            while !input.is_empty() {
                #[cfg(not(lariat_plain))]
                if let Some(run) = self.connection.receive_run(&self.shared, self.now, &mut input, LONGEST_RUN) {
                    run.for_each(|message| self.message(message, is_echoed));
                    continue;
                }
                let Some(event) = self.connection.receive(&mut self.shared, self.now, &mut input) else { continue };
                match event {
                    Event::Message(message) => self.message(message, is_echoed),
                    Event::Gathered(gathered) => {
                        if is_echoed {
                            self.connection.send(&mut self.shared, gathered.as_message()).expect("there is room");
                        }
                        self.shared.recycle(gathered);
                    }
                    Event::Request { head, .. } => {
                        let ticket = Ticket::new(&Request::parse(&head).expect("a valid request"));
                        let answer = Upgrade::new().into();
                        self.connection.answer(&mut self.shared, self.now, ticket, answer).expect("a valid answer");
                    }
                    other => panic!("not expected: {other:?}"),
                }
            }
        }
        self.buffer = read_buffer;
    }

    fn message(&mut self, message: Message<'_>, is_echoed: bool) {
        if is_echoed {
            self.connection.send(&mut self.shared, message).expect("there is room");
        } else {
            black_box(message);
        }
    }

    fn flush(&mut self) {
        assert!(self.connection.buffered_amount() > 0, "there is something to say");
        while self.connection.buffered_amount() > 0 {
            let count = black_box(self.connection.output(&mut self.shared)).len();
            self.connection.sent(&mut self.shared, self.now, count);
        }
    }
}

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

/// A loop that echoes, and one client.
struct Looped {
    event_loop: EventLoop<Echo>,
    client: TcpStream,
    received: Vec<u8>,
}

impl Looped {
    fn open() -> Looped {
        let server = Server::bind("127.0.0.1:0").expect("a free port");
        let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { unreachable!("TCP was asked for") };
        let event_loop = server.start(Echo).expect("a loop");
        let client = TcpStream::connect(addr).expect("the loop listens");
        client.set_nodelay(true).expect("a socket");
        let mut looped = Looped { event_loop, client, received: vec![0; READ] };
        looped.client.write_all(REQUEST).expect("the loop reads");
        while looped.event_loop.stats().opened == 0 {
            looped.turn();
        }
        let count = looped.client.read(&mut looped.received).expect("a response");
        assert!(looped.received[..count].starts_with(b"HTTP/1.1 101 "));
        looped
    }

    fn turn(&mut self) {
        self.event_loop.turn(Some(Duration::from_secs(10))).expect("the poller works");
    }

    /// Sends bytes and waits for the answer. Both fit into the sockets' buffers and one read.
    fn echo(&mut self, bytes: &[u8], answer: usize) {
        self.client.write_all(bytes).expect("the loop reads");
        self.turn();
        self.client.read_exact(&mut self.received[..answer]).expect("the echo is there");
    }
}

/// An action that is repeated, with a number of messages each time.
struct Case {
    name: &'static str,
    messages: u64,
    /// Creates the action.
    make: fn() -> Box<dyn FnMut()>,
}

fn echo(bytes: Vec<u8>) -> Box<dyn FnMut()> {
    let mut conversation = Conversation::open();
    Box::new(move || {
        conversation.receive(&bytes, true);
        conversation.flush();
    })
}

fn receive(bytes: Vec<u8>) -> Box<dyn FnMut()> {
    let mut conversation = Conversation::open();
    Box::new(move || {
        conversation.receive(&bytes, false);
        assert_eq!(conversation.connection.state(), State::Open, "the message was valid");
    })
}

fn looped(bytes: Vec<u8>, answer: usize) -> Box<dyn FnMut()> {
    let mut looped = Looped::open();
    Box::new(move || looped.echo(&bytes, answer))
}

fn headers() -> Box<dyn FnMut()> {
    let headers = [0, 20, 125, 126, 16 << 10, 65_535, 65_536, 1 << 20].map(|length| {
        let header = Header { mask: Some(KEY), ..Header::unmasked(lariat::protocol::Opcode::Binary, length) };
        header.to_bytes()
    });
    Box::new(move || {
        for bytes in &headers {
            black_box(Header::decode(black_box(bytes)).expect("a valid header"));
        }
    })
}

fn handshake() -> Box<dyn FnMut()> {
    let mut conversation = Conversation::new();
    Box::new(move || {
        conversation.connection = Connection::new(Role::Server, conversation.now);
        conversation.receive(REQUEST, true);
        conversation.flush();
    })
}

/// One message for 100 connections.
fn prepared() -> Box<dyn FnMut()> {
    let mut conversations: Vec<Conversation> = (0..100).map(|_| Conversation::open()).collect();
    Box::new(move || {
        let prepared = Prepared::new(Message::Text("a message of 20 byte"));
        for conversation in &mut conversations {
            conversation.connection.send_prepared(&mut conversation.shared, &prepared).expect("there is room");
            conversation.flush();
        }
    })
}

const CASES: [Case; 14] = [
    Case { name: "header-decode", messages: 8, make: headers },
    Case { name: "handshake", messages: 1, make: handshake },
    Case { name: "receive-binary-60k", messages: 1, make: || receive(frame(BINARY, &[7; 60 << 10])) },
    Case { name: "receive-text-60k-ascii", messages: 1, make: || receive(frame(TEXT, &[b'a'; 60 << 10])) },
    Case { name: "receive-text-60k-multi-byte", messages: 1, make: || receive(frame(TEXT, &multi_byte(60 << 10))) },
    Case { name: "receive-text-1m-multi-byte", messages: 1, make: || receive(frame(TEXT, &multi_byte(1 << 20))) },
    Case { name: "echo-text-20", messages: 1, make: || echo(frame(TEXT, &[b'a'; 20])) },
    Case { name: "echo-text-20-pipelined-32", messages: 32, make: || echo(frame(TEXT, &[b'a'; 20]).repeat(32)) },
    Case { name: "echo-binary-1k", messages: 1, make: || echo(frame(BINARY, &[7; 1 << 10])) },
    Case { name: "echo-binary-16k", messages: 1, make: || echo(frame(BINARY, &[7; 16 << 10])) },
    Case { name: "echo-text-1m-multi-byte", messages: 1, make: || echo(frame(TEXT, &multi_byte(1 << 20))) },
    Case { name: "prepared-20-to-100", messages: 100, make: prepared },
    Case { name: "loop-echo-text-20", messages: 1, make: || looped(frame(TEXT, &[b'a'; 20]), 22) },
    Case {
        name: "loop-echo-text-20-pipelined-32",
        messages: 32,
        make: || looped(frame(TEXT, &[b'a'; 20]).repeat(32), 22 * 32),
    },
];

/// Returns the CPU time of this thread.
#[cfg(unix)]
fn cpu_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "a bench may look at the clock")]
fn cpu_nanos() -> u64 {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed().as_nanos() as u64
}

/// Returns the smallest of several samples, per message. Disturbances only add time.
fn nanos(case: &Case) -> f64 {
    let mut step = (case.make)();
    let sample = |step: &mut dyn FnMut(), count: u64| {
        let before = cpu_nanos();
        (0..count).for_each(|_| step());
        (cpu_nanos() - before) as f64 / (count * case.messages) as f64
    };
    let first = sample(&mut step, 10);
    let count = (5e6 / (first * case.messages as f64)).clamp(1.0, 1e6) as u64;
    (0..20).map(|_| sample(&mut step, count)).fold(f64::INFINITY, f64::min)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [] => CASES.iter().for_each(|case| println!("{:32} {:12.1} ns a message", case.name, nanos(case))),
        [list] if list == "--list" => CASES.iter().for_each(|case| println!("{}\t{}", case.name, case.messages)),
        [name, count] => {
            let case = CASES.iter().find(|case| case.name == name).expect("the name of a case");
            let count: u64 = count.parse().expect("a number");
            let mut step = (case.make)();
            step();
            let region = Region::new(ALLOCATOR);
            (0..count).for_each(|_| step());
            let stats = region.change();
            println!("{}", (stats.allocations + stats.reallocations) as f64 / (count * case.messages) as f64);
        }
        _ => eprintln!("usage: [CASE COUNT | --list]"),
    }
}
