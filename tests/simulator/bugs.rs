//! Bugs that the simulator has found: one test for each.

use lariat::sim::{Faults, Peer, Simulation};
use lariat::{Answer, ClientId, Clients, CloseReason, Config, Handler, Message, Request, TimerId, Upgrade};
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    type Data = ();
    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

/// The retry was never forgotten: the loop did not wait any more until somebody could be accepted.
#[test]
fn the_loop_sleeps_after_descriptors_had_run_out() {
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
    assert!(peers.iter().any(|peer| !peer.is_open()), "there was a descriptor for everybody");
    drop(peers);
    sim.run_for(Duration::from_secs(1));
    let turns = sim.turns();
    sim.run_for(Duration::from_secs(3_600));
    assert!(sim.turns() - turns < 1_000, "{} turns in an hour", sim.turns() - turns);
}

/// The application takes its time to answer: until a timer comes, if one does.
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
            clients.answer(id, Upgrade::new()).expect("it waits for the answer");
        }
    }

    fn on_open(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.calls.push("on_open");
    }

    fn on_drain(&mut self, _: &mut Clients<()>, _: ClientId) {
        self.calls.push("on_drain");
    }
}

/// What came while the application had not answered was never read: closing with it unread makes
/// the kernel send a reset, which may eat the response; and the end of the stream, if that had
/// come, was not seen.
#[test]
fn what_came_before_the_answer_is_read_after_it() {
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

/// Ticks wrap around: a loop that had not looked at the clock for more than 24 days took the past
/// for the future, and nothing was due until the next wrap-around.
#[test]
fn deadlines_hold_after_weeks_in_which_nothing_happened() {
    let mut config = Config::default();
    config.limits.handshake_timeout = Duration::from_secs(10);
    let mut sim = Simulation::new(1, config, Echo);
    sim.run_for(Duration::from_secs(30 * 24 * 60 * 60));
    let peer = sim.connect_raw();
    sim.run_for(Duration::from_secs(11));
    assert!(peer.has_heard_end(), "the opening handshake should have taken too long");
}

/// With a low mark, the response itself was above it, and was written before `on_open` was called.
#[test]
fn nothing_is_told_of_a_client_before_it_is_open() {
    let mut config = Config::default();
    config.limits.high_water = 100;
    let mut sim = Simulation::new(1, config, Undecided::default());
    let peer = sim.connect("/");
    sim.clients().set_timer(Duration::from_secs(1), 0);
    sim.run_for(Duration::from_secs(2));
    assert!(peer.is_open());
    assert_eq!(sim.handler().calls.first(), Some(&"on_open"));
}
