//! What others write to the channels and keys of this program.

use crate::kit::{LONG, Node, Redis, kept, plain};

#[test]
fn garbage_on_channels_is_skipped() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    b.listen(&redis, "plain");
    b.link.subscribe(&"kept".into(), Some(LONG), None);
    b.expect_caught();
    let position = a.keep("kept", "first");
    assert_eq!(b.expect_kept().1, "first");
    let own = format!("lariat@{:016x}", b.id.0);
    let mut admin = redis.admin();
    let forged = format!("\u{1}\u{10}{:016x}{:020}\u{1}\u{0}01234567forged", position.epoch, u64::MAX);
    let other = format!("\u{1}\u{10}{:016x}{:020}\u{1}\u{0}01234567forged", position.epoch ^ 1, 2);
    let garbage: [&[u8]; 8] =
        [b"", b"hello", &[1], &[1, 0], &[0xFF; 100], &[1, 16, 0, 0], forged.as_bytes(), other.as_bytes()];
    for channel in ["lariat:plain", "lariat:kept", &own] {
        for bytes in garbage {
            admin.ask_bytes(&[b"PUBLISH", channel.as_bytes(), bytes]);
        }
    }
    // A message of the other kind, as from a server with other histories.
    a.link.publish(plain("kept", "of the other kind")).expect("room");
    a.link.publish(kept("plain", "of the other kind", LONG)).expect("room");
    a.keep("kept", "second");
    assert_eq!(b.expect_kept().1, "second");
    a.link.publish(plain("plain", "third")).expect("room");
    assert_eq!(b.expect_text(), "third");
}

#[test]
fn garbage_in_a_stream_is_skipped_with_a_gap() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    let first = a.keep("t", "1");
    // It takes a place that belongs to a message.
    redis.ask(&["XADD", "lariat:{t}:stream", "2-0", "x", "y", "z", "z"]);
    redis.ask(&["HSET", "lariat:{t}:meta", "offset", "2"]);
    let third = a.keep("t", "3");
    assert_eq!(third.offset, 3);
    b.link.subscribe(&"t".into(), Some(LONG), Some(first));
    assert_eq!(b.expect_gap().map(|gap| gap.offset), Some(2));
    assert_eq!(b.expect_kept().1, "3");
    assert_eq!(b.expect_caught(), third);
    // It blocks all further ids. The history begins anew.
    redis.ask(&["XADD", "lariat:{t}:stream", "99999999999-0", "x", "y"]);
    let fresh = a.keep("t", "4");
    assert_ne!(fresh.epoch, third.epoch);
    assert_eq!(b.expect_gap().map(|gap| gap.epoch), Some(fresh.epoch));
    assert_eq!(b.expect_kept(), (fresh, "4".to_owned()));
}

#[test]
fn keys_of_another_kind_are_replaced() {
    let Some(redis) = Redis::start() else { return };
    let a = Node::up(redis.engine());
    redis.ask(&["SET", "lariat:{t}:stream", "x"]);
    a.keep("t", "1");
    redis.ask(&["SET", "lariat:{u}:meta", "x"]);
    a.keep("u", "1");
    redis.ask(&["HSET", "lariat:{u}:meta", "offset", "x"]);
    a.keep("u", "1");
    redis.ask(&["HSET", "lariat:{u}:meta", "epoch", "short"]);
    let position = a.keep("u", "2");
    a.link.subscribe(&"u".into(), Some(LONG), None);
    assert_eq!(a.expect_kept(), (position, "2".to_owned()));
}

#[test]
fn garbage_in_presence_is_skipped() {
    let Some(redis) = Redis::start() else { return };
    let a = Node::up(redis.engine());
    redis.ask(&["HSET", "lariat:{t}:members", "x", "y", "00000000000000zz:a", "b", "0000000000000001:dead", "d"]);
    redis.admin().ask_bytes(&[b"HSET", b"lariat:{t}:members", b"0000000000000001:\xff", b"b"]);
    a.link.enter(&"t".into(), "me", b"data");
    assert_eq!(crate::presence::names(&a, "t"), ["me"]);
    redis.ask(&["SET", "lariat:{u}:members", "x"]);
    a.link.ask_members(&"u".into(), 1);
    let lariat::backplane::BackplaneEvent::Members { ticket: 1, outcome: Err(_) } = a.next() else {
        panic!("no refusal")
    };
}
