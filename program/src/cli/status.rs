//! The status line of `lariat serve` on a terminal.
//!
//! A thread asks all loops once in a second, and writes the line when they have answered.

use crate::terminal::{Failure, Log, units};
use lariat::{Clients, Remote, Stats};
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the line is written.
const PERIOD: Duration = Duration::from_secs(1);

/// The status line, until it is dropped.
pub(crate) struct StatusLine {
    /// The thread ends when this is dropped.
    alive: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StatusLine {
    /// Begins a status line if standard error is a terminal and the log level is not above `warn`.
    pub(crate) fn on_terminal(log: &Log, remote: Remote<()>) -> Result<Option<StatusLine>, Failure> {
        if !log.has_status() || log::max_level() > log::LevelFilter::Warn {
            return Ok(None);
        }
        let (alive, ended) = channel();
        let log = log.clone();
        let thread = std::thread::Builder::new()
            .name("status".to_owned())
            .spawn(move || write_until(&ended, &log, &remote))
            .map_err(|error| Failure(format!("cannot start a thread: {error}")))?;
        Ok(Some(StatusLine { alive: Some(alive), thread: Some(thread) }))
    }
}

impl Drop for StatusLine {
    /// Ends the line, so that later output begins on a new one.
    fn drop(&mut self) {
        drop(self.alive.take());
        // A panic of the thread has been reported.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn write_until(ended: &Receiver<()>, log: &Log, remote: &Remote<()>) {
    let (mut at, mut before) = (Duration::ZERO, Stats::default());
    let (sender, answers) = channel();
    let mut is_asked = false;
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        // Loops that do not answer are not asked again.
        if !std::mem::replace(&mut is_asked, true) && ask(remote, sender.clone()).is_none() {
            break;
        }
        let Ok(Answers { now, stats, slowest }) = answers.recv_timeout(PERIOD) else { continue };
        is_asked = false;
        let line = Line { stats: &stats, before: &before, passed: now.saturating_sub(at), slowest };
        log.show(now, line.to_string());
        (at, before) = (now, stats);
    }
    log.end_status(true);
}

/// What all loops have answered.
struct Answers {
    /// The time that they have turned and waited.
    now: Duration,
    stats: Stats,
    slowest: Duration,
}

/// Asks all loops. Returns `None` if the server has stopped.
fn ask(remote: &Remote<()>, sender: Sender<Answers>) -> Option<()> {
    let ask = |clients: &mut Clients<()>| (clients.stats(), clients.take_slowest_turn());
    let uptime = |stats: &Stats| stats.waited + Duration::from_micros(stats.turn_micros.sum());
    let call = move |clients: &mut Clients<()>| {
        clients.ask_loops(ask, move |_, all| {
            let now = all.iter().map(|(stats, _)| uptime(stats)).max().unwrap_or_default();
            let slowest = all.iter().map(|(_, slowest)| *slowest).max().unwrap_or_default();
            let _ = sender.send(Answers { now, stats: all.into_iter().map(|(stats, _)| stats).sum(), slowest });
        });
    };
    remote.run(call).ok()
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
