//! The cost of a tick of the game with a thousand riders, and the bytes that are sent.
//!
//! ```text
//! cargo bench --bench arena [-- COUNT]
//! ```
//!
//! It runs in the simulator and measures CPU time: of a tick of the game (the world, and a snapshot
//! for each rider, framed and queued), and of whole turns with a tick, including the writes to
//! simulated sockets. The riders are spread over the whole pasture, and then all in one corner of
//! it.

#![allow(missing_docs)]

use lariat::sim::{Peer, Simulation};
use lariat::{Answer, ClientId, Clients, CloseReason, Config, Handler, Message, Request, TimerId};
use lariat_cli::site::Arena;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// The game, and the time of each tick.
struct Timed {
    arena: Arena,
    ticks: Vec<Duration>,
}

impl Handler for Timed {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        self.arena.on_request(clients, id, request)
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.arena.on_message(clients, id, message);
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, token: u64) {
        let start = cpu_time();
        self.arena.on_timer(clients, timer, token);
        self.ticks.push(cpu_time() - start);
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        self.arena.on_close(clients, id, reason);
    }
}

/// Returns the CPU time of this thread, which does not depend on other work of the host.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "a bench may look at the clock")]
fn cpu_time() -> Duration {
    use std::time::Instant;
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("  {what}: {} of them, median {:.2?}, slowest {:.2?}", times.len(), at(0.5), at(1.0));
}

fn main() {
    let default = if cfg!(debug_assertions) { 50 } else { 1_000 };
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default);
    for (what, direction) in [("all over the pasture", None), ("all to one corner", Some([-127, -127]))] {
        play(count, what, direction);
    }
}

/// Runs for half a minute, of which the last ten seconds count.
fn play(count: usize, what: &str, direction: Option<[i8; 2]>) {
    let mut random = StdRng::seed_from_u64(1);
    let mut sim = Simulation::new(1, Config::default(), Timed { arena: Arena::new(1), ticks: Vec::new() });
    let peers: Vec<Peer> = (0..count).map(|_| sim.connect("/arena")).collect();
    for peer in &peers {
        peer.send("{\"join\":{\"name\":\"rider\"}}");
    }
    let mut turns = Vec::new();
    let (mut bytes, mut snapshots) = (0, 0);
    for second in 0..30 {
        for (number, peer) in peers.iter().enumerate() {
            let [x, y] = direction.unwrap_or_else(|| [random.random(), random.random()]);
            peer.send(&[second, number as u8, x as u8, y as u8]);
        }
        let end = sim.elapsed() + Duration::from_secs(1);
        let is_counted = second >= 20;
        while sim.elapsed() < end {
            sim.carry();
            let (start, ticks) = (cpu_time(), sim.handler().ticks.len());
            sim.step();
            if is_counted && sim.handler().ticks.len() > ticks {
                turns.push(cpu_time() - start);
            }
        }
        for message in peers.iter().flat_map(Peer::received).filter(|message| is_counted && message.is_binary()) {
            (bytes, snapshots) = (bytes + message.len(), snapshots + 1);
        }
    }
    let ticks = sim.handler().ticks[sim.handler().ticks.len() - turns.len()..].to_vec();
    println!("{count} riders, {what}: {} bytes a snapshot on average", bytes / snapshots.max(1));
    report("ticks", ticks);
    report("turns with a tick", turns);
}
