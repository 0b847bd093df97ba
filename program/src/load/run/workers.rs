//! Several processes share one run. Each opens its share of the connections, all begin to
//! send at the same time, and their measurements are added up.
//!
//! ```text
//!  parent                            worker
//!     │ ◄──── {"Progress": ..} ─────────│   one line of JSON each
//!     │ ◄──── "Opened" ─────────────────│
//!     │ ───── go, when all have ──────► │
//!     │ ◄──── "Held" ───────────────────│
//!     │ ◄──── {"Record": ..} ───────────│
//! ```

use super::progress::Progress;
use super::turns::Watcher;
use crate::load::measure::Record;
use crate::terminal::{Failure, print};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A message from a worker to its parent.
#[derive(Debug, Serialize, Deserialize)]
enum FromWorker {
    Progress(Progress),
    Opened,
    Held,
    Record(Box<Record>),
    Failed(String),
}

/// The worker's side.
pub(crate) struct Worker;

impl Worker {
    fn send(message: &FromWorker) {
        if let Ok(line) = serde_json::to_string(message) {
            print(&(line + "\n"));
        }
    }

    /// Sends the result to the parent.
    pub(crate) fn finish(outcome: Result<Record, Failure>) {
        Worker::send(&match outcome {
            Ok(record) => FromWorker::Record(Box::new(record)),
            Err(Failure(sentence)) => FromWorker::Failed(sentence),
        });
    }
}

impl Watcher for Worker {
    fn opened(&mut self) {
        Worker::send(&FromWorker::Opened);
        // If the parent has ended, this reads the end of the file, and the run goes on to its end.
        let _ = std::io::stdin().read(&mut [0]);
    }

    fn held(&mut self) {
        Worker::send(&FromWorker::Held);
    }

    fn progress(&mut self, progress: &Progress) {
        Worker::send(&FromWorker::Progress(progress.clone()));
    }
}

/// The worker processes. They are killed when this is dropped.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It has ended already if all went well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts this program so many times with the same arguments, and adds up their measurements.
pub(crate) fn run_workers(processes: u32, watcher: &mut impl Watcher) -> Result<Record, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted));
    let (sender, receiver) = channel();
    let mut children = Children(Vec::new());
    for part in 0..processes {
        let mut child = start(part, processes)
            .map_err(|error| Failure(format!("cannot start another process of this program: {error}")))?;
        listen(part as usize, &mut child, sender.clone());
        children.0.push(child);
    }
    drop(sender);
    let mut progress = vec![Progress::default(); processes as usize];
    let (mut sum, mut opened, mut held) = (Record::default(), 0, false);
    loop {
        // Checked at every line, and not only after a silence: workers report their progress all
        // the time.
        if interrupted.swap(false, Ordering::Relaxed) {
            children.0.iter().for_each(interrupt);
        }
        let (part, message) = match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(received) => received,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(sum),
        };
        match message {
            FromWorker::Progress(latest) => {
                progress[part] = latest;
                watcher.progress(&Progress::sum(progress.iter()));
            }
            FromWorker::Opened => {
                opened += 1;
                if opened == processes {
                    watcher.opened();
                    children.0.iter_mut().for_each(go);
                }
            }
            FromWorker::Held if !held => {
                held = true;
                watcher.held();
                // Workers that have not opened all connections yet need not wait any longer.
                children.0.iter_mut().for_each(go);
            }
            FromWorker::Held => {}
            FromWorker::Record(record) => sum.merge(*record),
            FromWorker::Failed(sentence) => return Err(Failure(sentence)),
        }
    }
}

/// Starts a worker in its own process group. So Ctrl-C reaches only the parent, which interrupts
/// the workers.
fn start(part: u32, processes: u32) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg(format!("--worker={part}/{processes}"));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// Asks a worker to end early.
fn interrupt(child: &Child) {
    #[cfg(unix)]
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }
    #[cfg(not(unix))]
    let _ = child;
}

/// Lets a waiting worker go on.
fn go(child: &mut Child) {
    if let Some(stdin) = &mut child.stdin {
        // It may have ended already.
        let _ = stdin.write_all(b"\n").and_then(|()| stdin.flush());
    }
}

/// Forwards the messages of a worker.
fn listen(part: usize, child: &mut Child, sender: Sender<(usize, FromWorker)>) {
    let Some(stdout) = child.stdout.take() else { return };
    std::thread::spawn(move || {
        let mut has_finished = false;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let message =
                serde_json::from_str(&line).unwrap_or_else(|error| FromWorker::Failed(format!("{error}: {line}")));
            has_finished |= matches!(message, FromWorker::Record(_) | FromWorker::Failed(_));
            // The receiver is gone once another worker has failed.
            let _ = sender.send((part, message));
        }
        if !has_finished {
            let sentence = "a process has ended without a report; its output on standard error is above";
            let _ = sender.send((part, FromWorker::Failed(sentence.to_owned())));
        }
    });
}
