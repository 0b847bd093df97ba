//! Requests and their answers.

use super::engine::Engine;
use crate::protocol::{Answer, Rejection, Request, State, Ticket};
use crate::server::app::Handler;
use crate::server::table::At;

impl<H: Handler> Engine<H> {
    /// Answers a request.
    #[inline(never)]
    pub(super) fn request(&mut self, index: usize, head: &[u8], body: &[u8]) {
        let (ticket, answer) = match Request::parse(head).map(|request| request.with_body(body)) {
            Ok(request) => (Ticket::new(&request), self.decide(index, &request, head)),
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
            Err(rejection) => log::trace!("{id} was refused with {}: {rejection}", rejection.status()),
        }
    }

    /// Decides on a request: the server refuses it, or the application answers it.
    fn decide(&mut self, index: usize, request: &Request<'_>, head: &[u8]) -> Result<Answer, Rejection> {
        self.note_forwarded(index, request);
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
            log::trace!("{} is open", self.clients.table[index].id(index));
            self.call(index, |handler, clients, id| handler.on_open(clients, id));
        }
    }
}
