//! What can be done with one client?

use super::clients::Clients;
use crate::protocol::{Answer, Message, Position, ReadyState, Role, SendError};
use crate::server::id::ClientId;
use crate::server::table::{At, Flags};
use std::net::SocketAddr;
use tungstenite::protocol::frame::coding::CloseCode;

impl<D> Clients<D> {
    // ---- one client ----------------------------------------------------------------------------

    /// Queues a message: text for `&str`, binary for `&[u8]`, or what was received as it came.
    ///
    /// All that is queued for a client in one turn goes out in one write, in order.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`], [`SendError::NotOpen`]; [`SendError::Full`] if more than
    /// [`max_unsent`](crate::Limits::max_unsent) bytes would wait: the client is closed then, as a
    /// slow consumer. [`SendError::Dropped`] if [`SlowConsumer::DropNewest`](crate::SlowConsumer::DropNewest) was chosen for it.
    #[inline]
    pub fn send<'m>(&mut self, id: ClientId, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        #[cfg(not(lariat_plain))]
        if self.send_short(id, message) {
            return Ok(());
        }
        self.send_message(id, message)
    }

    #[inline(never)]
    pub(super) fn send_message(&mut self, id: ClientId, message: Message<'_>) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        if self.drops(index) {
            return self.drop_newest(index);
        }
        let At { client, shared, .. } = self.table.at(index);
        let outcome = client.connection.send(shared, message);
        self.queued(index, outcome)
    }

    /// Queues a piece of a message, for messages that are larger than one would like to have in
    /// memory: one fragment (§5.4). Between the first and the last piece, no other message can
    /// be sent to this client. [`on_drain`](crate::Handler::on_drain) tells when to go on.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Unfinished`] for a piece that does not fit to the
    /// last.
    pub fn send_piece<'m>(
        &mut self,
        id: ClientId,
        piece: impl Into<Message<'m>>,
        position: Position,
    ) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        if position.begins() && self.drops(index) {
            return self.drop_newest(index);
        }
        let At { client, shared, .. } = self.table.at(index);
        let outcome = client.connection.send_piece(shared, piece.into(), position);
        if outcome == Err(SendError::Full) && !position.begins() {
            // Half a message cannot be dropped.
            self.table[index].flags.clear(Flags::DROPS);
        }
        self.queued(index, outcome)
    }

    /// From its next message on, this client's messages go to
    /// [`on_piece`](crate::Handler::on_piece) as they arrive, whatever their size, and not to
    /// `on_message`; to be called in `on_open`.
    pub fn receive_in_pieces(&mut self, id: ClientId) {
        if let Some(index) = self.find(id) {
            self.table[index].connection.receive_in_pieces(true);
        }
    }

    /// Queues a ping with at most 125 bytes (RFC 6455 §5.5.2); `on_pong` tells of the answer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TooLong`].
    pub fn ping(&mut self, id: ClientId, payload: &[u8]) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let At { client, shared, .. } = self.table.at(index);
        let outcome = client.connection.ping(shared, payload);
        if outcome == Err(SendError::Full) && client.flags.has(Flags::DROPS) {
            return outcome;
        }
        self.queued(index, outcome)
    }

    /// Begins the closing handshake (§7.1.2): what is queued is sent, then the Close frame;
    /// `on_close` is called when the peer has answered, or has not in time. Messages that come
    /// meanwhile are dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`], [`SendError::NotOpen`], [`SendError::InvalidCloseCode`], or
    /// [`SendError::TooLong`] for a reason of more than 123 bytes.
    pub fn close(&mut self, id: ClientId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        if self.table[index].flags.has(Flags::LATEST) {
            self.catch_up(index);
        }
        let At { client, shared, now, .. } = self.table.at(index);
        client.connection.close(shared, now, code, reason)?;
        self.table.settle(index);
        self.relieve();
        Ok(())
    }

    /// Answers a request for which [`Answer::Later`] was given.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] if the client's deadline has passed; [`SendError::NotOpen`] if no answer
    /// is due; [`SendError::BadAnswer`] if the answer cannot be sent: the client then gets the
    /// response that the error names, and `on_open` is not called. A client that has hung up
    /// meanwhile is noticed afterwards: `on_open` and `on_close` follow one another then.
    pub fn answer(&mut self, id: ClientId, answer: impl Into<Answer>) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let At { client, shared, now, .. } = self.table.at(index);
        let ticket = client.connection.take_ticket().ok_or(SendError::NotOpen)?;
        let outcome = client.connection.answer(shared, now, ticket, answer.into());
        if let Err(rejection) = outcome {
            log::error!("{id} was answered with {}: {rejection}", rejection.status());
        }
        self.table.settle(index);
        // What came behind the request waits to be handled, and `on_open` to be called.
        self.table.queue_read(index);
        self.relieve();
        outcome.map_err(SendError::BadAnswer)
    }

    /// Bytes that wait to be written to this client; 0 if it is gone.
    pub fn buffered_amount(&self, id: ClientId) -> usize {
        self.find(id).map_or(0, |index| self.table[index].connection.buffered_amount())
    }

    /// In the browser's words; [`ReadyState::Closed`] if it is gone.
    pub fn ready_state(&self, id: ClientId) -> ReadyState {
        self.find(id).map_or(ReadyState::Closed, |index| self.table[index].connection.state().ready_state())
    }

    /// What the application knows of this client; `None` if it is gone.
    pub fn data(&self, id: ClientId) -> Option<&D> {
        self.find(id).map(|index| &self.table[index].data)
    }

    /// What the application knows of this client, to be changed; `None` if it is gone.
    pub fn data_mut(&mut self, id: ClientId) -> Option<&mut D> {
        self.find(id).map(|index| &mut self.table[index].data)
    }

    /// Where the client is: the address that a trusted proxy gave, or the socket's. `None` for Unix
    /// sockets, and if it is gone.
    pub fn peer_addr(&self, id: ClientId) -> Option<SocketAddr> {
        let client = &self.table[self.find(id)?];
        client.connection.extra().and_then(|extra| extra.proxied).or_else(|| client.peer_addr())
    }

    /// Where its connection comes from, whatever a proxy says: the client itself, or the last proxy
    /// before us. `None` for Unix sockets, and if it is gone.
    pub fn direct_addr(&self, id: ClientId) -> Option<SocketAddr> {
        self.table[self.find(id)?].peer_addr()
    }

    /// The pattern of the [`Router`](crate::Router)'s route that it is on; `None` before its
    /// request, without a router, and if it is gone.
    pub fn route_of(&self, id: ClientId) -> Option<&str> {
        let client = &self.table[self.find(id)?];
        let pattern = self.route_patterns.get(usize::from(client.route)).map(String::as_str);
        pattern.filter(|_| client.flags.has(Flags::OPENED))
    }

    /// Whether we have connected to it, rather than it to us.
    pub fn is_outgoing(&self, id: ClientId) -> bool {
        self.find(id).is_some_and(|index| self.table[index].connection.role() == Role::Client)
    }
}
