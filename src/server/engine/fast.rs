//! Fast paths of the engine's steps.
//!
//! Each handles the case that comes most often, exactly as the plain function that its
//! documentation names, and leaves all other cases to it. `--cfg lariat_plain` leaves this file
//! out. The test of equivalence is the same for all: `tests/simulator` writes the fingerprints of
//! thousands of random runs, and they are the same with and without the fast paths, byte for byte
//! and at the same times (`bash .ci/run plain`). Costs are instructions per message of the cases
//! `loop-echo-text-20` (alone) and `loop-echo-text-20-pipelined-32` of `benches/protocol.rs`, with
//! all fast paths, and without this one. Without any, they are 2,772 and 766.

use super::engine::Engine;
use super::writing::WRITES_IN_A_ROW;
use crate::protocol::{Input, LONGEST_RUN, Position, Run, State};
use crate::server::app::Handler;
use crate::server::net::Readiness;
use crate::server::table::{At, Flags};
use std::convert::identity;
use std::io;

impl<H: Handler> Engine<H> {
    /// [`ready_for_all`](Self::ready_for_all), for a client that is only readable: it is queued.
    /// Nothing else can follow from that. Returns `false` if nothing has been done.
    ///
    /// Cost: 1,177 instructions alone, 1,234 without.
    #[inline(always)]
    pub(super) fn ready_to_be_read(&mut self, readiness: Readiness) -> bool {
        let is_only_readable = readiness.readable && !readiness.read_closed;
        is_only_readable && self.clients.table.queue_read_fast(readiness.client)
    }

    /// [`read_client`](Self::read_client), for an open client with an open gate, while memory is
    /// not short and there are no rates. If the read brings exactly one short message, it is
    /// delivered from here. Returns `None` if nothing has been done.
    ///
    /// What [`received`](Self::received) does beside that is not needed:
    ///
    /// * `settle`: the message changes neither state nor output, and moves deadlines only further
    ///   away. Calls of the application settle what they change.
    /// * `charge`: there are no rates.
    /// * `relieve`: the message lies in the read buffer and holds no memory. Calls of the
    ///   application relieve for themselves.
    /// * traces: a traced connection has no fast path.
    /// * another read: a short message does not fill the buffer.
    /// * a write at once: a read this short leaves it to the end of the turn.
    ///
    /// Cost: 1,177 instructions alone, 1,749 without.
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
        match client.connection.receive_single(shared, now, buffer, count) {
            Some(message) => self.call_for(index, id, route, |handler, clients, id| {
                clients.count_received(message);
                handler.on_message(clients, id, message);
            }),
            None => return Some(self.received(index, buffer, count)),
        }
        Some(count)
    }

    /// The loop of [`deliver`](Self::deliver), for a run of short messages: they are unmasked and
    /// checked together, and the application is called for each. Returns how many events there
    /// were, or `None` if nothing has been done.
    ///
    /// Cost: 244 instructions pipelined, 494 without.
    #[inline(always)]
    pub(super) fn deliver_run(&mut self, index: usize, input: &mut Input<'_>) -> Option<u64> {
        let At { client, shared, now, .. } = self.clients.table.at(index);
        let run = client.connection.receive_run(shared, now, input, LONGEST_RUN)?;
        Some(self.run_of_messages(index, run))
    }

    /// Calls the application for each message of a run, as [`event`](Self::event) does. Each call
    /// may change what happens to the next message: it may close or pause the client, or ask for
    /// pieces.
    fn run_of_messages(&mut self, index: usize, mut run: Run<'_>) -> u64 {
        let (mut messages, mut bytes) = (0, 0);
        self.call(index, |handler, clients, id| {
            for message in &mut run {
                let connection = &clients.table[index].connection;
                let (is_open, takes_messages) = (connection.state() == State::Open, connection.takes_messages());
                if !is_open {
                    // The messages are dropped, but their text must be valid.
                    continue;
                }
                if !takes_messages && connection.is_paused() {
                    let At { client, shared, now, .. } = clients.table.at(index);
                    client.connection.hold_message(shared, now, message);
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
        let At { client, shared, now, .. } = self.clients.table.at(index);
        client.connection.finish_run(shared, now, &run);
        messages as u64
    }

    /// [`write_client`](Self::write_client), for an open client with all its output in one buffer
    /// and below the watermark. Returns `false` if nothing has been done.
    ///
    /// If the kernel takes all of it, [`wrote`](Self::wrote) is not needed: the client is neither
    /// draining nor connecting, its gate is not closed by the watermark or for memory, no conflated
    /// message waits, and an empty outbox needs no settling.
    ///
    /// Cost: 1,177 instructions alone, 1,385 without.
    #[inline(always)]
    pub(super) fn write_whole(&mut self, index: usize) -> bool {
        let Some(At { client, shared, counters, .. }) = self.clients.table.get_at(index) else { return true };
        if !client.may_be_written_fast() {
            return false;
        }
        let Some(output) = client.connection.simple_output(shared.limits.high_water) else { return false };
        client.flags.clear(Flags::WRITE_QUEUED);
        let length = output.len();
        counters.writes += 1;
        match client.socket.open(&self.key).write(output) {
            Ok(count) if count == length => {
                counters.bytes_written += count as u64;
                client.connection.simple_output_sent(shared);
            }
            outcome => self.wrote_part(index, length, outcome),
        }
        true
    }

    #[cold]
    fn wrote_part(&mut self, index: usize, length: usize, outcome: io::Result<usize>) {
        match self.note_written(index, length, outcome, identity) {
            true => self.write_in_a_row(index, WRITES_IN_A_ROW - 1),
            false => self.wrote(index),
        }
    }
}
