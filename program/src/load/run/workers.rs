//! Several processes for one run: each opens its share, all begin to send at the same time, and
//! what they have measured is added up.
//!
//! ```text
//!  parent                            worker
//!     │ ◄──── {"Progress": ..} ─────────│   a line of JSON each
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

/// What a worker tells its parent.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    Progress(Progress),
    Opened,
    Held,
    Record(Box<Record>),
    Failed(String),
}

/// The worker's end.
pub(crate) struct Worker;

impl Worker {
    fn tell(told: &Told) {
        if let Ok(line) = serde_json::to_string(told) {
            print(&(line + "\n"));
        }
    }

    /// What has come of it.
    pub(crate) fn finish(outcome: Result<Record, Failure>) {
        Worker::tell(&match outcome {
            Ok(record) => Told::Record(Box::new(record)),
            Err(Failure(sentence)) => Told::Failed(sentence),
        });
    }
}

impl Watcher for Worker {
    fn opened(&mut self) {
        Worker::tell(&Told::Opened);
        // If the parent is gone, that is the end of the file, and the run goes on to its end.
        let _ = std::io::stdin().read(&mut [0]);
    }

    fn held(&mut self) {
        Worker::tell(&Told::Held);
    }

    fn progress(&mut self, progress: &Progress) {
        Worker::tell(&Told::Progress(progress.clone()));
    }
}

/// The workers, ended when dropped.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already, as it should.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs this program again, so many times, with the same arguments, and adds up what they measure.
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
        // At every line and not only in a silence: workers that tell of their progress may never be
        // silent.
        if interrupted.swap(false, Ordering::Relaxed) {
            children.0.iter().for_each(interrupt);
        }
        let (part, told) = match receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(told) => told,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(sum),
        };
        match told {
            Told::Progress(latest) => {
                progress[part] = latest;
                watcher.progress(&Progress::sum(progress.iter()));
            }
            Told::Opened => {
                opened += 1;
                if opened == processes {
                    watcher.opened();
                    children.0.iter_mut().for_each(go);
                }
            }
            Told::Held if !held => {
                held = true;
                watcher.held();
                // Whoever has not opened yet need not wait for this one.
                children.0.iter_mut().for_each(go);
            }
            Told::Held => {}
            Told::Record(record) => sum.merge(*record),
            Told::Failed(sentence) => return Err(Failure(sentence)),
        }
    }
}

/// In a process group of its own: Ctrl-C reaches the parent alone, which hands it on.
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

/// Lets a worker that waits go on.
fn go(child: &mut Child) {
    if let Some(stdin) = &mut child.stdin {
        // It may have ended already.
        let _ = stdin.write_all(b"\n").and_then(|()| stdin.flush());
    }
}

/// Hands on what a worker says, line by line.
fn listen(part: usize, child: &mut Child, sender: Sender<(usize, Told)>) {
    let Some(stdout) = child.stdout.take() else { return };
    std::thread::spawn(move || {
        let mut has_finished = false;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let told = serde_json::from_str(&line).unwrap_or_else(|error| Told::Failed(format!("{error}: {line}")));
            has_finished |= matches!(told, Told::Record(_) | Told::Failed(_));
            // Nobody listens any more when another one has failed.
            let _ = sender.send((part, told));
        }
        if !has_finished {
            let sentence = "one of the processes has ended without a word; what it wrote on standard error is above";
            let _ = sender.send((part, Told::Failed(sentence.to_owned())));
        }
    });
}
