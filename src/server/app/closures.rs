//! A handler made of closures.

use super::handler::Handler;
use crate::protocol::{Answer, CloseReason, Message, Request, Upgrade};
use crate::server::clients::{Clients, Event};
use crate::server::id::{ClientId, TimerId};
use std::fmt;

type OnRequest<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &Request<'_>) -> Answer>;
type OnClient<D> = Box<dyn FnMut(&mut Clients<D>, ClientId)>;
type OnMessage<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, Message<'_>)>;
type OnTimer<D> = Box<dyn FnMut(&mut Clients<D>, TimerId, u64)>;
type OnEvent<D> = Box<dyn FnMut(&mut Clients<D>, Event)>;
type OnClose<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &CloseReason)>;

/// A handler put together from closures.
///
/// ```no_run
/// lariat::Server::bind("127.0.0.1:9998")?
///     .on_message(|clients, id, message| {
///         let _ = clients.send(id, message);
///     })
///     .run()
/// # ; Ok::<(), std::io::Error>(())
/// ```
///
/// With data for each client, and for a [`Router`](crate::Router):
///
/// ```
/// # use lariat::{Closures, Router};
/// #[derive(Default)]
/// struct Visitor { messages: u32 }
///
/// let count = Closures::<Visitor>::new().on_message(|clients, id, _| {
///     if let Some(visitor) = clients.data_mut(id) {
///         visitor.messages += 1;
///     }
/// });
/// let router = Router::new().route("/count", count);
/// ```
///
/// It is not `Send`, because closures need not be: make it in the thread that runs it.
pub struct Closures<D> {
    on_request: Option<OnRequest<D>>,
    on_open: Option<OnClient<D>>,
    on_message: Option<OnMessage<D>>,
    on_drain: Option<OnClient<D>>,
    on_timer: Option<OnTimer<D>>,
    on_event: Option<OnEvent<D>>,
    on_close: Option<OnClose<D>>,
}

impl<D> fmt::Debug for Closures<D> {
    /// Says which closures are set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closures")
            .field("on_request", &self.on_request.is_some())
            .field("on_open", &self.on_open.is_some())
            .field("on_message", &self.on_message.is_some())
            .field("on_drain", &self.on_drain.is_some())
            .field("on_timer", &self.on_timer.is_some())
            .field("on_event", &self.on_event.is_some())
            .field("on_close", &self.on_close.is_some())
            .finish()
    }
}

impl<D: Default + 'static> Default for Closures<D> {
    fn default() -> Closures<D> {
        Closures::new()
    }
}

impl<D: Default + 'static> Closures<D> {
    /// Creates a handler without closures. It accepts every client and sends nothing.
    pub const fn new() -> Closures<D> {
        Closures {
            on_request: None,
            on_open: None,
            on_message: None,
            on_drain: None,
            on_timer: None,
            on_event: None,
            on_close: None,
        }
    }

    /// As [`Handler::on_request`].
    #[must_use]
    pub fn on_request<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, ClientId, &Request<'_>) -> Answer + 'static,
    {
        self.on_request = Some(Box::new(call));
        self
    }

    /// As [`Handler::on_open`].
    #[must_use]
    pub fn on_open<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, ClientId) + 'static,
    {
        self.on_open = Some(Box::new(call));
        self
    }

    /// As [`Handler::on_message`].
    #[must_use]
    pub fn on_message<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, ClientId, Message<'_>) + 'static,
    {
        self.on_message = Some(Box::new(call));
        self
    }

    /// As [`Handler::on_drain`].
    #[must_use]
    pub fn on_drain<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, ClientId) + 'static,
    {
        self.on_drain = Some(Box::new(call));
        self
    }

    /// As [`Handler::on_timer`].
    #[must_use]
    pub fn on_timer<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, TimerId, u64) + 'static,
    {
        self.on_timer = Some(Box::new(call));
        self
    }

    /// As [`Handler::on_event`]. For events of one type, write `event.downcast::<Type>()` in the
    /// closure.
    #[must_use]
    pub fn on_event<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, Event) + 'static,
    {
        self.on_event = Some(Box::new(call));
        self
    }

    /// As [`Handler::on_close`].
    #[must_use]
    pub fn on_close<F>(mut self, call: F) -> Closures<D>
    where
        F: FnMut(&mut Clients<D>, ClientId, &CloseReason) + 'static,
    {
        self.on_close = Some(Box::new(call));
        self
    }
}

impl<D: Default + 'static> Handler for Closures<D> {
    type Data = D;

    fn on_request(&mut self, clients: &mut Clients<D>, id: ClientId, request: &Request<'_>) -> Answer {
        match &mut self.on_request {
            Some(call) => call(clients, id, request),
            None => Answer::Upgrade(Upgrade::new()),
        }
    }

    fn on_open(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(call) = &mut self.on_open {
            call(clients, id);
        }
    }

    fn on_message(&mut self, clients: &mut Clients<D>, id: ClientId, message: Message<'_>) {
        if let Some(call) = &mut self.on_message {
            call(clients, id, message);
        }
    }

    fn on_drain(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(call) = &mut self.on_drain {
            call(clients, id);
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<D>, timer: TimerId, token: u64) {
        if let Some(call) = &mut self.on_timer {
            call(clients, timer, token);
        }
    }

    fn on_event(&mut self, clients: &mut Clients<D>, event: Event) {
        match &mut self.on_event {
            Some(call) => call(clients, event),
            None => event.log_unhandled(clients),
        }
    }

    fn on_close(&mut self, clients: &mut Clients<D>, id: ClientId, reason: &CloseReason) {
        if let Some(call) = &mut self.on_close {
            call(clients, id, reason);
        }
    }
}
