//! Common parts of these tests: an echo server in a simulation, hostile bytes, and the log.

use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, CloseReason, Config, Handler, Message, Stats};
use std::time::Duration;

/// Echoes every message and stores the close reasons.
#[derive(Default)]
pub struct Echo {
    pub closed: Vec<CloseReason>,
}

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.closed.push(reason.clone());
    }
}

pub fn sim(config: Config) -> Simulation<Echo> {
    Simulation::new(1, config, Echo::default())
}

/// Returns a config with a small budget and without compression.
pub fn tight(budget: usize) -> Config {
    let mut config = Config::default();
    config.deflate = None;
    config.memory_budget = budget;
    config
}

/// Connects this many peers and waits until they are open.
pub fn connect<H: Handler>(sim: &mut Simulation<H>, count: usize) -> Vec<Peer> {
    let peers: Vec<Peer> = (0..count).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert!(peers.iter().all(Peer::is_open), "not all peers are open");
    peers
}

/// Returns the beginning of a message with an announced length, of which `sent` bytes arrive.
pub fn unfinished(announced: usize, sent: usize) -> Vec<u8> {
    // The masking key is zero, because masking a mebibyte takes long in a debug build.
    let mut bytes = vec![0x82];
    match announced {
        0..=125 => bytes.push(0x80 | announced as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((announced as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((announced as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.resize(bytes.len() + sent, 7);
    bytes
}

/// Returns the number of connections that ended for a reason.
pub fn closed(stats: &Stats, reason: &str, detail: &str) -> u64 {
    let is_meant = |cause: &lariat::Cause| cause.reason == reason && cause.detail == detail;
    stats.closed.iter().filter(|(cause, _)| is_meant(cause)).map(|(_, count)| count).sum()
}

/// Runs turns until `peer` has its echo. The turns take no time.
#[track_caller]
pub fn turns_to_echo<H: Handler>(sim: &mut Simulation<H>, peer: &Peer, most: u64) -> u64 {
    let before = sim.turns();
    peer.send("hello");
    while peer.received().is_empty() {
        assert!(sim.turns() - before < most, "no echo after {most} turns");
        assert!(!sim.is_idle(), "no echo, and nothing more to do");
        sim.step_at_once();
    }
    sim.turns() - before
}

/// Runs one turn and checks two things: no more is held than allowed, and the count of held bytes
/// is right.
#[track_caller]
pub fn audited_step<H: Handler>(sim: &mut Simulation<H>, budget: usize) {
    sim.step_at_once();
    let found = sim.footprint();
    assert_eq!(found.held, found.buffers + found.shared + found.contexts + found.spares, "{found:?}");
    assert!(found.held <= budget, "{} bytes are held, of {budget}", found.held);
}

/// The same as [`Simulation::run_until_idle`], with a check after every turn.
#[track_caller]
pub fn audited_rest<H: Handler>(sim: &mut Simulation<H>, budget: usize) {
    for _ in 0..1_000_000 {
        if sim.is_idle() {
            return;
        }
        audited_step(sim, budget);
    }
    panic!("the simulation does not become idle");
}

/// Returns the raw response to a new client that requests an upgrade.
pub fn response<H: Handler>(sim: &mut Simulation<H>) -> String {
    let newcomer = sim.connect_raw();
    newcomer.send_raw(crate::common::request("/").as_bytes());
    sim.run_for(Duration::from_millis(1));
    let response = String::from_utf8(newcomer.received_raw()).expect("a response is text");
    drop(newcomer);
    sim.run_until_idle();
    response
}

/// Returns the status of a raw response.
pub fn status(response: &str) -> u16 {
    response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {response:?}"))
}
