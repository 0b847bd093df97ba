//! A message that is still arriving (RFC 6455 §5.4).

use super::message::{OwnedMessage, Position};
use crate::protocol::deflate::Inflater;
use crate::protocol::limits::Limits;
use crate::protocol::wire::utf8::PartialText;
use crate::protocol::wire::{Opcode, ProtocolError};

/// Whether a message ends with what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Here,
    Later,
}

/// A message that is still arriving.
#[derive(Debug)]
pub struct PartialMessage {
    pub(super) payload: PartialPayload,
    /// Frames that have begun.
    pub(super) fragments: u32,
    /// It is delivered in pieces. Decided when it began.
    pub(super) in_pieces: bool,
    /// A piece of it has been delivered.
    pub(super) is_handed_out: bool,
    /// The decompressor, if it is decompressed as it arrives.
    pub(super) decoder: Decoder,
}

/// The decompressor of a message that is delivered in pieces.
#[derive(Debug, Default)]
pub(super) enum Decoder {
    /// The message is not decompressed as it arrives.
    #[default]
    None,
    /// It will be chosen when the first bytes arrive.
    Later,
    /// A decompressor for this message alone.
    Own(Inflater),
    /// The decompressor of the connection, which remembers earlier messages.
    Context,
}

impl Decoder {
    const fn memory(&self) -> usize {
        match self {
            Decoder::Own(_) => Inflater::MEMORY,
            Decoder::None | Decoder::Later | Decoder::Context => 0,
        }
    }
}

#[derive(Debug)]
pub(super) enum PartialPayload {
    Text(PartialText),
    Binary(Vec<u8>),
    /// A compressed message, with the opcode of its first frame.
    Compressed(Opcode, Vec<u8>),
}

impl PartialPayload {
    fn len(&self) -> usize {
        match self {
            PartialPayload::Text(text) => text.len(),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => bytes.len(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match self {
            PartialPayload::Text(text) => text.capacity(),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => bytes.capacity(),
        }
    }
}

/// A complete message.
pub(super) enum Finished {
    /// A message to deliver.
    Plain(OwnedMessage),
    /// A message to decompress: its opcode and its payload as it arrived.
    Compressed(Opcode, Vec<u8>),
}

impl Finished {
    /// Returns the message of a decompressor's output, which is never compressed itself.
    pub(super) fn into_plain(self) -> Result<OwnedMessage, ProtocolError> {
        match self {
            Finished::Plain(message) => Ok(message),
            Finished::Compressed(..) => Err(ProtocolError::InvalidDeflate),
        }
    }
}

impl PartialMessage {
    /// A message that begins with a frame of this opcode. It is collected in `buffer`.
    pub(super) fn new(opcode: Opcode, mut buffer: Vec<u8>) -> PartialMessage {
        let payload = if opcode == Opcode::Text {
            PartialPayload::Text(PartialText::reusing(buffer))
        } else {
            buffer.clear();
            PartialPayload::Binary(buffer)
        };
        PartialMessage::of(payload)
    }

    /// A compressed message that begins with a frame of this opcode. It is collected in `buffer`.
    pub(super) fn compressed(opcode: Opcode, mut buffer: Vec<u8>) -> PartialMessage {
        buffer.clear();
        PartialMessage::of(PartialPayload::Compressed(opcode, buffer))
    }

    const fn of(payload: PartialPayload) -> PartialMessage {
        PartialMessage { payload, fragments: 0, in_pieces: false, is_handed_out: false, decoder: Decoder::None }
    }

    /// A message that is delivered in pieces.
    pub(super) fn in_pieces(opcode: Opcode, buffer: Vec<u8>) -> PartialMessage {
        PartialMessage { in_pieces: true, ..PartialMessage::new(opcode, buffer) }
    }

    /// A compressed message that is decompressed and delivered in pieces.
    pub(super) fn inflating(opcode: Opcode, buffer: Vec<u8>) -> PartialMessage {
        PartialMessage { decoder: Decoder::Later, ..PartialMessage::in_pieces(opcode, buffer) }
    }

    /// Whether it is decompressed as it arrives.
    pub(super) const fn is_inflating(&self) -> bool {
        !matches!(self.decoder, Decoder::None)
    }

    /// Bytes since the last piece, after decompression.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// Bytes of memory of its buffer and its decompressor.
    pub(super) fn memory(&self) -> usize {
        self.payload.capacity() + self.decoder.memory()
    }

    /// Checks that a further frame of `length` bytes may come.
    pub(super) fn check_frame(&self, length: u64, limits: &Limits) -> Result<(), ProtocolError> {
        if self.in_pieces {
            return Ok(());
        }
        if self.fragments >= limits.max_fragments {
            return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments });
        }
        match &self.payload {
            PartialPayload::Compressed(_, bytes) => check_compressed_length(bytes.len(), length, limits),
            payload => check_length(payload.len(), length, limits),
        }
    }

    /// Appends decompressed bytes.
    ///
    /// # Errors
    ///
    /// The message would be too large, or is not UTF-8.
    pub(super) fn push_inflated(&mut self, step: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
        check_length(self.payload.len(), step.len() as u64, limits)?;
        self.push(step, (limits.max_message - self.payload.len() - step.len()) as u64)
    }

    /// Appends unmasked payload, after which `remaining` bytes of the same frame are missing.
    ///
    /// The buffer doubles as it fills, but never grows beyond the announced length.
    pub(super) fn push(&mut self, piece: &[u8], remaining: u64) -> Result<(), ProtocolError> {
        let (length, capacity) = (self.payload.len(), self.payload.capacity());
        let needed = length + piece.len();
        if needed > capacity {
            let announced = needed.saturating_add(usize::try_from(remaining).unwrap_or(usize::MAX));
            let target = announced.min(2 * needed);
            match &mut self.payload {
                PartialPayload::Text(text) => text.reserve_exact(target - length),
                PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => {
                    bytes.reserve_exact(target - length);
                }
            }
        }
        match &mut self.payload {
            PartialPayload::Text(text) => Ok(text.push(piece)?),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// Whether something has arrived since the last piece.
    pub(super) fn has_piece(&self) -> bool {
        match &self.payload {
            PartialPayload::Text(text) => text.has_checked(),
            PartialPayload::Binary(bytes) => !bytes.is_empty(),
            PartialPayload::Compressed(..) => false,
        }
    }

    /// Takes out what has arrived since the last piece, and continues in `buffer`.
    ///
    /// # Errors
    ///
    /// The message ends inside a character.
    pub(super) fn take_piece(
        &mut self,
        ends: Ends,
        mut buffer: Vec<u8>,
    ) -> Result<(OwnedMessage, Position), ProtocolError> {
        let piece = match &mut self.payload {
            PartialPayload::Text(text) if ends == Ends::Here && !text.is_whole() => {
                return Err(ProtocolError::InvalidUtf8);
            }
            PartialPayload::Text(text) => OwnedMessage::Text(text.take_checked(buffer)),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => {
                buffer.clear();
                OwnedMessage::Binary(std::mem::replace(bytes, buffer))
            }
        };
        let position = match (std::mem::replace(&mut self.is_handed_out, true), ends) {
            (false, Ends::Here) => Position::Whole,
            (false, Ends::Later) => Position::First,
            (true, Ends::Later) => Position::Middle,
            (true, Ends::Here) => Position::Last,
        };
        Ok((piece, position))
    }

    /// Returns the complete message.
    pub(super) fn finish(self) -> Result<Finished, ProtocolError> {
        Ok(match self.payload {
            PartialPayload::Text(text) => Finished::Plain(OwnedMessage::Text(text.finish()?)),
            PartialPayload::Binary(bytes) => Finished::Plain(OwnedMessage::Binary(bytes)),
            PartialPayload::Compressed(opcode, bytes) => Finished::Compressed(opcode, bytes),
        })
    }

    /// Returns the buffer, for reuse.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        match self.payload {
            PartialPayload::Text(text) => text.into_buffer(),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => bytes,
        }
    }
}

/// Checks that `more` bytes may follow `length` bytes of a compressed message. The limit is for the
/// decompressed message. But deflate makes data larger by at most a few bytes in each block, so no
/// message within the limit needs more compressed bytes than this.
pub(super) fn check_compressed_length(length: usize, more: u64, limits: &Limits) -> Result<(), ProtocolError> {
    let limit = limits.max_message;
    let most = limit.saturating_add(limit / 8).saturating_add(1 << 10);
    if (length as u64).saturating_add(more) > most as u64 {
        return Err(ProtocolError::MessageTooLarge { limit });
    }
    Ok(())
}

/// Checks that `more` bytes may follow `length` bytes of a message.
pub(super) fn check_length(length: usize, more: u64, limits: &Limits) -> Result<(), ProtocolError> {
    let limit = limits.max_message;
    if (length as u64).saturating_add(more) > limit as u64 {
        return Err(ProtocolError::MessageTooLarge { limit });
    }
    Ok(())
}
