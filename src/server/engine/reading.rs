//! How is a client read?
//!
//! Once in a turn, into the buffer that all share, and again while much is missing of what it has
//! begun to say.

use super::engine::Engine;
use crate::protocol::State;
use crate::server::app::Handler;
use crate::server::table::{At, Flags};
use std::io;

/// How many bytes are read in one turn, so that what they lead to is written before more is read.
pub(super) const READ_PER_TURN: usize = 4 << 20;

/// What waits for a client that has just been read is written at once from this size on, in bytes:
/// it is in the cache still, and its buffer can serve the next one.
const WRITE_AT_ONCE: usize = 16 << 10;

/// How many times a client is read in one turn, while at least so many bytes are missing of what it
/// has begun to say.
const READS_IN_A_ROW: usize = 4;
const WORTH_READING: usize = 16 << 10;

impl<H: Handler> Engine<H> {
    /// Lets everybody who was queued read once, into this buffer: a fair share each.
    #[inline(never)]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) {
        let share = self.clients.read_share(self.read_share);
        let queued = self.clients.table.readable().len();
        let (mut sum, mut served) = (0, 0);
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

    /// Reads from one client, if it may be read now. Returns how many bytes.
    #[inline(never)]
    fn read_client(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        self.clients.relieve();
        let Some(At { client, .. }) = self.clients.table.get_at(index) else { return 0 };
        if !client.flags.lower(Flags::READ_QUEUED) {
            // Its place has been freed since, and filled again.
            return 0;
        }
        let size = self.clients.limited_read(self.clients.read_size(buffer.len()));
        let buffer = &mut buffer[..size];
        match self.read_if_it_may_be(index, buffer) {
            0 => 0,
            count => self.received(index, buffer, count),
        }
    }

    /// Reads from a client, if its gate is open.
    fn read_if_it_may_be(&mut self, index: usize, buffer: &mut [u8]) -> usize {
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

    /// So many bytes have come, whatever they are. Goes on to read while much is missing of what a
    /// client has begun to say, and returns how many bytes there were.
    #[inline(never)]
    pub(super) fn received(&mut self, index: usize, buffer: &mut [u8], count: usize) -> usize {
        let (mut sum, mut may_have_more) = (count, self.handle(index, buffer, count));
        for _ in 1..READS_IN_A_ROW {
            let size = self.clients.table[index].connection.missing().min(buffer.len());
            if !may_have_more || size < WORTH_READING {
                break;
            }
            let rest = &mut buffer[..size];
            let count = self.read_if_it_may_be(index, rest);
            may_have_more = count > 0 && self.handle(index, rest, count);
            sum += count;
        }
        if may_have_more {
            self.clients.table.queue_read(index);
        }
        if self.clients.table[index].connection.buffered_amount() >= WRITE_AT_ONCE {
            self.write_client(index);
        }
        self.tell_traces();
        self.clients.relieve();
        sum
    }

    /// Hands on what has come, and returns whether there may be more.
    fn handle(&mut self, index: usize, buffer: &mut [u8], count: usize) -> bool {
        let flags = self.clients.table[index].flags;
        // A short read has emptied the socket, unless the peer's FIN or an error is behind it.
        let may_have_more = count == buffer.len() || flags.has(Flags::READ_CLOSED);
        if flags.has(Flags::PROXIED) {
            self.receive_proxied(index, &buffer[..count]);
        } else {
            self.deliver(index, &mut buffer[..count]);
        }
        self.clients.table.settle(index);
        may_have_more
    }

    /// Closes the gate of a client that could be read otherwise, if it holds too much.
    fn pause_if_heavy(&mut self, index: usize) {
        let client = &self.clients.table[index];
        let may_grow = matches!(client.connection.state(), State::Handshaking | State::Open);
        if may_grow && client.may_be_read(self.clients.table.shared().limits.high_water) {
            self.clients.pause_if_heavy(index);
        }
    }

    /// The stream has ended, has nothing now, or is broken; there are no bytes.
    #[cold]
    pub(super) fn read_nothing(&mut self, index: usize, outcome: io::Result<usize>) -> usize {
        let At { client, shared, counters, now, .. } = self.clients.table.at(index);
        match outcome.map_err(|error| error.kind()) {
            Ok(_) => client.connection.receive_eof(shared, now),
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

    /// Does what could not be done while the application had not answered the request.
    fn resume(&mut self, index: usize) {
        let client = &self.clients.table[index];
        // Whoever answered may have closed at once; it has been open nevertheless.
        let has_opened = matches!(client.connection.state(), State::Open | State::Closing);
        if !has_opened || client.flags.has(Flags::OPENED) {
            return;
        }
        self.open(index);
        let At { client, shared, .. } = self.clients.table.at(index);
        let mut held = client.connection.take_held(shared);
        if !held.is_empty() {
            self.deliver(index, &mut held);
        }
    }
}
