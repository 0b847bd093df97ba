//! The queues in which clients wait for a step of a turn.

use super::flags::Flags;
use super::ready_queue::ReadyQueue;
use super::table::Table;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::observe::Aside;

impl<D: ClientData> Table<D> {
    /// Returns whether any queue has a client.
    pub(crate) fn has_work(&self) -> bool {
        let is_idle = self.readable.is_empty() && self.writable.is_empty() && self.ended.is_empty();
        !is_idle || !self.connecting.is_empty() || !self.adopted.is_empty()
    }

    /// Queues a client for reading.
    pub(crate) fn queue_read(&mut self, index: usize) {
        if self[index].flags.raise(Flags::READ_QUEUED) {
            self.readable.push(index as u32);
        }
    }

    /// Queues a client for writing, unless the kernel takes no bytes for it.
    #[inline]
    pub(crate) fn queue_write(&mut self, index: usize) {
        if self[index].flags.raise_to_write() {
            self.writable.push(index as u32);
        }
    }

    /// Queues a client whose connection is to be opened.
    pub(crate) fn queue_connect(&mut self, index: usize) {
        self.connecting.push(index as u32);
    }

    /// Queues a client whose stream is to be watched.
    pub(crate) fn queue_adopted(&mut self, id: ClientId) {
        self.adopted.push(id);
    }

    /// Takes the next client whose stream is to be watched, if it has not ended meanwhile.
    pub(crate) fn next_adopted(&mut self) -> Option<usize> {
        while let Some(id) = self.adopted.pop() {
            if let Some(index) = self.find(id) {
                return Some(index);
            }
        }
        None
    }

    /// Returns the queue for reading.
    pub(crate) const fn readable(&mut self) -> &mut ReadyQueue {
        &mut self.readable
    }

    /// Returns the queue for writing.
    pub(crate) const fn writable(&mut self) -> &mut ReadyQueue {
        &mut self.writable
    }

    /// Returns the lengths of both queues.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.readable.len(), self.writable.len())
    }

    /// Takes the next client whose connection is to be opened.
    pub(crate) fn next_connecting(&mut self) -> Option<usize> {
        self.connecting.pop().map(|index| index as usize)
    }

    /// Takes the next client that has ended.
    pub(crate) fn next_ended(&mut self) -> Option<usize> {
        self.ended.pop().map(|index| index as usize)
    }

    /// Returns whether any client has ended.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Removes all clients but those that stay from the queues. [`put_back`](Self::put_back) puts
    /// them back in order.
    pub(crate) fn set_aside(&mut self, aside: &mut Aside, stays: impl Fn(u32) -> bool) {
        aside.readable.append(&mut self.readable.set_aside(&stays));
        aside.writable.append(&mut self.writable.set_aside(&stays));
        aside.connecting.append(&mut self.connecting);
    }

    pub(crate) fn put_back(&mut self, mut aside: Aside) {
        self.readable.put_back(aside.readable);
        self.writable.put_back(aside.writable);
        aside.connecting.append(&mut self.connecting);
        self.connecting = aside.connecting;
    }

    /// Returns the bytes of memory of the queues.
    #[cfg(feature = "sim")]
    pub(crate) fn queue_memory(&self) -> usize {
        let places = [self.readable.capacity(), self.writable.capacity(), self.ended.capacity()];
        places.iter().sum::<usize>() * size_of::<u32>()
    }
}
