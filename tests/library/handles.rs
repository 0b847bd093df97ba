//! One client with its data, the time, timers of a client, and who is a member of a topic.

use crate::common::serve;
use lariat::sim::{Peer, Simulation};
use lariat::{
    Answer, ClientHandle, ClientId, Clients, CloseCode, CloseReason, Config, ConnectOptions, Handler, Message,
    ReadyState, Request, Router, SendError, SlowConsumer, TimerId, Upgrade,
};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The data of a client.
#[derive(Debug, Default)]
struct Visitor {
    name: String,
    messages: u32,
}

/// What has happened to a client, with the time.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Open(ClientId),
    Timer(ClientId, TimerId, u64, Duration),
    Pong(ClientId, Vec<u8>),
    Close(ClientId, Vec<String>),
}

/// Counts the messages of each client in its data.
struct Door {
    heard: Sender<Heard>,
}

impl Handler for Door {
    type Data = Visitor;

    fn on_request(&mut self, clients: &mut Clients<Visitor>, id: ClientId, request: &Request<'_>) -> Answer {
        if request.path() == "/late" {
            clients.set_client_timer(id, SECOND, 99).expect("it is connected");
            return Answer::Later;
        }
        match request.choose_subprotocol(&["chat.v2", "chat.v1"]) {
            Some(chosen) => Upgrade::new().subprotocol(chosen).into(),
            None => Upgrade::new().into(),
        }
    }

    fn on_open(&mut self, _: &mut Clients<Visitor>, id: ClientId) {
        let _ = self.heard.send(Heard::Open(id));
    }

    fn on_message(&mut self, clients: &mut Clients<Visitor>, id: ClientId, message: Message<'_>) {
        let Some(mut client) = clients.get(id) else { return };
        let count = &mut client.data_mut().messages;
        *count += 1;
        if *count > 3 {
            client.close(CloseCode::Policy, "enough").expect("it is open");
            return;
        }
        client.data_mut().name = message.as_text().unwrap_or("?").to_owned();
        client.send(&format!("{} of {}", client.data().messages, client.data().name)).expect("it is open");
        client.send_with(|visitor| (&*visitor.name).into()).expect("it is open");
    }

    fn on_pong(&mut self, _: &mut Clients<Visitor>, id: ClientId, payload: &[u8]) {
        let _ = self.heard.send(Heard::Pong(id, payload.to_owned()));
    }

    fn on_client_timer(&mut self, clients: &mut Clients<Visitor>, id: ClientId, timer: TimerId, token: u64) {
        let _ = self.heard.send(Heard::Timer(id, timer, token, clients.now()));
        assert!(token != 13, "a panic on purpose");
    }

    fn on_close(&mut self, clients: &mut Clients<Visitor>, id: ClientId, _: &CloseReason) {
        let mut topics: Vec<String> = clients.topics(id).map(str::to_owned).collect();
        topics.sort_unstable();
        let _ = self.heard.send(Heard::Close(id, topics));
    }
}

fn door() -> (Simulation<Door>, Receiver<Heard>) {
    let (heard, happened) = channel();
    let mut config = Config::default();
    config.deflate = None;
    config.limits.ping_interval = None;
    config.limits.idle_timeout = None;
    (Simulation::new(1, config, Door { heard }), happened)
}

/// Connects a client.
fn open(sim: &mut Simulation<Door>, happened: &Receiver<Heard>) -> (Peer, ClientId) {
    let peer = sim.connect("/");
    sim.run_until_idle();
    match happened.try_iter().collect::<Vec<_>>()[..] {
        [Heard::Open(id)] => (peer, id),
        ref others => panic!("{others:?}"),
    }
}

// ---- handles ------------------------------------------------------------------------------------

#[test]
fn a_handle_changes_the_data_and_sends() {
    let (mut sim, happened) = door();
    let (peer, _) = open(&mut sim, &happened);
    for name in ["anna", "bert", "cleo", "dora"] {
        peer.send(name);
        sim.run_until_idle();
    }
    assert_eq!(peer.received_text(), ["1 of anna", "anna", "2 of bert", "bert", "3 of cleo", "cleo"]);
    assert_eq!(peer.close_reason().and_then(|reason| reason.code().into()), Some(CloseCode::Policy));
}

/// Each method of a handle does what the method of the clients does.
#[test]
fn a_handle_does_for_one_client_what_the_clients_do() {
    let (mut sim, happened) = door();
    let (peer, id) = open(&mut sim, &happened);
    let addr = peer.addr();
    let mut client = sim.clients().get(id).expect("it is connected");
    assert_eq!((client.id(), client.peer_addr(), client.ready_state()), (id, Some(addr), ReadyState::Open));
    assert_eq!((client.subprotocol(), client.route(), client.buffered_amount()), (None, None, 0));
    client.send("hello").expect("it is open");
    client.ping(b"are you there").expect("it is open");
    assert!(client.buffered_amount() > 0);
    assert!(client.subscribe("topic") && !client.subscribe("topic"));
    assert_eq!(client.topics().collect::<Vec<_>>(), ["topic"]);
    assert!(client.unsubscribe("topic"));
    assert!(client.pause() && client.is_paused() && client.resume() && !client.is_paused());
    client.set_timer(SECOND, 5);
    assert_eq!(client.clients().len(), 1);
    assert!(format!("{client:?}").contains("messages: 0"), "{client:?}");
    sim.run_for(2 * SECOND);
    assert_eq!(peer.received_text(), ["hello"]);
    assert!(matches!(happened.try_iter().collect::<Vec<_>>()[..], [Heard::Pong(..), Heard::Timer(_, _, 5, _)]));

    let mut client = sim.clients().get(id).expect("it is connected");
    client.terminate();
    // It stays valid until the end of the turn.
    assert_eq!((client.ready_state(), client.data().messages), (ReadyState::Closed, 0));
    assert_eq!(client.send("too late"), Err(SendError::NotOpen));
    assert_eq!(client.send_with(|visitor| (&*visitor.name).into()), Err(SendError::NotOpen));
    assert!(!client.pause());
    sim.run_until_idle();
    assert!(sim.clients().get(id).is_none());
}

/// What is borrowed from the data obeys the policy for slow consumers and the limits.
#[test]
fn what_a_handle_sends_of_the_data_is_bounded() {
    let (mut sim, happened) = door();
    let (dropping, id) = open(&mut sim, &happened);
    let (closing, other) = open(&mut sim, &happened);
    dropping.stop_reading();
    closing.stop_reading();
    sim.clients().set_slow_consumer(id, SlowConsumer::DropNewest);
    let send = |client: &mut ClientHandle<'_, Visitor>| client.send_with(|visitor| (&*visitor.name).into());
    let outcomes = [id, other].map(|id| {
        let mut client = sim.clients().get(id).expect("it is connected");
        client.data_mut().name = "m".repeat(1 << 20);
        (0..100).find_map(|_| send(&mut client).err())
    });
    assert_eq!(outcomes, [Some(SendError::Dropped), Some(SendError::Full)]);
    assert_eq!(sim.clients().get(other).map(|client| client.ready_state()), Some(ReadyState::Closed));
}

/// A pong that nobody has asked for keeps a connection alive in one direction (RFC 6455 §5.5.3).
#[test]
fn a_pong_can_be_sent_without_a_ping() {
    let (mut sim, happened) = door();
    let (peer, id) = open(&mut sim, &happened);
    assert_eq!(sim.clients().pong(id, &[0; 126]), Err(SendError::TooLong));
    sim.clients().pong(id, b"alive").expect("it is open");
    sim.clients().get(id).expect("it is connected").pong(b"still").expect("it is open");
    sim.run_until_idle();
    assert_eq!(peer.received_pongs(), [b"alive", b"still"]);
    peer.reset();
    sim.run_until_idle();
    assert_eq!(sim.clients().pong(id, b"alive"), Err(SendError::Gone));
}

// ---- subprotocols -------------------------------------------------------------------------------

/// The next client at the same place in the table does not inherit it.
#[test]
fn the_chosen_subprotocol_is_known_until_the_client_ends() {
    let (mut sim, happened) = door();
    let offers = ConnectOptions::new().subprotocol("other").subprotocol("chat.v1");
    let peer = sim.connect_with("/", &offers).expect("valid options");
    sim.run_until_idle();
    let Ok(Heard::Open(id)) = happened.try_recv() else { panic!("it is not open") };
    assert_eq!(sim.clients().subprotocol(id), Some("chat.v1"));
    assert_eq!(sim.clients().get(id).expect("it is connected").subprotocol(), Some("chat.v1"));
    peer.reset();
    sim.run_until_idle();
    assert_eq!(sim.clients().subprotocol(id), None);
    assert_eq!(happened.try_recv(), Ok(Heard::Close(id, vec![])));
    let (_peer, next) = open(&mut sim, &happened);
    assert_eq!((next.slot(), sim.clients().subprotocol(next)), (id.slot(), None));
}

/// A subprotocol that the client did not offer is not agreed.
#[test]
fn a_subprotocol_that_was_refused_is_not_kept() {
    let (mut sim, happened) = door();
    let peer = sim.connect("/late");
    sim.run_for(2 * SECOND);
    let Ok(Heard::Timer(id, ..)) = happened.try_recv() else { panic!("no timer") };
    let outcome = sim.clients().answer(id, Upgrade::new().subprotocol("not offered"));
    assert!(matches!(outcome, Err(SendError::BadAnswer(_))), "{outcome:?}");
    assert_eq!(sim.clients().subprotocol(id), None);
    sim.run_until_idle();
    assert!(!peer.is_open());
}

// ---- time ---------------------------------------------------------------------------------------

#[test]
fn now_is_the_time_of_the_simulation() {
    let (mut sim, _) = door();
    let mut before = sim.clients().now();
    for millis in [0, 1, 1_500, 86_400_000] {
        sim.run_for(Duration::from_millis(millis));
        let elapsed = sim.elapsed();
        assert_eq!(sim.clients().now(), elapsed);
        assert!(elapsed - before >= Duration::from_millis(millis));
        before = elapsed;
    }
    // Also in the middle of a turn, in which time passes.
    sim.clock().advance(SECOND);
    assert_eq!(sim.clients().now(), before + SECOND);
}

#[test]
fn now_does_not_run_backwards() {
    let server = serve(crate::common::script().0);
    let mut before = Duration::ZERO;
    for _ in 0..100 {
        let now = server.ask(|clients| clients.now());
        assert!(now >= before, "{now:?} after {before:?}");
        before = now;
    }
}

// ---- timers of clients --------------------------------------------------------------------------

#[test]
fn a_timer_of_a_client_comes_with_its_client_and_once() {
    let (mut sim, happened) = door();
    let (_anna, anna) = open(&mut sim, &happened);
    let (_bert, bert) = open(&mut sim, &happened);
    let start = sim.elapsed();
    let first = sim.clients().set_client_timer(anna, 3 * SECOND, 7).expect("it is connected");
    let second = sim.clients().set_client_timer(bert, SECOND, 7).expect("it is connected");
    let third = sim.clients().set_client_timer(bert, 2 * SECOND, 8).expect("it is connected");
    assert!(sim.clients().cancel_timer(third) && !sim.clients().cancel_timer(third));
    sim.run_for(10 * SECOND);
    let timers: Vec<Heard> = happened.try_iter().collect();
    let [Heard::Timer(b, b_timer, 7, b_at), Heard::Timer(a, a_timer, 7, a_at)] = timers[..] else {
        panic!("{timers:?}")
    };
    assert_eq!((b, b_timer, a, a_timer), (bert, second, anna, first));
    let late = Duration::from_millis(2);
    assert!((start + SECOND..start + SECOND + late).contains(&b_at), "{b_at:?}");
    assert!((start + 3 * SECOND..start + 3 * SECOND + late).contains(&a_at), "{a_at:?}");
    assert!(!sim.clients().cancel_timer(first));
}

/// They end with the client in all of its ends, and leave nothing behind.
#[test]
fn timers_of_a_client_end_with_it() {
    for how in 0..4 {
        let (mut sim, happened) = door();
        let (peer, id) = open(&mut sim, &happened);
        let idle = sim.footprint().rare;
        let timers: Vec<TimerId> =
            (0..3).map(|token| sim.clients().set_client_timer(id, 5 * SECOND, token).expect("it is there")).collect();
        let interval = sim.clients().set_client_interval(id, SECOND, 9).expect("it is there");
        // This one has nothing to do with the client.
        let own = sim.clients().set_timer(20 * SECOND, 1);
        match how {
            0 => peer.reset(),
            1 => peer.close(CloseCode::Normal, ""),
            2 => drop(sim.clients().terminate(id)),
            _ => {
                assert!(timers.iter().all(|timer| sim.clients().cancel_timer(*timer)));
                assert!(sim.clients().cancel_timer(interval));
                assert_eq!(sim.footprint().rare, idle, "what the timers needed is freed");
                peer.reset();
            }
        }
        sim.run_until_idle();
        let (next_peer, next) = open_after(&mut sim, &happened, id);
        assert_eq!(next.slot(), id.slot());
        sim.run_for(10 * SECOND);
        assert_eq!(happened.try_iter().collect::<Vec<_>>(), [], "end {how}");
        for timer in timers.iter().chain([&interval]) {
            assert!(!sim.clients().cancel_timer(*timer), "end {how}");
        }
        assert!(sim.clients().cancel_timer(own));
        assert_eq!(sim.clients().set_client_timer(id, SECOND, 1), None);
        assert_eq!(sim.clients().set_client_interval(id, SECOND, 1), None);
        drop(next_peer);
    }
}

/// Connects a client after another one has ended.
fn open_after(sim: &mut Simulation<Door>, happened: &Receiver<Heard>, before: ClientId) -> (Peer, ClientId) {
    assert_eq!(happened.try_iter().collect::<Vec<_>>(), [Heard::Close(before, vec![])]);
    open(sim, happened)
}

#[test]
fn an_interval_of_a_client_comes_again_and_again_until_it_ends() {
    let (mut sim, happened) = door();
    let (peer, id) = open(&mut sim, &happened);
    sim.clients().set_client_interval(id, SECOND / 4, 5).expect("it is connected");
    sim.run_for(SECOND + SECOND / 8);
    assert_eq!(happened.try_iter().count(), 4);
    peer.reset();
    sim.run_for(SECOND);
    assert_eq!(happened.try_iter().collect::<Vec<_>>(), [Heard::Close(id, vec![])]);
}

/// A client whose request waits has no `on_open` yet, and may never have one.
#[test]
fn a_client_whose_request_waits_can_have_a_timer() {
    let (mut sim, happened) = door();
    let peer = sim.connect("/late");
    sim.run_for(2 * SECOND);
    let Ok(Heard::Timer(id, _, 99, _)) = happened.try_recv() else { panic!("no timer") };
    sim.clients().answer(id, Upgrade::new()).expect("it waits");
    sim.run_until_idle();
    assert!(peer.is_open());
    assert_eq!(happened.try_recv(), Ok(Heard::Open(id)));
}

#[test]
fn a_panic_in_on_client_timer_closes_that_client_only() {
    let (mut sim, happened) = door();
    let (unlucky, id) = open(&mut sim, &happened);
    let (other, other_id) = open(&mut sim, &happened);
    sim.clients().set_client_timer(id, SECOND, 13);
    sim.clients().set_client_timer(other_id, SECOND, 14);
    sim.run_for(2 * SECOND);
    assert_eq!(unlucky.close_reason().and_then(|reason| reason.code().into()), Some(CloseCode::Error));
    assert!(other.is_open());
}

#[test]
fn a_timer_of_a_client_reaches_the_handler_of_its_route() {
    let (first, _first) = channel();
    let (heard, happened) = channel();
    let router = Router::new().route("/first", Door { heard: first }).route("/second", Door { heard });
    let mut sim = Simulation::new(1, Config::default(), router);
    let _peer = sim.connect("/second");
    sim.run_until_idle();
    let Ok(Heard::Open(id)) = happened.try_recv() else { panic!("it is not open") };
    sim.clients().set_client_timer(id, SECOND, 3);
    sim.run_for(2 * SECOND);
    assert!(matches!(happened.try_recv(), Ok(Heard::Timer(_, _, 3, _))));
}

// ---- members ------------------------------------------------------------------------------------

#[test]
fn members_and_topics_are_each_others_mirror() {
    let (mut sim, happened) = door();
    let clients: Vec<(Peer, ClientId)> = (0..3).map(|_| open(&mut sim, &happened)).collect();
    let ids: Vec<ClientId> = clients.iter().map(|(_, id)| *id).collect();
    for (id, topics) in ids.iter().zip([&["a", "b"][..], &["b"], &[]]) {
        topics.iter().for_each(|topic| assert!(sim.clients().subscribe(*id, topic)));
    }
    let members = |sim: &mut Simulation<Door>, topic| {
        let mut members: Vec<ClientId> = sim.clients().members(topic).collect();
        members.sort_unstable();
        assert_eq!(members.len(), sim.clients().subscribers(topic));
        members
    };
    assert_eq!([members(&mut sim, "a"), members(&mut sim, "b")], [&ids[..1], &ids[..2]]);
    assert_eq!(members(&mut sim, "nobody"), []);
    assert_eq!(sim.clients().topics(ids[1]).collect::<Vec<_>>(), ["b"]);
    assert_eq!(sim.clients().topics(ids[2]).count(), 0);

    // In `on_close`, the topics are those that the client leaves.
    clients[0].0.reset();
    sim.run_until_idle();
    assert_eq!(happened.try_recv(), Ok(Heard::Close(ids[0], vec!["a".to_owned(), "b".to_owned()])));
    assert_eq!(sim.clients().topics(ids[0]).count(), 0);
    assert_eq!([members(&mut sim, "a"), members(&mut sim, "b")], [&[][..], &ids[1..2]]);
}
