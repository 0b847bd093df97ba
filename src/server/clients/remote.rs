//! Calls from other threads.
//!
//! A [`Remote`] puts a call into a queue and wakes the loop, which runs the calls at the start of a
//! turn. Many calls cause one wake-up. The queue's lock is held for a push or a swap and never
//! while a call runs, so a [`Remote`] cannot deadlock inside a callback.

use super::clients::Clients;
use crate::protocol::{CloseCode, Message, OwnedMessage};
use crate::server::config::Drain;
use crate::server::id::ClientId;
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Call<D> = Box<dyn FnOnce(&mut Clients<D>) + Send>;

/// A handle to a server for other threads.
pub struct Remote<D> {
    queue: Arc<Queue<D>>,
}

/// The calls that wait for the loop.
pub(crate) struct Queue<D> {
    calls: Mutex<Waiting<D>>,
    /// `None` in a simulation, which never sleeps.
    waker: Option<Waker>,
    capacity: usize,
}

struct Waiting<D> {
    calls: VecDeque<Call<D>>,
    is_closed: bool,
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
            RemoteError::Stopped => "the server has stopped",
        })
    }
}

impl std::error::Error for RemoteError {}

/// A call was not taken by [`Remote::run`], and comes back. `?` makes it a [`RemoteError`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotRun<F> {
    /// Why.
    pub error: RemoteError,
    /// The call, to be tried again or done without.
    pub call: F,
}

impl<F> fmt::Debug for NotRun<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotRun").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for NotRun<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<F> std::error::Error for NotRun<F> {}

impl<F> From<NotRun<F>> for RemoteError {
    fn from(refused: NotRun<F>) -> RemoteError {
        refused.error
    }
}

impl<D> Clone for Remote<D> {
    fn clone(&self) -> Remote<D> {
        Remote { queue: Arc::clone(&self.queue) }
    }
}

impl<D> fmt::Debug for Remote<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

impl<D> Remote<D> {
    pub(crate) fn new(queue: Arc<Queue<D>>) -> Remote<D> {
        Remote { queue }
    }

    /// Queues a call, which runs on the loop's thread at the start of a turn.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Full`], [`RemoteError::Stopped`]. Nothing was queued, and the error gives the
    /// call back, with all that it holds.
    ///
    /// ```
    /// # fn example(remote: &lariat::Remote<()>, orders: std::sync::mpsc::Receiver<Vec<u8>>)
    /// #     -> Result<(), lariat::RemoteError> {
    /// let mut waiting = std::collections::VecDeque::new();
    /// for order in orders {
    ///     waiting.push_back(move |clients: &mut lariat::Clients<()>| {
    ///         clients.broadcast(&order);
    ///     });
    ///     while let Some(call) = waiting.pop_front() {
    ///         match remote.run(call) {
    ///             // The call comes back, and is tried again before the next order.
    ///             Err(refused) if refused.error == lariat::RemoteError::Full => {
    ///                 waiting.push_front(refused.call);
    ///                 break;
    ///             }
    ///             result => result?,
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<F>(&self, call: F) -> Result<(), NotRun<F>>
    where
        F: FnOnce(&mut Clients<D>) + Send + 'static,
    {
        // The lock is released before a refused call is dropped.
        match self.queue.enter() {
            Ok(waiting) => {
                self.queue.push(waiting, Box::new(call));
                Ok(())
            }
            Err(error) => Err(NotRun { error, call }),
        }
    }

    /// Queues a call even if the queue is full. Only for calls that are rare.
    pub(super) fn run_always(&self, call: impl FnOnce(&mut Clients<D>) + Send + 'static) {
        let waiting = self.queue.lock();
        if !waiting.is_closed {
            self.queue.push(waiting, Box::new(call));
        }
    }

    /// Sends a message to a client, if it is still connected.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn send<'m>(&self, id: ClientId, message: impl Into<Message<'m>>) -> Result<(), RemoteError> {
        let message = OwnedMessage::from(message.into());
        Ok(self.run(move |clients| {
            let _ = clients.send(id, &message);
        })?)
    }

    /// Publishes a message to the members of a topic of the first route.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn publish<'m>(&self, topic: impl Into<String>, message: impl Into<Message<'m>>) -> Result<(), RemoteError> {
        let (topic, message) = (topic.into(), OwnedMessage::from(message.into()));
        Ok(self.run(move |clients| {
            clients.publish(&topic, &message);
        })?)
    }

    /// Begins a client's closing handshake, if it is still connected.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn close(&self, id: ClientId, code: CloseCode, reason: impl Into<String>) -> Result<(), RemoteError> {
        let reason = reason.into();
        Ok(self.run(move |clients| {
            let _ = clients.close(id, code, &reason);
        })?)
    }

    /// Begins a shutdown, as [`Clients::shutdown`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn shutdown(&self, drain: Drain) -> Result<(), RemoteError> {
        Ok(self.run(move |clients| clients.shutdown(drain))?)
    }
}

impl<D> Queue<D> {
    pub(crate) fn new(waker: Option<Waker>, capacity: usize) -> Queue<D> {
        Queue { calls: Mutex::new(Waiting { calls: VecDeque::new(), is_closed: false }), waker, capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<D>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue, if it has room for one more call.
    fn enter(&self) -> Result<MutexGuard<'_, Waiting<D>>, RemoteError> {
        let waiting = self.lock();
        if waiting.is_closed {
            Err(RemoteError::Stopped)
        } else if waiting.calls.len() >= self.capacity {
            Err(RemoteError::Full)
        } else {
            Ok(waiting)
        }
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting<D>>, call: Call<D>) {
        waiting.calls.push_back(call);
        let is_first = waiting.calls.len() == 1;
        drop(waiting);
        if is_first {
            if let Some(Err(error)) = self.waker.as_ref().map(Waker::wake) {
                log::error!("cannot wake the loop: {error}");
            }
        }
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
