//! How is a client read?
//!
//! Once in a turn, into the buffer that all share, and again while much is missing of what it has
//! begun to say. Most reads bring one short message from a client about whom nothing is unusual:
//! those go a short way.

use super::engine::Engine;
use crate::protocol::State;
use crate::server::app::Handler;
use crate::server::table::Flags;
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
        let (share, queued) = (self.clients.read_share(self.read_share), self.clients.readable.len());
        let (is_limited, mut sum, mut served) = (self.clients.admission.limits_reads(), 0, 0);
        while served < queued && sum < share {
            let index = self.clients.readable.at(served);
            served += 1;
            sum += self.read_client(index, buffer, is_limited);
        }
        self.clients.readable.served(served);
    }

    /// Reads from one client, and says how many bytes; `is_limited`: not as much as there is may be
    /// read at a time.
    #[inline]
    fn read_client(&mut self, index: usize, buffer: &mut [u8], is_limited: bool) -> usize {
        let shared = &self.clients.shared;
        let Some(client) = self.clients.slab.get_mut(index) else { return 0 };
        if is_limited || shared.is_near_budget() || !client.is_carefree(shared.limits.high_water) {
            return self.read_with_care(index, buffer);
        }
        client.flags.clear(Flags::READ_QUEUED);
        self.clients.tally.reads += 1;
        let outcome = client.socket.read(buffer);
        let Some(count) = outcome.as_ref().ok().copied().filter(|count| *count > 0) else {
            return self.read_nothing(index, outcome);
        };
        self.clients.tally.bytes_read += count as u64;
        let (id, route) = (client.id(index), client.route);
        match client.connection.receive_only(shared, self.clients.now, buffer, count) {
            // Nothing is to be settled but what the application's own calls have settled.
            Some(Ok(message)) => self.call_for(index, id, route, |handler, clients, id| {
                clients.count_received(message);
                handler.on_message(clients, id, message);
            }),
            Some(Err(_)) => self.bad_text(index),
            None => return self.received(index, buffer, count),
        }
        count
    }

    /// The same, if a client may perhaps not be read, or not as much as there is.
    #[cold]
    fn read_with_care(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        self.clients.relieve();
        if !self.clients.slab[index].flags.lower(Flags::READ_QUEUED) {
            // Its slot has been freed since, and filled again.
            return 0;
        }
        let size = self.clients.limited_read(self.clients.read_size(buffer.len()));
        let buffer = &mut buffer[..size];
        match self.read_if_it_may_be(index, buffer) {
            0 => 0,
            count => self.received(index, buffer, count),
        }
    }

    /// Reads from a client, if it may be read now.
    fn read_if_it_may_be(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        if !self.may_read(index) {
            return 0;
        }
        self.clients.tally.reads += 1;
        match self.clients.slab[index].socket.read(buffer) {
            Ok(count) if count > 0 => {
                self.clients.tally.bytes_read += count as u64;
                count
            }
            outcome => self.read_nothing(index, outcome),
        }
    }

    /// So many bytes have come, whatever they are. Goes on to read while much is missing of what a
    /// client has begun to say, and says how many bytes there were.
    #[inline(never)]
    fn received(&mut self, index: usize, buffer: &mut [u8], count: usize) -> usize {
        let (mut sum, mut may_have_more) = (count, self.handle(index, buffer, count));
        for _ in 1..READS_IN_A_ROW {
            let size = self.clients.slab[index].connection.missing().min(buffer.len());
            if !may_have_more || size < WORTH_READING {
                break;
            }
            let rest = &mut buffer[..size];
            let count = self.read_if_it_may_be(index, rest);
            may_have_more = count > 0 && self.handle(index, rest, count);
            sum += count;
        }
        if may_have_more {
            self.clients.queue_read(index);
        }
        if self.clients.slab[index].connection.buffered_amount() >= WRITE_AT_ONCE {
            self.write_now(index);
        }
        self.tell_traces();
        self.clients.relieve();
        sum
    }

    /// Hands on what has come, and says whether there may be more.
    fn handle(&mut self, index: usize, buffer: &mut [u8], count: usize) -> bool {
        let flags = self.clients.slab[index].flags;
        // A short read has emptied the socket, unless the peer's FIN or an error is behind it.
        let may_have_more = count == buffer.len() || flags.has(Flags::READ_CLOSED);
        if flags.has(Flags::PROXIED) {
            self.receive_proxied(index, &buffer[..count]);
        } else {
            self.deliver(index, &mut buffer[..count]);
        }
        self.clients.settle(index);
        may_have_more
    }

    /// Whether a client may be read now. If not, it will be when that has changed.
    #[inline(never)]
    fn may_read(&mut self, index: usize) -> bool {
        if !self.clients.slab[index].flags.has(Flags::OPENED) {
            self.resume(index);
        }
        let client = &mut self.clients.slab[index];
        let may_read = match client.connection.state() {
            State::Closed => return false,
            State::Deciding => false,
            State::Open => {
                let waits = client.is_above(self.clients.shared.limits.high_water) || client.flags.has(Flags::WAITS);
                !waits && !self.clients.must_pause(index)
            }
            State::Closing => !client.is_above(self.clients.shared.limits.high_water),
            State::Handshaking => !client.flags.has(Flags::WAITS) && !self.clients.must_pause(index),
            State::Draining | State::Flushing => true,
        };
        if !may_read {
            self.clients.slab[index].flags.set(Flags::UNREAD);
        }
        may_read
    }

    /// The stream has ended, has nothing now, or is broken; there are no bytes.
    #[cold]
    fn read_nothing(&mut self, index: usize, outcome: io::Result<usize>) -> usize {
        let (shared, now) = (&mut self.clients.shared, self.clients.now);
        let client = &mut self.clients.slab[index];
        match outcome.map_err(|error| error.kind()) {
            Ok(_) => client.connection.receive_eof(shared, now),
            Err(io::ErrorKind::WouldBlock) => {
                client.flags.clear(Flags::READ_CLOSED);
                self.clients.tally.would_block += 1;
            }
            Err(io::ErrorKind::Interrupted) => self.clients.queue_read(index),
            Err(kind) => self.broke(index, kind),
        }
        self.clients.settle(index);
        0
    }

    /// Does what could not be done while the application had not answered the request.
    fn resume(&mut self, index: usize) {
        let client = &mut self.clients.slab[index];
        // Whoever answered may have closed at once; it has been open nevertheless.
        let has_opened = matches!(client.connection.state(), State::Open | State::Closing);
        if !has_opened || client.flags.has(Flags::OPENED) {
            return;
        }
        self.open(index);
        let mut held = self.clients.slab[index].connection.take_held(&mut self.clients.shared);
        if !held.is_empty() {
            self.deliver(index, &mut held);
        }
    }
}
