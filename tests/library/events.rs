//! Other threads talk to the handler, answer requests, and name the route of a call.

use crate::common::{Wire, listen_to_log, logged, request, serve, serve_made, text};
use lariat::http::StatusCode;
use lariat::sim::Simulation;
use lariat::{
    Answer, ClientId, Clients, Closures, Config, Drain, Event, Handler, Message, NotPosted, Remote, RemoteError,
    Request, Router, Server, Upgrade,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What has happened, in order.
type Story = Arc<Mutex<Vec<String>>>;

fn tell(story: &Story, what: impl Into<String>) {
    story.lock().expect("nobody panics").push(what.into());
}

fn take(story: &Story) -> Vec<String> {
    std::mem::take(&mut story.lock().expect("nobody panics"))
}

#[derive(Debug, PartialEq)]
struct Number(u32);

/// Nobody knows this one.
struct Stranger;

/// Tells which numbers it gets, with its name. Panics for 13.
struct Numbers {
    name: &'static str,
    story: Story,
}

impl Numbers {
    fn new(name: &'static str, story: &Story) -> Numbers {
        Numbers { name, story: Arc::clone(story) }
    }
}

impl Handler for Numbers {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        match event.downcast() {
            Ok(Number(13)) => panic!("a panic on purpose"),
            Ok(Number(number)) => tell(&self.story, format!("{} {number} of {}", self.name, clients.len())),
            Err(event) => event.log_unhandled(clients),
        }
    }
}

fn numbers(config: Config) -> (Simulation<Numbers>, Story) {
    let story = Story::default();
    (Simulation::new(1, config, Numbers::new("event", &story)), story)
}

#[test]
fn events_and_calls_come_in_the_order_in_which_they_were_made() {
    let (mut sim, story) = numbers(Config::default());
    let _peer = sim.connect("/");
    sim.run_until_idle();
    let (remote, other) = (sim.remote(), sim.remote());
    let said = Arc::clone(&story);
    remote.post(Number(1)).expect("there is room");
    other.run(move |clients| tell(&said, format!("call of {}", clients.len()))).expect("there is room");
    other.post(Number(2)).expect("there is room");
    assert!(!sim.is_idle() && take(&story).is_empty(), "nothing happens outside a turn");
    sim.step_at_once();
    assert_eq!(take(&story), ["event 1 of 1", "call of 1", "event 2 of 1"]);
    assert!(sim.is_idle());
}

/// An event that was not taken comes back, and can be posted again.
#[test]
fn a_refused_event_is_returned() {
    let mut config = Config::default();
    config.remote_queue = 1;
    let (mut sim, story) = numbers(config);
    let remote = sim.remote();
    remote.post(Number(1)).expect("there is room");
    let NotPosted { error, event, .. } = remote.post(Number(2)).expect_err("it is full");
    assert_eq!((error, &event), (RemoteError::Full, &Number(2)));
    sim.step_at_once();
    remote.post(event).expect("there is room again");
    sim.run_until_idle();
    assert_eq!(take(&story), ["event 1 of 0", "event 2 of 0"]);

    remote.shutdown(Drain::default()).expect("there is room");
    sim.run_until_idle();
    let value = Arc::new(());
    let refused = remote.post(Arc::clone(&value)).expect_err("it has stopped");
    assert_eq!((refused.error, Arc::strong_count(&value)), (RemoteError::Stopped, 2));
    assert_eq!(refused.to_string(), RemoteError::Stopped.to_string());
    // `?` converts it to the plain error.
    let plain = || -> Result<(), RemoteError> { Ok(remote.post(Stranger)?) };
    assert_eq!(plain(), Err(RemoteError::Stopped));
}

/// An event that waits when the server stops is dropped with the queue.
#[test]
fn an_event_that_waits_when_the_server_ends_is_dropped() {
    let (sim, _) = numbers(Config::default());
    let value = Arc::new(());
    sim.remote().post(Arc::clone(&value)).expect("there is room");
    drop(sim);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_panic_in_on_event_harms_no_client() {
    listen_to_log();
    let (mut sim, story) = numbers(Config::default());
    let peer = sim.connect("/");
    sim.run_until_idle();
    for number in [13, 14] {
        sim.remote().post(Number(number)).expect("there is room");
    }
    peer.send("still here");
    sim.run_until_idle();
    assert_eq!((take(&story), peer.received_text()), (vec!["event 14 of 1".to_owned()], vec!["still here".to_owned()]));
    let lines = logged();
    assert!(
        matches!(&lines[..], [line] if line.starts_with("ERROR the handler panicked in on_event")
        && line.ends_with("events::Number")),
        "{lines:?}"
    );
}

#[test]
fn an_event_that_no_handler_knows_is_logged_with_its_type() {
    listen_to_log();
    let mut sim = Simulation::new(1, Config::default(), Closures::<()>::new());
    sim.remote().post(Stranger).expect("there is room");
    sim.run_until_idle();
    let lines = logged();
    assert!(
        matches!(&lines[..], [line] if line.starts_with("WARN ") && line.ends_with("events::Stranger")),
        "{lines:?}"
    );
}

#[test]
fn an_event_is_of_one_type() {
    let event = Event::new(Number(7));
    assert!(event.is::<Number>() && !event.is::<u32>() && event.downcast_ref::<Stranger>().is_none());
    assert!(event.type_name().ends_with("Number") && format!("{event:?}").contains("Number"));
    let event = event.downcast::<Stranger>().map(drop).expect_err("it is a number");
    assert_eq!(event.downcast().map_err(drop), Ok(Number(7)));
}

#[test]
fn a_closure_takes_events() {
    let (sender, sums) = channel();
    let mut sum = 0;
    let closures = Closures::<()>::new().on_event(move |_, event| {
        sum += event.downcast::<u32>().expect("a number");
        sender.send(sum).expect("the test waits");
    });
    let mut sim = Simulation::new(1, Config::default(), closures);
    for number in 1..=3_u32 {
        sim.remote().post(number).expect("there is room");
    }
    sim.run_until_idle();
    assert_eq!(sums.try_iter().collect::<Vec<_>>(), [1, 3, 6]);
}

/// Echoes what it is told to the thread that told it.
struct Echo(Sender<u32>);

impl Handler for Echo {
    type Data = ();

    fn on_event(&mut self, _: &mut Clients<()>, event: Event) {
        let Number(number) = event.downcast().expect("a number");
        self.0.send(number).expect("the test waits");
    }
}

/// The loop has no client and no deadline, so only the event can wake it.
#[test]
fn an_event_wakes_a_loop_that_waits() {
    let (sender, told) = channel();
    let server = serve(Echo(sender));
    for number in 0..100 {
        server.remote.post(Number(number)).expect("there is room");
        assert_eq!(told.recv_timeout(crate::common::WAIT), Ok(number));
    }
}

#[test]
fn events_of_several_threads_all_arrive_each_thread_in_order() {
    const EACH: u32 = 5_000;
    let (sender, told) = channel();
    let server = serve(Echo(sender));
    let post = |remote: Remote<()>, first: u32| {
        for number in first..first + EACH {
            let mut event = Number(number);
            while let Err(refused) = remote.post(event) {
                assert_eq!(refused.error, RemoteError::Full);
                event = refused.event;
                std::thread::yield_now();
            }
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let remote = server.remote.clone();
            scope.spawn(move || post(remote, thread * EACH));
        }
    });
    let mut next: Vec<u32> = (0..4).map(|thread| thread * EACH).collect();
    for _ in 0..4 * EACH {
        let number = told.recv_timeout(crate::common::WAIT).expect("it arrives");
        let next = &mut next[(number / EACH) as usize];
        assert_eq!(*next, number);
        *next += 1;
    }
}

#[test]
fn a_host_is_told_to_turn_for_an_event() {
    let (sender, told) = channel();
    let mut event_loop = Server::bind("127.0.0.1:0").and_then(|server| server.start(Echo(sender))).expect("a port");
    while event_loop.timeout() == Some(Duration::ZERO) {
        event_loop.turn(None).expect("the poller works");
    }
    event_loop.remote().post(Number(5)).expect("there is room");
    assert_eq!(event_loop.timeout(), Some(Duration::ZERO));
    event_loop.turn(None).expect("the poller works");
    assert_eq!(told.try_recv(), Ok(5));
}

// ---- routes -------------------------------------------------------------------------------------

/// Two routes, and one more in a router inside.
fn router(story: &Story) -> Router<()> {
    let inner = Router::new().route("/in/a", Numbers::new("a", story)).route("/in/b", Numbers::new("b", story));
    Router::new()
        .route("/first", Numbers::new("first", story))
        .route("/second", Numbers::new("second", story))
        .also("/other")
        .route("/in/*", inner)
}

#[test]
fn calls_of_a_remote_reach_their_route() {
    let story = Story::default();
    let mut sim = Simulation::new(1, Config::default(), router(&story));
    let peers = [sim.connect("/first"), sim.connect("/second"), sim.connect("/in/b")];
    let _second = sim.connect("/other");
    sim.run_until_idle();
    let remote = sim.remote();
    for pattern in ["/second", "/in/b", "/first"] {
        let here = remote.on_route(pattern);
        let said = Arc::clone(&story);
        let join = move |clients: &mut Clients<()>| {
            for id in clients.iter().collect::<Vec<_>>() {
                clients.subscribe(id, "topic");
            }
            tell(&said, format!("{pattern} has {}", clients.len()));
        };
        here.run(join).expect("there is room");
        here.clone().post(Number(1)).expect("there is room");
        here.publish("topic", pattern).expect("there is room");
    }
    remote.post(Number(2)).expect("there is room");
    remote.publish("topic", "no route").expect("there is room");
    sim.run_until_idle();
    let expected = ["/second has 2", "second 1 of 2", "/in/b has 1", "b 1 of 1", "/first has 1", "first 1 of 1"];
    assert_eq!(take(&story), [&expected[..], &["first 2 of 1"]].concat());
    let received = peers.map(|peer| peer.received_text());
    assert_eq!(received, [vec!["/first", "no route"], vec!["/second"], vec!["/in/b"]]);
}

#[test]
fn a_call_for_a_route_that_does_not_exist_is_dropped_and_logged() {
    listen_to_log();
    let story = Story::default();
    let mut sim = Simulation::new(1, Config::default(), router(&story));
    let nowhere = sim.remote().on_route("/other");
    let value = Arc::new(());
    let held = Arc::clone(&value);
    nowhere.run(move |_| drop(held)).expect("there is room");
    nowhere.post(Number(1)).expect("there is room");
    sim.remote().on_route("/in/*").post(Number(2)).expect("there is room");
    sim.run_until_idle();
    assert_eq!((take(&story), Arc::strong_count(&value)), (vec![], 1));
    let lines = logged();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines[..2] {
        assert!(line.starts_with("ERROR ") && line.contains("\"/other\"") && line.contains("\"/second\""), "{line}");
    }
    // That route has only a router, and the event is for none of its routes.
    assert!(lines[2].starts_with("WARN ") && lines[2].contains("/in/*"), "{}", lines[2]);
}

/// What concerns a client does not depend on a route.
#[test]
fn a_remote_of_a_wrong_route_still_reaches_clients() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let opened = Arc::clone(&ids);
    let closures = Closures::<()>::new().on_open(move |_, id| opened.lock().expect("nobody panics").push(id));
    let mut sim = Simulation::new(1, Config::default(), closures);
    let peer = sim.connect("/");
    sim.run_until_idle();
    let id = ids.lock().expect("nobody panics")[0];
    sim.remote().on_route("/nowhere").send(id, "hello").expect("there is room");
    sim.run_until_idle();
    assert_eq!(peer.received_text(), ["hello"]);
}

/// A handler gets the remote of its own route, also when it starts.
#[test]
fn a_remote_of_the_clients_belongs_to_the_route_of_the_handler() {
    struct Own(Numbers);
    impl Handler for Own {
        type Data = ();
        fn on_start(&mut self, clients: &mut Clients<()>) {
            clients.remote().post(Number(1)).expect("there is room");
        }
        fn on_open(&mut self, clients: &mut Clients<()>, _: ClientId) {
            clients.remote().post(Number(2)).expect("there is room");
        }
        fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
            self.0.on_event(clients, event);
        }
    }
    let story = Story::default();
    let own = |name| Own(Numbers::new(name, &story));
    let mut sim = Simulation::new(1, Config::default(), Router::new().route("/a", own("a")).route("/b", own("b")));
    let _peer = sim.connect("/b");
    sim.run_until_idle();
    assert_eq!(take(&story), ["a 1 of 0", "b 1 of 0", "b 2 of 1"]);
}

// ---- answers ------------------------------------------------------------------------------------

/// Lets another thread answer all requests.
struct Asks(Sender<ClientId>);

impl Handler for Asks {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        self.0.send(id).expect("the test waits");
        Answer::Later
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

fn asked(asks: &Receiver<ClientId>) -> ClientId {
    asks.recv_timeout(crate::common::WAIT).expect("a request")
}

#[test]
fn another_thread_answers_a_request() {
    let (sender, asks) = channel();
    let server =
        serve_made(|| Router::new().route("/first", Numbers::new("", &Story::default())).route("/*", Asks(sender)));
    let mut wire = Wire::connect(server.addr);
    wire.send(request("/").as_bytes());
    // What follows the request waits for the answer.
    wire.send(&text("hello"));
    let id = asked(&asks);
    server.remote.answer(id, Upgrade::new()).expect("there is room");
    assert_eq!(wire.response().status(), 101);
    wire.expect_text("hello");

    let mut refused = Wire::connect(server.addr);
    refused.send(request("/").as_bytes());
    server.remote.answer(asked(&asks), StatusCode::FORBIDDEN).expect("there is room");
    assert_eq!(refused.response().status(), 403);

    // No answer is due any more, and none of these clients is harmed.
    server.remote.answer(id, StatusCode::FORBIDDEN).expect("there is room");
    let mut gone = Wire::connect(server.addr);
    gone.send(request("/").as_bytes());
    let id = asked(&asks);
    gone.reset();
    server.remote.answer(id, Upgrade::new()).expect("there is room");
    wire.echo("still here");
}

/// What other threads make or hold can be sent to them.
#[test]
fn answers_events_and_remotes_can_be_sent_between_threads() {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<Answer>();
    is_send::<Event>();
    // Whatever a client's data is.
    is_send::<Remote<std::rc::Rc<()>>>();
    is_sync::<Remote<std::rc::Rc<()>>>();
}
