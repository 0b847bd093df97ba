//! Compresses messages, and decompresses them in bounded steps (RFC 7692 §7.2).
//!
//! A message is compressed with deflate and flushed to a byte boundary, which leaves `00 00 ff ff`
//! at its end. These four bytes are not sent, and the receiver appends them again.
//!
//! A few bytes can become a gigabyte. So an [`Inflater`] returns its output in steps of at most
//! [`STEP`] bytes, and its caller decides when to stop.
//!
//! Both know nothing of frames and connections. With [`forget`](Inflater::forget) between two
//! messages, one of each serves all connections. Used by one connection alone, they keep its
//! context from message to message.

use crate::protocol::wire::ProtocolError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;

/// Whether messages can be compressed in this build.
pub(crate) const AVAILABLE: bool = true;

/// The most bytes that come out of an [`Inflater`] at a time.
pub const STEP: usize = 16 << 10;

/// What a sender removes from a message's end, and a receiver appends.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block. It shows whether a stream ends between two blocks.
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// A stored block without content, which changes nothing.
const EMPTY_BLOCK: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];

/// Decompresses messages.
pub struct Inflater {
    stream: Decompress,
    /// A block of this message was marked as its stream's last.
    saw_final_block: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// Where a piece of compressed bytes has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may follow.
    Open,
    /// Right behind the last block of a stream.
    OfStream,
}

impl Inflater {
    /// Bytes of memory that one takes.
    pub const MEMORY: usize = 47 << 10;

    /// Reads what was compressed in any window.
    pub fn new() -> Inflater {
        // zlib-rs always allocates a window of 32 KiB, so a smaller one would save nothing.
        Inflater { stream: Decompress::new(false), saw_final_block: false }
    }

    /// Decompresses the next piece of a message. `out` gets the bytes, in steps as large as
    /// `scratch`, which must not be empty.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`], or what `out` returned: then nothing more is made. The
    /// inflater is of use again after [`forget`](Self::forget).
    pub fn push(
        &mut self,
        piece: &[u8],
        scratch: &mut [u8],
        out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.inflate(piece, scratch, out).map(|_| ())
    }

    /// The message is complete, and the next one does not refer to it.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); in particular if the message has lost its end.
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

    /// The message is complete, and the next one may refer to it.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
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

    /// Begins anew, as if nothing had been received.
    pub fn forget(&mut self) {
        self.stream.reset(false);
        self.saw_final_block = false;
    }

    /// Behind a final block, an empty one must follow before the tail is removed (RFC 7692 §7.2.1).
    /// Peers that end their stream with each message may forget it; a zlib whose stream has
    /// ended does not look at what follows, and takes their messages.
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
                    // What follows a final block is a stream of its own.
                    self.stream.reset(false);
                    self.saw_final_block = true;
                    if piece.is_empty() {
                        return Ok(End::OfStream);
                    }
                }
                // All has come out only when there was room for more.
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

/// A message would not have become smaller by compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSmaller;

impl Deflater {
    /// Bytes of memory that one takes.
    pub const fn memory(window_bits: u8) -> usize {
        // Twice the window, its chains, the hash heads, the pending bytes and symbols.
        (4 << window_bits) + (128 << 10) + (64 << 10) + (48 << 10) + (8 << 10)
    }

    /// Compresses with a level from 0 (not at all) over 1 (fast) to 9 (small), referring back at
    /// most `window_bits`.
    ///
    /// # Panics
    ///
    /// If `window_bits` does not lie between 9 and 15.
    pub fn new(level: u8, window_bits: u8) -> Deflater {
        let level = Compression::new(u32::from(level.min(9)));
        Deflater { stream: Compress::new_with_window_bits(level, false, window_bits) }
    }

    /// Appends a message, compressed, to `out`, if that makes it smaller.
    ///
    /// # Errors
    ///
    /// [`NotSmaller`]: `out` is as before, the message should go out as it is, and the context is
    /// forgotten, so that what follows does not refer to what the peer does not have.
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
        // Nothing becomes larger by more than an eighth and a few bytes.
        let limit = message.len() + message.len() / 4 + 64;
        self.compress_within(message, out, limit).expect("there is room for everything");
    }

    /// Begins anew: what follows does not refer to what came before.
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
        // All comes out at once: who calls zlib again because nothing was left of the room gets
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
