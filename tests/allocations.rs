//! Tests that the warm server does not allocate for an echo: of any size, in one piece or in
//! several.
//!
//! The test turns the loop in its own thread, the only one, and counts every allocation of the
//! process.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use common::{WAIT, Wire, binary, request, text};
use lariat::{ClientId, Clients, Config, EventLoop, Handler, LocalAddr, Message, Server};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Echoes binary messages and broadcasts text.
struct EchoOrBroadcast;

impl Handler for EchoOrBroadcast {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "everybody");
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message {
            Message::Text(text) => assert!(clients.publish("everybody", text) > 0),
            Message::Binary(bytes) => clients.send(id, bytes).expect("it is open"),
        }
    }
}

/// A server, and a buffer to read into.
struct Bench {
    event_loop: EventLoop<EchoOrBroadcast>,
    addr: SocketAddr,
    received: Box<[u8]>,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Config::default())
    }

    fn with(config: Config) -> Bench {
        let server = Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
        let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
        let event_loop = server.start(EchoOrBroadcast).expect("a loop");
        Bench { event_loop, addr, received: vec![0; 16 << 20].into_boxed_slice() }
    }

    fn open(&mut self) -> TcpStream {
        let mut wire = Wire::connect(self.addr);
        wire.send(request("/").as_bytes());
        let stream = wire.stream.get_ref().try_clone().expect("a second handle");
        stream.set_nonblocking(true).expect("non-blocking");
        let deadline = Instant::now() + WAIT;
        while stream.peek(&mut [0; 200]).is_err() {
            assert!(Instant::now() < deadline, "no response");
            self.turn();
        }
        assert_eq!(wire.response().status(), 101);
        stream
    }

    fn turn(&mut self) {
        self.event_loop.turn(Some(Duration::from_millis(1))).expect("the poller works");
    }

    /// Turns the loop until `length` bytes have arrived from the server.
    fn receive(&mut self, mut stream: &TcpStream, length: usize) {
        let (mut at, deadline) = (0, Instant::now() + WAIT);
        while at < length {
            assert!(Instant::now() < deadline, "{at} of {length} bytes received");
            match stream.read(&mut self.received[at..]) {
                Ok(count) => at += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    self.turn();
                }
            }
        }
        assert_eq!(at, length, "more bytes than expected");
    }

    /// Sends `bytes`. Turns the loop while they do not fit into the socket.
    fn send(&mut self, mut stream: &TcpStream, mut bytes: &[u8]) {
        let deadline = Instant::now() + WAIT;
        while !bytes.is_empty() {
            assert!(Instant::now() < deadline, "{} bytes are left", bytes.len());
            match stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    self.turn();
                }
            }
        }
    }

    /// Repeats an action until all buffers have reached their final size, then counts it.
    fn count(&mut self, rounds: usize, mut act: impl FnMut(&mut Bench)) -> Stats {
        (0..rounds).for_each(|_| act(self));
        let region = Region::new(ALLOCATOR);
        (0..rounds).for_each(|_| act(self));
        region.change()
    }
}

/// Returns the number of heap operations of any kind.
fn operations(stats: &Stats) -> usize {
    stats.allocations + stats.deallocations + stats.reallocations
}

/// Returns the length of the echo. A server's frame has no masking key.
fn echo_length(frame: &[u8]) -> usize {
    frame.len() - 4
}

fn an_echo_allocates_nothing(bench: &mut Bench) {
    let stream = bench.open();
    for length in [20, 1 << 10, 16 << 10, 60 << 10] {
        let frame = binary(&vec![7; length]);
        let whole = bench.count(100, |bench| {
            bench.send(&stream, &frame);
            bench.receive(&stream, echo_length(&frame));
        });
        let (head, tail) = frame.split_at(frame.len() / 2);
        let split = bench.count(100, |bench| {
            bench.send(&stream, head);
            bench.turn();
            bench.send(&stream, tail);
            bench.receive(&stream, echo_length(&frame));
        });
        let pipelined = frame.repeat(32);
        let deep = bench.count(5, |bench| {
            bench.send(&stream, &pipelined);
            bench.receive(&stream, 32 * echo_length(&frame));
        });
        println!(
            "echo of {length} bytes: {} heap operations in 100 whole, {} in 100 in two pieces, {} in 160 pipelined",
            operations(&whole),
            operations(&split),
            operations(&deep)
        );
        assert_eq!([operations(&whole), operations(&split), operations(&deep)], [0; 3], "{length} bytes");
    }
}

fn fragments_and_control_frames_allocate_nothing(bench: &mut Bench) {
    let stream = bench.open();
    let pieces = [common::frame(0x02, &[1; 500]), common::ping(b"ping"), common::frame(0x80, &[2; 500])].concat();
    let stats = bench.count(100, |bench| {
        bench.send(&stream, &pieces);
        bench.receive(&stream, 2 + 4 + 4 + 1_000);
    });
    println!("fragmented message with a ping: {} heap operations in 100", operations(&stats));
    assert_eq!(operations(&stats), 0);
}

/// All members share one frame, so the number of members does not matter.
fn a_publish_allocates_once(bench: &mut Bench) {
    let streams: Vec<TcpStream> = (0..50).map(|_| bench.open()).collect();
    let message = text("to everybody");
    let stats = bench.count(50, |bench| {
        bench.send(&streams[0], &message);
        streams.iter().for_each(|stream| bench.receive(stream, echo_length(&message)));
    });
    println!("publish to {} clients: {} heap operations in 50", streams.len(), operations(&stats));
    assert!(operations(&stats) <= 50 * 4, "{stats:?}");
}

/// Buffers of a large message are kept for the next one, and freed if none follows.
fn a_large_message_gives_its_memory_back(bench: &mut Bench) {
    let stream = bench.open();
    let (small, large) = (binary(&[0; 60 << 10]), binary(&vec![0; 1 << 20]));
    bench.send(&stream, &small);
    bench.receive(&stream, echo_length(&small));
    let region = Region::new(ALLOCATOR);
    bench.send(&stream, &large);
    bench.receive(&stream, echo_length(&large));
    let kept = || {
        let stats = region.change();
        stats.bytes_allocated as isize - stats.bytes_deallocated as isize
    };
    let (at_first, began) = (kept(), Instant::now());
    assert!(at_first >= 512 << 10, "the message was not in memory: {at_first}");
    let again = bench.count(20, |bench| {
        bench.send(&stream, &large);
        bench.receive(&stream, echo_length(&large));
    });
    // These are the reference count of the shared frame, and an entry in a list.
    assert!(operations(&again) <= 20 * 4, "{again:?}");
    // The loop itself keeps one buffer to join runs of output.
    while kept() > 160 << 10 {
        assert!(began.elapsed() < Duration::from_secs(20), "{} bytes are kept", kept());
        bench.event_loop.turn(None).expect("the poller works");
    }
    println!("after a message of 1 MiB: {at_first} bytes more than before, {} after {:?}", kept(), began.elapsed());
}

/// A message that takes longer than spare buffers are kept gives its memory back as well.
fn spare_memory_has_a_deadline_however_slow_the_message() {
    let mut config = Config::default();
    (config.limits.max_message, config.limits.max_unsent) = (8 << 20, 16 << 20);
    let mut bench = Bench::with(config);
    let stream = bench.open();
    // The kernel does not take such an answer at once, so its last bytes are written at the end of
    // a turn, in which nothing else happens.
    let large = binary(&vec![0; 3 << 20]);
    let region = Region::new(ALLOCATOR);
    bench.send(&stream, &large[..large.len() / 2]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        bench.turn();
    }
    bench.send(&stream, &large[large.len() / 2..]);
    bench.receive(&stream, echo_length(&large));
    let (stats, wait) = (region.change(), bench.event_loop.timeout().expect("a deadline"));
    let kept = stats.bytes_allocated as isize - stats.bytes_deallocated as isize;
    println!("after a slow message of 3 MiB: {kept} bytes more than before, and a turn in {wait:?}");
    assert!(kept < 160 << 10 || wait < Duration::from_secs(5), "it sleeps for {wait:?}, with {kept} spare bytes");
}

/// A main function without libtest, whose main thread allocates at any time.
fn main() {
    let mut bench = Bench::new();
    an_echo_allocates_nothing(&mut bench);
    fragments_and_control_frames_allocate_nothing(&mut bench);
    a_large_message_gives_its_memory_back(&mut bench);
    a_publish_allocates_once(&mut bench);
    spare_memory_has_a_deadline_however_slow_the_message();
    println!("test result: ok");
}
