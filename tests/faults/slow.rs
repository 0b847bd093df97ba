//! Clients that read too slowly: nothing is dropped silently, and accepted messages arrive in
//! order.

use crate::kit::{audited_rest, audited_step, closed, connect, tight};
use lariat::sim::{Peer, Simulation};
use lariat::{
    ClientId, Clients, CloseCode, CloseReason, Config, ConnectOptions, Handler, Message, OwnedMessage, Position,
    SendError, SlowConsumer,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const BUDGET: usize = 64 << 20;

/// Publishes numbers and tells slow consumers how many they missed.
pub struct Source {
    pub policy: SlowConsumer,
    pub clients: Vec<ClientId>,
    /// The number of dropped messages that `on_drain` found, by client.
    pub told: BTreeMap<ClientId, u64>,
    pub closed: BTreeMap<ClientId, CloseReason>,
}

impl Source {
    pub fn new(policy: SlowConsumer) -> Source {
        Source { policy, clients: Vec::new(), told: BTreeMap::new(), closed: BTreeMap::new() }
    }
}

impl Handler for Source {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.set_slow_consumer(id, self.policy);
        clients.subscribe(id, "numbers");
        self.clients.push(id);
    }

    fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let dropped = clients.take_dropped(id);
        if dropped > 0 {
            *self.told.entry(id).or_default() += dropped;
            clients.send(id, &format!("gap {dropped}")).expect("there is room now");
        }
    }

    fn on_close(&mut self, _: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        self.closed.insert(id, reason.clone());
    }
}

/// How a message reaches the clients of a [`Source`].
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Send,
    Publish,
    Broadcast,
}

pub const WAYS: [Way; 3] = [Way::Send, Way::Publish, Way::Broadcast];

/// Sends to all clients. Returns the number of clients that accepted the message.
fn spread(sim: &mut Simulation<Source>, way: Way, text: &str) -> usize {
    let ids = sim.handler().clients.clone();
    let clients = sim.clients();
    match way {
        Way::Send => ids.into_iter().filter(|id| clients.send(*id, text).is_ok()).count(),
        Way::Publish => clients.publish("numbers", text),
        Way::Broadcast => clients.broadcast(text),
    }
}

/// Returns a message of 2,000 bytes that contains its number and does not compress well.
pub fn numbered(number: u32) -> String {
    let mut random = StdRng::seed_from_u64(number.into());
    let digits: String = (0..1_991).map(|_| char::from(random.random_range(b'0'..=b'z'))).collect();
    format!("{number:0>8} {digits}")
}

pub fn number(message: &OwnedMessage) -> u32 {
    let text = message.as_text().expect("text");
    text[..8].parse().unwrap_or_else(|_| panic!("not numbered: {text}"))
}

/// Connects three peers: one that accepts compressed messages, one that does not, and one to which
/// the server has connected.
pub fn three<H: Handler>(sim: &mut Simulation<H>) -> [Peer; 3]
where
    H::Data: Default + 'static,
{
    let compressed = sim.connect("/");
    let plain = sim.connect_with("/", &ConnectOptions::new().uncompressed()).expect("a path");
    sim.listen("203.0.113.1", 80);
    sim.clients().connect("ws://203.0.113.1/", &ConnectOptions::new()).expect("a URL");
    sim.run_until_idle();
    let three = [compressed, plain, sim.accept().expect("the server has connected")];
    assert!(three.iter().all(Peer::is_open));
    three
}

fn source(policy: SlowConsumer) -> Simulation<Source> {
    Simulation::new(1, Config::default(), Source::new(policy))
}

#[test]
fn accepted_messages_arrive_in_order_or_on_close_says_that_they_did_not() {
    for way in WAYS {
        let mut sim = source(SlowConsumer::Close);
        let peers = three(&mut sim);
        peers.iter().for_each(Peer::stop_reading);
        let mut accepted = 0;
        for round in 0..5_000 {
            accepted += spread(&mut sim, way, &numbered(round));
            audited_step(&mut sim, BUDGET);
        }
        audited_rest(&mut sim, BUDGET);
        let stats = sim.clients().stats();
        assert_eq!((closed(&stats, "slow_consumer", ""), sim.clients().len()), (3, 0), "{way:?} {:?}", stats.closed);
        assert!(sim.handler().closed.values().all(|reason| *reason == CloseReason::SlowConsumer));
        // 4 MiB of messages, and what the network has accepted.
        assert!((3 * 2_000..3 * 5_000).contains(&accepted), "{way:?}: {accepted} accepted");
        peers.iter().for_each(Peer::resume_reading);
        sim.run_until_idle();
        for peer in &peers {
            let received: Vec<u32> = peer.received().iter().map(number).collect();
            assert!(received.iter().copied().eq(0..received.len() as u32), "{way:?}: {received:?}");
        }
    }
}

#[test]
fn with_drop_newest_messages_are_dropped_and_counted() {
    const ROUNDS: u32 = 1_000;
    for way in WAYS {
        let mut sim = source(SlowConsumer::DropNewest);
        let peers = three(&mut sim);
        peers.iter().for_each(Peer::stop_reading);
        let mut accepted = 0;
        for round in 0..ROUNDS {
            accepted += spread(&mut sim, way, &numbered(round));
            audited_step(&mut sim, BUDGET);
        }
        audited_rest(&mut sim, 2 << 20);
        let dropped = 3 * u64::from(ROUNDS) - accepted as u64;
        assert!(dropped > 1_000, "{way:?}: only {dropped} were dropped");
        assert_eq!((sim.clients().stats().dropped, sim.clients().len()), (dropped, 3), "{way:?}");
        peers.iter().for_each(Peer::resume_reading);
        sim.run_until_idle();
        assert_eq!(sim.handler().told.values().sum::<u64>(), dropped, "{way:?}: the client did not learn of a gap");
        for peer in &peers {
            let mut received = peer.received();
            let gap = received.pop().expect("a gap");
            let before: Vec<u32> = received.iter().map(number).collect();
            assert!(before.iter().copied().eq(0..before.len() as u32), "{way:?}: {before:?}");
            assert_eq!(gap.as_text().expect("text"), format!("gap {}", ROUNDS as usize - before.len()), "{way:?}");
        }
        // After that, messages arrive as before.
        assert_eq!(spread(&mut sim, way, "go on"), 3);
        sim.run_until_idle();
        assert!(peers.iter().all(|peer| peer.received_text() == ["go on"]));
    }
}

/// A sender that gets `Dropped` may continue, but not in the middle of a message.
#[test]
fn part_of_a_message_is_never_dropped() {
    let mut sim = source(SlowConsumer::DropNewest);
    let peer = connect(&mut sim, 1).remove(0);
    let id = sim.handler().clients[0];
    peer.stop_reading();
    let clients = sim.clients();
    clients.send_piece(id, "a", Position::First).expect("there is room");
    let megabyte = vec![b'x'; 1 << 20];
    let mut outcome = Ok(());
    while outcome.is_ok() {
        outcome = clients.send_piece(id, &megabyte, Position::Middle);
    }
    assert_eq!(outcome, Err(SendError::Full));
    sim.run_until_idle();
    assert_eq!(sim.handler().closed.get(&id), Some(&CloseReason::SlowConsumer));
    assert_eq!(sim.clients().stats().dropped, 0);
}

#[test]
fn a_message_larger_than_the_limit_is_dropped_too() {
    let mut sim = source(SlowConsumer::DropNewest);
    let peer = connect(&mut sim, 1).remove(0);
    let id = sim.handler().clients[0];
    let outcome = sim.clients().send(id, &vec![7; 5 << 20]);
    assert_eq!((outcome, sim.clients().take_dropped(id)), (Err(SendError::Dropped), 1));
    assert_eq!(sim.clients().take_dropped(id), 0, "reported once");
    sim.run_until_idle();
    assert!(peer.is_open());
}

/// If a client never reads its echoes, the server stops reading it. It is not dropped and not
/// closed as a slow consumer.
#[test]
fn a_client_that_does_not_read_is_not_read() {
    for policy in [SlowConsumer::Close, SlowConsumer::DropNewest] {
        let mut sim = Simulation::new(1, tight(BUDGET), Echoes(policy));
        let peer = connect(&mut sim, 1).remove(0);
        peer.stop_reading();
        (0..500).for_each(|round| peer.send(&numbered(round)));
        sim.run_until_idle();
        assert!(peer.unsent() > 0, "everything was read");
        peer.resume_reading();
        sim.run_until_idle();
        let received: Vec<u32> = peer.received().iter().map(number).collect();
        let dropped = sim.clients().stats().dropped;
        assert!(received.is_sorted(), "{received:?}");
        assert_eq!(received.len() as u64 + dropped, 500);
        // One read may bring more than fits. Then no more is read.
        assert!(dropped < 100, "{policy:?}: {dropped} were dropped");
    }
}

struct Echoes(SlowConsumer);

impl Handler for Echoes {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.set_slow_consumer(id, self.0);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

/// A Close is queued after the accepted messages, and they arrive.
#[test]
fn messages_accepted_before_a_close_are_sent_before_it() {
    let mut sim = source(SlowConsumer::Close);
    let peers = three(&mut sim);
    peers.iter().for_each(Peer::stop_reading);
    for round in 0..1_000 {
        assert_eq!(spread(&mut sim, Way::Publish, &numbered(round)), 3);
    }
    let ids = sim.handler().clients.clone();
    ids.iter().for_each(|id| sim.clients().close(*id, CloseCode::Normal, "enough").expect("it is open"));
    sim.run_until_idle();
    peers.iter().for_each(Peer::resume_reading);
    sim.run_until_idle();
    for peer in &peers {
        assert!(peer.received().iter().map(number).eq(0..1_000));
    }
    assert!(sim.handler().closed.values().all(CloseReason::was_clean));
}
