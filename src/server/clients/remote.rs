//! Calls from other threads.
//!
//! A [`Remote`] puts a call into a queue and wakes the loop, which runs the calls at the start of a
//! turn.

use super::clients::Clients;
use super::event::Event;
use super::peers::Peers;
use super::queue::{Act, Queue, RemoteError, Route};
use crate::parts::{EVENTS, ROUTE_PATTERNS};
use crate::protocol::{Answer, CloseCode, Message, OwnedMessage};
use crate::server::config::Drain;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// So many shutdowns can wait in a queue that is full.
const SHUTDOWNS: usize = 16;

/// A handle to a server for other threads. They can talk to the handler ([`post`](Self::post)), to
/// clients ([`send`](Self::send), [`answer`](Self::answer), [`close`](Self::close)), or run a
/// closure in the loop ([`run`](Self::run)).
///
/// All calls of all remotes of a loop are run in the order in which they were made.
///
/// [`Server::remote`](crate::Server::remote), [`EventLoop::remote`](crate::EventLoop::remote) and
/// [`Clients::remote`] return one. Its clones belong to the same route of a
/// [`Router`](crate::Router); [`on_route`](Self::on_route) returns one for another route.
pub struct Remote<D: ClientData> {
    queue: Arc<Queue<D>>,
    route: Route,
}

/// A call was not taken by [`Remote::run`], and comes back. `?` makes it a [`RemoteError`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotRun<F> {
    /// Why.
    pub error: RemoteError,
    /// The call, to be tried again or done without.
    pub call: F,
}

/// An event was not taken by [`Remote::post`], and comes back. `?` makes it a [`RemoteError`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NotPosted<E> {
    /// Why.
    pub error: RemoteError,
    /// The event, to be tried again or done without.
    pub event: E,
}

/// Both errors show why, and not what comes back.
macro_rules! errors_that_give_back {
    ($($name:ident),*) => {$(
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("error", &self.error).finish_non_exhaustive()
            }
        }

        impl<T> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.error.fmt(f)
            }
        }

        impl<T> std::error::Error for $name<T> {}

        impl<T> From<$name<T>> for RemoteError {
            fn from(refused: $name<T>) -> RemoteError {
                refused.error
            }
        }
    )*};
}

errors_that_give_back!(NotRun, NotPosted);

impl<D: ClientData> Clone for Remote<D> {
    fn clone(&self) -> Remote<D> {
        Remote { queue: Arc::clone(&self.queue), route: self.route.clone() }
    }
}

impl<D: ClientData> fmt::Debug for Remote<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

impl<D: ClientData> Remote<D> {
    pub(crate) fn new(queue: Arc<Queue<D>>) -> Remote<D> {
        Remote { queue, route: Route::FIRST }
    }

    /// Returns a remote for another [loop](crate::Loops) of the server, by its number. Its
    /// [`run`](Self::run), [`post`](Self::post) and [`publish`](Self::publish) run there. The first
    /// remote of a server belongs to loop 0. Calls for a client always run on the client's loop:
    /// [`send`](Self::send), [`answer`](Self::answer), [`close`](Self::close). Returns a clone if
    /// there is no such loop.
    #[must_use]
    pub fn on_loop(&self, number: usize) -> Remote<D> {
        let mut remote = self.clone();
        if let Some(queue) = self.queue.peers().and_then(|peers| peers.queue(number).cloned()) {
            remote.queue = queue;
        }
        remote
    }

    pub(super) fn peers(&self) -> Option<Arc<Peers<D>>> {
        self.queue.peers()
    }

    /// Returns the number of the server's loops.
    pub fn loops(&self) -> usize {
        self.queue.peers().map_or(1, |peers| peers.len())
    }

    /// Returns the queue of the loop to which a client belongs.
    fn queue_of(&self, id: ClientId) -> Arc<Queue<D>> {
        let peers = self.queue.peers();
        Arc::clone(peers.as_ref().map_or(&self.queue, |peers| peers.queue_of(id)))
    }

    /// Returns a remote for a route of a [`Router`](crate::Router), given by its first pattern. Its
    /// [`run`](Self::run), [`publish`](Self::publish) and [`post`](Self::post) belong to that route.
    /// Those of a server's first remote belong to the first route.
    ///
    /// The loop looks for the route when it runs a call. If there is none, the call or event is
    /// dropped, and an error is logged.
    ///
    /// ```
    /// # fn example(remote: &lariat::Remote<()>) -> Result<(), lariat::RemoteError> {
    /// let chat = remote.on_route("/chat");
    /// chat.publish("lobby", "from another thread")?;
    /// chat.run(|clients| {
    ///     clients.broadcast("to all clients of the chat");
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_route(&self, pattern: &str) -> Remote<D> {
        ROUTE_PATTERNS.use_it();
        Remote { route: Route::Pattern(pattern.into()), ..self.clone() }
    }

    /// Queues an event for the handler: [`Handler::on_event`](crate::Handler::on_event) is called
    /// with it on the loop's thread, at the start of a turn. In a [`Router`](crate::Router), the
    /// handler of the remote's [route](Self::on_route) is called.
    ///
    /// Use it for what concerns the application's own state. An event that no handler knows is
    /// logged, with the name of its type.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). The error gives the event back.
    ///
    /// ```
    /// use lariat::{Clients, Event, Handler, Remote, RemoteError};
    ///
    /// enum Order {
    ///     Open(String),
    ///     Close(String),
    /// }
    ///
    /// #[derive(Default)]
    /// struct Rooms {
    ///     open: std::collections::BTreeSet<String>,
    /// }
    ///
    /// impl Handler for Rooms {
    ///     type Data = ();
    ///     fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
    ///         match event.downcast() {
    ///             Ok(Order::Open(room)) => drop(self.open.insert(room)),
    ///             Ok(Order::Close(room)) => drop(self.open.remove(&room)),
    ///             Err(unknown) => unknown.log_unhandled(clients),
    ///         }
    ///     }
    /// }
    ///
    /// /// Runs on a thread of its own.
    /// fn administer(remote: &Remote<()>) -> Result<(), RemoteError> {
    ///     remote.post(Order::Open("lobby".to_owned()))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn post<E: Any + Send>(&self, event: E) -> Result<(), NotPosted<E>> {
        EVENTS.use_it();
        match self.queue.enter() {
            Ok(waiting) => {
                self.queue.push(waiting, self.route.clone(), Act::Tell(Event::new(event)));
                Ok(())
            }
            Err(error) => Err(NotPosted { error, event }),
        }
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
        Remote::run_on(&self.queue, self.route.clone(), call)
    }

    fn run_on<F>(queue: &Queue<D>, route: Route, call: F) -> Result<(), NotRun<F>>
    where
        F: FnOnce(&mut Clients<D>) + Send + 'static,
    {
        // The lock is released before a refused call is dropped.
        match queue.enter() {
            Ok(waiting) => {
                queue.push(waiting, route, Act::Run(Box::new(call)));
                Ok(())
            }
            Err(error) => Err(NotRun { error, call }),
        }
    }

    /// Queues a call even if the queue is full. Only for calls that are rare.
    pub(super) fn run_always(&self, call: impl FnOnce(&mut Clients<D>) + Send + 'static) {
        self.queue.push_always(self.route.clone(), Act::Run(Box::new(call)));
    }

    /// Sends a message to a client, if it is still connected.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn send<'m>(&self, id: ClientId, message: impl Into<Message<'m>>) -> Result<(), RemoteError> {
        let message = OwnedMessage::from(message.into());
        Ok(Remote::run_on(&self.queue_of(id), Route::FIRST, move |clients| {
            let _ = clients.send(id, &message);
        })?)
    }

    /// Publishes a message to the members of a topic of the remote's [route](Self::on_route).
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
        Ok(Remote::run_on(&self.queue_of(id), Route::FIRST, move |clients| {
            let _ = clients.close(id, code, &reason);
        })?)
    }

    /// Answers a request for which `on_request` returned [`Answer::Later`], if the client is still
    /// connected, as [`Clients::answer`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). The client then gets no answer, and its connection ends at the
    /// handshake's deadline. [`run`](Self::run) with a call of [`Clients::answer`] gives the answer
    /// back instead.
    ///
    /// ```
    /// use lariat::http::StatusCode;
    /// use lariat::{Answer, ClientId, Clients, Handler, Remote, Request, Upgrade};
    ///
    /// struct Gateway;
    ///
    /// impl Handler for Gateway {
    ///     type Data = ();
    ///     fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
    ///         let (remote, path) = (clients.remote(), request.path().to_owned());
    ///         std::thread::spawn(move || {
    ///             # let may_enter = |path: &str| !path.is_empty();
    ///             let answer = match may_enter(&path) {
    ///                 true => Answer::from(Upgrade::new()),
    ///                 false => StatusCode::FORBIDDEN.into(),
    ///             };
    ///             remote.answer(id, answer)
    ///         });
    ///         Answer::Later
    ///     }
    /// }
    /// ```
    pub fn answer(&self, id: ClientId, answer: impl Into<Answer>) -> Result<(), RemoteError> {
        let answer = answer.into();
        Ok(Remote::run_on(&self.queue_of(id), Route::FIRST, move |clients| {
            let _ = clients.answer(id, answer);
        })?)
    }

    /// Begins a shutdown, as [`Clients::shutdown`]. It has room in a queue that is full.
    ///
    /// # Errors
    ///
    /// The server has stopped, is being handed over, or 16 shutdowns wait.
    pub fn shutdown(&self, drain: Drain) -> Result<(), RemoteError> {
        let waiting = self.queue.enter_beyond(SHUTDOWNS)?;
        let call = move |clients: &mut Clients<D>| clients.shutdown(drain);
        self.queue.push(waiting, Route::FIRST, Act::Run(Box::new(call)));
        Ok(())
    }
}

impl<D: ClientData> Clients<D> {
    /// Returns a remote for the handler's route, to be given to another thread.
    ///
    /// ```
    /// use lariat::{Clients, Event, Handler};
    ///
    /// struct Clock;
    ///
    /// impl Handler for Clock {
    ///     type Data = ();
    ///     fn on_start(&mut self, clients: &mut Clients<()>) {
    ///         let remote = clients.remote();
    ///         std::thread::spawn(move || {
    ///             # let wait_for_the_radio = || std::time::SystemTime::UNIX_EPOCH;
    ///             let time = wait_for_the_radio();
    ///             remote.post(time)
    ///         });
    ///     }
    ///     fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
    ///         if let Some(time) = event.downcast_ref::<std::time::SystemTime>() {
    ///             clients.broadcast(&format!("{time:?}"));
    ///         }
    ///     }
    /// }
    /// ```
    pub fn remote(&self) -> Remote<D> {
        Remote { route: Route::Number(self.route), ..self.remote.clone() }
    }

    /// Returns the number of a call's route. `None` if there is no such route, which is logged.
    pub(crate) fn route_of_call(&self, route: &Route) -> Option<u16> {
        match route {
            Route::Number(number) => Some(*number),
            Route::Pattern(pattern) if ROUTE_PATTERNS.is_used() => self.find_route(pattern),
            Route::Pattern(_) => None,
        }
    }

    #[inline(never)]
    fn find_route(&self, pattern: &str) -> Option<u16> {
        let place = self.route_patterns.iter().position(|known| known == pattern);
        if place.is_none() {
            log::error!(
                "a call of a Remote for the route {pattern:?} was dropped: there is no such route. \
                 The first patterns of the routes are {:?}.",
                self.route_patterns
            );
        }
        place.map(|place| place as u16)
    }
}
