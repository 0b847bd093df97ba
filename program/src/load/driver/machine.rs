//! The state of the driver, and what is due next.

use super::conn::Conn;
use super::follower::Follower;
use super::pacer::Pacer;
use super::pending::Pending;
use super::publications::Publications;
use super::search::Search;
use super::states::{Ended, RunState, Sending};
use super::storms::Storms;
use super::walks::Walks;
use crate::clock::Clock;
use crate::load::measure::{Compression, Measurements, ScenarioStep, Storm, Walked};
use crate::load::plan::{Mode, Opening, Pace, Plan};
use lariat::{ClientId, Clients, OpeningError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// A connection that is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempt {
    /// The intended time.
    pub(super) due: u64,
    pub(super) number: u32,
}

/// Bytes that may wait for a server that does not read, at least.
pub(super) const STALLED: usize = 4 << 20;

/// Messages sent, or connections begun, before the loop turns.
pub(super) const SHARE: usize = 4_096;

const SECOND: u64 = 1_000_000_000;

/// A time that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// The handler of all connections. Times are in nanoseconds since the run began.
pub(crate) struct Driver {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    pub(super) state: RunState,
    pub(super) ended: Ended,
    pub(crate) measured: Measurements,
    pub(super) open: Vec<ClientId>,
    /// Handshakes under way.
    pub(super) underway: u32,
    /// First attempts begun.
    pub(super) begun: u32,
    pub(super) opening_pacer: Option<Pacer>,
    /// Connections that are to be opened again, the next one first.
    pub(super) again: BinaryHeap<Reverse<Attempt>>,
    pub(super) storms: Storms,
    /// When the hold began.
    pub(super) held_since: u64,
    /// Bytes on the wire and of payloads, sent and received, when the hold began.
    pub(super) bytes_before: [u64; 4],
    pub(crate) compression: Option<Compression>,
    pub(super) pending: Pending,
    pub(super) pacer: Option<Pacer>,
    pub(super) churn_pacer: Option<Pacer>,
    pub(super) search: Option<Search>,
    pub(super) publications: Publications,
    /// With --follow, one for each connection, by its number.
    pub(super) followers: Vec<Follower>,
    /// With --scenario, where each connection is in it.
    pub(super) walks: Walks,
    /// Connections that were still in the scenario when it was cut short.
    pub(super) unfinished: u32,
    /// The connection that publishes, with its number.
    pub(super) publisher: Option<(ClientId, u32)>,
    /// The place of the connection that sent last.
    pub(super) cursor: usize,
    pub(super) sending: Sending,
    /// When the present state, or the present step of a search, ends.
    pub(super) state_ends: u64,
    /// When the first message came back.
    pub(super) first_answer: Option<u64>,
    /// Messages that came back in time: while others were sent, and for as long afterwards as the
    /// first one took.
    pub(super) in_time: u64,
    pub(super) in_time_until: u64,
    pub(super) next_second: u64,
    /// The client that is being read, and the time at which it was read.
    pub(super) reading: Option<(ClientId, u64)>,
    /// Above so many waiting bytes, a connection counts as stalled.
    pub(super) stalled_from: usize,
    pub(super) buffer: String,
    pub(super) random: StdRng,
}

impl Driver {
    pub(crate) fn new(plan: Plan, clock: Clock) -> Driver {
        let opening_pacer = match plan.opening {
            Opening::AtOnce(_) => None,
            Opening::Rate(rate) => Some(Pacer::new(clock.nanos(), rate)),
        };
        let depth = match plan.pace {
            Pace::Depth(depth) => depth as usize,
            Pace::Rate(_) => 1,
        };
        // Processes of one run differ.
        let seed = plan.seed ^ u64::from(plan.first_number) << 32;
        Driver {
            measured: Measurements::new(plan.mode == Mode::Subscribe),
            state: RunState::Opening,
            ended: Ended::Complete,
            open: Vec::new(),
            underway: 0,
            begun: 0,
            opening_pacer,
            again: BinaryHeap::new(),
            storms: Storms::default(),
            held_since: 0,
            bytes_before: [0; 4],
            compression: None,
            pending: Pending::new(),
            pacer: None,
            churn_pacer: None,
            search: None,
            publications: Publications::default(),
            followers: Vec::new(),
            walks: Walks::new(&plan, StdRng::seed_from_u64(!seed)),
            unfinished: 0,
            publisher: None,
            cursor: 0,
            sending: Sending::NotBegun,
            state_ends: NEVER,
            first_answer: None,
            in_time: 0,
            in_time_until: NEVER,
            next_second: clock.nanos() + SECOND,
            reading: None,
            stalled_from: STALLED.max(plan.message_bytes.saturating_mul(2 * depth)),
            buffer: String::new(),
            random: StdRng::seed_from_u64(seed),
            plan,
            clock,
        }
    }

    /// Allocates what all connections will need. Call it once, before the first step.
    pub(crate) fn prepare(&mut self) {
        let followers = if self.plan.mode == Mode::Follow { self.plan.connections as usize } else { 0 };
        self.followers = std::iter::repeat_with(Follower::default).take(followers).collect();
        self.walks.prepare(&self.plan);
    }

    pub(crate) const fn state(&self) -> RunState {
        self.state
    }

    pub(crate) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) const fn ended(&self) -> Ended {
        self.ended
    }

    /// Returns how many messages came back, or were sent if none is expected back.
    pub(crate) const fn counted(&self) -> u64 {
        if matches!(self.plan.mode, Mode::Send) { self.measured.messages.sent } else { self.measured.messages.right }
    }

    /// Returns what has become of the steps of the scenario.
    pub(crate) fn steps(&self) -> Vec<ScenarioStep> {
        self.walks.tallies.report(&self.plan.scenario)
    }

    /// Returns how many connections got through the scenario.
    pub(crate) fn walks(&self) -> Option<Walked> {
        let Walks { finished, failed, .. } = self.walks;
        let unfinished = self.unfinished.into();
        (self.plan.mode == Mode::Scenario).then_some(Walked {
            finished,
            failed,
            unfinished,
            is_endless: self.plan.scenario.is_endless,
        })
    }

    /// Returns what has become of the storms.
    pub(crate) fn storms(&self) -> Vec<Storm> {
        self.storms.report(self.held_since)
    }

    /// Returns how many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    pub(crate) const fn search(&self) -> Option<&Search> {
        self.search.as_ref()
    }

    /// Returns the latest time at which [`step`](Driver::step) must be called again.
    pub(crate) fn next_due(&self) -> u64 {
        let mut due = self.next_second.min(self.state_ends);
        let pacers = match self.state {
            RunState::Opening => [self.opening_pacer.filter(|_| self.begun < self.plan.connections), None],
            RunState::Holding => [self.pacer, self.churn_pacer],
            _ => [None, None],
        };
        for pacer in pacers.iter().flatten() {
            due = due.min(pacer.due());
        }
        if self.state == RunState::Holding {
            let attempt = self.again.peek().map_or(NEVER, |Reverse(attempt)| attempt.due);
            due = due.min(attempt).min(self.next_storm().unwrap_or(NEVER));
        }
        if matches!(self.state, RunState::Opening | RunState::Opened | RunState::Holding) {
            due = due.min(self.walks.next_due());
        }
        if let (Some(duration), RunState::Opening | RunState::Holding) = (self.plan.duration, self.state) {
            due = due.min(nanos(duration));
        }
        due
    }

    /// Does what is due. The run calls it between two turns of the loop.
    pub(crate) fn step(&mut self, clients: &mut Clients<Conn>) -> Result<(), OpeningError> {
        let now = self.clock.nanos();
        self.reading = None;
        let is_early =
            matches!(self.state, RunState::Opening | RunState::Opened | RunState::Holding | RunState::Awaiting);
        if is_early && clients.is_shutting_down() {
            self.ended = Ended::Interrupted;
            self.stop_sending(now);
            self.state = RunState::Held;
        } else if is_early && self.state != RunState::Awaiting && self.is_over(now) {
            self.ended = Ended::Duration;
            self.await_answers(now);
        }
        if matches!(self.state, RunState::Opening | RunState::Opened | RunState::Holding) {
            self.walk_due(clients, now);
        }
        match self.state {
            RunState::Opening => self.open_due(clients, now)?,
            RunState::Holding => self.hold_due(clients, now)?,
            RunState::Awaiting if self.awaited() == 0 || now >= self.state_ends => self.state = RunState::Held,
            RunState::Awaiting | RunState::Opened | RunState::Held | RunState::Closing => {}
        }
        if now >= self.next_second {
            self.measured.end_second(now, self.open.len());
            self.next_second = (now / SECOND + 1) * SECOND;
        }
        Ok(())
    }

    fn is_over(&self, now: u64) -> bool {
        self.plan.duration.is_some_and(|duration| now >= nanos(duration))
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

pub(super) const fn micros(nanos: u64) -> u32 {
    (nanos / 1_000) as u32
}
