//! Lessons on backpressure: what a page learns of a client that does not read, and of one that is
//! not read.

use lariat::sim::{Peer, Simulation};
use lariat::{Config, OwnedMessage};
use lariat_cli::site::Slow;
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn sim() -> Simulation<Slow> {
    Simulation::new(1, Config::default(), Slow::default())
}

fn told(peer: &Peer) -> Vec<Value> {
    let json = |message| match message {
        OwnedMessage::Text(text) => serde_json::from_str(text.as_str()).expect("JSON"),
        OwnedMessage::Binary(bytes) => panic!("{bytes:?}"),
    };
    peer.received().into_iter().map(json).collect()
}

/// Lets a client read nothing for some time. Returns the last report and what came at the end, and
/// the numbers that the client gets when it reads again.
fn fed(policy: &str) -> (Value, Option<Value>, Vec<u64>) {
    let mut sim = sim();
    let page = sim.connect("/learn/slow?for=a");
    let other = sim.connect("/learn/slow?for=b");
    sim.run_until_idle();
    assert_eq!((told(&page), told(&other)), (vec![json!("ready")], vec![json!("ready")]));
    let feed = sim.connect(&format!("/learn/slow?for=a&feed={policy}"));
    feed.stop_reading();
    sim.run_for(3 * SECOND);
    let reports = told(&page);
    assert_eq!(told(&other), Vec::<Value>::new(), "reports are for those with the token");
    let last = reports.iter().rfind(|report| report["fed"].is_object()).expect("reports")["fed"].clone();
    let over = reports.iter().find(|report| report["over"].is_object()).cloned();
    feed.resume_reading();
    sim.run_for(3 * SECOND);
    let number = |text: &String| text.trim().parse().expect("a number");
    (last, over, feed.received_text().iter().map(number).collect())
}

#[test]
fn a_client_that_does_not_read_is_closed_or_misses_what_the_policy_says() {
    let (last, over, _) = fed("close");
    assert_eq!(over, Some(json!({"over": {"reason": "slow_consumer"}})), "{last}");
    let (last, over, got) = fed("newest");
    assert!(over.is_none() && last["lost"].as_u64() > Some(0) && last["sent"] == 120, "{last}");
    assert_eq!(got.len() as u64 + last["lost"].as_u64().expect("a number"), 120);
    assert!(got.last() < Some(&120), "the newest were dropped: {got:?}");
    let (last, over, got) = fed("latest");
    assert!(over.is_none() && last["lost"].as_u64() > Some(0) && last["sent"] == 120, "{last}");
    assert_eq!(got.len() as u64 + last["lost"].as_u64().expect("a number"), 120, "{last}: {got:?}");
    assert_eq!(got.last(), Some(&120), "{got:?}");
}

#[test]
fn an_intake_is_paused_and_resumed_by_its_page_and_ends_with_it() {
    let mut sim = sim();
    let page = sim.connect("/learn/slow?for=a");
    let intake = sim.connect("/learn/slow?for=a&intake");
    let foreign = sim.connect("/learn/slow?for=b&intake");
    sim.run_until_idle();
    told(&page);
    let mut say = |what: &str| {
        page.send(&json!(what).to_string());
        sim.run_until_idle();
        intake.send("12345");
        foreign.send("1");
        sim.run_until_idle();
        told(&page)
    };
    let took = |bytes: u64, paused: bool| json!({"took": {"bytes": bytes, "paused": paused}});
    assert_eq!(say("pause"), [took(0, true)]);
    assert_eq!(say("pause"), [took(0, true)]);
    let resumed = say("resume");
    assert_eq!((resumed.first(), resumed.last()), (Some(&took(0, false)), Some(&took(15, false))), "{resumed:?}");
    drop(page);
    sim.run_until_idle();
    assert!(!intake.is_open() && foreign.is_open());
    sim.run_for(30 * SECOND);
    assert!(!foreign.is_open(), "an intake has an end");
}

#[test]
fn what_makes_no_sense_is_closed_and_there_are_bounds() {
    let mut sim = sim();
    let long = "x".repeat(65);
    for target in
        ["/learn/slow", "/learn/slow?for=", "/learn/slow?for=a&feed=other", &format!("/learn/slow?for={long}")]
    {
        let peer = sim.connect(target);
        sim.run_until_idle();
        assert!(!peer.is_open(), "{target}");
    }
    let page = sim.connect("/learn/slow?for=a");
    page.send("nonsense");
    sim.run_until_idle();
    assert!(!page.is_open());
    let feeds: Vec<Peer> = (0..5).map(|_| sim.connect("/learn/slow?for=a&feed=latest")).collect();
    sim.run_for(SECOND);
    assert_eq!(feeds.iter().filter(|feed| feed.is_open()).count(), 4);
}
