//! The progress of a run, also as one line.

use crate::load::driver::{Driver, RunState};
use crate::load::measure::Buckets;
use crate::terminal::units::{decimal, grouped, time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far a run has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// One of [`PHASES`].
    pub(crate) phase: String,
    pub(crate) at_s: f64,
    pub(crate) open: u64,
    pub(crate) asked: u64,
    per_second: f64,
    p99_us: f64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) totals: Totals,
}

/// What has happened since the run began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Until the end of the last second.
    pub(crate) trips: Buckets,
}

impl Totals {
    fn add(&mut self, other: &Totals) {
        self.opened += other.opened;
        self.failed += other.failed;
        self.lost += other.lost;
        self.sent += other.sent;
        self.received += other.received;
        self.trips.add(&other.trips);
    }
}

/// The phases of a run.
pub(crate) const PHASES: [&str; 4] = ["opening", "holding", "waiting for answers", "closing"];

impl Progress {
    pub(crate) fn of(driver: &Driver, now: u64) -> Progress {
        let phase = match driver.state() {
            RunState::Opening => PHASES[0],
            RunState::Opened | RunState::Holding => PHASES[1],
            RunState::Awaiting | RunState::Held => PHASES[2],
            RunState::Closing => PHASES[3],
        };
        let second = driver.measured.series.last();
        let mut errors = BTreeMap::new();
        for (problem, count) in &driver.measured.problems {
            // Several rules that a handshake breaks have one name.
            *errors.entry(problem.key()).or_default() += count;
        }
        let (connections, messages) = (&driver.measured.connections, &driver.measured.messages);
        let totals = Totals {
            opened: connections.opened,
            failed: connections.failed,
            lost: connections.lost,
            sent: messages.sent,
            received: messages.received,
            trips: driver.measured.buckets.clone(),
        };
        Progress {
            phase: phase.to_owned(),
            at_s: now as f64 / 1e9,
            open: driver.open() as u64,
            asked: driver.plan().connections.into(),
            per_second: second.map_or(0.0, |second| {
                let counted =
                    if driver.state() == RunState::Opening { second.opened } else { second.received.max(second.sent) };
                counted as f64 / second.length_s.max(1e-3)
            }),
            p99_us: second.map_or(0.0, |second| second.p99_us),
            errors,
            totals,
        }
    }

    /// Adds up the progress of several processes.
    pub(crate) fn sum<'a>(parts: impl Iterator<Item = &'a Progress>) -> Progress {
        let mut sum = Progress::default();
        for part in parts {
            sum.phase.clone_from(&part.phase);
            sum.at_s = sum.at_s.max(part.at_s);
            sum.open += part.open;
            sum.asked += part.asked;
            sum.per_second += part.per_second;
            sum.p99_us = sum.p99_us.max(part.p99_us);
            sum.totals.add(&part.totals);
            for (kind, count) in &part.errors {
                *sum.errors.entry(kind.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Returns the time since the run began.
    pub(crate) fn at(&self) -> Duration {
        // It may come from another host.
        Duration::try_from_secs_f64(self.at_s).unwrap_or_default()
    }

    pub(crate) fn line(&self) -> String {
        let mut line =
            format!("{:6.1} s  {}  {} of {} open", self.at_s, self.phase, grouped(self.open), grouped(self.asked));
        if self.per_second > 0.0 {
            line += &format!("  {}/s", decimal(self.per_second));
        }
        if self.p99_us > 0.0 {
            line += &format!("  p99 {}", time(self.p99_us * 1e3));
        }
        for (kind, count) in &self.errors {
            line += &format!("  {kind} {}", grouped(*count));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_several_processes_is_one_line() {
        let part = |open, p99_us| Progress {
            phase: "holding".to_owned(),
            at_s: 2.0,
            open,
            asked: 5_000,
            per_second: 100.0,
            p99_us,
            errors: [("reset".to_owned(), 3)].into(),
            totals: Totals { sent: 4, ..Totals::default() },
        };
        let sum = Progress::sum([part(4_000, 100.0), part(4_500, 250.0)].iter());
        assert_eq!(sum.line(), "   2.0 s  holding  8,500 of 10,000 open  200/s  p99 250 us  reset 6");
        assert_eq!(sum.totals.sent, 8);
    }
}
