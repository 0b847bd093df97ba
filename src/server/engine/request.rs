//! How is a request answered?

use super::engine::Engine;
use crate::protocol::{Rejection, Request, State, Ticket};
use crate::server::app::Handler;

impl<H: Handler> Engine<H> {
    /// A request head is complete.
    #[inline(never)]
    pub(super) fn request(&mut self, index: usize, head: &[u8]) {
        let (ticket, answer) = match Request::parse(head) {
            Ok(request) => {
                self.note_forwarded(index, &request);
                let ticket = Ticket::new(&request);
                let refused = match request.is_upgrade() {
                    true => self.refuses_origin(index).or_else(|| self.clients.refuse_upgrade()),
                    false => None,
                };
                match refused {
                    Some(rejection) => (ticket, Err(rejection)),
                    None => {
                        let mut answer = None;
                        let was_traced = self.clients.slab[index].connection.is_traced();
                        self.call(index, |handler, clients, id| {
                            answer = Some(handler.on_request(clients, id, &request));
                        });
                        if !was_traced {
                            self.clients.slab[index].connection.record_request(&mut self.clients.shared, head);
                        }
                        (ticket, answer.ok_or(Rejection::BadAnswer("internal error")))
                    }
                }
            }
            Err(rejection) => (Ticket::unreadable(), Err(rejection)),
        };
        let now = self.clients.now;
        let client = &mut self.clients.slab[index];
        let outcome = match answer {
            Ok(answer) => client.connection.answer(&mut self.clients.shared, now, ticket, answer),
            Err(rejection) => {
                client.connection.reject(&mut self.clients.shared, now, &ticket, rejection);
                Err(rejection)
            }
        };
        let id = client.id(index);
        match outcome {
            Ok(()) if client.connection.state() == State::Open => self.open(index),
            Ok(()) => {}
            Err(rejection @ Rejection::BadAnswer(_)) => log::error!("{id} was refused: {rejection}"),
            Err(rejection) => log::trace!("{id} was refused with {}: {rejection}", rejection.status()),
        }
    }

    #[inline(never)]
    pub(super) fn open(&mut self, index: usize) {
        if self.clients.opened(index) {
            log::trace!("{} is open", self.clients.slab[index].id(index));
            self.call(index, |handler, clients, id| handler.on_open(clients, id));
        }
    }
}
