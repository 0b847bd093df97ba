//! What one process has measured so far.

use super::buckets::Buckets;
use super::latency::Latency;
use super::problems::{Problem, Problems};
use super::report::{Connections, ErrorCount, Messages, Second};
use crate::clock::cpu_time;
use lariat::CloseReason;
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts and times of a run, and of each of its seconds.
#[derive(Debug)]
pub(crate) struct Measurements {
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
    pub(crate) connect: Latency,
    pub(crate) tls: Latency,
    pub(crate) handshake: Latency,
    /// Round trips, or deliveries.
    pub(crate) trips: Latency,
    /// From publishing to the last receiver.
    pub(crate) last: Latency,
    pub(crate) delay: Latency,
    /// Of the present second; added to `trips`, or `last`, at its end.
    second: Latency,
    /// All of `trips`, or `last`, until the present second.
    pub(crate) buckets: Buckets,
    /// Of the step of a search.
    pub(crate) step: Option<Latency>,
    pub(crate) problems: Problems,
    /// What is particular to the ends of connections.
    details: BTreeMap<Problem, ErrorCount>,
    pub(crate) series: Vec<Second>,
    /// The counts at the beginning of the present second.
    before: Before,
    publishes: bool,
}

#[derive(Debug, Default)]
struct Before {
    at: u64,
    cpu: Duration,
    opened: u64,
    sent: u64,
    received: u64,
    errors: u64,
}

impl Measurements {
    /// With `publishes`, the time until the last receiver has a message counts.
    pub(crate) fn new(publishes: bool) -> Measurements {
        Measurements {
            connections: Connections::default(),
            messages: Messages::default(),
            connect: Latency::new(),
            tls: Latency::new(),
            handshake: Latency::new(),
            trips: Latency::new(),
            last: Latency::new(),
            delay: Latency::new(),
            second: Latency::new(),
            buckets: Buckets::default(),
            step: None,
            problems: Problems::new(),
            details: BTreeMap::new(),
            series: Vec::new(),
            before: Before { cpu: cpu_time(), ..Before::default() },
            publishes,
        }
    }

    pub(crate) fn problem(&mut self, problem: Problem, count: u64) {
        if count > 0 {
            *self.problems.entry(problem).or_default() += count;
        }
    }

    /// Counts the end of a connection.
    pub(crate) fn ended(&mut self, problem: Problem, reason: &CloseReason) {
        self.problem(problem, 1);
        if let Some(detail) = Problem::detail(reason) {
            self.details.entry(problem).or_default().detail(1, detail);
        }
    }

    /// Records the time of a message that has come back, or of a published one that has reached its
    /// last receiver.
    #[inline]
    pub(crate) fn trip(&mut self, nanos: u64) {
        self.second.record(nanos);
        if let Some(step) = &mut self.step {
            step.record(nanos);
        }
    }

    /// Ends a second, or the last part of one when the run ends.
    pub(crate) fn end_second(&mut self, now: u64, open: usize) {
        let before = &self.before;
        let length = now.saturating_sub(before.at) as f64 / 1e9;
        if length <= 0.0 {
            return;
        }
        let cpu = cpu_time();
        let errors = self.problems.values().sum();
        let micros = |nanos: u64| nanos as f64 / 1e3;
        self.series.push(Second {
            at_s: (now as f64 / 1e6).round() / 1e3,
            length_s: (length * 1e3).round() / 1e3,
            open: open as u64,
            opened: self.connections.opened - before.opened,
            sent: self.messages.sent - before.sent,
            received: self.messages.received - before.received,
            errors: errors - before.errors,
            p50_us: micros(self.second.quantile(0.5)),
            p99_us: micros(self.second.quantile(0.99)),
            max_us: micros(self.second.max()),
            client_cpu: (cpu.saturating_sub(before.cpu).as_secs_f64() / length * 1e3).round() / 1e3,
        });
        self.before = Before {
            at: now,
            cpu,
            opened: self.connections.opened,
            sent: self.messages.sent,
            received: self.messages.received,
            errors,
        };
        if !self.second.is_empty() {
            let total = if self.publishes { &mut self.last } else { &mut self.trips };
            total.add(&self.second);
            self.buckets.record(&self.second);
            self.second.clear();
        }
    }

    pub(crate) fn errors(&self) -> Vec<ErrorCount> {
        let count = |(problem, count): (&Problem, &u64)| ErrorCount {
            kind: problem.key(),
            count: *count,
            explanation: problem.explanation(),
            details: self.details.get(problem).map(|known| known.details.clone()).unwrap_or_default(),
        };
        self.problems.iter().map(count).collect()
    }
}
