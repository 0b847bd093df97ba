//! `Config::small` does what its documentation says, at both sides of each limit, and holds no more
//! than it says.

use crate::common::request;
use crate::kit::{audited_rest, audited_step, closed, connect, response, sim, status, turns_to_echo, unfinished};
use lariat::sim::Peer;
use lariat::{Config, Message, OwnedMessage, RemoteError, SendError};
use std::time::Duration;

const KIB: usize = 1 << 10;

#[test]
fn a_message_of_16_kib_is_echoed_and_one_more_byte_gets_1009() {
    let mut sim = sim(Config::small());
    let peers = connect(&mut sim, 2);
    let largest = vec![7; 16 * KIB];
    peers[0].send(&largest);
    peers[1].send(&vec![7; 16 * KIB + 1]);
    sim.run_until_idle();
    assert_eq!(peers[0].received(), [OwnedMessage::Binary(largest)]);
    let reason = peers[1].close_reason().expect("it is closed");
    assert_eq!(u16::from(reason.code()), 1009);
}

#[test]
fn a_head_of_4_kib_is_answered_and_one_more_byte_gets_431() {
    let mut sim = sim(Config::small());
    let padded = |length: usize| {
        let plain = request("/");
        let padding = length - plain.len() - "X: \r\n".len();
        plain.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(padding)))
    };
    for (length, expected) in [(4 * KIB, 101), (4 * KIB + 1, 431)] {
        let head = padded(length);
        assert_eq!(head.len(), length);
        let peer = sim.connect_raw();
        peer.send_raw(head.as_bytes());
        sim.run_for(Duration::from_millis(1));
        assert_eq!(status(&String::from_utf8(peer.received_raw()).expect("text")), expected, "{length}");
    }
}

#[test]
fn above_16_kib_of_unsent_bytes_a_client_is_not_read_and_above_64_kib_it_is_closed() {
    let mut sim = sim(Config::small());
    let peer = connect(&mut sim, 1).remove(0);
    let id = sim.clients().iter().next().expect("one client");
    peer.stop_reading();
    // The network between takes some. What is beyond waits in the server.
    let piece = vec![7; 4 * KIB];
    while sim.clients().buffered_amount(id) <= 16 * KIB {
        sim.clients().send(id, Message::Binary(&piece)).expect("there is room");
        sim.step_at_once();
    }
    peer.send("not read yet");
    (0..50).for_each(|_| sim.step_at_once());
    assert_eq!(sim.clients().stats().received.text.messages, 0);
    let refused = loop {
        let before = sim.clients().buffered_amount(id);
        assert!(before <= 64 * KIB, "{before}");
        match sim.clients().send(id, Message::Binary(&piece)) {
            Ok(()) => sim.step_at_once(),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::Full);
    sim.run_until_idle();
    assert_eq!(closed(&sim.clients().stats(), "slow_consumer", ""), 1);
}

#[test]
fn the_connection_after_1_000_gets_503() {
    let mut sim = sim(Config::small());
    let mut peers = connect(&mut sim, 1_000);
    assert_eq!(status(&response(&mut sim)), 503);
    peers.pop();
    sim.run_until_idle();
    assert_eq!(status(&response(&mut sim)), 101);
}

#[test]
fn the_257th_call_of_other_threads_that_waits_is_refused() {
    let sim = sim(Config::small());
    let remote = sim.remote();
    (0..256).for_each(|_| remote.run(|_| ()).expect("there is room"));
    assert_eq!(remote.run(|_| ()).expect_err("it is full").error, RemoteError::Full);
}

/// Half of the clients leave messages unfinished. The others request echoes and read nothing. One
/// more is served.
#[test]
fn a_thousand_clients_that_take_what_they_can_hold_less_than_the_budget() {
    let config = Config::small();
    let budget = config.memory_budget;
    let mut sim = sim(config);
    let good = connect(&mut sim, 1).remove(0);
    let greedy = connect(&mut sim, 999);
    let (unfinished_ones, deaf) = greedy.split_at(500);
    deaf.iter().for_each(Peer::stop_reading);
    unfinished_ones.iter().for_each(|peer| peer.send_raw(&unfinished(16 * KIB, 16 * KIB - 1)));
    let message = vec![7; 16 * KIB];
    let (mut most, mut longest) = (0, 0);
    for _ in 0..20 {
        deaf.iter().filter(|peer| peer.is_open() && peer.unsent() == 0).for_each(|peer| peer.send(&message));
        for _ in 0..10 {
            audited_step(&mut sim, budget);
            most = most.max(sim.footprint().held);
        }
        // Near the budget, a turn reads a few of the clients that wait, in order.
        longest = longest.max(turns_to_echo(&mut sim, &good, 2_000));
    }
    println!("at most {most} bytes of {budget} were held, and an echo took {longest} turns");
    assert!(most > budget / 2, "only {most} bytes were held");
    assert!(sim.clients().stats().budget_exhaustions > 0 || sim.clients().stats().pauses > 0);
    drop(greedy);
    audited_rest(&mut sim, budget);
    assert_eq!(sim.clients().len(), 1);
}

#[test]
fn messages_of_128_kib_fit_into_the_budget_as_its_documentation_says() {
    let mut config = Config::small();
    config.limits.max_message = 128 * KIB;
    config.limits.max_unsent = 256 * KIB;
    let mut sim = sim(config.clone());
    let peer = connect(&mut sim, 1).remove(0);
    for _ in 0..3 {
        peer.send(&vec![7; 128 * KIB]);
        audited_rest(&mut sim, config.memory_budget);
        assert_eq!(peer.received().len(), 1);
    }
    let stats = sim.clients().stats();
    assert_eq!((stats.evictions, stats.pauses), (0, 0));
}
