//! Fast paths of the table, and the conditions for the fast paths of other rooms.
//!
//! See `engine/fast.rs` for the test of equivalence and the unit of costs.

use super::client::Client;
use super::flags::Flags;
use super::ready_queue::ReadyQueue;
use super::table::Table;
use crate::protocol::time::Tick;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::cell::Cell;

impl Flags {
    /// Returns whether all of the first are set, and none of the second. One comparison.
    #[inline]
    const fn are(self, set: Flags, clear: Flags) -> bool {
        self.0 & (set.0 | clear.0) == set.0
    }

    const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl ReadyQueue {
    /// [`push`](Self::push), unless the queue would have to grow. Returns `false` if nothing has
    /// been done. A push that can grow makes the caller save its registers.
    #[inline(always)]
    pub(crate) fn push_if_there_is_room(&mut self, client: u32) -> bool {
        let has_room = self.waiting.len() < self.waiting.capacity();
        if has_room {
            self.waiting.push(client);
        }
        has_room
    }
}

/// The result of [`Wheel::find_next_slot`](super::wheel::Wheel), kept until the wheel changes:
/// every turn asks for it, and it seldom changes. The model in the wheel's unit test shows that
/// both are the same.
///
/// Cost: 1,177 instructions alone, 1,298 without.
#[derive(Debug)]
pub(super) struct NextSlot(Cell<Kept>);

#[derive(Clone, Copy, Debug)]
enum Kept {
    Unknown,
    Known(Option<(usize, Tick)>),
}

impl NextSlot {
    pub(super) const fn new() -> NextSlot {
        NextSlot(Cell::new(Kept::Unknown))
    }

    #[inline]
    pub(super) fn get_or(&self, find: impl FnOnce() -> Option<(usize, Tick)>) -> Option<(usize, Tick)> {
        match self.0.get() {
            Kept::Known(next) => next,
            Kept::Unknown => {
                let next = find();
                self.0.set(Kept::Known(next));
                next
            }
        }
    }

    pub(super) const fn forget(&mut self) {
        self.0 = Cell::new(Kept::Unknown);
    }
}

impl<D: ClientData> Client<D> {
    /// Returns whether the fast path may read this client: it is queued and open, its gate is open,
    /// neither a PROXY header, FIN nor an error is next, there is no TLS, and it holds nothing.
    #[inline]
    pub(crate) fn may_be_read_fast(&self, high_water: usize) -> bool {
        const SET: Flags = Flags::READ_QUEUED.or(Flags::OPENED);
        const CLEAR: Flags = Flags::CLOSED.or(Flags::WRAPPED).or(Flags::READ_CLOSED);
        let is_plain = self.flags.are(SET, CLEAR);
        is_plain && self.connection.may_be_read_fast() && self.connection.buffered_amount() <= high_water
    }

    /// Returns whether the fast path may write to this client: it is queued, and nothing follows
    /// when less is unsent. Its gate is not closed by the watermark or for memory, and no conflated
    /// message waits. There is no TLS.
    #[inline]
    pub(crate) fn may_be_written_fast(&self) -> bool {
        const CLEAR: Flags =
            Flags::CLOSED_BY_WATERMARK.or(Flags::CLOSED_BY_MEMORY).or(Flags::CONFLATES).or(Flags::WRAPPED);
        self.flags.are(Flags::WRITE_QUEUED, CLEAR)
    }

    /// Returns whether the fast path may queue a message for this client: it has this id, its
    /// messages are not dropped, and the kernel takes bytes for it.
    #[inline]
    pub(crate) fn may_be_sent_fast(&self, id: ClientId) -> bool {
        self.generation == id.generation && !self.flags.has(Flags::DROPS.or(Flags::BLOCKED))
    }
}

impl<D: ClientData> Table<D> {
    /// [`queue_read`](Self::queue_read), for a client that is neither queued nor blocked, if the
    /// queue has room. Returns `false` if nothing has been done. For `Engine::ready_to_be_read`.
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

    /// [`settle_state`](Self::settle_state), for an open client with nothing incomplete and nothing
    /// stalled, whose deadline is armed. Bytes from the peer only move that deadline away, so it
    /// need not be computed again, and the client is only queued for writing. Returns `false` if
    /// nothing has been done.
    ///
    /// Cost: 244 instructions pipelined, 251 without.
    #[inline]
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
