//! The shutdown of a server: Close frames spread over time, and a deadline.

use super::clients::Clients;
use crate::protocol::CloseCode;
use crate::protocol::check_close;
use crate::protocol::time::Tick;
use crate::server::config::Drain;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::time::Duration;

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The number of clients that were dropped without a complete closing handshake, because of the
    /// deadline of [`Drain`] or a second signal.
    pub dropped: usize,
    /// Whether a second signal ended the shutdown early.
    pub interrupted: bool,
    /// Whether another process has taken over (`Server::take_over`, feature `handover`), even if no
    /// client was connected. That process now owns what both use, such as files of the application.
    pub replaced: bool,
    /// The number of connections that it has taken over.
    pub handed_over: usize,
}

/// A shutdown in progress.
#[derive(Debug)]
pub(crate) struct Shutdown {
    pub(crate) drain: Drain,
    started: Tick,
    /// When all that are left are dropped.
    deadline: Tick,
    /// The clients that were open when it began, then those that have opened since.
    ids: Vec<ClientId>,
    /// How many of them have been closed.
    closed: usize,
    /// Another process serves: handlers get no more requests.
    is_handed_over: bool,
}

impl Outcome {
    /// Adds how another loop of the server has stopped.
    pub(crate) const fn with(self, other: Outcome) -> Outcome {
        Outcome {
            dropped: self.dropped + other.dropped,
            interrupted: self.interrupted || other.interrupted,
            replaced: self.replaced || other.replaced,
            handed_over: self.handed_over + other.handed_over,
        }
    }
}

/// The most clients to close in one turn, so that a million Close frames are not in memory at once.
const CLOSES_PER_TURN: usize = 1_024;

/// Close frames are spread in steps of this length.
const STEP: Duration = Duration::from_millis(10);

impl Shutdown {
    pub(crate) fn new(drain: Drain, now: Tick, ids: Vec<ClientId>) -> Shutdown {
        let deadline = now.after(drain.over.saturating_add(drain.deadline));
        Shutdown { drain, started: now, deadline, ids, closed: 0, is_handed_over: false }
    }

    /// Brings the deadline forward, if another shutdown that begins now would end earlier.
    fn hurry(&mut self, drain: &Drain, now: Tick) {
        self.deadline = self.deadline.earlier(now.after(drain.over.saturating_add(drain.deadline)));
    }

    /// Takes the clients that are to be closed now, at most as many as one turn closes.
    pub(crate) fn take_due(&mut self, now: Tick) -> Vec<ClientId> {
        let due = self.due(now).min(self.closed + CLOSES_PER_TURN);
        let ids = self.ids[self.closed..due].to_vec();
        self.closed = due;
        ids
    }

    /// Returns how many clients should have been closed by `now`.
    fn due(&self, now: Tick) -> usize {
        let elapsed = now.since(self.started);
        if elapsed >= self.drain.over {
            return self.ids.len();
        }
        let due = (self.ids.len() as u128 * elapsed.as_nanos() / self.drain.over.as_nanos()) as usize;
        due.max(self.closed)
    }

    /// Returns whether the deadline has passed.
    pub(crate) fn is_over(&self, now: Tick) -> bool {
        self.deadline.is_due(now)
    }

    /// Returns when there is something to do.
    pub(crate) fn next_due(&self, now: Tick) -> Tick {
        if self.due(now) > self.closed {
            now
        } else if self.closed < self.ids.len() {
            now.after(STEP).earlier(self.deadline)
        } else {
            self.deadline
        }
    }
}

impl<D: ClientData> Clients<D> {
    /// Begins a shutdown: refuses upgrades with 503 and closes all clients according to `drain`.
    /// A client whose handshake is under way is closed when it has opened. Streamed responses end
    /// in the same way, without the last chunk, so that no client takes the beginning of a body for
    /// the whole. New ones get 503.
    /// [`EventLoop::run`](crate::EventLoop::run) returns when the last client has disconnected.
    ///
    /// If the code or the reason cannot be sent, clients are closed with 1001 and no reason, and an
    /// error is logged.
    ///
    /// All loops of the server shut down. A second call can only bring the deadline forward: to
    /// [`over`](Drain#structfield.over) and [`deadline`](Drain#structfield.deadline) from now.
    pub fn shutdown(&mut self, drain: Drain) {
        self.shut_others_down(&drain);
        self.shut_down(drain);
    }

    /// [`shutdown`](Self::shutdown) of this loop.
    pub(crate) fn shut_down(&mut self, drain: Drain) {
        let now = self.table.now();
        if let Some(shutdown) = &mut self.shutdown {
            return shutdown.hurry(&drain, now);
        }
        let streams = self.table.iter().filter(|(_, client)| client.connection.is_streaming());
        let ids = self.iter_all().chain(streams.map(|(index, client)| client.id(index))).collect();
        self.begin_shutdown(drain, ids);
    }

    fn begin_shutdown(&mut self, mut drain: Drain, ids: Vec<ClientId>) {
        if self.shutdown.is_none() {
            if let Err(error) = check_close(drain.code, &drain.reason) {
                log::error!("closing with 1001 instead of {} {:?}: {error}", drain.code, drain.reason);
                (drain.code, drain.reason) = (CloseCode::Away, String::new());
            }
            log::info!("shutting down over {:?}; clients to close: {}", drain.over, self.len_all());
            self.shutdown = Some(Shutdown::new(drain, self.table.now(), ids));
        }
    }

    /// Shuts down because another process serves now. What clients that have stayed here say from
    /// now on would be lost, so their handlers do not hear it: messages wait until they are dropped
    /// with the connection, and requests get 503. Responses that are being streamed go on until the
    /// deadline.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn leave_to_another(&mut self, drain: Drain) {
        let ids: Vec<ClientId> = self.iter_all().collect();
        for id in &ids {
            self.pause(*id);
        }
        self.begin_shutdown(drain, ids);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.is_handed_over = true;
        }
    }

    /// Adds a client that has opened to the shutdown that is under way, if there is one. Its
    /// handshake had begun before, or the application has answered its request meanwhile.
    pub(crate) fn join_shutdown(&mut self, id: ClientId) {
        let Some(shutdown) = &mut self.shutdown else { return };
        shutdown.ids.push(id);
        if shutdown.is_handed_over {
            self.pause(id);
        }
    }

    /// Returns whether another process serves now.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.shutdown.as_ref().is_some_and(|shutdown| shutdown.is_handed_over)
    }

    /// Returns whether a shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }
}
