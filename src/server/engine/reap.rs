//! How are those removed who have ended?

use super::engine::Engine;
use crate::protocol::{CloseReason, Role, State};
use crate::server::app::Handler;
use crate::server::id::ClientId;
use crate::server::table::Flags;

impl<H: Handler> Engine<H> {
    /// Removes those who have ended: the only place that frees a slot, so that nothing of this turn
    /// meets a stranger.
    #[inline]
    pub(crate) fn reap(&mut self) {
        self.tell_traces();
        if !self.clients.ended.is_empty() {
            self.reap_all();
        }
    }

    #[inline(never)]
    fn reap_all(&mut self) {
        while let Some(index) = self.clients.ended.pop() {
            let index = index as usize;
            let client = &mut self.clients.slab[index];
            let reason = client.connection.take_close_reason().unwrap_or(CloseReason::Eof);
            log::debug!("{} is gone: {reason}", client.id(index));
            self.clients.tally.ended(&reason);
            let client = &self.clients.slab[index];
            if client.flags.has(Flags::OPENED) || client.connection.role() == Role::Client {
                self.call(index, |handler, clients, id| handler.on_close(clients, id, &reason));
            }
            self.clients.remove(index);
        }
    }

    /// Tells what has happened to those who are traced.
    #[inline]
    pub(crate) fn tell_traces(&mut self) {
        if self.clients.shared.has_traces() {
            self.tell_each_trace();
        }
    }

    #[cold]
    fn tell_each_trace(&mut self) {
        for (label, trace) in self.clients.shared.take_traces() {
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
            || self.clients.slab.iter().any(|(_, client)| client.connection.state() != State::Handshaking);
        shutdown.is_over(self.clients.now) || (self.clients.len_all() == 0 && !still_talks())
    }

    /// Ends everybody at once and returns how many of them had opened.
    pub(crate) fn drop_everybody(&mut self) -> usize {
        let dropped = self.clients.slab.iter().filter(|(_, client)| client.flags.has(Flags::OPENED)).count();
        let indexes: Vec<usize> = self.clients.slab.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.clients.slab[index].connection.end(&mut self.clients.shared, CloseReason::Eof);
            self.clients.settle(index);
        }
        self.reap();
        dropped
    }
}
