//! Checks whole texts, and texts that arrive in pieces (RFC 6455 §8.1).
//!
//! A piece may end inside a character. Its last one to three bytes are then kept in `tail` until
//! the rest arrives. An invalid byte is found when it arrives, not when the message is complete.
//! Checked bytes are kept as a `String`, so no byte is checked twice.

use simdutf8::basic;

/// A text that is still arriving. The received bytes are checked. The last character may be
/// incomplete.
#[derive(Debug, Default)]
pub struct PartialText {
    text: String,
    tail: [u8; 4],
    tail_len: u8,
}

/// An error: the bytes are not UTF-8, and further bytes cannot make them valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

impl PartialText {
    /// Creates an empty text in `buffer`. The buffer is cleared and keeps its capacity.
    pub fn reusing(mut buffer: Vec<u8>) -> PartialText {
        buffer.clear();
        // An empty buffer is valid UTF-8.
        let text = String::from_utf8(buffer).unwrap_or_default();
        PartialText { text, ..PartialText::default() }
    }

    /// Returns how many bytes have been received.
    pub fn len(&self) -> usize {
        self.text.len() + usize::from(self.tail_len)
    }

    /// Returns the capacity of the buffer, in bytes.
    pub fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Makes room for `additional` bytes without doubling the buffer.
    pub fn reserve_exact(&mut self, additional: usize) {
        self.text.reserve_exact(additional);
    }

    /// Appends the next piece.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] as soon as no continuation could make the text valid.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.tail_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.push_to_tail(byte)?;
        }
        let (body, tail) = piece.split_at(piece.len() - cut_character(piece));
        self.text.push_str(whole(body)?);
        tail.iter().try_for_each(|byte| self.push_to_tail(*byte))
    }

    /// Appends one byte to the incomplete last character.
    fn push_to_tail(&mut self, byte: u8) -> Result<(), InvalidUtf8> {
        self.tail[usize::from(self.tail_len)] = byte;
        self.tail_len += 1;
        let tail = &self.tail[..usize::from(self.tail_len)];
        if is_incomplete(tail) {
            return Ok(());
        }
        self.text.push_str(whole(tail)?);
        self.tail_len = 0;
        Ok(())
    }

    /// Returns all bytes that have been received.
    #[cfg(feature = "handover")]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        [self.text.as_bytes(), &self.tail[..usize::from(self.tail_len)]].concat()
    }

    /// Returns whether there is at least one complete character.
    pub fn has_checked(&self) -> bool {
        !self.text.is_empty()
    }

    /// Takes the complete characters and continues in `buffer`.
    pub fn take_checked(&mut self, buffer: Vec<u8>) -> String {
        let next = PartialText::reusing(buffer);
        std::mem::replace(&mut self.text, next.text)
    }

    /// Returns whether the last character is complete.
    pub fn is_whole(&self) -> bool {
        self.tail_len == 0
    }

    /// Returns the whole text.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the last character is incomplete.
    pub fn finish(self) -> Result<String, InvalidUtf8> {
        if self.is_whole() { Ok(self.text) } else { Err(InvalidUtf8) }
    }

    /// Returns the buffer for reuse.
    pub fn into_buffer(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

/// Returns the number of bytes of an incomplete character at the end of `piece`.
fn cut_character(piece: &[u8]) -> usize {
    let from_end = piece.iter().rev().take(3).position(|byte| !(0x80..0xc0).contains(byte));
    let Some(length) = from_end.map(|position| position + 1) else { return 0 };
    if is_incomplete(&piece[piece.len() - length..]) { length } else { 0 }
}

/// Returns whether the first invalid sequence is only an incomplete character at the end.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Checks a complete text and returns it.
///
/// # Errors
///
/// [`InvalidUtf8`] if the bytes are not UTF-8.
#[inline(always)]
pub fn whole(bytes: &[u8]) -> Result<&str, InvalidUtf8> {
    basic::from_utf8(bytes).map_err(|_| InvalidUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(bytes: &[u8], size: usize) -> Result<String, InvalidUtf8> {
        let mut text = PartialText::default();
        for piece in bytes.chunks(size) {
            text.push(piece)?;
        }
        text.finish()
    }

    #[test]
    fn valid_text_survives_every_cut() {
        let text = "aé€😀\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff} κόσμε".repeat(9);
        let step = if cfg!(miri) { 13 } else { 1 };
        for size in (1..text.len()).step_by(step) {
            assert_eq!(in_pieces(text.as_bytes(), size).as_deref(), Ok(text.as_str()), "pieces of {size}");
        }
    }

    #[test]
    fn invalid_text_fails_at_the_first_invalid_byte() {
        // (bytes, how many of them can still become valid)
        let table: [(&[u8], usize); 12] = [
            (b"\x80", 0),
            (b"ab\xff", 2),
            (b"\xc0\x80", 0),
            (b"\xc3\x28", 1),
            (b"\xe0\x80\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xe2\x82\x28", 2),
            (b"\xf0\x80\x80\x80", 1),
            (b"\xf0\x9f\x98\x28", 3),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf5\x80\x80\x80", 0),
            ("κόσμε\u{10ffff}".as_bytes(), 14),
        ];
        for (bytes, good) in table {
            let mut text = PartialText::default();
            let failed_at = bytes.iter().position(|byte| text.push(&[*byte]).is_err());
            assert_eq!(failed_at.unwrap_or(bytes.len()), good, "{bytes:x?}");
            assert_eq!(whole(bytes).is_ok(), failed_at.is_none());
        }
    }

    #[test]
    fn text_must_not_end_inside_a_character() {
        assert_eq!(in_pieces(b"ab\xe2\x82", 2), Err(InvalidUtf8));
        assert_eq!(in_pieces(b"ab\xe2\x82\xac", 2).as_deref(), Ok("ab€"));
    }
}
