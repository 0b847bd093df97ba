//! The calls of other threads, until the loop runs them.
//!
//! Many calls cause one wake-up. The lock is held for a push or a swap and never while a call runs,
//! so a [`Remote`](super::Remote) cannot deadlock inside a callback.

use super::clients::Clients;
use super::event::Event;
use super::peers::Peers;
use crate::parts::LOOPS;
use crate::server::data::ClientData;
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// The calls that wait for the loop.
pub(crate) struct Queue<D: ClientData> {
    calls: Mutex<Waiting<D>>,
    /// `None` in a simulation, which never sleeps.
    waker: Option<Waker>,
    capacity: usize,
    /// The loops of the server, if it has several.
    peers: OnceLock<Weak<Peers<D>>>,
}

pub(super) struct Waiting<D: ClientData> {
    calls: VecDeque<Call<D>>,
    is_closed: bool,
    /// The loop is handed over, or goes on soon.
    #[cfg(feature = "handover")]
    is_frozen: bool,
}

impl<D: ClientData> Waiting<D> {
    /// Returns whether other threads must wait.
    #[cfg(feature = "handover")]
    const fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    #[cfg(not(feature = "handover"))]
    const fn is_frozen(&self) -> bool {
        false
    }
}

type Run<D> = Box<dyn FnOnce(&mut Clients<D>) + Send>;

/// Something to do in the loop, on a route.
pub(crate) struct Call<D: ClientData> {
    pub(crate) route: Route,
    pub(crate) act: Act<D>,
}

/// What there is to do.
pub(crate) enum Act<D: ClientData> {
    /// A closure is to be run.
    Run(Run<D>),
    /// The handler is to be told. What the backplane has reported is an event as well, with a
    /// [`Heard`](super::Heard).
    Tell(Event),
}

/// The route of a call.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Number(u16),
    /// The first pattern of a route. The loop looks for it, because a router knows its routes only
    /// when it runs.
    Pattern(Arc<str>),
}

impl Route {
    pub(super) const FIRST: Route = Route::Number(0);
}

/// Why a call was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteError {
    /// [`remote_queue`](crate::Config::remote_queue) calls already wait.
    Full,
    /// The server has stopped.
    Stopped,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemoteError::Full => "too many calls wait for the server: try again later, or raise Config::remote_queue",
            RemoteError::Stopped => "the server has stopped: no call reaches it any more, so drop the Remote",
        })
    }
}

impl std::error::Error for RemoteError {}

impl<D: ClientData> Queue<D> {
    pub(crate) fn new(waker: Option<Waker>, capacity: usize) -> Queue<D> {
        Queue {
            calls: Mutex::new(Waiting {
                calls: VecDeque::new(),
                is_closed: false,
                #[cfg(feature = "handover")]
                is_frozen: false,
            }),
            waker,
            capacity,
            peers: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<D>> {
        lock(&self.calls)
    }

    /// Returns the queue, if it has room for one more call.
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, Waiting<D>>, RemoteError> {
        self.enter_beyond(0)
    }

    /// As [`enter`](Self::enter), if the queue had room for so many calls more than it has.
    pub(super) fn enter_beyond(&self, more: usize) -> Result<MutexGuard<'_, Waiting<D>>, RemoteError> {
        let waiting = self.lock();
        if waiting.is_closed {
            Err(RemoteError::Stopped)
        } else if waiting.calls.len() >= self.capacity.saturating_add(more) || waiting.is_frozen() {
            Err(RemoteError::Full)
        } else {
            Ok(waiting)
        }
    }

    /// Returns the queue, even if it is full. `None` if the server has stopped.
    pub(super) fn enter_always(&self) -> Option<MutexGuard<'_, Waiting<D>>> {
        Some(self.lock()).filter(|waiting| !waiting.is_closed)
    }

    pub(super) fn push(&self, mut waiting: MutexGuard<'_, Waiting<D>>, route: Route, act: Act<D>) {
        waiting.calls.push_back(Call { route, act });
        let is_first = waiting.calls.len() == 1;
        drop(waiting);
        if is_first {
            if let Some(Err(error)) = self.waker.as_ref().map(Waker::wake) {
                log::error!("cannot wake the loop: {error}");
            }
        }
    }

    /// Makes the queue that of one of several loops.
    pub(super) fn join_loops(&self, peers: &Arc<Peers<D>>) {
        // It is called once.
        let _ = self.peers.set(Arc::downgrade(peers));
    }

    /// Returns the loops of the server, while they run, if there are several.
    pub(super) fn peers(&self) -> Option<Arc<Peers<D>>> {
        if !LOOPS.is_used() {
            return None;
        }
        self.peers.get()?.upgrade()
    }

    /// Queues a call even if the queue is full. Only for calls that are bounded in another way.
    pub(super) fn push_always(&self, route: Route, act: Act<D>) {
        if let Some(waiting) = self.enter_always() {
            self.push(waiting, route, act);
        }
    }

    /// Refuses calls of other threads, as if the queue were full, or takes them again. Other loops
    /// are not concerned.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn freeze(&self, on: bool) {
        self.lock().is_frozen = on;
    }

    /// Queues a call of this library's own, even if the queue is full.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn push_internal(&self, call: impl FnOnce(&mut Clients<D>) + Send + 'static) {
        self.push_always(Route::FIRST, Act::Run(Box::new(call)));
    }

    /// Takes all calls.
    pub(crate) fn take(&self) -> VecDeque<Call<D>> {
        std::mem::take(&mut self.lock().calls)
    }

    /// Returns whether calls wait for which the loop was not woken.
    pub(crate) fn has_silent_calls(&self) -> bool {
        self.waker.is_none() && self.has_calls()
    }

    /// Returns whether calls wait.
    pub(crate) fn has_calls(&self) -> bool {
        !self.lock().calls.is_empty()
    }

    /// Drops all calls, and refuses later ones.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        let dropped = std::mem::take(&mut waiting.calls);
        drop(waiting);
        drop(dropped);
    }
}

/// Locks what threads share. A panic of another thread does not spoil it.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
