//! Bugs that the simulator has found: one test for each.

use lariat::sim::{Faults, Peer, Simulation};
use lariat::{Answer, ClientId, Clients, CloseReason, Config, Handler, Message, Request};
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

/// The application takes its time to answer, for ever.
struct Undecided;

impl Handler for Undecided {
    type Data = ();
    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        Answer::Later
    }
}

/// What came while the application had not answered was never read: closing with it unread makes the kernel send a
/// reset, which may eat the response; and the end of the stream, if that had come, was not seen.
#[test]
fn what_came_before_the_answer_is_read_after_it() {
    let mut sim = Simulation::new(1, Config::default(), Undecided);
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

/// Ticks wrap around: a loop that had not looked at the clock for more than 24 days took the past for the future, and
/// nothing was due until the next wrap-around.
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
