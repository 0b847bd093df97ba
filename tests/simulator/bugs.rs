//! Bugs that the simulator has found: one test for each.

use crate::secured::Tls;
use lariat::sim::{Faults, Peer, Simulation};
use lariat::{
    Answer, ClientId, Clients, CloseReason, Config, Handler, Message, Request, SlowConsumer, TimerId, Upgrade,
};
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    type Data = ();
    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

/// The bug: the loop never forgot the retry. After that it did not sleep until it could accept a
/// connection.
#[test]
fn the_loop_sleeps_after_descriptors_ran_out() {
    let mut sim = Simulation::new(1, Config::default(), Echo);
    let mut faults = Faults::none();
    faults.exhaustion = 0.5;
    sim.set_faults(faults);
    let peers: Vec<Peer> = (0..20)
        .map(|_| {
            let peer = sim.connect("/");
            sim.run_until_idle();
            peer
        })
        .collect();
    assert!(peers.iter().any(|peer| !peer.is_open()), "there was a descriptor for every client");
    drop(peers);
    sim.run_for(Duration::from_secs(1));
    let turns = sim.turns();
    sim.run_for(Duration::from_secs(3_600));
    assert!(sim.turns() - turns < 1_000, "{} turns in an hour", sim.turns() - turns);
}

/// An application that answers late: after a timer, or never.
#[derive(Default)]
struct Undecided {
    calls: Vec<&'static str>,
    asked: Vec<ClientId>,
}

impl Handler for Undecided {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        self.asked.push(id);
        Answer::Later
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        for id in self.asked.drain(..) {
            clients.answer(id, Upgrade::new()).expect("the request waits for the answer");
        }
    }

    fn on_open(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.calls.push("on_open");
    }

    fn on_drain(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.calls.push("on_drain");
    }
}

/// The bug: bytes that arrived before the application's answer were never read. If a socket is
/// closed with unread bytes, the kernel sends a reset, which may destroy the response. And the loop
/// did not see the end of the stream.
#[test]
fn bytes_before_the_answer_are_read_after_it() {
    let mut sim = Simulation::new(1, Config::default(), Undecided::default());
    let peer = sim.connect("/");
    sim.run_until_idle();
    peer.send_raw(b"impatience");
    peer.stop_reading();
    sim.run_for(Duration::from_secs(60));
    peer.resume_reading();
    sim.run_until_idle();
    let reason = peer.close_reason();
    assert!(matches!(reason, Some(CloseReason::Unaccepted(_))), "not refused, but {reason:?}");
}

/// The bug: ticks wrap around. A loop that had not read the clock for more than 24 days mistook the
/// past for the future, and no deadline passed until the next wrap.
#[test]
fn deadlines_hold_after_weeks_without_events() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_secs(10);
    let mut sim = Simulation::new(1, config, Echo);
    sim.run_for(Duration::from_secs(30 * 24 * 60 * 60));
    let peer = sim.connect_raw();
    sim.run_for(Duration::from_secs(11));
    assert!(peer.has_heard_end(), "the opening handshake should have taken too long");
}

/// The bug: with a low mark, the response itself exceeded it, and `on_drain` ran before `on_open`.
#[test]
fn on_drain_does_not_run_before_on_open() {
    let mut config = Config::default();
    config.limits.high_water = 100;
    let mut sim = Simulation::new(1, config, Undecided::default());
    let peer = sim.connect("/");
    sim.clients().set_timer(Duration::from_secs(1), 0);
    sim.run_for(Duration::from_secs(2));
    assert!(peer.is_open());
    assert_eq!(sim.handler().calls.first(), Some(&"on_open"));
}

/// Counts calls of `on_drain`. Messages for its clients may be dropped.
#[derive(Default)]
struct Source {
    client: Option<ClientId>,
    drained: u32,
}

impl Handler for Source {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.set_slow_consumer(id, SlowConsumer::DropNewest);
        self.client = Some(id);
    }

    fn on_drain(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.drained += 1;
    }
}

/// The bug: with TLS, a client above the low mark stayed there until the kernel had taken all that
/// was encrypted, although it had taken most of it. Messages were dropped, and nothing was read.
#[test]
fn a_client_with_tls_is_below_the_mark_as_soon_as_one_without() {
    for tls in [None, Some(Tls::new(0))] {
        let mut config = Config::default();
        (config.deflate, config.limits.high_water) = (None, 3_000);
        let options = tls.as_ref().map(Tls::options).unwrap_or_default();
        let mut sim = Simulation::with_options(1, config, &options, Source::default());
        let peer = sim.connect("/");
        if let Some(mut tls) = tls {
            tls.secure_well(&peer);
        }
        sim.run_until_idle();
        peer.stop_reading();
        let mut faults = Faults::none();
        faults.window = 4_000;
        sim.set_faults(faults);
        let id = sim.handler().client.expect("it is open");
        assert_eq!(sim.clients().send(id, &[1; 5_000][..]), Ok(()));
        sim.run_until_idle();
        let unsent = sim.clients().buffered_amount(id);
        assert_eq!(sim.handler().drained, 1, "{unsent} bytes are unsent");
        assert!((1_000..3_000).contains(&unsent), "{unsent} bytes are unsent");
        assert_eq!(sim.clients().send(id, "more"), Ok(()));
    }
}
