//! Several applications in one server: broadcast, topics, routes.

use crate::common::{Ears, Script, Wire, echo_script, request, script, serve, serve_made, text};
use lariat::{ClientId, Clients, Message, Router};
use std::time::Duration;

/// Follows the orders of its clients: `+topic` subscribes, `-topic` unsubscribes, `topic=message`
/// publishes, `topic!message` publishes to the others, `=message` broadcasts, and `?` returns the
/// number of clients on the route and on all routes.
fn topics() -> (Script, Ears) {
    let (script, ears) = script();
    (script.on_message(obey), ears)
}

fn obey(clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
    let order = message.as_text().expect("text");
    let answer = if let Some(topic) = order.strip_prefix('+') {
        clients.subscribe(id, topic).to_string()
    } else if let Some(topic) = order.strip_prefix('-') {
        clients.unsubscribe(id, topic).to_string()
    } else if order == "?" {
        assert_eq!(clients.route_len(), clients.iter().count());
        format!("{} {} {}", clients.route_len(), clients.iter_all().count(), clients.len())
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
    let (scripts, ears): (Vec<Script>, Vec<Ears>) = (0..3).map(|_| topics()).unzip();
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
    let opened: Vec<usize> = ears.iter().map(|ears| ears.so_far().len()).collect();
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
        let (script, ears) = script();
        let script = script.on_open(|clients, _| {
            clients.set_timer(Duration::ZERO, 1);
        });
        (script.on_timer(|clients, _, _| assert_eq!(clients.broadcast("it is time"), 1)), ears)
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
