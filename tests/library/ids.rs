//! Ids stay safe for ever.

use lariat::sim::Simulation;
use lariat::{ClientId, Closures, Config, SendError};
use std::collections::HashSet;
use std::sync::mpsc::channel;

/// A debug build takes a quarter of a millisecond for each.
const ROUNDS: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

#[test]
fn an_id_is_never_given_again_over_many_reconnects() {
    let (told, opened) = channel();
    let handler = Closures::<()>::new().on_open(move |_, id| told.send(id).expect("the test waits"));
    let mut sim = Simulation::new(1, Config::default(), handler);
    let mut seen: HashSet<ClientId> = HashSet::new();
    let mut last: Option<ClientId> = None;
    for round in 0..ROUNDS {
        let peer = sim.connect("/");
        sim.run_until_idle();
        let id = opened.try_recv().expect("it has been let in");
        assert!(seen.insert(id), "{id} again, in round {round}");
        assert_eq!(ClientId::from_u64(id.to_u64()), Some(id));
        if let Some(last) = last.replace(id) {
            // Its slot is taken by the new one, which must not get what is meant for the old one.
            assert_eq!(sim.clients().send(last, "for another"), Err(SendError::Gone));
        }
        assert_eq!(peer.received_text(), [""; 0]);
        peer.reset();
        sim.run_until_idle();
    }
}
