//! A handler made of closures.

use super::handler::Handler;
#[cfg(all(unix, feature = "handover"))]
use super::handler::RestoreError;
use crate::protocol::{Answer, CloseReason, Message, Position, Request, Upgrade};
use crate::server::clients::{Clients, Event};
use crate::server::data::ClientData;
use crate::server::id::{ClientId, TimerId};
use std::fmt;

type OnStart<D> = Box<dyn FnMut(&mut Clients<D>)>;
type ChooseLoop<D> = Box<dyn FnMut(&mut Clients<D>, &Request<'_>) -> Option<usize>>;
type OnRequest<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &Request<'_>) -> Answer>;
type OnClient<D> = Box<dyn FnMut(&mut Clients<D>, ClientId)>;
type OnMessage<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, Message<'_>)>;
type OnPiece<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, Message<'_>, Position)>;
type OnPayload<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &[u8])>;
type OnTopic<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &str)>;
type OnTimer<D> = Box<dyn FnMut(&mut Clients<D>, TimerId, u64)>;
type OnClientTimer<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, TimerId, u64)>;
type OnEvent<D> = Box<dyn FnMut(&mut Clients<D>, Event)>;
type OnClose<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &CloseReason)>;

/// Calls a macro with each callback of [`Closures`]: its type, and the arguments and the result of
/// its closure.
macro_rules! for_each_callback {
    ($call:ident) => {
        $call! {
            on_start: OnStart = (&mut Clients<D>);
            choose_loop: ChooseLoop = (&mut Clients<D>, &Request<'_>) -> Option<usize>;
            on_request: OnRequest = (&mut Clients<D>, ClientId, &Request<'_>) -> Answer;
            on_connect: OnClient = (&mut Clients<D>, ClientId);
            on_secured: OnClient = (&mut Clients<D>, ClientId);
            on_open: OnClient = (&mut Clients<D>, ClientId);
            on_message: OnMessage = (&mut Clients<D>, ClientId, Message<'_>);
            on_piece: OnPiece = (&mut Clients<D>, ClientId, Message<'_>, Position);
            on_ping: OnPayload = (&mut Clients<D>, ClientId, &[u8]);
            on_pong: OnPayload = (&mut Clients<D>, ClientId, &[u8]);
            on_drain: OnClient = (&mut Clients<D>, ClientId);
            on_subscribe: OnTopic = (&mut Clients<D>, ClientId, &str);
            on_unsubscribe: OnTopic = (&mut Clients<D>, ClientId, &str);
            on_timer: OnTimer = (&mut Clients<D>, TimerId, u64);
            on_client_timer: OnClientTimer = (&mut Clients<D>, ClientId, TimerId, u64);
            on_event: OnEvent = (&mut Clients<D>, Event);
            on_close: OnClose = (&mut Clients<D>, ClientId, &CloseReason);
        }
    };
}

pub(crate) use for_each_callback;

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
/// It is not `Send`, because closures need not be: make it in the thread that runs it, as
/// [`Server::spawn`](crate::Server::spawn) does.
pub struct Closures<D: ClientData> {
    on_start: Option<OnStart<D>>,
    choose_loop: Option<ChooseLoop<D>>,
    on_request: Option<OnRequest<D>>,
    on_connect: Option<OnClient<D>>,
    on_secured: Option<OnClient<D>>,
    on_open: Option<OnClient<D>>,
    on_message: Option<OnMessage<D>>,
    on_piece: Option<OnPiece<D>>,
    on_ping: Option<OnPayload<D>>,
    on_pong: Option<OnPayload<D>>,
    on_drain: Option<OnClient<D>>,
    on_subscribe: Option<OnTopic<D>>,
    on_unsubscribe: Option<OnTopic<D>>,
    on_timer: Option<OnTimer<D>>,
    on_client_timer: Option<OnClientTimer<D>>,
    on_event: Option<OnEvent<D>>,
    on_close: Option<OnClose<D>>,
    #[cfg(all(unix, feature = "handover"))]
    saving: Saving<D>,
}

impl<D: ClientData> Default for Closures<D> {
    fn default() -> Closures<D> {
        Closures::new()
    }
}

/// Defines what concerns each callback.
macro_rules! closures {
    ($($name:ident: $kind:ident = ($($argument:ty),*) $(-> $result:ty)?;)*) => {
        impl<D: ClientData> fmt::Debug for Closures<D> {
            /// Says which closures are set.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut shown = f.debug_struct("Closures");
                $(shown.field(stringify!($name), &self.$name.is_some());)*
                shown.finish()
            }
        }

        impl<D: ClientData> Closures<D> {
            /// Creates a handler without closures. It accepts every client and sends nothing.
            pub const fn new() -> Closures<D> {
                Closures {
                    $($name: None,)*
                    #[cfg(all(unix, feature = "handover"))]
                    saving: Saving::new(),
                }
            }

            $(
                #[doc = concat!("As [`Handler::", stringify!($name), "`].")]
                #[must_use]
                pub fn $name<F>(mut self, call: F) -> Closures<D>
                where
                    F: FnMut($($argument),*) $(-> $result)? + 'static,
                {
                    self.$name = Some(Box::new(call));
                    self
                }
            )*
        }
    };
}

for_each_callback!(closures);

/// The closures that save and restore.
#[cfg(all(unix, feature = "handover"))]
struct Saving<D: ClientData> {
    save: Option<Save<D>>,
    save_client: Option<SaveClient<D>>,
    restore: Option<Restore<D>>,
    restore_client: Option<RestoreClient<D>>,
}

#[cfg(all(unix, feature = "handover"))]
type Save<D> = Box<dyn FnMut(&mut Clients<D>) -> Option<Vec<u8>>>;
#[cfg(all(unix, feature = "handover"))]
type SaveClient<D> = Box<dyn FnMut(&mut Clients<D>, ClientId) -> Option<Vec<u8>>>;
#[cfg(all(unix, feature = "handover"))]
type Restore<D> = Box<dyn FnMut(&mut Clients<D>, &[u8]) -> Result<(), RestoreError>>;
#[cfg(all(unix, feature = "handover"))]
type RestoreClient<D> = Box<dyn FnMut(&mut Clients<D>, ClientId, &[u8]) -> Result<(), RestoreError>>;

#[cfg(all(unix, feature = "handover"))]
impl<D: ClientData> Saving<D> {
    const fn new() -> Saving<D> {
        Saving { save: None, save_client: None, restore: None, restore_client: None }
    }
}

#[cfg(all(unix, feature = "handover"))]
impl<D: ClientData> Closures<D> {
    /// Sets the closures for [`Handler::save`] and [`Handler::restore`]. Without them, these
    /// closures cannot be handed over, because nobody knows what they have captured. If that is
    /// nothing: `.saved_as(|_| Some(Vec::new()), |_, _| Ok(()))`.
    #[must_use]
    pub fn saved_as<S, R>(mut self, save: S, restore: R) -> Closures<D>
    where
        S: FnMut(&mut Clients<D>) -> Option<Vec<u8>> + 'static,
        R: FnMut(&mut Clients<D>, &[u8]) -> Result<(), RestoreError> + 'static,
    {
        self.saving.save = Some(Box::new(save));
        self.saving.restore = Some(Box::new(restore));
        self
    }

    /// Sets the closures for [`Handler::save_client`] and [`Handler::restore_client`].
    #[must_use]
    pub fn clients_saved_as<S, R>(mut self, save: S, restore: R) -> Closures<D>
    where
        S: FnMut(&mut Clients<D>, ClientId) -> Option<Vec<u8>> + 'static,
        R: FnMut(&mut Clients<D>, ClientId, &[u8]) -> Result<(), RestoreError> + 'static,
    {
        self.saving.save_client = Some(Box::new(save));
        self.saving.restore_client = Some(Box::new(restore));
        self
    }
}

impl<D: ClientData> Handler for Closures<D> {
    type Data = D;

    fn on_start(&mut self, clients: &mut Clients<D>) {
        if let Some(call) = &mut self.on_start {
            call(clients);
        }
    }

    fn choose_loop(&mut self, clients: &mut Clients<D>, request: &Request<'_>) -> Option<usize> {
        self.choose_loop.as_mut().and_then(|call| call(clients, request))
    }

    fn on_request(&mut self, clients: &mut Clients<D>, id: ClientId, request: &Request<'_>) -> Answer {
        match &mut self.on_request {
            Some(call) => call(clients, id, request),
            None => Answer::Upgrade(Upgrade::new()),
        }
    }

    fn on_connect(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(call) = &mut self.on_connect {
            call(clients, id);
        }
    }

    fn on_secured(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(call) = &mut self.on_secured {
            call(clients, id);
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

    fn on_piece(&mut self, clients: &mut Clients<D>, id: ClientId, piece: Message<'_>, position: Position) {
        if let Some(call) = &mut self.on_piece {
            call(clients, id, piece, position);
        }
    }

    fn on_ping(&mut self, clients: &mut Clients<D>, id: ClientId, payload: &[u8]) {
        if let Some(call) = &mut self.on_ping {
            call(clients, id, payload);
        }
    }

    fn on_pong(&mut self, clients: &mut Clients<D>, id: ClientId, payload: &[u8]) {
        if let Some(call) = &mut self.on_pong {
            call(clients, id, payload);
        }
    }

    fn on_drain(&mut self, clients: &mut Clients<D>, id: ClientId) {
        if let Some(call) = &mut self.on_drain {
            call(clients, id);
        }
    }

    fn on_subscribe(&mut self, clients: &mut Clients<D>, id: ClientId, topic: &str) {
        if let Some(call) = &mut self.on_subscribe {
            call(clients, id, topic);
        }
    }

    fn on_unsubscribe(&mut self, clients: &mut Clients<D>, id: ClientId, topic: &str) {
        if let Some(call) = &mut self.on_unsubscribe {
            call(clients, id, topic);
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<D>, timer: TimerId, token: u64) {
        if let Some(call) = &mut self.on_timer {
            call(clients, timer, token);
        }
    }

    fn on_client_timer(&mut self, clients: &mut Clients<D>, id: ClientId, timer: TimerId, token: u64) {
        if let Some(call) = &mut self.on_client_timer {
            call(clients, id, timer, token);
        }
    }

    fn on_event(&mut self, clients: &mut Clients<D>, event: Event) {
        match &mut self.on_event {
            Some(call) => call(clients, event),
            None => event.log_unhandled(clients),
        }
    }

    #[cfg(all(unix, feature = "handover"))]
    fn save(&mut self, clients: &mut Clients<D>) -> Option<Vec<u8>> {
        self.saving.save.as_mut().and_then(|call| call(clients))
    }

    #[cfg(all(unix, feature = "handover"))]
    fn save_client(&mut self, clients: &mut Clients<D>, id: ClientId) -> Option<Vec<u8>> {
        match &mut self.saving.save_client {
            Some(call) => call(clients, id),
            None => (size_of::<D>() == 0).then(Vec::new),
        }
    }

    #[cfg(all(unix, feature = "handover"))]
    fn restore(&mut self, clients: &mut Clients<D>, saved: &[u8]) -> Result<(), RestoreError> {
        match &mut self.saving.restore {
            Some(call) => call(clients, saved),
            None if saved.is_empty() => Ok(()),
            None => Err("there is no closure that restores".into()),
        }
    }

    #[cfg(all(unix, feature = "handover"))]
    fn restore_client(&mut self, clients: &mut Clients<D>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        match &mut self.saving.restore_client {
            Some(call) => call(clients, id, saved),
            None if saved.is_empty() => Ok(()),
            None => Err("there is no closure that restores a client".into()),
        }
    }

    fn on_close(&mut self, clients: &mut Clients<D>, id: ClientId, reason: &CloseReason) {
        if let Some(call) = &mut self.on_close {
            call(clients, id, reason);
        }
    }
}
