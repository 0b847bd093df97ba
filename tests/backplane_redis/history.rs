//! Topics with a history.

use crate::kit::{LONG, Node, Redis, Reply, kept, until};
use lariat::backplane::{BackplaneEvent, History, Publication, StreamPosition};
use std::time::Duration;

fn texts(from: u64, to: u64) -> impl Iterator<Item = String> {
    (from..=to).map(|number| number.to_string())
}

#[test]
fn a_late_subscriber_gets_all_and_the_publisher_as_well() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    for text in texts(1, 1500) {
        a.link.publish(kept("t", &text, LONG)).expect("room");
    }
    let last = a.keep("t", "1501");
    assert_eq!(last.offset, 1501);
    for node in [&a, &b] {
        node.link.subscribe(&"t".into(), Some(LONG), None);
        node.expect_texts(texts(1, 1501));
        assert_eq!(node.expect_caught(), last);
    }
    b.link.publish(kept("t", "live", LONG)).expect("room");
    for node in [&a, &b] {
        assert_eq!(node.expect_kept(), (StreamPosition { offset: 1502, ..last }, "live".to_owned()));
    }
}

#[test]
fn after_a_position_come_exactly_the_messages_after_it() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let positions: Vec<_> = texts(1, 20).map(|text| a.keep("t", &text)).collect();
    b.link.subscribe(&"t".into(), Some(LONG), Some(positions[6]));
    b.expect_texts(texts(8, 20));
    assert_eq!(b.expect_caught(), positions[19]);
    b.link.unsubscribe(&"t".into());
    b.link.subscribe(&"t".into(), Some(LONG), Some(positions[19]));
    assert_eq!(b.expect_caught(), positions[19]);
    // A position that does not exist is a gap, and no harm for others.
    b.link.unsubscribe(&"t".into());
    b.link.subscribe(&"t".into(), Some(LONG), Some(StreamPosition { offset: 1000, ..positions[0] }));
    assert_eq!(b.expect_gap(), Some(positions[19]));
    assert_eq!(b.expect_caught(), positions[19]);
    assert_eq!(a.keep("t", "21").epoch, positions[0].epoch);
    assert_eq!(b.expect_kept().1, "21");
}

#[test]
fn a_new_topic_has_a_position_before_its_first_message() {
    let Some(redis) = Redis::start() else { return };
    let a = Node::up(redis.engine());
    a.link.subscribe(&"t".into(), Some(LONG), None);
    let start = a.expect_caught();
    assert_eq!(start.offset, 0);
    assert_eq!(a.keep("t", "x"), StreamPosition { offset: 1, ..start });
}

#[test]
fn messages_of_one_name_are_published_once() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let named = |text: &str, name: &str| Publication { once: Some(name.into()), ..kept("t", text, LONG) };
    let first = a.publish(named("first", "n"));
    assert_eq!(a.publish(named("second", "other")).offset, 2);
    assert_eq!(b.publish(named("doubled", "n")), first);
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_texts(["first".to_owned(), "second".to_owned()]);
    assert_eq!(b.expect_caught().offset, 2);
}

#[test]
fn what_is_beyond_the_number_of_messages_is_a_gap() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let short = History { messages: 3, ..LONG };
    let positions: Vec<_> = texts(1, 10).map(|text| a.publish(kept("t", &text, short))).collect();
    b.link.subscribe(&"t".into(), Some(short), Some(positions[1]));
    assert_eq!(b.expect_gap(), Some(positions[6]));
    b.expect_texts(texts(8, 10));
    assert_eq!(b.expect_caught(), positions[9]);
    b.link.subscribe(&"u".into(), Some(short), None);
    assert_eq!(b.expect_caught().offset, 0);
    // All that is kept is asked for: that is no gap.
    b.link.unsubscribe(&"t".into());
    b.link.subscribe(&"t".into(), Some(short), None);
    b.expect_texts(texts(8, 10));
    b.expect_caught();
}

#[test]
fn what_is_too_old_is_a_gap() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let short = History { age: Duration::from_millis(50), ..LONG };
    let first = a.publish(kept("t", "old", short));
    a.publish(kept("t", "old as well", short));
    let mut last = first;
    until(|| {
        last = a.publish(kept("t", "new", short));
        let Reply::List(entries) = redis.ask(&["XRANGE", "lariat:{t}:stream", "-", "2-99999999999999"]) else {
            panic!("no entries")
        };
        entries.is_empty()
    });
    b.link.subscribe(&"t".into(), Some(short), Some(first));
    let gap = b.expect_gap().expect("a position");
    assert!(gap.offset >= 2 && gap.epoch == first.epoch);
    // Keys do not stay for ever.
    for key in ["stream", "meta"] {
        let Reply::Number(left) = redis.ask(&["PTTL", &format!("lariat:{{t}}:{key}")]) else { panic!("no number") };
        assert!(left > 0, "{key}: {left}");
    }
}

#[test]
fn any_number_of_old_messages_is_removed_at_once() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let short = History { age: Duration::from_millis(100), ..LONG };
    for count in [1, 2, 3, 10, 1000] {
        let topic = &*format!("{count}");
        for text in texts(1, count) {
            a.link.publish(kept(topic, &text, LONG)).expect("room");
        }
        let last = a.keep(topic, "last");
        let mut admin = redis.admin();
        let Reply::List(time) = admin.ask(&["TIME"]) else { panic!("no time") };
        until(|| is_later(&time, &admin.ask(&["TIME"]), 150));
        // A script of somebody who keeps less.
        b.link.subscribe(&topic.into(), Some(short), None);
        assert_eq!(b.expect_caught(), last, "nothing is left of {count}");
        let new = a.publish(kept(topic, "new", short));
        assert_eq!(b.expect_kept(), (new, "new".to_owned()));
    }
}

/// Whether it is later by so many milliseconds.
fn is_later(before: &[Reply], now: &Reply, by: u64) -> bool {
    let millis = |time: &[Reply]| match time {
        [Reply::Text(seconds), Reply::Text(micros)] => {
            seconds.parse::<u64>().expect("seconds") * 1000 + micros.parse::<u64>().expect("micros") / 1000
        }
        _ => panic!("no time"),
    };
    let Reply::List(now) = now else { panic!("no time") };
    millis(now) >= millis(before) + by
}

#[test]
fn scripts_that_redis_has_forgotten_are_sent_again() {
    let Some(redis) = Redis::start() else { return };
    let a = Node::up(redis.engine());
    a.link.subscribe(&"t".into(), Some(LONG), None);
    a.expect_caught();
    for round in 0..3 {
        redis.ask(&["SCRIPT", "FLUSH", "SYNC"]);
        for text in texts(round * 100, round * 100 + 99) {
            a.link.publish(kept("t", &text, LONG)).expect("room");
        }
        a.expect_texts(texts(round * 100, round * 100 + 99));
    }
    redis.ask(&["SCRIPT", "FLUSH", "SYNC"]);
    a.link.subscribe(&"u".into(), Some(LONG), None);
    a.expect_caught();
}

#[test]
fn a_message_that_needs_memory_is_refused_while_there_is_none() {
    let Some(redis) = Redis::start() else { return };
    let a = Node::up(redis.engine());
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let mut publication = kept("t", "x", LONG);
    publication.ticket = Some(3);
    a.link.publish(publication).expect("room");
    let BackplaneEvent::Published { ticket: 3, outcome } = a.next() else { panic!("no outcome") };
    assert_eq!(outcome, Err(lariat::backplane::PublishError::Refused));
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    a.keep("t", "y");
}
