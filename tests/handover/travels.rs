//! What travels with a client: each test fails if it were lost.

use crate::common::{WAIT, Wire, close, frame, request, request_with, text};
use crate::kit::{Folder, Running, echo, fails, nothing_saved, run, serve, serve_with, until};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Closures, Config, ConnectOptions, Excess, HttpResponse, Message,
    Position, Rates, Router, Server, SlowConsumer, TimerId, Upgrade,
};
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn only(clients: &Clients<()>) -> ClientId {
    clients.iter().next().expect("a client")
}

/// The config of a server whose clients may be far behind.
fn roomy() -> Config {
    let mut config = Config::default();
    config.limits.max_unsent = 64 << 20;
    config.memory_budget = 1 << 30;
    config
}

// ---- unsent bytes ----------------------------------------------------------------------------

#[test]
fn what_slow_clients_have_not_read_arrives_once_and_complete() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        nothing_saved(Closures::new().on_open(|clients, id| {
            clients.subscribe(id, "all");
        }))
    };
    let mut server = serve_with(roomy(), &path, make);
    let mut slow: Vec<Wire> = (0..8).map(|_| Wire::open(server.addr)).collect();
    until(|| server.ask(|clients| clients.len()) == 8);
    let pattern = |seed: u8| (0..1_000_000_u32).map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ seed).collect::<Vec<u8>>();
    let mut sent = Vec::new();
    // The kernel takes a lot.
    until(|| {
        let seed = sent.len() as u8;
        sent.push(seed);
        let (payload, own) = (pattern(seed), vec![seed; 100_000]);
        server.ask(move |clients| {
            assert_eq!(clients.publish("all", &payload[..]), 8);
            let ids: Vec<ClientId> = clients.iter().collect();
            ids.into_iter().for_each(|id| clients.send(id, &own[..]).expect("it is open"));
        });
        server.ask(|clients| clients.iter().all(|id| clients.buffered_amount(id) > 2 << 20))
    });
    let unsent = |server: &Running<Closures<()>>| {
        server.ask(|clients| clients.iter().map(|id| (id, clients.buffered_amount(id))).collect::<Vec<_>>())
    };
    for _ in 0..3 {
        let before = unsent(&server);
        server = server.replace(roomy(), &path, make);
        assert_eq!(unsent(&server).len(), before.len());
        assert!(unsent(&server).iter().all(|(_, bytes)| *bytes > 1 << 20));
        // A part of it.
        for client in &mut slow {
            client.stream.get_ref().set_nonblocking(false).expect("blocking");
        }
    }
    server.ask(|clients| assert_eq!(clients.publish("all", "the end"), 8));
    for client in &mut slow {
        for seed in &sent {
            client.expect(0x82, &pattern(*seed));
            client.expect(0x82, &vec![*seed; 100_000]);
        }
        client.expect_text("the end");
    }
}

#[test]
fn a_message_that_the_handler_sends_in_pieces_goes_on() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let server = serve(&path, echo);
    let mut client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    server.ask(|clients| clients.send_piece(only(clients), "one ", Position::First).expect("it is open"));
    let server = server.replace(Config::default(), &path, echo);
    server.ask(|clients| {
        let id = only(clients);
        assert_eq!(clients.send(id, "between"), Err(lariat::SendError::Unfinished));
        clients.send_piece(id, "two ", Position::Middle).expect("it goes on");
        clients.send_piece(id, "three", Position::Last).expect("it goes on");
    });
    client.expect(0x01, b"one ");
    client.expect(0x00, b"two ");
    client.expect(0x80, b"three");
    client.echo("whole");
}

#[test]
fn a_paused_client_stays_paused_with_what_it_has_sent() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        nothing_saved(Closures::new().on_message(|clients, id, message| {
            if message.as_text() == Some("pause") {
                clients.pause(id);
            }
            let _ = clients.send(id, message);
        }))
    };
    let mut server = serve(&path, make);
    let mut client = Wire::open(server.addr);
    // One read brings all of it, so the rest is held.
    client.send(&[text("pause"), text("held"), text("also held")[..9].to_vec()].concat());
    client.expect_text("pause");
    for _ in 0..2 {
        server = server.replace(Config::default(), &path, make);
        server.ask(|clients| assert!(clients.is_paused(only(clients))));
        server.ask(|clients| clients.send(only(clients), "in the pause").expect("it is open"));
        client.expect_text("in the pause");
    }
    client.send(&text("also held")[9..]);
    client.send(&text("later"));
    server.ask(|clients| assert!(clients.resume(only(clients))));
    client.expect_text("held");
    client.expect_text("also held");
    client.expect_text("later");
}

#[test]
fn a_slow_consumer_keeps_its_policy_its_count_and_its_latest_messages() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        nothing_saved(Closures::new().on_open(|clients, id| {
            clients.set_slow_consumer(id, SlowConsumer::DropNewest);
        }))
    };
    let server = serve_with(roomy(), &path, make);
    let mut client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    let large = vec![b'x'; 1 << 20];
    let mut sent = 0;
    until(|| {
        let large = large.clone();
        let is_full = server.ask(move |clients| {
            let id = only(clients);
            clients.send(id, &large[..]) == Err(lariat::SendError::Dropped)
        });
        sent += u32::from(!is_full);
        is_full
    });
    server.ask(|clients| {
        let id = only(clients);
        for (key, words) in [(1, "old price"), (2, "a position"), (1, "new price")] {
            clients.send_latest(id, key, words).expect("it waits");
        }
    });
    let server = server.replace(roomy(), &path, make);
    server.ask(|clients| {
        let id = only(clients);
        assert_eq!(clients.send(id, "dropped"), Err(lariat::SendError::Dropped));
        clients.send_latest(id, 2, "a newer position").expect("it waits");
    });
    let server = server.replace(roomy(), &path, make);
    assert_eq!(server.ask(|clients| clients.take_dropped(only(clients))), 2);
    for _ in 0..sent {
        client.expect(0x82, &large);
    }
    let mut latest = [client.frame(), client.frame()].map(|frame| String::from_utf8(frame.payload).expect("text"));
    latest.sort();
    assert_eq!(latest, ["a newer position", "new price"]);
    assert_eq!(server.stats().conflated, 2);
}

// ---- rates and time --------------------------------------------------------------------------

#[test]
fn a_client_that_has_sent_too_much_still_waits() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.rates.bytes_per_second = Some(16 << 10);
        config
    };
    let message = vec![b'x'; 4_096 - 8];
    let server = serve_with(config(), &path, echo);
    let begin = Instant::now();
    let mut client = Wire::open(server.addr);
    // A second's worth at once, then one each quarter of a second.
    client.send(&crate::common::binary(&message).repeat(8));
    for _ in 0..4 {
        client.expect(0x82, &message);
    }
    let server = server.replace(config(), &path, echo);
    for _ in 0..4 {
        client.expect(0x82, &message);
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
    drop(server);
}

#[test]
fn a_clients_own_rates_go_along() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let make = || {
        let mut rates = Rates::default();
        rates.messages_per_second = Some(2);
        rates.excess = Excess::Close;
        let rates = Closures::new().on_open(move |clients, id| {
            clients.set_rates(id, rates.clone());
        });
        nothing_saved(rates.on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        }))
    };
    let server = serve(&path, make);
    let mut client = Wire::open(server.addr);
    client.echo("one");
    client.echo("two");
    let server = server.replace(Config::default(), &path, echo);
    client.send(&text("too much").repeat(4));
    let mut last = client.frame();
    while last.first == 0x81 {
        last = client.frame();
    }
    assert_eq!((last.first, &last.payload[..2]), (0x88, &1008_u16.to_be_bytes()[..]));
    drop(client);
    drop(server);
}

#[test]
fn timers_come_once_and_can_be_cancelled() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let (timers, of_clients) = (reports.clone(), reports.clone());
        let on_timer = Closures::new().on_timer(move |_, _, token| {
            let _ = timers.send(token);
        });
        nothing_saved(on_timer.on_client_timer(move |_, _, _, token| {
            let _ = of_clients.send(token);
        }))
    };
    let server = serve(&path, make.clone());
    let client = Wire::open(server.addr);
    until(|| server.ask(|clients| clients.len()) == 1);
    let (cancelled, of_client): (TimerId, TimerId) = server.ask(|clients| {
        let id = only(clients);
        clients.set_timer(Duration::from_millis(300), 1);
        clients.set_client_timer(id, Duration::from_millis(350), 2).expect("it is open");
        let cancelled = clients.set_timer(Duration::from_millis(100), 3);
        let of_client = clients.set_client_interval(id, Duration::from_millis(100), 4).expect("it is open");
        clients.set_client_timer(id, Duration::from_secs(1_000), 5).expect("it is open");
        (cancelled, of_client)
    });
    let server = server.replace(Config::default(), &path, make.clone());
    server.ask(move |clients| {
        assert!(clients.cancel_timer(cancelled));
        assert!(!clients.cancel_timer(cancelled));
        assert!(clients.cancel_timer(of_client));
        let new = clients.set_timer(Duration::from_secs(1_000), 6);
        assert!(new != cancelled && new != of_client, "ids are not given again");
        assert!(!clients.cancel_timer(of_client));
    });
    let server = server.replace(Config::default(), &path, make);
    let mut tokens = Vec::new();
    while !tokens.contains(&2) || !tokens.contains(&1) {
        tokens.push(reported.recv_timeout(WAIT).expect("a timer"));
    }
    // The others may have come before they were cancelled.
    tokens.retain(|token| *token < 3);
    assert_eq!(tokens, [1, 2]);
    // Timers of a client end with it.
    drop(client);
    until(|| server.ask(|clients| clients.is_empty()));
    drop(server);
    assert_eq!(reported.try_iter().filter(|token| *token != 4).count(), 0);
}

#[test]
fn an_interval_keeps_its_phase() {
    const PERIOD: Duration = Duration::from_secs(1);
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        let closures = Closures::<()>::new().on_timer(move |clients, _, _| {
            let _ = reports.send(clients.now());
        });
        let save = |_: &mut Clients<()>| {
            std::thread::sleep(Duration::from_millis(300));
            Some(Vec::new())
        };
        closures.saved_as(save, |_, _| {
            std::thread::sleep(Duration::from_millis(100));
            Ok(())
        })
    };
    let server = serve(&path, make.clone());
    server.ask(|clients| {
        clients.set_interval(PERIOD, 0);
    });
    let first = reported.recv_timeout(WAIT).expect("a tick");
    let server = server.replace(Config::default(), &path, make);
    let second = reported.recv_timeout(WAIT).expect("a tick");
    let third = reported.recv_timeout(WAIT).expect("a tick");
    for (tick, count) in [(second, 1), (third, 2)] {
        let late = (tick - first).checked_sub(count * PERIOD);
        // Ticks are never early, but the first one may have been late.
        let late = late.unwrap_or_default();
        assert!(late < Duration::from_millis(150), "the interval has moved by {late:?}");
    }
    drop(server);
}

#[test]
fn deadlines_keep_their_remaining_time() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.limits.idle_timeout = Some(Duration::from_millis(1_500));
        config.limits.ping_interval = None;
        config
    };
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        nothing_saved(Closures::new().on_close(move |_, _, reason| drop(reports.send(reason.clone()))))
    };
    let mut server = serve_with(config(), &path, make.clone());
    let mut client = Wire::open(server.addr);
    let begin = Instant::now();
    // Takeovers are no sign of life.
    let reason = loop {
        server = server.replace(config(), &path, make.clone());
        if let Ok(reason) = reported.recv_timeout(Duration::from_millis(200)) {
            break reason;
        }
        assert!(begin.elapsed() < WAIT, "takeovers keep it alive");
    };
    // It may be nearly over at a takeover.
    assert!(matches!(reason, CloseReason::Timeout(_) | CloseReason::LeftBehind), "{reason:?}");
    assert!(begin.elapsed() >= Duration::from_millis(1_400));
    client.stream.read_to_end(&mut Vec::new()).expect("it ends");
}

#[test]
fn the_longest_lifetime_counts_from_the_beginning() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let config = || {
        let mut config = Config::default();
        config.limits.max_lifetime = Some(Duration::from_millis(1_500));
        config
    };
    let mut server = serve_with(config(), &path, echo);
    let mut client = Wire::open(server.addr);
    let begin = Instant::now();
    client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let mut byte = [0];
    while client.stream.read(&mut byte).is_err() {
        server = server.replace(config(), &path, echo);
        assert!(begin.elapsed() < WAIT, "takeovers prolong it");
    }
    assert_eq!(byte, [0x88]);
    assert!(begin.elapsed() >= Duration::from_millis(1_400));
}

// ---- names -----------------------------------------------------------------------------------

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

// ---- states ----------------------------------------------------------------------------------

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

#[test]
fn a_client_that_has_gone_ends_in_one_of_the_servers() {
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
        let clients: Vec<Wire> = (0..10).map(|_| Wire::open(server.addr)).collect();
        let next = serve(&path, make.clone());
        // Some go before, some while, and some after the new one takes over.
        for (place, client) in clients.into_iter().enumerate() {
            if place % 2 == 0 { client.reset() } else { drop(client) }
        }
        server.handed_over();
        server = next;
        until(|| server.ask(|clients| clients.iter_all().count()) == 0);
        assert_eq!(ends.load(Ordering::Relaxed), 10 * round);
    }
}

// ---- what stays behind -----------------------------------------------------------------------

#[test]
fn what_is_not_answered_yet_is_answered_by_the_old_server() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let later = Arc::new(AtomicBool::new(true));
    let (asks, asked) = mpsc::channel();
    let make = move || {
        let (later, asks) = (Arc::clone(&later), asks.clone());
        let closures = Closures::new().on_request(move |clients, id, request| match request.path() {
            "/later" if later.swap(false, Ordering::Relaxed) => {
                // It must not get in the way.
                let _ = clients.set_client_timer(id, Duration::from_secs(1_000), 0);
                let _ = asks.send(id);
                Answer::Later
            }
            "/stream" => HttpResponse::streamed(lariat::http::Response::new(())).into(),
            _ => Upgrade::new().into(),
        });
        nothing_saved(closures.on_message(|clients, id, message| {
            let _ = clients.send(id, message);
        }))
    };
    let old = serve(&path, make.clone());
    let mut open = Wire::open(old.addr);
    let mut waiting = Wire::connect(old.addr);
    waiting.send(request("/later").as_bytes());
    let id = asked.recv_timeout(WAIT).expect("a request");
    let new = serve(&path, make);
    open.echo("it has been taken over");
    until(|| old.ask(|clients| clients.is_shutting_down()));
    let outcome = old.remote.answer(id, HttpResponse::from(lariat::http::Response::new("at last")));
    outcome.expect("it is still there");
    let response = waiting.response();
    assert_eq!((response.status(), &response.body[..]), (200, &b"at last"[..]));
    drop(waiting);
    assert_eq!(old.handed_over(), 1);
    open.echo("still there");
    drop(new);
}

#[test]
fn a_response_that_is_being_streamed_is_completed_by_the_old_server() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (asks, asked) = mpsc::channel();
    let make = move || {
        let asks = asks.clone();
        let closures = Closures::new().on_request(move |_, id, request| match request.path() {
            "/stream" => {
                let _ = asks.send(id);
                HttpResponse::streamed(lariat::http::Response::new(())).into()
            }
            _ => Upgrade::new().into(),
        });
        nothing_saved(closures)
    };
    let old = serve(&path, make.clone());
    let mut stream = Wire::connect(old.addr);
    stream.send(b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let id = asked.recv_timeout(WAIT).expect("a request");
    old.ask(move |clients| clients.send_body(id, "before, ").expect("it is open"));
    let new = serve(&path, make);
    until(|| old.ask(|clients| clients.is_shutting_down()));
    old.ask(move |clients| {
        clients.send_body(id, "and after").expect("it is open");
        clients.end_body(id).expect("it is open");
    });
    assert_eq!(stream.response().status(), 200);
    let mut body = String::new();
    stream.stream.read_to_string(&mut body).expect("text");
    assert!(body.contains("before, ") && body.contains("and after"), "{body:?}");
    drop(stream);
    assert_eq!(old.handed_over(), 0);
    drop(new);
}

#[test]
fn the_new_handler_is_told_of_the_end_of_what_stays_behind() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let (reports, reported) = mpsc::channel();
    let make = move || {
        let reports = reports.clone();
        let closures = Closures::new().on_open(|clients, id| clients.receive_in_pieces(id));
        nothing_saved(closures.on_close(move |_, id, reason| drop(reports.send((id, reason.clone())))))
    };
    let old = serve(&path, make.clone());
    let mut client = Wire::connect(old.addr);
    client.send(request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").as_bytes());
    assert_eq!(client.response().status(), 101);
    until(|| old.ask(|clients| clients.len()) == 1);
    let id = old.ask(|clients| {
        let id = only(clients);
        clients.set_client_timer(id, Duration::from_secs(1_000), 0);
        id
    });
    // The beginning of a compressed message: "Hello".
    client.send(&frame(0x41, &[0xf2, 0x48, 0xcd]));
    let read = request_with("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").len() as u64 + 9;
    until(|| old.stats().bytes_read == read);
    let new = serve(&path, make);
    let (ended, reason) = reported.recv_timeout(WAIT).expect("its end");
    assert_eq!((ended, reason), (id, CloseReason::LeftBehind));
    client.expect_close(1012);
    client.send(&close(1012, ""));
    drop(client);
    assert_eq!(old.handed_over(), 0);
    drop(new);
}

// ---- several loops ---------------------------------------------------------------------------

struct Several {
    addr: std::net::SocketAddr,
    remote: lariat::Remote<()>,
    thread: std::thread::JoinHandle<std::io::Result<lariat::Outcome>>,
}

fn several(path: &std::path::Path, loops: usize, reuse_port: bool) -> Several {
    let mut options = lariat::ListenOptions::default();
    options.reuse_port = reuse_port;
    let server = Server::new(roomy()).and_then(|server| server.take_over(path)).expect("a path");
    let server = server.options(options).listen("127.0.0.1:0").and_then(|server| server.loops(loops)).expect("loops");
    let lariat::LocalAddr::Tcp(addr) = server.local_addrs().remove(0) else { panic!("not TCP") };
    let remote = server.remote();
    let make = || {
        let closures = Closures::new().on_open(|clients, id| {
            clients.subscribe(id, "all");
        });
        nothing_saved(closures.on_message(|clients, id, message: Message<'_>| {
            if message.as_text() == Some("all") {
                clients.publish("all", message);
            } else {
                let number = clients.loop_number();
                let _ = clients.send(id, &format!("{} {number}", message.as_text().expect("text")));
            }
        }))
    };
    Several { addr, remote, thread: std::thread::spawn(move || server.run(make)) }
}

#[test]
fn several_loops_hand_over_together() {
    for reuse_port in [false, true] {
        let folder = Folder::new();
        let path = folder.path("handover");
        let mut server = several(&path, 2, reuse_port);
        let mut clients: Vec<Wire> = (0..12).map(|_| Wire::open(server.addr)).collect();
        let loop_of = |client: &mut Wire| {
            client.send(&text("where"));
            client.frame().payload
        };
        let mut loops: Vec<Vec<u8>> = clients.iter_mut().map(loop_of).collect();
        for _ in 0..3 {
            // Another number of loops is refused.
            let error =
                Server::new(roomy()).and_then(|server| server.take_over(&path)).and_then(|server| server.start(echo()));
            let error = error.expect_err("it has one loop");
            assert!(error.to_string().contains("loops of the old server: 2, of the new one: 1"), "{error}");
            until(|| {
                let next = Server::<()>::new(roomy()).and_then(|server| server.take_over(&path));
                next.is_ok()
            });
            let mut next = None;
            until(|| match std::panic::catch_unwind(|| several(&path, 2, reuse_port)) {
                Ok(server) => {
                    next = Some(server);
                    true
                }
                Err(_) => false,
            });
            let old = std::mem::replace(&mut server, next.expect("it starts"));
            let outcome = old.thread.join().expect("no panic").expect("it works");
            assert!(outcome.replaced);
            assert_eq!(outcome.handed_over, clients.len());
            assert_eq!(old.addr, server.addr);
            for (client, number) in clients.iter_mut().zip(&loops) {
                assert_eq!(loop_of(client), *number, "it stays on its loop");
            }
            clients[0].send(&text("all"));
            clients.iter_mut().for_each(|client| client.expect_text("all"));
            clients.push(Wire::open(server.addr));
            loops.push(loop_of(clients.last_mut().expect("it is new")));
        }
        assert!(loops.iter().any(|number| number.ends_with(b"0")) && loops.iter().any(|number| number.ends_with(b"1")));
        server.remote.shutdown(lariat::Drain::default().deadline(Duration::ZERO)).expect("it runs");
        assert!(!server.thread.join().expect("no panic").expect("it works").replaced);
        assert!(!path.exists());
    }
}

#[test]
fn a_server_with_a_unix_socket_keeps_its_clients_and_its_file() {
    let folder = Folder::new();
    let (path, socket) = (folder.path("handover"), folder.path("socket"));
    let first = Server::new(Config::default()).and_then(|server| server.take_over(&path)).expect("a path");
    let first = first.listen("127.0.0.1:0").and_then(|server| server.listen_unix(&socket)).expect("sockets");
    let mut server = run(first, echo);
    let mut client = Wire::open_unix(&socket, "/");
    client.echo("old");
    for _ in 0..2 {
        let next = Server::new(Config::default()).and_then(|server| server.take_over(&path)).expect("a path");
        let next = run(next.listen_as_before().expect("all sockets"), echo);
        assert_eq!(next.addr, server.addr);
        assert_eq!(std::mem::replace(&mut server, next).handed_over(), 1);
        client.echo("new");
        assert!(socket.exists());
        Wire::open_unix(&socket, "/").echo("newer");
        until(|| server.ask(|clients| clients.len()) == 1);
    }
    drop(server);
    assert!(!socket.exists() && !path.exists());
}
