//! Checks that the server's memory returns to its level, after every kind of end of a connection,
//! many times.
//!
//! Real sockets on loopback, with the loop in the test's own thread, the only one. So the test
//! counts every live byte and allocation of the process, and every descriptor. While the server
//! runs, they stay constant, except for its spare buffers, whose number may vary. When the server
//! is dropped, everything is exactly as before.
//!
//! `cargo test --release --test leaks` opens 100,000 connections, a debug build 5,000.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;
mod house;
mod visits;

use common::WAIT;
use house::{Ends, House};
use lariat::{Config, EventLoop, LocalAddr, Server, Takeover, Upgrade};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::{Duration, Instant};
use visits::{Visit, Visitor, visits};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = if cfg!(debug_assertions) { 5_000 } else { 100_000 };

/// The first fifth of the connections warms everything up.
const ROUNDS: usize = 5;

/// The number of times that each visit is made at the same time.
const AT_ONCE: usize = 3;

/// The growth that is allowed between the second round and the last: the bytes that the four pools
/// of spare buffers keep at rest. By chance this is one buffer more or less.
const SPARE_BYTES: usize = 4 * (128 << 10);
const SPARE_ALLOCATIONS: usize = 60;

/// The resources at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    bytes: usize,
    allocations: usize,
    descriptors: usize,
}

impl Figures {
    fn now() -> Figures {
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("/proc").count();
        let stats = ALLOCATOR.stats();
        Figures {
            bytes: stats.bytes_allocated - stats.bytes_deallocated,
            allocations: stats.allocations - stats.deallocations,
            descriptors,
        }
    }

    fn least(self, other: Figures) -> Figures {
        Figures {
            bytes: self.bytes.min(other.bytes),
            allocations: self.allocations.min(other.allocations),
            descriptors: self.descriptors.min(other.descriptors),
        }
    }
}

fn turn(event_loop: &mut EventLoop<House>) {
    event_loop.turn(Some(Duration::from_millis(1))).expect("the poller works");
}

/// Connects a group of visitors, each of which leaves in its own way.
fn receive(event_loop: &mut EventLoop<House>, visits: &[Visit], visitors: &mut Vec<Visitor>, buffer: &mut [u8]) {
    let LocalAddr::Tcp(addr) = event_loop.handler().addr.clone() else { panic!("not TCP") };
    for _ in 0..AT_ONCE {
        visitors.extend(visits.iter().map(|visit| Visitor::comes(addr, visit)));
    }
    let deadline = Instant::now() + WAIT;
    while !visitors.is_empty() {
        turn(event_loop);
        for (index, visitor) in visitors.iter_mut().enumerate() {
            let visit = &visits[index % visits.len()];
            assert!(visitor.is_done || Instant::now() < deadline, "{}: the visit does not end", visit.name);
            visitor.look(visit, buffer);
        }
        if visitors.iter().all(|visitor| visitor.is_done) {
            visitors.iter_mut().enumerate().for_each(|(index, visitor)| visitor.leaves(&visits[index % visits.len()]));
            visitors.retain(|visitor| !visitor.is_done);
        }
    }
    while let Some(id) = event_loop.handler_mut().undecided.pop_front() {
        // The loop may know already that the client has disconnected.
        let _ = event_loop.clients_mut().answer(id, Upgrade::new());
    }
}

/// Turns until all clients have disconnected.
fn settle(event_loop: &mut EventLoop<House>, descriptors: usize) -> Figures {
    let deadline = Instant::now() + WAIT;
    loop {
        turn(event_loop);
        let is_idle = event_loop.timeout() != Some(Duration::ZERO);
        let figures = Figures::now();
        if is_idle && figures.descriptors == descriptors && event_loop.clients_mut().is_empty() {
            return figures;
        }
        assert!(Instant::now() < deadline, "{figures:?}, but {descriptors} descriptors at first");
    }
}

/// Turns until the buffers of a busy moment are freed.
fn rest(event_loop: &mut EventLoop<House>, descriptors: usize) -> Figures {
    let deadline = Instant::now() + WAIT;
    while event_loop.next_deadline().is_some() {
        assert!(Instant::now() < deadline, "{} bytes are held", event_loop.stats().buffered);
        turn(event_loop);
    }
    settle(event_loop, descriptors)
}

/// Runs a server with this many groups of visitors in each round. Returns the smallest figures of
/// each round after a group has left.
fn serve<const ROUNDS: usize>(groups: usize) -> [Figures; ROUNDS] {
    let mut config = Config::default();
    config.limits.max_unsent = 1 << 20;
    if let Some(deflate) = &mut config.deflate {
        deflate.context_takeover = Takeover::Both;
    }
    let server = Server::new(config).and_then(|server| server.listen("127.0.0.1:0")).expect("a free port");
    let addr = server.local_addrs()[0].clone();
    let mut event_loop = server.start(House::new(addr)).expect("a loop");
    let descriptors = Figures::now().descriptors;
    let visits = visits();
    let (mut visitors, mut buffer) = (Vec::with_capacity(AT_ONCE * visits.len()), vec![0; 64 << 10]);
    let mut ends = Ends::default();
    std::array::from_fn(|round| {
        let started = Instant::now();
        let figures = (0..groups).map(|_| {
            receive(&mut event_loop, &visits, &mut visitors, &mut buffer);
            settle(&mut event_loop, descriptors)
        });
        let figures = figures.reduce(Figures::least).expect("a group").least(rest(&mut event_loop, descriptors));
        let connections = (round + 1) * groups * AT_ONCE * visits.len();
        println!("{connections:>7} connections: {figures:?} after {:.1} s", started.elapsed().as_secs_f64());
        event_loop.handler().check(ends, groups * AT_ONCE);
        ends = event_loop.handler().ends;
        figures
    })
}

fn main() {
    // One of the visits makes the handler panic, which is not printed.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&house::PANIC) {
            tell(info);
        }
    }));
    // This creates what exists once for the whole process.
    serve::<1>(1);

    let before = Figures::now();
    let groups = CONNECTIONS.div_ceil(ROUNDS * AT_ONCE * visits().len());
    let [_, first, later @ ..] = serve::<ROUNDS>(groups);
    assert_eq!(Figures::now(), before, "the server was dropped");
    // A leak in one kind of visit would add up over the rounds and exceed this.
    assert!(SPARE_ALLOCATIONS < later.len() * groups * AT_ONCE);
    assert!(later.iter().all(|figures| figures.descriptors == first.descriptors), "{later:?} after {first:?}");
    let last = later[later.len() - 1];
    assert!(last.allocations <= first.allocations + SPARE_ALLOCATIONS, "{last:?} after {first:?}");
    assert!(last.bytes <= first.bytes + SPARE_BYTES, "{last:?} after {first:?}");
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}
