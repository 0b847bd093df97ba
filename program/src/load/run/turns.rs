//! One process does its part of a run: it turns the loop, and does what is due between two turns.

use super::progress::Progress;
use crate::clock::{Clock, cpu_time};
use crate::load::driver::{Conn, Driver, Ended, RunState};
use crate::load::hostile::Hostile;
use crate::load::measure::{Client, Histograms, Record, Search, Second, own_memory};
use crate::load::plan::Plan;
use lariat::{CloseCode, Config, Deflate, Drain, EventLoop, Server};
use std::io;
use std::time::Duration;

/// Observes a run.
pub(crate) trait Watcher {
    /// Called when each attempt to open a connection has succeeded or failed.
    fn opened(&mut self);
    /// Returns whether messages may begin. Asked again and again after [`opened`](Self::opened).
    fn may_begin(&mut self) -> bool {
        true
    }
    /// Called when messages have ended, before the connections are closed.
    fn held(&mut self);
    /// Called when a second has ended, or the last part of one when the run ends.
    fn second(&mut self, second: &Second);
    /// Called a few times per second.
    fn progress(&mut self, progress: &Progress);
}

/// The nanoseconds between two calls of [`Watcher::progress`].
const PROGRESS: u64 = 200_000_000;

/// The nanoseconds after which [`Watcher::may_begin`] is asked again.
const LOOK: u64 = 5_000_000;

/// The loop waits for whole milliseconds. For what is due sooner than this, `ppoll` waits.
const EXACT: u64 = 2_000_000;

/// CPU time and memory at one time.
#[derive(Clone, Copy)]
struct Used {
    cpu: Duration,
    memory: u64,
    at: u64,
}

impl Used {
    fn now(clock: Clock) -> Used {
        Used { cpu: cpu_time(), memory: own_memory(), at: clock.nanos() }
    }
}

/// Runs a plan to its end.
///
/// # Errors
///
/// The loop cannot be set up or fails, or a URL or header cannot be used.
pub(crate) fn run_part(plan: Plan, watcher: &mut impl Watcher) -> io::Result<Record> {
    #[cfg(target_os = "linux")]
    {
        // By default, the kernel may wake a thread 50 us late to save power. If this call fails,
        // times are only less exact.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
    let server: Server<Conn> = Server::new(config(&plan))?;
    let drain = Drain::default().code(CloseCode::Normal).deadline(plan.timeout);
    #[cfg(unix)]
    let server = server.shutdown_on_signals(drain)?;
    let clock = Clock::start();
    let hostiles = plan.hostiles.clone();
    let mut hostile = None;
    let mut event_loop = server.start(Driver::new(plan, clock))?;
    // Before what is allocated for all connections at once.
    let began = Used::now(clock);
    event_loop.parts_mut().0.prepare();
    let (mut opened, mut held) = (None, None);
    let (mut next_progress, mut next_look, mut told) = (PROGRESS, u64::MAX, 0);
    while event_loop.outcome().is_none() {
        let (driver, clients) = event_loop.parts_mut();
        driver.step(clients).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        match driver.state() {
            RunState::Opened => {
                if opened.is_none() {
                    watcher.opened();
                }
                opened = Some(Used::now(clock));
                if watcher.may_begin() {
                    hostile = hostiles.clone().map(Hostile::start).transpose()?;
                    driver.hold(clients);
                } else {
                    next_look = clock.nanos() + LOOK;
                }
            }
            RunState::Held => {
                hostile.iter_mut().for_each(Hostile::stop);
                held = Some(Used::now(clock));
                watcher.held();
                driver.close(clients);
            }
            _ => {}
        }
        told = tell(watcher, &driver.measured.series, told);
        let now = clock.nanos();
        if now >= next_progress {
            next_progress = now + PROGRESS;
            watcher.progress(&Progress::of(driver, now));
        }
        let due = driver.next_due().min(next_progress).min(next_look);
        next_look = u64::MAX;
        turn(&mut event_loop, due.saturating_sub(clock.nanos()))?;
    }
    event_loop.parts_mut().0.stopped();
    tell(watcher, &event_loop.handler().measured.series, told);
    let held = held.unwrap_or_else(|| Used::now(clock));
    let used = [began, opened.unwrap_or(held), held];
    let malformed = hostile.map_or_else(Vec::new, |hostile| hostile.found());
    Ok(Record { malformed, ..record(event_loop.handler(), used, clock) })
}

/// Tells the watcher about the seconds that it does not know. Returns how many it knows.
fn tell(watcher: &mut impl Watcher, series: &[Second], told: usize) -> usize {
    series[told..].iter().for_each(|second| watcher.second(second));
    series.len()
}

/// Turns the loop once, and waits so many nanoseconds at most.
fn turn(event_loop: &mut EventLoop<Driver>, nanos: u64) -> io::Result<()> {
    if nanos > EXACT {
        // This may end early, but never late.
        return event_loop.turn(Some(Duration::from_nanos(nanos - EXACT / 2)));
    }
    if nanos > 0 && event_loop.timeout() != Some(Duration::ZERO) && !becomes_ready(event_loop, nanos)? {
        return Ok(());
    }
    event_loop.turn(Some(Duration::ZERO))
}

/// Waits until the loop has something to do, and returns `true`; or until the time is over, to the
/// microsecond.
#[cfg(unix)]
fn becomes_ready(event_loop: &EventLoop<Driver>, nanos: u64) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut ready = [PollFd::new(event_loop, PollFlags::IN)];
    match poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: nanos as _ })) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn becomes_ready(_: &EventLoop<Driver>, _: u64) -> io::Result<bool> {
    Ok(true)
}

/// Returns a configuration without limits of its own, so that the client never gives up before the
/// options say so.
fn config(plan: &Plan) -> Config {
    let mut config = Config::default();
    let limits = &mut config.limits;
    limits.max_message = usize::MAX / 16;
    // A server that does not read is noticed by the bytes that wait for it. The client always
    // reads, or both could wait for each other.
    (limits.max_unsent, limits.high_water) = (usize::MAX / 16, usize::MAX / 16);
    limits.handshake_timeout = plan.timeout.max(Duration::from_millis(1));
    limits.close_timeout = plan.timeout.max(Duration::from_millis(1));
    limits.ping_interval = plan.ping;
    limits.idle_timeout = plan.ping.map(|ping| ping * 2);
    (limits.message_timeout, limits.write_timeout) = (None, None);
    config.memory_budget = usize::MAX / 2;
    config.deflate = if plan.deflate { Some(Deflate::default()) } else { None };
    config
}

fn record(driver: &Driver, used: [Used; 3], clock: Clock) -> Record {
    let [began, opened, held] = used;
    let seconds = |from: Used, to: Used| to.cpu.saturating_sub(from.cpu).as_secs_f64();
    let memory = opened.memory.saturating_sub(began.memory);
    let search = driver.search().map(|search| Search {
        bound: driver.plan().asked.until.clone().unwrap_or_default(),
        highest: search.highest(),
        steps: search.steps.clone(),
    });
    let measured = &driver.measured;
    Record {
        ended: driver.ended().text().to_owned(),
        is_complete: driver.ended() == Ended::Complete,
        elapsed_s: clock.nanos() as f64 / 1e9,
        connections: measured.connections.clone(),
        messages: measured.messages.clone(),
        errors: measured.errors(),
        times: Histograms {
            connect: measured.connect.to_pairs(),
            tls: measured.tls.to_pairs(),
            handshake: measured.handshake.to_pairs(),
            round_trip: measured.trips.to_pairs(),
            last_receiver: measured.last.to_pairs(),
            send_delay: measured.delay.to_pairs(),
        },
        search,
        series: measured.series.clone(),
        client: Client { cpu_s: cpu_time().as_secs_f64(), ..Client::default() },
        cpu_opening_s: seconds(began, opened),
        cpu_holding_s: seconds(opened, held),
        holding_s: held.at.saturating_sub(opened.at) as f64 / 1e9,
        memory,
        counted: driver.counted(),
        steps: driver.steps(),
        storms: driver.storms(),
        compression: driver.compression.clone(),
        walks: driver.walks(),
        ..Record::default()
    }
}
