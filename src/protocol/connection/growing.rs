//! A guard for inboxes and outboxes that may grow: the budget counts them again.

use super::inbox::Inbox;
use super::message::{OwnedMessage, Position};
use super::outbox::Outbox;
use super::partial_message::{Ends, PartialMessage};
use super::shared::Shared;
use crate::protocol::wire::{Header, ProtocolError};
use std::ops::{Deref, DerefMut};

/// An inbox or outbox that may grow. When this is dropped, the budget counts it again.
#[derive(Debug)]
pub(super) struct Growing<'a, T: Counted> {
    shared: &'a mut Shared,
    inner: &'a mut T,
}

/// Something whose memory counts against the budget.
pub(super) trait Counted {
    /// Bytes of memory.
    fn memory(&self) -> usize;
    /// Bytes of memory when the budget counted it last.
    fn counted(&mut self) -> &mut usize;
    /// Frees memory that it does not need.
    fn shrink(&mut self) {}
}

impl Counted for Inbox {
    fn memory(&self) -> usize {
        self.memory()
    }

    fn counted(&mut self) -> &mut usize {
        &mut self.counted
    }
}

impl Counted for Outbox {
    #[inline]
    fn memory(&self) -> usize {
        self.memory()
    }

    #[inline]
    fn counted(&mut self) -> &mut usize {
        &mut self.counted
    }

    fn shrink(&mut self) {
        self.shrink();
    }
}

impl<'a, T: Counted> Growing<'a, T> {
    #[inline]
    pub(super) const fn new(shared: &'a mut Shared, inner: &'a mut T) -> Growing<'a, T> {
        Growing { shared, inner }
    }
}

impl Growing<'_, Outbox> {
    /// Takes another buffer from the pool if the outbox is empty and its own buffer is too small
    /// for `count` bytes.
    pub(super) fn make_room(&mut self, count: usize) {
        if self.own.end() == 0 && self.own.capacity() < count {
            let buffer = self.shared.pools.buffers.take_or_new();
            self.own.replace_buffer(buffer);
        }
    }
}

impl Growing<'_, Inbox> {
    /// Uses a reserved buffer for bytes that are held, if there are any.
    pub(super) fn begin_held(&mut self) {
        if self.shared.is_reserved() && self.inner.held.capacity() == 0 {
            self.inner.held = self.shared.pools.held.take_or_new();
        }
    }

    /// Uses a reserved buffer for a control frame's payload, if there are any.
    pub(super) fn begin_control(&mut self) {
        if self.shared.is_reserved() && self.inner.control.capacity() == 0 {
            self.inner.control = self.shared.pools.controls.take_or_new();
        }
    }

    /// Uses a reserved buffer for a head, if there are any.
    pub(super) fn begin_head(&mut self) {
        if self.shared.is_reserved() {
            self.inner.head = self.shared.pools.buffers.take_or_new();
        }
    }

    /// As [`Inbox::message`].
    pub(super) fn message(&mut self, header: &Header, wants_pieces: bool) -> &mut PartialMessage {
        self.inner.message(&mut self.shared.pools, header, wants_pieces)
    }

    /// As [`Inbox::take_piece`].
    pub(super) fn take_piece(&mut self, ends: Ends) -> Result<Option<(OwnedMessage, Position)>, ProtocolError> {
        self.inner.take_piece(&mut self.shared.pools, ends)
    }
}

impl<T: Counted> Growing<'_, T> {
    #[cold]
    fn recount(&mut self) {
        self.inner.shrink();
        let memory = self.inner.memory();
        let counted = std::mem::replace(self.inner.counted(), memory);
        self.shared.budget.recount(counted, memory);
        self.shared.review_budget();
    }
}

impl<T: Counted> Drop for Growing<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.inner.memory() != *self.inner.counted() {
            self.recount();
        }
    }
}

impl<T: Counted> Deref for Growing<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.inner
    }
}

impl<T: Counted> DerefMut for Growing<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.inner
    }
}
