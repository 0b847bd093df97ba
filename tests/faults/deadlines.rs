//! Deadlines: everything that does not end by itself ends at a deadline and is counted under its
//! reason.

use crate::common::{binary, close, frame, request};
use crate::kit::{Echo, closed, connect, sim, tight, unfinished};
use lariat::sim::{Peer, Simulation};
use lariat::{CloseCode, Config, Limits};
use std::time::Duration;

fn config() -> Config {
    let mut config = Config::default();
    let limits = &mut config.limits;
    limits.handshake_timeout = Duration::from_secs(10);
    limits.message_timeout = Some(Duration::from_secs(20));
    limits.write_timeout = Some(Duration::from_secs(30));
    limits.close_timeout = Duration::from_secs(5);
    limits.ping_interval = Some(Duration::from_secs(50));
    limits.idle_timeout = Some(Duration::from_secs(120));
    config
}

/// Sends one byte a second, so that the client is never silent.
fn trickle(sim: &mut Simulation<Echo>, peers: &[Peer], bytes: &[u8], seconds: usize) {
    for byte in bytes.iter().cycle().take(seconds) {
        peers.iter().for_each(|peer| peer.send_raw(&[*byte]));
        sim.run_for(Duration::from_secs(1));
    }
}

#[track_caller]
fn has_ended(sim: &mut Simulation<Echo>, reason: &str, detail: &str, count: u64) {
    let stats = sim.clients().stats();
    assert_eq!(closed(&stats, reason, detail), count, "{:?}", stats.closed);
    let metric = format!("lariat_closed_total{{reason=\"{reason}\",detail=\"{detail}\"}} {count}");
    assert!(stats.to_prometheus().lines().any(|line| line == metric), "no {metric}");
}

#[track_caller]
fn is_empty(sim: &Simulation<Echo>) {
    let found = sim.footprint();
    assert_eq!((found.connections, found.held), (0, found.spares), "{found:?}");
}

#[test]
fn a_slow_request_head_gets_408() {
    let mut sim = sim(config());
    let slow: Vec<Peer> = (0..50).map(|_| sim.connect_raw()).collect();
    trickle(&mut sim, &slow, request("/").as_bytes(), 11);
    for peer in &slow {
        assert!(peer.received_raw().starts_with(b"HTTP/1.1 408 "));
        peer.hang_up();
    }
    sim.run_for(Duration::from_secs(6));
    let stats = sim.clients().stats();
    assert_eq!(stats.refused.get(&408), Some(&50));
    assert!(stats.to_prometheus().contains("\nlariat_refused_total{status=\"408\"} 50\n"));
    is_empty(&sim);
}

#[test]
fn five_hundred_silent_connections_end_at_the_handshake_timeout() {
    let mut sim = sim(config());
    let silent: Vec<Peer> = (0..500).map(|_| sim.connect_raw()).collect();
    sim.run_for(Duration::from_millis(9_900));
    assert_eq!(sim.footprint().connections, 500);
    sim.run_for(Duration::from_millis(200));
    has_ended(&mut sim, "timeout", "handshake", 500);
    is_empty(&sim);
    drop(silent);
}

#[test]
fn a_header_or_a_payload_that_never_ends_is_closed_with_1008() {
    let fragment = frame(0x01, b"fragment");
    for (start, rest) in [
        (Vec::new(), unfinished(5_000, 100)),
        (unfinished(5_000, 0), vec![0; 100]),
        (fragment.clone(), frame(0x00, &[7; 5_000])[..100].to_vec()),
        (fragment, frame(0x00, b"").repeat(20)),
        (frame(0x89, b"ping")[..2].to_vec(), Vec::new()),
    ] {
        let mut sim = sim(config());
        let slow = connect(&mut sim, 50);
        slow.iter().for_each(|peer| peer.send_raw(&start));
        trickle(&mut sim, &slow, &rest[..rest.len().min(20)], 20);
        sim.run_for(Duration::from_secs(30));
        has_ended(&mut sim, "timeout", "message", 50);
        for peer in slow {
            assert_eq!(u16::from(peer.close_reason().expect("the connection has ended").code()), 1008);
        }
        is_empty(&sim);
    }
}

#[test]
fn a_close_without_an_answer_ends_at_the_close_timeout() {
    let mut sim = sim(config());
    let deaf: Vec<Peer> = (0..50).map(|_| sim.connect_raw()).collect();
    deaf.iter().for_each(|peer| peer.send_raw(request("/").as_bytes()));
    sim.run_until_idle();
    let ids: Vec<_> = sim.clients().iter().collect();
    ids.iter().for_each(|id| sim.clients().close(*id, CloseCode::Normal, "").expect("it is open"));
    sim.run_for(Duration::from_millis(4_900));
    assert_eq!(sim.clients().stats().connections.closing, 50);
    // Other messages do not move the deadline.
    deaf.iter().for_each(|peer| peer.send_raw(&binary(b"still here")));
    sim.run_for(Duration::from_millis(200));
    has_ended(&mut sim, "timeout", "close", 50);
    is_empty(&sim);
}

/// These clients have sent a Close and do not end the connection.
#[test]
fn a_draining_connection_ends_at_the_close_timeout() {
    let mut sim = sim(config());
    let lingering: Vec<Peer> = (0..50).map(|_| sim.connect_raw()).collect();
    lingering.iter().for_each(|peer| peer.send_raw(request("/").as_bytes()));
    sim.run_until_idle();
    lingering.iter().for_each(|peer| peer.send_raw(&close(1000, "")));
    sim.run_for(Duration::from_millis(4_900));
    assert_eq!(sim.clients().stats().connections.draining, 50);
    sim.run_for(Duration::from_millis(200));
    has_ended(&mut sim, "peer", "1000", 50);
    is_empty(&sim);
}

#[test]
fn a_peer_that_accepts_nothing_ends_at_the_write_timeout() {
    let mut sim = sim(tight(64 << 20));
    let deaf = connect(&mut sim, 50);
    deaf.iter().for_each(Peer::stop_reading);
    (0..10).for_each(|_| deaf.iter().for_each(|peer| peer.send(&vec![7; 60_000])));
    sim.run_for(Duration::from_secs(29));
    assert_eq!(sim.clients().len(), 50);
    sim.run_for(Duration::from_secs(2));
    has_ended(&mut sim, "timeout", "write", 50);
    is_empty(&sim);
}

#[test]
fn half_open_peers_get_pings_and_end_at_the_idle_timeout() {
    let mut sim = sim(config());
    let gone: Vec<Peer> = (0..500).map(|_| sim.connect_raw()).collect();
    gone.iter().for_each(|peer| peer.send_raw(request("/").as_bytes()));
    sim.run_for(Duration::from_secs(119));
    assert_eq!(sim.clients().len(), 500);
    let pings = |peer: &Peer| peer.received_raw().windows(2).filter(|bytes| *bytes == b"\x89\0").count();
    assert!(gone.iter().all(|peer| pings(peer) == 2));
    sim.run_for(Duration::from_secs(7));
    has_ended(&mut sim, "timeout", "idle", 500);
    is_empty(&sim);
}

#[test]
fn a_connection_ends_at_its_maximum_lifetime() {
    let mut config = config();
    config.limits.max_lifetime = Some(Duration::from_secs(60));
    let mut sim = sim(config);
    let peers = connect(&mut sim, 50);
    sim.run_for(Duration::from_secs(59));
    assert!(peers.iter().all(Peer::is_open));
    sim.run_for(Duration::from_secs(2));
    assert!(peers.iter().all(|peer| peer.close_reason().is_some_and(|reason| reason.code() == CloseCode::Away)));
    has_ended(&mut sim, "lifetime", "", 50);
    is_empty(&sim);
}

/// Everything that can have a deadline has one by default.
#[test]
fn no_deadline_is_off_by_default() {
    let limits = Limits::default();
    let all = [limits.ping_interval, limits.idle_timeout, limits.message_timeout, limits.write_timeout];
    assert!(all.iter().all(Option::is_some));
}

/// The reset comes in every state, at every point.
#[test]
fn a_reset_in_any_state_leaves_nothing_behind() {
    let request = request("/");
    let said: [Vec<u8>; 8] = [
        Vec::new(),
        request.as_bytes()[..60].to_vec(),
        request.clone().into_bytes(),
        [request.as_bytes(), &frame(0x82, b"")[..1]].concat(),
        [request.as_bytes(), &unfinished(50_000, 20_000)].concat(),
        [request.as_bytes(), &frame(0x01, b"fragment")].concat(),
        [request.as_bytes(), &binary(&[7; 60_000]).repeat(20)].concat(),
        [request.as_bytes(), &close(1000, "")].concat(),
    ];
    let mut sim = sim(tight(64 << 20));
    for round in 0..3 {
        let peers: Vec<Peer> = (0..400).map(|_| sim.connect_raw()).collect();
        for (index, peer) in peers.iter().enumerate() {
            peer.send_raw(&said[index % said.len()]);
            if index % 3 == 0 {
                peer.stop_reading();
            }
        }
        if round > 0 {
            sim.run_until_idle();
        }
        // Some are closed by us: state Closing.
        let ids: Vec<_> = sim.clients().iter().step_by(5).collect();
        ids.iter().for_each(|id| sim.clients().close(*id, CloseCode::Normal, "").expect("it is open"));
        if round > 1 {
            sim.run_until_idle();
        }
        peers.iter().for_each(Peer::reset);
        sim.run_until_idle();
        is_empty(&sim);
    }
}
