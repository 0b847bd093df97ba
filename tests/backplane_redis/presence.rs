//! Who is present.

use crate::kit::{Node, Redis, until};
use lariat::backplane::{BackplaneEvent, Member, PublishError, RedisBackplane};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Asks who is present. Other events are passed over.
pub fn members(node: &Node, topic: &str) -> Result<Vec<Member>, PublishError> {
    node.link.ask_members(&topic.into(), 77);
    loop {
        if let BackplaneEvent::Members { ticket: 77, outcome } = node.next() {
            return outcome;
        }
    }
}

pub fn names(node: &Node, topic: &str) -> Vec<String> {
    members(node, topic).expect("an answer").into_iter().map(|member| member.name).collect()
}

#[test]
fn members_of_all_servers_are_listed_in_order() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    assert_eq!(members(&a, "t"), Ok(vec![]));
    a.link.enter(&"t".into(), "zoe", b"1");
    a.link.enter(&"t".into(), "adam", b"");
    b.link.enter(&"t".into(), "adam", &[0, 255]);
    b.link.enter(&"other".into(), "eve", b"");
    until(|| names(&a, "t").len() == 3);
    let member =
        |node: &Node, name: &str, data: &[u8]| Member { node: node.id, name: name.to_owned(), data: data.to_vec() };
    let mut expected = vec![member(&a, "adam", b""), member(&a, "zoe", b"1"), member(&b, "adam", &[0, 255])];
    expected.sort_by_key(|member| member.node.0);
    assert_eq!(members(&b, "t"), Ok(expected));
    a.link.enter(&"t".into(), "zoe", b"2");
    a.link.leave(&"t".into(), "adam");
    b.link.leave(&"t".into(), "adam");
    until(|| members(&b, "t") == Ok(vec![member(&a, "zoe", b"2")]));
}

#[test]
fn more_members_than_one_piece_are_listed_once() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    for number in 0..3000 {
        a.link.enter(&"t".into(), &format!("{number:04}"), &[b'x'; 100]);
    }
    let expected: Vec<String> = (0..3000).map(|number| format!("{number:04}")).collect();
    until(|| names(&b, "t") == expected);
}

#[test]
fn members_of_a_server_that_ends_leave_at_once() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (Node::up(redis.engine()), Node::up(redis.engine()));
    a.link.enter(&"t".into(), "a", b"");
    until(|| names(&b, "t") == ["a"]);
    drop(a.link);
    assert_eq!(names(&b, "t"), Vec::<String>::new());
}

#[test]
fn members_of_a_killed_server_are_forgotten() {
    if let Some(url) = std::env::var_os("LARIAT_TEST_MEMBER_OF") {
        // This is the process that is killed below.
        let url = url.into_string().expect("a URL");
        let node = Node::up(RedisBackplane::new(url).presence_ttl(Duration::from_secs(1)));
        node.link.enter(&"t".into(), "killed", b"");
        until(|| names(&node, "t") == ["killed"]);
        println!("present");
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let Some(redis) = Redis::start() else { return };
    let b = Node::up(redis.engine());
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "presence::members_of_a_killed_server_are_forgotten", "--nocapture"])
        .env("LARIAT_TEST_MEMBER_OF", redis.url())
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("present"))));
    assert_eq!(names(&b, "t"), ["killed"]);
    child.kill().expect("a process");
    child.wait().expect("its end");
    until(|| names(&b, "t").is_empty());
    until(|| redis.ask(&["EXISTS", "lariat:{t}:members"]) == crate::kit::Reply::Number(0));
}

#[test]
fn members_are_noted_again_when_redis_has_forgotten_them() {
    let Some(mut redis) = Redis::start() else { return };
    let ttl = Duration::from_secs(1);
    let (a, b) = (Node::up(redis.engine().presence_ttl(ttl)), Node::up(redis.engine()));
    a.link.enter(&"t".into(), "a", b"");
    until(|| names(&b, "t") == ["a"]);
    // A beat finds that its key is gone.
    redis.ask(&["FLUSHALL"]);
    until(|| names(&b, "t") == ["a"]);
    redis.kill();
    a.expect_down();
    assert_eq!(members(&a, "t"), Err(PublishError::Away));
    a.link.enter(&"t".into(), "came", b"");
    a.link.leave(&"t".into(), "a");
    assert!(redis.run());
    until(|| members(&b, "t").is_ok_and(|members| members.len() == 1 && members[0].name == "came"));
}
