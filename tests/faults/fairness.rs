//! Fairness: no client waits long because of another one.

use crate::common::text;
use crate::kit::{connect, sim, tight, turns_to_echo};
use lariat::Config;
use lariat::sim::Peer;

#[test]
fn a_client_that_pipelines_a_million_frames_delays_no_other_client() {
    let mut sim = sim(tight(64 << 20));
    let good = connect(&mut sim, 10);
    let noisy = connect(&mut sim, 1).remove(0);
    noisy.count_only();
    noisy.send_raw(&text("x").repeat(1_000_000));
    let mut echoes = 0;
    while noisy.received_count() < 900_000 {
        for peer in &good {
            turns_to_echo(&mut sim, peer, 5);
            echoes += 1;
        }
    }
    assert!(echoes >= 30, "only {echoes} echoes: the flood ended too soon");
    sim.run_until_idle();
    assert_eq!(noisy.received_count(), 1_000_000);
}

#[test]
fn ten_thousand_new_connections_do_not_stop_existing_ones() {
    let mut sim = sim(Config::default());
    let good = connect(&mut sim, 10);
    let storm: Vec<Peer> = (0..10_000).map(|_| sim.connect("/")).collect();
    let (mut echoes, mut turns) = (0, 0);
    good[0].send("hello");
    while sim.clients().len() < 10_010 {
        let before = sim.clients().stats().accepted;
        sim.step_at_once();
        let accepted = sim.clients().stats().accepted - before;
        assert!(accepted <= 256, "{accepted} were accepted in one turn");
        turns += 1;
        // The loop takes 1,024 events from the kernel in a turn, and each new connection causes
        // two.
        assert!(turns <= 2 * 10 + 6, "no echo after {turns} turns");
        if !good[0].received().is_empty() {
            good[0].send("hello");
            (echoes, turns) = (echoes + 1, 0);
        }
    }
    assert!(echoes >= 2, "all were accepted within {echoes} echoes");
    sim.run_until_idle();
    assert!(storm.iter().all(Peer::is_open));
}

#[test]
fn a_publish_to_all_clients_is_spread_over_turns() {
    let mut sim = sim(Config::default());
    let everybody = connect(&mut sim, 10_000);
    let before = sim.clients().stats().writes;
    assert_eq!(sim.clients().broadcast("news"), 10_000);
    let mut slices = 0;
    while !sim.is_idle() {
        let writes = sim.clients().stats().writes;
        sim.step_at_once();
        let slice = sim.clients().stats().writes - writes;
        assert!(slice <= 1_024, "{slice} writes in one turn");
        slices += u64::from(slice > 0);
    }
    assert!(slices >= 10, "{slices} slices");
    assert_eq!(sim.clients().stats().writes - before, 10_000);
    assert!(everybody.iter().all(|peer| peer.received_text() == ["news"]));
}

/// Clients that are not read do not cost other clients any turns.
#[test]
fn clients_that_do_not_read_cost_no_turns() {
    let mut sim = sim(tight(64 << 20));
    let deaf = connect(&mut sim, 100);
    deaf.iter().for_each(Peer::stop_reading);
    for _ in 0..100 {
        deaf.iter().for_each(|peer| peer.send(&vec![7; 20_000]));
        sim.run_until_idle();
    }
    assert!(deaf.iter().all(|peer| peer.unsent() > 0), "the clients are still read");
    let turns = sim.turns();
    sim.run_for(std::time::Duration::from_secs(10));
    assert!(sim.turns() - turns < 20, "{} turns without work", sim.turns() - turns);
}
