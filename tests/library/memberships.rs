//! Handlers that watch topics are told who joins and who leaves.

use lariat::sim::{Faults, Peer, Simulation};
use lariat::{
    Answer, ClientId, Clients, CloseReason, Closures, Config, Handler, HttpResponse, Message, Request, Router, Upgrade,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// What a handler was told, and how many members the topic had then.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Open(ClientId),
    Joined(ClientId, String, usize),
    Left(ClientId, String, usize),
    Close(ClientId),
}

/// Obeys messages: `+a` joins the topic `a`, and `-a` leaves it.
#[derive(Default)]
struct Rooms {
    told: Vec<Told>,
    watches: bool,
    /// A client that joins `a` is moved to `b`, and the other way round.
    moves: bool,
    panics: bool,
    topics_at_close: usize,
}

impl Rooms {
    fn watching() -> Rooms {
        Rooms { watches: true, ..Rooms::default() }
    }
}

impl Handler for Rooms {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        if self.watches {
            clients.watch_topics();
        }
    }

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        match request.path() {
            "/early" => {
                assert!(clients.subscribe(id, "early"));
                HttpResponse::from(lariat::http::Response::new("no socket")).into()
            }
            "/stream" => {
                assert!(clients.subscribe(id, "stream"));
                HttpResponse::streamed(lariat::http::Response::new(())).into()
            }
            _ => Upgrade::new().into(),
        }
    }

    fn on_open(&mut self, _: &mut Clients<()>, id: ClientId) {
        self.told.push(Told::Open(id));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        for command in message.as_text().expect("text").split(' ') {
            let before = self.told.len();
            match command.split_at(1) {
                ("+", topic) => _ = clients.subscribe(id, topic),
                ("-", topic) => _ = clients.unsubscribe(id, topic),
                ("x", _) => _ = clients.terminate(id),
                (_, _) => panic!("no such command: {command}"),
            }
            assert_eq!(self.told.len(), before, "no callback is re-entered");
        }
    }

    fn on_subscribe(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str) {
        self.told.push(Told::Joined(id, topic.to_owned(), clients.subscribers(topic)));
        assert!(!self.panics, "a panic on purpose");
        if self.moves {
            let other = if topic == "a" { "b" } else { "a" };
            clients.unsubscribe(id, topic);
            clients.subscribe(id, other);
        }
    }

    fn on_unsubscribe(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str) {
        self.told.push(Told::Left(id, topic.to_owned(), clients.subscribers(topic)));
        clients.publish(topic, "somebody has left");
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.topics_at_close += clients.topics(id).count();
        self.told.push(Told::Close(id));
        clients.subscribe(id, "too late");
    }
}

fn joined(id: ClientId, topic: &str, members: usize) -> Told {
    Told::Joined(id, topic.to_owned(), members)
}

fn left(id: ClientId, topic: &str, members: usize) -> Told {
    Told::Left(id, topic.to_owned(), members)
}

fn simulation(handler: Rooms) -> Simulation<Rooms> {
    Simulation::new(1, Config::default(), handler)
}

/// Connects a peer. Returns it with its id.
fn open(sim: &mut Simulation<Rooms>) -> (Peer, ClientId) {
    let peer = sim.connect("/");
    sim.run_until_idle();
    match sim.handler_mut().told.pop() {
        Some(Told::Open(id)) => (peer, id),
        other => panic!("{other:?} instead of on_open"),
    }
}

#[test]
fn joins_and_leaves_are_told_in_order_and_once() {
    let mut sim = simulation(Rooms::watching());
    let ((ada, a), (ben, b)) = (open(&mut sim), open(&mut sim));
    ada.send("+room +room -other");
    sim.run_until_idle();
    ben.send("+room -room +room");
    sim.run_until_idle();
    let expected = [joined(a, "room", 1), joined(b, "room", 2), left(b, "room", 2), joined(b, "room", 2)];
    assert_eq!(sim.handler().told, expected, "the members are those of the moment of the call");
    assert_eq!(ada.received_text(), ["somebody has left"], "what a callback sends is sent in the same turn");
}

#[test]
fn a_client_that_disconnects_leaves_its_topics_before_on_close() {
    let mut sim = simulation(Rooms::watching());
    let ((ada, a), (ben, b)) = (open(&mut sim), open(&mut sim));
    ben.send("+room");
    sim.run_until_idle();
    ada.send("+room +cellar");
    sim.run_until_idle();
    ada.reset();
    sim.run_until_idle();
    let told = &sim.handler().told;
    assert_eq!(told[..3], [joined(b, "room", 1), joined(a, "room", 2), joined(a, "cellar", 1)]);
    assert!(told[3..5].contains(&left(a, "room", 1)) && told[3..5].contains(&left(a, "cellar", 0)), "{told:?}");
    assert_eq!(told[5..], [Told::Close(a)]);
    assert_eq!(sim.handler().topics_at_close, 0);
    assert_eq!(ben.received_text(), ["somebody has left"]);
    sim.run_for(Duration::from_secs(1));
    assert_eq!(sim.handler().told.len(), 6, "a topic that is joined in on_close is not told");
}

#[test]
fn a_client_that_joins_and_ends_in_one_turn_is_told_in_order() {
    let mut sim = simulation(Rooms::watching());
    let (ada, a) = open(&mut sim);
    ada.send("+room x");
    sim.run_until_idle();
    assert_eq!(sim.handler().told, [joined(a, "room", 1), left(a, "room", 0), Told::Close(a)]);
}

#[test]
fn a_client_without_a_socket_joins_and_leaves_too() {
    let mut sim = simulation(Rooms::watching());
    for path in ["/early", "/stream"] {
        let peer = sim.connect_raw();
        peer.send_raw(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        sim.run_until_idle();
        peer.reset();
        sim.run_for(Duration::from_secs(10));
    }
    let kinds: Vec<&str> = sim
        .handler()
        .told
        .iter()
        .map(|told| match told {
            Told::Joined(_, topic, 1) | Told::Left(_, topic, 0) => topic.as_str(),
            Told::Close(_) => "close",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["early", "early", "stream", "stream", "close"]);
}

#[test]
fn who_does_not_watch_is_told_nothing_and_stays_a_member_until_on_close() {
    let mut sim = simulation(Rooms::default());
    let (ada, a) = open(&mut sim);
    ada.send("+room");
    sim.run_until_idle();
    ada.reset();
    sim.run_until_idle();
    assert_eq!((&sim.handler().told[..], sim.handler().topics_at_close), (&[Told::Close(a)][..], 1));
}

#[test]
fn what_was_noted_before_the_end_of_watching_is_still_told() {
    let mut sim = simulation(Rooms::watching());
    let (_ada, a) = open(&mut sim);
    sim.clients().subscribe(a, "before");
    sim.clients().unwatch_topics();
    sim.clients().subscribe(a, "after");
    sim.run_until_idle();
    assert_eq!(sim.handler().told, [joined(a, "before", 1)]);
}

#[test]
fn callbacks_that_answer_each_other_do_not_stop_the_loop() {
    let mut sim = simulation(Rooms { moves: true, ..Rooms::watching() });
    let ((ada, _), (ben, _)) = (open(&mut sim), open(&mut sim));
    ada.send("+a");
    for _ in 0..100 {
        sim.step();
    }
    assert!(sim.handler().told.len() > 50, "{}", sim.handler().told.len());
    ben.send("x");
    for _ in 0..100 {
        sim.step();
    }
    assert!(!ben.is_open());
}

#[test]
fn a_panic_ends_the_client_that_has_joined() {
    let mut sim = simulation(Rooms { panics: true, ..Rooms::watching() });
    let (ada, a) = open(&mut sim);
    ada.send("+room");
    sim.run_for(Duration::from_secs(10));
    assert_eq!(u16::from(ada.close_reason().expect("it ended").code()), 1011);
    assert_eq!(sim.handler().told, [joined(a, "room", 1), left(a, "room", 0), Told::Close(a)]);
}

#[test]
fn only_the_route_that_watches_is_told() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let route = |name: &'static str, watches: bool| {
        let (joins, leaves) = (Rc::clone(&told), Rc::clone(&told));
        Closures::<()>::new()
            .on_start(move |clients| {
                if watches {
                    clients.watch_topics();
                }
            })
            .on_open(|clients, id| assert!(clients.subscribe(id, "topic")))
            .on_subscribe(move |clients, _, topic| {
                joins.borrow_mut().push(format!("{name} +{topic} {}", clients.subscribers(topic)));
            })
            .on_unsubscribe(move |_, _, topic| leaves.borrow_mut().push(format!("{name} -{topic}")))
    };
    let router = Router::new().route("/silent", route("silent", false)).route("/told", route("told", true));
    let mut sim = Simulation::new(1, Config::default(), router);
    let peers = [sim.connect("/silent"), sim.connect("/told")];
    sim.run_until_idle();
    peers.iter().for_each(Peer::reset);
    sim.run_until_idle();
    assert_eq!(*told.borrow(), ["told +topic 1", "told -topic"]);
}

/// On a bad network, what was told is what the clients are members of, and each join has its leave.
#[test]
fn what_was_told_agrees_with_the_members() {
    for seed in 0..30 {
        let mut sim = Simulation::new(seed, Config::default(), Rooms::watching());
        sim.set_faults(Faults::rough());
        let peers: Vec<Peer> = (0..10).map(|_| sim.connect("/")).collect();
        sim.run_for(Duration::from_secs(1));
        let mut known: BTreeMap<String, BTreeSet<ClientId>> = BTreeMap::new();
        for round in 0..20 {
            for (number, peer) in peers.iter().enumerate() {
                let sign = if (round + number) % 3 == 0 { '-' } else { '+' };
                peer.send(&format!("{sign}{}", (round * 7 + number) % 5));
            }
            if round > 15 {
                peers[round - 16].reset();
            }
            sim.run_for(Duration::from_millis(100));
            for told in std::mem::take(&mut sim.handler_mut().told) {
                match told {
                    Told::Joined(id, topic, _) => assert!(known.entry(topic).or_default().insert(id)),
                    Told::Left(id, topic, _) => assert!(known.entry(topic).or_default().remove(&id)),
                    Told::Close(id) => assert!(known.values().all(|members| !members.contains(&id)), "{id}"),
                    Told::Open(_) => {}
                }
            }
            for (topic, known) in &known {
                let members: BTreeSet<ClientId> = sim.clients().members(topic).collect();
                assert_eq!(members, *known, "seed {seed}, round {round}, topic {topic}");
            }
        }
    }
}
