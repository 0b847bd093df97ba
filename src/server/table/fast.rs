//! Fast paths of the table, and what the fast paths of other rooms ask of a client.

use super::client::Client;
use super::flags::Flags;
use super::ready_queue::ReadyQueue;
use super::table::Table;
use crate::protocol::State;
use crate::server::id::ClientId;

impl Flags {
    /// Whether all of the first are set, and none of the second: one test for many flags.
    #[inline]
    const fn are(self, set: Flags, clear: Flags) -> bool {
        self.0 & (set.0 | clear.0) == set.0
    }

    const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl ReadyQueue {
    /// [`push`](Self::push), unless more room would have to be made: then nothing has been done.
    /// Without the branch that makes room, the caller keeps its registers.
    #[inline(always)]
    pub(crate) fn push_if_there_is_room(&mut self, client: u32) -> bool {
        let has_room = self.waiting.len() < self.waiting.capacity();
        if has_room {
            self.waiting.push(client);
        }
        has_room
    }
}

impl<D> Client<D> {
    /// Whether the fast path may read it: it is queued and open, its gate is open, and what comes
    /// is neither a PROXY header nor the last before the peer's FIN.
    #[inline]
    pub(crate) fn may_be_read_fast(&self, high_water: usize) -> bool {
        const SET: Flags = Flags::READ_QUEUED.or(Flags::OPENED);
        const CLEAR: Flags = Flags::CLOSED.or(Flags::PROXIED).or(Flags::READ_CLOSED);
        let is_plain = self.flags.are(SET, CLEAR);
        is_plain && self.connection.state() == State::Open && self.connection.buffered_amount() <= high_water
    }

    /// Whether the fast path may write to it: it is queued, and nothing follows when less is
    /// unsent. Its gate is not closed by the watermark, nor for what it holds, and nothing waits
    /// apart.
    #[inline]
    pub(crate) fn may_be_written_fast(&self) -> bool {
        const CLEAR: Flags = Flags::CLOSED_BY_WATERMARK.or(Flags::CLOSED_BY_MEMORY).or(Flags::LATEST);
        self.flags.are(Flags::WRITE_QUEUED, CLEAR)
    }

    /// Whether the fast path may queue a message for it: it is the one that is meant, none of its
    /// messages are dropped, and the kernel takes what it is sent.
    #[inline]
    pub(crate) fn may_be_sent_fast(&self, id: ClientId) -> bool {
        self.generation == id.generation && !self.flags.has(Flags::DROPS.or(Flags::BLOCKED))
    }
}

impl<D> Table<D> {
    /// [`queue_read`](Self::queue_read), of a client that is not queued and not blocked, where the
    /// queue has room. `false`: nothing has been done.
    #[inline(always)]
    pub(crate) fn queue_read_fast(&mut self, index: usize) -> bool {
        let Some(client) = self.slab.get_mut(index) else { return false };
        let may_be_queued = !client.flags.has(Flags::READ_QUEUED.or(Flags::BLOCKED));
        if !may_be_queued || !self.readable.push_if_there_is_room(index as u32) {
            return false;
        }
        client.flags.set(Flags::READ_QUEUED);
        true
    }

    /// [`settle_state`](Self::settle_state), of a client that is open, with nothing incomplete and
    /// nothing stalled, and with a deadline: that moves away with each byte that is heard, so only
    /// the queue for its output is brought up to date. `false`: nothing has been done.
    #[inline(always)]
    pub(super) fn settle_flowing(&mut self, index: usize) -> bool {
        let client = &mut self.slab[index];
        if client.deadline.due().is_none() || !client.connection.is_flowing() {
            return false;
        }
        if client.connection.buffered_amount() > 0 && client.flags.raise_to_write() {
            self.writable.push(index as u32);
        }
        true
    }
}
