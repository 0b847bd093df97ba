//! Limits on how much a client may send: a client that sends more is delayed and loses nothing, or
//! is closed.

use crate::common::{binary, frame};
use crate::kit::{Echo, closed, connect, sim};
use lariat::sim::{Peer, Simulation};
use lariat::{CloseReason, Config, Excess, Rates};
use std::time::Duration;

fn config(messages: Option<u32>, bytes: Option<u32>, excess: Excess) -> Config {
    let mut config = Config::default();
    (config.rates.messages_per_second, config.rates.bytes_per_second) = (messages, bytes);
    config.rates.excess = excess;
    config
}

/// Returns how many of its messages come back within this many seconds.
fn heard(sim: &mut Simulation<Echo>, peer: &Peer, seconds: u64) -> u64 {
    let before = peer.received_count();
    sim.run_for(Duration::from_secs(seconds));
    peer.received_count() - before
}

#[test]
fn by_default_there_is_no_limit() {
    assert_eq!(Config::default().rates, Rates::default());
    let mut sim = sim(Config::default());
    let peer = connect(&mut sim, 1).remove(0);
    peer.count_only();
    peer.send_raw(&binary(b"x").repeat(100_000));
    sim.run_until_idle();
    assert_eq!((peer.received_count(), sim.elapsed()), (100_000, Duration::ZERO));
}

#[test]
fn messages_beyond_the_rate_are_delayed_and_not_lost() {
    for rate in [5, 100, 2_000] {
        let mut sim = sim(config(Some(rate), None, Excess::Delay));
        let greedy = connect(&mut sim, 1).remove(0);
        greedy.count_only();
        let count = u64::from(rate) * 60;
        greedy.send_raw(&binary(b"0123456789").repeat(count as usize));
        // A burst of one second is allowed, and then the rest of one read.
        let first = heard(&mut sim, &greedy, 0);
        assert!((rate.into()..=u64::from(rate) + 256).contains(&first), "{first} at once, at {rate} in a second");
        let rest = heard(&mut sim, &greedy, 50) + first;
        let expected = u64::from(rate) * 51;
        assert!(rest.abs_diff(expected) * 100 <= expected * 5 + 1_600, "{rest} in 50 seconds, at {rate} in a second");
        heard(&mut sim, &greedy, 30);
        assert_eq!((greedy.received_count(), greedy.is_open()), (count, true));
        assert!(sim.clients().stats().throttled > 0);
    }
}

#[test]
fn bytes_beyond_the_rate_are_delayed_and_not_lost() {
    for rate in [1_000_u32, 50_000, 1_000_000] {
        let mut sim = sim(config(None, Some(rate), Excess::Delay));
        let greedy = connect(&mut sim, 1).remove(0);
        greedy.count_only();
        let message = binary(&[7; 494]);
        assert_eq!(message.len(), 502);
        let count = rate as usize * 60 / message.len();
        greedy.send_raw(&message.repeat(count));
        heard(&mut sim, &greedy, 0);
        heard(&mut sim, &greedy, 50);
        let (bytes, expected) = (greedy.received_count() as usize * message.len(), rate as usize * 51);
        assert!(
            bytes.abs_diff(expected) * 100 <= expected * 5 + 100_000,
            "{bytes} in 50 seconds, at {rate} in a second"
        );
        heard(&mut sim, &greedy, 30);
        assert_eq!((greedy.received_count(), greedy.is_open()), (count as u64, true));
    }
}

#[test]
fn a_client_within_the_rate_is_not_delayed() {
    let mut sim = sim(config(Some(10), Some(2_000), Excess::Close));
    let peer = connect(&mut sim, 1).remove(0);
    for _ in 0..300 {
        peer.send("a hundred bytes in ten seconds are within the limit");
        sim.run_for(Duration::from_millis(100));
    }
    assert_eq!(peer.received_count(), 300);
    assert_eq!(sim.clients().stats().throttled, 0);
}

/// Pings count as messages, and fragments count their bytes.
#[test]
fn pings_and_fragments_count_too() {
    for (bytes, config) in [
        (frame(0x89, b"").repeat(1_000), config(Some(50), None, Excess::Close)),
        (frame(0x8a, b"").repeat(1_000), config(Some(50), None, Excess::Close)),
        ([frame(0x01, b""), frame(0x00, b"").repeat(5_000)].concat(), config(None, Some(10_000), Excess::Close)),
    ] {
        let mut sim = sim(config);
        let peer = connect(&mut sim, 1).remove(0);
        peer.send_raw(&bytes);
        sim.run_until_idle();
        assert_eq!(closed(&sim.clients().stats(), "limit", "rate"), 1);
        assert_eq!(u16::from(peer.close_reason().expect("it is closed").code()), 1008);
        assert_eq!(sim.handler().closed, [CloseReason::TooFast]);
    }
}

#[test]
fn one_client_is_delayed_and_the_others_are_not() {
    let mut sim = sim(config(Some(10), None, Excess::Delay));
    let peers = connect(&mut sim, 3);
    (0..100).for_each(|_| peers[0].send("too much"));
    sim.run_for(Duration::from_secs(1));
    assert!(peers[0].received_count() < 60);
    for peer in &peers[1..] {
        (0..9).for_each(|_| peer.send("not too much"));
    }
    sim.run_until_idle();
    assert!(peers[1..].iter().all(|peer| peer.received_count() == 9));
}

/// The server does not read, so the client is not silent.
#[test]
fn a_delayed_client_is_not_silent() {
    let mut config = config(Some(1), None, Excess::Delay);
    config.limits.ping_interval = Some(Duration::from_secs(2));
    config.limits.idle_timeout = Some(Duration::from_secs(5));
    let mut sim = sim(config);
    let peer = connect(&mut sim, 1).remove(0);
    peer.send_raw(&binary(b"").repeat(100));
    sim.run_for(Duration::from_secs(120));
    assert_eq!((peer.received_count(), peer.is_open()), (100, true), "{:?}", sim.handler().closed);
}

/// A delay of minutes does not delay the end.
#[test]
fn a_delayed_client_can_be_closed() {
    let mut sim = sim(config(Some(1), None, Excess::Delay));
    let peer = connect(&mut sim, 1).remove(0);
    (0..100).for_each(|_| peer.send("too much"));
    sim.run_for(Duration::from_secs(1));
    let id = sim.clients().iter().next().expect("it is here");
    sim.clients().close(id, lariat::CloseCode::Normal, "enough").expect("it is open");
    sim.run_for(Duration::from_secs(1));
    assert!(matches!(sim.handler().closed[..], [CloseReason::Local(_)]), "{:?}", sim.handler().closed);
}
