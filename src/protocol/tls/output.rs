//! The buffer for ciphertext to sockets.

/// The header of a record: its type, its version, and its length (RFC 8446 §5.1).
pub(super) const HEADER: usize = 5;
/// Room for what a record adds to its contents (RFC 8446 §5.2, RFC 5246 §6.2.3).
pub(super) const OVERHEAD: usize = HEADER + 256;
/// The most plaintext in a record (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 << 10;

/// A buffer for ciphertext that all sessions of a loop share. It only grows.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
    length: usize,
}

impl Output {
    /// Returns the ciphertext.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Empties the buffer.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Returns room for at least `size` more bytes.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.buffer.len() - self.length < size {
            self.buffer.resize(self.length + size, 0);
        }
        &mut self.buffer[self.length..]
    }

    /// Notes that so many bytes of the room were filled.
    pub(super) const fn filled(&mut self, count: usize) {
        self.length += count;
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}
