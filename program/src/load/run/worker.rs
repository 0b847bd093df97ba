//! A worker: a process that does its part of a run, and tells its parent line by line.

use super::children::interrupt;
use super::progress::Progress;
use super::turns::Watcher;
use crate::load::measure::{Record, Second};
use crate::terminal::Failure;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A message from a worker to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    Progress(Progress),
    Opened,
    Held,
    Second(Second),
    Record(Box<Record>),
    Failed(String),
}

/// The worker's side.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// Set once all workers have opened.
    may_begin: Arc<AtomicBool>,
}

impl Worker {
    fn send(message: &FromWorker) {
        let Ok(line) = serde_json::to_string(message) else { return };
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all((line + "\n").as_bytes()).and_then(|()| stdout.flush()).is_err() {
            // The parent has ended. Nobody else would end this worker.
            interrupt(std::process::id());
        }
    }

    /// Sends the result to the parent.
    pub(crate) fn finish(outcome: Result<Record, Failure>) {
        Worker::send(&match outcome {
            // The parent knows the seconds.
            Ok(record) => FromWorker::Record(Box::new(Record { series: Vec::new(), ..record })),
            Err(Failure(sentence)) => FromWorker::Failed(sentence),
        });
    }
}

impl Watcher for Worker {
    fn opened(&mut self) {
        Worker::send(&FromWorker::Opened);
        let may_begin = Arc::clone(&self.may_begin);
        let wait = move || {
            // If the parent has ended, this reads the end of the file, and the next message ends
            // the run.
            let _ = std::io::stdin().read(&mut [0]);
            may_begin.store(true, Ordering::Relaxed);
        };
        // The connections go on meanwhile. Without a thread, nobody waits.
        if std::thread::Builder::new().spawn(wait).is_err() {
            self.may_begin.store(true, Ordering::Relaxed);
        }
    }

    fn may_begin(&mut self) -> bool {
        self.may_begin.load(Ordering::Relaxed)
    }

    fn held(&mut self) {
        Worker::send(&FromWorker::Held);
    }

    fn second(&mut self, second: &Second) {
        Worker::send(&FromWorker::Second(second.clone()));
    }

    fn progress(&mut self, progress: &Progress) {
        Worker::send(&FromWorker::Progress(progress.clone()));
    }
}
