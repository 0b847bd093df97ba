//! Messages for clients of other loops.

use crate::common::Wire;
use crate::kit::serve;
use lariat::{Closures, Config, ListenOptions, Router};

/// Clients are members of the topic that they name first; then they publish to it.
fn chat() -> Closures<Option<String>> {
    Closures::new().on_message(|clients, id, message| {
        let text = message.as_text().expect("text").to_owned();
        match clients.data(id).cloned().flatten() {
            None => {
                clients.subscribe(id, &text);
                *clients.data_mut(id).expect("a client") = Some(text);
                let _ = clients.send(id, "joined");
            }
            Some(topic) if text.starts_with("not me") => drop(clients.publish_except(&topic, id, &text)),
            Some(_) if text.starts_with("all") => drop(clients.broadcast(&text)),
            Some(topic) if text.starts_with("latest") => drop(clients.publish_latest(&topic, 1, &text)),
            Some(topic) => drop(clients.publish(&topic, &text)),
        }
    })
}

fn join(addr: std::net::SocketAddr, topic: &str) -> Wire {
    let mut client = Wire::open(addr);
    client.send(&crate::common::text(topic));
    client.expect_text("joined");
    client
}

#[test]
fn a_message_reaches_all_members_on_all_loops_once_and_in_order() {
    let server = serve(3, chat);
    let mut members: Vec<Wire> = (0..9).map(|_| join(server.addr, "room")).collect();
    let mut others: Vec<Wire> = (0..9).map(|_| join(server.addr, "elsewhere")).collect();
    for (publisher, count) in [(0, 300), (4, 300), (8, 300)] {
        for number in 0..count {
            members[publisher].send(&crate::common::text(&format!("{publisher} {number}")));
        }
        // Each publisher's messages come in their order.
        for client in &mut members {
            for number in 0..count {
                client.expect_text(&format!("{publisher} {number}"));
            }
        }
    }
    members[1].send(&crate::common::text("not me: the others"));
    for (_, client) in members.iter_mut().enumerate().filter(|(number, _)| *number != 1) {
        client.expect_text("not me: the others");
    }
    members[1].send(&crate::common::text("latest"));
    members.iter_mut().for_each(|client| client.expect_text("latest"));
    others[3].send(&crate::common::text("all of you"));
    members.iter_mut().chain(&mut others).for_each(|client| client.expect_text("all of you"));
}

/// Two publishers on different loops at once: every member gets all, each publisher's in order.
#[test]
fn publishers_on_several_loops_do_not_disturb_one_another() {
    let server = serve(2, chat);
    let mut members: Vec<Wire> = (0..8).map(|_| join(server.addr, "room")).collect();
    const EACH: usize = 2_000;
    for number in 0..EACH {
        for (publisher, member) in members.iter_mut().enumerate().take(4) {
            member.send(&crate::common::text(&format!("{publisher} {number}")));
        }
        if number % 100 == 99 {
            // They are read now and then, so that no socket is full.
            for client in &mut members {
                let mut next = [number - 99; 4];
                for _ in 0..400 {
                    let payload = client.frame().payload;
                    let text = String::from_utf8(payload).expect("text");
                    let (publisher, got) = text.split_once(' ').expect("two numbers");
                    let expected = &mut next[publisher.parse::<usize>().expect("a number")];
                    assert_eq!(got, expected.to_string());
                    *expected += 1;
                }
            }
        }
    }
}

#[test]
fn topics_belong_to_their_route_on_all_loops() {
    let server = serve(2, || Router::new().route("/a", chat()).route("/b", chat()));
    let join = |path: &str| {
        let mut client = Wire::open_at(server.addr, path);
        client.send(&crate::common::text("room"));
        client.expect_text("joined");
        client
    };
    let mut a: Vec<Wire> = (0..4).map(|_| join("/a")).collect();
    let mut b: Vec<Wire> = (0..4).map(|_| join("/b")).collect();
    a[0].send(&crate::common::text("in a"));
    b[0].send(&crate::common::text("in b"));
    a.iter_mut().for_each(|client| client.expect_text("in a"));
    b.iter_mut().for_each(|client| client.expect_text("in b"));
    server.remote.on_route("/b").publish("room", "from outside").expect("it runs");
    b.iter_mut().for_each(|client| client.expect_text("from outside"));
    a[0].send(&crate::common::text("in a again"));
    a.iter_mut().for_each(|client| client.expect_text("in a again"));
}

/// A topic without members on other loops costs them nothing: they are not even woken.
#[test]
fn loops_without_members_are_not_told() {
    let server = serve(2, chat);
    let mut clients: Vec<Wire> = (0..2).map(|number| join(server.addr, &format!("room {number}"))).collect();
    let turns = |number: usize| server.ask(number, |clients| clients.stats().turn_micros.count());
    let own = (0..2).find(|number| server.ask(*number, |clients| clients.subscribers("room 0")) == 1);
    let other = 1 - own.expect("a loop has it");
    let before = turns(other);
    for number in 0..100 {
        clients[0].send(&crate::common::text(&number.to_string()));
        clients[0].expect_text(&number.to_string());
    }
    assert!(turns(other) <= before + 2, "it was woken");
    // The last member leaves, and another one joins on the other loop.
    drop(clients.remove(0));
    server.wait_for_connections(1);
    let mut late = join(server.addr, "room 1");
    clients[0].send(&crate::common::text("hello"));
    late.expect_text("hello");
    clients[0].expect_text("hello");
}

#[test]
fn compressed_messages_cross_loops() {
    let mut config = Config::default();
    config.limits.max_message = 4 << 20;
    let server = crate::kit::serve_with(config, ListenOptions::default(), 2, chat);
    let mut members: Vec<Wire> = (0..4).map(|_| join(server.addr, "room")).collect();
    let large = "words and words ".repeat(100_000);
    members[2].send(&crate::common::text(&large));
    members.iter_mut().for_each(|client| client.expect_text(&large));
}
