//! What the ticker saves, and what it makes of it.

use super::ticker::Ticker;
use crate::site::carried_tests;
use lariat::Config;
use lariat::sim::{Peer, Simulation};
use std::time::Duration;

fn page(sim: &mut Simulation<Ticker>) -> Peer {
    let peer = sim.connect("/ticker?measure");
    peer.send(r#"{"watch":["ROPE"]}"#);
    peer.send(r#""books""#);
    peer
}

/// A ticker with a page that is measured, without most of its past.
fn ticker() -> Simulation<Ticker> {
    let mut ticker = Ticker::new(7);
    ticker.walks.iter_mut().for_each(|walk| walk.past.truncate(5));
    let mut sim = Simulation::new(1, Config::default(), ticker);
    let _page = page(&mut sim);
    sim.run_for(Duration::from_millis(1_050));
    sim
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let sim = ticker();
    let bytes = sim.handler().saved().expect("it can be saved");
    let ticker = carried_tests::check(&bytes, || Ticker::new(0), Ticker::restore_saved, Ticker::saved);
    assert_eq!((ticker.ticks, ticker.meters.len()), (10, 1));
    assert!(ticker.walks.iter().zip(&sim.handler().walks).all(|(new, old)| new.past == old.past));
}

#[test]
fn damage_causes_no_panic() {
    let bytes = ticker().handler().saved().expect("it can be saved");
    let use_it = |mut ticker: Ticker| {
        (ticker.tick_timer, ticker.book_timer, ticker.report_timer) = (None, None, None);
        (0..2).for_each(|_| ticker.walks.iter_mut().for_each(|walk| walk.step(10_000, &mut ticker.random)));
        let mut sim = Simulation::new(2, Config::default(), ticker);
        let peer = page(&mut sim);
        // A book and no tick.
        sim.run_for(Duration::from_millis(5));
        assert!(peer.is_open(), "a panic would end it");
    };
    carried_tests::damage(&bytes, || Ticker::new(0), Ticker::restore_saved, use_it);
}
