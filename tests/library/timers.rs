//! Timers and intervals are never early, and the rate of an interval is exact.

use crate::common::serve;
use lariat::sim::{Clock, Simulation};
use lariat::{ClientId, Clients, Config, Handler, Message, TimerId};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Records when timers expire, and then does what the test wants.
struct Notes {
    clock: Option<Clock>,
    came: Vec<(u64, Duration)>,
    act: fn(&mut Notes, &mut Clients<()>, TimerId, u64),
}

impl Notes {
    fn now(&self) -> Duration {
        self.clock.expect("the test has set it").elapsed()
    }

    /// When those with this token have come.
    fn of(&self, token: u64) -> Vec<Duration> {
        self.came.iter().filter(|(found, _)| *found == token).map(|(_, at)| *at).collect()
    }
}

impl Handler for Notes {
    type Data = ();

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, token: u64) {
        self.came.push((token, self.now()));
        (self.act)(self, clients, timer, token);
    }

    fn on_message(&mut self, _: &mut Clients<()>, _: ClientId, _: Message<'_>) {
        // A message that takes long.
        self.clock.expect("the test has set it").advance(Duration::from_millis(350));
    }
}

fn sim(act: fn(&mut Notes, &mut Clients<()>, TimerId, u64)) -> Simulation<Notes> {
    let mut sim = Simulation::new(1, Config::default(), Notes { clock: None, came: Vec::new(), act });
    sim.handler_mut().clock = Some(sim.clock());
    sim
}

fn note(_: &mut Notes, _: &mut Clients<()>, _: TimerId, _: u64) {}

const RATES: [u32; 24] =
    [1, 3, 7, 15, 20, 24, 25, 30, 48, 50, 60, 64, 75, 90, 100, 120, 144, 165, 240, 333, 500, 667, 999, 1_000];

#[test]
fn an_interval_keeps_its_rate_exactly_and_is_never_early() {
    for rate in RATES {
        let period = SECOND / rate;
        let mut sim = sim(note);
        // In the middle of a millisecond.
        sim.run_for(Duration::from_micros(12_345));
        let start = sim.elapsed();
        sim.clients().set_interval(period, 5);
        sim.run_for(30 * SECOND);
        for (number, at) in (1..).zip(sim.handler().of(5)) {
            let due = start + period * number;
            assert!(at >= due, "{rate} Hz: number {number} is early: {at:?} for {due:?}");
            assert!(at < due + Duration::from_millis(1), "{rate} Hz: number {number} is late: {at:?} for {due:?}");
        }
        let count = sim.handler().came.len() as u128;
        let expected = (30 * SECOND).as_nanos() / period.as_nanos();
        assert!(count == expected || count + 1 == expected, "{rate} Hz: {count} of {expected}");
    }
}

/// In real time. The rate does not drift, although waits and turns take longer than planned. Calls
/// are missing where the machine did not run the loop for 20 ms, so one second without that is
/// enough.
#[test]
fn an_interval_keeps_its_rate_in_real_time() {
    struct Ticks(Sender<Instant>);
    impl Handler for Ticks {
        type Data = ();
        fn on_timer(&mut self, _: &mut Clients<()>, _: TimerId, _: u64) {
            let _ = self.0.send(Instant::now());
        }
    }
    /// Returns how many calls are missing in a second.
    fn missing(rate: u32) -> f64 {
        let period = SECOND / rate;
        let (sender, receiver) = channel();
        let server = serve(Ticks(sender));
        let start = server.ask(move |clients| {
            let start = Instant::now();
            clients.set_interval(period, 0);
            start
        });
        std::thread::park_timeout(SECOND);
        let elapsed = start.elapsed();
        drop(server);
        let came: Vec<Instant> = receiver.into_iter().collect();
        for (number, at) in (1..).zip(&came) {
            assert!(*at >= start + period * number, "{rate} Hz: number {number} is early");
        }
        elapsed.as_secs_f64() * f64::from(rate) - came.len() as f64
    }
    for rate in [30, 60, 144, 667, 1_000] {
        // The machine may be busy with something else in some of the seconds.
        let least = (0..20).map(|_| missing(rate)).find(|missing| (-1.0..=2.0).contains(missing));
        assert!(least.is_some(), "{rate} Hz: calls were missing in each of 20 seconds");
    }
}

#[test]
fn missed_calls_are_skipped_and_the_others_keep_their_times() {
    let millis = Duration::from_millis;
    let mut sim = sim(note);
    let peer = sim.connect("/");
    sim.run_until_idle();
    let start = sim.elapsed();
    sim.clients().set_interval(millis(100), 1);
    sim.clients().set_interval(millis(400), 2);
    sim.run_for(millis(150));
    // From 150 to 500 ms.
    peer.send("takes 350 ms");
    sim.run_for(millis(900) - (sim.elapsed() - start));
    let found: Vec<u64> = sim.handler().of(1).iter().map(|at| (*at - start).as_millis() as u64).collect();
    assert_eq!(
        found,
        [100, 500, 600, 700, 800, 900],
        "one call for all that were missed, and the others at their times"
    );
    let found: Vec<u64> = sim.handler().of(2).iter().map(|at| (*at - start).as_millis() as u64).collect();
    assert_eq!(found, [500, 800], "the first was late, and none was missed");
}

#[test]
fn an_interval_of_a_millisecond_or_less_comes_once_in_a_millisecond() {
    for period in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(999), Duration::from_millis(1)] {
        let mut sim = sim(note);
        sim.clients().set_interval(period, 1);
        sim.run_for(SECOND);
        assert_eq!(sim.handler().came.len(), 1_000, "{period:?}");
    }
}

#[test]
fn an_interval_can_be_set_and_cancelled_in_its_own_call() {
    let mut sim = sim(|notes, clients, timer, token| match token {
        0 => {
            assert!(clients.cancel_timer(timer), "it would come again");
            assert!(!clients.cancel_timer(timer), "it does not any more");
            clients.set_interval(Duration::from_millis(10), 1);
        }
        _ if notes.of(1).len() == 7 => {
            assert!(clients.cancel_timer(timer));
        }
        _ => {}
    });
    sim.clients().set_interval(Duration::from_millis(30), 0);
    sim.run_for(SECOND);
    let found: Vec<u128> = sim.handler().came.iter().map(|(_, at)| at.as_millis()).collect();
    assert_eq!(found, [30, 40, 50, 60, 70, 80, 90, 100]);
}

#[test]
fn a_timer_cannot_be_cancelled_in_its_own_call() {
    let mut sim = sim(|_, clients, timer, _| assert!(!clients.cancel_timer(timer)));
    sim.clients().set_timer(Duration::from_millis(5), 0);
    sim.run_for(SECOND);
    assert_eq!(sim.handler().came.len(), 1);
}

#[test]
fn timers_may_be_further_away_than_ticks_express() {
    let day = Duration::from_secs(86_400);
    let mut sim = sim(note);
    sim.clients().set_timer(40 * day, 40);
    sim.clients().set_interval(15 * day, 15);
    let never = sim.clients().set_timer(Duration::MAX, 0);
    let nor_this = sim.clients().set_interval(Duration::MAX, 0);
    sim.run_for(61 * day);
    let found: Vec<(u64, u64)> = sim.handler().came.iter().map(|(token, at)| (*token, at.as_secs() / 86_400)).collect();
    assert_eq!(found, [(15, 15), (15, 30), (40, 40), (15, 45), (15, 60)]);
    assert!(sim.clients().cancel_timer(never) && sim.clients().cancel_timer(nor_this));
}

/// The time counts from the call, not from the beginning of the turn.
#[test]
fn a_timer_that_is_set_late_in_a_turn_is_not_early() {
    const LATE: Duration = Duration::from_millis(10);
    const AFTER: Duration = Duration::from_millis(5);
    let mut sim = sim(|notes, clients, _, token| {
        if token < 10 {
            // The callback takes long.
            notes.clock.expect("the test has set it").advance(LATE);
            clients.set_timer(AFTER, token + 1);
        }
    });
    sim.clients().set_timer(Duration::ZERO, 0);
    sim.run_for(SECOND);
    let came: Vec<Duration> = sim.handler().came.iter().map(|(_, at)| *at).collect();
    assert_eq!(came.len(), 11);
    let gaps: Vec<Duration> = came.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let is_right = |gap: &Duration| *gap >= LATE + AFTER && *gap < LATE + AFTER + Duration::from_millis(1);
    assert!(gaps.iter().all(is_right), "{gaps:?}");
}

#[test]
fn timers_of_many_periods_do_not_disturb_each_other() {
    let mut sim = sim(note);
    let start = sim.elapsed();
    for token in 1..200 {
        sim.clients().set_interval(Duration::from_micros(1_000 + 37 * token), token);
    }
    sim.run_for(2 * SECOND);
    for token in 1..200 {
        let period = Duration::from_micros(1_000 + 37 * token);
        for (number, at) in (1..).zip(sim.handler().of(token)) {
            let due = start + period * number;
            assert!(at >= due && at < due + Duration::from_millis(1), "{period:?}: {at:?} for {due:?}");
        }
        let expected = (2 * SECOND).as_nanos() / period.as_nanos();
        assert!(sim.handler().of(token).len() as u128 + 1 >= expected, "{period:?}");
    }
}
