//! The bytes of one read, which are taken from the front.

/// The bytes of a read that are not handled yet. Taken pieces borrow from the read buffer, so they
/// can outlive this value.
#[derive(Debug)]
pub struct Input<'b> {
    pub(super) rest: &'b mut [u8],
}

impl<'b> Input<'b> {
    /// Creates an input with all of `bytes`.
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

    /// Returns the remaining bytes without taking them.
    pub(crate) fn peek(&self) -> &[u8] {
        self.rest
    }

    /// Takes the next `count` bytes, or all remaining bytes if there are fewer.
    pub(crate) fn take(&mut self, count: usize) -> &'b mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (piece, rest) = rest.split_at_mut(count.min(rest.len()));
        self.rest = rest;
        piece
    }

    /// Takes all remaining bytes.
    pub(crate) fn take_all(&mut self) -> &'b mut [u8] {
        std::mem::take(&mut self.rest)
    }
}
