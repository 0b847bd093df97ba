//! The threads of the hostile clients. The good clients have a loop of their own, so nothing here
//! holds them up.
//!
//! Each thread is one client at a time, and takes the next kind of the list. Once all kinds have
//! had their turn, a thread begins ten clients in a second at most: they are there to be refused,
//! and not to load the server.

use super::client::{Attempt, Client};
use super::list::{KINDS, Kind};
use crate::clock::Clock;
use crate::load::measure::{ErrorCount, Malformed};
use crate::load::plan::{Hostiles, Target};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most at a time: more would disturb the measurement of the good clients.
const MOST: u32 = 16;

/// The time from the beginning of a client to that of the next one in its thread, at least.
const PACE: Duration = Duration::from_millis(100);

/// The hostile clients of a run. They end when this is dropped.
pub(crate) struct Hostile {
    shared: Arc<Shared>,
    /// Each thread waits on one of these, which end when they are dropped.
    alive: Vec<Sender<()>>,
}

struct Shared {
    hostiles: Hostiles,
    stopped: AtomicBool,
    /// Clients begun.
    begun: AtomicUsize,
    /// One entry for each kind that fits one of the servers.
    kinds: Vec<&'static Kind>,
    found: Mutex<Vec<Malformed>>,
}

impl Hostile {
    /// Begins with the first kinds of the list.
    pub(crate) fn start(hostiles: Hostiles) -> std::io::Result<Hostile> {
        let fits = |kind: &&Kind| hostiles.targets.iter().any(|target| kind.fits(target));
        let kinds: Vec<&Kind> = KINDS.iter().filter(fits).collect();
        let found = kinds.iter().map(|kind| Malformed {
            name: kind.name.to_owned(),
            what: kind.what.to_owned(),
            expected: kind.expected.to_owned(),
            ..Malformed::default()
        });
        let found = Mutex::new(found.collect());
        let clients = hostiles.clients.min(MOST);
        let shared = Shared { hostiles, stopped: AtomicBool::new(false), begun: AtomicUsize::new(0), kinds, found };
        let mut hostile = Hostile { shared: Arc::new(shared), alive: Vec::new() };
        for _ in 0..clients {
            let (alive, ended) = channel();
            let shared = Arc::clone(&hostile.shared);
            std::thread::Builder::new().name("hostile".to_owned()).spawn(move || shared.run(&ended))?;
            hostile.alive.push(alive);
        }
        Ok(hostile)
    }

    /// Ends them. What is under way does not count, and nobody waits for it.
    pub(crate) fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.alive.clear();
    }

    /// Returns what the server did so far, in the order of the list.
    pub(crate) fn found(&self) -> Vec<Malformed> {
        self.shared.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, ended: &Receiver<()>) {
        let clock = Clock::start();
        let client = Client { clock, stopped: &self.stopped, timeout: self.hostiles.timeout };
        loop {
            let (began, number) = (clock.nanos(), self.begun.fetch_add(1, Ordering::Relaxed));
            let (round, place) = (number / self.kinds.len(), number % self.kinds.len());
            let kind = self.kinds[place];
            if let Some(target) = self.target(kind, round) {
                self.count(place, client.attempt(kind, target));
            }
            let took = Duration::from_nanos(clock.nanos() - began);
            let pause = if round == 0 { Duration::ZERO } else { PACE.saturating_sub(took) };
            if ended.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Returns the server whose turn it is. The first kinds of a round go to the same one.
    fn target(&self, kind: &Kind, round: usize) -> Option<&Target> {
        let fitting: Vec<&Target> = self.hostiles.targets.iter().filter(|target| kind.fits(target)).collect();
        fitting.get(round % fitting.len().max(1)).copied()
    }

    fn count(&self, place: usize, attempt: Attempt) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that nothing counts after the report has been made.
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let (kind, entry) = (self.kinds[place], &mut found[place]);
        let text = match attempt {
            Attempt::Stopped => return,
            Attempt::NotTried(why) => why,
            Attempt::Did(outcome) => {
                entry.tried += 1;
                entry.right += u64::from(kind.is_right(outcome));
                outcome.to_string()
            }
        };
        let mut counted = ErrorCount { details: std::mem::take(&mut entry.outcomes), ..ErrorCount::default() };
        counted.detail(1, text);
        entry.outcomes = counted.details;
    }
}
