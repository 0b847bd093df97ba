//! A server whose process is stopped for longer than any timeout, and then continued. The same
//! happens when a container is paused, in a debugger, and when a virtual machine is suspended.
#![cfg(unix)]

use crate::common::{WAIT, Wire, binary, close, frame, request, text, until_passed};
use lariat::{ClientId, Clients, CloseCode, Config, Drain, Handler, LocalAddr, Message, Server};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server is stopped: longer than any of its timeouts, so that each of them is over
/// when it continues.
const STOPPED: Duration = Duration::from_millis(1_600);

/// Echoes. `close` closes the client, `much` sends much, `block` blocks, and `stop` shuts down.
struct App;

const MUCH: usize = 8 << 20;

impl Handler for App {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text() {
            Some("close") => clients.close(id, CloseCode::Normal, "as you asked").expect("it is open"),
            Some("much") => clients.send(id, &vec![7; MUCH]).expect("it fits"),
            Some("block") => until_passed(Instant::now(), STOPPED),
            Some("stop") => clients.shutdown(Drain::default().deadline(Duration::from_secs(1))),
            _ => clients.send(id, message).expect("it fits"),
        }
    }
}

fn config(events_per_turn: usize) -> Config {
    let mut config = Config::default();
    config.events_per_turn = events_per_turn;
    let limits = &mut config.limits;
    limits.max_unsent = 2 * MUCH;
    limits.ping_interval = Some(Duration::from_millis(400));
    limits.idle_timeout = Some(Duration::from_millis(1_000));
    limits.handshake_timeout = Duration::from_millis(1_500);
    limits.message_timeout = Some(Duration::from_millis(1_500));
    limits.write_timeout = Some(Duration::from_millis(1_500));
    limits.close_timeout = Duration::from_millis(1_000);
    config.memory_budget = 512 << 20;
    config
}

const EVENTS_PER_TURN: &str = "LARIAT_TEST_EVENTS_PER_TURN";

/// Starts the process of the other tests, which is this test with a variable in its environment.
#[test]
fn the_process_serves_until_it_is_told_to_stop() {
    if let Ok(events_per_turn) = std::env::var(EVENTS_PER_TURN) {
        return serve(events_per_turn.parse().expect("a number"));
    }
    let mut server = Process::start(1_024);
    let mut wire = Wire::open(server.addr);
    is_served(&mut wire, "hello");
    wire.send(&text("stop"));
    wire.expect_close(1001);
    wire.send(&close(1001, ""));
    drop(wire);
    assert_eq!(server.dropped(), 0);
}

/// Serves until a client says `stop`. Prints the address, and how many clients were dropped.
fn serve(events_per_turn: usize) {
    let server =
        Server::new(config(events_per_turn)).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
    let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("not TCP") };
    println!("\nlistens on {addr}");
    let outcome = server.start(App).and_then(|mut event_loop| event_loop.run()).expect("the poller works");
    println!("\ndropped {}", outcome.dropped);
}

struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    addr: std::net::SocketAddr,
}

impl Process {
    fn start(events_per_turn: usize) -> Process {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "stopped::the_process_serves_until_it_is_told_to_stop"])
            .args(["--nocapture", "--test-threads=1"])
            .env(EVENTS_PER_TURN, events_per_turn.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let addr = find(&mut lines, "listens on ").parse().expect("an address");
        Process { child, lines, addr }
    }

    /// Stops the process, calls `meanwhile`, and continues the process when all timeouts are over.
    fn stop(&self, meanwhile: impl FnOnce()) {
        self.signal(Signal::STOP);
        let stopped = Instant::now();
        meanwhile();
        until_passed(stopped, STOPPED);
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is our child");
    }

    /// Waits for its end. Returns how many clients it has dropped.
    fn dropped(&mut self) -> usize {
        find(&mut self.lines, "dropped ").parse().expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find(lines: &mut impl Iterator<Item = std::io::Result<String>>, prefix: &str) -> String {
    let mut lines = lines.map(|line| line.expect("standard output"));
    lines.find_map(|line| line.strip_prefix(prefix).map(str::to_owned)).expect("a line that says so")
}

/// Reads the next message. Answers pings, as a browser does.
#[track_caller]
fn next_message(wire: &mut Wire) -> Vec<u8> {
    loop {
        let frame = wire.frame();
        match frame.first {
            0x89 => wire.send(&self::frame(0x8a, &frame.payload)),
            0x81 | 0x82 => return frame.payload,
            first => panic!("{first:#x} {:?}", String::from_utf8_lossy(&frame.payload)),
        }
    }
}

#[track_caller]
fn is_served(wire: &mut Wire, what: &str) {
    wire.send(&text(what));
    assert_eq!(next_message(wire), what.as_bytes());
}

#[test]
fn a_stopped_process_disconnects_no_client_in_any_state() {
    for events_per_turn in [1, 1_024] {
        let server = Process::start(events_per_turn);
        let addr = server.addr;
        let open = |count: usize| -> Vec<Wire> { (0..count).map(|_| Wire::open(addr)).collect() };
        let whole = request("/");
        let (head, tail) = whole.as_bytes().split_at(50);

        let [mut idle, mut speaking, mut fragments, mut late_fragments] = [open(30), open(30), open(5), open(5)];
        let [mut closing, mut late_closing, mut slow] = [open(5), open(5), open(3)];
        let mut heads: Vec<Wire> = (0..5).map(|_| Wire::connect(addr)).collect();
        let mut late_heads: Vec<Wire> = (0..5).map(|_| Wire::connect(addr)).collect();
        heads.iter_mut().chain(&mut late_heads).for_each(|wire| wire.send(head));
        fragments.iter_mut().chain(&mut late_fragments).for_each(|wire| wire.send(&frame(0x01, b"frag")));
        closing.iter_mut().chain(&mut late_closing).for_each(|wire| wire.send(&text("close")));
        slow.iter_mut().for_each(|wire| wire.send(&text("much")));
        for wire in closing.iter_mut().chain(&mut late_closing) {
            assert_eq!(wire.expect_close(1000), "as you asked");
        }

        let mut newcomers = Vec::new();
        server.stop(|| {
            speaking.iter_mut().for_each(|wire| wire.send(&text("while you were away")));
            heads.iter_mut().for_each(|wire| wire.send(tail));
            fragments.iter_mut().for_each(|wire| wire.send(&frame(0x80, b"ment")));
            closing.iter_mut().for_each(|wire| wire.send(&close(1000, "")));
            newcomers.extend((0..5).map(|_| Wire::connect(addr)));
            newcomers.iter_mut().for_each(|wire| wire.send(whole.as_bytes()));
        });

        late_heads.iter_mut().for_each(|wire| wire.send(tail));
        late_fragments.iter_mut().for_each(|wire| wire.send(&frame(0x80, b"ment")));
        late_closing.iter_mut().for_each(|wire| wire.send(&close(1000, "")));
        std::thread::scope(|scope| {
            for wire in idle.iter_mut() {
                scope.spawn(move || is_served(wire, "idle"));
            }
            for wire in speaking.iter_mut() {
                scope.spawn(move || assert_eq!(next_message(wire), b"while you were away"));
            }
            for wire in fragments.iter_mut().chain(&mut late_fragments) {
                scope.spawn(move || assert_eq!(next_message(wire), b"fragment"));
            }
            for wire in heads.iter_mut().chain(&mut late_heads).chain(&mut newcomers) {
                scope.spawn(move || assert_eq!(wire.response().status(), 101));
            }
            for wire in closing.iter_mut().chain(&mut late_closing) {
                scope.spawn(move || wire.expect_end());
            }
            for wire in slow.iter_mut() {
                scope.spawn(move || assert_eq!(next_message(wire).len(), MUCH));
            }
        });
    }
}

#[test]
fn a_handler_that_blocks_disconnects_no_client() {
    for events_per_turn in [1, 1_024] {
        let server = Process::start(events_per_turn);
        let addr = server.addr;
        let mut blocker = Wire::open(addr);
        let mut wires: Vec<Wire> = (0..100).map(|_| Wire::open(addr)).collect();
        blocker.send(&text("block"));
        wires.iter_mut().for_each(|wire| wire.send(&binary(b"hello")));
        std::thread::scope(|scope| {
            for wire in &mut wires {
                scope.spawn(move || {
                    assert_eq!(next_message(wire), b"hello");
                    is_served(wire, "still here");
                });
            }
        });
        is_served(&mut blocker, "still here");
    }
}

#[test]
fn a_stop_during_a_shutdown_drops_no_client() {
    for events_per_turn in [1, 1_024] {
        let mut server = Process::start(events_per_turn);
        let addr = server.addr;
        let mut wires: Vec<Wire> = (0..50).map(|_| Wire::open(addr)).collect();
        wires[0].send(&text("stop"));
        wires.iter_mut().for_each(|wire| assert_eq!(wire.expect_close(1001), ""));
        let (during, after) = wires.split_at_mut(25);
        server.stop(|| during.iter_mut().for_each(|wire| wire.send(&close(1001, ""))));
        after.iter_mut().for_each(|wire| wire.send(&close(1001, "")));
        drop(wires);
        assert_eq!(server.dropped(), 0);
    }
}

#[test]
fn silent_clients_are_still_closed_after_a_stop() {
    let mut server = Process::start(1_024);
    let mut silent: Vec<Wire> = (0..20).map(|_| Wire::open(server.addr)).collect();
    server.stop(|| {});
    for wire in &mut silent {
        wire.stream.get_ref().set_read_timeout(Some(WAIT)).expect("a timeout");
        while wire.frame().first == 0x89 {}
    }
    let mut last = Wire::open(server.addr);
    last.send(&text("stop"));
    last.expect_close(1001);
    last.send(&close(1001, ""));
    last.stream.get_mut().flush().expect("it is written");
    drop((silent, last));
    assert_eq!(server.dropped(), 0);
}
