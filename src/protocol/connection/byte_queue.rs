//! A queue of bytes: appended at the back, removed from the front.

use std::ops::{Deref, DerefMut};

/// Bytes in one piece of memory. Bytes that have been removed, and the buffer behind the end, keep
/// their old contents until something is written over them.
#[derive(Debug, Default)]
pub(super) struct ByteQueue {
    pub(super) bytes: Vec<u8>,
    /// Where the first byte lies.
    start: usize,
    /// Where the last byte ends.
    pub(super) end: usize,
}

impl ByteQueue {
    /// How many bytes there are.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// The place of the first byte; places count from the start of the buffer.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// The place behind the last byte.
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    /// All bytes.
    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes between two places.
    pub(super) fn between(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[from..to]
    }

    /// The last `count` bytes.
    pub(super) fn last_mut(&mut self, count: usize) -> &mut [u8] {
        &mut self.bytes[self.end - count..self.end]
    }

    /// Bytes of memory.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns a vector to whose end bytes can be appended. Nothing else may be done with it.
    #[inline]
    pub(super) fn appender(&mut self) -> Appender<'_> {
        if self.end < self.bytes.len() {
            self.bytes.truncate(self.end);
        }
        Appender { queue: self }
    }

    /// Removes the first `count` bytes.
    pub(super) const fn remove(&mut self, count: usize) {
        self.start += count;
    }

    /// Moves all bytes to the start of the buffer, if at least half of the used part is free.
    /// Returns by how much places have decreased.
    #[inline]
    pub(super) fn compact(&mut self) -> usize {
        match self.start {
            0 => 0,
            _ => self.compact_used(),
        }
    }

    #[inline(never)]
    fn compact_used(&mut self) -> usize {
        if self.start < self.end / 2 { 0 } else { self.compact_all() }
    }

    /// Moves all bytes to the start of the buffer. Returns by how much places have decreased.
    pub(super) fn compact_all(&mut self) -> usize {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        std::mem::take(&mut self.start)
    }

    /// Frees memory beyond five quarters of what is used.
    pub(super) fn shrink(&mut self) {
        self.bytes.truncate(self.end);
        self.bytes.shrink_to(self.end / 4 * 5);
    }

    /// Removes all bytes.
    #[inline]
    pub(super) const fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Uses another buffer. There must be no bytes.
    pub(super) fn replace_buffer(&mut self, buffer: Vec<u8>) -> Vec<u8> {
        self.clear();
        std::mem::replace(&mut self.bytes, buffer)
    }
}

/// The buffer of a queue. What is appended to it has been added to the queue when this is dropped.
#[derive(Debug)]
pub(super) struct Appender<'q> {
    queue: &'q mut ByteQueue,
}

impl Deref for Appender<'_> {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.queue.bytes
    }
}

impl DerefMut for Appender<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.queue.bytes
    }
}

impl Drop for Appender<'_> {
    #[inline]
    fn drop(&mut self) {
        self.queue.end = self.queue.bytes.len();
    }
}
