//! Fairness: every client that wants to send or receive makes progress within a bounded number of
//! turns.

use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, Config, Handler, Message};
use std::time::Duration;

/// Answers questions and reads everything.
#[derive(Default)]
struct Listener {
    heard: u64,
}

impl Handler for Listener {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.heard += 1;
        if message == Message::Text("question") {
            let _ = clients.send(id, "answer");
        }
    }
}

/// Runs turns until a peer has an answer.
fn turns_to_answer(sim: &mut Simulation<Listener>, peer: &Peer, most: u64) -> u64 {
    let before = sim.turns();
    peer.send("question");
    while peer.received().is_empty() {
        sim.step();
        assert!(sim.turns() - before <= most, "still no answer after {most} turns");
    }
    sim.turns() - before
}

#[test]
fn busy_clients_do_not_delay_quiet_ones() {
    for (events, readers) in [(4, 50), (1, 20), (1_024, 100)] {
        let mut config = Config::default();
        (config.read_buffer, config.events_per_turn) = (1_024, events);
        let mut sim = Simulation::new(1, config, Listener::default());
        let whisperer = sim.connect("/");
        let shouters: Vec<Peer> = (0..readers).map(|_| sim.connect("/")).collect();
        sim.run_until_idle();
        let word = "x".repeat(1_000);
        for shouter in &shouters {
            (0..300).for_each(|_| shouter.send(&word));
        }
        // Each readiness event is delivered once, and each client is read once per turn.
        let most = 2 * (readers as u64).div_ceil(events as u64) + 4;
        for _ in 0..20 {
            turns_to_answer(&mut sim, &whisperer, most);
        }
        let shouted = sim.handler().heard - 20;
        assert!(shouted > readers as u64, "{shouted}: no client has sent a lot");
        sim.run_until_idle();
        assert_eq!(sim.handler().heard, 20 + 300 * readers as u64);
    }
}

#[test]
fn a_message_for_many_does_not_delay_other_clients() {
    let mut sim = Simulation::new(1, Config::default(), Listener::default());
    let peers: Vec<Peer> = (0..6_000).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert_eq!(sim.clients().broadcast("news"), peers.len());
    // It is behind all other clients, which are written to in slices.
    let turns = turns_to_answer(&mut sim, &peers[5_999], 20);
    assert!(turns > 3, "{turns}: all in one turn");
    sim.run_until_idle();
    assert!(peers[..5_999].iter().all(|peer| peer.received_text() == ["news"]));
}

#[test]
fn a_client_that_answers_stays_longer_than_ticks_can_count() {
    let (hour, day) = (Duration::from_secs(60 * 60), Duration::from_secs(24 * 60 * 60));
    let mut config = Config::default();
    (config.limits.ping_interval, config.limits.idle_timeout) = (Some(hour), Some(2 * hour));
    let mut sim = Simulation::new(1, config, Listener::default());
    let peer = sim.connect("/");
    // Ticks wrap around after 49.7 days.
    sim.run_for(110 * day);
    assert!(peer.is_open());
    peer.stop_reading();
    sim.run_for(3 * hour);
    assert_eq!(sim.clients().len(), 0, "a client that does not answer is removed");
}
