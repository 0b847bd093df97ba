//! Bugs that the simulator has found: one test for each.

use lariat::sim::{Faults, Peer, Simulation};
use lariat::{ClientId, Clients, Config, Handler, Message};
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
