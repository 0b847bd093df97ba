//! A Redis that does not want to serve.

use crate::kit::{LONG, Node, Redis, kept, plain};
use lariat::backplane::{Backplane, BackplaneEvents, NodeId, RedisBackplane};
use std::time::Duration;

#[test]
fn a_malformed_url_is_an_error_without_its_password() {
    for url in ["", "http://:secret@localhost/", "redis://:secret@", "redis://:secret@localhost:port/", "secret"] {
        let engine = Box::new(RedisBackplane::new("redis://localhost/").also(url));
        assert!(!format!("{engine:?}").contains("secret"));
        let error = engine.start(NodeId(1), BackplaneEvents::new(|_| ())).err().expect("an error");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{url}");
        assert!(error.to_string().contains("URL 2 of 2") && !error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_wrong_password_is_reported_once_and_not_shown() {
    let Some(redis) = Redis::start() else { return };
    redis.ask(&["CONFIG", "SET", "requirepass", "right-secret"]);
    let of = |password: &str| RedisBackplane::new(format!("redis://:{password}@127.0.0.1:{}/", redis.port));
    let a = Node::start(of("wrong-secret"));
    let reason = a.expect_down();
    assert!(reason.contains("WRONGPASS") || reason.to_lowercase().contains("password"), "{reason}");
    assert!(!reason.contains("secret"), "{reason}");
    let b = Node::start(redis.engine());
    assert!(b.expect_down().contains("NOAUTH"));
    let c = Node::up(of("right-secret"));
    c.keep("t", "x");
    c.admin_password(&redis, "wrong-secret");
    // It is tried until it is right.
    a.expect_up();
}

impl Node {
    /// Changes the password of the server.
    fn admin_password(&self, redis: &Redis, password: &str) {
        let mut admin = redis.admin();
        admin.ask(&["AUTH", "right-secret"]);
        admin.ask(&["CONFIG", "SET", "requirepass", password]);
    }
}

#[test]
fn a_user_needs_the_prefix_and_no_more() {
    let Some(redis) = Redis::start() else { return };
    let rules = ["~lariat:*", "~lariat@*", "&lariat:*", "&lariat@*", "+@all", "-@admin", "-@dangerous"];
    redis.ask(&[&["ACL", "SETUSER", "app", "on", ">pass"][..], &rules].concat());
    let url = format!("redis://app:pass@127.0.0.1:{}/", redis.port);
    let a = Node::up(RedisBackplane::new(url.clone()));
    a.keep("t", "x");
    a.link.subscribe(&"t".into(), Some(LONG), None);
    assert_eq!(a.expect_kept().1, "x");
    a.link.enter(&"t".into(), "me", b"");
    assert_eq!(crate::presence::names(&a, "t"), ["me"]);
    let other = Node::start(RedisBackplane::new(url).prefix("other"));
    assert!(other.expect_down().contains("NOPERM"));
}

#[test]
fn more_clients_than_allowed_is_a_reason_until_there_is_room() {
    let Some(redis) = Redis::start() else { return };
    let mut admin = redis.admin();
    admin.ask(&["CONFIG", "SET", "maxclients", "1"]);
    let a = Node::start(redis.engine());
    let reason = a.expect_down();
    assert!(reason.contains("max number of clients") || reason.contains("eset") || reason.contains("pipe"), "{reason}");
    admin.ask(&["CONFIG", "SET", "maxclients", "100"]);
    a.expect_up();
}

#[test]
fn a_replica_is_passed_over() {
    let Some(main) = Redis::start() else { return };
    let Some(replica) = Redis::start() else { return };
    replica.ask(&["REPLICAOF", "127.0.0.1", &main.port.to_string()]);
    let a = Node::start(replica.engine().also(main.url()));
    let reason = a.expect_down();
    assert!(reason.contains("READONLY") || reason.contains("LOADING") || reason.contains("MASTERDOWN"), "{reason}");
    a.expect_up();
    a.keep("t", "x");
    let b = Node::up(main.engine());
    a.listen(&main, "plain");
    b.link.publish(plain("plain", "x")).expect("room");
    assert_eq!(a.expect_text(), "x");
}

#[test]
fn a_server_that_becomes_a_replica_is_left_and_nothing_is_lost() {
    let Some(first) = Redis::start() else { return };
    let Some(second) = Redis::start() else { return };
    second.ask(&["REPLICAOF", "127.0.0.1", &first.port.to_string()]);
    let a = Node::up(first.engine().also(second.url()).buffer(1 << 20));
    a.link.subscribe(&"t".into(), Some(LONG), None);
    a.expect_caught();
    let before = a.keep("t", "before");
    let mut admin = first.admin();
    crate::kit::until(|| admin.ask(&["WAIT", "1", "1000"]) == crate::kit::Reply::Number(1));
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    first.ask(&["REPLICAOF", "127.0.0.1", &second.port.to_string()]);
    let mut publication = kept("t", "after", LONG);
    publication.ticket = Some(5);
    a.link.publish(publication).expect("room");
    let mut events = Vec::new();
    loop {
        let event = a.next();
        let is_last = matches!(&event, lariat::backplane::BackplaneEvent::Published { ticket: 5, .. });
        events.push(format!("{event:?}"));
        if is_last {
            break;
        }
    }
    assert!(events.last().is_some_and(|last| last.contains("Ok(Some(")), "{events:?}");
    assert_eq!(events.iter().filter(|event| event.starts_with("Down")).count(), 1, "{events:?}");
    assert!(events.iter().all(|event| !event.starts_with("Gap")), "{events:?}");
    assert_eq!(before.offset, 1);
}

#[test]
fn nobody_there_is_a_reason_and_is_tried_again() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let a = Node::start(redis.engine().connect_timeout(Duration::from_millis(200)));
    assert!(a.expect_down().contains("refused"));
    assert!(redis.run());
    a.expect_up();
}
