//! How are those removed who have ended?

use super::engine::Engine;
use crate::protocol::{CloseReason, Role, State};
use crate::server::app::Handler;
use crate::server::id::ClientId;
use crate::server::table::{At, Flags};

impl<H: Handler> Engine<H> {
    /// Removes those who have ended: the only place that frees a slot, so that nothing of this turn
    /// meets a stranger.
    #[inline]
    pub(crate) fn reap(&mut self) {
        self.tell_traces();
        if self.clients.table.has_ended() {
            self.reap_all();
        }
    }

    #[inline(never)]
    fn reap_all(&mut self) {
        while let Some(index) = self.clients.table.next_ended() {
            let At { client, counters, .. } = self.clients.table.at(index);
            let reason = client.connection.take_close_reason().unwrap_or(CloseReason::Eof);
            log::debug!("{} is gone: {reason}", client.id(index));
            counters.ended(&reason);
            let client = &self.clients.table[index];
            if client.flags.has(Flags::OPENED) || client.connection.role() == Role::Client {
                self.call(index, |handler, clients, id| handler.on_close(clients, id, &reason));
            }
            self.clients.remove(&self.key, index);
        }
    }

    /// Tells what has happened to those who are traced.
    #[inline]
    pub(crate) fn tell_traces(&mut self) {
        if self.clients.table.shared().has_traces() {
            self.tell_each_trace();
        }
    }

    #[cold]
    fn tell_each_trace(&mut self) {
        for (label, trace) in self.clients.table.shared_mut().take_traces() {
            let Some(id) = ClientId::from_u64(label) else { continue };
            log::trace!("{id} {trace}");
            let Some(index) = self.clients.find(id) else { continue };
            for route in self.clients.listeners_to(index) {
                self.call(index, |handler, clients, id| {
                    clients.route = route;
                    handler.on_trace(clients, id, &trace);
                });
            }
        }
    }

    /// Whether a shutdown has come to its end, by itself or by its deadline.
    pub(crate) fn has_stopped(&self) -> bool {
        let Some(shutdown) = &self.clients.shutdown else { return false };
        let still_talks =
            || self.clients.table.iter().any(|(_, client)| client.connection.state() != State::Handshaking);
        shutdown.is_over(self.clients.table.now()) || (self.clients.len_all() == 0 && !still_talks())
    }

    /// Ends everybody at once and returns how many of them had opened.
    pub(crate) fn drop_everybody(&mut self) -> usize {
        let dropped = self.clients.table.iter().filter(|(_, client)| client.flags.has(Flags::OPENED)).count();
        let indexes: Vec<usize> = self.clients.table.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.clients.end(index, CloseReason::Eof);
        }
        self.reap();
        dropped
    }
}
