//! The thread that runs all experiments.
//!
//! It waits until a socket is ready, a time has come, or an experiment begins. It ends when the
//! [`Lab`] is dropped, and all experiments with it.

use super::experiment::{Experiment, MOST_RUNNING};
use super::report::Report;
use super::running::Running;
use crate::clock::Clock;
use lariat::{Adopted, ClientId, Remote, RemoteError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// While the server's queue is full, the worker tries to report again after this time.
const RETRY_NANOS: u64 = 10_000_000;

/// A new experiment: its connection's other end, and how it is run.
type Start = (ClientId, Running);

/// A handle to the thread that runs experiments.
#[derive(Debug)]
pub(crate) struct Lab {
    starts: SyncSender<Start>,
    waker: UnixStream,
}

/// The experiment's end of a connection.
#[derive(Debug)]
pub(crate) struct OwnEnd(UnixStream);

impl Lab {
    /// Starts the thread. It posts a [`Report`] for each thing that happens.
    pub(crate) fn start(remote: Remote<()>) -> io::Result<Lab> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (starts, started) = sync_channel(MOST_RUNNING);
        let worker = Worker { woken, started, running: Vec::new(), untold: VecDeque::new(), remote };
        std::thread::Builder::new().name("lab".to_owned()).spawn(move || worker.work())?;
        Ok(Lab { starts, waker })
    }

    /// Makes a connection: the end of an experiment, and the end for the server.
    pub(crate) fn connection() -> io::Result<(OwnEnd, Adopted)> {
        let (own, servers) = UnixStream::pair()?;
        own.set_nonblocking(true)?;
        Ok((OwnEnd(own), servers.into()))
    }

    /// Begins an experiment, whose other end is this client. The times of reports are those of
    /// `clock`.
    pub(crate) fn run(&self, client: ClientId, own: OwnEnd, what: Experiment, clock: Clock) -> io::Result<()> {
        let running = Running::new(own.0, what, clock);
        self.starts.try_send((client, running)).map_err(io::Error::other)?;
        match (&self.waker).write(&[0]) {
            // It has not seen the last call yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            written => written.map(|_| ()),
        }
    }
}

struct Worker {
    woken: UnixStream,
    started: Receiver<Start>,
    running: Vec<Start>,
    /// What the server's queue had no room for.
    untold: VecDeque<Report>,
    remote: Remote<()>,
}

impl Worker {
    fn work(mut self) {
        while self.wait() && self.begin() && self.tell() {
            let Worker { running, untold, .. } = &mut self;
            running.retain_mut(|(client, running)| {
                !running.go_on(&mut |nanos, seen| untold.push_back(Report { client: *client, nanos, seen }))
            });
            if !self.tell() {
                return;
            }
        }
    }

    /// Waits for something to do. Returns whether the poller works.
    fn wait(&self) -> bool {
        let retry = if self.untold.is_empty() { None } else { Some(RETRY_NANOS) };
        let due = self.running.iter().map(|(_, running)| running.due()).chain(retry).min();
        let due =
            due.map(|nanos| Timespec { tv_sec: (nanos / 1_000_000_000) as _, tv_nsec: (nanos % 1_000_000_000) as _ });
        // A socket without interest is left out: it would be reported as hung up again and again.
        let sockets = self.running.iter().filter_map(|(_, running)| {
            let interest = running.interest();
            (!interest.is_empty()).then(|| PollFd::from_borrowed_fd(running.socket(), interest))
        });
        let mut ready: Vec<PollFd<'_>> = sockets.chain([PollFd::new(&self.woken, PollFlags::IN)]).collect();
        match poll(&mut ready, due.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => true,
            Err(error) => {
                log::error!("the experiments of lessons end: poll(2) fails: {error}");
                false
            }
        }
    }

    /// Takes new experiments. Returns whether there is still somebody who could begin one.
    fn begin(&mut self) -> bool {
        // One byte for each call of `run`, or fewer.
        let mut bytes = [0; 64];
        let _ = self.woken.read(&mut bytes);
        loop {
            match self.started.try_recv() {
                Ok(start) => self.running.push(start),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Reports what has happened. Returns whether the server still runs.
    fn tell(&mut self) -> bool {
        while let Some(report) = self.untold.pop_front() {
            match self.remote.post(report) {
                Ok(()) => {}
                Err(refused) if refused.error == RemoteError::Full => {
                    self.untold.push_front(refused.event);
                    break;
                }
                Err(_) => return false,
            }
        }
        true
    }
}
