//! Reading.
//!
//! Each client is read once in a turn, into a buffer that all share. It is read again while much is
//! missing of a frame that has begun to arrive.

use super::engine::Engine;
use crate::protocol::{CloseReason, State};
use crate::server::app::Handler;
use crate::server::table::{At, Flags};
use std::io;

/// The most bytes to read in one turn, so that their output is written before more is read.
pub(super) const READ_PER_TURN: usize = 4 << 20;

/// From this many bytes on, output is written right after the read that caused it: it is still in
/// the cache, and its buffer can serve the next client.
const WRITE_AT_ONCE: usize = 16 << 10;

/// A read of no more bytes leaves that to the end of the turn. It may be a single short message,
/// and asking for the output of each of these would cost more than it gains.
const SHORT_READ: usize = 256;

/// How often a client is read in one turn while at least [`WORTH_READING`] bytes of a frame are
/// missing.
const READS_IN_A_ROW: usize = 4;
const WORTH_READING: usize = 16 << 10;

impl<H: Handler> Engine<H> {
    /// Reads each queued client once, the longest waiting first, up to the turn's share.
    #[inline(never)]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) {
        let share = self.clients.read_share(self.read_share);
        let queued = self.clients.table.readable().len();
        let (mut sum, mut served) = (0, 0);
        self.begin_secured();
        while served < queued && sum < share {
            let index = self.clients.table.readable().at(served);
            served += 1;
            #[cfg(not(lariat_plain))]
            if let Some(count) = self.read_short_message(index, buffer) {
                sum += count;
                continue;
            }
            sum += self.read_client(index, buffer);
        }
        self.clients.table.readable().served(served);
    }

    /// Reads a client once, if it may be read now, and handles what was read. Returns the number of
    /// bytes.
    #[inline(never)]
    fn read_client(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        self.clients.relieve();
        let Some(At { client, .. }) = self.clients.table.get_at(index) else { return 0 };
        if !client.flags.lower(Flags::READ_QUEUED) {
            // The index was freed since it was queued, and belongs to another client now.
            return 0;
        }
        if client.flags.has(Flags::WRAPPED) {
            if let Some(count) = self.read_secured(index) {
                return count;
            }
        }
        let size = self.clients.limited_read(index, self.clients.read_size(buffer.len()));
        let buffer = &mut buffer[..size];
        match self.read_if_open(index, buffer) {
            0 => 0,
            count => self.received(index, buffer, count),
        }
    }

    /// Reads from a client's socket, if its gate is open. Returns the number of bytes.
    pub(super) fn read_if_open(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        self.resume(index);
        self.pause_if_heavy(index);
        let client = &self.clients.table[index];
        if !client.may_be_read(self.clients.table.shared().limits.high_water) {
            self.clients.table.leave_unread(index);
            return 0;
        }
        let At { client, counters, .. } = self.clients.table.at(index);
        counters.reads += 1;
        match client.socket.open(&self.key).read(buffer) {
            Ok(count) if count > 0 => {
                counters.bytes_read += count as u64;
                count
            }
            outcome => self.read_nothing(index, outcome),
        }
    }

    /// Handles the bytes of a read, and reads again while much of a frame is missing. Returns the
    /// number of all bytes.
    #[inline(never)]
    pub(super) fn received(&mut self, index: usize, buffer: &mut [u8], count: usize) -> usize {
        let (mut sum, mut may_have_more) = (count, self.handle(index, buffer, count));
        for _ in 1..READS_IN_A_ROW {
            let size = self.clients.table[index].connection.missing().min(buffer.len());
            if !may_have_more || size < WORTH_READING {
                break;
            }
            let rest = &mut buffer[..size];
            let count = self.read_if_open(index, rest);
            may_have_more = count > 0 && self.handle(index, rest, count);
            sum += count;
        }
        if may_have_more {
            self.clients.table.queue_read(index);
        }
        self.write_much(index, sum);
        self.deliver_traces();
        self.clients.relieve();
        sum
    }

    /// Writes to a client at once, if a read of `sum` bytes has left much output.
    #[inline(always)]
    pub(super) fn write_much(&mut self, index: usize, sum: usize) {
        if sum > SHORT_READ && self.clients.table[index].connection.buffered_amount() >= WRITE_AT_ONCE {
            self.write_client(index);
        }
    }

    /// Passes bytes on, and settles the client. Returns whether the socket may have more.
    fn handle(&mut self, index: usize, buffer: &mut [u8], count: usize) -> bool {
        let flags = self.clients.table[index].flags;
        // A short read has emptied the socket, unless FIN or an error follows.
        let may_have_more = count == buffer.len() || flags.has(Flags::READ_CLOSED);
        if flags.has(Flags::WRAPPED) {
            self.receive_proxied(index, &buffer[..count]);
        } else {
            self.deliver(index, &mut buffer[..count]);
        }
        self.report_refusal(index);
        self.clients.table.settle(index);
        may_have_more
    }

    /// Pauses a client that would be read now, if it holds too much.
    fn pause_if_heavy(&mut self, index: usize) {
        let client = &self.clients.table[index];
        let may_grow = matches!(client.connection.state(), State::Handshaking | State::Open);
        if may_grow && client.may_be_read(self.clients.table.shared().limits.high_water) {
            self.clients.pause_if_heavy(index);
        }
    }

    /// Handles a read without bytes: the end of the stream, nothing to read, or an error.
    #[cold]
    pub(super) fn read_nothing(&mut self, index: usize, outcome: io::Result<usize>) -> usize {
        let cut_off = match &outcome {
            Ok(_) => {
                self.log_silence(index);
                self.cut_off(index)
            }
            Err(_) => None,
        };
        let At { client, shared, counters, .. } = self.clients.table.at(index);
        match outcome.map_err(|error| error.kind()) {
            Ok(_) if cut_off.is_some() => client.connection.end(shared, cut_off.unwrap_or(CloseReason::Eof)),
            Ok(_) => self.receive_end(index),
            Err(io::ErrorKind::WouldBlock) => {
                client.flags.clear(Flags::READ_CLOSED);
                counters.would_block += 1;
            }
            Err(io::ErrorKind::Interrupted) => self.clients.table.queue_read(index),
            Err(kind) => self.broke(index, kind),
        }
        self.clients.table.settle(index);
        0
    }

    /// Opens a client whose request was answered later, and delivers the bytes that were held: they
    /// have followed the request, or the application has paused the client.
    fn resume(&mut self, index: usize) {
        let client = &self.clients.table[index];
        // The application may have closed the client right after its answer.
        let has_opened = matches!(client.connection.state(), State::Open | State::Closing);
        if has_opened && !client.flags.has(Flags::OPENED) {
            self.open(index);
        }
        let At { client, shared, .. } = self.clients.table.at(index);
        if client.connection.has_held() {
            let mut held = client.connection.take_held(shared);
            self.deliver(index, &mut held);
            self.clients.table.shared_mut().recycle_held(held);
            self.clients.table.settle(index);
        }
    }
}
