//! Calls from other threads.
//!
//! A [`Remote`] puts a call into a queue and wakes the loop, which runs the calls at the start of a
//! turn. Many calls cause one wake-up. The queue's lock is held for a push or a swap and never while a
//! call runs, so a [`Remote`] cannot deadlock inside a callback.

use super::clients::Clients;
use crate::protocol::Message;
use crate::server::config::Drain;
use crate::server::id::ClientId;
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tungstenite::protocol::frame::coding::CloseCode;

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
    /// [`RemoteError::Full`], [`RemoteError::Stopped`]. The call is dropped.
    pub fn run(&self, call: impl FnOnce(&mut Clients<D>) + Send + 'static) -> Result<(), RemoteError> {
        self.queue.push(Box::new(call))
    }

    /// Sends a message to a client, if it is still connected.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn send<'m>(&self, id: ClientId, message: impl Into<Message<'m>>) -> Result<(), RemoteError> {
        let message = message.into().into_owned();
        self.run(move |clients| {
            let _ = clients.send(id, &message);
        })
    }

    /// Publishes a message to the members of a topic of the first route.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn publish<'m>(&self, topic: impl Into<String>, message: impl Into<Message<'m>>) -> Result<(), RemoteError> {
        let (topic, message) = (topic.into(), message.into().into_owned());
        self.run(move |clients| {
            clients.publish(&topic, &message);
        })
    }

    /// Begins a client's closing handshake, if it is still connected.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn close(&self, id: ClientId, code: CloseCode, reason: impl Into<String>) -> Result<(), RemoteError> {
        let reason = reason.into();
        self.run(move |clients| {
            let _ = clients.close(id, code, &reason);
        })
    }

    /// Begins a shutdown, as [`Clients::shutdown`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn shutdown(&self, drain: Drain) -> Result<(), RemoteError> {
        self.run(move |clients| clients.shutdown(drain))
    }
}

impl<D> Queue<D> {
    pub(crate) fn new(waker: Option<Waker>, capacity: usize) -> Queue<D> {
        Queue { calls: Mutex::new(Waiting { calls: VecDeque::new(), is_closed: false }), waker, capacity }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<D>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, call: Call<D>) -> Result<(), RemoteError> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(RemoteError::Stopped);
        }
        if waiting.calls.len() >= self.capacity {
            return Err(RemoteError::Full);
        }
        waiting.calls.push_back(call);
        let is_first = waiting.calls.len() == 1;
        drop(waiting);
        if is_first {
            if let Some(Err(error)) = self.waker.as_ref().map(Waker::wake) {
                log::error!("cannot wake the loop: {error}");
            }
        }
        Ok(())
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
