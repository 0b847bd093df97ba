//! Connections that are lost, and a Redis that is paused, restarted, replaced.

use crate::kit::{LONG, Node, Redis, Reply, kept, plain, until};
use lariat::backplane::{BackplaneEvent, PublishError, StreamPosition};
use rustix::process::Signal;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a node has of a topic with a history: it asserts that nothing is lost or doubled.
struct Ledger {
    last: Option<StreamPosition>,
    texts: Vec<String>,
    gaps: usize,
    downs: usize,
}

impl Ledger {
    fn take(&mut self, event: &BackplaneEvent) {
        match event {
            BackplaneEvent::Kept { kept, .. } => {
                if let Some(last) = self.last {
                    assert_eq!(kept.position, StreamPosition { offset: last.offset + 1, ..last });
                }
                self.last = Some(kept.position);
                self.texts.push(crate::kit::text_of(&kept.message));
            }
            BackplaneEvent::Gap { position: Some(position), .. } => {
                (self.last, self.gaps) = (Some(*position), self.gaps + 1);
            }
            BackplaneEvent::Down(_) => self.downs += 1,
            _ => {}
        }
    }

    /// Reads until this many messages have come.
    fn read(&mut self, node: &Node, count: usize) {
        while self.texts.len() < count {
            self.take(&node.next());
        }
    }

    fn new() -> Ledger {
        Ledger { last: None, texts: Vec::new(), gaps: 0, downs: 0 }
    }
}

/// Returns two servers, of which the second follows the topic `t`.
fn publisher_and_follower(redis: &Redis) -> (Node, Node) {
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_caught();
    (a, b)
}

/// Redis dies and comes back. The second server may not have noticed yet.
fn restart(redis: &mut Redis, a: &Node, b: &Node) {
    redis.kill();
    a.expect_down();
    b.expect_down();
    assert!(redis.run());
    a.expect_up();
}

#[test]
fn a_restart_with_everything_on_disk_loses_nothing() {
    let options = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut redis) = Redis::start_with(&options) else { return };
    let (a, b) = publisher_and_follower(&redis);
    b.listen(&redis, "plain");
    let first = a.keep("t", "1");
    assert_eq!(b.expect_kept().1, "1");
    restart(&mut redis, &a, &b);
    b.expect_up();
    assert_eq!(b.expect_gap(), None, "the topic without a history");
    assert_eq!(a.keep("t", "2"), StreamPosition { offset: 2, ..first });
    assert_eq!(b.expect_kept().1, "2");
}

#[test]
fn a_restart_that_forgets_everything_is_a_new_epoch_and_a_gap() {
    let Some(mut redis) = Redis::start() else { return };
    let (a, b) = publisher_and_follower(&redis);
    let first = a.keep("t", "1");
    assert_eq!(b.expect_kept().1, "1");
    restart(&mut redis, &a, &b);
    let second = a.keep("t", "2");
    assert_ne!(second.epoch, first.epoch);
    b.expect_up();
    let gap = b.expect_gap().expect("a position");
    assert_eq!(gap, StreamPosition { offset: 0, ..second });
    assert_eq!(b.expect_kept(), (second, "2".to_owned()));
}

#[test]
fn a_restart_that_has_lost_the_last_messages_is_a_new_epoch_and_a_gap() {
    let Some(mut redis) = Redis::start_with(&["--save", "", "--appendonly", "no"]) else { return };
    let (a, b) = publisher_and_follower(&redis);
    a.keep("t", "1");
    let saved = a.keep("t", "2");
    assert_eq!(redis.ask(&["SAVE"]), Reply::Text("OK".to_owned()));
    a.keep("t", "lost 3");
    a.keep("t", "lost 4");
    b.expect_texts(["1", "2", "lost 3", "lost 4"].map(str::to_owned));
    drop(a);
    redis.kill();
    b.expect_down();
    assert!(redis.run());
    b.expect_up();
    let gap = b.expect_gap().expect("a position");
    assert_eq!(gap.offset, 2);
    assert_ne!(gap.epoch, saved.epoch, "offsets 3 and 4 would mean two messages");
    let c = Node::up(redis.engine());
    assert_eq!(c.keep("t", "3"), StreamPosition { offset: 3, ..gap });
    assert_eq!(b.expect_kept().1, "3");
    // Somebody else gets what is left, and a position of the old epoch is a gap.
    c.link.subscribe(&"t".into(), Some(LONG), None);
    c.expect_texts(["1", "2", "3"].map(str::to_owned));
    c.expect_caught();
    c.link.unsubscribe(&"t".into());
    c.link.subscribe(&"t".into(), Some(LONG), Some(saved));
    assert_eq!(c.expect_gap(), Some(gap));
    c.expect_texts(["3".to_owned()]);
}

#[test]
fn messages_that_replace_lost_ones_are_told_from_them() {
    let Some(mut redis) = Redis::start() else { return };
    let b = Node::up(redis.engine());
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_caught();
    b.keep("t", "1");
    assert_eq!(redis.ask(&["SAVE"]), Reply::Text("OK".to_owned()));
    b.link.publish(kept("t", "lost", LONG)).expect("room");
    let mut ledger = Ledger::new();
    while ledger.texts.last().is_none_or(|text| text != "lost") {
        ledger.take(&b.next());
    }
    redis.kill();
    assert!(b.expect_down().contains("127.0.0.1"));
    // Another server publishes two messages before this one is back.
    let port = redis.port;
    redis.port = free_port();
    assert!(redis.run());
    let c = Node::up(redis.engine());
    c.keep("t", "other 2");
    let third = c.keep("t", "other 3");
    assert_eq!(redis.ask(&["SAVE"]), Reply::Text("OK".to_owned()));
    drop(c);
    redis.kill();
    redis.port = port;
    assert!(redis.run());
    b.expect_up();
    let gap = b.expect_gap().expect("a position");
    assert!(gap.epoch != third.epoch && gap.offset == 3, "{gap}");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

#[test]
fn a_stopped_redis_is_noticed_and_served_again() {
    let Some(redis) = Redis::start() else { return };
    let short = Duration::from_millis(300);
    let engine = || redis.engine().response_timeout(short).silence_timeout(short).connect_timeout(short);
    let (a, b) = (Node::up(engine()), Node::up(engine()));
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_caught();
    a.keep("t", "1");
    redis.signal(Signal::STOP);
    let mut publication = kept("t", "2", LONG);
    publication.ticket = Some(8);
    let taken = a.link.publish(publication);
    let mut events = Vec::new();
    a.expect_outcome(&mut events);
    assert_eq!(taken, Ok(()));
    assert_eq!(events, [Err(PublishError::Unknown)]);
    let mut ledger = Ledger::new();
    while ledger.downs == 0 {
        ledger.take(&b.next());
    }
    redis.signal(Signal::CONT);
    a.until_up();
    a.keep("t", "3");
    // The second was perhaps published. In any case nothing is lost or doubled.
    while ledger.texts.last().is_none_or(|text| text != "3") {
        ledger.take(&b.next());
    }
    assert!(ledger.gaps == 0 && ledger.downs >= 1 && ledger.texts.len() <= 3, "{:?}", ledger.texts);
}

impl Node {
    fn expect_outcome(&self, into: &mut Vec<Result<Option<StreamPosition>, PublishError>>) {
        loop {
            if let BackplaneEvent::Published { ticket: 8, outcome } = self.next() {
                into.push(outcome);
                return;
            }
        }
    }

    fn until_up(&self) {
        while !matches!(self.next(), BackplaneEvent::Up) {}
    }
}

#[test]
fn a_short_pause_is_no_loss() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = publisher_and_follower(&redis);
    redis.ask(&["CLIENT", "PAUSE", "500", "ALL"]);
    a.keep("t", "1");
    assert_eq!(b.expect_kept().1, "1");
}

#[test]
fn a_stream_goes_on_while_connections_are_killed() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine().queue(64 << 20)), Node::up(redis.engine()));
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_caught();
    b.listen(&redis, "plain");
    let mut admin = redis.admin();
    let (mut ledger, mut published, mut plain_gaps) = (Ledger::new(), 0, 0);
    for round in 0..3 {
        for number in 0..2000 {
            let mut publication = kept("t", &format!("{round} {number}"), LONG);
            publication.once = Some(format!("{round} {number}").into());
            // The publisher is disconnected as well: it tries until the message is taken.
            publish_surely(&a, publication);
            published += 1;
            match number {
                500 => drop(admin.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])),
                1000 => drop(admin.ask(&["CLIENT", "KILL", "TYPE", "pubsub"])),
                _ => {}
            }
        }
    }
    while ledger.texts.len() < published {
        let event = b.next();
        plain_gaps += usize::from(matches!(event, BackplaneEvent::Gap { position: None, .. }));
        ledger.take(&event);
    }
    assert!(ledger.gaps == 0 && ledger.downs >= 1, "{} gaps, {} losses", ledger.gaps, ledger.downs);
    until(|| {
        plain_gaps += b.events.try_iter().filter(|event| matches!(event, BackplaneEvent::Gap { .. })).count();
        plain_gaps >= ledger.downs
    });
    let mut unique = ledger.texts.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), published, "nothing twice");
}

/// Publishes, and again until it is confirmed. The name keeps it from being doubled.
fn publish_surely(node: &Node, mut publication: lariat::backplane::Publication) {
    publication.ticket = Some(1);
    loop {
        match node.link.publish(publication.clone()) {
            Ok(()) => loop {
                match node.next() {
                    BackplaneEvent::Published { outcome: Ok(_), .. } => return,
                    BackplaneEvent::Published { .. } => break,
                    _ => {}
                }
            },
            Err(_) => node.until_up(),
        }
    }
}

#[test]
fn a_reader_that_is_too_slow_is_disconnected_and_misses_nothing() {
    let Some(redis) = Redis::start() else { return };
    redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 0"]);
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let own = Arc::clone(&gate);
    let b = Node::start_with(redis.engine(), move || {
        let (is_open, changed) = &*own;
        drop(changed.wait_while(is_open.lock().expect("a lock"), |is_open| !*is_open).expect("a lock"));
    });
    b.expect_up();
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_caught();
    *gate.0.lock().expect("a lock") = false;
    let a = Node::up(redis.engine().queue(1 << 30));
    let text = "x".repeat(10_000);
    let mut admin = redis.admin();
    let mut published = 0;
    until(|| {
        for _ in 0..200 {
            a.keep("t", &text);
            published += 1;
        }
        let Reply::Text(clients) = admin.ask(&["CLIENT", "LIST", "TYPE", "pubsub"]) else { return false };
        clients.lines().count() == 1
    });
    *gate.0.lock().expect("a lock") = true;
    gate.1.notify_all();
    let mut ledger = Ledger::new();
    ledger.read(&b, published);
    assert!(ledger.gaps == 0 && ledger.downs == 1, "{} gaps, {} losses", ledger.gaps, ledger.downs);
}

#[test]
fn a_replica_takes_over_and_nothing_is_lost() {
    let Some(mut first) = Redis::start() else { return };
    let Some(second) = Redis::start() else { return };
    second.ask(&["REPLICAOF", "127.0.0.1", &first.port.to_string()]);
    let engine = || first.engine().also(second.url());
    let (a, b) = (Node::up(engine()), Node::up(engine()));
    b.link.subscribe(&"t".into(), Some(LONG), None);
    b.expect_caught();
    let mut admin = first.admin();
    let before = a.keep("t", "before");
    until(|| admin.ask(&["WAIT", "1", "1000"]) == Reply::Number(1));
    assert_eq!(b.expect_kept().1, "before");
    first.kill();
    a.expect_down();
    b.expect_down();
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    a.expect_up();
    assert_eq!(a.keep("t", "after"), StreamPosition { offset: 2, ..before });
    b.expect_up();
    assert_eq!(b.expect_kept().1, "after");
    a.listen(&second, "plain");
    b.link.publish(plain("plain", "x")).expect("room");
    assert_eq!(a.expect_text(), "x");
}
