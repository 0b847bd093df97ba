//! Several workers share one run. Each opens its share of the connections, all begin to
//! send at the same time, and their measurements are added up.
//!
//! ```text
//!  parent                            worker
//!     │ ◄──── {"Progress": ..} ─────────│   one line of JSON each
//!     │ ◄──── "Opened" ─────────────────│
//!     │ ───── go, when all have ──────► │
//!     │ ◄──── "Held" ───────────────────│
//!     │ ◄──── {"Second": ..} ───────────│
//!     │ ◄──── {"Record": ..} ───────────│
//! ```
//!
//! A worker that is killed does not end the run: the others go on, and the report says what is
//! missing. Workers whose parent is killed end.

use super::progress::Progress;
use super::seconds::Seconds;
use super::turns::Watcher;
use super::worker::FromWorker;
use crate::load::measure::Record;
use crate::terminal::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The way to a worker. The worker is killed when this is dropped.
pub(crate) trait Link {
    /// Lets the waiting worker go on.
    fn go(&mut self);
    /// Asks the worker to end early, with its report.
    fn interrupt(&mut self);
    /// Returns how the worker ended, once it says nothing more.
    fn ended(&mut self) -> String;
}

/// What the parent hears of a worker, by its number: a message, or the end.
pub(crate) type Heard = (usize, Option<FromWorker>);

/// The most reasons of lost workers that a report names.
const REASONS: usize = 4;

/// What the parent knows of a run.
struct Parent<'a, W> {
    watcher: &'a mut W,
    links: Vec<Box<dyn Link>>,
    parts: Vec<Part>,
    seconds: Seconds,
    sum: Record,
    /// Whether the workers may send messages.
    went: bool,
    held: bool,
    /// How each worker ended that has sent no report.
    lost: Vec<String>,
}

/// What the parent knows of a worker.
#[derive(Clone, Default)]
struct Part {
    progress: Progress,
    has_opened: bool,
    has_ended: bool,
}

/// Leads these workers through a run, and adds up their measurements. Returns once nobody can send
/// to `heard` any more.
pub(crate) fn run_workers(
    links: Vec<Box<dyn Link>>,
    heard: &Receiver<Heard>,
    watcher: &mut impl Watcher,
) -> Result<Record, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted));
    let mut parent = Parent {
        watcher,
        parts: vec![Part::default(); links.len()],
        seconds: Seconds::new(links.len()),
        links,
        sum: Record::default(),
        went: false,
        held: false,
        lost: Vec::new(),
    };
    loop {
        // Checked at every line, and not only after a silence: workers report their progress all
        // the time.
        if interrupted.swap(false, Ordering::Relaxed) {
            parent.links.iter_mut().for_each(|link| link.interrupt());
        }
        match heard.recv_timeout(Duration::from_millis(200)) {
            Ok((part, Some(message))) => parent.hear(part, message),
            Ok((part, None)) => parent.hear_end(part),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    parent.finish()
}

impl<W: Watcher> Parent<'_, W> {
    fn hear(&mut self, part: usize, message: FromWorker) {
        if self.parts[part].has_ended {
            return;
        }
        match message {
            FromWorker::Progress(latest) => {
                self.parts[part].progress = latest;
                self.watcher.progress(&Progress::sum(self.parts.iter().map(|part| &part.progress)));
            }
            FromWorker::Opened => {
                self.parts[part].has_opened = true;
                self.go_when_opened();
            }
            // It has opened nothing, or was interrupted before.
            FromWorker::Held if !self.parts[part].has_opened => {
                self.parts[part].has_opened = true;
                self.go_when_opened();
            }
            FromWorker::Held if !self.held => {
                self.held = true;
                self.watcher.held();
                // Workers that have not opened all connections yet need not wait any longer.
                self.go();
            }
            FromWorker::Held => {}
            FromWorker::Second(second) => {
                self.seconds.push(part, second);
                self.tell_seconds();
            }
            FromWorker::Record(record) => {
                self.sum.merge(*record);
                self.ended(part);
            }
            FromWorker::Failed(sentence) => {
                self.lost.push(sentence);
                self.ended(part);
            }
        }
    }

    /// A worker says nothing more. If it has sent no report, it has been killed.
    fn hear_end(&mut self, part: usize) {
        if !self.parts[part].has_ended {
            let how = self.links[part].ended();
            self.lost.push(how);
            self.ended(part);
        }
    }

    fn ended(&mut self, part: usize) {
        self.parts[part].has_ended = true;
        self.seconds.end(part);
        self.tell_seconds();
        self.go_when_opened();
    }

    /// Lets the workers send messages, once each has opened its connections or has ended.
    fn go_when_opened(&mut self) {
        let opened = self.parts.iter().filter(|part| part.has_opened && !part.has_ended).count();
        let all = self.parts.iter().all(|part| part.has_opened || part.has_ended);
        if all && opened > 0 && !self.went && !self.held {
            self.went = true;
            self.watcher.opened();
            self.go();
        }
    }

    fn go(&mut self) {
        self.links.iter_mut().for_each(|link| link.go());
    }

    fn tell_seconds(&mut self) {
        while let Some(second) = self.seconds.next() {
            self.watcher.second(second);
        }
    }

    /// Returns the measurements of all workers that have sent a report.
    fn finish(mut self) -> Result<Record, Failure> {
        self.sum.series = self.seconds.series;
        let (lost, all) = (self.lost.len(), self.parts.len());
        if lost == 0 {
            return Ok(self.sum);
        }
        let how = reasons(self.lost);
        if lost == all {
            return Err(Failure(format!("each of the {all} load processes ended without a report: {how}")));
        }
        self.sum.ended = format!("incomplete: {lost} of {all} load processes ended without a report ({how})");
        self.sum.is_complete = false;
        self.sum.client.processes_lost = lost as u32;
        Ok(self.sum)
    }
}

/// Returns the first reasons that differ.
fn reasons(mut lost: Vec<String>) -> String {
    lost.sort_unstable();
    lost.dedup();
    let others = if lost.len() > REASONS { "; and others" } else { "" };
    lost.truncate(REASONS);
    lost.join("; ") + others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_ended_alike_share_a_reason() {
        let lost = |texts: &[&str]| reasons(texts.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(lost(&["signal: 9"]), "signal: 9");
        assert_eq!(lost(&["b", "a", "b"]), "a; b");
        assert_eq!(lost(&["e", "d", "c", "b", "a"]), "a; b; c; d; and others");
    }
}
