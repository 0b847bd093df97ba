//! A handle for one client.

use super::clients::Clients;
use crate::protocol::{CloseCode, Message, ReadyState, SendError};
use crate::server::data::{ClientData, Stored};
use crate::server::id::{ClientId, TimerId};
use crate::server::table::{At, Client};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A client that is connected, with its data: what [`Clients::get`] returns.
///
/// While there is a handle, its client stays: no method of [`Clients`] removes one. So its data is
/// there without an `Option`, and the client is not looked up again. The handle borrows the
/// [`Clients`] until it is used for the last time.
///
/// ```
/// use lariat::{ClientId, Clients, CloseCode, Handler, Message};
///
/// #[derive(Default)]
/// struct Visitor {
///     name: String,
///     messages: u32,
/// }
///
/// struct Door;
///
/// impl Handler for Door {
///     type Data = Visitor;
///     fn on_message(&mut self, clients: &mut Clients<Visitor>, id: ClientId, message: Message<'_>) {
///         let Some(mut client) = clients.get(id) else { return };
///         let count = &mut client.data_mut().messages;
///         *count += 1;
///         if *count > 100 {
///             let _ = client.close(CloseCode::Policy, "that is enough");
///             return;
///         }
///         if let Some(name) = message.as_text() {
///             client.data_mut().name = name.to_owned();
///         }
///         // A message that is made of the data, and one that is a part of it.
///         let _ = client.send(&format!("message {}", client.data().messages));
///         let _ = client.send_with(|visitor| (&*visitor.name).into());
///         // Other clients, with or without the handle.
///         client.clients().broadcast("somebody knocks");
///         clients.broadcast("and waits");
///     }
/// }
/// ```
pub struct ClientHandle<'c, D: ClientData> {
    clients: &'c mut Clients<D>,
    index: usize,
    id: ClientId,
}

/// There is no handle for a client without data, and nothing takes data away from a client that is
/// not answered yet.
const HAS_DATA: &str = "a client with a handle has data";

impl<D: ClientData> Clients<D> {
    /// Returns a handle for a client. `None` if it has disconnected, and if its data was
    /// [not given](ClientData) yet.
    pub fn get(&mut self, id: ClientId) -> Option<ClientHandle<'_, D>> {
        let index = self.find(id)?;
        self.table[index].data.get()?;
        Some(ClientHandle { clients: self, index, id })
    }
}

impl<D: ClientData> ClientHandle<'_, D> {
    /// Returns the client's id.
    pub const fn id(&self) -> ClientId {
        self.id
    }

    /// Returns the application's data of this client.
    pub fn data(&self) -> &D {
        self.clients.table[self.index].data.get().expect(HAS_DATA)
    }

    /// Returns the application's data of this client, mutably.
    pub fn data_mut(&mut self) -> &mut D {
        self.clients.table[self.index].data.get_mut().expect(HAS_DATA)
    }

    /// Returns all clients, for calls about others.
    pub const fn clients(&mut self) -> &mut Clients<D> {
        self.clients
    }

    // ---- output --------------------------------------------------------------------------------

    /// As [`Clients::send`].
    ///
    /// # Errors
    ///
    /// As [`Clients::send`], but never [`SendError::Gone`].
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.clients.send(self.id, message)
    }

    /// Sends a message that is borrowed from the client's data.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// ```
    /// # fn example(clients: &mut lariat::Clients<Vec<u8>>, id: lariat::ClientId) {
    /// if let Some(mut client) = clients.get(id) {
    ///     let _ = client.send_with(|data| data[..].into());
    /// }
    /// # }
    /// ```
    pub fn send_with(&mut self, message: impl FnOnce(&D) -> Message<'_>) -> Result<(), SendError> {
        if self.clients.drops(self.index) {
            return self.clients.drop_newest(self.index);
        }
        let At { client, shared, .. } = self.clients.table.at(self.index);
        let Client { connection, data, .. } = client;
        let outcome = connection.send(shared, message(data.get().expect(HAS_DATA)));
        self.clients.queued(self.index, outcome)
    }

    /// As [`Clients::send_latest`].
    ///
    /// # Errors
    ///
    /// As [`Clients::send_latest`], but never [`SendError::Gone`].
    pub fn send_latest<'m>(&mut self, key: u64, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.clients.send_latest(self.id, key, message)
    }

    /// As [`Clients::ping`].
    ///
    /// # Errors
    ///
    /// As [`Clients::ping`], but never [`SendError::Gone`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.clients.ping(self.id, payload)
    }

    /// As [`Clients::pong`].
    ///
    /// # Errors
    ///
    /// As [`Clients::pong`], but never [`SendError::Gone`].
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.clients.pong(self.id, payload)
    }

    /// As [`Clients::close`]. The handle stays valid.
    ///
    /// # Errors
    ///
    /// As [`Clients::close`], but never [`SendError::Gone`].
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.clients.close(self.id, code, reason)
    }

    /// As [`Clients::terminate`]. The handle stays valid.
    pub fn terminate(&mut self) {
        self.clients.terminate(self.id);
    }

    /// As [`Clients::buffered_amount`].
    pub fn buffered_amount(&self) -> usize {
        self.clients.buffered_amount(self.id)
    }

    // ---- input ---------------------------------------------------------------------------------

    /// As [`Clients::pause`]. Returns `false` if the client is closing.
    pub fn pause(&mut self) -> bool {
        self.clients.pause(self.id)
    }

    /// As [`Clients::resume`].
    pub fn resume(&mut self) -> bool {
        self.clients.resume(self.id)
    }

    /// As [`Clients::is_paused`].
    pub fn is_paused(&self) -> bool {
        self.clients.is_paused(self.id)
    }

    // ---- topics and timers ---------------------------------------------------------------------

    /// As [`Clients::subscribe`].
    pub fn subscribe(&mut self, topic: &str) -> bool {
        self.clients.subscribe(self.id, topic)
    }

    /// As [`Clients::unsubscribe`].
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.clients.unsubscribe(self.id, topic)
    }

    /// As [`Clients::topics`].
    pub fn topics(&self) -> impl Iterator<Item = &str> + '_ {
        self.clients.topics(self.id)
    }

    /// As [`Clients::set_client_timer`].
    pub fn set_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.clients.table.set_client_timer(self.index, after, None, token)
    }

    // ---- what it is ----------------------------------------------------------------------------

    /// As [`Clients::ready_state`].
    pub fn ready_state(&self) -> ReadyState {
        self.clients.ready_state(self.id)
    }

    /// As [`Clients::peer_addr`].
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.clients.peer_addr(self.id)
    }

    /// As [`Clients::subprotocol`].
    pub fn subprotocol(&self) -> Option<&str> {
        self.clients.subprotocol(self.id)
    }

    /// As [`Clients::route_of`].
    pub fn route(&self) -> Option<&str> {
        self.clients.route_of(self.id)
    }
}

impl<D: ClientData + fmt::Debug> fmt::Debug for ClientHandle<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle")
            .field("id", &self.id)
            .field("state", &self.ready_state())
            .field("data", self.data())
            .finish_non_exhaustive()
    }
}
