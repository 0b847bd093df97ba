//! Several applications in one server: broadcast, topics, routes.

use crate::common::{Calls, Script, Wire, echo_script, request, script, serve, serve_made, text};
use lariat::{Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, Router, TimerId};
use std::time::Duration;

/// Follows the orders of its clients: `+topic` subscribes, `-topic` unsubscribes, `topic=message`
/// publishes, `topic!message` publishes to the others, `=message` broadcasts, and `?` returns the
/// number of clients on the route and on all routes.
fn topics() -> (Script, Calls) {
    let (script, calls) = script();
    (script.on_message(obey), calls)
}

fn obey(clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
    let order = message.as_text().expect("text");
    let answer = if let Some(topic) = order.strip_prefix('+') {
        clients.subscribe(id, topic).to_string()
    } else if let Some(topic) = order.strip_prefix('-') {
        clients.unsubscribe(id, topic).to_string()
    } else if order == "?" {
        assert_eq!(clients.len(), clients.iter().count());
        format!("{} {} {}", clients.len(), clients.iter_all().count(), clients.len_all())
    } else if let Some(message) = order.strip_prefix('=') {
        clients.broadcast(message).to_string()
    } else if let Some((topic, message)) = order.split_once('=') {
        clients.publish(topic, message).to_string()
    } else {
        let (topic, message) = order.split_once('!').expect("an order");
        clients.publish_except(topic, id, message).to_string()
    };
    clients.send(id, &answer).expect("it is open");
}

#[track_caller]
fn order(wire: &mut Wire, order: &str, answers: &[&str]) {
    wire.send(&text(order));
    for answer in answers {
        wire.expect_text(answer);
    }
}

#[test]
fn a_publish_reaches_the_current_members() {
    let server = serve(topics().0);
    let (mut a, mut b, mut c) = (Wire::open(server.addr), Wire::open(server.addr), Wire::open(server.addr));
    order(&mut a, "news=nobody", &["0"]);
    order(&mut a, "+news", &["true"]);
    order(&mut a, "+news", &["false"]);
    order(&mut b, "+news", &["true"]);
    order(&mut b, "+weather", &["true"]);
    order(&mut c, "news=to a and b", &["2"]);
    a.expect_text("to a and b");
    b.expect_text("to a and b");
    order(&mut a, "news!to b", &["1"]);
    b.expect_text("to b");
    order(&mut b, "-news", &["true"]);
    order(&mut b, "-news", &["false"]);
    order(&mut a, "news=to a", &["to a", "1"]);
    order(&mut c, "weather=to b", &["1"]);
    b.expect_text("to b");
    order(&mut c, "=to all", &["to all", "3"]);
    a.expect_text("to all");
    b.expect_text("to all");
    assert_eq!(server.ask(|clients| (clients.subscribers("news"), clients.subscribers("weather"))), (1, 1));
    drop(a);
    while server.ask(|clients| clients.len()) > 2 {}
    assert_eq!(server.ask(|clients| clients.subscribers("news")), 0);
    order(&mut c, "news=nobody", &["0"]);
}

#[test]
fn messages_published_in_one_turn_arrive_in_order_for_any_size() {
    let server = serve(topics().0);
    let mut wires: Vec<Wire> = (0..5).map(|_| Wire::open(server.addr)).collect();
    for wire in &mut wires {
        order(wire, "+all", &["true"]);
    }
    let payload = |number: usize| vec![number as u8; number * number * 10];
    server
        .remote
        .run(move |clients| (0..60).for_each(|n| assert_eq!(clients.publish("all", &payload(n)), 5)))
        .expect("it runs");
    for wire in &mut wires {
        (0..60).for_each(|number| wire.expect(0x82, &payload(number)));
    }
}

#[test]
fn topics_and_broadcasts_stay_within_their_route() {
    let (scripts, calls): (Vec<Script>, Vec<Calls>) = (0..3).map(|_| topics()).unzip();
    let server = serve_made(|| {
        let paths = ["/a", "/b", "/c/*"].into_iter().zip(scripts);
        paths.fold(Router::new(), |router, (path, script)| router.route(path, script))
    });
    let (mut a1, mut a2) = (Wire::open_at(server.addr, "/a"), Wire::open_at(server.addr, "/a?query"));
    let (mut b, mut c) = (Wire::open_at(server.addr, "/b"), Wire::open_at(server.addr, "/c/anything"));
    for wire in [&mut a1, &mut a2, &mut b, &mut c] {
        order(wire, "+news", &["true"]);
    }
    order(&mut a1, "news=for a", &["for a", "2"]);
    a2.expect_text("for a");
    order(&mut b, "=for b", &["for b", "1"]);
    order(&mut c, "news!for c", &["0"]);
    order(&mut a1, "?", &["2 4 4"]);
    order(&mut c, "?", &["1 4 4"]);
    for path in ["/", "/A", "/a/", "/c", "/b/more"] {
        let mut wire = Wire::connect(server.addr);
        wire.send(request(path).as_bytes());
        assert_eq!(wire.response().status(), 404, "{path}");
    }
    let opened: Vec<usize> = calls.iter().map(|calls| calls.so_far().len()).collect();
    // The handler of each route gets every `on_open` and every message of its clients: `on_open`
    // and `+news` for each client, then the orders above.
    assert_eq!(opened, [2 + 2 + 1 + 1, 1 + 1 + 1, 1 + 1 + 1 + 1]);
}

#[test]
fn a_remote_reaches_any_route() {
    let server = serve_made(|| Router::new().route("/a", topics().0).route("/b", topics().0));
    let mut b = Wire::open_at(server.addr, "/b");
    order(&mut b, "+news", &["true"]);
    let outcomes = server.ask(|clients| {
        let on_first = clients.publish("news", "nobody is there");
        let on_b = clients.on_route("/b", |clients| (clients.publish("news", "for b"), clients.iter().count()));
        (on_first, on_b, clients.on_route("/nowhere", |_| ()), clients.iter().count())
    });
    assert_eq!(outcomes, (0, Some((1, 1)), None, 0));
    b.expect_text("for b");
}

#[test]
fn timers_fire_on_the_route_that_set_them() {
    let timed = || {
        let (script, calls) = script();
        let script = script.on_open(|clients, _| {
            clients.set_timer(Duration::ZERO, 1);
        });
        (script.on_timer(|clients, _, _| assert_eq!(clients.broadcast("it is time"), 1)), calls)
    };
    let server = serve_made(move || Router::new().route("/a", timed().0).route("/b", timed().0));
    let (mut a, mut b) = (Wire::open_at(server.addr, "/a"), Wire::open_at(server.addr, "/b"));
    b.expect_text("it is time");
    a.expect_text("it is time");
    drop(server);
    a.expect_close(1001);
    b.expect_close(1001);
}

#[test]
fn the_first_matching_route_gets_the_request() {
    let (first, heard) = echo_script();
    let server = serve_made(|| Router::new().route("/x/*", first).route("/x/y", script().0));
    Wire::open_at(server.addr, "/x/y").echo("hello");
    heard.open();
}

// ---- how many, and who -------------------------------------------------------------------------

/// `len`, `is_empty` and `iter` cover the same clients, in every callback and in every state.
#[test]
fn len_and_iter_agree_on_every_route_in_every_state() {
    fn agree(clients: &Clients<()>) {
        let (mine, all) = (clients.iter().count(), clients.iter_all().count());
        assert_eq!((clients.len(), clients.len_all()), (mine, all));
        assert_eq!(clients.is_empty(), mine == 0);
    }
    fn all_agree(clients: &mut Clients<()>) {
        agree(clients);
        for path in ["/a", "/b", "/later"] {
            clients.on_route(path, |clients| agree(clients)).expect("there is such a route");
        }
    }
    let (ids, asked) = std::sync::mpsc::channel();
    let watchful = move || {
        let (script, calls) = script();
        let ids = ids.clone();
        let script = script
            .on_request(move |clients, id, request| {
                all_agree(clients);
                if request.path() == "/later" {
                    ids.send(id).expect("the test waits");
                    return Answer::Later;
                }
                lariat::Upgrade::new().into()
            })
            .on_open(|clients, id| {
                all_agree(clients);
                assert!(clients.iter().any(|other| other == id), "it is open");
            })
            .on_message(|clients, id, message| {
                all_agree(clients);
                if message.as_text() == Some("close") {
                    clients.close(id, CloseCode::Normal, "").expect("it is open");
                    all_agree(clients);
                    assert!(clients.iter().all(|other| other != id), "the client is no longer open");
                } else if message.as_text() == Some("panic") {
                    panic!("a panic on purpose");
                } else {
                    let answer = format!("{} {}", clients.len(), clients.len_all());
                    clients.send(id, &answer).expect("it is open");
                }
            })
            .on_close(|clients, id, _| {
                all_agree(clients);
                assert!(clients.iter_all().all(|other| other != id), "the client is no longer open");
            });
        (script, calls)
    };
    let (a, a_calls) = watchful();
    let (b, _b_calls) = watchful();
    let (later, later_calls) = watchful();
    let server = serve_made(|| Router::new().route("/a", a).route("/b", b).route("/later", later));
    let mut wires =
        [Wire::open_at(server.addr, "/a"), Wire::open_at(server.addr, "/a"), Wire::open_at(server.addr, "/b")];
    order(&mut wires[0], "?", &["2 3"]);
    order(&mut wires[2], "?", &["1 3"]);
    server.ask(all_agree);
    // The request was answered, but `on_open` has not run yet.
    let mut late = Wire::connect(server.addr);
    late.send(request("/later").as_bytes());
    let id = asked.recv().expect("a request");
    server.ask(move |clients| {
        clients.answer(id, lariat::Upgrade::new()).expect("it waits");
        all_agree(clients);
        assert_eq!(clients.on_route("/later", |clients| clients.broadcast("too early")), Some(0));
        assert_eq!(clients.iter_all().count(), 3);
    });
    assert_eq!(late.response().status(), 101);
    later_calls.open();
    order(&mut late, "?", &["1 4"]);
    // Each way to disconnect.
    let [mut closes, panics, resets] = wires;
    closes.send(&text("close"));
    closes.expect_close(1000);
    server.ask(|clients| {
        all_agree(clients);
        assert_eq!(clients.len_all(), 3, "one is closing");
    });
    drop(closes);
    a_calls.close();
    let mut panics = panics;
    panics.send(&text("panic"));
    panics.expect_close(1011);
    server.ask(all_agree);
    resets.reset();
    while server.ask(|clients| clients.len_all()) > 1 {
        server.ask(all_agree);
    }
    order(&mut late, "?", &["1 1"]);
}

// ---- a router in a router ----------------------------------------------------------------------

/// A handler in front of another one, as middleware is.
struct Front<H>(H);

impl<H: Handler<Data = ()>> Handler for Front<H> {
    type Data = ();
    fn on_start(&mut self, clients: &mut Clients<()>) {
        self.0.on_start(clients);
    }
    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        self.0.on_request(clients, id, request)
    }
    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.0.on_open(clients, id);
    }
    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.0.on_message(clients, id, message);
    }
    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, token: u64) {
        self.0.on_timer(clients, timer, token);
    }
    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        self.0.on_close(clients, id, reason);
    }
}

/// Publishes its name to the clients of its route when a client connects, when a client sends, and
/// when its timer fires.
fn named(name: &'static str) -> impl Handler<Data = ()> {
    let tell = move |clients: &mut Clients<()>| clients.broadcast(name);
    let (script, _calls) = script();
    script
        .on_open(move |clients, _| {
            tell(clients);
        })
        .on_message(move |clients, id, message| {
            assert!(clients.subscribe(id, "topic") || message.as_text() == Some("again"));
            assert_eq!(clients.publish("topic", name), clients.len(), "topics are a route's own");
            clients.set_timer(Duration::ZERO, 0);
        })
        .on_timer(move |clients, _, _| {
            tell(clients);
        })
}

fn nested(wrapped: bool) -> Router<()> {
    let inner = Router::new().route("/in/a", named("in a")).route("/in/b/*", named("in b")).also("/in/c");
    let innermost = Router::new().route("/in/deep/x", named("deep x")).route("/in/deep/y", named("deep y"));
    let before = Router::new().route("/first", named("first"));
    if wrapped {
        before.route("/in/deep/*", Front(innermost)).route("/in/*", Front(Front(inner))).route("/last", named("last"))
    } else {
        before.route("/in/*", inner.route("/in/deep/*", innermost)).route("/last", named("last"))
    }
}

#[test]
fn a_router_can_contain_routers() {
    for wrapped in [false, true] {
        let server = serve_made(move || nested(wrapped));
        let paths = [
            ("/first", "first", "/first"),
            ("/in/a", "in a", "/in/a"),
            ("/in/b/1", "in b", "/in/b/*"),
            ("/in/c", "in b", "/in/b/*"),
            ("/in/deep/x", "deep x", "/in/deep/x"),
            ("/in/deep/y", "deep y", "/in/deep/y"),
            ("/last", "last", "/last"),
        ];
        let mut wires = Vec::new();
        for (path, name, pattern) in paths {
            let mut wire = Wire::open_at(server.addr, path);
            wire.expect_text(name);
            if path == "/in/c" {
                let before: &mut Wire = wires.last_mut().expect("/in/b/1");
                before.expect_text(name);
            }
            assert_eq!(
                server.ask(move |clients| {
                    let on_route = clients.on_route(pattern, |clients| {
                        let id = clients.iter().last().expect("a client is connected");
                        (clients.route_of(id).map(str::to_owned), clients.len())
                    });
                    on_route.expect("there is such a route")
                }),
                (Some(pattern.to_owned()), if path == "/in/c" { 2 } else { 1 })
            );
            wires.push(wire);
        }
        for (wire, (path, name, _)) in wires.iter_mut().zip(paths).filter(|(_, (path, _, _))| !path.contains("b/")) {
            if path == "/in/c" {
                continue;
            }
            wire.send(&text("hello"));
            wire.expect_text(name);
            wire.expect_text(name);
        }
        for path in ["/", "/in", "/in/", "/in/x", "/in/deep/z", "/first/a"] {
            let mut wire = Wire::connect(server.addr);
            wire.send(request(path).as_bytes());
            assert_eq!(wire.response().status(), 404, "{path}");
        }
    }
}

/// Patterns are whole paths. A pattern that no request can reach is an error that is detected at
/// once.
#[test]
#[should_panic(expected = "/users can never be reached below /api/*")]
fn a_relative_path_is_refused() {
    let _ = Router::new().route("/api/*", Router::new().route("/users", named("users")));
}

#[test]
#[should_panic(expected = "/api/users can never be reached below /api")]
fn a_router_with_unreachable_paths_is_refused() {
    let _ = Router::new().route("/api", Router::new().route("/api/users", named("users")));
}

/// Errors of the same kind: a route that can never be reached, or an alias without a route.
#[test]
#[should_panic(expected = "add a route first")]
fn an_alias_without_a_route_is_refused() {
    let _ = Router::<()>::new().also("/nothing");
}

#[test]
fn a_pattern_that_no_request_can_match_is_refused() {
    for pattern in ["", "echo", "*", "/a?b", "/a#b", "/a*", "/*/b", "/a/*/", "a/*"] {
        let build = std::panic::catch_unwind(|| drop(Router::new().route(pattern, named("x"))));
        assert!(build.is_err(), "{pattern:?}");
        let build = std::panic::catch_unwind(|| drop(Router::new().route("/", named("x")).also(pattern)));
        assert!(build.is_err(), "{pattern:?}");
    }
    let _ = Router::new().route("/", named("x")).route("/*", named("x")).route("/a/", named("x")).also("/a/*");
    // The paths of a router and those that lead to it need only overlap.
    let inner = || Router::new().route("/a/b", named("x")).route("/a/*", named("x")).route("/*", named("x"));
    let _ = Router::new().route("/a/b", inner()).route("/a/*", inner()).route("/*", inner());
}
