//! How does a server say goodbye to everybody?

use super::clients::Clients;
use crate::protocol::check_close;
use crate::protocol::time::Tick;
use crate::server::config::Drain;
use crate::server::id::ClientId;
use std::time::Duration;
use tungstenite::protocol::frame::coding::CloseCode;

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How many clients were dropped without a complete closing handshake, because the deadline of
    /// [`Drain`] had come or a second signal.
    pub dropped: usize,
    /// Whether a second signal cut it short.
    pub interrupted: bool,
}

/// A shutdown under way.
#[derive(Debug)]
pub(crate) struct Shutdown {
    pub(crate) drain: Drain,
    started: Tick,
    /// Those who were open when it began.
    ids: Vec<ClientId>,
    /// How many of them have been sent their Close.
    closed: usize,
}

/// How many clients are closed in one turn, so that a million Close frames do not lie in memory at
/// once.
const CLOSES_PER_TURN: usize = 1_024;

/// Close frames are spread in steps of this length.
const STEP: Duration = Duration::from_millis(10);

impl Shutdown {
    pub(crate) fn new(drain: Drain, now: Tick, ids: Vec<ClientId>) -> Shutdown {
        Shutdown { drain, started: now, ids, closed: 0 }
    }

    /// Those whose turn has come: a part of them, if they are many.
    pub(crate) fn take_due(&mut self, now: Tick) -> Vec<ClientId> {
        let due = self.due(now).min(self.closed + CLOSES_PER_TURN);
        let ids = self.ids[self.closed..due].to_vec();
        self.closed = due;
        ids
    }

    /// How many should have been sent their Close by now.
    fn due(&self, now: Tick) -> usize {
        let elapsed = now.since(self.started);
        if elapsed >= self.drain.over {
            return self.ids.len();
        }
        let due = (self.ids.len() as u128 * elapsed.as_nanos() / self.drain.over.as_nanos()) as usize;
        due.max(self.closed)
    }

    /// Whether the last may not wait any longer.
    pub(crate) fn is_over(&self, now: Tick) -> bool {
        self.deadline().is_due(now)
    }

    /// When there is something to do.
    pub(crate) fn next_due(&self, now: Tick) -> Tick {
        if self.due(now) > self.closed {
            now
        } else if self.closed < self.ids.len() {
            now.after(STEP).earlier(self.deadline())
        } else {
            self.deadline()
        }
    }

    fn deadline(&self) -> Tick {
        self.started.after(self.drain.over.saturating_add(self.drain.deadline))
    }
}

impl<D> Clients<D> {
    // ---- the end -------------------------------------------------------------------------------

    /// Begins to stop the server: upgrades get 503 from now on, clients are closed as `drain` says,
    /// and [`EventLoop::run`](crate::EventLoop::run) returns when the last is gone.
    ///
    /// If the code or the reason cannot be sent, the clients are closed with 1001 and no reason,
    /// and an error is logged.
    pub fn shutdown(&mut self, mut drain: Drain) {
        if self.shutdown.is_none() {
            if let Err(error) = check_close(drain.code, &drain.reason) {
                log::error!("closing with 1001, not with {} {:?}: {error}", drain.code, drain.reason);
                (drain.code, drain.reason) = (CloseCode::Away, String::new());
            }
            log::info!("stopping: {} clients are to be closed over {:?}", self.len_all(), drain.over);
            let ids = self.iter_all().collect();
            self.shutdown = Some(Shutdown::new(drain, self.table.now(), ids));
        }
    }

    /// Whether the server is about to stop.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }
}
