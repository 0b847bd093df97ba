//! Names, ids, topics, addresses, counters and states go along: each test fails if they were lost.

use crate::common::{Folder, WAIT, Wire, close, request_with, text, until};
use crate::kit::{Running, echo, fails, nothing_saved, only, serve, serve_with};
use lariat::{ClientId, CloseCode, CloseReason, Closures, Config, ConnectOptions, Message, Router, Upgrade};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

#[test]
fn topics_subprotocols_and_ids_go_along() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        let request = Closures::new().on_request(|_, _, _| Upgrade::new().subprotocol("chat").into());
        nothing_saved(request)
    };
    let server = serve(&path, make);
    let header = "Sec-WebSocket-Protocol: other, chat\r\n";
    let mut wires: Vec<Wire> = Vec::new();
    for count in 1..=4 {
        let mut wire = Wire::connect(server.addr);
        wire.send(request_with("/", header).as_bytes());
        assert_eq!(wire.response().header("Sec-WebSocket-Protocol"), Some("chat"));
        wires.push(wire);
        until(|| server.ask(|clients| clients.len()) == count);
    }
    let ids: Vec<ClientId> = server.ask(|clients| {
        let ids: Vec<ClientId> = clients.iter().collect();
        for (count, id) in ids.iter().enumerate() {
            assert!(clients.subscribe(*id, "all"));
            assert!(clients.subscribe(*id, &format!("topic {}", count % 2)));
        }
        ids
    });
    // One ends, and its place is free.
    let stale = ids[1];
    server.ask(move |clients| assert!(clients.terminate(stale)));
    until(|| server.ask(|clients| clients.len()) == 3);
    let mut server = server;
    for _ in 0..2 {
        server = server.replace(Config::default(), &path, make);
        let known = ids.clone();
        server.ask(move |clients| {
            assert_eq!(clients.data(known[1]), None, "it has ended");
            assert_eq!(clients.send(known[1], "x"), Err(lariat::SendError::Gone));
            for id in [known[0], known[2], known[3]] {
                assert_eq!(clients.subprotocol(id), Some("chat"));
                assert_eq!(clients.topics(id).count(), 2);
                assert!(clients.peer_addr(id).is_some());
            }
            assert_eq!(
                (clients.subscribers("all"), clients.subscribers("topic 0"), clients.subscribers("topic 1")),
                (3, 2, 1)
            );
        });
    }
    let mut newcomer = Wire::connect(server.addr);
    newcomer.send(request_with("/", header).as_bytes());
    assert_eq!(newcomer.response().status(), 101);
    until(|| server.ask(|clients| clients.len()) == 4);
    let known = ids.clone();
    server.ask(move |clients| {
        let new: Vec<ClientId> = clients.iter().filter(|id| !known.contains(id)).collect();
        assert_eq!(new.len(), 1, "no id is given twice");
        assert_eq!(clients.topics(new[0]).count(), 0);
        assert!(clients.unsubscribe(known[0], "topic 0"));
        assert!(!clients.unsubscribe(known[0], "topic 1"));
        assert_eq!(clients.publish("topic 0", "zero"), 1);
        assert_eq!(clients.publish("topic 1", "one"), 1);
        assert_eq!(clients.publish("all", "all"), 3);
        clients.send(new[0], "new").expect("it is open");
    });
    newcomer.expect_text("new");
    wires.remove(1);
    let words: [&[&str]; 3] = [&["all"], &["zero", "all"], &["one", "all"]];
    for (wire, words) in wires.iter_mut().zip(words) {
        words.iter().for_each(|words| wire.expect_text(words));
    }
}

fn said(words: &'static str) -> Closures<()> {
    nothing_saved(Closures::new().on_message(move |clients, id, message: Message<'_>| {
        let route = clients.route_of(id).expect("a route").to_owned();
        let _ = clients.send(id, &format!("{words} {route} {}", message.as_text().expect("text")));
    }))
}

#[test]
fn clients_stay_on_their_routes_even_if_these_have_another_order() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let old = serve(&path, || Router::new().route("/a", said("a")).route("/b", said("b")).route("/c", said("c")));
    let mut wires: Vec<(&str, Wire)> =
        ["a", "b", "c"].map(|name| (name, Wire::open_at(old.addr, &format!("/{name}")))).into();
    until(|| old.ask(|clients| clients.iter_all().count()) == 3);
    old.ask(|clients| {
        clients.on_route("/b", |clients| {
            let id = clients.iter().next().expect("a client");
            clients.subscribe(id, "topic");
            clients.set_timer(Duration::from_secs(1_000), 0);
        });
    });
    // A route is missing.
    let error = fails(Config::default(), &path, || Router::new().route("/a", said("a")).route("/c", said("c")));
    assert!(error.to_string().contains("/b"), "{error}");
    for (name, wire) in &mut wires {
        wire.send(&text("x"));
        wire.expect_text(&format!("{name} /{name} x"));
    }
    let router = || {
        Router::new().route("/new", said("new")).route("/c", said("c")).route("/b", said("b")).route("/a", said("a"))
    };
    let new = old.replace(Config::default(), &path, router);
    for (name, wire) in &mut wires {
        wire.send(&text("y"));
        wire.expect_text(&format!("{name} /{name} y"));
    }
    new.ask(|clients| {
        assert_eq!(clients.on_route("/c", |clients| clients.publish("topic", "c")), Some(0));
        assert_eq!(clients.on_route("/b", |clients| clients.publish("topic", "b")), Some(1));
    });
    wires[1].1.expect_text("b");
}

#[test]
fn proxied_addresses_go_along_and_count() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.trusted_proxies = "127.0.0.1".parse().expect("an address");
        config.max_connections_per_address = Some(2);
        config
    };
    let server = serve_with(config(), &path, echo);
    let open = |server: &Running<Closures<()>>, address: &str| {
        let mut wire = Wire::connect(server.addr);
        wire.send(request_with("/", &format!("X-Forwarded-For: {address}\r\n")).as_bytes());
        let status = wire.response().status();
        (status, wire)
    };
    let (status, first) = open(&server, "192.0.2.1");
    assert_eq!(status, 101);
    let (status, _second) = open(&server, "192.0.2.1");
    assert_eq!(status, 101);
    let (status, _other) = open(&server, "192.0.2.2");
    assert_eq!(status, 101);
    let server = server.replace(config(), &path, echo);
    server.ask(|clients| {
        let addresses: Vec<String> =
            clients.iter().map(|id| clients.peer_addr(id).expect("an address").ip().to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1", "192.0.2.1", "192.0.2.2"]);
        assert!(clients.iter().all(|id| clients.direct_addr(id).is_some_and(|addr| addr.ip().is_loopback())));
    });
    assert_eq!(open(&server, "192.0.2.1").0, 429);
    let (status, _kept) = open(&server, "192.0.2.2");
    assert_eq!(status, 101);
    assert_eq!(open(&server, "192.0.2.2").0, 429);
    drop(first);
    until(|| server.ask(|clients| clients.len()) == 3);
    assert_eq!(open(&server, "192.0.2.1").0, 101);
}

#[test]
fn counters_go_on() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let server = serve(&path, echo);
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::open(server.addr)).collect();
    clients[0].echo("one");
    clients.pop();
    until(|| server.stats().connections.open == 2);
    let before = server.stats();
    let server = server.replace(Config::default(), &path, echo);
    let after = server.stats();
    assert_eq!(after.connections, before.connections);
    assert_eq!((after.accepted, after.opened, after.closed), (before.accepted, before.opened, before.closed));
    assert_eq!((after.received, after.sent), (before.received, before.sent));
    assert_eq!((after.bytes_read, after.bytes_written), (before.bytes_read, before.bytes_written));
    clients[0].echo("two");
    let last = server.stats();
    assert_eq!(last.received.text.messages, before.received.text.messages + 1);
}

#[test]
fn a_connection_that_we_have_opened_goes_on() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let peer = crate::common::serve(crate::common::echo_script().0);
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let (messages, closes) = (reports.clone(), reports.clone());
        let closures = Closures::new().on_message(move |_, _, message: Message<'_>| {
            let _ = messages.send(message.as_text().expect("text").to_owned());
        });
        nothing_saved(closures.on_close(move |_, _, reason| drop(closes.send(format!("{reason:?}")))))
    };
    let mut server = serve(&path, make.clone());
    let url = format!("ws://{}/", peer.addr);
    let id = server.ask(move |clients| clients.connect(&url, &ConnectOptions::new()).expect("a URL"));
    until(|| server.ask(move |clients| clients.send(id, "hello").is_ok()));
    assert_eq!(reported.recv_timeout(WAIT).expect("an echo"), "hello");
    for _ in 0..2 {
        server = server.replace(Config::default(), &path, make.clone());
        server.ask(move |clients| {
            assert!(clients.is_outgoing(id));
            clients.send(id, "hello again").expect("it is open");
        });
        assert_eq!(reported.recv_timeout(WAIT).expect("an echo"), "hello again");
    }
    server.ask(move |clients| clients.close(id, CloseCode::Normal, "bye").expect("it is open"));
    assert!(reported.recv_timeout(WAIT).expect("its end").starts_with("Local"));
}

#[test]
fn a_client_that_we_have_closed_ends_once() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        nothing_saved(Closures::new().on_close(move |_, id, reason| drop(reports.send((id, reason.clone())))))
    };
    let server = serve(&path, make.clone());
    let mut client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    let id = server.ask(|clients| {
        let id = only(clients);
        clients.close(id, CloseCode::from(4001), "enough").expect("it is open");
        id
    });
    assert_eq!(client.expect_close(4001), "enough");
    let server = server.replace(Config::default(), &path, make);
    client.send(&close(4001, "enough"));
    client.expect_end();
    drop(client);
    let (closed, reason) = reported.recv_timeout(WAIT).expect("its end");
    assert!(
        closed == id && matches!(&reason, CloseReason::Local(frame) if frame.code == CloseCode::from(4001)),
        "{reason:?}"
    );
    drop(server);
    assert_eq!(reported.try_iter().count(), 0, "it ends once");
}

/// Half of them with FIN, the others with RST.
fn leave(clients: Vec<Wire>) {
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 { client.reset() } else { drop(client) }
    }
}

#[test]
fn a_client_that_leaves_before_while_or_after_another_server_takes_over_ends_once() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let ends = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ends);
    let make = move || {
        let ends = Arc::clone(&counted);
        nothing_saved(Closures::new().on_close(move |_, _, _| {
            ends.fetch_add(1, Ordering::Relaxed);
        }))
    };
    let mut server = serve(&path, make.clone());
    for round in 1..=10 {
        let [before, meanwhile, after] = [(); 3].map(|()| (0..4).map(|_| Wire::open(server.addr)).collect());
        leave(before);
        // The new one is prepared here, and takes over in its thread.
        let next = serve(&path, make.clone());
        leave(meanwhile);
        // At least those that have not left.
        assert!((4..=12).contains(&server.handed_over()));
        leave(after);
        server = next;
        until(|| server.ask(|clients| clients.iter_all().count()) == 0);
        assert_eq!(ends.load(Ordering::Relaxed), 12 * round);
    }
}
