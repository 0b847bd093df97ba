//! Fast paths of the engine's steps. Each does what a plain function does, for the case that comes
//! most often.

use super::engine::Engine;
use crate::protocol::{Input, LONGEST_RUN, Position, Run, State};
use crate::server::app::Handler;
use crate::server::net::Readiness;
use crate::server::table::{At, Flags};

impl<H: Handler> Engine<H> {
    /// [`ready_for_all`](Self::ready_for_all), of a client that has only something to read.
    /// `false`: nothing has been done.
    #[inline(always)]
    pub(super) fn ready_to_be_read(&mut self, readiness: Readiness) -> bool {
        let is_only_readable = readiness.readable && !readiness.read_closed;
        is_only_readable && self.clients.table.queue_read_fast(readiness.client)
    }

    /// [`read_client`](Self::read_client), of an open client about whom nothing is unusual. If it
    /// has sent one short message, that is delivered without settling, charging or relieving.
    /// `None`: nothing has been done.
    #[inline(always)]
    pub(super) fn read_short_message(&mut self, index: usize, buffer: &mut [u8]) -> Option<usize> {
        let may_read = self.clients.may_read_fast();
        let At { client, shared, counters, now, .. } = self.clients.table.get_at(index)?;
        if !may_read || !client.may_be_read_fast(shared.limits.high_water) {
            return None;
        }
        client.flags.clear(Flags::READ_QUEUED);
        counters.reads += 1;
        let outcome = client.socket.open(&self.key).read(buffer);
        let Some(count) = outcome.as_ref().ok().copied().filter(|count| *count > 0) else {
            return Some(self.read_nothing(index, outcome));
        };
        counters.bytes_read += count as u64;
        let (id, route) = (client.id(index), client.route);
        match client.connection.receive_only(shared, now, buffer, count) {
            // Nothing is to be settled but what the application's own calls have settled.
            Some(Ok(message)) => self.call_for(index, id, route, |handler, clients, id| {
                clients.count_received(message);
                handler.on_message(clients, id, message);
            }),
            Some(Err(_)) => self.bad_text(index),
            None => return Some(self.received(index, buffer, count)),
        }
        Some(count)
    }

    /// Delivers a run of short messages, and returns how many. `None`: there is none.
    #[inline(always)]
    pub(super) fn deliver_run(&mut self, index: usize, input: &mut Input<'_>) -> Option<u64> {
        let At { client, shared, now, .. } = self.clients.table.at(index);
        let run = client.connection.receive_run(shared, now, input, LONGEST_RUN)?;
        Some(self.run_of_messages(index, run))
    }

    fn run_of_messages(&mut self, index: usize, mut run: Run<'_>) -> u64 {
        let (mut messages, mut bytes) = (0, 0);
        self.call(index, |handler, clients, id| {
            for message in &mut run {
                let connection = &clients.table[index].connection;
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
        self.clients.count_run(&run, messages, bytes);
        if run.ends_badly() {
            self.bad_text(index);
        }
        messages as u64
    }

    /// A message is no text, though it says so.
    #[cold]
    fn bad_text(&mut self, index: usize) {
        let At { client, shared, now, .. } = self.clients.table.at(index);
        client.connection.receive_bad_text(shared, now);
        self.clients.table.settle(index);
    }

    /// [`write_client`](Self::write_client), to an open client whose output lies together, and for
    /// which nothing follows when all of it is taken. `false`: nothing has been done.
    #[inline(always)]
    pub(super) fn write_whole(&mut self, index: usize) -> bool {
        let Some(At { client, shared, counters, .. }) = self.clients.table.get_at(index) else { return true };
        if !client.may_be_written_fast() {
            return false;
        }
        let Some(output) = client.connection.plain_output(shared.limits.high_water) else { return false };
        client.flags.clear(Flags::WRITE_QUEUED);
        let length = output.len();
        counters.writes += 1;
        match client.socket.open(&self.key).write(output) {
            Ok(count) if count == length => {
                counters.bytes_written += count as u64;
                client.connection.all_sent(shared);
            }
            outcome => match self.note_written(index, length, outcome) {
                true => self.write(index),
                false => self.wrote(index),
            },
        }
        true
    }
}
