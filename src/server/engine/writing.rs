//! How is a client written to?
//!
//! Once, at the end of the turn, with all that has been queued for it. Mostly that lies together
//! and the kernel takes it: that goes a short way.

use super::engine::Engine;
use crate::protocol::{Role, State};
use crate::server::app::Handler;
use crate::server::table::Flags;
use std::io;

/// How many clients are written to in one turn, so that a message for a million does not stop the
/// loop.
const WRITES_PER_TURN: usize = 1_024;

/// How many times a client is written to at once, while the kernel takes all that it is offered.
const WRITES_IN_A_ROW: usize = 4;

impl<H: Handler> Engine<H> {
    /// Writes what has been queued: once for each client, the longest waiting first. What is queued
    /// meanwhile, and what is beyond the turn's share, goes out in the next turn.
    #[inline(never)]
    pub(crate) fn flush(&mut self) {
        let share = self.clients.writable.len().min(WRITES_PER_TURN);
        for place in 0..share {
            self.write_client(self.clients.writable.at(place));
        }
        self.clients.writable.served(share);
    }

    /// Writes to a client before the turn ends.
    #[inline(never)]
    pub(super) fn write_now(&mut self, index: usize) {
        self.write_client(index);
    }

    #[inline(always)]
    fn write_client(&mut self, index: usize) {
        let high_water = self.clients.shared.limits.high_water;
        let Some(client) = self.clients.slab.get_mut(index) else { return };
        if !client.flags.are(Flags::WRITE_QUEUED, Flags::WATCHED) {
            return self.write_with_care(index);
        }
        let Some(output) = client.connection.plain_output(high_water) else { return self.write_with_care(index) };
        client.flags.clear(Flags::WRITE_QUEUED);
        let length = output.len();
        self.clients.tally.writes += 1;
        match client.socket.write(output) {
            Ok(count) if count == length => {
                self.clients.tally.bytes_written += count as u64;
                client.connection.all_sent(&mut self.clients.shared);
            }
            outcome => match self.note_written(index, length, outcome) {
                true => self.write_on(index),
                false => self.wrote(index),
            },
        }
    }

    /// The same, whatever waits and whatever follows.
    #[cold]
    fn write_with_care(&mut self, index: usize) {
        if self.clients.slab[index].flags.lower(Flags::WRITE_QUEUED) {
            self.write_on(index);
        }
    }

    fn write_on(&mut self, index: usize) {
        let client = &mut self.clients.slab[index];
        client.is_above(self.clients.shared.limits.high_water);
        for _ in 0..WRITES_IN_A_ROW {
            let client = &mut self.clients.slab[index];
            let output = client.connection.output(&mut self.clients.shared);
            let length = output.len();
            if length == 0 || client.flags.has(Flags::BLOCKED) {
                break;
            }
            self.clients.tally.writes += 1;
            let outcome = client.socket.write(output);
            if !self.note_written(index, length, outcome) {
                break;
            }
        }
        let client = &self.clients.slab[index];
        if client.connection.buffered_amount() > 0
            || !client.connection.is_flowing()
            || client.flags.has(Flags::WATCHED)
        {
            self.wrote(index);
        }
    }

    /// Of so many bytes the kernel has taken some, or none; says whether the stream still works.
    #[cold]
    fn note_written(&mut self, index: usize, length: usize, outcome: io::Result<usize>) -> bool {
        let (shared, now) = (&mut self.clients.shared, self.clients.now);
        let client = &mut self.clients.slab[index];
        match outcome.map_err(|error| error.kind()) {
            Ok(count) => {
                self.clients.tally.bytes_written += count as u64;
                if count < length {
                    client.flags.set(Flags::BLOCKED);
                }
                client.connection.sent(shared, now, count);
            }
            Err(io::ErrorKind::Interrupted) => {}
            Err(io::ErrorKind::WouldBlock) => {
                self.clients.tally.would_block += 1;
                client.flags.set(Flags::BLOCKED);
                client.connection.sent(shared, now, 0);
            }
            Err(kind) => {
                self.broke(index, kind);
                return false;
            }
        }
        true
    }

    /// What follows from a client's output having become less.
    fn wrote(&mut self, index: usize) {
        let high_water = self.clients.shared.limits.high_water;
        let client = &mut self.clients.slab[index];
        let buffered = client.connection.buffered_amount();
        let state = client.connection.state();
        if buffered == 0 && state == State::Draining && client.flags.raise(Flags::HALF_CLOSED) {
            // The peer may have closed already; then there is nothing to shut.
            let _ = client.socket.shutdown_write();
        }
        let is_connecting = state == State::Handshaking && client.connection.role() == Role::Client;
        if buffered == 0 && is_connecting && self.clients.note_connected(index) {
            self.call(index, |handler, clients, id| handler.on_connect(clients, id));
        }
        self.clients.resume_lighter(index);
        if buffered == 0 && self.clients.slab[index].flags.has(Flags::LATEST) {
            self.clients.catch_up(index);
        }
        let client = &mut self.clients.slab[index];
        if client.connection.buffered_amount() <= high_water && client.flags.lower(Flags::HIGH_WATER) {
            if client.flags.lower(Flags::UNREAD) {
                self.clients.queue_read(index);
            }
            // Before `on_open`, that was the response to an upgrade which was answered later.
            if state == State::Open && self.clients.slab[index].flags.has(Flags::OPENED) {
                self.call(index, |handler, clients, id| handler.on_drain(clients, id));
            }
        }
        self.clients.settle(index);
    }
}
