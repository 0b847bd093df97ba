//! Conflation: a slow reader gets the latest value of each key, and never an older value after a
//! newer one.

use crate::kit::{audited_step, closed, connect};
use crate::slow::three;
use lariat::sim::{Peer, Simulation};
use lariat::{ClientId, Clients, CloseCode, CloseReason, Config, Handler, Message, Position, SendError, SlowConsumer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::OnceLock;

const KEYS: u64 = 10;

const BUDGET: usize = 64 << 20;

/// Sends numbers to all clients.
struct Ticker {
    policy: SlowConsumer,
    clients: Vec<ClientId>,
    closed: Vec<CloseReason>,
}

impl Handler for Ticker {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.set_slow_consumer(id, self.policy);
        clients.subscribe(id, "numbers");
        self.clients.push(id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }

    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.closed.push(reason.clone());
    }
}

fn ticker(policy: SlowConsumer, config: Config) -> Simulation<Ticker> {
    Simulation::new(1, config, Ticker { policy, clients: Vec::new(), closed: Vec::new() })
}

/// Returns the price of a key, with this many characters after it that do not compress well.
fn price(key: u64, number: u64, length: usize) -> String {
    static FILLER: OnceLock<String> = OnceLock::new();
    let filler = FILLER.get_or_init(|| {
        let mut random = StdRng::seed_from_u64(1);
        (0..80_000).map(|_| char::from(random.random_range(b'0'..=b'z'))).collect()
    });
    let start = (number * 7 % 10_000) as usize;
    format!("{key} {number} {}", &filler[start..start + length])
}

fn key_and_number(text: &str) -> (u64, u64) {
    let mut words = text.split(' ').map(|word| word.parse().unwrap_or_default());
    (words.next().expect("a key"), words.next().expect("a number"))
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Send,
    Publish,
}

/// Sends the next price to all clients. Returns the number of clients that accepted it.
fn tick(sim: &mut Simulation<Ticker>, way: Way, number: u64, length: usize) -> usize {
    let (key, ids) = (number % KEYS, sim.handler().clients.clone());
    let text = price(key, number, length);
    match way {
        Way::Publish => sim.clients().publish_latest("numbers", key, &text),
        Way::Send => ids.into_iter().filter(|id| sim.clients().send_latest(*id, key, &text).is_ok()).count(),
    }
}

/// Checks that the numbers of each key only rise. Returns the last number of each key.
#[track_caller]
fn lasts(received: &[String]) -> BTreeMap<u64, u64> {
    let mut lasts = BTreeMap::new();
    for (key, number) in received.iter().map(|text| key_and_number(text)) {
        let before = lasts.insert(key, number);
        assert!(before.is_none_or(|before| before < number), "{number} of {key} arrived after {before:?}");
    }
    lasts
}

#[test]
fn a_slow_reader_gets_the_latest_value_of_each_key() {
    const ROUNDS: u64 = 3_000;
    for (way, policy) in [
        (Way::Send, SlowConsumer::Close),
        (Way::Publish, SlowConsumer::Close),
        (Way::Send, SlowConsumer::DropNewest),
        (Way::Publish, SlowConsumer::DropNewest),
    ] {
        // Some values are large: the latest values of all keys exceed the high-water mark.
        let mut sim = ticker(policy, Config::default());
        let peers = three(&mut sim);
        peers.iter().for_each(Peer::stop_reading);
        for number in 0..ROUNDS {
            assert_eq!(tick(&mut sim, way, number, 30_000), 3, "{way:?}");
            audited_step(&mut sim, 8 << 20);
        }
        let before = sim.clients().stats();
        assert!(before.conflated > 2 * ROUNDS && before.dropped == 0, "{before:?}");
        peers.iter().for_each(Peer::resume_reading);
        sim.run_until_idle();
        let mut arrived = 0;
        for peer in &peers {
            let received = peer.received_text();
            arrived += received.len() as u64;
            let lasts = lasts(&received);
            let expected: BTreeMap<u64, u64> = (ROUNDS - KEYS..ROUNDS).map(|number| (number % KEYS, number)).collect();
            assert_eq!(lasts, expected, "{way:?} {policy:?}");
        }
        let stats = sim.clients().stats();
        assert_eq!(arrived + stats.conflated, 3 * ROUNDS, "each value has arrived or was replaced");
        assert_eq!((stats.dropped, sim.clients().len()), (0, 3), "{way:?} {policy:?}");
    }
}

/// The peer reads a little and more is published, repeatedly. The order is right at any time.
#[test]
fn no_older_value_arrives_after_a_newer_one() {
    for seed in 0..30_u64 {
        let mut sim = ticker(SlowConsumer::Close, Config::default());
        let mut faults = lariat::sim::Faults::rough();
        (faults.reset, faults.half_close, faults.exhaustion, faults.aborted) = (0.0, 0.0, 0.0, 0.0);
        faults.window = 512 << (seed % 6);
        let peers = three(&mut sim);
        sim.set_faults(faults);
        let mut received = vec![Vec::new(); peers.len()];
        for number in 0..600 {
            let way = if number % 3 == 0 { Way::Send } else { Way::Publish };
            assert_eq!(tick(&mut sim, way, number, (number * 37 % 500) as usize), 3);
            match (number + seed) % 20 {
                5 => peers.iter().for_each(Peer::stop_reading),
                13 => peers.iter().for_each(Peer::resume_reading),
                _ => {}
            }
            audited_step(&mut sim, 8 << 20);
        }
        peers.iter().for_each(Peer::resume_reading);
        sim.run_until_idle();
        for (peer, received) in peers.iter().zip(&mut received) {
            received.extend(peer.received_text());
            assert_eq!(lasts(received).into_values().min(), Some(600 - KEYS), "seed {seed}");
        }
    }
}

/// Everything is sent in one turn. The kernel has refused nothing yet, but many bytes wait.
#[test]
fn a_burst_is_conflated_and_closes_no_client() {
    let mut sim = ticker(SlowConsumer::Close, Config::default());
    let peers = three(&mut sim);
    for number in 0..5_000 {
        assert_eq!(tick(&mut sim, Way::Publish, number, 2_000), 3);
    }
    sim.run_until_idle();
    for peer in &peers {
        assert_eq!(lasts(&peer.received_text()).into_values().min(), Some(5_000 - KEYS));
    }
    assert!(sim.clients().stats().conflated > 1_000);
}

#[test]
fn plain_messages_keep_their_order_beside_conflated_values() {
    let mut sim = ticker(SlowConsumer::Close, Config::default());
    let peer = connect(&mut sim, 1).remove(0);
    let id = sim.handler().clients[0];
    peer.stop_reading();
    for number in 0..1_000 {
        tick(&mut sim, Way::Send, number, 1_000);
        sim.clients().send(id, &format!("plain {number}")).expect("there is room");
        audited_step(&mut sim, BUDGET);
    }
    peer.resume_reading();
    sim.run_until_idle();
    let (plain, latest): (Vec<String>, Vec<String>) =
        peer.received_text().into_iter().partition(|text| text.starts_with("plain"));
    assert!(plain.into_iter().eq((0..1_000).map(|number| format!("plain {number}"))));
    assert_eq!(lasts(&latest).into_values().min(), Some(1_000 - KEYS));
}

/// Conflated values wait until a message in pieces has ended. Nothing may come between its pieces
/// (RFC 6455 §5.4).
#[test]
fn conflated_values_wait_for_the_end_of_a_message_in_pieces() {
    let mut sim = ticker(SlowConsumer::Close, Config::default());
    let peer = connect(&mut sim, 1).remove(0);
    let id = sim.handler().clients[0];
    peer.stop_reading();
    sim.clients().send_piece(id, &vec![b'a'; 500_000], Position::First).expect("there is room");
    sim.run_until_idle();
    tick(&mut sim, Way::Send, 7, 10);
    peer.resume_reading();
    sim.run_until_idle();
    assert_eq!(peer.received_count(), 0);
    sim.clients().send_piece(id, b"end", Position::Last).expect("there is room");
    sim.run_until_idle();
    let received = peer.received();
    assert_eq!((received.len(), received[0].len()), (2, 500_003));
    assert_eq!(received[1].as_text().expect("text"), price(7, 7, 10));
}

/// The values were accepted before the Close, so they are sent before it.
#[test]
fn conflated_values_are_sent_before_our_close() {
    let mut sim = ticker(SlowConsumer::Close, Config::default());
    let peers = three(&mut sim);
    peers.iter().for_each(Peer::stop_reading);
    for number in 0..1_000 {
        tick(&mut sim, Way::Publish, number, 1_000);
        audited_step(&mut sim, BUDGET);
    }
    for id in sim.handler().clients.clone() {
        sim.clients().close(id, CloseCode::Normal, "").expect("it is open");
    }
    audited_step(&mut sim, BUDGET);
    peers.iter().for_each(Peer::resume_reading);
    sim.run_until_idle();
    for peer in &peers {
        assert_eq!(lasts(&peer.received_text()).into_values().min(), Some(1_000 - KEYS));
    }
    assert!(sim.handler().closed.iter().all(CloseReason::was_clean), "{:?}", sim.handler().closed);
}

/// An unlimited number of keys needs memory too, even if their values are empty.
#[test]
fn the_memory_for_keys_is_bounded() {
    let mut sim = ticker(SlowConsumer::Close, Config::default());
    let peer = connect(&mut sim, 1).remove(0);
    let id = sim.handler().clients[0];
    peer.stop_reading();
    (0..10).for_each(|_| sim.clients().send(id, &vec![7; 60_000]).expect("there is room"));
    sim.run_until_idle();
    let mut accepted = 0;
    let outcome = loop {
        match sim.clients().send_latest(id, accepted, "") {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 1 << 20, "the keys are not counted");
    };
    assert_eq!(outcome, SendError::Full);
    assert!(accepted > 30_000, "only {accepted} keys were accepted");
    sim.run_until_idle();
    assert_eq!(sim.handler().closed, [CloseReason::SlowConsumer]);
    assert_eq!(closed(&sim.clients().stats(), "slow_consumer", ""), 1);
}

/// The conflated values fill the limit to the last byte. All of them, with their headers, must fit
/// when they are queued.
#[test]
fn all_conflated_values_fit_when_they_are_queued() {
    for length in [0, 100, 200, 5_000, 70_000] {
        let mut config = Config::default();
        (config.limits.max_unsent, config.limits.high_water) = (512 << 10, 64 << 10);
        let mut sim = ticker(SlowConsumer::Close, config);
        let peers = three(&mut sim);
        peers.iter().for_each(Peer::stop_reading);
        (0..5).for_each(|_| assert_eq!(sim.clients().publish("numbers", &vec![7; 80_000]), 3));
        sim.run_until_idle();
        // As many keys as fit: each counts 96 bytes in addition to its value.
        let keys = (512 << 10) / (price(0, 0, length).len() + 6 + 96);
        for key in 0..keys as u64 {
            assert_eq!(sim.clients().publish_latest("numbers", key, &price(key, key, length)), 3, "{length}, {key}");
        }
        peers.iter().for_each(Peer::resume_reading);
        sim.run_until_idle();
        for peer in &peers {
            assert_eq!(peer.received_count() as usize, 5 + keys, "{length}");
        }
        assert_eq!(sim.clients().len(), 3);
    }
}

/// Clients that hold much because they are behind are the first to be closed.
#[test]
fn conflated_values_count_when_clients_are_evicted() {
    let mut config = crate::kit::tight(16 << 20);
    config.limits.message_timeout = None;
    let mut sim = ticker(SlowConsumer::Close, config);
    let behind = connect(&mut sim, 6);
    let small = connect(&mut sim, 30);
    behind.iter().for_each(Peer::stop_reading);
    let mut narrow = lariat::sim::Faults::none();
    narrow.window = 4 << 10;
    sim.set_faults(narrow);
    for id in sim.handler().clients.clone().into_iter().take(6) {
        sim.clients().send(id, &vec![7; 5_000]).expect("there is room");
    }
    sim.run_until_idle();
    small.iter().for_each(|peer| peer.send_raw(&crate::kit::unfinished(200_000, 100_000)));
    sim.run_until_idle();
    let ids = sim.handler().clients.clone();
    for key in 0..60_u64 {
        for id in ids.iter().take(6) {
            let _ = sim.clients().send_latest(*id, key, &vec![key as u8; 60_000]);
        }
        audited_step(&mut sim, 16 << 20);
    }
    let stats = sim.clients().stats();
    assert!(stats.evictions > 0, "{stats:?}");
    assert!(small.iter().all(Peer::is_open), "clients that hold 100 kB were closed instead of those that hold 3 MB");
}
