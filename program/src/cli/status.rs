//! The status line of `lariat serve` on a terminal.

use crate::terminal::{Log, units};
use lariat::{EventLoop, Handler, Stats};
use std::fmt;
use std::time::Duration;

/// How often the line is written.
const PERIOD: Duration = Duration::from_secs(1);

/// The status line, with the counters as they were when it was written last.
pub(crate) struct StatusLine<'a> {
    log: &'a Log,
    /// The loop's uptime at that time.
    at: Duration,
    before: Stats,
}

impl StatusLine<'_> {
    /// Returns a status line if standard error is a terminal and the log level is not above
    /// `warn`.
    pub(crate) fn on_terminal(log: &Log) -> Option<StatusLine<'_>> {
        let is_wanted = log.has_status() && log::max_level() <= log::LevelFilter::Warn;
        is_wanted.then(|| StatusLine { log, at: Duration::ZERO, before: Stats::default() })
    }

    /// Returns how long the loop may wait until the line is due again.
    pub(crate) fn wait<H: Handler>(&self, event_loop: &EventLoop<H>) -> Duration {
        (self.at + PERIOD).saturating_sub(event_loop.uptime())
    }

    /// Writes the line, if it is due.
    pub(crate) fn update<H: Handler>(&mut self, event_loop: &mut EventLoop<H>) {
        let now = event_loop.uptime();
        let passed = now.saturating_sub(self.at);
        if passed < PERIOD {
            return;
        }
        let stats = event_loop.stats();
        let slowest = event_loop.clients_mut().take_slowest_turn();
        let line = Line { stats: &stats, before: &self.before, passed, slowest };
        self.log.show(now, line.to_string());
        (self.at, self.before) = (now, stats);
    }

    /// Ends the line, so that later output begins on a new one.
    pub(crate) fn finish(&self) {
        self.log.end_status(true);
    }
}

struct Line<'a> {
    stats: &'a Stats,
    before: &'a Stats,
    passed: Duration,
    slowest: Duration,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { stats, before, passed, slowest } = self;
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / passed.as_secs_f64()).round();
        let received = rate(stats.received.messages(), before.received.messages());
        let sent = rate(stats.sent.messages(), before.sent.messages());
        let buffered = units::Size(stats.buffered);
        let open = units::counted(stats.connections.open as u64, "connection");
        write!(f, "{open}, {received}/s in, {sent}/s out, {buffered} buffered, slowest turn {slowest:.1?}")?;
        let others = [("paused", stats.pauses - before.pauses), ("evicted", stats.evictions - before.evictions)];
        others.iter().filter(|(_, count)| *count > 0).try_for_each(|(what, count)| write!(f, ", {count} {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_the_server_is() {
        let mut stats = Stats::default();
        stats.connections.open = 12;
        stats.received.text.messages = 300;
        stats.sent.binary.messages = 50;
        stats.buffered = 3 << 19;
        stats.evictions = 2;
        let (before, passed, slowest) = (&Stats::default(), Duration::from_secs(2), Duration::from_micros(1_234));
        let line = Line { stats: &stats, before, passed, slowest }.to_string();
        assert_eq!(line, "12 connections, 150/s in, 25/s out, 1.5 MiB buffered, slowest turn 1.2ms, 2 evicted");
    }
}
