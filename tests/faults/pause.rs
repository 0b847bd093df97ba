//! The server's own pauses close no client: its process is stopped, the machine is suspended, a
//! handler takes long.
//!
//! Silence counts while the server listens. Bytes that arrived during the pause are read first, and
//! a ping that could not be sent is sent first. After the pause, every deadline of a connection has
//! about as much time left as before.

use crate::common::{binary, close, frame, request, text};
use crate::kit::{Echo, closed, connect, sim, tight, unfinished};
use lariat::sim::{Clock, Peer, Simulation};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Config, ConnectOptions, Drain, Excess, Handler, Message,
    Request, TimerId, Upgrade,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// In seconds. The last is longer than ticks can express.
const PAUSES: [f64; 12] = [0.3, 1.0, 5.1, 9.0, 11.0, 31.0, 51.0, 119.9, 121.0, 135.0, 4_000.0, 30.0 * 86_400.0];

fn config() -> Config {
    let mut config = Config::default();
    let limits = &mut config.limits;
    limits.handshake_timeout = 10 * SECOND;
    limits.message_timeout = Some(20 * SECOND);
    limits.write_timeout = Some(30 * SECOND);
    limits.close_timeout = 5 * SECOND;
    limits.ping_interval = Some(50 * SECOND);
    limits.idle_timeout = Some(120 * SECOND);
    config
}

/// Stops the process for this long. The network does not stop.
fn pause<H: Handler>(sim: &mut Simulation<H>, pause: f64) {
    sim.clock().advance(seconds(pause));
}

/// Half of the peers act before a pause, and the others after it.
fn pause_between<H: Handler>(sim: &mut Simulation<H>, length: f64, peers: &[Peer], act: impl Fn(&Peer)) {
    let (before, after) = peers.split_at(peers.len() / 2);
    before.iter().for_each(&act);
    pause(sim, length);
    sim.run_for(seconds(0.5));
    after.iter().for_each(&act);
}

/// A peer answers a Close and ends its half of the stream.
fn answer_close(peer: &Peer, code: u16) {
    peer.send_raw(&close(code, ""));
    peer.half_close();
}

/// Each pause, with few and with many events in a turn.
fn each_pause(test: impl Fn(f64, Config)) {
    for length in PAUSES {
        for events in [1, 1_024] {
            let mut config = config();
            config.events_per_turn = events;
            test(length, config);
        }
    }
}

#[track_caller]
fn open_raw<H: Handler>(sim: &mut Simulation<H>, count: usize) -> Vec<Peer> {
    let peers: Vec<Peer> = (0..count).map(|_| sim.connect_raw()).collect();
    peers.iter().for_each(|peer| peer.send_raw(request("/").as_bytes()));
    sim.run_until_idle();
    for peer in &peers {
        assert!(peer.received_raw().starts_with(b"HTTP/1.1 101 "));
    }
    peers
}

const PONG: &[u8] = &[0x8a, 0x80, 0, 0, 0, 0];

// ---- silence -----------------------------------------------------------------------------------

#[test]
fn a_pause_closes_no_client_that_answers_pings() {
    each_pause(|length, config| {
        for before in [0.0, 30.0, 49.99, 60.0, 99.99] {
            let mut sim = sim(config.clone());
            let peers = connect(&mut sim, 20);
            sim.run_for(seconds(before));
            pause(&mut sim, length);
            sim.run_for(300 * SECOND);
            assert!(peers.iter().all(Peer::is_open), "a pause of {length} s after {before} s");
        }
    });
}

#[test]
fn bytes_that_arrive_during_a_pause_are_read_before_a_client_is_closed() {
    each_pause(|length, config| {
        // A millisecond before the end of the silence. These clients answer no pings.
        let mut sim = sim(config);
        let peers = open_raw(&mut sim, 50);
        sim.run_for(seconds(119.999));
        peers.iter().for_each(|peer| peer.send_raw(&text("here")));
        pause(&mut sim, length);
        sim.run_for(seconds(100.0));
        for peer in &peers {
            let received = peer.received_raw();
            assert!(received.windows(6).any(|bytes| bytes == b"\x81\x04here"), "pause of {length} s: {received:?}");
        }
        assert_eq!(sim.clients().len(), 50, "pause of {length} s");
    });
}

#[test]
fn a_client_whose_ping_was_delayed_by_a_pause_has_time_to_answer() {
    each_pause(|length, config| {
        for before in [0.0, 49.0, 99.0] {
            let mut sim = sim(config.clone());
            let peers = open_raw(&mut sim, 5);
            sim.run_for(seconds(before));
            pause(&mut sim, length);
            // A ping comes sooner or later. The clients answer late.
            for _ in 0..120 {
                sim.run_for(SECOND);
                if peers[0].received_raw().ends_with(&[0x89, 0]) {
                    break;
                }
            }
            sim.run_for(19 * SECOND);
            peers.iter().for_each(|peer| peer.send_raw(PONG));
            sim.run_for(SECOND);
            assert_eq!(sim.clients().len(), 5, "a pause of {length} s after {before} s");
        }
    });
}

#[test]
fn without_pings_silence_counts_only_while_the_server_listens() {
    each_pause(|length, mut config| {
        if (1.5..62.0).contains(&length) {
            // A pause that is shorter than the rest of the silence looks like a wait for the peer.
            return;
        }
        config.limits.ping_interval = None;
        let mut sim = sim(config);
        let peers = open_raw(&mut sim, 5);
        sim.run_for(60 * SECOND);
        pause(&mut sim, length);
        sim.run_for(59 * SECOND);
        assert_eq!(sim.clients().len(), 5, "pause of {length} s");
        peers[0].send_raw(PONG);
        sim.run_for(2 * SECOND);
        assert_eq!(sim.clients().len(), 1, "pause of {length} s");
    });
}

#[test]
fn silent_clients_are_still_closed_after_a_pause() {
    each_pause(|length, config| {
        let mut sim = sim(config);
        let _silent = open_raw(&mut sim, 50);
        sim.run_for(60 * SECOND);
        pause(&mut sim, length);
        sim.run_for(61 * SECOND + 5 * SECOND);
        let stats = sim.clients().stats();
        assert_eq!(closed(&stats, "timeout", "idle"), 50, "pause of {length} s: {:?}", stats.closed);
    });
}

#[test]
fn many_pauses_are_no_worse_than_one() {
    for events in [1, 1_024] {
        let mut config = config();
        config.events_per_turn = events;
        let mut sim = sim(config);
        let peers = connect(&mut sim, 20);
        for _ in 0..100 {
            pause(&mut sim, 60.0);
            sim.run_for(SECOND);
        }
        assert!(peers.iter().all(Peer::is_open));
    }
}

/// The gate of these clients is closed, because they do not read what is sent to them.
#[test]
fn a_client_that_is_not_read_is_not_silent() {
    let mut config = config();
    (config.deflate, config.limits.ping_interval) = (None, None);
    config.limits.max_unsent = 16 << 20;
    config.limits.write_timeout = Some(30 * SECOND);
    let mut sim = sim(config);
    let peers = connect(&mut sim, 3);
    peers.iter().for_each(Peer::stop_reading);
    for peer in &peers {
        (0..8).for_each(|_| peer.send(&vec![7; 500_000]));
    }
    sim.run_until_idle();
    // They read a little now and then, so that the writes do not stall.
    for _ in 0..20 {
        sim.run_for(20 * SECOND);
        for peer in &peers {
            peer.resume_reading();
            peer.stop_reading();
        }
        sim.run_until_idle();
    }
    assert_eq!(sim.clients().len(), 3, "{:?}", sim.handler().closed);
}

// ---- every other deadline ----------------------------------------------------------------------

#[test]
fn a_request_may_be_finished_in_a_pause_or_after_it() {
    each_pause(|length, config| {
        let mut sim = sim(config);
        let request = request("/");
        let (first, second) = request.as_bytes().split_at(60);
        let during: Vec<Peer> = (0..20).map(|_| sim.connect_raw()).collect();
        let after: Vec<Peer> = (0..20).map(|_| sim.connect_raw()).collect();
        let silent: Vec<Peer> = (0..20).map(|_| sim.connect_raw()).collect();
        during.iter().chain(&after).for_each(|peer| peer.send_raw(first));
        sim.run_for(8 * SECOND);
        during.iter().for_each(|peer| peer.send_raw(second));
        let newcomers: Vec<Peer> = (0..20).map(|_| sim.connect_raw()).collect();
        newcomers.iter().for_each(|peer| peer.send_raw(request.as_bytes()));
        pause(&mut sim, length);
        sim.run_for(SECOND);
        after.iter().for_each(|peer| peer.send_raw(second));
        silent.iter().for_each(|peer| peer.send_raw(request.as_bytes()));
        sim.run_for(5 * SECOND);
        for peer in during.iter().chain(&after).chain(&silent).chain(&newcomers) {
            let head = String::from_utf8_lossy(&peer.received_raw()).into_owned();
            assert!(head.starts_with("HTTP/1.1 101 "), "pause of {length} s: {head:?}");
        }
    });
}

#[test]
fn a_message_may_be_finished_in_a_pause_or_after_it() {
    each_pause(|length, config| {
        let mut sim = sim(config);
        let peers = open_raw(&mut sim, 16);
        // Larger than one read, and than a socket holds.
        let message = unfinished(1 << 20, 1 << 20);
        let (first, second) = message.split_at(5_000);
        peers.iter().for_each(|peer| peer.send_raw(first));
        sim.run_for(18 * SECOND);
        peers[..8].iter().for_each(|peer| peer.send_raw(second));
        pause(&mut sim, length);
        sim.run_for(SECOND);
        peers[8..].iter().for_each(|peer| peer.send_raw(second));
        sim.run_for(3 * SECOND);
        for peer in &peers {
            assert_eq!(peer.received_raw().len(), 10 + (1 << 20), "pause of {length} s");
        }
    });
}

#[test]
fn a_close_may_be_answered_in_a_pause_or_after_it() {
    each_pause(|length, config| {
        let mut sim = sim(config);
        let peers = open_raw(&mut sim, 40);
        let ids: Vec<_> = sim.clients().iter().collect();
        ids.iter().for_each(|id| sim.clients().close(*id, CloseCode::Normal, "").expect("it is open"));
        sim.run_for(4 * SECOND);
        pause_between(&mut sim, length, &peers, |peer| answer_close(peer, 1000));
        sim.run_for(SECOND);
        let closed = &sim.handler().closed;
        let clean = closed.iter().filter(|reason| matches!(reason, CloseReason::Local(_))).count();
        assert_eq!((clean, closed.len()), (40, 40), "pause of {length} s");
    });
}

#[test]
fn what_waits_for_a_client_may_be_taken_in_a_pause_or_after_it() {
    each_pause(|length, mut config| {
        (config.limits.ping_interval, config.limits.idle_timeout) = (None, None);
        let mut sim = sim(config);
        let peers = connect(&mut sim, 40);
        peers.iter().for_each(Peer::stop_reading);
        for peer in &peers {
            (0..3).for_each(|_| peer.send(&vec![7; 300_000]));
        }
        sim.run_for(29 * SECOND);
        assert!(sim.clients().iter().count() == 40);
        pause_between(&mut sim, length, &peers, Peer::resume_reading);
        sim.run_for(SECOND);
        for peer in &peers {
            assert_eq!(peer.received_count(), 3, "pause of {length} s: {:?}", sim.handler().closed);
        }
    });
}

#[test]
fn the_last_bytes_of_a_conversation_may_be_taken_in_a_pause_or_after_it() {
    each_pause(|length, config| {
        let mut sim = sim(config);
        let peers = open_raw(&mut sim, 16);
        peers.iter().for_each(Peer::stop_reading);
        for peer in &peers {
            peer.send_raw(&[binary(&[7; 900_000]), close(1000, "")].concat());
            peer.half_close();
        }
        sim.run_for(4 * SECOND);
        pause_between(&mut sim, length, &peers, Peer::resume_reading);
        sim.run_for(SECOND);
        for peer in &peers {
            assert_eq!(peer.received_raw().len(), 10 + 900_000 + 4, "pause of {length} s");
        }
    });
}

/// Answers requests when it is told to.
#[derive(Default)]
struct Later(Vec<ClientId>, Vec<CloseReason>);

impl Handler for Later {
    type Data = ();
    fn on_request(&mut self, _: &mut Clients<()>, id: ClientId, _: &Request<'_>) -> Answer {
        self.0.push(id);
        Answer::Later
    }
    fn on_close(&mut self, _: &mut Clients<()>, _: ClientId, reason: &CloseReason) {
        self.1.push(reason.clone());
    }
}

#[test]
fn a_request_may_be_answered_after_a_pause() {
    each_pause(|length, config| {
        let mut sim = Simulation::new(1, config, Later::default());
        let peers: Vec<Peer> = (0..20).map(|_| sim.connect("/")).collect();
        sim.run_for(9 * SECOND);
        pause(&mut sim, length);
        sim.run_for(seconds(0.5));
        for id in std::mem::take(&mut sim.handler_mut().0) {
            sim.clients().answer(id, Upgrade::new()).expect("there is time");
        }
        sim.run_for(SECOND);
        assert!(peers.iter().all(Peer::is_open), "pause of {length} s");
    });
}

#[test]
fn an_outgoing_connection_may_be_accepted_after_a_pause() {
    each_pause(|length, config| {
        let mut sim = sim(config);
        sim.listen("10.0.0.1", 80);
        let id = sim.clients().connect("ws://10.0.0.1/", &ConnectOptions::new()).expect("the URL is good");
        sim.step_at_once();
        pause(&mut sim, length);
        sim.run_for(SECOND);
        assert_eq!(sim.clients().iter().collect::<Vec<_>>(), [id], "pause of {length} s");
    });
}

#[test]
fn a_pause_during_a_shutdown_drops_no_client() {
    each_pause(|length, config| {
        for over in [Duration::ZERO, 10 * SECOND] {
            let mut sim = sim(config.clone());
            let peers = open_raw(&mut sim, 40);
            sim.clients().shutdown(Drain::default().over(over));
            sim.run_for(over + 4 * SECOND);
            pause_between(&mut sim, length, &peers, |peer| answer_close(peer, 1001));
            while sim.outcome().is_none() {
                sim.step();
            }
            let outcome = sim.outcome().expect("it has stopped");
            assert_eq!(outcome.dropped, 0, "a pause of {length} s, over {over:?}");
        }
    });
}

#[test]
fn a_client_that_holds_much_memory_is_not_closed_for_a_pause() {
    each_pause(|length, events| {
        let mut config = tight(8 << 20);
        (config.events_per_turn, config.pause_timeout) = (events.events_per_turn, 10 * SECOND);
        config.limits.max_message = 1 << 20;
        config.limits.max_unsent = 2 << 20;
        config.memory_budget = config.least_memory_budget();
        let mut sim = sim(config);
        let peers = open_raw(&mut sim, 12);
        peers.iter().for_each(|peer| peer.send_raw(&unfinished(1 << 20, 600_000)));
        sim.run_for(SECOND);
        let stats = sim.clients().stats();
        pause(&mut sim, length);
        sim.run_for(SECOND);
        let after = sim.clients().stats();
        assert_eq!(closed(&after, "timeout", "pause"), closed(&stats, "timeout", "pause"), "pause of {length} s");
    });
}

/// A second's worth may come at once. In a pause of ten seconds, ten times as much arrives.
#[test]
fn data_that_arrives_during_a_pause_does_not_exceed_the_rate() {
    for excess in [Excess::Close, Excess::Delay] {
        let mut config = config();
        config.rates.messages_per_second = Some(10);
        config.rates.excess = excess;
        let mut sim = sim(config);
        let peers = connect(&mut sim, 3);
        for _ in 0..5 {
            sim.run_for(5 * SECOND);
            // As many as the rate allows in the pause.
            for peer in &peers {
                (0..90).for_each(|_| peer.send("hello"));
            }
            pause(&mut sim, 10.0);
            sim.run_for(SECOND);
        }
        assert!(peers.iter().all(|peer| peer.received_count() == 450), "{excess:?}");
    }
}

// ---- a handler that takes long -----------------------------------------------------------------

/// Echoes. `block` takes 135 seconds.
struct Slow {
    clock: Option<Clock>,
    timers: Vec<Duration>,
}

impl Handler for Slow {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let clock = self.clock.expect("the test has set it");
        match message.as_text() {
            Some("block") => clock.advance(seconds(135.0)),
            Some("timer") => {
                clock.advance(SECOND);
                clients.set_timer(SECOND, 0);
                self.timers.push(clock.elapsed());
                clock.advance(5 * SECOND);
            }
            _ => clients.send(id, message).expect("it is open"),
        }
    }

    fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, _: u64) {
        self.timers.extend(self.clock.map(Clock::elapsed));
    }
}

fn slow(config: Config) -> Simulation<Slow> {
    let mut sim = Simulation::new(1, config, Slow { clock: None, timers: Vec::new() });
    sim.handler_mut().clock = Some(sim.clock());
    sim
}

#[test]
fn a_handler_that_blocks_closes_no_client() {
    for events in [1, 3, 1_024] {
        let mut config = config();
        config.events_per_turn = events;
        let mut sim = slow(config);
        let (blocker, peers) = (sim.connect("/"), connect(&mut sim, 50));
        let raw = open_raw(&mut sim, 5);
        for round in 0..3 {
            sim.run_for(seconds(45.0));
            blocker.send("block");
            peers.iter().for_each(|peer| peer.send("hello"));
            sim.run_for(10 * SECOND);
            raw.iter().for_each(|peer| peer.send_raw(PONG));
            sim.run_for(SECOND);
            assert_eq!(sim.clients().len(), 56, "round {round}");
            assert!(peers.iter().all(|peer| peer.received_text() == ["hello"]));
        }
    }
}

/// The time counts from the call, not from the beginning of the turn.
#[test]
fn a_timer_that_is_set_late_in_a_turn_is_not_early() {
    let mut sim = slow(config());
    let peer = sim.connect("/");
    sim.run_for(SECOND);
    peer.send("timer");
    sim.run_for(20 * SECOND);
    let [set, came] = sim.handler().timers[..] else { panic!("{:?}", sim.handler().timers) };
    assert!(came >= set + SECOND, "set at {set:?}, it came at {came:?}");
}

/// Timers keep the real time. A timer that was due during the pause comes right after it.
#[test]
fn a_pause_does_not_delay_timers() {
    struct Timers(Option<Clock>, Vec<(u64, Duration)>);
    impl Handler for Timers {
        type Data = ();
        fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, token: u64) {
            self.1.extend(self.0.map(|clock| (token, clock.elapsed())));
        }
    }
    for length in [1.0, 50.0, 200.0, 30.0 * 86_400.0] {
        let mut sim = Simulation::new(1, config(), Timers(None, Vec::new()));
        sim.handler_mut().0 = Some(sim.clock());
        let _peers = connect(&mut sim, 3);
        sim.clients().set_timer(10 * SECOND, 1);
        sim.clients().set_timer(100 * SECOND, 2);
        sim.run_for(SECOND);
        pause(&mut sim, length);
        sim.run_for(200 * SECOND);
        let found: Vec<u64> = sim.handler().1.iter().map(|(_, at)| at.as_millis() as u64).collect();
        let after = 1_000 + (length * 1e3) as u64;
        assert_eq!(found, [after.max(10_000), after.max(100_000)], "pause of {length} s");
    }
}

/// The code of the Close frame that the peer has received.
fn close_code(peer: &Peer) -> Option<u16> {
    match peer.received_raw()[..] {
        [0x88, _, high, low, ..] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

// ---- without a pause ---------------------------------------------------------------------------

#[test]
fn without_a_pause_deadlines_are_exact() {
    let mut sim: Simulation<Echo> = sim(config());
    let slow_head = sim.connect_raw();
    slow_head.send_raw(b"GET");
    let raw = open_raw(&mut sim, 2);
    raw[0].send_raw(&frame(0x01, b"fragment"));
    sim.run_for(seconds(9.999));
    assert_eq!(slow_head.received_raw(), b"");
    sim.run_for(seconds(0.001));
    assert!(slow_head.received_raw().starts_with(b"HTTP/1.1 408 "));
    sim.run_for(seconds(9.999));
    assert_eq!(raw[0].received_raw(), b"");
    sim.run_for(seconds(0.001));
    assert_eq!(close_code(&raw[0]), Some(1008));
    sim.run_for(seconds(99.999));
    assert_eq!(raw[1].received_raw(), [0x89, 0, 0x89, 0]);
    sim.run_for(seconds(0.001));
    assert_eq!(close_code(&raw[1]), Some(1001));
}
