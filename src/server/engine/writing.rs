//! Writing.
//!
//! Each client is written to once, at the end of the turn, with all its output.

use super::engine::Engine;
use crate::protocol::{Role, State};
use crate::server::app::Handler;
use crate::server::table::{At, Flags, Reason};
use std::convert::identity;
use std::io;

/// The most clients to write to in one turn, so that a message for a million clients does not stop
/// the loop.
const WRITES_PER_TURN: usize = 1_024;

/// The most writes to a client in a row, while the kernel takes all that it is offered.
pub(super) const WRITES_IN_A_ROW: usize = 4;

impl<H: Handler> Engine<H> {
    /// Writes to each queued client, the longest waiting first, up to the turn's share. Clients
    /// that are queued meanwhile wait for the next turn.
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

    /// Writes to a client, if it is queued for writing.
    #[inline(never)]
    pub(super) fn write_client(&mut self, index: usize) {
        let Some(At { client, .. }) = self.clients.table.get_at(index) else { return };
        if client.flags.lower(Flags::WRITE_QUEUED) {
            self.write(index);
        }
    }

    /// Writes a client's output, as much as the kernel takes, and does what follows.
    pub(super) fn write(&mut self, index: usize) {
        if self.clients.table[index].connection.buffered_amount() > self.clients.table.shared().limits.high_water {
            self.clients.table.close(index, Reason::Watermark);
        }
        if self.clients.table[index].flags.has(Flags::WRAPPED) && self.write_secured(index) {
            return;
        }
        self.write_in_a_row(index, WRITES_IN_A_ROW);
    }

    /// Writes at most so many times, while the kernel takes all that it is offered, and does what
    /// follows.
    pub(super) fn write_in_a_row(&mut self, index: usize, most: usize) {
        for _ in 0..most {
            let At { client, shared, counters, .. } = self.clients.table.at(index);
            let output = client.connection.output(shared);
            let length = output.len();
            if length == 0 || client.flags.has(Flags::BLOCKED) {
                break;
            }
            counters.writes += 1;
            let outcome = client.socket.open(&self.key).write(output);
            if !self.note_written(index, length, outcome, identity) {
                break;
            }
        }
        self.wrote(index);
    }

    /// Notes the result of a write of `length` bytes. `delivered` gets how many of them the kernel
    /// has taken, and returns how many bytes of the connection's output these were. Returns `false`
    /// if the stream has failed.
    pub(super) fn note_written(
        &mut self,
        index: usize,
        length: usize,
        outcome: io::Result<usize>,
        delivered: impl FnOnce(usize) -> usize,
    ) -> bool {
        let At { client, shared, counters, now, .. } = self.clients.table.at(index);
        let taken = match outcome.map_err(|error| error.kind()) {
            Ok(taken) => taken,
            Err(io::ErrorKind::WouldBlock) => {
                counters.would_block += 1;
                0
            }
            Err(io::ErrorKind::Interrupted) => {
                delivered(0);
                return true;
            }
            Err(kind) => {
                self.broke(index, kind);
                return false;
            }
        };
        counters.bytes_written += taken as u64;
        if taken < length {
            client.flags.set(Flags::BLOCKED);
        }
        client.connection.sent(shared, now, delivered(taken));
        true
    }

    /// Does what follows a write: closes our half, resumes reading, queues conflated messages, and
    /// calls the application.
    pub(super) fn wrote(&mut self, index: usize) {
        let client = &mut self.clients.table[index];
        let (buffered, state) = (client.connection.buffered_amount(), client.connection.state());
        if client.has_said_all() && client.flags.raise(Flags::HALF_CLOSED) {
            // If the peer has closed already, this fails, and nothing is left to close.
            let _ = client.socket.open(&self.key).shutdown_write();
        }
        let is_connecting = state == State::Handshaking && client.connection.role() == Role::Client;
        let is_sent = || buffered == 0 || self.clients.table.sessions().is_handshaking(index);
        if is_connecting && is_sent() && self.clients.note_connected(index) {
            self.call(index, |handler, clients, id| handler.on_connect(clients, id));
        }
        if buffered == 0 && state == State::Handshaking && !is_connecting {
            self.response_sent(index);
        }
        self.clients.resume_lighter(index);
        if buffered == 0 && self.clients.table[index].flags.has(Flags::CONFLATES) {
            self.clients.catch_up(index);
        }
        self.open_watermark(index);
        self.clients.table.settle(index);
    }

    /// Reads a client on, which waits for `100 Continue`, or may send another request.
    #[cold]
    fn response_sent(&mut self, index: usize) {
        let At { client, counters, .. } = self.clients.table.at(index);
        if let Some(status) = client.connection.take_answered() {
            counters.answered(status);
            // Behind a proxy, the next request may come from somebody else.
            client.data = Default::default();
        }
        self.clients.table.queue_read(index);
    }

    /// Opens the gate of a client that is no longer above the watermark, and calls `on_drain`.
    pub(super) fn open_watermark(&mut self, index: usize) {
        let (client, limits) = (&self.clients.table[index], &self.clients.table.shared().limits);
        if client.connection.buffered_amount() > limits.high_water || !self.clients.table.open(index, Reason::Watermark)
        {
            return;
        }
        let client = &self.clients.table[index];
        // Before `on_open`, the output was the response to an upgrade.
        let is_open = client.connection.state() == State::Open && client.flags.has(Flags::OPENED);
        if is_open || client.connection.is_streaming() {
            self.call(index, |handler, clients, id| handler.on_drain(clients, id));
        }
    }
}
