//! The system calls of the server: one read and one write for a message, or for all messages that a
//! client pipelines; one write for each subscriber, for any number of messages in a burst; and only
//! accept, `epoll_ctl`, a read and a write until a client is open.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::program::Program;
use common::{Folder, WAIT, Wire, binary, echo_script, request, text};
use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, Config, EventLoop, Handler, LocalAddr, Message, Server, Stats};
use std::io::Read;
use std::process::Command;
use std::time::Instant;

// ---- in one thread: the server's own account ----------------------------------------------------

/// A loop that echoes, turned by the test, and an open client.
struct Looped<H: Handler> {
    event_loop: EventLoop<H>,
    wire: Wire,
}

impl<H: Handler> Looped<H> {
    fn open(handler: H) -> Looped<H> {
        let server = Server::bind("127.0.0.1:0").expect("a free port");
        let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
        let mut event_loop = server.start(handler).expect("a loop");
        let mut wire = Wire::connect(addr);
        wire.send(request("/").as_bytes());
        turn_until(&mut event_loop, |stats| stats.opened == 1);
        assert_eq!(wire.response().status(), 101);
        Looped { event_loop, wire }
    }

    /// Sends `bytes`, waits for so many bytes of answer, and returns the number of reads and
    /// writes.
    fn calls(&mut self, bytes: &[u8], answer: usize) -> (u64, u64) {
        let before = self.event_loop.stats();
        self.wire.send(bytes);
        let written = before.bytes_written + answer as u64;
        let after = turn_until(&mut self.event_loop, |stats| stats.bytes_written >= written);
        self.wire.stream.read_exact(&mut vec![0; answer]).expect("the answer");
        (after.reads - before.reads, after.writes - before.writes)
    }
}

fn turn_until<H: Handler>(event_loop: &mut EventLoop<H>, is_done: impl Fn(&Stats) -> bool) -> Stats {
    let deadline = Instant::now() + WAIT;
    while !is_done(&event_loop.stats()) {
        assert!(Instant::now() < deadline, "{:?}", event_loop.stats());
        event_loop.turn(Some(WAIT)).expect("the poller works");
    }
    event_loop.stats()
}

#[test]
fn a_message_that_fits_the_read_buffer_takes_one_read_and_one_write() {
    let mut looped = Looped::open(echo_script().0);
    for (message, answer) in [(text("a message of 20 byte"), 22), (binary(&[7; 16 << 10]), 4 + (16 << 10))] {
        for _ in 0..50 {
            assert_eq!(looped.calls(&message, answer), (1, 1), "{answer} bytes");
        }
    }
}

#[test]
fn a_pipelined_batch_takes_one_read_and_one_write() {
    let mut looped = Looped::open(echo_script().0);
    for _ in 0..50 {
        assert_eq!(looped.calls(&text("a message of 20 byte").repeat(32), 32 * 22), (1, 1));
    }
}

// ---- a publish, in the simulator ----------------------------------------------------------------

struct Publisher;

impl Handler for Publisher {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "all");
    }

    fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, message: Message<'_>) {
        clients.publish("all", message);
    }
}

/// More subscribers than are flushed in one turn.
const SUBSCRIBERS: usize = 5_000;

#[test]
fn a_burst_of_20_takes_one_write_for_each_of_5000_subscribers() {
    let mut sim = Simulation::new(1, Config::default(), Publisher);
    let peers: Vec<Peer> = (0..SUBSCRIBERS).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    // One message is copied to each outbox, one is shared by all. The burst fits into one read.
    for size in [1, 64, 3_000] {
        let (before, received) = (sim.clients().stats(), peers.iter().map(Peer::received_count).sum::<u64>());
        peers[0].send_raw(&binary(&vec![7; size]).repeat(20)[..]);
        sim.run_until_idle();
        let after = sim.clients().stats();
        let received = peers.iter().map(Peer::received_count).sum::<u64>() - received;
        assert_eq!(received, 20 * SUBSCRIBERS as u64, "{size} bytes");
        assert_eq!(after.writes - before.writes, SUBSCRIBERS as u64, "{size} bytes");
    }
}

// ---- the program, under strace ------------------------------------------------------------------

/// A system call of the program: its name, its arguments, its result.
struct Call {
    name: String,
    arguments: String,
    result: i64,
}

/// Parses the output of strace about the thread of the server.
fn calls(trace: &str) -> Vec<Call> {
    let call = |line: &str| {
        let (_, line) = line.split_once(' ')?;
        let (name, rest) = line.trim_start().split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let result = result.split_whitespace().next()?.parse().unwrap_or(-1);
        Some(Call { name: name.to_owned(), arguments: arguments.to_owned(), result })
    };
    trace.lines().filter_map(call).collect()
}

/// Runs the program under strace while clients do something. Returns `None` without strace, which
/// CI must have.
fn traced(clients: impl FnOnce(std::net::SocketAddr)) -> Option<Vec<Call>> {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is missing");
        println!("not run: strace is missing");
        return None;
    }
    let folder = Folder::new();
    let path = folder.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(&path).arg(env!("CARGO_BIN_EXE_lariat")).args(["--listen", "127.0.0.1:0"]);
    let mut program = Program::spawn(command);
    clients(program.ready());
    let tracer = program.child.id();
    let children = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).expect("/proc");
    let status = Command::new("kill").args(["-s", "INT", children.trim()]).status().expect("kill(1)");
    assert!(status.success(), "the program has ended early");
    program.wait();
    Some(calls(&std::fs::read_to_string(&path).expect("strace writes")))
}

const MESSAGES: usize = 100;

#[test]
fn a_client_is_open_after_accept_epoll_ctl_a_read_and_a_write_and_then_needs_no_epoll_ctl() {
    let Some(calls) = traced(|addr| {
        // The loop's buffer for reads comes with the first client.
        let mut first = Wire::connect(addr);
        first.handshake("/echo");
        let mut wire = Wire::connect(addr);
        wire.handshake("/echo");
        for _ in 0..MESSAGES {
            wire.send(&text("a message of 20 byte"));
            wire.expect(0x81, b"a message of 20 byte");
        }
        wire.send(&text("a message of 20 byte").repeat(32));
        (0..32).for_each(|_| wire.expect(0x81, b"a message of 20 byte"));
    }) else {
        return;
    };
    let accepted = calls.iter().rposition(|call| call.name == "accept4" && call.result >= 0).expect("a client");
    let descriptor = calls[accepted].result;
    let on_client = |call: &&Call| {
        let (first, rest) = call.arguments.split_once([',', ')']).unwrap_or((&call.arguments, ""));
        first.parse() == Ok(descriptor) || call.name == "epoll_ctl" && rest.contains(&format!(" {descriptor},"))
    };
    let names: Vec<&str> = calls[accepted + 1..].iter().filter(on_client).map(|call| call.name.as_str()).collect();
    assert_eq!(names[..3], ["epoll_ctl", "recvfrom", "sendto"], "until it is open");
    let messages: Vec<&str> = names[3..].iter().copied().take(2 * (MESSAGES + 1)).collect();
    assert_eq!(messages, ["recvfrom", "sendto"].repeat(MESSAGES + 1), "for each message, and for the batch");
    assert_eq!(names.iter().filter(|name| **name == "epoll_ctl").count(), 1);
    // Nothing else, except waiting and trying to accept another connection.
    let open = calls[accepted..].iter().position(|call| call.name == "sendto").expect("a response");
    let others = calls[accepted + 1..accepted + open].iter().filter(|call| !on_client(call));
    let others: Vec<&str> = others.map(|call| call.name.as_str()).filter(|name| *name != "epoll_wait").collect();
    assert_eq!(others, ["accept4"]);
}
