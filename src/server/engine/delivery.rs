//! How do a client's bytes reach the application?

use super::engine::Engine;
use crate::protocol::{Event, Gathered, Input, LONGEST_RUN, Message, Position, Run, State};
use crate::server::app::Handler;
use crate::server::table::Extra;

impl<H: Handler> Engine<H> {
    /// Hands bytes to the conversation, and its events to the application.
    pub(super) fn deliver(&mut self, index: usize, bytes: &mut [u8]) {
        let messages = self.deliver_all(index, Input::new(bytes));
        self.clients.charge(index, messages, bytes.len());
    }

    /// The same; says how many events there were.
    fn deliver_all(&mut self, index: usize, mut input: Input<'_>) -> u64 {
        let now = self.clients.now;
        let mut messages = 0;
        while !input.is_empty() {
            let connection = &mut self.clients.slab[index].connection;
            if let Some(run) = connection.receive_run(&self.clients.shared, now, &mut input, LONGEST_RUN) {
                messages += self.run_of_messages(index, run);
                continue;
            }
            let Some(event) = connection.receive_other(&mut self.clients.shared, now, &mut input) else { continue };
            messages += 1;
            match event {
                Event::Message(message) => self.message(index, message),
                Event::Gathered(gathered) => self.gathered(index, gathered),
                Event::Ping(payload) => {
                    self.call(index, |handler, clients, id| handler.on_ping(clients, id, &payload));
                }
                Event::Pong(payload) => {
                    self.call(index, |handler, clients, id| handler.on_pong(clients, id, &payload));
                }
                Event::Piece(gathered, position) => {
                    let piece = gathered.as_message();
                    self.clients.count_piece(piece, position);
                    self.call(index, |handler, clients, id| handler.on_piece(clients, id, piece, position));
                    self.clients.shared.recycle(gathered);
                }
                Event::Request(head) => self.request(index, &head),
                Event::Opened(subprotocol) => {
                    match (&mut connection.extra_mut().outgoing, subprotocol) {
                        (Some(outgoing), Some(chosen)) => outgoing.subprotocol = Some(chosen),
                        (outgoing, _) => *outgoing = None,
                    }
                    connection.release_extra(Extra::is_needed);
                    self.open(index);
                }
            }
        }
        messages
    }

    /// Short messages, for the application one by one; says how many.
    #[inline]
    fn run_of_messages(&mut self, index: usize, mut run: Run<'_>) -> u64 {
        let (mut messages, mut bytes) = (0, 0);
        self.call(index, |handler, clients, id| {
            for message in &mut run {
                let connection = &clients.slab[index].connection;
                let (is_open, takes_messages) = (connection.state() == State::Open, connection.takes_messages());
                if !is_open {
                    // Nobody listens any more, but text has to be text nevertheless.
                    continue;
                }
                messages += 1;
                bytes += message.as_bytes().len();
                if takes_messages {
                    handler.on_message(clients, id, message);
                } else {
                    handler.on_piece(clients, id, message, Position::Whole);
                }
            }
        });
        let clients = &mut self.clients;
        clients.count_run(&run, messages, bytes);
        if run.ends_badly() {
            self.bad_text(index);
        }
        messages as u64
    }

    /// A message is no text, though it says so.
    #[cold]
    pub(super) fn bad_text(&mut self, index: usize) {
        let clients = &mut self.clients;
        clients.slab[index].connection.receive_bad_text(&mut clients.shared, clients.now);
        clients.settle(index);
    }

    /// A message has been put together.
    #[inline(never)]
    fn gathered(&mut self, index: usize, gathered: Gathered) {
        match self.clients.shared.lend(gathered) {
            Ok(lent) => {
                self.message(index, lent.as_message());
                self.clients.shared.take_back(lent);
            }
            Err(gathered) => {
                self.message(index, gathered.as_message());
                self.clients.shared.recycle(gathered);
            }
        }
    }

    #[inline(always)]
    fn message(&mut self, index: usize, message: Message<'_>) {
        self.clients.count_received(message);
        self.call(index, |handler, clients, id| handler.on_message(clients, id, message));
    }
}
