//! Nobody starves: whatever others do, who has something to say or to hear gets on within a bounded
//! number of turns.

use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, Config, Handler, Message};
use std::time::Duration;

/// Answers those who ask, and hears everything.
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

/// Turns until a peer has got an answer.
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
fn those_who_shout_do_not_drown_those_who_whisper() {
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
        // Everybody's readiness is told once, and everybody reads once a turn.
        let most = 2 * (readers as u64).div_ceil(events as u64) + 4;
        for _ in 0..20 {
            turns_to_answer(&mut sim, &whisperer, most);
        }
        let shouted = sim.handler().heard - 20;
        assert!(shouted > readers as u64, "{shouted}: nobody has shouted");
        sim.run_until_idle();
        assert_eq!(sim.handler().heard, 20 + 300 * readers as u64);
    }
}

#[test]
fn a_message_for_many_does_not_hold_up_the_others() {
    let mut sim = Simulation::new(1, Config::default(), Listener::default());
    let peers: Vec<Peer> = (0..6_000).map(|_| sim.connect("/")).collect();
    sim.run_until_idle();
    assert_eq!(sim.clients().broadcast("news"), peers.len());
    // It is behind all the others, who are written to in slices.
    let turns = turns_to_answer(&mut sim, &peers[5_999], 20);
    assert!(turns > 3, "{turns}: all in one turn");
    sim.run_until_idle();
    assert!(peers[..5_999].iter().all(|peer| peer.received_text() == ["news"]));
}

#[test]
fn a_client_that_answers_stays_for_longer_than_ticks_count() {
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
    assert_eq!(sim.clients().len(), 0, "and one that does not, does not");
}
