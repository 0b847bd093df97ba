//! The bytes of one read, taken from the front piece by piece.

/// Bytes that a peer has sent and that are still to be handled. The pieces outlive it: they borrow
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

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all has been handled.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left, without taking it.
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
