//! A loop that is held: nothing is lost, everything keeps its order, and the pause causes no
//! timeouts.

use lariat::observe::{Pace, Turns};
use lariat::sim::{Faults, Peer, Simulation};
use lariat::{ClientId, Clients, CloseCode, Config, Drain, Handler, Message, TimerId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Echoes messages and follows the orders `watch`, `hold`, `step`, `free` and `slow`.
#[derive(Default)]
struct Teacher {
    told: Vec<Turns>,
    heard: Vec<String>,
    timers: u32,
}

impl Handler for Teacher {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().unwrap_or_default() {
            "watch" => {
                clients.watch_turns(100 * MILLISECOND);
                clients.exempt(id);
            }
            "unwatch" => clients.unwatch_turns(),
            "hold" => clients.set_pace(Pace::Held),
            "free" => clients.set_pace(Pace::Free),
            "slow" => clients.set_pace(Pace::Every(SECOND)),
            "step" => clients.step(),
            "timer" => drop(clients.set_timer(SECOND, 0)),
            text => {
                self.heard.push(text.to_owned());
                let _ = clients.send(id, text);
            }
        }
    }

    fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, _: u64) {
        self.timers += 1;
    }

    fn on_turns(&mut self, _: &mut Clients<()>, turns: &Turns) {
        self.told.push(*turns);
    }
}

fn simulation(config: Config) -> (Simulation<Teacher>, Peer) {
    let mut sim = Simulation::new(1, config, Teacher::default());
    let teacher = sim.connect("/");
    for word in ["watch", "hold"] {
        teacher.send(word);
        sim.run_until_idle();
    }
    assert_eq!(sim.clients().pace(), Pace::Held);
    (sim, teacher)
}

fn free(sim: &mut Simulation<Teacher>, teacher: &Peer) {
    teacher.send("free");
    sim.run_until_idle();
    assert_eq!(sim.clients().pace(), Pace::Free);
}

#[test]
fn messages_that_arrive_while_held_are_handled_in_order_afterwards() {
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut sim = Simulation::new(seed, Config::default(), Teacher::default());
        let teacher = sim.connect("/");
        let peers: Vec<Peer> = (0..20).map(|_| sim.connect("/")).collect();
        teacher.send("watch");
        sim.run_for(SECOND);
        let mut faults = Faults::rough();
        (faults.reset, faults.half_close, faults.late) = (0.0, 0.0, 0.0);
        sim.set_faults(faults);
        let mut sent = vec![Vec::new(); peers.len()];
        for round in 0..30 {
            let word = ["hold", "step", "step", "free", "slow"][random.random_range(0..5)];
            teacher.send(word);
            for (peer, sent) in peers.iter().zip(&mut sent) {
                if random.random_bool(0.5) {
                    let text = format!("{round} {}", "x".repeat(random.random_range(0..3_000)));
                    peer.send(&text);
                    sent.push(text);
                }
            }
            sim.run_for(Duration::from_millis(random.random_range(0..400)));
        }
        teacher.send("free");
        sim.run_for(SECOND);
        for (peer, sent) in peers.iter().zip(sent) {
            assert_eq!(peer.received_text(), sent, "seed {seed}");
        }
    }
}

#[test]
fn while_held_only_exempt_clients_are_served_and_a_step_is_one_turn() {
    let (mut sim, teacher) = simulation(Config::default());
    free(&mut sim, &teacher);
    let (a, b) = (sim.connect("/"), sim.connect("/"));
    sim.run_until_idle();
    teacher.send("hold");
    sim.run_until_idle();
    let newcomer = sim.connect("/");
    a.send("from a");
    b.send("from b");
    teacher.send("from the teacher");
    sim.run_for(SECOND);
    assert_eq!(teacher.received_text(), ["from the teacher"]);
    assert_eq!((a.received_count(), b.received_count(), sim.clients().len()), (0, 0, 3));
    let waiting = sim.handler().told.last().expect("the watcher gets its report while the loop is held").waiting;
    assert_eq!((waiting.listeners, waiting.reads), (1, 2));
    assert_eq!(sim.clients().glances().filter(|glance| glance.waits_to_be_read).count(), 2);
    sim.handler_mut().told.clear();
    teacher.send("step");
    sim.run_until_idle();
    assert_eq!((a.received_text(), b.received_text()), (vec!["from a".to_owned()], vec!["from b".to_owned()]));
    let told: Vec<Turns> = sim.handler().told.iter().filter(|turns| turns.count > 0).copied().collect();
    let [turns] = &told[..] else { panic!("one turn, not {told:?}") };
    let turn = turns.last;
    assert_eq!((turns.count, turn.accepted, turn.reads, turn.writes), (1, 1, 2, 2), "{turn:?}");
    assert!(!newcomer.is_open(), "the connection was accepted and not read yet");
    teacher.send("step");
    sim.run_until_idle();
    assert!(newcomer.is_open());
}

#[test]
fn all_turns_are_counted_and_a_sample_is_timed() {
    let mut sim = Simulation::new(1, Config::default(), Teacher::default());
    let (teacher, peer) = (sim.connect("/"), sim.connect("/"));
    sim.run_until_idle();
    teacher.send("watch");
    sim.run_for(SECOND);
    sim.handler_mut().told.clear();
    let before = sim.clients().stats();
    for _ in 0..1_000 {
        peer.send("hello");
        sim.run_for(MILLISECOND);
    }
    sim.run_for(SECOND);
    let after = sim.clients().stats();
    let told = &sim.handler().told;
    let all = |of: fn(&Turns) -> u64| told.iter().map(of).sum::<u64>();
    assert_eq!(all(|turns| turns.sum.reads), after.reads - before.reads);
    assert_eq!(all(|turns| turns.sum.writes), after.writes - before.writes);
    assert_eq!(all(|turns| turns.sum.events), after.turn_events.sum() - before.turn_events.sum());
    let (count, timed) = (all(|turns| turns.count), all(|turns| turns.timed));
    assert!(count >= 1_000 && timed < count / 3, "{timed} of {count}");
    assert!(told.iter().all(|turns| (turns.timed > 0) == (turns.count > 0)), "some of each");
}

#[test]
fn time_stands_still_while_held() {
    let mut config = Config::default();
    config.limits.ping_interval = None;
    config.limits.idle_timeout = Some(10 * SECOND);
    let (mut sim, teacher) = simulation(config);
    free(&mut sim, &teacher);
    let peer = sim.connect("/");
    peer.send("timer");
    sim.run_for(SECOND / 2);
    teacher.send("hold");
    sim.run_for(1_000 * SECOND);
    assert_eq!((sim.clients().len(), sim.handler().timers), (2, 0));
    // Ten steps, each of at most a tenth of a second.
    for step in 1..=10 {
        teacher.send("step");
        sim.run_for(SECOND);
        assert_eq!(sim.handler().timers, u32::from(step >= 5), "step {step}");
    }
    free(&mut sim, &teacher);
    teacher.send("?");
    sim.run_for(8 * SECOND);
    assert!(peer.is_open(), "the client was silent for 9.5 s of the server's time");
    sim.run_for(SECOND);
    assert_eq!(peer.close_reason().map(|reason| reason.code()), Some(CloseCode::Away));
    assert!(teacher.is_open());
}

#[test]
fn slowed_down_the_loop_turns_at_an_interval_and_time_goes_on() {
    let (mut sim, teacher) = simulation(Config::default());
    teacher.send("slow");
    let peer = sim.connect("/");
    peer.send("hello");
    sim.run_for(2 * SECOND);
    peer.send("timer");
    sim.run_for(SECOND / 2);
    sim.handler_mut().told.clear();
    sim.run_for(10 * SECOND);
    assert_eq!(peer.received_text(), ["hello"]);
    assert_eq!(sim.handler().timers, 1);
    let turns: u64 = sim.handler().told.iter().map(|turns| turns.count).sum();
    assert!((9..=11).contains(&turns), "{turns} turns in ten seconds");
}

#[test]
fn the_loop_is_released_when_the_last_exempt_client_leaves() {
    let leave: [fn(&Peer); 3] = [Peer::hang_up, Peer::reset, |peer| peer.close(CloseCode::Normal, "")];
    for leave in leave {
        let (mut sim, teacher) = simulation(Config::default());
        let peer = sim.connect("/");
        peer.send("is anybody here?");
        sim.run_for(SECOND);
        assert!(!peer.is_open());
        leave(&teacher);
        sim.run_for(SECOND);
        assert_eq!(sim.clients().pace(), Pace::Free);
        assert_eq!(peer.received_text(), ["is anybody here?"]);
    }
}

#[test]
fn the_loop_is_released_without_watchers_and_at_shutdown() {
    let (mut sim, teacher) = simulation(Config::default());
    let peer = sim.connect("/");
    peer.send("hello");
    sim.run_for(SECOND);
    teacher.send("unwatch");
    sim.run_for(SECOND);
    assert_eq!(peer.received_text(), ["hello"]);
    let told = sim.handler().told.len();
    let turns = sim.turns();
    sim.run_for(10 * SECOND);
    assert_eq!((sim.handler().told.len(), sim.turns() - turns), (told, 1), "no report without a watcher");

    let (mut sim, _teacher) = simulation(Config::default());
    let remote = sim.remote();
    remote.shutdown(Drain::default()).expect("it runs");
    sim.run_until_idle();
    assert_eq!(sim.outcome().map(|outcome| outcome.dropped), Some(0));
}

#[test]
fn without_an_exempt_client_nothing_is_held() {
    let mut sim = Simulation::new(1, Config::default(), Teacher::default());
    let peer = sim.connect("/");
    for word in ["hold", "step", "hello"] {
        peer.send(word);
    }
    sim.run_for(SECOND);
    assert_eq!(peer.received_text(), ["hello"]);
    sim.clients().watch_turns(SECOND);
    sim.clients().set_pace(Pace::Held);
    peer.send("hello again");
    sim.run_for(SECOND);
    assert_eq!((sim.clients().pace(), peer.received_text().len()), (Pace::Free, 1));
}
