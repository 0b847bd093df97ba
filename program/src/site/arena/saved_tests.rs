//! What the arena saves, and what it makes of it.

use super::handler::Arena;
use crate::site::carried_tests;
use lariat::Config;
use lariat::sim::Simulation;
use std::time::Duration;

/// An arena with two people, after so long.
fn arena(after: Duration) -> Simulation<Arena> {
    let mut sim = Simulation::new(1, Config::default(), Arena::new(7));
    let peers = ["Ada", "Bob"].map(|name| {
        let peer = sim.connect("/arena");
        peer.send(&format!(r#"{{"join":{{"name":"{name}"}}}}"#));
        peer
    });
    sim.run_for(after / 2);
    peers[0].send(&[1u8, 0, 0x40, 0x90][..]);
    sim.run_for(after / 2);
    sim
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let mut sim = arena(Duration::from_secs(4));
    let bytes = sim.handler().saved().expect("it can be saved");
    let arena = carried_tests::check(&bytes, || Arena::new(0), Arena::restore_saved, Arena::saved);
    let (old, new) = (&sim.handler().world, &arena.world);
    assert_eq!((new.tick, new.riders.len(), arena.people()), (80, 8, 2));
    assert!(old.riders.iter().zip(&new.riders).all(|(old, new)| old.place == new.place && old.rope == new.rope));
    assert!(old.strays.iter().zip(&new.strays).all(|(old, new)| old.place == new.place));
    assert!(sim.handler_mut().restore_saved(&bytes).is_ok(), "it is its own");
}

#[test]
fn damage_causes_no_panic() {
    let bytes = arena(Duration::from_millis(300)).handler().saved().expect("it can be saved");
    let use_it = |mut arena: Arena| (0..6).for_each(|_| drop(arena.world.step()));
    carried_tests::damage(&bytes, || Arena::new(0), Arena::restore_saved, use_it);
}
