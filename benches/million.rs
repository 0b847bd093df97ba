//! Measures the cost of a million connections and a million timers in one server, and the length of
//! its slowest turn.
//!
//! ```text
//! cargo bench --bench million [-- COUNT]
//! ```
//!
//! Runs in the simulator, so it needs neither a kernel nor other hosts. It counts the bytes that
//! the server allocates, by a counting allocator without the simulated network and peers, and by
//! the server's own count. (The kernel needs another 4.2 KiB for each socket.) It measures the CPU
//! time of turns with a network that has already transferred everything. Writes into the simulated
//! sockets are part of a turn.

#![allow(missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a bench may look at the clock")]

use lariat::sim::{Footprint, Peer, Simulation};
use lariat::{ClientId, Clients, Config, Handler, Message, TimerId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Default)]
struct Echo {
    expired: usize,
}

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, _: u64) {
        self.expired += 1;
    }
}

/// Returns the CPU time of this thread, which does not include other work of the host.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(unix))]
fn cpu_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

/// Turns and their durations.
#[derive(Default)]
struct Turns(Vec<Duration>);

impl Turns {
    /// Runs turns until there is no more work.
    fn run(&mut self, sim: &mut Simulation<Echo>, is_done: impl Fn(&Simulation<Echo>) -> bool) {
        while !is_done(sim) {
            sim.carry();
            let start = cpu_time();
            sim.step();
            self.0.push(cpu_time() - start);
        }
    }

    fn report(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: f64| self.0[((self.0.len() - 1) as f64 * share) as usize];
        let (total, count) = (self.0.iter().sum::<Duration>(), self.0.len());
        println!("{what}: {count} turns, {total:.1?} in all; median {:.1?}, slowest {:.1?}", at(0.5), at(1.0));
    }
}

fn live(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    (stats.bytes_allocated as isize - stats.bytes_deallocated as isize).max(0) as usize
}

/// Prints the bytes of the server for each of `count`: those allocated, and those of the server's
/// own count.
fn report_memory(region: &Region<'_, System>, sim: &Simulation<Echo>, before: Footprint) {
    let footprint = sim.footprint();
    let allocated = live(region).saturating_sub(footprint.simulation - before.simulation);
    let entries = footprint.connections * footprint.entry;
    let count = footprint.connections.max(1) as f64;
    println!(
        "  {} connections: {} bytes an entry; buffers {} bytes, rare {}, spares {}, queues {}: {:.1} bytes each",
        footprint.connections,
        footprint.entry,
        footprint.buffers,
        footprint.rare,
        footprint.spares,
        footprint.queues,
        (entries + footprint.buffers + footprint.rare + footprint.spares + footprint.queues) as f64 / count
    );
    println!(
        "  by the allocator: {:.1} bytes each, {:.1} of them reserve of a Vec",
        allocated as f64 / count,
        (footprint.connections.next_power_of_two() - footprint.connections) as f64 * footprint.entry as f64 / count
    );
}

fn main() {
    let default = if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default);
    connections(count);
    timers(count);
}

fn connections(count: usize) {
    let mut random = StdRng::seed_from_u64(1);
    let mut peers: Vec<Peer> = Vec::with_capacity(count);
    let mut config = Config::default();
    // Without compression, the number of bytes is the length of the message.
    config.deflate = None;
    // A broadcast to a million clients holds more than the default budget until it is written.
    config.memory_budget = 1 << 30;
    let mut sim = Simulation::new(1, config, Echo::default());
    let before = sim.footprint();
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    while peers.len() < count {
        for _ in 0..1_000.min(count - peers.len()) {
            let peer = sim.connect("/");
            peer.count_only();
            peers.push(peer);
        }
        sim.run_until_idle();
    }
    assert_eq!(sim.clients().len(), count);
    println!("{count} connections opened in {:.1?}, including the work of the peers", start.elapsed());
    report_memory(&region, &sim, before);
    if !cfg!(debug_assertions) {
        assert!(
            sim.footprint().entry <= 64 && sim.footprint().buffers == 0,
            "an idle connection needs too much memory"
        );
    }

    // Idle: only pings, which are due for all clients at nearly the same time.
    let mut turns = Turns::default();
    let end = sim.elapsed() + Duration::from_secs(51);
    turns.run(&mut sim, |sim| sim.elapsed() >= end);
    sim.run_until_idle();
    turns.report("pings to all, and their pongs");

    // One per cent of the clients are active.
    let mut turns = Turns::default();
    for round in 0..21 {
        for _ in 0..count / 100 {
            peers[random.random_range(0..count)].send("a message of thirty-two bytes...");
        }
        turns.run(&mut sim, |sim| sim.is_idle());
        if round == 0 {
            // The first time, queues grow, and the allocator reorganises what a million handshakes
            // left behind.
            turns = Turns::default();
        }
    }
    turns.report("1 % active, echoes of 32 bytes, 20 times after a first one");

    // All clients get a message.
    for text in ["a broadcast", &"x".repeat(4_000)] {
        let (received, mark, start) = (total_received(&peers), live(&region), cpu_time());
        let accepted = sim.clients().broadcast(text);
        let (queued, bytes) = (cpu_time() - start, live(&region) - mark);
        println!(
            "a broadcast of {} bytes is queued for {accepted} in {queued:.1?}, with {:.0} bytes each until it is written",
            text.len(),
            bytes as f64 / count as f64
        );
        let mut turns = Turns::default();
        turns.run(&mut sim, |sim| sim.is_idle());
        turns.report("  written");
        assert_eq!((accepted, total_received(&peers) - received), (count, count as u64));
    }
    println!("afterwards:");
    report_memory(&region, &sim, before);

    // All clients are in one topic.
    let ids: Vec<ClientId> = sim.clients().iter().collect();
    let (mark, start) = (live(&region), cpu_time());
    for id in &ids {
        sim.clients().subscribe(*id, "news");
    }
    let (joined, bytes) = (cpu_time() - start, live(&region) - mark);
    let (received, start) = (total_received(&peers), cpu_time());
    assert_eq!(sim.clients().publish("news", "extra"), count);
    println!(
        "a topic of {count}: joined in {joined:.1?}, {:.0} bytes a member; a publish is queued in {:.1?}",
        bytes as f64 / count as f64,
        cpu_time() - start
    );
    let mut turns = Turns::default();
    turns.run(&mut sim, |sim| sim.is_idle());
    turns.report("  written");
    assert_eq!(total_received(&peers) - received, count as u64);

    peers.clear();
    let mut turns = Turns::default();
    turns.run(&mut sim, |sim| sim.is_idle());
    turns.report("all disconnect at once");
    assert_eq!(sim.footprint().connections, 0);
}

fn total_received(peers: &[Peer]) -> u64 {
    peers.iter().map(Peer::received_count).sum()
}

fn timers(count: usize) {
    for spread in [Duration::ZERO, Duration::from_secs(10)] {
        let mut random = StdRng::seed_from_u64(2);
        let mut sim = Simulation::new(2, Config::default(), Echo::default());
        let region = Region::new(ALLOCATOR);
        let start = cpu_time();
        for token in 0..count as u64 {
            let extra = Duration::from_micros(random.random_range(0..=spread.as_micros() as u64));
            black_box(sim.clients().set_timer(Duration::from_secs(30) + extra, token));
        }
        let (armed, bytes) = (cpu_time() - start, live(&region));
        let reserved = (count.next_power_of_two() - count) * 24;
        println!(
            "{count} timers armed in {armed:.1?}: {:.1} bytes each by the allocator, {:.1} of them reserve of a Vec",
            bytes as f64 / count as f64,
            reserved as f64 / count as f64
        );
        let mut turns = Turns::default();
        turns.run(&mut sim, |sim| sim.handler().expired == count);
        turns.report(&format!("  due within {spread:?}"));
    }
}
