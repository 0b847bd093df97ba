//! Large messages, many topics, many messages.

use crate::kit::{LONG, Node, Redis, kept, plain};
use lariat::OwnedMessage;
use lariat::backplane::{BackplaneEvent, Kept};
use std::sync::Arc;
use std::time::Instant;

#[test]
fn messages_of_16_mib_pass() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    b.listen(&redis, "plain");
    b.link.subscribe(&"kept".into(), Some(LONG), None);
    b.expect_caught();
    let bytes: Vec<u8> = (0..16 << 20).map(|at: u32| (at % 251) as u8).collect();
    let begun = Instant::now();
    let message = Arc::new(OwnedMessage::Binary(bytes));
    let (mut first, mut second) = (plain("plain", ""), kept("kept", "", LONG));
    (first.message, first.ticket, second.message) = (message.clone(), Some(1), message.clone());
    a.link.publish(first).expect("it is alone");
    let BackplaneEvent::Message { message: got, .. } = b.next() else { panic!("no message") };
    assert!(got == message);
    let BackplaneEvent::Published { .. } = a.next() else { panic!("not published") };
    a.publish(second);
    let BackplaneEvent::Kept { kept: Kept { message: got, .. }, .. } = b.next() else { panic!("no message") };
    assert!(got == message);
    // And as text, from the history, between short ones.
    let text = "ü".repeat(8 << 20);
    a.keep("kept", "short");
    a.keep("kept", &text);
    a.keep("kept", "short again");
    let c = Node::up(redis.engine());
    c.link.subscribe(&"kept".into(), Some(LONG), None);
    let BackplaneEvent::Kept { kept: Kept { message: got, .. }, .. } = c.next() else { panic!("no message") };
    assert!(got == message);
    assert_eq!(c.expect_kept().1, "short");
    assert!(c.expect_kept().1 == text);
    assert_eq!(c.expect_kept().1, "short again");
    assert_eq!(c.expect_caught().offset, 4);
    eprintln!("16 MiB, both ways and from the history: {:?}", begun.elapsed());
}

#[test]
fn ten_thousand_topics_are_caught_and_heard() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let begun = Instant::now();
    for number in 0..5000 {
        b.link.subscribe(&format!("kept{number}").into(), Some(LONG), None);
        b.link.subscribe(&format!("plain{number}").into(), None, None);
    }
    for _ in 0..5000 {
        b.expect_caught();
    }
    eprintln!("10,000 topics, of these 5,000 with a history, are subscribed: {:?}", begun.elapsed());
    b.listen(&redis, "last");
    for number in 0..5000 {
        a.link.publish(plain(&format!("plain{number}"), "x")).expect("room");
        assert_eq!(b.expect_text(), "x");
    }
    redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let begun = Instant::now();
    b.expect_down();
    b.expect_up();
    for _ in 0..5001 {
        assert_eq!(b.expect_gap(), None);
    }
    eprintln!("and again after a loss: {:?}", begun.elapsed());
}

#[test]
fn a_burst_of_100_000_messages_arrives_in_order() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine().queue(64 << 20)), Node::up(redis.engine()));
    b.listen(&redis, "plain");
    let begun = Instant::now();
    for number in 0..100_000 {
        a.link.publish(plain("plain", &number.to_string())).expect("room");
    }
    for number in 0..100_000 {
        assert_eq!(b.expect_text(), number.to_string());
    }
    eprintln!("100,000 messages without a history: {:?}", begun.elapsed());
    b.link.subscribe(&"kept".into(), Some(LONG), None);
    b.expect_caught();
    let begun = Instant::now();
    for number in 0..100_000 {
        a.link.publish(kept("kept", &number.to_string(), LONG)).expect("room");
    }
    b.expect_texts((0..100_000).map(|number: u32| number.to_string()));
    eprintln!("100,000 messages with a history: {:?}", begun.elapsed());
}
