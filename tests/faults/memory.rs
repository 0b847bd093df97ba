//! Memory: peers make the server hold only what they have sent, and never more than the budget.

use crate::common::frame;
use crate::kit::{audited_rest, audited_step, connect, sim, tight, turns_to_echo, unfinished};
use lariat::sim::{Peer, Simulation};
use lariat::{Closures, Config, Drain};

const MIB: usize = 1 << 20;

/// Each client requests a gibibyte of echoes and reads none of it.
#[test]
fn two_hundred_clients_that_never_read_stay_within_the_budget_and_others_are_served() {
    const EACH: usize = 1 << 30;
    let config = tight(16 * MIB);
    let mut sim = sim(config.clone());
    let deaf = connect(&mut sim, 200);
    let good = connect(&mut sim, 1).remove(0);
    deaf.iter().for_each(Peer::stop_reading);
    let message = vec![7; 64 << 10];
    let mut asked = vec![0; deaf.len()];
    let mut quiet = 0;
    // This runs until no client has had room for a request for a while.
    while quiet < 20 {
        quiet += 1;
        for (peer, asked) in deaf.iter().zip(&mut asked) {
            if *asked < EACH && peer.unsent() == 0 && peer.is_open() {
                peer.send(&message);
                *asked += message.len();
                quiet = 0;
            }
        }
        audited_step(&mut sim, config.memory_budget);
        turns_to_echo(&mut sim, &good, 200);
    }
    let stats = sim.clients().stats();
    assert!(stats.buffered > config.memory_budget / 2, "only {} bytes are held: the clients did read", stats.buffered);
    assert!(asked.iter().all(|asked| *asked < 2 * MIB), "the server continues to read clients that do not read");
    assert_eq!(stats.received.text.messages, good.received_count());
    // The remaining clients accept nothing for too long.
    sim.run_for(config.limits.write_timeout.expect("one") + config.limits.close_timeout);
    assert_eq!(sim.clients().len(), 1);
}

#[test]
fn a_thousand_announced_mebibytes_of_which_a_kibibyte_arrives_need_a_kibibyte_each() {
    let mut sim = sim(tight(64 * MIB));
    let hoarders = connect(&mut sim, 1_000);
    let floor = sim.footprint().held;
    hoarders.iter().for_each(|peer| peer.send_raw(&unfinished(MIB, 1 << 10)));
    audited_rest(&mut sim, 64 * MIB);
    let held = sim.footprint().held - floor;
    // The bytes that arrived, up to the same again because buffers double, and the box that holds
    // them.
    assert!((1_000 << 10..3_000 << 10).contains(&held), "{held} bytes are held for 1,000 KiB");
    drop(hoarders);
    sim.run_until_idle();
    let found = sim.footprint();
    assert_eq!((found.connections, found.held), (0, found.spares));
}

#[test]
fn a_hundred_thousand_empty_fragments_need_no_memory() {
    let mut sim = sim(tight(64 * MIB));
    let peer = connect(&mut sim, 1).remove(0);
    let floor = sim.footprint().held;
    peer.send_raw(&frame(0x01, b""));
    let empty = frame(0x00, b"").repeat(10_000);
    for _ in 0..10 {
        peer.send_raw(&empty);
        audited_rest(&mut sim, 64 * MIB);
        let held = sim.footprint().held - floor;
        assert!(held < 1 << 10, "{held} bytes are held for empty fragments");
    }
    peer.send_raw(&frame(0x80, b"end"));
    sim.run_until_idle();
    assert_eq!(peer.received_text(), ["end"], "{:?}", sim.handler().closed);
}

/// A thousand clients send an endless head, byte by byte.
#[test]
fn incomplete_heads_need_only_the_memory_of_their_bytes() {
    let mut sim = sim(tight(64 * MIB));
    let slow: Vec<Peer> = (0..1_000).map(|_| sim.connect_raw()).collect();
    for _ in 0..4 {
        slow.iter().for_each(|peer| peer.send_raw(b"GET / HTTP/1.1\r\nHost: a\r\nX-Padding: "));
        slow.iter().for_each(|peer| peer.send_raw(&[b'x'; 200]));
        slow.iter().for_each(|peer| peer.send_raw(b"\r\n"));
        audited_rest(&mut sim, 64 * MIB);
    }
    let found = sim.footprint();
    assert!(found.buffers < 1_000 * 2_600, "{} bytes for heads of 950", found.buffers);
}

/// One message for 10,000 clients. Copies of it would need twice the budget.
#[test]
fn a_message_for_all_clients_is_shared_when_memory_runs_short() {
    const MEMBERS: usize = 10_000;
    let budget = 10 * MIB;
    let mut sim = Simulation::new(1, tight(budget), Closures::<()>::new());
    let peers = connect(&mut sim, MEMBERS);
    let text = "x".repeat(1_900);
    assert!(text.len() * MEMBERS > budget);
    assert_eq!(sim.clients().broadcast(&text), MEMBERS);
    audited_rest(&mut sim, budget);
    assert_eq!(sim.clients().stats().evictions, 0);
    assert!(peers.iter().all(|peer| peer.received_text() == [text.as_str()]));
}

/// Until it is written, the next turns have a limited number of writes.
#[test]
fn a_short_message_for_all_clients_needs_less_than_200_bytes_each() {
    const MEMBERS: usize = 10_000;
    let mut sim = Simulation::new(1, Config::default(), Closures::<()>::new());
    let _peers = connect(&mut sim, MEMBERS);
    let floor = sim.footprint().held;
    assert_eq!(sim.clients().broadcast("a short message"), MEMBERS);
    let each = (sim.footprint().held - floor) / MEMBERS;
    println!("{each} bytes for each");
    assert!(each < 200, "{each} bytes for each");
}

/// The budget covers a message whose copy the application holds, its echo, and the next message.
#[test]
fn the_smallest_budget_is_enough_for_one_client_that_uses_its_limits() {
    let mut config = tight(0);
    config.limits.max_unsent = 2 * config.limits.max_message;
    config.memory_budget = config.least_memory_budget();
    assert_eq!(config.validate(), Ok(()));
    let mut sim = sim(config.clone());
    let peer = connect(&mut sim, 1).remove(0);
    let message = vec![7; config.limits.max_message];
    for _ in 0..5 {
        peer.send(&message);
        audited_rest(&mut sim, config.memory_budget);
        assert_eq!(peer.received().len(), 1);
    }
    let stats = sim.clients().stats();
    assert_eq!((stats.evictions, stats.pauses), (0, 0));
    config.memory_budget -= 1;
    assert!(config.validate().is_err());
}

/// 20,000 Close frames at once would need megabytes.
#[test]
fn closing_all_clients_is_spread_over_turns() {
    let mut sim = sim(Config::default());
    let peers = connect(&mut sim, 20_000);
    sim.clients().shutdown(Drain::default());
    let mut most = 0;
    while sim.outcome().is_none() {
        sim.step_at_once();
        most = most.max(sim.footprint().buffers);
    }
    assert!(most < MIB, "{most} bytes of Close frames");
    assert!(peers.iter().all(|peer| peer.close_reason().is_some_and(|reason| u16::from(reason.code()) == 1001)));
    assert!(sim.outcome().is_some_and(|outcome| outcome.dropped == 0));
}

/// Contexts are negotiated only while memory is ample, also if their own limit is high.
#[cfg(feature = "deflate")]
#[test]
fn compression_contexts_never_make_memory_run_short() {
    let budget = 16 * MIB;
    let mut config = Config::default();
    config.memory_budget = budget;
    config.deflate.iter_mut().for_each(|deflate| {
        deflate.context_takeover = lariat::Takeover::Both;
        deflate.threshold = 10;
    });
    let mut sim = sim(config);
    let peers = connect(&mut sim, 100);
    let contexts = sim.footprint().contexts;
    assert!((MIB..budget * 3 / 4).contains(&contexts), "{contexts} bytes are set aside");
    for round in 0..3 {
        let text = format!("{{\"round\":{round},\"price\":100}}").repeat(20);
        peers.iter().for_each(|peer| peer.send(&text));
        audited_rest(&mut sim, budget);
        assert!(peers.iter().all(|peer| peer.received_text() == [text.as_str()]));
    }
    let stats = sim.clients().stats();
    assert_eq!((stats.evictions, stats.refused.len()), (0, 0));
    drop(peers);
    sim.run_until_idle();
    assert_eq!(sim.footprint().contexts, 0);
}

/// The budget also bounds what an application sends to clients that do not read.
#[test]
fn sending_to_clients_that_do_not_read_stays_within_the_budget() {
    const ROUNDS: u64 = 40;
    let budget = 24 * MIB;
    let mut sim = Simulation::new(1, tight(budget), Closures::<()>::new());
    let deaf = connect(&mut sim, 50);
    let good = connect(&mut sim, 1).remove(0);
    deaf.iter().for_each(Peer::stop_reading);
    let ids: Vec<_> = sim.clients().iter().collect();
    let mut accepted = 0;
    for round in 0..ROUNDS {
        for id in &ids {
            accepted += u64::from(sim.clients().send(*id, &[round as u8; 60_000]).is_ok());
        }
        audited_rest(&mut sim, budget);
    }
    assert!(accepted > 40 + 50 * 6, "the clients that do not read were closed before they held anything");
    let stats = sim.clients().stats();
    assert!(stats.evictions > 0 && stats.budget_exhaustions == 1, "{stats:?}");
    assert_eq!(good.received_count(), ROUNDS, "a client that reads gets everything");
}
