//! Delivery: a client's bytes become events, and events become calls of the application.

use super::engine::Engine;
use crate::protocol::{Event, Input, Message, OwnedMessage};
use crate::server::app::Handler;
use crate::server::table::{At, Extra};
use std::borrow::Cow;

impl<H: Handler> Engine<H> {
    /// Passes bytes to the connection, and its events to the application. Charges the client for
    /// both.
    pub(super) fn deliver(&mut self, index: usize, bytes: &mut [u8]) {
        let (length, mut input, mut events) = (bytes.len(), Input::new(bytes), 0);
        loop {
            #[cfg(not(lariat_plain))]
            if let Some(count) = self.deliver_run(index, &mut input) {
                events += count;
                continue;
            }
            let At { client, shared, now, .. } = self.clients.table.at(index);
            let Some(event) = client.connection.receive(shared, now, &mut input) else { break };
            self.event(index, event);
            events += 1;
        }
        self.clients.charge(index, events, length);
    }

    /// Passes one event to the application.
    fn event(&mut self, index: usize, event: Event<'_>) {
        match event {
            Event::Message(message) => self.message(index, message),
            Event::Gathered(gathered) => self.gathered(index, gathered),
            Event::Ping(payload) => {
                self.call(index, |handler, clients, id| handler.on_ping(clients, id, &payload));
                self.recycle(payload);
            }
            Event::Pong(payload) => {
                self.call(index, |handler, clients, id| handler.on_pong(clients, id, &payload));
                self.recycle(payload);
            }
            Event::Piece(gathered, position) => {
                let piece = gathered.as_message();
                self.clients.count_piece(piece, position);
                self.call(index, |handler, clients, id| handler.on_piece(clients, id, piece, position));
                self.clients.table.shared_mut().recycle(gathered);
            }
            Event::Request { head, body } => {
                self.request(index, &head, &body);
                self.recycle(head);
            }
            Event::Opened(subprotocol) => self.server_accepted(index, subprotocol),
        }
    }

    /// Keeps the buffer of what was handled, if it has one of its own.
    #[inline]
    fn recycle(&mut self, bytes: Cow<'_, [u8]>) {
        if let Cow::Owned(bytes) = bytes {
            self.clients.table.shared_mut().recycle_bytes(bytes);
        }
    }

    fn message(&mut self, index: usize, message: Message<'_>) {
        self.clients.count_received(message);
        self.call(index, |handler, clients, id| handler.on_message(clients, id, message));
    }

    /// Passes on a message that was put together or decompressed.
    #[inline(never)]
    fn gathered(&mut self, index: usize, gathered: OwnedMessage) {
        match self.clients.table.shared_mut().lend(gathered) {
            Ok(lent) => {
                self.message(index, lent.as_message());
                self.clients.table.shared_mut().take_back(lent);
            }
            Err(gathered) => {
                self.message(index, gathered.as_message());
                self.clients.table.shared_mut().recycle(gathered);
            }
        }
    }

    /// Notes that a server has accepted our request, and the subprotocol that it chose.
    fn server_accepted(&mut self, index: usize, subprotocol: Option<String>) {
        if let Some(chosen) = subprotocol {
            self.clients.table.set_subprotocol(index, &chosen);
        }
        let connection = &mut self.clients.table[index].connection;
        connection.extra_mut().outgoing = None;
        connection.release_extra(Extra::is_needed);
        self.open(index);
    }
}
