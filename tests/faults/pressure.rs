//! Behaviour when memory runs short: the clients that hold most are not read and then closed, new
//! connections are refused, and this ends by itself.

use crate::common::{listen_to_log, logged, text};
use crate::kit::{
    Echo, audited_rest, audited_step, closed, connect, response, sim, status, tight, turns_to_echo, unfinished,
};
use lariat::sim::{Peer, Simulation};
use lariat::{Clients, CloseCode, CloseReason, Closures, Config, Message, Timeout};
use std::time::Duration;

const MIB: usize = 1 << 20;
const BUDGET: usize = 16 * MIB;

/// Returns a config without other timeouts, so that connections end only because of memory.
fn config() -> Config {
    let mut config = tight(BUDGET);
    config.limits.message_timeout = None;
    config.limits.idle_timeout = None;
    config.limits.ping_interval = None;
    config
}

/// Lets this many clients send a message without its end.
fn hoard(sim: &mut Simulation<Echo>, count: usize, length: usize) -> Vec<Peer> {
    let hoarders = connect(sim, count);
    hoarders.iter().for_each(|peer| peer.send_raw(&unfinished(length, length - 100)));
    audited_rest(sim, BUDGET);
    hoarders
}

#[test]
fn clients_that_hold_most_are_not_read_until_memory_is_free() {
    let mut sim = sim(config());
    let good = connect(&mut sim, 1).remove(0);
    // Nearly a mebibyte each, together slightly more than three quarters of the budget.
    let hoarders = hoard(&mut sim, 13, MIB);
    let late = connect(&mut sim, 3);
    for peer in &late {
        peer.send(&vec![1; MIB]);
    }
    audited_rest(&mut sim, BUDGET);
    let stats = sim.clients().stats();
    assert!(stats.pauses > 0 && stats.evictions == 0, "{stats:?}");
    assert!(late.iter().any(|peer| peer.received_count() == 0), "no client was paused");
    turns_to_echo(&mut sim, &good, 5);
    // Memory becomes free before the pause timeout.
    sim.run_for(Duration::from_secs(9));
    drop(hoarders);
    audited_rest(&mut sim, BUDGET);
    assert!(
        late.iter().all(|peer| peer.received_count() == 1),
        "paused clients continue: {:?} {:?}",
        sim.footprint(),
        sim.clients().stats()
    );
    assert_eq!(closed(&sim.clients().stats(), "timeout", "pause"), 0);
}

/// Enough memory becomes free for one of them, but not for all.
#[test]
fn a_paused_client_continues_when_there_is_room() {
    let mut sim = sim(config());
    let mut hoarders = hoard(&mut sim, 13, MIB);
    let late = connect(&mut sim, 1).remove(0);
    late.send(&vec![1; MIB]);
    audited_rest(&mut sim, BUDGET);
    while sim.clients().stats().pauses == 0 {
        hoarders.extend(hoard(&mut sim, 1, 200 << 10));
    }
    assert_eq!(late.received_count(), 0, "the client was not paused");
    drop(hoarders.split_off(12));
    let start = sim.elapsed();
    audited_rest(&mut sim, BUDGET);
    assert_eq!((late.received_count(), sim.elapsed()), (1, start));
}

#[test]
fn a_long_pause_ends_with_1013() {
    let mut sim = sim(config());
    let _hoarders = hoard(&mut sim, 13, MIB);
    let late = connect(&mut sim, 3);
    late.iter().for_each(|peer| peer.send(&vec![1; MIB]));
    audited_rest(&mut sim, BUDGET);
    let paused: Vec<&Peer> = late.iter().filter(|peer| peer.received_count() == 0).collect();
    assert!(!paused.is_empty());
    sim.run_for(Duration::from_millis(9_900));
    assert!(paused.iter().all(|peer| peer.is_open()), "too early");
    sim.run_for(Duration::from_millis(200));
    let stats = sim.clients().stats();
    let ended = paused.iter().filter(|peer| !peer.is_open()).count();
    assert!(ended > 0);
    assert_eq!(closed(&stats, "timeout", "pause"), ended as u64);
    for peer in paused.iter().filter(|peer| !peer.is_open()) {
        let reason = peer.close_reason().expect("the connection has ended");
        assert_eq!(u16::from(reason.code()), 1013, "{reason}");
    }
    let reason = CloseReason::Timeout(Timeout::Pause);
    assert!(sim.handler().closed.contains(&reason), "on_close has the reason");
}

/// Lets other clients hoard until a client with an incomplete message is not read any more.
fn until_paused(sim: &mut Simulation<Echo>, client: &Peer) -> Vec<Peer> {
    let mut hoarders = Vec::new();
    loop {
        let before = sim.clients().stats().pauses;
        client.send_raw(&[0; 10]);
        audited_rest(sim, BUDGET);
        if sim.clients().stats().pauses > before {
            return hoarders;
        }
        hoarders.extend(hoard(sim, 1, 100 << 10));
    }
}

/// A Close of the peer does not wait for memory.
#[test]
fn a_paused_client_can_be_closed() {
    let mut sim = sim(config());
    let _hoarders = hoard(&mut sim, 12, MIB);
    let late = connect(&mut sim, 1).remove(0);
    late.send_raw(&unfinished(MIB, 900 << 10));
    audited_rest(&mut sim, BUDGET);
    let _more = until_paused(&mut sim, &late);
    let id = sim.clients().iter().nth(12).expect("it is open");
    sim.clients().close(id, CloseCode::Normal, "").expect("it is open");
    sim.run_for(Duration::from_millis(10));
    // The end of its message arrives, which is no longer needed.
    late.send_raw(&vec![0; 130 << 10]);
    sim.run_for(Duration::from_millis(10));
    let reason = sim.handler().closed.first().expect("the client is closed");
    assert!(!matches!(reason, CloseReason::Timeout(_)), "{reason}");
}

/// A client that disconnects while it is not read frees its memory at once.
#[test]
fn a_paused_client_that_disconnects_is_removed_at_once() {
    for hang_up in [Peer::hang_up, Peer::reset] {
        let mut sim = sim(config());
        let hoarders = hoard(&mut sim, 16, MIB);
        assert!(sim.clients().stats().pauses > 0);
        let start = sim.elapsed();
        hoarders.iter().for_each(hang_up);
        audited_rest(&mut sim, BUDGET);
        let found = sim.footprint();
        assert_eq!((found.connections, found.held, sim.elapsed()), (0, found.spares, start));
    }
}

/// A client that is paused, resumed and paused again gets the whole timeout again.
#[test]
fn each_pause_has_its_own_timeout() {
    let mut sim = sim(config());
    let base = hoard(&mut sim, 12, MIB);
    let late = connect(&mut sim, 1).remove(0);
    late.send_raw(&unfinished(MIB, 900 << 10));
    audited_rest(&mut sim, BUDGET);
    let more = until_paused(&mut sim, &late);
    sim.run_for(Duration::from_secs(7));
    drop(more);
    audited_rest(&mut sim, BUDGET);
    let more = until_paused(&mut sim, &late);
    sim.run_for(Duration::from_secs(7));
    assert!(late.is_open(), "two pauses of 7 seconds are not one of 14");
    drop((base, more));
}

#[test]
fn at_the_budget_large_holders_are_closed_and_new_connections_refused() {
    listen_to_log();
    let mut sim = sim(config());
    let good = connect(&mut sim, 20);
    // Each holds too little to be paused.
    let mut hoarders = Vec::new();
    while sim.clients().stats().evictions == 0 {
        hoarders.extend(hoard(&mut sim, 10, 100 << 10));
        assert!(hoarders.len() < 400, "the budget is never used up");
        good.iter().for_each(|peer| assert!(turns_to_echo(&mut sim, peer, 20) > 0));
    }
    let stats = sim.clients().stats();
    assert!(stats.buffered > BUDGET * 3 / 5, "{} bytes are left: too many were evicted", stats.buffered);
    let refusal = response(&mut sim);
    assert_eq!(status(&refusal), 503);
    assert!(refusal.contains("\r\nRetry-After: 5\r\n"), "{refusal}");
    // Other clients are served meanwhile, and nothing is logged twice.
    for _ in 0..50 {
        hoarders.iter().for_each(|peer| peer.send_raw(&unfinished(100 << 10, 99 << 10)));
        audited_step(&mut sim, BUDGET);
        good.iter().for_each(|peer| assert!(turns_to_echo(&mut sim, peer, 20) > 0));
    }
    sim.run_for(Duration::from_secs(20));
    assert_eq!(status(&response(&mut sim)), 101, "new connections are accepted again");
    assert!(good.iter().all(Peer::is_open));
    let stats = sim.clients().stats();
    assert_eq!(stats.evictions, closed(&stats, "memory", ""));
    let gone: Vec<_> = hoarders.iter().filter_map(Peer::close_reason).collect();
    assert!(gone.iter().any(|reason| u16::from(reason.code()) == 1013), "{gone:?}");
    assert_eq!(stats.budget_exhaustions, 1);
    // The shortage begins and ends repeatedly. It is not logged each time.
    for _ in 0..3 {
        let hoarders = hoard(&mut sim, 180, 100 << 10);
        drop(hoarders);
        sim.run_for(Duration::from_secs(5));
    }
    assert!(sim.clients().stats().budget_exhaustions > 1);
    let logged = logged();
    let of_memory = logged.iter().filter(|line| line.starts_with("WARN the memory budget is used up"));
    assert_eq!(of_memory.count(), 1, "{logged:#?}");
    // Refused requests are reported at intervals.
    assert!(
        logged.iter().all(|line| line.contains("memory budget") || line.contains("refused with 503")),
        "{logged:#?}"
    );
}

/// Each client hoards too little to be paused, and none of them ever frees anything.
#[test]
fn new_connections_are_refused_no_longer_than_the_pause_timeout() {
    let mut sim = sim(config());
    let mut hoarders = Vec::new();
    while sim.clients().stats().evictions == 0 {
        hoarders.extend(hoard(&mut sim, 10, 100 << 10));
    }
    assert_eq!(status(&response(&mut sim)), 503);
    sim.run_for(Duration::from_millis(9_900));
    assert_eq!(status(&response(&mut sim)), 503);
    sim.run_for(Duration::from_millis(200));
    assert_eq!(status(&response(&mut sim)), 101);
    let left = hoarders.iter().filter(|peer| peer.is_open()).count();
    assert!(left * 2 > hoarders.len(), "{left} of {} are left: too many were evicted", hoarders.len());
    // There is no more work, so the loop is idle.
    let turns = sim.turns();
    sim.run_for(Duration::from_secs(60));
    assert!(sim.turns() - turns < 100, "{} turns without work", sim.turns() - turns);
}

/// Clients with small incomplete messages are not those that hold most.
#[test]
fn small_clients_survive_the_eviction_of_large_ones() {
    let answer = |clients: &mut Clients<()>, id, message: Message<'_>| {
        let length = if message == Message::Text("?") { MIB } else { 10 };
        let _ = clients.send(id, &vec![7; length]);
    };
    let mut sim = Simulation::new(1, config(), Closures::<()>::new().on_message(answer));
    let small = connect(&mut sim, 500);
    let message = text("a message of which half has arrived");
    small.iter().for_each(|peer| peer.send_raw(&message[..message.len() / 2]));
    sim.run_until_idle();
    // Answers that no client has had the chance to read yet. These clients have done nothing wrong,
    // but hold most.
    let large = connect(&mut sim, 60);
    large.iter().for_each(|peer| peer.send("?"));
    audited_rest(&mut sim, BUDGET);
    let stats = sim.clients().stats();
    assert!(stats.evictions > 0, "{stats:?}");
    small.iter().for_each(|peer| peer.send_raw(&message[message.len() / 2..]));
    sim.run_until_idle();
    assert!(small.iter().all(|peer| peer.received_count() == 1), "a small client was evicted");
}

/// The clients hold little more than the boxes themselves. A Close frame would need as much memory
/// as it frees.
#[test]
fn many_small_hoarders_are_not_all_evicted() {
    let mut config = config();
    config.limits.max_message = 4 << 10;
    config.limits.max_unsent = 4 << 10;
    config.limits.high_water = 1 << 10;
    config.read_buffer = 1 << 10;
    config.memory_budget = 1 << 20;
    let mut sim = sim(config);
    let mut hoarders = Vec::new();
    while sim.clients().stats().evictions == 0 {
        hoarders.extend(connect(&mut sim, 50));
        hoarders.iter().skip(hoarders.len() - 50).for_each(|peer| peer.send_raw(&unfinished(500, 10)));
        audited_rest(&mut sim, 1 << 20);
        assert!(hoarders.len() < 10_000);
    }
    let gone = sim.clients().stats().evictions as usize;
    assert!(gone < hoarders.len() / 3, "{gone} of {} were evicted for an eighth of the memory", hoarders.len());
}

/// Silence counts only while we read: a client that is not read cannot answer a ping.
#[test]
fn a_paused_client_is_not_silent() {
    let mut config = config();
    config.limits.ping_interval = Some(Duration::from_secs(2));
    config.limits.idle_timeout = Some(Duration::from_secs(5));
    let mut sim = sim(config);
    let hoarders: Vec<Peer> = hoard(&mut sim, 13, MIB);
    let late = connect(&mut sim, 3);
    late.iter().for_each(|peer| peer.send(&vec![1; MIB]));
    audited_rest(&mut sim, BUDGET);
    for _ in 0..9 {
        sim.run_for(Duration::from_secs(1));
        hoarders.iter().for_each(|peer| peer.send_raw(&[0]));
    }
    let stats = sim.clients().stats();
    assert!(stats.pauses > 0);
    assert!(late.iter().all(Peer::is_open), "{:?}", stats.closed);
}
