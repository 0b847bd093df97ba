//! Compresses messages, and decompresses them in bounded steps (RFC 7692 §7.2).
//!
//! A message is compressed with deflate and flushed to a byte boundary, which leaves `00 00 ff ff`
//! at its end. These four bytes are not sent, and the receiver appends them again.
//!
//! A few bytes can expand to a gigabyte. So an [`Inflater`] returns its output in steps of at most
//! [`STEP`] bytes, and its caller decides when to stop.
//!
//! [`Inflater`] and [`Deflater`] do not depend on frames or connections. All connections can share
//! one of each, if [`forget`](Inflater::forget) is called between two messages. If they belong to
//! one connection, they can keep its context from message to message.

use crate::protocol::wire::ProtocolError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;

/// Whether messages can be compressed in this build.
pub(crate) const AVAILABLE: bool = true;

/// The size of the largest step of an [`Inflater`]'s output, in bytes.
pub const STEP: usize = 16 << 10;

/// The bytes that a sender removes from the end of a message and that a receiver appends.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block. It shows whether a stream ends between two blocks.
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// A stored block without content. It adds no output.
const EMPTY_BLOCK: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];

/// Decompresses messages.
pub struct Inflater {
    stream: Decompress,
    /// Whether a block of this message was marked as the last of its stream.
    saw_final_block: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// The position in the stream where a piece of compressed bytes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Inside a stream: more may follow.
    Open,
    /// Directly after the last block of a stream.
    OfStream,
}

impl Inflater {
    /// The memory that an inflater takes, in bytes.
    pub const MEMORY: usize = 47 << 10;

    /// Creates an inflater that reads messages compressed in any window.
    pub fn new() -> Inflater {
        // zlib-rs always allocates a window of 32 KiB, so a smaller one would save nothing.
        Inflater { stream: Decompress::new(false), saw_final_block: false }
    }

    /// Decompresses the next piece of a message. `out` receives the bytes in steps of at most the
    /// size of `scratch`, which must not be empty.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`], or the error that `out` returned. Decompression stops.
    /// [`forget`](Self::forget) makes the inflater usable again.
    pub fn push(
        &mut self,
        piece: &[u8],
        scratch: &mut [u8],
        out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.inflate(piece, scratch, out).map(|_| ())
    }

    /// Completes the message. The next one does not refer to it.
    ///
    /// # Errors
    ///
    /// The errors of [`push`](Self::push), in particular if the end of the message is missing.
    pub fn finish_and_forget(
        &mut self,
        scratch: &mut [u8],
        mut out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let outcome = self.inflate(&TAIL, scratch, &mut out).and_then(|_| {
            match self.inflate(&FINAL_BLOCK, scratch, |_| Err(ProtocolError::InvalidDeflate))? {
                End::OfStream => Ok(()),
                End::Open => Err(ProtocolError::InvalidDeflate),
            }
        });
        let outcome = self.forgive(outcome);
        self.forget();
        outcome
    }

    /// Completes the message. The next one may refer to it.
    ///
    /// # Errors
    ///
    /// The errors of [`push`](Self::push).
    pub fn finish_and_keep(
        &mut self,
        scratch: &mut [u8],
        mut out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let outcome = self
            .inflate(&TAIL, scratch, &mut out)
            .and_then(|_| self.inflate(&EMPTY_BLOCK, scratch, |_| Err(ProtocolError::InvalidDeflate)));
        match self.forgive(outcome.map(|_| ())) {
            Ok(()) if outcome.is_ok() => self.saw_final_block = false,
            Ok(()) => self.forget(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns how many bytes of earlier messages a message can refer to, or more.
    #[cfg(feature = "handover")]
    pub(super) fn remembered(&self) -> usize {
        usize::try_from(self.stream.total_out()).unwrap_or(usize::MAX)
    }

    /// Resets the inflater to its initial state.
    pub fn forget(&mut self) {
        self.stream.reset(false);
        self.saw_final_block = false;
    }

    /// Ignores invalid data after a final block. A sender must append an empty block after a final
    /// block before it removes the tail (RFC 7692 §7.2.1). Peers that end their stream with each
    /// message may omit it. zlib accepts their messages, because it does not read past the end of
    /// a stream.
    fn forgive(&self, outcome: Result<(), ProtocolError>) -> Result<(), ProtocolError> {
        match outcome {
            Err(ProtocolError::InvalidDeflate) if self.saw_final_block => Ok(()),
            outcome => outcome,
        }
    }

    fn inflate(
        &mut self,
        mut piece: &[u8],
        scratch: &mut [u8],
        mut out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<End, ProtocolError> {
        loop {
            let before = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(piece, scratch, FlushDecompress::Sync);
            let taken = (self.stream.total_in() - before.0) as usize;
            let made = (self.stream.total_out() - before.1) as usize;
            if made > 0 {
                out(&scratch[..made])?;
            }
            piece = &piece[taken..];
            match status.map_err(|_| ProtocolError::InvalidDeflate)? {
                Status::StreamEnd => {
                    // The bytes after a final block begin a new stream.
                    self.stream.reset(false);
                    self.saw_final_block = true;
                    if piece.is_empty() {
                        return Ok(End::OfStream);
                    }
                }
                // The output is complete only if there was room for more.
                Status::Ok | Status::BufError if piece.is_empty() && made < scratch.len() => return Ok(End::Open),
                Status::Ok | Status::BufError if taken == 0 && made == 0 => return Err(ProtocolError::InvalidDeflate),
                Status::Ok | Status::BufError => {}
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater::new()
    }
}

/// Compresses messages.
pub struct Deflater {
    stream: Compress,
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

/// An error: compression would not make the message smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSmaller;

impl Deflater {
    /// Returns the memory that a deflater takes, in bytes.
    pub const fn memory(window_bits: u8) -> usize {
        // Twice the window, its chains, the hash heads, the pending bytes and symbols.
        (4 << window_bits) + (128 << 10) + (64 << 10) + (48 << 10) + (8 << 10)
    }

    /// Creates a deflater. The level is 0 (no compression) or lies between 1 (fast) and 9 (small).
    /// The window has 2^`window_bits` bytes.
    ///
    /// # Panics
    ///
    /// Panics if `window_bits` does not lie between 9 and 15.
    pub fn new(level: u8, window_bits: u8) -> Deflater {
        let level = Compression::new(u32::from(level.min(9)));
        Deflater { stream: Compress::new_with_window_bits(level, false, window_bits) }
    }

    /// Appends a compressed message to `out` if it is smaller than the original.
    ///
    /// # Errors
    ///
    /// [`NotSmaller`] if it is not. `out` is then unchanged, and the message should be sent
    /// uncompressed. The context is forgotten, so that later messages do not refer to bytes that
    /// the peer never received.
    pub fn compress_smaller(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), NotSmaller> {
        let start = out.len();
        let outcome = self.compress_within(message, out, message.len().saturating_sub(1));
        if outcome.is_err() {
            out.truncate(start);
            self.forget();
        }
        outcome
    }

    /// Appends a compressed message to `out`, even if it is not smaller.
    pub fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) {
        // No message grows by more than an eighth and a few bytes.
        let limit = message.len() + message.len() / 4 + 64;
        self.compress_within(message, out, limit).expect("there is room for everything");
    }

    /// Forgets the context. Later messages do not refer to earlier ones.
    pub fn forget(&mut self) {
        self.stream.reset();
    }

    fn compress_within(&mut self, message: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), NotSmaller> {
        let start = out.len();
        if message.is_empty() {
            // "An endpoint uses a single octet 0x00": an empty stored block without its last four
            // bytes (§7.2.3.6).
            out.push(0);
            return if limit == 0 { Err(NotSmaller) } else { Ok(()) };
        }
        // One call must return all output. If zlib fills the buffer and is called again, it adds
        // another empty block.
        let most = limit + TAIL.len();
        out.resize(start + most + 1, 0);
        let before = self.stream.total_out();
        let outcome = self.stream.compress(message, &mut out[start..], FlushCompress::Sync);
        let made = (self.stream.total_out() - before) as usize;
        out.truncate(start + made);
        if outcome.is_err() || made > most || !out[start..].ends_with(&TAIL) {
            return Err(NotSmaller);
        }
        out.truncate(out.len() - TAIL.len());
        Ok(())
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
