//! Topics without a history, and broadcasts.

use crate::common::{Wire, text};
use crate::kit::{Running, serve};
use lariat::backplane::{MemoryEngine, StreamPosition};
use lariat::{Audience, ClientId, Clients, Handler, Message, Router};

/// `join TOPIC`, `leave TOPIC`, `say TOPIC TEXT`, `latest TOPIC TEXT`, `all TEXT`.
#[derive(Default)]
struct Topics {
    is_isolated: bool,
}

impl Handler for Topics {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        if self.is_isolated {
            clients.isolate_topics();
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let words: Vec<&str> = message.as_text().unwrap_or_default().splitn(3, ' ').collect();
        match words[..] {
            ["join", topic] => {
                clients.subscribe(id, topic);
                let _ = clients.send(id, "joined");
            }
            ["leave", topic] => {
                clients.unsubscribe(id, topic);
                let _ = clients.send(id, "left");
            }
            ["say", topic, text] => {
                clients.publish_except(topic, id, text);
            }
            ["latest", topic, text] => {
                clients.publish_latest(topic, 7, text);
            }
            ["all", text] => {
                clients.broadcast(text);
            }
            _ => {}
        }
    }

    fn on_gap(&mut self, clients: &mut Clients<()>, topic: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        assert!(position.is_none() && to.client().is_none());
        to.send(clients, &format!("gap in {topic}"));
    }
}

fn join(server: &Running, topic: &str) -> Wire {
    let mut client = Wire::open(server.addr);
    client.send(&text(&format!("join {topic}")));
    client.expect_text("joined");
    client
}

#[test]
fn members_on_all_servers_and_loops_get_each_message_once_and_in_order() {
    for loops in [1, 2] {
        let engine = MemoryEngine::new();
        let servers: Vec<Running> = (0..3).map(|_| serve(&engine, loops, Topics::default)).collect();
        let mut members: Vec<Wire> = servers.iter().flat_map(|s| (0..3).map(move |_| join(s, "room"))).collect();
        let mut others: Vec<Wire> = servers.iter().map(|server| join(server, "elsewhere")).collect();
        for number in 0..50 {
            for from in [0, 4, 8] {
                members[from].send(&text(&format!("say room {from} {number}")));
            }
        }
        for (place, member) in members.iter_mut().enumerate() {
            let mut next = [(0, 0), (4, 0), (8, 0)];
            let expected = next.iter().filter(|(from, _)| *from != place).count() * 50;
            for _ in 0..expected {
                let payload = String::from_utf8(member.frame().payload).expect("text");
                let (from, number) = payload.split_once(' ').expect("two numbers");
                let (from, number): (usize, usize) = (from.parse().expect("one"), number.parse().expect("one"));
                let known = next.iter_mut().find(|(other, _)| *other == from).expect("a publisher");
                assert_eq!(known.1, number, "in the order of the publisher");
                known.1 += 1;
            }
        }
        // Whoever has left gets nothing more, and who is elsewhere got nothing.
        members[5].send(&text("leave room"));
        members[5].expect_text("left");
        members[0].send(&text("say room last"));
        for client in members.iter_mut().enumerate().filter(|(place, _)| ![0, 5].contains(place)) {
            client.1.expect_text("last");
        }
        members[5].send(&text("all end"));
        members.iter_mut().chain(&mut others).for_each(|client| client.expect_text("end"));
        drop((members, others));
        servers.into_iter().for_each(Running::stop);
    }
}

#[test]
fn conflated_messages_reach_other_servers() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 1, Topics::default), serve(&engine, 2, Topics::default)];
    let mut members: Vec<Wire> = servers.iter().map(|server| join(server, "price")).collect();
    members[0].send(&text("latest price 17"));
    members.iter_mut().for_each(|member| member.expect_text("17"));
}

#[test]
fn routes_are_known_by_their_patterns() {
    let engine = MemoryEngine::new();
    let (one, other) = (
        serve(&engine, 1, || Router::new().route("/a", Topics::default()).route("/b", Topics::default())),
        serve(&engine, 1, || Router::new().route("/b", Topics::default()).route("/a", Topics::default())),
    );
    let open = |server: &Running, path: &str| {
        let mut client = Wire::open_at(server.addr, path);
        client.send(&text("join room"));
        client.expect_text("joined");
        client
    };
    let mut clients = [open(&one, "/a"), open(&one, "/b"), open(&other, "/a"), open(&other, "/b")];
    clients[0].send(&text("say room for a"));
    clients[2].expect_text("for a");
    clients[1].send(&text("all b"));
    clients[1].expect_text("b");
    clients[3].expect_text("b");
    clients[2].send(&text("all a"));
    clients[0].expect_text("a");
    clients[2].expect_text("a");
}

#[test]
fn isolated_topics_stay_on_their_server() {
    let engine = MemoryEngine::new();
    let make = || Topics { is_isolated: true };
    let servers = [serve(&engine, 2, make), serve(&engine, 2, make)];
    let mut members: Vec<Wire> = servers.iter().flat_map(|s| (0..2).map(move |_| join(s, "room"))).collect();
    members[0].send(&text("all here"));
    members[2].send(&text("all there"));
    members[..2].iter_mut().for_each(|member| member.expect_text("here"));
    members[2..].iter_mut().for_each(|member| member.expect_text("there"));
    members[0].send(&text("say room here too"));
    members[1].expect_text("here too");
    members[2].send(&text("say room there too"));
    members[3].expect_text("there too");
}

/// While the engine is away, a server serves its own clients. Members are told that they may have
/// missed something.
#[test]
fn a_server_that_was_cut_off_goes_on_and_tells_its_members() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 2, Topics::default), serve(&engine, 1, Topics::default)];
    let mut members: Vec<Wire> = servers.iter().flat_map(|s| (0..2).map(move |_| join(s, "room"))).collect();
    let status = |number: usize| servers[number].ask(0, |clients| clients.backplane_status()).expect("a backplane");
    assert_eq!((status(0).is_up, status(0).losses, status(0).refused), (true, 0, 0));
    engine.cut(servers[0].node);
    members[0].send(&text("say room here"));
    members[1].expect_text("here");
    assert_eq!((status(0).is_up, status(0).losses, status(0).refused), (false, 1, 1));
    members[2].send(&text("say room there"));
    members[3].expect_text("there");
    engine.restore(servers[0].node);
    members[..2].iter_mut().for_each(|member| member.expect_text("gap in room"));
    members[2].send(&text("say room again"));
    members[0].expect_text("again");
    assert_eq!((status(0).is_up, status(0).gaps, status(1).gaps), (true, 1, 0));
}

#[test]
fn a_server_without_a_backplane_has_none() {
    let server = lariat::Server::<()>::bind("127.0.0.1:0").expect("a free port");
    let event_loop = server.start(Topics::default()).expect("it starts");
    let mut event_loop = event_loop;
    assert_eq!(event_loop.clients_mut().backplane_status(), None);
}
