//! Tests that a server with a reserve allocates nothing once it has started.
//!
//! The test turns the loop in its own thread, under an allocator that aborts the process when
//! something is allocated or freed inside a turn. The handler runs inside too.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use assert_no_alloc::{AllocDisabler, assert_no_alloc};
use common::{WAIT, binary, frame, ping, request, text};
use lariat::{
    ClientId, Clients, CloseCode, CloseReason, Config, Drain, EventLoop, Handler, LocalAddr, Message, Reserve, Server,
    TimerId,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const CONNECTIONS: usize = 24;
/// Those that are reserved, and those that get 503.
const PLACES: usize = CONNECTIONS + 4;
const MAX_MESSAGE: usize = 4 << 10;
const MAX_UNSENT: usize = 16 << 10;

/// What the handler has seen.
#[derive(Debug, Default)]
struct Seen {
    messages: usize,
    opened: usize,
    closed: usize,
    timers: usize,
    drained: usize,
    /// The length of the last reason of a Close frame.
    reason: usize,
}

/// Echoes binary messages, publishes text, and closes when it gets an empty message.
#[derive(Default)]
struct Device {
    seen: Seen,
    interval: Option<TimerId>,
}

impl Handler for Device {
    type Data = u32;

    fn on_start(&mut self, clients: &mut Clients<u32>) {
        clients.keep_topic("all");
        self.interval = Some(clients.set_interval(Duration::from_millis(1), 7));
    }

    fn on_open(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        self.seen.opened += 1;
        assert!(clients.subscribe(id, "all"));
        assert!(clients.set_client_timer(id, Duration::from_secs(100), 1).is_some());
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        self.seen.messages += 1;
        match message {
            Message::Binary([]) => clients.close(id, CloseCode::Normal, "you have asked for it").expect("it is open"),
            Message::Binary(b"pause") => drop(clients.pause(id)),
            Message::Binary(bytes) => clients.send(id, bytes).expect("it is open"),
            Message::Text(text) => assert!(clients.publish("all", text) > 0),
        }
    }

    fn on_drain(&mut self, _: &mut Clients<u32>, _: ClientId) {
        self.seen.drained += 1;
    }

    fn on_timer(&mut self, clients: &mut Clients<u32>, _: TimerId, token: u64) {
        assert_eq!(token, 7);
        self.seen.timers += 1;
        // Clients that were paused go on.
        let mut ids = [None; PLACES];
        clients.iter().zip(&mut ids).for_each(|(id, place)| *place = Some(id));
        for id in ids.into_iter().flatten() {
            let _was_paused = clients.resume(id);
        }
    }

    fn on_close(&mut self, _: &mut Clients<u32>, _: ClientId, reason: &CloseReason) {
        self.seen.closed += 1;
        if let CloseReason::Peer(Some(frame)) = reason {
            self.seen.reason = frame.reason.len();
        }
    }
}

/// Anonymous memory of this process that is resident, in bytes.
fn anonymous_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or(0, |kib: usize| kib << 10)
}

struct Bench {
    event_loop: EventLoop<Device>,
    addr: SocketAddr,
    received: Vec<u8>,
}

impl Bench {
    fn new() -> Bench {
        let mut config = Config::default();
        config.deflate = None;
        config.limits.max_message = MAX_MESSAGE;
        config.limits.max_unsent = MAX_UNSENT;
        config.limits.high_water = MAX_UNSENT / 2;
        config.limits.handshake_timeout = Duration::from_millis(200);
        config.limits.close_timeout = Duration::from_millis(200);
        config.read_buffer = 4 << 10;
        config.max_connections_per_address = Some(1_000);
        config.rates.messages_per_second = Some(1_000_000);
        config.reserve = Some(Reserve::new(CONNECTIONS));
        let (promised, before) = (config.reserved_memory(), anonymous_memory());
        let server = Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
        let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
        let event_loop = server.start(Device::default()).expect("a loop");
        let taken = anonymous_memory().saturating_sub(before);
        // Beside the buffers: other state of each connection, and the loop's own.
        let most = promised + PLACES * 1_024 + (256 << 10);
        println!("promised: {promised} bytes, taken: {taken}");
        assert!(cfg!(not(target_os = "linux")) || (promised..most).contains(&taken), "not {promised}..{most}: {taken}");
        Bench { event_loop, addr, received: vec![0; 1 << 20] }
    }

    /// One turn, in which nothing may be allocated or freed.
    fn turn(&mut self) {
        assert_no_alloc(|| self.event_loop.turn(Some(Duration::from_millis(1)))).expect("the poller works");
    }

    fn turn_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Bench) -> bool) {
        let deadline = Instant::now() + WAIT;
        while !is_so(self) {
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; {:?} {:?}",
                self.seen(),
                self.event_loop.stats().connections
            );
            self.turn();
        }
    }

    fn connections(&self) -> usize {
        {
            let all = self.event_loop.stats().connections;
            all.handshaking + all.deciding + all.open + all.closing + all.draining + all.flushing + all.responding
        }
    }

    fn seen(&self) -> &Seen {
        &self.event_loop.handler().seen
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).expect("the kernel accepts");
        stream.set_nonblocking(true).expect("non-blocking");
        stream
    }

    /// Reads until the stream has this many bytes, or has ended. Returns them.
    fn receive(&mut self, mut stream: &TcpStream, length: usize) -> Vec<u8> {
        let mut at = 0;
        self.turn_until("bytes", |bench| {
            match stream.read(&mut bench.received[at..]) {
                Ok(0) => return true,
                Ok(count) => at += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return true,
            }
            at >= length
        });
        self.received[..at].to_vec()
    }

    fn open(&mut self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request("/").as_bytes()).expect("it takes a head");
        let (opened, mut head) = (self.seen().opened, Vec::new());
        while !head.ends_with(b"\r\n\r\n") {
            let more = self.receive(&stream, 1);
            assert!(!more.is_empty(), "refused: {}", String::from_utf8_lossy(&head));
            head.extend(more);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        assert_eq!(self.seen().opened, opened + 1);
        stream
    }

    fn send(&mut self, mut stream: &TcpStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            self.turn();
        }
    }

    fn all_close(&mut self, streams: Vec<TcpStream>) {
        drop(streams);
        self.turn_until("all are gone", |bench| bench.connections() == 0);
    }
}

fn full_messages_of_all_at_once(bench: &mut Bench) {
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| bench.open()).collect();
    let largest = binary(&[7; MAX_MESSAGE]);
    // All are incomplete at the same time.
    for stream in &streams {
        bench.send(stream, &largest[..largest.len() - 1]);
    }
    for stream in &streams {
        bench.send(stream, &largest[largest.len() - 1..]);
    }
    for stream in &streams {
        assert_eq!(bench.receive(stream, MAX_MESSAGE + 4).len(), MAX_MESSAGE + 4);
    }
    // Fragments, with a control frame between them, byte by byte.
    let pieces = [frame(0x01, "gr\u{fc}".as_bytes()), ping(b"ping"), frame(0x80, "\u{df}".as_bytes())].concat();
    for byte in &pieces {
        bench.send(&streams[0], &[*byte]);
    }
    for stream in &streams {
        bench.receive(stream, 1);
    }
    bench.all_close(streams);
}

fn clients_that_do_not_read_fill_their_outboxes(bench: &mut Bench) {
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| bench.open()).collect();
    let closed = bench.seen().closed;
    // Nobody reads what is published, until the kernel's buffers and the outboxes are full.
    let message = text(&"x".repeat(MAX_MESSAGE));
    let deadline = Instant::now() + WAIT;
    while bench.seen().closed < closed + CONNECTIONS - 1 {
        assert!(Instant::now() < deadline, "{:?}", bench.seen());
        let _ = (&streams[0]).write(&message);
        bench.turn();
        let _ = (&streams[0]).read(&mut bench.received);
    }
    bench.all_close(streams);
}

fn held_and_paused_bytes(bench: &mut Bench) {
    let stream = bench.open();
    let messages = [binary(b"pause"), binary(&[1; 3_000]), ping(b"later"), binary(b"pause"), binary(b"end")].concat();
    for _ in 0..20 {
        bench.send(&stream, &messages);
        bench.receive(&stream, 3_004 + 7 + 5);
    }
    bench.all_close(vec![stream]);
}

fn every_kind_of_end(bench: &mut Bench) {
    for _ in 0..3 {
        let long = "r".repeat(123);
        let ends: [&[u8]; 9] = [
            &frame(0x88, &[&1000_u16.to_be_bytes()[..], long.as_bytes()].concat()),
            &frame(0x88, b""),
            &frame(0x88, b"\x03"),
            &frame(0x88, b"\x03\xed"),
            &binary(b""),
            &frame(0x83, b"reserved opcode"),
            &frame(0x81, b"\xff"),
            &binary(&[0; MAX_MESSAGE + 1]),
            &[0x82, 5, b'a'],
        ];
        for end in ends {
            let closed = bench.seen().closed;
            let stream = bench.open();
            bench.send(&stream, end);
            bench.receive(&stream, usize::MAX);
            bench.all_close(vec![stream]);
            assert_eq!(bench.seen().closed, closed + 1);
        }
        let streams: Vec<TcpStream> = (0..3).map(|_| bench.open()).collect();
        socket2::SockRef::from(&streams[0]).set_linger(Some(Duration::ZERO)).expect("a reset");
        streams[1].shutdown(Shutdown::Write).expect("a FIN");
        bench.all_close(streams);
    }
    assert_eq!(bench.seen().reason, 123);
    let stream = bench.open();
    bench.send(&stream, &frame(0x88, b"\x03\xe8bye"));
    bench.receive(&stream, usize::MAX);
    bench.all_close(vec![stream]);
    assert_eq!(bench.seen().reason, 3);
}

fn bad_and_slow_requests(bench: &mut Bench) {
    let whole = request("/");
    for bytes in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &whole[..40]] {
        let stream = bench.connect();
        bench.send(&stream, bytes.as_bytes());
        bench.receive(&stream, usize::MAX);
        bench.all_close(vec![stream]);
    }
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9_000));
    let stream = bench.connect();
    bench.send(&stream, &long.as_bytes()[..8_000]);
    bench.send(&stream, &long.as_bytes()[8_000..]);
    bench.receive(&stream, 20);
    bench.all_close(vec![stream]);
    // A head byte by byte.
    let stream = bench.connect();
    for byte in whole.as_bytes() {
        bench.send(&stream, &[*byte]);
    }
    assert!(bench.receive(&stream, 20).starts_with(b"HTTP/1.1 101"));
    bench.all_close(vec![stream]);
}

/// Connections beyond the reserve get 503, however many come at once.
fn more_connections_get_503(bench: &mut Bench) {
    let open: Vec<TcpStream> = (0..CONNECTIONS).map(|_| bench.open()).collect();
    let more: Vec<TcpStream> = (0..3 * PLACES)
        .map(|_| {
            let mut stream = bench.connect();
            stream.write_all(request("/").as_bytes()).expect("it takes a head");
            stream
        })
        .collect();
    for stream in &more {
        let response = bench.receive(stream, usize::MAX);
        assert!(response.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&response));
    }
    assert!(bench.connections() <= PLACES);
    drop(more);
    bench.send(&open[0], &binary(b"still there"));
    assert_eq!(bench.receive(&open[0], 13).len(), 13);
    bench.all_close(open);
    // Silent ones take all places until their time is over. Then there is room again.
    let silent: Vec<TcpStream> = (0..2 * PLACES).map(|_| bench.connect()).collect();
    bench.turn_until("the first are accepted", |bench| bench.connections() == PLACES);
    let late = bench.open();
    bench.all_close(silent.into_iter().chain([late]).collect());
}

/// The shutdown itself may allocate.
fn a_shutdown_tells_everybody(mut bench: Bench) {
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| bench.open()).collect();
    bench.event_loop.remote().shutdown(Drain::default()).expect("the loop runs");
    let deadline = Instant::now() + WAIT;
    for mut stream in &streams {
        let mut close = [0; 4];
        while stream.peek(&mut close).is_err() {
            assert!(Instant::now() < deadline, "no Close frame");
            bench.event_loop.turn(Some(Duration::from_millis(1))).expect("the poller works");
        }
        stream.read_exact(&mut close).expect("a Close frame");
        assert_eq!(close, [0x88, 2, 0x03, 0xe9]);
    }
}

/// A main function without libtest, whose main thread allocates at any time.
fn main() {
    let mut bench = Bench::new();
    full_messages_of_all_at_once(&mut bench);
    clients_that_do_not_read_fill_their_outboxes(&mut bench);
    held_and_paused_bytes(&mut bench);
    every_kind_of_end(&mut bench);
    bad_and_slow_requests(&mut bench);
    more_connections_get_503(&mut bench);
    assert!(bench.seen().timers > 100, "the interval goes on");
    println!("{:?}", bench.seen());
    a_shutdown_tells_everybody(bench);
    println!("test result: ok");
}
