//! What the loop does, turn by turn, and how it is slowed down to be watched.
//!
//! Watching is usually off and costs nothing then. While it is on, the phases of a turn are timed
//! and its events are counted. A few times a second, [`on_turns`](crate::Handler::on_turns) gets
//! the result. Reading the clock after each phase takes a tenth of a small turn, so only a sample
//! is timed: about [`TIMED`] turns per report, at regular distances that follow the recent number
//! of turns.
//!
//! A watched loop can be slowed down or held. Then it serves only exempt clients, usually the page
//! that watches it. All others wait in the loop's queues as in a busy turn. Their readiness is
//! noted, because no second edge comes, but nothing is read, written, accepted or expired. Their
//! time stands still, so no timeout ends them: a step lets at most [`STEP`] pass, a slow turn its
//! own length. When no exempt client is left, or the server shall stop, the loop continues.

use super::stats::LoopCounters;
use crate::protocol::State;
use crate::protocol::time::{Moment, Tick};
use crate::server::id::ClientId;
use std::time::Duration;

/// So much time passes in a step, at most.
pub(crate) const STEP: Duration = Duration::from_millis(100);

/// So many turns are timed, more or less, from one telling to the next.
const TIMED: u64 = 32;

/// A phase of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The loop waits until something is ready or due.
    Wait,
    /// New connections are accepted.
    Accept,
    /// Connections to other servers begin.
    Connect,
    /// One read for each client that is ready. Handlers get messages.
    Read,
    /// Deadlines and timers expire.
    Expire,
    /// One write for each client that has unsent bytes.
    Flush,
    /// Clients that have ended are removed.
    Reap,
}

/// What a turn of the loop did, or many turns together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How long each of [`PHASES`](Self::PHASES) took.
    pub phases: [Duration; 7],
    /// Readiness events, including those of turns that served only exempt clients.
    pub events: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Read calls.
    pub reads: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Write calls.
    pub writes: u64,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Read and write calls that returned `WouldBlock`.
    pub would_block: u64,
    /// Timers of applications that expired.
    pub timers: u64,
    /// Deadlines of connections that were looked at.
    pub deadlines: u64,
    /// Connections that were removed.
    pub removed: u64,
}

impl Turn {
    /// The phases of a turn, in their order.
    pub const PHASES: [Phase; 7] =
        [Phase::Wait, Phase::Accept, Phase::Connect, Phase::Read, Phase::Expire, Phase::Flush, Phase::Reap];

    /// How long the turn took, without its wait.
    pub fn busy(&self) -> Duration {
        self.phases[1..].iter().sum()
    }

    /// All that has been counted since the server was started.
    pub(crate) fn counted(counters: &LoopCounters, connections: usize) -> Turn {
        Turn {
            phases: [Duration::ZERO; 7],
            events: counters.turn_events.sum(),
            accepted: counters.accepted,
            reads: counters.reads,
            bytes_read: counters.bytes_read,
            writes: counters.writes,
            bytes_written: counters.bytes_written,
            would_block: counters.would_block,
            timers: counters.timers,
            deadlines: counters.deadlines,
            removed: (counters.accepted + counters.connected).saturating_sub(connections as u64),
        }
    }

    /// What has been counted since `before`.
    pub(crate) fn since(mut self, before: &Turn) -> Turn {
        for ((_, count), (_, before)) in self.counts_mut().into_iter().zip(before.counts()) {
            // A connection that came from another loop was not accepted here, so the number of
            // removed ones may fall.
            *count = count.saturating_sub(before);
        }
        self
    }

    /// Adds another turn.
    fn add(&mut self, other: &Turn) {
        for (phase, other) in self.phases.iter_mut().zip(other.phases) {
            *phase += other;
        }
        for ((_, count), (_, other)) in self.counts_mut().into_iter().zip(other.counts()) {
            *count += other;
        }
    }

    /// Everything that is counted, with its name.
    pub fn counts(&self) -> [(&'static str, u64); 10] {
        let mut turn = *self;
        turn.counts_mut().map(|(name, count)| (name, *count))
    }

    fn counts_mut(&mut self) -> [(&'static str, &mut u64); 10] {
        [
            ("events", &mut self.events),
            ("accepted", &mut self.accepted),
            ("reads", &mut self.reads),
            ("bytes_read", &mut self.bytes_read),
            ("writes", &mut self.writes),
            ("bytes_written", &mut self.bytes_written),
            ("would_block", &mut self.would_block),
            ("timers", &mut self.timers),
            ("deadlines", &mut self.deadlines),
            ("removed", &mut self.removed),
        ]
    }
}

/// What the loop has done since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turns {
    /// How many turns. Those in which only the exempt were served are not counted.
    pub count: u64,
    /// How long all of them were busy together.
    pub busy: Duration,
    /// How long the longest of them was busy.
    pub busiest: Duration,
    /// How many of them had their phases timed: each, if there were few.
    pub timed: u64,
    /// The sum of all turns, with the phases of the timed ones.
    pub sum: Turn,
    /// The last that was timed.
    pub last: Turn,
    /// The longest of the timed turns.
    pub slowest: Turn,
    /// How long telling this took the last time.
    pub telling: Duration,
    /// Who waits now.
    pub waiting: Waiting,
}

/// Work that is left for the next turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Listeners that may have new connections.
    pub listeners: usize,
    /// Connections that may have something to read.
    pub reads: usize,
    /// Connections for which something is to be written.
    pub writes: usize,
}

/// How fast the loop turns, for all clients that are not exempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// As there is work.
    #[default]
    Free,
    /// Once in so long.
    Every(Duration),
    /// One turn for each call of [`Clients::step`](crate::Clients::step).
    Held,
}

/// A connection, as the loop sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Glance {
    /// Which one.
    pub id: ClientId,
    /// The state of its connection.
    pub state: State,
    /// While it is open: since it was heard last; otherwise mostly since it has stood there.
    pub quiet: Duration,
    /// It may have something to read, and its turn will come.
    pub waits_to_be_read: bool,
    /// Something for it is to be written, and its turn will come.
    pub waits_to_be_written: bool,
    /// The kernel takes nothing for it now.
    pub is_blocked: bool,
}

/// The state of watching.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The route whose handler gets reports, and how often.
    pub(crate) route: u16,
    pub(crate) period: Duration,
    /// When the next report is due, or `None` for at once.
    pub(crate) report_at: Option<Moment>,
    pub(crate) turns: Turns,
    /// Whether this turn is timed.
    pub(crate) is_timed: bool,
    /// One of this many turns is timed.
    pub(crate) every: u64,
    /// This turn so far.
    pub(crate) turn: Turn,
    /// Everything that is in `turns` already.
    pub(crate) counted: Turn,
    /// Readiness events up to the last turn for all.
    pub(crate) events: u64,
    /// When the last turn ended, or the last phase of a timed turn. `None` before the first watched
    /// turn.
    pub(crate) ended_at: Option<Moment>,
    pub(crate) pace: Pace,
    pub(crate) steps: u32,
    pub(crate) exempt: Vec<ClientId>,
    /// In a turn that serves only exempt clients: the clients that wait for the next full turn.
    pub(crate) aside: Option<Aside>,
    /// Watching has ended, and the loop may drop this.
    pub(crate) is_over: bool,
    /// While the pace is not free: from when on time has not passed, and when all were served last.
    pub(crate) stood_since: Option<Moment>,
    pub(crate) served_at: Option<Moment>,
}

/// The clients that wait for the next full turn, in the order of their queues.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    pub(crate) readable: Vec<u32>,
    pub(crate) writable: Vec<u32>,
    pub(crate) connecting: Vec<u32>,
    /// Until when the loop would not have accepted anyway.
    pub(crate) accept_again: Option<Tick>,
}

impl Watch {
    /// Whether the turn that begins is one of the sample.
    pub(crate) fn is_sampled(&self) -> bool {
        self.turns.count % self.every == 0
    }

    /// Adds what turns have done that were not timed. Readiness that has come since all were served
    /// last is the next turn's.
    pub(crate) fn settle(&mut self, counted: Turn) {
        let counted = Turn { events: self.events, ..counted };
        self.turns.sum.add(&counted.since(&self.counted));
        self.counted = counted;
    }

    /// A phase of this turn has ended.
    pub(crate) fn note_end(&mut self, phase: Phase, now: Moment) {
        let before = self.ended_at.replace(now).unwrap_or(now);
        self.turn.phases[phase as usize] = now.since(before);
    }

    /// A turn for all has ended that was not timed.
    pub(crate) fn record(&mut self, busy: Duration) {
        self.turns.count += 1;
        self.turns.busy += busy;
        self.turns.busiest = self.turns.busiest.max(busy);
    }

    /// One has that was.
    pub(crate) fn record_timed(&mut self, counted: Turn) {
        let turn = Turn { phases: self.turn.phases, ..counted.since(&self.counted) };
        (self.counted, self.events) = (counted, counted.events);
        self.record(turn.busy());
        self.turns.timed += 1;
        self.turns.sum.add(&turn);
        self.turns.last = turn;
        if turn.busy() >= self.turns.slowest.busy() {
            self.turns.slowest = turn;
        }
    }

    /// Returns the report that is due. The next sample follows the number of turns in it.
    pub(crate) fn take_turns(&mut self) -> Turns {
        self.every = self.turns.count / TIMED + 1;
        std::mem::take(&mut self.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_falls_when_another_loop_hands_a_connection_on_is_zero() {
        let before = Turn { reads: 7, removed: 5, ..Turn::default() };
        let after = Turn { reads: 9, removed: 4, ..Turn::default() };
        let since = after.since(&before);
        assert_eq!((since.reads, since.removed), (2, 0));
    }
}
