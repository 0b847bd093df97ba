//! Reaping: clients that have ended are removed.

use super::engine::Engine;
use crate::parts::PROXIES;
use crate::protocol::{CloseReason, Escaped, Role, Side, State, Timeout, Trace};
use crate::server::app::Handler;
use crate::server::id::ClientId;
use crate::server::observe::Reports;
use crate::server::table::{At, Flags};
use std::fmt::Display;

impl<H: Handler> Engine<H> {
    /// Passes on traces, and removes clients that have ended. Clients that have met an event are
    /// freed only here and in `let_leave`, so no event of a turn can meet another client at the
    /// same index.
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
            counters.ended(&reason);
            self.log_end(index, &reason);
            if let CloseReason::CutOff { why, .. } = &reason {
                self.report_cut_off(index, &reason, why);
            }
            let client = &mut self.clients.table[index];
            let has_streamed = client.connection.has_streamed();
            let is_whole = match reason {
                _ if client.connection.extra().is_some_and(|extra| extra.is_reset) => false,
                CloseReason::CutOff { .. } => false,
                CloseReason::Refused(_) => true,
                _ => !has_streamed,
            };
            if !is_whole {
                // A FIN would make the peer take the beginning of the response for the whole.
                client.socket.open(&self.key).reset_when_dropped();
            }
            self.leave_topics(index);
            let client = &self.clients.table[index];
            let has_begun = client.flags.has(Flags::OPENED) || has_streamed;
            if has_begun || client.connection.role() == Role::Client {
                self.call(index, |handler, clients, id| handler.on_close(clients, id, &reason));
            }
            self.clients.table[index].connection.recycle_reason(reason);
            self.clients.remove(&self.key, index);
        }
    }

    /// Logs why a connection has ended, and what it was about.
    fn log_end(&self, index: usize, reason: &CloseReason) {
        if log::log_enabled!(log::Level::Debug) {
            let client = &self.clients.table[index];
            let logged = client.connection.extra().and_then(|extra| extra.logged.as_ref());
            let now = self.clients.table.clock().now_nanos();
            let counts = logged.map_or_else(String::new, |logged| format!(" {}", logged.until(now)));
            let why = logged.and_then(|logged| logged.why(reason, client.flags.has(Flags::OPENED)));
            let why = why.as_ref().map_or(reason as &dyn Display, |why| why);
            log::debug!("{} closed{counts}: {why}", client.id(index));
        }
    }

    /// Notes for the log that a peer whose stream has ended has sent nothing, if that is so.
    pub(super) fn log_silence(&mut self, index: usize) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let has_begun_tls = self.has_begun_session(index);
        let connection = &mut self.clients.table[index].connection;
        let is_receiving = connection.is_receiving();
        let Some(extra) = connection.extra_if_any() else { return };
        let has_header = PROXIES.is_used() && !extra.proxy_header.is_empty();
        let is_silent = !has_begun_tls && !is_receiving && !has_header;
        if let Some(logged) = extra.logged.as_mut().filter(|_| is_silent) {
            logged.note_silence();
        }
    }

    /// Counts a step of a connection for the log, and logs the answer to its request.
    fn log_step(&mut self, index: usize, trace: &Trace) {
        let client = &mut self.clients.table[index];
        let (id, role) = (client.id(index), client.connection.role());
        let extra = client.connection.extra_if_any();
        if let Some(logged) = extra.and_then(|extra| extra.logged.as_mut()) {
            logged.count(trace);
            if role == Role::Server {
                if let Some((is_refusal, answer)) = answer(trace) {
                    let what = if is_refusal { "refused" } else { "answered" };
                    log::debug!("{id} {what} with {}", Escaped(answer));
                }
            }
        }
    }

    /// Reports that a response was not sent whole, unless the peer has disconnected itself.
    #[cold]
    fn report_cut_off(&mut self, index: usize, reason: &CloseReason, why: &CloseReason) {
        if matches!(why, CloseReason::Eof | CloseReason::Io(_)) {
            return;
        }
        let Some(count) = self.cut_off.count(self.clients.table.now()) else { return };
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
            self.log_step(index, &trace);
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
            self.clients.end(index, CloseReason::Timeout(Timeout::Close));
        }
        self.reap();
        self.report_rest();
        dropped
    }

    /// Logs what was not reported yet, because no further report comes.
    #[cold]
    fn report_rest(&mut self) {
        report("connections dropped without a valid PROXY header", self.trust.bad_headers());
        report("responses cut off", &mut self.cut_off);
        for (status, reports) in self.refusals.all() {
            report(format_args!("requests refused with {status}"), reports);
        }
    }
}

/// Logs what was not reported yet.
fn report(what: impl Display, reports: &mut Reports) {
    let count = reports.rest();
    if count > 0 {
        log::warn!("{what} since the last report: {count}");
    }
}

/// Returns the status of an HTTP response of ours, and the reason if its body is one, and whether
/// it is a refusal.
fn answer(trace: &Trace) -> Option<(bool, &str)> {
    let Trace::Handshake { side: Side::Us, text } = trace else { return None };
    // A body may be anything, so the head is looked at first.
    let length = text.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let (head, body) = text.split_at(length);
    let status = std::str::from_utf8(head).ok()?.strip_prefix("HTTP/1.1 ")?.split('\r').next()?;
    let sentence = body.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let reason = sentence.filter(|sentence| sentence.starts_with(status));
    match status.as_bytes().first() {
        None | Some(b'1') => None,
        Some(class) => Some((*class >= b'4', reason.unwrap_or(status))),
    }
}
