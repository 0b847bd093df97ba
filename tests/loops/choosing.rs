//! Requests that go to the loop that the application chooses.

use crate::common::{Wire, request, request_with, text};
use crate::kit::{Running, serve, serve_with};
use lariat::{
    Answer, ClientId, Clients, Closures, Config, Drain, Handler, Http, ListenOptions, Message, Request, Router,
    TrustedProxies, Upgrade,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

/// Rooms, each with a number that nobody else counts. The path says which room, and the room's name
/// which loop.
#[derive(Default)]
struct Rooms {
    visits: BTreeMap<String, u32>,
}

impl Handler for Rooms {
    type Data = String;

    fn choose_loop(&mut self, clients: &mut Clients<String>, request: &Request<'_>) -> Option<usize> {
        Some(clients.loop_for(request.path()))
    }

    fn on_request(&mut self, _: &mut Clients<String>, _: ClientId, request: &Request<'_>) -> Answer {
        Upgrade::new().with_data(request.path().to_owned()).into()
    }

    fn on_open(&mut self, clients: &mut Clients<String>, id: ClientId) {
        let Some(room) = clients.data(id).cloned() else { return };
        clients.subscribe(id, &room);
        let visits = self.visits.entry(room.clone()).or_default();
        *visits += 1;
        let _ = clients.send(id, &format!("visit {visits} on loop {}", clients.loop_number()));
    }

    fn on_message(&mut self, clients: &mut Clients<String>, id: ClientId, message: Message<'_>) {
        let Some(room) = clients.data(id).cloned() else { return };
        clients.publish(&room, message);
    }
}

fn received(client: &mut Wire) -> String {
    String::from_utf8(client.frame().payload).expect("text")
}

#[test]
fn a_room_is_on_one_loop_and_its_state_needs_no_lock() {
    let server = serve(3, Rooms::default);
    let mut loops = BTreeMap::new();
    for room in 0..40 {
        let path = format!("/room/{room}");
        let mut members: Vec<Wire> = (0..3).map(|_| Wire::open_at(server.addr, &path)).collect();
        for (number, member) in members.iter_mut().enumerate() {
            let greeting = received(member);
            let place = greeting.strip_prefix(&format!("visit {} on loop ", number + 1)).expect(&greeting);
            let known = loops.entry(room).or_insert_with(|| place.to_owned());
            assert_eq!(known, place, "all members are on one loop");
        }
        members[0].send(&text("hello"));
        members.iter_mut().for_each(|member| member.expect_text("hello"));
    }
    let used: std::collections::BTreeSet<_> = loops.values().collect();
    assert_eq!(used.len(), 3, "rooms are on all loops: {loops:?}");
    server.wait_for_connections(0);
    let accepted: u64 = server.ask_all(|clients| clients.stats().accepted).iter().sum();
    assert_eq!(accepted, 120, "a connection that goes to another loop was accepted once");
}

/// Says where it is.
fn here() -> Closures<()> {
    Closures::new().on_message(|clients, id, _| {
        let _ = clients.send(id, &clients.loop_number().to_string());
    })
}

#[test]
fn a_route_that_is_given_to_a_loop_has_all_its_clients_there() {
    let make =
        || Router::new().route("/chat", here()).on_loop(1).route("/any", here()).route("/far", here()).on_loop(5);
    for (count, expected) in [(1, ["0", "0"]), (2, ["1", "1"]), (3, ["1", "2"])] {
        let server = serve(count, make);
        for (path, place) in [("/chat", Some(expected[0])), ("/far", Some(expected[1])), ("/any", None)] {
            let mut clients: Vec<Wire> = (0..6).map(|_| Wire::open_at(server.addr, path)).collect();
            let places: Vec<String> = clients
                .iter_mut()
                .map(|client| {
                    client.send(&text("where?"));
                    received(client)
                })
                .collect();
            match place {
                Some(place) => assert_eq!(places, [place; 6]),
                None => assert!((0..count).all(|number| places.contains(&number.to_string())), "{places:?}"),
            }
            // The next ones go to the loop with the fewest.
            drop(clients);
            server.wait_for_connections(0);
        }
        // Routers know no such path on any loop.
        let mut lost = Wire::connect(server.addr);
        lost.send(request("/nowhere").as_bytes());
        assert_eq!(lost.response().status(), 404);
    }
}

#[test]
fn a_request_arrives_whole_however_it_was_sent() {
    let server = serve(2, || Router::new().route("/1", here()).on_loop(1).route("/0", here()).on_loop(0));
    let bytes = [request("/1").into_bytes(), text("a"), text("b")].concat();
    for cut in (0..bytes.len()).step_by(3) {
        let mut client = Wire::connect(server.addr);
        client.send(&bytes[..cut]);
        client.stream.get_mut().flush().expect("it is sent");
        if cut % 2 == 0 {
            std::thread::yield_now();
        }
        client.send(&bytes[cut..]);
        assert_eq!(client.response().status(), 101, "cut at {cut}");
        client.expect_text("1");
        client.expect_text("1");
    }
    // Much more than a buffer follows.
    let mut client = Wire::connect(server.addr);
    let many = text(&"x".repeat(1_000)).repeat(1_000);
    let reader = client.stream.get_ref().try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        let mut stream = reader;
        stream.write_all(&[request("/1").into_bytes(), many].concat()).expect("it is read");
    });
    assert_eq!(client.response().status(), 101);
    (0..1_000).for_each(|_| client.expect_text("1"));
    writer.join().expect("no panic");
}

/// Each request of a connection can be answered on another loop: `/N` on loop N.
fn http(config: &mut Config) {
    let mut http = Http::default();
    (http.max_body, http.max_requests) = (1 << 20, 100);
    config.limits.http = Some(http);
}

struct Answers;

impl Handler for Answers {
    type Data = ();

    fn choose_loop(&mut self, _: &mut Clients<()>, request: &Request<'_>) -> Option<usize> {
        match request.path() {
            "/panic" => panic!("as asked"),
            path => path.strip_prefix('/')?.parse().ok(),
        }
    }

    fn on_request(&mut self, clients: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
        if request.is_upgrade() {
            return Upgrade::new().into();
        }
        let sum: usize = request.body().iter().map(|byte| usize::from(*byte)).sum();
        lariat::http::Response::new(format!("loop {}, {sum}\n", clients.loop_number()).into_bytes()).into()
    }
}

#[test]
fn requests_of_one_connection_are_answered_on_their_loops_in_order() {
    let mut config = Config::default();
    http(&mut config);
    let server = serve_with(config, ListenOptions::default(), 3, || Answers);
    let mut client = Wire::connect(server.addr);
    let body = vec![1; 300_000];
    let post = |path: &str, headers: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n", body.len())
    };
    // Pipelined, with bodies.
    let mut all = Vec::new();
    for number in [0, 2, 1, 1, 0, 2] {
        all.extend_from_slice(post(&format!("/{number}"), "").as_bytes());
        all.extend_from_slice(&body);
    }
    let mut writer = client.stream.get_ref().try_clone().expect("a second handle");
    let sent = std::thread::spawn(move || writer.write_all(&all).expect("it is read"));
    for number in [0, 2, 1, 1, 0, 2] {
        let response = client.response();
        assert_eq!(response.status(), 200);
        assert_eq!(String::from_utf8_lossy(&response.body), format!("loop {number}, 300000\n"));
    }
    sent.join().expect("no panic");
    // The interim answer goes out before the body comes.
    client.send(post("/1", "Expect: 100-continue\r\n").as_bytes());
    assert_eq!(client.response().status(), 100);
    client.send(&body);
    assert_eq!(String::from_utf8_lossy(&client.response().body), "loop 1, 300000\n");
    // At last, the connection becomes a WebSocket on yet another loop.
    client.send(request("/2").as_bytes());
    assert_eq!(client.response().status(), 101);
    let ids = server.ask_all(|clients| clients.iter().count());
    assert_eq!(ids, [0, 0, 1]);
    // The panic of a handler ends one request.
    let mut client = Wire::connect(server.addr);
    client.send(request("/panic").as_bytes());
    assert_eq!(client.response().status(), 500);
}

/// The address that a proxy reported goes with the request.
#[test]
fn addresses_behind_proxies_are_kept() {
    let mut config = Config::default();
    config.trusted_proxies = "127.0.0.1".parse::<lariat::Block>().into_iter().collect::<TrustedProxies>();
    let mut options = ListenOptions::default();
    options.proxy_protocol = true;
    let make = || {
        Closures::<()>::new().choose_loop(|_, _| Some(1)).on_open(|clients, id| {
            let address = clients.peer_addr(id).map(|address| address.ip().to_string());
            let _ = clients.send(id, &format!("{address:?} on {}", clients.loop_number()));
        })
    };
    let server = serve_with(config, options, 2, make);
    for (headers, expected) in [("", "203.0.113.9"), ("X-Forwarded-For: 198.51.100.3, 127.0.0.1\r\n", "203.0.113.9")] {
        for _ in 0..2 {
            let mut client = Wire::connect(server.addr);
            client.send(b"PROXY TCP4 203.0.113.9 127.0.0.1 5000 9998\r\n");
            client.send(request_with("/", headers).as_bytes());
            assert_eq!(client.response().status(), 101);
            assert_eq!(received(&mut client), format!("{:?} on 1", Some(expected)));
        }
    }
}

/// A connection counts once, wherever it is.
#[test]
fn limits_count_a_connection_once() {
    let mut config = Config::default();
    (config.max_connections, config.max_connections_per_address) = (Some(20), Some(6));
    let server = serve_with(config, ListenOptions::default(), 2, || Answers);
    for _ in 0..5 {
        let mut clients: Vec<Wire> = (0..6).map(|n| Wire::open_at(server.addr, &format!("/{}", n % 2))).collect();
        let mut refused = Wire::connect(server.addr);
        refused.send(request("/1").as_bytes());
        assert_eq!(refused.response().status(), 429);
        clients.clear();
        drop(refused);
        server.wait_for_connections(0);
    }
}

/// What a loop cannot take now waits for it, up to a bound. What has waited has not been forgotten
/// by its deadline.
#[test]
fn requests_for_a_loop_that_is_held_wait_and_then_are_refused() {
    let mut config = Config::default();
    config.memory_budget = config.least_memory_budget_of_loops(2);
    http(&mut config);
    let least = config.memory_budget;
    let server = serve_with(config, ListenOptions::default(), 2, || Answers);
    let (go_on, wait) = mpsc::channel::<()>();
    let hold = move |_: &mut Clients<()>| {
        let _ = wait.recv();
    };
    server.remote.on_loop(1).run(hold).expect("it runs");
    // A loop that is held accepts nothing, so all of these are on loop 0.
    let body = vec![b'x'; 500_000];
    let mut waiting = Vec::new();
    let mut refused = 0;
    while refused == 0 {
        assert!(waiting.len() * body.len() < least, "the bound is no bound");
        let mut client = Wire::connect(server.addr);
        client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        client
            .send(format!("POST /1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        client.send(&body);
        let mut first = [0; 13];
        match client.stream.get_ref().peek(&mut first) {
            Ok(_) => {
                assert_eq!(client.response().status(), 503);
                refused += 1;
            }
            Err(_) => waiting.push(client),
        }
    }
    go_on.send(()).expect("it is held");
    let mut served = 0;
    for client in &mut waiting {
        client.stream.get_ref().set_read_timeout(Some(crate::common::WAIT)).expect("a timeout");
        served += usize::from(client.response().status() == 200);
    }
    assert!(served > 0, "those that have waited are served");
}

#[test]
fn an_answer_that_comes_later_finds_the_client_on_its_loop() {
    let (asked, requests) = mpsc::channel();
    let make = move || {
        let asked = asked.clone();
        Closures::<()>::new().choose_loop(|_, _| Some(1)).on_request(move |clients, id, _| {
            let _ = asked.send((id, clients.loop_number()));
            Answer::Later
        })
    };
    let server = serve(2, make);
    for _ in 0..4 {
        let mut client = Wire::connect(server.addr);
        client.send(request("/").as_bytes());
        let (id, place) = requests.recv_timeout(crate::common::WAIT).expect("a request");
        assert_eq!(place, 1);
        server.remote.answer(id, Upgrade::new()).expect("it runs");
        assert_eq!(client.response().status(), 101);
    }
}

fn attack(addr: SocketAddr, seed: usize) {
    let bytes = [request(&format!("/{}", seed % 3)).into_bytes(), text("x")].concat();
    let mut client = Wire::connect(addr);
    let cut = (seed * 37) % (bytes.len() + 1);
    let _ = client.stream.get_mut().write_all(&bytes[..cut]);
    match seed % 4 {
        0 => client.reset(),
        1 => client.shutdown_write(),
        2 => drop(client.stream.get_ref().shutdown(Shutdown::Both)),
        _ => {
            let _ = client.stream.get_mut().write_all(&bytes[cut..]);
            client.reset();
        }
    }
}

/// Clients that leave while their request is on its way leave nothing behind.
#[test]
fn clients_that_end_on_the_way_leave_nothing() {
    let mut config = Config::default();
    config.max_connections_per_address = Some(10_000);
    let server = serve_with(config, ListenOptions::default(), 3, || Answers);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let addr = server.addr;
            scope.spawn(move || (0..400).for_each(|number| attack(addr, number * 4 + thread)));
        }
    });
    server.wait_for_connections(0);
    let left = server.ask_all(|clients| {
        let stats = clients.stats();
        (stats.connections.open, stats.connections.handshaking, stats.connections.closing)
    });
    assert_eq!(left, [(0, 0, 0); 3]);
    let held: Vec<usize> = server.ask_all(|clients| clients.iter().count());
    assert_eq!(held, [0, 0, 0]);
    // And the server still serves.
    let mut client = Wire::open_at(server.addr, "/2");
    client.send(&crate::common::close(1000, ""));
    client.expect_close(1000);
}

/// While loops end one after another, requests for those that have ended are refused.
#[test]
fn requests_for_loops_that_end_get_an_answer_or_an_end() {
    for _ in 0..10 {
        let server: Running = serve(3, || Answers);
        let addr = server.addr;
        let knock = std::thread::spawn(move || {
            for number in 0.. {
                let Ok(mut stream) = std::net::TcpStream::connect(addr) else { return };
                let _ = stream.write_all(request(&format!("/{}", number % 3)).as_bytes());
            }
        });
        let mut clients: Vec<Wire> = (0..3).map(|n| Wire::open_at(addr, &format!("/{n}"))).collect();
        let mut drain = Drain::default();
        drain.deadline = Duration::from_millis(300);
        server.remote.shutdown(drain).expect("it runs");
        clients.iter_mut().for_each(|client| drop(client.expect_close(1001)));
        drop(clients);
        server.join();
        knock.join().expect("no panic");
    }
}
