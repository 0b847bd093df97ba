//! Each door of a part turns its switch on (`src/parts.rs`). The switches are for the whole
//! process, and a test that opens one door would hide that another one does not. So each test here
//! runs in a process of its own, which opens one door.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use lariat::http::{HeaderName, HeaderValue, Response};
use lariat::observe::Turns;
use lariat::sim::{Peer, Simulation};
use lariat::{
    Answer, ClientId, Clients, Config, ConnectOptions, Event, Handler, Http, HttpResponse, Message, Position, Rates,
    Request, Reserve, Router, SendError, SlowConsumer, TimerId, Trace, TrustedProxies, Upgrade,
};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Calls `open` in a process of its own. `part` is the name of the switch, and `test` that of the
/// test that calls this.
fn alone(part: &str, test: &str, open: impl FnOnce()) {
    let said = common::alone(test, open);
    println!("{part} is switched on:\n{said}");
}

/// Counts what it is called for.
#[derive(Default)]
struct Heard {
    ids: Vec<ClientId>,
    events: usize,
    pieces: usize,
    client_timers: usize,
    timers: usize,
    traces: usize,
    turns: usize,
    joined: usize,
}

impl Handler for Heard {
    type Data = ();

    fn on_open(&mut self, _: &mut Clients<()>, id: ClientId) {
        self.ids.push(id);
    }

    fn on_event(&mut self, _: &mut Clients<()>, _: Event) {
        self.events += 1;
    }

    fn on_piece(&mut self, _: &mut Clients<()>, _: ClientId, _: Message<'_>, _: Position) {
        self.pieces += 1;
    }

    fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, _: u64) {
        self.timers += 1;
    }

    fn on_client_timer(&mut self, _: &mut Clients<()>, _: ClientId, _: TimerId, _: u64) {
        self.client_timers += 1;
    }

    fn on_trace(&mut self, _: &mut Clients<()>, _: ClientId, _: &Trace) {
        self.traces += 1;
    }

    fn on_turns(&mut self, _: &mut Clients<()>, _: &Turns) {
        self.turns += 1;
    }

    fn on_subscribe(&mut self, _: &mut Clients<()>, _: ClientId, _: &str) {
        self.joined += 1;
    }
}

/// Returns a server with a client. Messages are not compressed.
fn sim() -> (Simulation<Heard>, Peer, ClientId) {
    let mut config = Config::default();
    config.deflate = None;
    let mut sim = Simulation::new(1, config, Heard::default());
    let peer = sim.connect("/");
    sim.run_until_idle();
    let id = sim.handler().ids[0];
    (sim, peer, id)
}

/// The simulator's peers are clients as well, so this server is a real one.
#[test]
fn connect_begins_a_connection() {
    alone("CONNECTING", "connect_begins_a_connection", || {
        let there = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("ws://{}/", there.local_addr().expect("an address"));
        let here = common::serve(Heard::default());
        here.ask(move |clients| clients.connect(&url, &ConnectOptions::new())).expect("the URL is valid");
        let (sender, accepted) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(there.accept()));
        let (stream, _) = accepted.recv_timeout(common::WAIT).expect("in time").expect("a connection");
        stream.set_read_timeout(Some(common::WAIT)).expect("a timeout");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a request");
        assert_eq!(line, "GET / HTTP/1.1\r\n");
    });
}

#[test]
fn adopt_serves_a_stream() {
    alone("ADOPTING", "adopt_serves_a_stream", || {
        let here = common::serve(Heard::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut client = common::Wire::connect(listener.local_addr().expect("an address"));
        let (stream, _) = listener.accept().expect("a connection");
        here.ask(move |clients| clients.adopt(stream)).expect("there is room");
        client.handshake("/");
    });
}

/// A handler whose clients have data that is given with the answer.
struct Named;

impl Handler for Named {
    type Data = Option<u32>;

    fn on_request(&mut self, _: &mut Clients<Option<u32>>, _: ClientId, _: &Request<'_>) -> Answer {
        Upgrade::new().with_data(Some(7_u32)).into()
    }

    fn on_open(&mut self, clients: &mut Clients<Option<u32>>, id: ClientId) {
        assert_eq!(clients.data(id), Some(&Some(7)));
        clients.send(id, "seven").expect("it is open");
    }
}

#[test]
fn with_data_gives_data() {
    alone("GIVEN_DATA", "with_data_gives_data", || {
        let here = common::serve(Named);
        common::Wire::open(here.addr).expect_text("seven");
    });
}

/// Answers with the request's body, or with a streamed one.
struct Page(fn(&Request<'_>) -> Answer);

impl Handler for Page {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        clients.set_timer(Duration::ZERO, id.to_u64());
        (self.0)(request)
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, token: u64) {
        let id = ClientId::from_u64(token).expect("an id");
        let _ = clients.send_body(id, "streamed").and_then(|()| clients.end_body(id));
    }
}

/// Returns the response to a request.
fn response(config: Config, page: Page, request: &str) -> String {
    let mut sim = Simulation::new(1, config, page);
    let peer = sim.connect_raw();
    peer.send_raw(request.as_bytes());
    sim.run_for(SECOND);
    String::from_utf8(peer.received_raw()).expect("text")
}

#[test]
fn http_accepts_bodies() {
    alone("HTTP", "http_accepts_bodies", || {
        let mut config = Config::default();
        config.limits.http = Some(Http::default());
        let page = Page(|request| Response::new(request.body().to_vec()).into());
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let response = response(config, page, request);
        assert!(response.ends_with("\r\n\r\nhello"), "{response}");
    });
}

#[test]
fn streamed_responses_have_a_body() {
    alone("HTTP", "streamed_responses_have_a_body", || {
        let page = Page(|_| HttpResponse::streamed(Response::new(())).into());
        let response = response(Config::default(), page, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(response.ends_with("\r\n\r\n8\r\nstreamed\r\n0\r\n\r\n"), "{response}");
    });
}

#[test]
fn set_client_timer_calls_on_client_timer() {
    alone("CLIENT_TIMERS", "set_client_timer_calls_on_client_timer", || {
        let (mut sim, _peer, id) = sim();
        sim.clients().set_client_timer(id, SECOND, 0);
        sim.run_for(2 * SECOND);
        assert_eq!(sim.handler().client_timers, 1);
    });
}

#[test]
fn set_client_interval_calls_on_client_timer() {
    alone("CLIENT_TIMERS", "set_client_interval_calls_on_client_timer", || {
        let (mut sim, _peer, id) = sim();
        sim.clients().set_client_interval(id, SECOND, 0);
        sim.run_for(3 * SECOND);
        assert_eq!(sim.handler().client_timers, 3);
    });
}

#[test]
fn set_timer_of_a_handle_calls_on_client_timer() {
    alone("CLIENT_TIMERS", "set_timer_of_a_handle_calls_on_client_timer", || {
        let (mut sim, _peer, id) = sim();
        sim.clients().get(id).expect("it is connected").set_timer(SECOND, 0);
        sim.run_for(2 * SECOND);
        assert_eq!(sim.handler().client_timers, 1);
    });
}

#[test]
fn post_calls_on_event() {
    alone("EVENTS", "post_calls_on_event", || {
        let (mut sim, ..) = sim();
        sim.remote().post("hello").expect("there is room");
        sim.run_until_idle();
        assert_eq!(sim.handler().events, 1);
    });
}

#[test]
fn a_remote_finds_its_route() {
    alone("ROUTE_PATTERNS", "a_remote_finds_its_route", || {
        let mut sim = Simulation::new(1, Config::default(), Router::new().route("/here", Heard::default()));
        let (sender, called) = std::sync::mpsc::channel();
        sim.remote().on_route("/here").run(move |_| sender.send(()).expect("the test waits")).expect("there is room");
        sim.run_until_idle();
        assert_eq!(called.recv(), Ok(()));
    });
}

#[test]
fn set_rates_delays_a_client() {
    alone("OWN_RATES", "set_rates_delays_a_client", || {
        let (mut sim, peer, id) = sim();
        let mut rates = Rates::default();
        rates.messages_per_second = Some(1);
        assert!(sim.clients().set_rates(id, rates));
        (0..10).for_each(|_| peer.send("hello"));
        sim.run_until_idle();
        assert!(sim.clients().stats().throttled > 0);
    });
}

#[test]
fn a_reserve_refuses_further_connections() {
    alone("RESERVE", "a_reserve_refuses_further_connections", || {
        let mut config = Config::default();
        config.deflate = None;
        config.reserve = Some(Reserve::new(1));
        let mut sim = Simulation::new(1, config, Heard::default());
        let peers: Vec<Peer> = (0..20).map(|_| sim.connect("/")).collect();
        sim.run_until_idle();
        assert_eq!(peers.iter().filter(|peer| peer.is_open()).count(), 1);
        assert_eq!(sim.clients().stats().refused, [(503, 19)].into());
    });
}

#[test]
fn pause_keeps_messages() {
    alone("PAUSES", "pause_keeps_messages", || {
        let (mut sim, peer, id) = sim();
        sim.clients().receive_in_pieces(id);
        assert!(sim.clients().pause(id));
        peer.send("hello");
        sim.run_until_idle();
        assert_eq!(sim.handler().pieces, 0);
        assert!(sim.clients().is_paused(id) && sim.clients().resume(id));
        sim.run_until_idle();
        assert_eq!(sim.handler().pieces, 1);
    });
}

#[test]
fn receive_in_pieces_hands_out_pieces() {
    alone("PIECES", "receive_in_pieces_hands_out_pieces", || {
        let (mut sim, peer, id) = sim();
        sim.clients().receive_in_pieces(id);
        peer.send("hello");
        sim.run_until_idle();
        assert_eq!(sim.handler().pieces, 1);
    });
}

/// Connects through a proxy at 10.0.0.1 to a server that trusts these, and returns the address that
/// the client has there.
fn address_behind(trusted: TrustedProxies) -> IpAddr {
    let mut config = Config::default();
    config.trusted_proxies = trusted;
    let mut sim = Simulation::new(1, config, Heard::default());
    let name = HeaderName::from_static("x-forwarded-for");
    let options = ConnectOptions::new().header(name, HeaderValue::from_static("203.0.113.7"));
    let proxy = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1));
    let _peer = sim.connect_by(proxy, "ws://here/", &options).expect("the URL is valid");
    sim.run_until_idle();
    let id = sim.handler().ids[0];
    sim.clients().peer_addr(id).expect("it is open").ip()
}

#[test]
fn proxies_that_are_collected_are_trusted() {
    alone("PROXIES", "proxies_that_are_collected_are_trusted", || {
        let trusted = "10.0.0.0/8".parse().expect("a block");
        assert_eq!(address_behind(trusted), IpAddr::from([203, 0, 113, 7]));
    });
}

#[test]
fn proxies_that_are_added_are_trusted() {
    alone("PROXIES", "proxies_that_are_added_are_trusted", || {
        let mut trusted = TrustedProxies::new();
        trusted.extend(["10.0.0.0/8".parse().expect("a block")]);
        assert_eq!(address_behind(trusted), IpAddr::from([203, 0, 113, 7]));
    });
}

/// Returns a server with a client that does not read, and for which too much is unsent already.
fn slow() -> (Simulation<Heard>, Peer, ClientId) {
    let (mut sim, peer, id) = sim();
    peer.stop_reading();
    sim.clients().send(id, &"m".repeat(Config::default().limits.high_water + 1)).expect("there is room");
    (sim, peer, id)
}

#[test]
fn drop_newest_drops_messages() {
    alone("SLOW_CONSUMERS", "drop_newest_drops_messages", || {
        let (mut sim, _peer, id) = slow();
        sim.clients().set_slow_consumer(id, SlowConsumer::DropNewest);
        assert_eq!(sim.clients().send(id, "too late"), Err(SendError::Dropped));
    });
}

#[test]
fn send_latest_arrives_after_a_client_was_behind() {
    alone("SLOW_CONSUMERS", "send_latest_arrives_after_a_client_was_behind", || {
        let (mut sim, peer, id) = slow();
        sim.clients().send_latest(id, 1, "first").expect("there is room");
        sim.clients().send_latest(id, 1, "latest").expect("there is room");
        peer.resume_reading();
        sim.run_until_idle();
        assert_eq!(peer.received_text()[1..], ["latest"]);
    });
}

#[test]
fn set_timer_calls_on_timer() {
    alone("TIMERS", "set_timer_calls_on_timer", || {
        let (mut sim, ..) = sim();
        sim.clients().set_timer(SECOND, 0);
        sim.run_for(2 * SECOND);
        assert_eq!(sim.handler().timers, 1);
    });
}

#[test]
fn set_interval_calls_on_timer() {
    alone("TIMERS", "set_interval_calls_on_timer", || {
        let (mut sim, ..) = sim();
        sim.clients().set_interval(SECOND, 0);
        sim.run_for(3 * SECOND);
        assert_eq!(sim.handler().timers, 3);
    });
}

#[test]
fn a_member_of_a_topic_leaves_it_at_its_end() {
    alone("TOPICS", "a_member_of_a_topic_leaves_it_at_its_end", || {
        let (mut sim, peer, id) = sim();
        assert!(sim.clients().subscribe(id, "news"));
        peer.reset();
        sim.run_until_idle();
        assert_eq!(sim.clients().subscribers("news"), 0);
    });
}

#[test]
fn trace_tells_the_story_of_a_client() {
    alone("TRACES", "trace_tells_the_story_of_a_client", || {
        let (mut sim, peer, id) = sim();
        assert!(sim.clients().trace(id));
        peer.send("hello");
        sim.run_until_idle();
        assert_eq!(sim.handler().traces, 1);
    });
}

#[test]
fn trace_all_tells_the_story_of_all_clients() {
    alone("TRACES", "trace_all_tells_the_story_of_all_clients", || {
        let (mut sim, ..) = sim();
        sim.clients().trace_all();
        let _peer = sim.connect("/");
        sim.run_until_idle();
        assert!(sim.handler().traces > 0);
    });
}

#[test]
fn loops_share_a_topic() {
    alone("LOOPS", "loops_share_a_topic", || {
        let server = lariat::Server::<()>::bind("127.0.0.1:0").and_then(|server| server.loops(2)).expect("loops");
        let remote = server.remote();
        let Some(lariat::LocalAddr::Tcp(addr)) = server.local_addrs().into_iter().next() else { panic!("not TCP") };
        let make = || {
            lariat::Closures::<()>::new().on_open(|clients, id| assert!(clients.subscribe(id, "room"))).on_message(
                |clients, _, message| {
                    clients.publish("room", message);
                },
            )
        };
        let thread = std::thread::spawn(move || server.run(make).expect("a poller that works"));
        let mut clients: Vec<_> = (0..2).map(|_| common::Wire::open(addr)).collect();
        clients[0].send(&common::text("hello"));
        clients.iter_mut().for_each(|client| client.expect_text("hello"));
        remote.shutdown(lariat::Drain::default().deadline(Duration::ZERO)).expect("it runs");
        thread.join().expect("no panic");
    });
}

#[test]
fn servers_with_a_backplane_share_a_topic() {
    alone("BACKPLANE", "servers_with_a_backplane_share_a_topic", || {
        let engine = lariat::backplane::MemoryEngine::new();
        let servers: Vec<_> = (0..2)
            .map(|_| {
                let server = lariat::Server::<()>::bind("127.0.0.1:0").and_then(|server| server.loops(1));
                let server = server.and_then(|server| server.backplane(engine.backplane())).expect("it starts");
                let (remote, addrs) = (server.remote(), server.local_addrs());
                let make = || {
                    lariat::Closures::<()>::new().on_message(|clients, _, message| {
                        clients.broadcast(message);
                    })
                };
                let thread = std::thread::spawn(move || server.run(make).expect("a poller that works"));
                (remote, addrs, thread)
            })
            .collect();
        let mut clients: Vec<_> = servers
            .iter()
            .map(|(_, addrs, _)| match addrs[0] {
                lariat::LocalAddr::Tcp(addr) => common::Wire::open(addr),
                _ => panic!("not TCP"),
            })
            .collect();
        clients[0].send(&common::text("hello"));
        clients.iter_mut().for_each(|client| client.expect_text("hello"));
        for (remote, _, thread) in servers {
            remote.shutdown(lariat::Drain::default().deadline(Duration::ZERO)).expect("it runs");
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn watch_topics_calls_on_subscribe() {
    alone("MEMBERSHIPS", "watch_topics_calls_on_subscribe", || {
        let (mut sim, _peer, id) = sim();
        sim.clients().watch_topics();
        sim.clients().subscribe(id, "topic");
        sim.run_until_idle();
        assert_eq!(sim.handler().joined, 1);
    });
}

#[test]
fn watch_turns_calls_on_turns() {
    alone("WATCH", "watch_turns_calls_on_turns", || {
        let (mut sim, ..) = sim();
        sim.clients().watch_turns(SECOND);
        sim.run_for(2 * SECOND);
        assert!(sim.handler().turns > 0);
    });
}

/// Checks that a server accepts clients at a Unix socket, and stops it.
#[cfg(unix)]
fn is_served_at(path: &std::path::Path, server: lariat::Server<()>) {
    let running = common::run(server, common::echo_script().0);
    common::Wire::open_unix(path, "/").echo("hello");
    drop(running);
}

#[cfg(unix)]
#[test]
fn listen_unix_accepts_and_removes_its_file() {
    alone("UNIX_SOCKETS", "listen_unix_accepts_and_removes_its_file", || {
        let folder = common::Folder::new();
        let path = folder.path("socket");
        let server = lariat::Server::new(Config::default()).and_then(|server| server.listen_unix(&path));
        is_served_at(&path, server.expect("it listens"));
        assert!(!path.exists(), "its file is still there");
    });
}

#[cfg(unix)]
#[test]
fn listen_on_unix_accepts() {
    alone("UNIX_SOCKETS", "listen_on_unix_accepts", || {
        let folder = common::Folder::new();
        let path = folder.path("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
        let server = lariat::Server::new(Config::default()).and_then(|server| server.listen_on_unix(listener));
        is_served_at(&path, server.expect("it listens"));
        assert!(path.exists(), "its file is not the server's");
    });
}

/// A switch without a test here could be forgotten by its door.
#[test]
fn every_switch_has_a_test_of_its_doors() {
    let switches: Vec<&str> = include_str!("../src/parts.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub(crate) static ")?.strip_suffix(": Part = Part::new();"))
        .collect();
    assert!(switches.len() >= 9, "{switches:?}");
    for switch in switches {
        assert!(include_str!("parts.rs").contains(&format!("alone(\"{switch}\", ")), "{switch} has no test");
    }
}
