//! Topics without a history.

use crate::kit::{LONG, Node, Redis, WAIT, kept, plain, until};
use lariat::OwnedMessage;
use lariat::backplane::{BackplaneEvent, PublishError};
use std::time::{Duration, Instant};

#[test]
fn servers_hear_each_other_in_order_and_not_themselves() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    a.link.subscribe(&"t".into(), None, None);
    b.listen(&redis, "t");
    until(|| redis.ask(&["PUBSUB", "NUMSUB", "lariat:t"]) == list("lariat:t", 2));
    for number in 0..100 {
        a.link.publish(plain("t", &number.to_string())).expect("room");
    }
    for number in 0..100 {
        assert_eq!(b.expect_text(), number.to_string());
    }
    b.link.publish(plain("t", "from b")).expect("room");
    assert_eq!(a.expect_text(), "from b", "it does not hear itself");
}

fn list(name: &str, count: i64) -> crate::kit::Reply {
    crate::kit::Reply::List(vec![crate::kit::Reply::Text(name.to_owned()), crate::kit::Reply::Number(count)])
}

#[test]
fn kinds_keys_and_tickets_arrive() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    b.listen(&redis, "t");
    let mut binary = plain("t", "");
    (binary.message, binary.latest, binary.ticket) = (OwnedMessage::binary([0, 255]).into(), Some(u64::MAX), Some(9));
    a.link.publish(binary).expect("room");
    let BackplaneEvent::Message { topic, message, latest } = b.next() else { panic!("no message") };
    assert_eq!((&*topic, &*message, latest), ("t", &OwnedMessage::binary([0, 255]), Some(u64::MAX)));
    let BackplaneEvent::Published { ticket: 9, outcome: Ok(None) } = a.next() else { panic!("not published") };
}

#[test]
fn prefixes_do_not_meet_and_unsubscribed_topics_are_silent() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let other = Node::up(redis.engine().prefix("other"));
    b.listen(&redis, "t");
    b.listen(&redis, "u");
    other.link.publish(plain("t", "other")).expect("room");
    b.link.unsubscribe(&"t".into());
    until(|| redis.ask(&["PUBSUB", "NUMSUB", "lariat:t"]) == list("lariat:t", 0));
    a.link.publish(plain("t", "unheard")).expect("room");
    a.link.publish(plain("u", "heard")).expect("room");
    assert_eq!(b.expect_text(), "heard");
    // Again and again: the last wish counts.
    for _ in 0..50 {
        b.link.subscribe(&"t".into(), Some(LONG), None);
        b.link.unsubscribe(&"t".into());
    }
    b.link.subscribe(&"t".into(), Some(LONG), None);
    a.link.publish(kept("t", "kept", LONG)).expect("room");
    loop {
        if let BackplaneEvent::Kept { .. } = b.next() {
            break;
        }
    }
}

#[test]
fn the_end_of_a_link_sends_what_waits() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    b.listen(&redis, "t");
    for number in 0..5000 {
        a.link.publish(plain("t", &number.to_string())).expect("room");
    }
    drop(a.link);
    for number in 0..5000 {
        assert_eq!(b.expect_text(), number.to_string());
    }
    // Its threads have dropped the function that reports.
    assert!(a.events.iter().all(|event| matches!(event, BackplaneEvent::Published { .. })));
    drop(redis);
    let begun = Instant::now();
    b.expect_down();
    drop(b);
    assert!(begun.elapsed() < WAIT);
}

#[test]
fn what_is_not_taken_is_refused_at_once() {
    let Some(mut redis) = Redis::start() else { return };
    let a = Node::up(redis.engine().queue(1000));
    let b = Node::up(redis.engine().buffer(1000));
    redis.signal(rustix::process::Signal::STOP);
    let long = "x".repeat(5000);
    let mut refused = None;
    // The first is larger than the limit, but alone.
    assert_eq!(a.link.publish(plain("t", &long)), Ok(()));
    until(|| {
        refused = a.link.publish(plain("t", "x")).err();
        refused.is_some()
    });
    assert_eq!(refused, Some(PublishError::Full));
    redis.kill();
    a.expect_down();
    b.expect_down();
    assert_eq!(a.link.publish(plain("t", "x")), Err(PublishError::Away));
    let mut waiting = plain("t", "x");
    waiting.ticket = Some(5);
    assert_eq!(b.link.publish(waiting), Ok(()));
    assert_eq!(b.link.publish(plain("t", &long)), Err(PublishError::Full));
    assert!(redis.run());
    b.expect_up();
    let BackplaneEvent::Published { ticket: 5, outcome: Ok(None) } = b.next() else { panic!("not published") };
}

#[test]
fn an_idle_link_is_silent_and_stays_up() {
    let Some(redis) = Redis::start() else { return };
    let a = Node::up(redis.engine().silence_timeout(Duration::from_millis(300)));
    a.link.subscribe(&"t".into(), None, None);
    assert!(a.events.recv_timeout(Duration::from_millis(1500)).is_err(), "no event");
}
