//! How is a client written to?
//!
//! Once, at the end of the turn, with all that has been queued for it.

use super::engine::Engine;
use crate::protocol::{Role, State};
use crate::server::app::Handler;
use crate::server::table::{At, Flags, Reason};
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
        let share = self.clients.table.writable().len().min(WRITES_PER_TURN);
        for place in 0..share {
            let index = self.clients.table.writable().at(place);
            #[cfg(not(lariat_plain))]
            if self.write_whole(index) {
                continue;
            }
            self.write_client(index);
        }
        self.clients.table.writable().served(share);
    }

    /// Writes to a client, if it is queued for that.
    #[inline(never)]
    pub(super) fn write_client(&mut self, index: usize) {
        let Some(At { client, .. }) = self.clients.table.get_at(index) else { return };
        if client.flags.lower(Flags::WRITE_QUEUED) {
            self.write(index);
        }
    }

    pub(super) fn write(&mut self, index: usize) {
        if self.clients.table[index].connection.buffered_amount() > self.clients.table.shared().limits.high_water {
            self.clients.table.close(index, Reason::Watermark);
        }
        for _ in 0..WRITES_IN_A_ROW {
            let At { client, shared, counters, .. } = self.clients.table.at(index);
            let output = client.connection.output(shared);
            let length = output.len();
            if length == 0 || client.flags.has(Flags::BLOCKED) {
                break;
            }
            counters.writes += 1;
            let outcome = client.socket.open(&self.key).write(output);
            if !self.note_written(index, length, outcome) {
                break;
            }
        }
        self.wrote(index);
    }

    /// Of so many bytes the kernel has taken some, or none. Returns whether the stream still works.
    pub(super) fn note_written(&mut self, index: usize, length: usize, outcome: io::Result<usize>) -> bool {
        let At { client, shared, counters, now, .. } = self.clients.table.at(index);
        match outcome.map_err(|error| error.kind()) {
            Ok(count) => {
                counters.bytes_written += count as u64;
                if count < length {
                    client.flags.set(Flags::BLOCKED);
                }
                client.connection.sent(shared, now, count);
            }
            Err(io::ErrorKind::Interrupted) => {}
            Err(io::ErrorKind::WouldBlock) => {
                counters.would_block += 1;
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
    pub(super) fn wrote(&mut self, index: usize) {
        let client = &mut self.clients.table[index];
        let (buffered, state) = (client.connection.buffered_amount(), client.connection.state());
        if buffered == 0 && state == State::Draining && client.flags.raise(Flags::HALF_CLOSED) {
            // The peer may have closed already; then there is nothing to shut.
            let _ = client.socket.open(&self.key).shutdown_write();
        }
        let is_connecting = state == State::Handshaking && client.connection.role() == Role::Client;
        if buffered == 0 && is_connecting && self.clients.note_connected(index) {
            self.call(index, |handler, clients, id| handler.on_connect(clients, id));
        }
        self.clients.resume_lighter(index);
        if buffered == 0 && self.clients.table[index].flags.has(Flags::LATEST) {
            self.clients.catch_up(index);
        }
        self.open_watermark(index);
        self.clients.table.settle(index);
    }

    /// If a client takes what is sent to it again, it is read again, and the application is told.
    fn open_watermark(&mut self, index: usize) {
        let (client, limits) = (&self.clients.table[index], &self.clients.table.shared().limits);
        if client.connection.buffered_amount() > limits.high_water || !self.clients.table.open(index, Reason::Watermark)
        {
            return;
        }
        let client = &self.clients.table[index];
        // Before `on_open`, that was the response to an upgrade which was answered later.
        if client.connection.state() == State::Open && client.flags.has(Flags::OPENED) {
            self.call(index, |handler, clients, id| handler.on_drain(clients, id));
        }
    }
}
