//! Ids stay safe for ever.

use lariat::sim::Simulation;
use lariat::{ClientId, Closures, Config, SendError};
use std::collections::HashSet;
use std::sync::mpsc::channel;

/// In a debug build each round takes a quarter of a millisecond.
const ROUNDS: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

#[test]
fn no_id_is_used_twice_over_many_reconnects() {
    let (told, opened) = channel();
    let handler = Closures::<()>::new().on_open(move |_, id| told.send(id).expect("the test waits"));
    let mut sim = Simulation::new(1, Config::default(), handler);
    let mut seen: HashSet<ClientId> = HashSet::new();
    let mut last: Option<ClientId> = None;
    for round in 0..ROUNDS {
        let peer = sim.connect("/");
        sim.run_until_idle();
        let id = opened.try_recv().expect("the client is accepted");
        assert!(seen.insert(id), "{id} again, in round {round}");
        assert_eq!(ClientId::from_u64(id.to_u64()), Some(id));
        if let Some(last) = last.replace(id) {
            // The new connection has the slot. It must not get messages for the old one.
            assert_eq!(sim.clients().send(last, "for another"), Err(SendError::Gone));
        }
        assert_eq!(peer.received_text(), [""; 0]);
        peer.reset();
        sim.run_until_idle();
    }
}
