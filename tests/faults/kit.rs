//! What these tests have in common: an echo in a simulation, hostile bytes, and what was logged.

use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, CloseReason, Config, Handler, Message, Stats};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;
use std::time::Duration;

/// Sends every message back, and remembers why clients have gone.
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

/// A config with a budget that is soon used up, and without compression.
pub fn tight(budget: usize) -> Config {
    let mut config = Config::default();
    config.deflate = None;
    config.memory_budget = budget;
    config
}

/// Peers that are open.
pub fn connect<H: Handler>(sim: &mut Simulation<H>, count: usize) -> Vec<Peer> {
    let peers: Vec<Peer> = (0..count).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert!(peers.iter().all(Peer::is_open), "not everybody was let in");
    peers
}

/// The beginning of a message of `announced` bytes, of which `sent` come.
pub fn unfinished(announced: usize, sent: usize) -> Vec<u8> {
    // A mask of zeros: a mebibyte takes long to mask in a debug build.
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

/// How many connections have ended for a reason.
pub fn closed(stats: &Stats, reason: &str, detail: &str) -> u64 {
    let is_meant = |cause: &lariat::Cause| cause.reason == reason && cause.detail == detail;
    stats.closed.iter().filter(|(cause, _)| is_meant(cause)).map(|(_, count)| count).sum()
}

/// Turns until `peer` has its echo, in turns that take no time.
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

/// Turns once, and checks that no more is held than may be, and that what is said to be held is.
#[track_caller]
pub fn audited_step<H: Handler>(sim: &mut Simulation<H>, budget: usize) {
    sim.step_at_once();
    let found = sim.footprint();
    assert_eq!(found.held, found.buffers + found.shared + found.contexts + found.spares, "{found:?}");
    assert!(found.held <= budget, "{} bytes are held, of {budget}", found.held);
}

/// As [`Simulation::run_until_idle`], with every turn audited.
#[track_caller]
pub fn audited_rest<H: Handler>(sim: &mut Simulation<H>, budget: usize) {
    for _ in 0..1_000_000 {
        if sim.is_idle() {
            return;
        }
        audited_step(sim, budget);
    }
    panic!("it never comes to rest");
}

/// The raw response that a newcomer gets who asks for an upgrade.
pub fn response<H: Handler>(sim: &mut Simulation<H>) -> String {
    let newcomer = sim.connect_raw();
    newcomer.send_raw(crate::common::request("/").as_bytes());
    sim.run_for(Duration::from_millis(1));
    let response = String::from_utf8(newcomer.received_raw()).expect("a response is text");
    drop(newcomer);
    sim.run_until_idle();
    response
}

/// The status of a raw response.
pub fn status(response: &str) -> u16 {
    response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {response:?}"))
}

// ---- the log ------------------------------------------------------------------------------------

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what each thread logs apart: a simulation runs in the thread of its test.
struct ByThread;

impl Log for ByThread {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.with_borrow_mut(|logged| logged.push(format!("{} {}", record.level(), record.args())));
        }
    }

    fn flush(&self) {}
}

/// From now on, [`logged`] knows what this thread logs.
pub fn listen_to_log() {
    // Another test may have been first.
    let _ = log::set_logger(&ByThread);
    log::set_max_level(LevelFilter::Info);
}

/// What this thread has logged at level info or above since this was asked last.
pub fn logged() -> Vec<String> {
    LOGGED.take()
}
