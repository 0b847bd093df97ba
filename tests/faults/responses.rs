//! HTTP responses: one that was not written whole ends with a reset, is logged and counted, and
//! bodies count against the memory budget.

use crate::common::{listen_to_log, logged};
use crate::kit::{audited_rest, connect, status, tight, turns_to_echo};
use lariat::http::Response;
use lariat::protocol::Rejection;
use lariat::sim::{Peer, Simulation};
use lariat::{Answer, Clients, CloseReason, Closures, Config, Handler, SendError};
use std::time::Duration;

const MIB: usize = 1 << 20;
const BUDGET: usize = 64 * MIB;

/// Answers every plain request with a body whose size the path gives, and echoes messages.
fn pages(config: Config) -> Simulation<Closures<()>> {
    let handler = Closures::new()
        .on_request(|_, _, request| match request.path().trim_start_matches('/').parse() {
            Ok(size) => Response::new(vec![b'x'; size]).into(),
            Err(_) => Answer::Upgrade(Default::default()),
        })
        .on_message(|clients: &mut Clients<()>, id, message| {
            let _ = clients.send(id, message);
        });
    Simulation::new(1, config, handler)
}

/// Connects a client that requests a body of this size and does not read it.
fn deaf<H: Handler>(sim: &mut Simulation<H>, size: usize) -> Peer {
    let peer = sim.connect_raw();
    peer.stop_reading();
    peer.send_raw(format!("GET /{size} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    peer
}

/// Returns the number of bytes that the log says were held when the budget was used up.
fn held_at_exhaustion(lines: &[String]) -> usize {
    let line = lines.iter().find(|line| line.contains("the memory budget is used up")).expect("a warning");
    let (_, rest) = line.split_once("used up: ").expect("the bytes");
    rest.split(' ').next().and_then(|bytes| bytes.parse().ok()).expect("a number")
}

fn reset() -> Option<CloseReason> {
    Some(CloseReason::Io(std::io::ErrorKind::ConnectionReset))
}

#[test]
fn a_response_that_the_peer_does_not_take_ends_with_a_reset_and_is_logged_and_counted() {
    listen_to_log();
    let mut sim = pages(Config::default());
    let peers = [deaf(&mut sim, MIB), deaf(&mut sim, MIB)];
    sim.run_until_idle();
    assert!(peers.iter().all(|peer| peer.close_reason().is_none()), "too early");
    sim.run_for(Config::default().limits.close_timeout + Duration::from_millis(100));
    for peer in &peers {
        assert_eq!((peer.close_reason(), peer.has_heard_end()), (reset(), false));
    }
    let lines = logged();
    let [line] = &lines[..] else { panic!("one line for both: {lines:?}") };
    let known = peers.iter().any(|peer| line.contains(&peer.addr().to_string()));
    assert!(known && line.starts_with("WARN responses cut off: 1; the last to"), "{line}");
    let window = 256 << 10;
    let head = "the response with 200 OK was cut off after ";
    assert!(
        line.contains(&format!("{head}{window} of 1048"))
            && line.ends_with("the peer did not read within write_timeout"),
        "{line}"
    );
    let stats = sim.clients().stats();
    assert_eq!((stats.cut_off, stats.refused[&200]), (2, 2));
    assert!(stats.to_prometheus().contains("\nlariat_responses_cut_off_total 2\n"));
}

#[test]
fn a_whole_response_ends_with_fin() {
    listen_to_log();
    let mut sim = pages(Config::default());
    let peer = deaf(&mut sim, MIB);
    peer.resume_reading();
    sim.run_for(Duration::from_secs(10));
    assert!(peer.has_heard_end());
    assert!(peer.received_raw().len() > MIB);
    assert_eq!((logged(), sim.clients().stats().cut_off), (vec![], 0));
}

/// The kernel has all of it, so it is sent even if the peer is slow.
#[test]
fn a_response_that_the_kernel_has_taken_is_not_cut_off() {
    let mut sim = pages(Config::default());
    let peer = deaf(&mut sim, 1_000);
    sim.run_for(Duration::from_secs(10));
    peer.resume_reading();
    sim.run_until_idle();
    assert!(peer.has_heard_end());
    assert_eq!(sim.clients().stats().cut_off, 0);
}

#[test]
fn a_peer_that_disconnects_within_its_response_is_counted_but_not_reported() {
    listen_to_log();
    let mut sim = pages(Config::default());
    let peer = deaf(&mut sim, MIB);
    sim.run_until_idle();
    peer.reset();
    sim.run_until_idle();
    assert_eq!((logged(), sim.clients().stats().cut_off), (vec![], 1));
}

#[test]
fn response_bodies_stay_within_the_budget_and_evicted_ones_end_with_a_reset() {
    listen_to_log();
    let mut sim = pages(tight(BUDGET));
    let good = connect(&mut sim, 1).remove(0);
    let mut peers = Vec::new();
    for _ in 0..10 {
        peers.push(deaf(&mut sim, 10 * MIB));
        audited_rest(&mut sim, BUDGET);
    }
    let lines = logged();
    let held = held_at_exhaustion(&lines);
    assert!(held <= BUDGET, "{held} bytes were held, of {BUDGET}");
    let stats = sim.clients().stats();
    let ended = peers.iter().filter(|peer| peer.close_reason() == reset()).count();
    assert!((4..9).contains(&ended), "{ended} of the responses fit in");
    assert_eq!((stats.cut_off, stats.evictions), (ended as u64, ended as u64));
    assert!(peers.iter().all(|peer| !peer.has_heard_end()));
    assert!(lines.iter().any(|line| line.contains("cut off") && line.contains("to free memory")), "{lines:?}");
    turns_to_echo(&mut sim, &good, 5);
}

/// Evicting others for it would not help.
#[test]
fn a_response_for_which_there_is_no_room_gets_503_and_one_larger_than_the_budget_500() {
    let mut sim = pages(tight(BUDGET));
    let holder = deaf(&mut sim, 30 * MIB);
    audited_rest(&mut sim, BUDGET);
    for (size, expected) in [(40 * MIB, 503), (70 * MIB, 500), (20 * MIB, 200)] {
        let peer = deaf(&mut sim, size);
        peer.resume_reading();
        audited_rest(&mut sim, BUDGET);
        assert_eq!(status(&String::from_utf8_lossy(&peer.received_raw())), expected);
    }
    assert_eq!((holder.close_reason(), sim.clients().stats().evictions), (None, 0));
    // HEAD has no body.
    let peer = sim.connect_raw();
    peer.send_raw(format!("HEAD /{} HTTP/1.1\r\nHost: a\r\n\r\n", 70 * MIB).as_bytes());
    audited_rest(&mut sim, BUDGET);
    assert_eq!(status(&String::from_utf8_lossy(&peer.received_raw())), 200);
}

#[test]
fn a_later_response_needs_room_as_well() {
    let handler = Closures::new().on_request(|clients: &mut Clients<()>, id, _| {
        clients.set_timer(Duration::from_millis(1), id.to_u64());
        Answer::Later
    });
    let handler = handler.on_timer(|clients, _, token| {
        let id = lariat::ClientId::from_u64(token).expect("an id");
        let outcome = clients.answer(id, Response::new(vec![b'x'; 70 * MIB]));
        assert!(matches!(outcome, Err(SendError::BadAnswer(Rejection::BadAnswer(_)))), "{outcome:?}");
    });
    let mut sim = Simulation::new(1, tight(BUDGET), handler);
    let peer = deaf(&mut sim, 0);
    peer.resume_reading();
    sim.run_for(Duration::from_millis(10));
    assert_eq!(status(&String::from_utf8_lossy(&peer.received_raw())), 500);
}
