//! The bytes of one read, taken from the front piece by piece.

/// Bytes from a peer that are not handled yet. The pieces outlive this value, because they borrow
/// from the read buffer.
#[derive(Debug)]
pub struct Input<'b> {
    pub(super) rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// All of `bytes`.
    pub fn new(bytes: &'b mut [u8]) -> Input<'b> {
        Input { rest: bytes }
    }

    /// Returns how many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Returns whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the rest without taking it.
    pub(crate) fn peek(&self) -> &[u8] {
        self.rest
    }

    /// Takes the next `count` bytes, or as many as there are.
    pub(crate) fn take(&mut self, count: usize) -> &'b mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (piece, rest) = rest.split_at_mut(count.min(rest.len()));
        self.rest = rest;
        piece
    }

    /// Takes everything.
    pub(crate) fn take_all(&mut self) -> &'b mut [u8] {
        std::mem::take(&mut self.rest)
    }
}
