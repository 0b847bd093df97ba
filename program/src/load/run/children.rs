//! Workers that are processes of this host.

use super::turns::Watcher;
use super::worker::FromWorker;
use super::workers::{Link, run_workers};
use crate::load::measure::Record;
use crate::terminal::{Failure, Log};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

/// A worker process. It is killed when this is dropped.
pub(crate) struct ChildWorker(Child);

impl ChildWorker {
    /// Starts `lariat load` with these arguments and `--worker=PART/PARTS`. The worker is in its
    /// own process group. So Ctrl-C reaches only the parent, which interrupts the workers.
    pub(crate) fn start(
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        part: u32,
        parts: u32,
    ) -> Result<ChildWorker, Failure> {
        let spawned = std::env::current_exe().and_then(|program| {
            let mut command = Command::new(program);
            command.arg("load").arg(format!("--worker={part}/{parts}")).args(arguments);
            command.env_remove("LARIAT_TOKEN");
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        });
        let child =
            spawned.map_err(|error| Failure(format!("cannot start another process of this program: {error}")))?;
        Ok(ChildWorker(child))
    }

    /// Calls `hear` in a thread with each line of standard output, and at its end with `None`.
    pub(crate) fn listen(&mut self, mut hear: impl FnMut(Option<String>) + Send + 'static) -> Result<(), Failure> {
        let Some(stdout) = self.0.stdout.take() else { return Ok(()) };
        let thread = thread("worker", move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| hear(Some(line)));
            hear(None);
        });
        thread.map(drop)
    }

    /// Calls `hear` in a thread with each line of standard error, and at its end with `None`.
    pub(crate) fn listen_to_log(
        &mut self,
        mut hear: impl FnMut(Option<String>) + Send + 'static,
    ) -> Result<Option<JoinHandle<()>>, Failure> {
        let Some(stderr) = self.0.stderr.take() else { return Ok(None) };
        let thread = thread("worker log", move || {
            let lines = BufReader::new(stderr).split(b'\n').map_while(Result::ok);
            lines.for_each(|line| hear(Some(String::from_utf8_lossy(&line).into_owned())));
            hear(None);
        });
        thread.map(Some)
    }
}

/// Starts a thread.
pub(crate) fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    started.map_err(|error| Failure(format!("cannot start a thread: {error}")))
}

impl Link for ChildWorker {
    fn go(&mut self) {
        if let Some(stdin) = &mut self.0.stdin {
            // It may have ended already.
            let _ = stdin.write_all(b"\n").and_then(|()| stdin.flush());
        }
    }

    fn interrupt(&mut self) {
        // The id of a process that has been waited for may be that of another one now.
        if matches!(self.0.try_wait(), Ok(None)) {
            interrupt(self.0.id());
        }
    }

    fn ended(&mut self) -> String {
        self.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

impl Drop for ChildWorker {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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

/// Starts this program so many times with the same arguments, and adds up their measurements.
pub(crate) fn run_processes(processes: u32, watcher: &mut impl Watcher, log: &Log) -> Result<Record, Failure> {
    let (sender, heard) = channel();
    let (mut links, mut readers) = (Vec::<Box<dyn Link>>::new(), Vec::new());
    for part in 0..processes {
        let mut child = ChildWorker::start(std::env::args_os().skip(2), part, processes)?;
        let (sender, log) = (sender.clone(), log.clone());
        child.listen(move |line| {
            let message = line.map(|line| {
                serde_json::from_str(&line).unwrap_or_else(|error| FromWorker::Failed(format!("{error}: {line}")))
            });
            // The receiver has gone if another process could not be started.
            let _ = sender.send((part as usize, message));
        })?;
        // So its lines do not land in the status line.
        readers.extend(child.listen_to_log(move |line| line.iter().for_each(|line| log.say(&format!("{line}\n"))))?);
        links.push(Box::new(child));
    }
    drop(sender);
    let record = run_workers(links, &heard, watcher);
    for reader in readers {
        // It does not panic.
        let _ = reader.join();
    }
    record
}
