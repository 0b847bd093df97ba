//! Calls for one client.

use super::clients::Clients;
use crate::protocol::{Answer, CloseCode, CloseReason, Message, Position, ReadyState, Role, SendError};
use crate::server::data::{ClientData, Stored};
use crate::server::id::ClientId;
use crate::server::table::{At, Flags};
use std::net::SocketAddr;

impl<D: ClientData> Clients<D> {
    /// Queues a message: text for `&str`, binary for `&[u8]`, or a received [`Message`] as it is.
    ///
    /// All messages of one turn are sent in one write, in order.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`]; [`SendError::NotOpen`]; [`SendError::Full`] if more than
    /// [`max_unsent`](crate::Limits::max_unsent) bytes would be unsent, which closes the client as
    /// a slow consumer; [`SendError::Dropped`] instead, if the client's policy is
    /// [`SlowConsumer::DropNewest`](crate::SlowConsumer::DropNewest).
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

    /// Queues a piece of a message as one fragment (§5.4), for messages that are too large for
    /// memory. Between the first and the last piece, no other message can be sent to this client.
    /// [`on_drain`](crate::Handler::on_drain) reports when to go on.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Unfinished`] if the position does not follow from
    /// the last piece.
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
            // A part of a message cannot be dropped, so the client is closed.
            self.table[index].flags.clear(Flags::DROPS);
        }
        self.queued(index, outcome)
    }

    /// Passes this client's messages to [`on_piece`](crate::Handler::on_piece) as they arrive,
    /// instead of to `on_message`, from the next message on. Messages may then have any size. Call
    /// it in `on_open`.
    ///
    /// A piece has at most [`read_buffer`](crate::Config::read_buffer) bytes. A compressed message
    /// is decompressed as it arrives, and its pieces have at most 64 KiB, however small it is while
    /// compressed. While one is arriving, the client holds at most that and a decompressor, 47 KiB,
    /// both of which count against the [`memory_budget`](crate::Config::memory_budget).
    pub fn receive_in_pieces(&mut self, id: ClientId) {
        if let Some(index) = self.find(id) {
            self.table[index].connection.receive_in_pieces(true);
        }
    }

    /// Queues a ping with at most 125 bytes (RFC 6455 §5.5.2). `on_pong` reports the answer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TooLong`].
    pub fn ping(&mut self, id: ClientId, payload: &[u8]) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let At { client, shared, .. } = self.table.at(index);
        let outcome = client.connection.ping(shared, payload);
        self.queued_control(index, outcome)
    }

    /// Queues a pong that answers no ping, with at most 125 bytes (RFC 6455 §5.5.3). The peer does
    /// not answer it. Pings of the peer need none: they are answered already, unless
    /// [`answer_pings`](crate::Limits::answer_pings) is `false`.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, id: ClientId, payload: &[u8]) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let At { client, shared, .. } = self.table.at(index);
        let outcome = client.connection.pong(shared, payload);
        self.queued_control(index, outcome)
    }

    /// [`queued`](Self::queued) for a control frame. It may be refused to a client for which
    /// messages may be dropped.
    fn queued_control(&mut self, index: usize, outcome: Result<(), SendError>) -> Result<(), SendError> {
        if outcome == Err(SendError::Full) && self.table[index].flags.has(Flags::DROPS) {
            return outcome;
        }
        self.queued(index, outcome)
    }

    /// Begins the closing handshake (§7.1.2). What is queued is sent first, then the Close frame.
    /// `on_close` is called when the peer has answered, or when
    /// [`close_timeout`](crate::Limits::close_timeout) has passed. Messages that arrive in between
    /// are dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`], [`SendError::NotOpen`], [`SendError::InvalidCloseCode`], or
    /// [`SendError::TooLong`] for a reason of more than 123 bytes.
    pub fn close(&mut self, id: ClientId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        if self.table[index].flags.has(Flags::CONFLATES) {
            self.catch_up(index);
        }
        let At { client, shared, now, .. } = self.table.at(index);
        client.connection.close(shared, now, code, reason)?;
        self.table.settle(index);
        self.relieve();
        Ok(())
    }

    /// Ends a connection at once, without a closing handshake. Unsent bytes are dropped. `on_close`
    /// is called at the end of the turn, with [`CloseReason::Terminated`]. Use it for a client that
    /// must not cost anything any more, or for a server that has not accepted yet. Returns `false`
    /// if the client has disconnected.
    pub fn terminate(&mut self, id: ClientId) -> bool {
        let Some(index) = self.find(id) else { return false };
        self.end(index, CloseReason::Terminated);
        true
    }

    /// Ends a connection at once, as [`terminate`](Self::terminate) does. The peer sees a TCP reset
    /// (RST), and not the end of the stream. Returns `false` if the client has disconnected.
    pub fn reset(&mut self, id: ClientId) -> bool {
        let Some(index) = self.find(id) else { return false };
        self.table[index].connection.extra_mut().is_reset = true;
        self.terminate(id)
    }

    /// Answers a request for which `on_request` returned [`Answer::Later`].
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] if the client's deadline has passed; [`SendError::NotOpen`] if no answer
    /// is due; [`SendError::BadAnswer`] if the answer cannot be sent: the client then gets the
    /// response that the error names, and `on_open` is not called. If the peer has closed in the
    /// meantime, that is noticed after the answer, so `on_close` follows `on_open` at once.
    pub fn answer(&mut self, id: ClientId, answer: impl Into<Answer>) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let ticket = self.table[index].connection.take_ticket().ok_or(SendError::NotOpen)?;
        let outcome = self.respond(index, ticket, answer.into());
        if let Err(rejection) = outcome {
            log::error!("{id}: invalid answer, sent {} instead: {rejection}", rejection.status());
        }
        self.table.settle(index);
        // The next read calls `on_open` and handles the bytes that followed the request.
        self.table.queue_read(index);
        self.relieve();
        outcome.map_err(SendError::BadAnswer)
    }

    /// Returns the number of unsent bytes of this client. 0 if it has disconnected.
    pub fn buffered_amount(&self, id: ClientId) -> usize {
        self.find(id).map_or(0, |index| self.table[index].connection.buffered_amount())
    }

    /// Returns the state in the terms of the browser API. [`ReadyState::Closed`] if the client has
    /// disconnected.
    pub fn ready_state(&self, id: ClientId) -> ReadyState {
        self.find(id).map_or(ReadyState::Closed, |index| self.table[index].connection.state().ready_state())
    }

    /// Returns the application's data of this client. `None` if it has disconnected, and if the
    /// data was [not given](ClientData) yet.
    pub fn data(&self, id: ClientId) -> Option<&D> {
        self.find(id).and_then(|index| self.table[index].data.get())
    }

    /// Returns the application's data of this client, mutably. `None` if it has disconnected, and
    /// if the data was [not given](ClientData) yet.
    pub fn data_mut(&mut self, id: ClientId) -> Option<&mut D> {
        self.find(id).and_then(|index| self.table[index].data.get_mut())
    }

    /// Sets the application's data of this client.
    ///
    /// # Errors
    ///
    /// The data, if the client has disconnected.
    pub fn set_data(&mut self, id: ClientId, data: D) -> Result<(), D> {
        match self.find(id) {
            Some(index) => self.table[index].data.set(data),
            None => return Err(data),
        }
        Ok(())
    }

    /// Returns the client's address: the one that a trusted proxy reported, or the socket's. `None`
    /// for Unix sockets, and if the client has disconnected.
    pub fn peer_addr(&self, id: ClientId) -> Option<SocketAddr> {
        let client = &self.table[self.find(id)?];
        client.connection.extra().and_then(|extra| extra.proxied).or_else(|| client.peer_addr())
    }

    /// Returns a client's address, as the log shows it.
    #[cold]
    pub(crate) fn shown_address(&self, index: usize) -> String {
        let id = self.table[index].id(index);
        self.peer_addr(id).map_or_else(|| "a Unix socket or a client that has left".to_owned(), |addr| addr.to_string())
    }

    /// Returns the address of the socket's peer: the client, or the last proxy. `None` for Unix
    /// sockets, and if the client has disconnected.
    pub fn direct_addr(&self, id: ClientId) -> Option<SocketAddr> {
        self.table[self.find(id)?].peer_addr()
    }

    /// Returns the address of ours at which the client has arrived, also if the listener has all
    /// addresses. `None` for Unix sockets, and if the client has disconnected.
    pub fn local_addr(&self, id: ClientId) -> Option<SocketAddr> {
        self.table[self.find(id)?].local_addr()
    }

    /// Returns the first pattern of the client's route in the [`Router`](crate::Router). `None`
    /// before `on_open`, without a router, and if the client has disconnected.
    pub fn route_of(&self, id: ClientId) -> Option<&str> {
        let client = &self.table[self.find(id)?];
        let pattern = self.route_patterns.get(usize::from(client.route)).map(String::as_str);
        pattern.filter(|_| client.flags.has(Flags::OPENED))
    }

    /// Returns the subprotocol that was chosen in the opening handshake: by this server, or by the
    /// server to which we have connected. `None` if there is none, and if the client has
    /// disconnected.
    pub fn subprotocol(&self, id: ClientId) -> Option<&str> {
        self.table.subprotocol(self.find(id)?)
    }

    /// Returns what was agreed in the TLS handshake of this client. `None` without TLS, before the
    /// handshake is over, and if the client has disconnected.
    #[cfg(feature = "tls")]
    pub fn tls(&self, id: ClientId) -> Option<&crate::protocol::tls::TlsInfo> {
        self.table.sessions().info(self.find(id)?).map(|info| &**info)
    }

    /// Returns whether this is a server to which we have connected.
    pub fn is_outgoing(&self, id: ClientId) -> bool {
        self.find(id).is_some_and(|index| self.table[index].connection.role() == Role::Client)
    }
}
