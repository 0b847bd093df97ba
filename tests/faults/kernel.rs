//! Tests that need a real kernel: sockets and their resets, stopped processes, and the resources
//! that are left at the end.

use crate::common::{Running, SLOWNESS, WAIT, Wire, binary, close, echo_script, frame, request, serve_with, text};
use crate::kit::{tight, unfinished};
use lariat::{CloseCode, Connections, Stats};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

fn stats(server: &Running) -> Stats {
    server.ask(|clients| clients.stats())
}

/// Waits until a condition holds for the server.
#[track_caller]
fn until(server: &Running, what: &str, mut is_so: impl FnMut(&Stats) -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so(&stats(server)) {
        assert!(Instant::now() < deadline, "{what}: did not happen in time: {:?}", stats(server));
    }
}

fn until_empty(server: &Running) {
    until(server, "no client is left", |stats| stats.connections == Connections::default());
}

/// Returns the number of open descriptors of this process, which includes the server.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// Returns a connection that never blocks.
fn unblocked(mut wire: Wire) -> Wire {
    wire.stream.get_mut().set_nonblocking(true).expect("non-blocking");
    wire
}

/// A client that sends the same bytes once or repeatedly, and never reads.
struct Hostile {
    wire: Wire,
    says: Vec<u8>,
    said: usize,
    repeats: bool,
}

impl Hostile {
    fn new(wire: Wire, says: &[u8], repeats: bool) -> Hostile {
        Hostile { wire: unblocked(wire), says: says.to_vec(), said: 0, repeats }
    }

    /// Sends as many bytes as the kernel accepts. Returns whether the server is still connected.
    fn speak(&mut self) -> bool {
        if self.said == self.says.len() && self.repeats {
            self.said = 0;
        }
        match self.wire.stream.get_mut().write(&self.says[self.said..]) {
            Ok(count) => self.said += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        true
    }
}

#[test]
fn resets_in_every_state_leave_nothing_behind() {
    let server = serve_with(tight(64 << 20), echo_script().0);
    let request = request("/");
    let said: [Vec<u8>; 7] = [
        Vec::new(),
        request.as_bytes()[..60].to_vec(),
        request.clone().into_bytes(),
        [request.as_bytes(), &unfinished(50_000, 20_000)].concat(),
        [request.as_bytes(), &frame(0x01, b"fragment")].concat(),
        [request.as_bytes(), &binary(&[7; 60_000])].concat(),
        [request.as_bytes(), &close(1000, "")].concat(),
    ];
    for round in 0..60 {
        let mut wires: Vec<Wire> = said.iter().map(|_| Wire::connect(server.addr)).collect();
        wires.iter_mut().zip(&said).for_each(|(wire, said)| wire.send(said));
        if round % 3 > 0 {
            // At this moment some of the connections have reached their last state.
            until(&server, "the bytes are read", |stats| stats.connections.open + stats.connections.draining >= 4);
        }
        if round % 3 > 1 {
            server.ask(|clients| {
                let ids: Vec<_> = clients.iter().collect();
                ids.iter().for_each(|id| clients.close(*id, CloseCode::Normal, "").expect("it is open"));
            });
        }
        wires.into_iter().for_each(Wire::reset);
        until_empty(&server);
    }
    Wire::open(server.addr).echo("still here");
}

/// The server holds no more than its budget, however full the buffers of the kernel are. Other
/// clients wait only milliseconds.
#[test]
fn at_its_budget_the_server_answers_well_behaved_clients_within_100_ms() {
    let budget = 16 << 20;
    let mut config = tight(budget);
    config.pause_timeout = Duration::from_secs(2);
    let server = serve_with(config, echo_script().0);
    let mut good: Vec<Wire> = (0..20).map(|_| Wire::open(server.addr)).collect();
    let mut hostile: Vec<Hostile> = Vec::new();
    let (deaf, hoard) = (binary(&[7; 60_000]), unfinished(1 << 20, 1_000_000));
    let (mut waits, deadline) = (Vec::new(), Instant::now() + WAIT);
    loop {
        let found = stats(&server);
        if found.budget_exhaustions > 0 && found.pauses > 50 && waits.len() > 2_000 {
            break;
        }
        assert!(Instant::now() < deadline, "memory does not run short: {found:?}");
        if hostile.len() < 150 {
            // New connections may be refused at any time.
            let mut wire = Wire::connect(server.addr);
            wire.send(request("/").as_bytes());
            if wire.response().status() == 101 {
                let repeats = hostile.len() % 2 == 0;
                hostile.push(Hostile::new(wire, if repeats { &deaf } else { &hoard }, repeats));
            }
        }
        // Closed clients make room for new ones.
        hostile.retain_mut(Hostile::speak);
        for wire in &mut good {
            let start = Instant::now();
            wire.echo("hello");
            waits.push(start.elapsed());
        }
        let held = stats(&server).buffered;
        assert!(held <= budget, "{held} bytes are held, of {budget}");
    }
    waits.sort_unstable();
    // The machine may stall for a moment, but the server may not.
    let typical = waits[waits.len() * 99 / 100];
    assert!(typical < SLOWNESS * Duration::from_millis(100), "one in a hundred clients waited {typical:?} or longer");
    drop(hostile);
    until(&server, "memory is free", |stats| stats.connections.open == 20 && stats.buffered < 1 << 20);
    Wire::open(server.addr).echo("new connections are accepted");
}

/// Slots, buffers and descriptors are freed.
#[cfg(target_os = "linux")]
#[test]
fn five_thousand_connections_three_times_leave_nothing_behind() {
    let count = 5_000.min((crate::common::descriptors() - 200) / 2);
    let server = serve_with(tight(64 << 20), echo_script().0);
    Wire::open(server.addr).echo("hello");
    until_empty(&server);
    let mut floors = Vec::new();
    for round in 0..3 {
        let mut wires: Vec<Wire> = Vec::with_capacity(count);
        for index in 0..count {
            let mut wire = Wire::open(server.addr);
            if index % 10 == 0 {
                wire.echo("hello");
            }
            wires.push(wire);
        }
        assert_eq!(stats(&server).connections.open, count);
        assert!(descriptors() >= 2 * count);
        for (index, wire) in wires.into_iter().enumerate() {
            match (index + round) % 3 {
                0 => wire.reset(),
                1 => drop(wire),
                _ => {
                    let mut wire = wire;
                    wire.send(&close(1000, ""));
                }
            }
        }
        until_empty(&server);
        floors.push(stats(&server).buffered);
    }
    assert!(floors.iter().all(|floor| *floor < 512 << 10), "{floors:?}");
    let closed: u64 = stats(&server).closed.values().sum();
    assert_eq!(closed, 3 * count as u64 + 1);
}

/// Two hundred clients request echoes and read none, as long as the kernel accepts their requests.
#[test]
fn two_hundred_clients_that_never_read_need_no_more_than_the_budget() {
    let budget = 16 << 20;
    let server = serve_with(tight(budget), echo_script().0);
    let mut deaf: Vec<Wire> = (0..200).map(|_| unblocked(Wire::open(server.addr))).collect();
    let mut good = Wire::open(server.addr);
    let message = binary(&[7; 60_000]);
    let mut at = vec![0; deaf.len()];
    let mut refused = 0;
    let deadline = Instant::now() + WAIT;
    while refused < 30 {
        refused += 1;
        assert!(Instant::now() < deadline, "the server does not stop reading");
        for (wire, at) in deaf.iter_mut().zip(&mut at) {
            while let Ok(count @ 1..) = wire.stream.get_mut().write(&message[*at % message.len()..]) {
                *at += count;
                refused = 0;
            }
        }
        good.echo("hello");
        assert!(stats(&server).buffered <= budget);
    }
    // The server has stopped reading them or has closed them: none has sent a gibibyte.
    assert!(at.iter().all(|sent| *sent < 1 << 30) && at.iter().sum::<usize>() > 1 << 20);
    good.send(&text("still here"));
    good.expect_text("still here");
    drop(deaf);
    until(&server, "all have disconnected", |stats| stats.connections.open == 1);
}
