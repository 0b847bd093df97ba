//! Reaping: clients that have ended are removed.

use super::engine::Engine;
use crate::protocol::{CloseReason, Role, State};
use crate::server::app::Handler;
use crate::server::id::ClientId;
use crate::server::table::{At, Flags};

impl<H: Handler> Engine<H> {
    /// Passes on traces, and removes clients that have ended. An index is freed only here, so no
    /// event of a turn can meet another client at the same index.
    #[inline]
    pub(crate) fn reap(&mut self) {
        self.deliver_traces();
        if self.clients.table.has_ended() {
            self.reap_all();
        }
    }

    #[inline(never)]
    fn reap_all(&mut self) {
        while let Some(index) = self.clients.table.next_ended() {
            let At { client, counters, .. } = self.clients.table.at(index);
            let reason = client.connection.take_close_reason().unwrap_or(CloseReason::Eof);
            log::debug!("{} has ended: {reason}", client.id(index));
            counters.ended(&reason);
            if let CloseReason::CutOff { why, .. } = &reason {
                self.cut_off(index, &reason, why);
            }
            let client = &self.clients.table[index];
            let has_begun = client.flags.has(Flags::OPENED) || client.connection.has_streamed();
            if has_begun || client.connection.role() == Role::Client {
                self.call(index, |handler, clients, id| handler.on_close(clients, id, &reason));
            }
            self.clients.remove(&self.key, index);
        }
    }

    /// Resets a connection whose response was not sent whole. A FIN would make the peer take the
    /// beginning for the whole. If the peer did not disconnect itself, the log says so.
    #[cold]
    fn cut_off(&mut self, index: usize, reason: &CloseReason, why: &CloseReason) {
        let At { client, now, .. } = self.clients.table.at(index);
        client.socket.open(&self.key).reset_when_dropped();
        if matches!(why, CloseReason::Eof | CloseReason::Io(_)) {
            return;
        }
        let Some(count) = self.cut_off.count(now) else { return };
        let address = self.clients.shown_address(index);
        log::warn!("responses cut off: {count}; the last to {address}: {reason}");
    }

    /// Passes the recorded steps of traced clients to their handlers.
    #[inline]
    pub(crate) fn deliver_traces(&mut self) {
        if self.clients.table.shared().has_traces() {
            self.deliver_each_trace();
        }
    }

    #[cold]
    fn deliver_each_trace(&mut self) {
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

    /// Returns whether a shutdown is complete, or its deadline has passed.
    pub(crate) fn has_stopped(&self) -> bool {
        let Some(shutdown) = &self.clients.shutdown else { return false };
        let is_any_past_handshake =
            || self.clients.table.iter().any(|(_, client)| client.connection.state() != State::Handshaking);
        shutdown.is_over(self.clients.table.now()) || (self.clients.len_all() == 0 && !is_any_past_handshake())
    }

    /// Ends all clients at once. Returns how many of them had opened.
    pub(crate) fn end_all(&mut self) -> usize {
        let dropped = self.clients.table.iter().filter(|(_, client)| client.flags.has(Flags::OPENED)).count();
        let indexes: Vec<usize> = self.clients.table.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.clients.end(index, CloseReason::Eof);
        }
        self.reap();
        self.report_rest();
        dropped
    }

    /// Logs what was not reported yet, because no further report comes.
    #[cold]
    fn report_rest(&mut self) {
        let reports = [
            ("connections dropped without a valid PROXY header", self.trust.bad_headers()),
            ("responses cut off", &mut self.cut_off),
        ];
        for (what, reports) in reports {
            let count = reports.rest();
            if count > 0 {
                log::warn!("{what} since the last report: {count}");
            }
        }
    }
}
