//! Several processes share one run. Each opens its share of the connections, all begin to
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
use crate::load::measure::{Record, Second};
use crate::terminal::{Failure, Log};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// A message from a worker to its parent.
#[derive(Debug, Serialize, Deserialize)]
enum FromWorker {
    Progress(Progress),
    Opened,
    Held,
    Second(Second),
    Record(Box<Record>),
    Failed(String),
}

/// What the parent hears of a worker: a message, or the end.
type Heard = (usize, Option<FromWorker>);

/// The worker's side.
pub(crate) struct Worker;

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
        // If the parent has ended, this reads the end of the file, and the next message ends the
        // run.
        let _ = std::io::stdin().read(&mut [0]);
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

/// What the parent knows of a run.
struct Parent<'a, W> {
    watcher: &'a mut W,
    children: Children,
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

/// Starts this program so many times with the same arguments, and adds up their measurements.
pub(crate) fn run_workers(processes: u32, watcher: &mut impl Watcher, log: &Log) -> Result<Record, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted));
    let (sender, receiver) = channel();
    let mut parent = Parent {
        watcher,
        children: Children(Vec::new()),
        parts: vec![Part::default(); processes as usize],
        seconds: Seconds::new(processes),
        sum: Record::default(),
        went: false,
        held: false,
        lost: Vec::new(),
    };
    let mut readers = Vec::new();
    for part in 0..processes {
        let mut child = start(part, processes)
            .map_err(|error| Failure(format!("cannot start another process of this program: {error}")))?;
        listen(part as usize, &mut child, sender.clone());
        readers.extend(forward(&mut child, log.clone()));
        parent.children.0.push(child);
    }
    drop(sender);
    loop {
        // Checked at every line, and not only after a silence: workers report their progress all
        // the time.
        if interrupted.swap(false, Ordering::Relaxed) {
            parent.children.0.iter().for_each(|child| interrupt(child.id()));
        }
        match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok((part, Some(message))) => parent.hear(part, message),
            Ok((part, None)) => parent.hear_end(part),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    for reader in readers {
        // It does not panic.
        let _ = reader.join();
    }
    parent.finish()
}

impl<W: Watcher> Parent<'_, W> {
    fn hear(&mut self, part: usize, message: FromWorker) {
        match message {
            FromWorker::Progress(latest) => {
                self.parts[part].progress = latest;
                self.watcher.progress(&Progress::sum(self.parts.iter().map(|part| &part.progress)));
            }
            FromWorker::Opened => {
                self.parts[part].has_opened = true;
                self.go_when_opened();
            }
            FromWorker::Held if !self.held => {
                self.held = true;
                self.watcher.held();
                // Workers that have not opened all connections yet need not wait any longer.
                self.children.0.iter_mut().for_each(go);
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
            let status = self.children.0[part].wait();
            self.lost.push(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
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
            self.children.0.iter_mut().for_each(go);
        }
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
        let Some(how) = self.lost.pop() else { return Ok(self.sum) };
        if lost == all {
            return Err(Failure(format!("each of the {all} load processes ended without a report: {how}")));
        }
        self.sum.ended = format!("incomplete: {lost} of {all} load processes ended without a report ({how})");
        self.sum.is_complete = false;
        self.sum.client.processes_lost = lost as u32;
        Ok(self.sum)
    }
}

/// Starts a worker in its own process group. So Ctrl-C reaches only the parent, which interrupts
/// the workers.
fn start(part: u32, processes: u32) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg(format!("--worker={part}/{processes}"));
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Asks a process to end early.
pub(crate) fn interrupt(pid: u32) {
    #[cfg(unix)]
    if let Some(pid) = rustix::process::Pid::from_raw(pid as i32) {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }
    #[cfg(not(unix))]
    let _ = pid;
}

/// Lets a waiting worker go on.
fn go(child: &mut Child) {
    if let Some(stdin) = &mut child.stdin {
        // It may have ended already.
        let _ = stdin.write_all(b"\n").and_then(|()| stdin.flush());
    }
}

/// Forwards the messages of a worker, and its end.
fn listen(part: usize, child: &mut Child, sender: Sender<Heard>) {
    let Some(stdout) = child.stdout.take() else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let message =
                serde_json::from_str(&line).unwrap_or_else(|error| FromWorker::Failed(format!("{error}: {line}")));
            // The receiver has gone if another process could not be started.
            let _ = sender.send((part, Some(message)));
        }
        let _ = sender.send((part, None));
    });
}

/// Forwards the log of a worker, so that its lines do not land in the status line.
fn forward(child: &mut Child, log: Log) -> Option<JoinHandle<()>> {
    let stderr = child.stderr.take()?;
    Some(std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            log.say(&format!("{}\n", String::from_utf8_lossy(&line)));
        }
    }))
}
