//! What a simulated server with several loops promises beside what a real one does.

use lariat::backplane::MemoryEngine;
use lariat::sim::{Clock, Simulation};
use lariat::{Answer, ClientId, Clients, Config, Drain, Handler, Message, Request, TimerId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// A member of a topic hears what others say.
struct Chat;

impl Handler for Chat {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "lobby");
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        clients.publish_except("lobby", id, message);
    }
}

#[test]
fn servers_with_several_loops_share_an_engine() {
    for seed in 0..20 {
        let engine = MemoryEngine::with_seed(seed);
        let server = |number: u64, count| {
            let node = seed * 10 + number;
            Simulation::with_loops_and_backplane(node, Config::default(), count, engine.backplane(), || Chat)
        };
        let mut servers = [server(0, 3), server(1, 2)];
        let run = |servers: &mut [Simulation<Chat>; 2]| {
            while servers.iter().any(|server| !server.is_idle()) {
                servers.iter_mut().for_each(Simulation::run_until_idle);
            }
        };
        let peers: Vec<_> = (0..10).map(|number| servers[number % 2].connect("/")).collect();
        run(&mut servers);
        let open = servers
            .each_mut()
            .map(|server| (0..server.loops()).map(|number| server.clients_on_loop(number).len()).collect::<Vec<_>>());
        assert_eq!(open[0].iter().chain(&open[1]).sum::<usize>(), 10);
        assert!(open.iter().flatten().all(|count| *count > 0), "{open:?}");
        for (number, speaker) in peers.iter().enumerate() {
            speaker.send(&format!("from {number}"));
            run(&mut servers);
            for (other, peer) in peers.iter().enumerate() {
                let expected = if other == number { vec![] } else { vec![format!("from {number}")] };
                assert_eq!(peer.received_text(), expected, "{other} of {open:?}, seed {seed}");
            }
        }
    }
}

/// Notes when its timer expires.
#[derive(Default)]
struct Alarm {
    clock: Option<Clock>,
    rang: Vec<Duration>,
}

impl Handler for Alarm {
    type Data = ();

    fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, _: u64) {
        self.rang.extend(self.clock.map(Clock::elapsed));
    }
}

#[test]
fn each_loop_gets_its_time() {
    let seconds = Duration::from_secs;
    for seed in 0..20 {
        let mut sim = Simulation::with_loops(seed, Config::default(), 4, Alarm::default);
        let clock = sim.clock();
        for number in 0..4 {
            sim.handler_mut_on_loop(number).clock = Some(clock);
            for times in [1, 10] {
                sim.clients_on_loop(number).set_timer(seconds(1 + number as u64) * times, 0);
            }
        }
        sim.run_for(seconds(100));
        assert_eq!(sim.elapsed(), seconds(100));
        for number in 0..4 {
            let first = 1 + number as u64;
            assert_eq!(sim.handler_on_loop(number).rang, [seconds(first), seconds(10 * first)]);
        }
        sim.remote().on_loop(3).shutdown(Drain::default()).expect("it runs");
        sim.run_until_idle();
        assert!(sim.outcome().is_some_and(|outcome| outcome.dropped == 0 && !outcome.interrupted));
    }
}

/// Answers later, on the second loop.
struct Later;

impl Handler for Later {
    type Data = ();

    fn choose_loop(&mut self, _: &mut Clients<()>, _: &Request<'_>) -> Option<usize> {
        Some(1)
    }

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        Answer::Later
    }
}

#[test]
fn the_deadline_of_a_request_goes_on_where_it_goes() {
    let millis = Duration::from_millis;
    for seed in 0..20 {
        let mut config = Config::default();
        config.limits.handshake_timeout = millis(700);
        let mut sim = Simulation::with_loops(seed, config, 2, || Later);
        let peer = sim.connect_raw();
        sim.run_for(millis(400));
        peer.send_raw(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        sim.run_for(millis(299));
        let states = [0, 1].map(|number| sim.clients_on_loop(number).stats().connections.deciding);
        assert_eq!((states, peer.received_raw()), ([0, 1], vec![]));
        sim.run_for(millis(2));
        assert!(peer.received_raw().starts_with(b"HTTP/1.1 503"));
    }
}

#[test]
fn loops_come_in_another_order_with_another_seed() {
    let story = |seed| {
        let mut sim = Simulation::with_loops(seed, Config::default(), 3, || Chat);
        sim.record_story();
        let peers: Vec<_> = (0..6).map(|_| sim.connect("/")).collect();
        peers.iter().for_each(|peer| peer.send("hello"));
        sim.run_until_idle();
        let story = sim.take_story();
        story.iter().filter_map(|line| line.split("loop ").nth(1)).map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(story(1), story(1));
    let stories: std::collections::BTreeSet<_> = (0..10).map(story).collect();
    assert!(stories.len() > 5, "{stories:?}");
}

#[test]
fn impossible_numbers_of_simulated_loops_are_refused() {
    for (count, is_possible) in [(0, false), (1, true), (2, true), (65, false)] {
        let make = || drop(Simulation::with_loops(1, Config::default(), count, || Chat));
        assert_eq!(catch_unwind(AssertUnwindSafe(make)).is_ok(), is_possible, "{count}");
    }
}
