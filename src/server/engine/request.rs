//! Requests and their answers.

use super::engine::Engine;
use crate::parts::LOOPS;
use crate::protocol::{Answer, Escaped, Rejection, Request, State, Ticket};
use crate::server::app::Handler;
use crate::server::table::{At, Extra};

impl<H: Handler> Engine<H> {
    /// Answers a request, unless the application has chosen another loop for it.
    #[inline(never)]
    pub(super) fn request(&mut self, index: usize, head: &[u8], body: &[u8]) {
        let mut request = Request::unread(head, body);
        #[cfg(feature = "tls")]
        request.set_tls(self.clients.table.sessions().info(index).cloned());
        let (ticket, answer) = match request.read() {
            Ok(()) => {
                if LOOPS.is_used() && self.leaves_with(index, &request, head) {
                    return;
                }
                self.log_request(index, &request);
                (Ticket::new(&request), self.decide(index, &request, head))
            }
            Err(rejection) => (Ticket::unreadable(), Err(rejection)),
        };
        let outcome = match answer {
            Ok(answer) => self.clients.respond(index, ticket, answer),
            Err(rejection) => {
                let At { client, shared, now, .. } = self.clients.table.at(index);
                client.connection.reject(shared, now, &ticket, rejection);
                Err(rejection)
            }
        };
        let client = &self.clients.table[index];
        let id = client.id(index);
        match outcome {
            Ok(()) if client.connection.state() == State::Open => self.open(index),
            Ok(()) => {}
            Err(rejection @ Rejection::BadAnswer(_)) => log::error!("{id}: {rejection}"),
            // The trace of the response is logged.
            Err(_) => {}
        }
    }

    /// Reports that the server has refused a client's request, if it has: once per status and
    /// interval.
    #[inline]
    pub(super) fn report_refusal(&mut self, index: usize) {
        if self.clients.table[index].connection.state() == State::Draining {
            self.report_rejection(index);
        }
    }

    #[cold]
    fn report_rejection(&mut self, index: usize) {
        let is_secured = self.has_begun_session(index);
        let At { client, now, .. } = self.clients.table.at(index);
        let rejection = match client.connection.take_rejection() {
            // The log has it as an error of the application.
            None | Some(Rejection::BadAnswer(_)) => return,
            Some(rejection) => rejection,
        };
        let status = rejection.status();
        let Some(count) = self.refusals.with(status).count(now) else { return };
        if !log::log_enabled!(log::Level::Warn) {
            return;
        }
        let (address, why) = (self.clients.shown_address(index), rejection.sentence(is_secured));
        log::warn!("requests refused with {status}: {count}; the last from {address}: {why}");
    }

    /// Logs a request. The query is left out, because it may have a secret.
    fn log_request(&self, index: usize, request: &Request<'_>) {
        if log::log_enabled!(log::Level::Debug) {
            let id = self.clients.table[index].id(index);
            let origin = request.values("origin").next().map(String::from_utf8_lossy);
            let (what, origin) = origin.as_deref().map_or(("no origin", ""), |origin| ("origin: ", origin));
            log::debug!("{id} requested {}, {what}{}", Escaped(request.path()), Escaped(origin));
        }
    }

    /// Decides on a request: the server refuses it, or the application answers it.
    fn decide(&mut self, index: usize, request: &Request<'_>, head: &[u8]) -> Result<Answer, Rejection> {
        self.note_forwarded(index, request);
        if self.clients.is_handed_over() {
            return Err(Rejection::Unavailable);
        }
        if request.is_upgrade() {
            let refused = self.limit_forwarded(index).or_else(|| self.clients.refuse_upgrade());
            refused.map_or(Ok(()), Err)?;
        }
        let mut answer = None;
        let was_traced = self.clients.table[index].connection.is_traced();
        self.call(index, |handler, clients, id| answer = Some(handler.on_request(clients, id, request)));
        if !was_traced {
            let At { client, shared, .. } = self.clients.table.at(index);
            client.connection.record_request(shared, head);
        }
        // There is none if the handler panicked.
        answer.ok_or(Rejection::BadAnswer("internal error"))
    }

    /// Notes that a client is open, and calls `on_open`.
    #[inline(never)]
    pub(super) fn open(&mut self, index: usize) {
        if self.clients.table.opened(index) {
            let client = &mut self.clients.table[index];
            client.connection.release_extra(Extra::is_needed);
            let id = client.id(index);
            log::debug!("{id} opened");
            self.call(index, |handler, clients, id| handler.on_open(clients, id));
            self.clients.join_shutdown(id);
        }
    }
}
