//! How do fragments become messages? (RFC 6455 §5.4)
//!
//! A message that arrives whole in one read is never copied: the application borrows it from the
//! read buffer. Everything else (half a header, half a payload, a fragmented message, half a
//! request head) is kept in the conversation's [`Inbox`], a box that exists only while something is
//! incomplete.

use super::message::{Gathered, Position};
use crate::protocol::deflate::Inflater;
use crate::protocol::limits::Limits;
use crate::protocol::time::Tick;
use crate::protocol::wire::utf8::PartialText;
use crate::protocol::wire::{Header, MAX_HEADER, Opcode, ProtocolError};

/// Whether a message ends with what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Here,
    Later,
}

/// What has arrived of something incomplete.
#[derive(Debug, Default)]
pub struct Inbox {
    /// A request or response head.
    pub(super) head: Vec<u8>,
    /// Bytes that were read but may not be handled yet.
    pub(super) held: Vec<u8>,
    /// A frame's header.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// A frame whose payload is still arriving.
    pub(super) frame: Option<PartialFrame>,
    /// The payload of a control frame.
    pub(super) control: Vec<u8>,
    /// A message of which fragments are still to come.
    pub(super) message: Option<PartialMessage>,
    /// When the incomplete message began.
    pub(super) since: Tick,
    /// Bytes of memory that the budget knows of.
    pub(super) counted: usize,
}

/// A frame whose payload is still arriving. `header.mask` is turned to the next byte.
#[derive(Clone, Copy, Debug)]
pub struct PartialFrame {
    pub(super) header: Header,
    pub(super) remaining: u64,
    /// Bytes of `remaining` that no trace has recorded.
    pub(super) untraced: u64,
}

impl Inbox {
    /// Whether nothing is incomplete.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty()
            && self.held.is_empty()
            && self.header_len == 0
            && self.frame.is_none()
            && self.message.is_none()
    }

    /// Whether a frame or message has begun and not ended.
    pub(super) fn has_partial_message(&self) -> bool {
        self.header_len > 0 || self.frame.is_some() || self.message.is_some()
    }

    /// Bytes of memory that this inbox takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Inbox>()
            + self.head.capacity()
            + self.held.capacity()
            + self.control.capacity()
            + self.message.as_ref().map_or(0, |message| message.payload.capacity() + message.decoder.memory())
    }

    /// Forgets everything but keeps its buffers; that of a message is handed out.
    pub(super) fn reset(&mut self) -> Option<Vec<u8>> {
        self.head.clear();
        self.held.clear();
        self.header_len = 0;
        self.frame = None;
        self.control.clear();
        self.message.take().map(PartialMessage::into_buffer)
    }

    /// Decodes a header of which earlier bytes may have been kept, and says how many of `bytes` it
    /// took. `None`: they have been kept too.
    pub(super) fn decode_header(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        let kept = usize::from(self.header_len);
        let end = (kept + bytes.len()).min(MAX_HEADER);
        self.header[kept..end].copy_from_slice(&bytes[..end - kept]);
        match Header::decode(&self.header[..end])? {
            Some((header, length)) => {
                self.header_len = 0;
                Ok(Some((header, length - kept)))
            }
            None => {
                self.header_len = end as u8;
                Ok(None)
            }
        }
    }
}

/// A message of which something is still to come.
#[derive(Debug)]
pub struct PartialMessage {
    payload: PartialPayload,
    /// Frames that have begun.
    fragments: u32,
    /// It is handed out as it arrives; decided when it began.
    pub(super) in_pieces: bool,
    /// Something of it has been handed out as a piece.
    is_handed_out: bool,
    pub(super) decoder: Decoder,
    /// The decoder has got some of it.
    pub(super) has_begun: bool,
}

/// What decompresses a message that is handed out as it arrives.
#[derive(Debug)]
pub(super) enum Decoder {
    /// Nothing: it is not compressed, or not handed out as it arrives.
    None,
    /// A decompressor of its own, until its end.
    Own(Inflater),
    /// That of the conversation, with the context of earlier messages.
    Context,
}

impl Decoder {
    const fn memory(&self) -> usize {
        match self {
            Decoder::None | Decoder::Context => 0,
            Decoder::Own(_) => Inflater::MEMORY,
        }
    }
}

#[derive(Debug)]
enum PartialPayload {
    Text(PartialText),
    Binary(Vec<u8>),
    /// Still compressed; the opcode says what it will be.
    Compressed(Opcode, Vec<u8>),
}

impl PartialPayload {
    fn len(&self) -> usize {
        match self {
            PartialPayload::Text(text) => text.len(),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            PartialPayload::Text(text) => text.capacity(),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => bytes.capacity(),
        }
    }
}

impl PartialMessage {
    /// A message that begins with a frame of this opcode and is put together in `buffer`.
    pub(super) fn new(opcode: Opcode, mut buffer: Vec<u8>) -> PartialMessage {
        let payload = if opcode == Opcode::Text {
            PartialPayload::Text(PartialText::reusing(buffer))
        } else {
            buffer.clear();
            PartialPayload::Binary(buffer)
        };
        PartialMessage {
            payload,
            fragments: 0,
            in_pieces: false,
            is_handed_out: false,
            decoder: Decoder::None,
            has_begun: false,
        }
    }

    /// A compressed message that begins with a frame of this opcode and is collected in `buffer`.
    pub(super) fn compressed(opcode: Opcode, mut buffer: Vec<u8>) -> PartialMessage {
        buffer.clear();
        let payload = PartialPayload::Compressed(opcode, buffer);
        PartialMessage {
            payload,
            fragments: 0,
            in_pieces: false,
            is_handed_out: false,
            decoder: Decoder::None,
            has_begun: false,
        }
    }

    /// A message that is handed out as it arrives, perhaps decompressed.
    pub(super) fn in_pieces(opcode: Opcode, buffer: Vec<u8>, decoder: Decoder) -> PartialMessage {
        PartialMessage { in_pieces: true, decoder, ..PartialMessage::new(opcode, buffer) }
    }

    /// Whether it is decompressed as it arrives.
    pub(super) const fn is_inflating(&self) -> bool {
        !matches!(self.decoder, Decoder::None)
    }

    /// Bytes that have arrived since the last piece.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// A further frame of `length` bytes begins.
    pub(super) fn begin_frame(&mut self, length: u64, limits: &Limits) -> Result<(), ProtocolError> {
        self.fragments = self.fragments.saturating_add(1);
        if self.fragments > limits.max_fragments {
            return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments });
        }
        match &self.payload {
            PartialPayload::Compressed(_, bytes) => check_compressed_length(bytes.len(), length, limits),
            payload => check_length(payload.len(), length, limits),
        }
    }

    /// Appends bytes that have come out of a decompressor, as long as the message is not too large
    /// with them.
    pub(super) fn push_inflated(&mut self, step: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
        check_length(self.payload.len(), step.len() as u64, limits)?;
        self.push(step, (limits.max_message - self.payload.len() - step.len()) as u64)
    }

    /// Appends unmasked payload, after which `remaining` bytes of the same frame are still to come.
    ///
    /// The buffer doubles as it fills, but never beyond what has been announced.
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
            PartialPayload::Text(text) => text.push(piece).map_err(|_| ProtocolError::InvalidUtf8),
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

    /// Hands out what has arrived since the last piece, and goes on in `buffer`.
    ///
    /// # Errors
    ///
    /// The message ends, but inside a character.
    pub(super) fn take_piece(
        &mut self,
        ends: Ends,
        mut buffer: Vec<u8>,
    ) -> Result<(Gathered, Position), ProtocolError> {
        let piece = match &mut self.payload {
            PartialPayload::Text(text) if ends == Ends::Here && !text.is_whole() => {
                return Err(ProtocolError::InvalidUtf8);
            }
            PartialPayload::Text(text) => Gathered::Text(text.take_checked(buffer)),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => {
                buffer.clear();
                Gathered::Binary(std::mem::replace(bytes, buffer))
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

    /// The message is complete.
    pub(super) fn finish(self) -> Result<Gathered, ProtocolError> {
        match self.payload {
            PartialPayload::Text(text) => match text.finish() {
                Ok(text) => Ok(Gathered::Text(text)),
                Err(_) => Err(ProtocolError::InvalidUtf8),
            },
            PartialPayload::Binary(bytes) => Ok(Gathered::Binary(bytes)),
            PartialPayload::Compressed(..) => Err(ProtocolError::InvalidDeflate),
        }
    }

    /// What is to be decompressed of a message that is complete, or the message, if nothing is.
    pub(super) fn into_compressed(self) -> Result<(Opcode, Vec<u8>), PartialMessage> {
        match self.payload {
            PartialPayload::Compressed(opcode, bytes) => Ok((opcode, bytes)),
            PartialPayload::Text(_) | PartialPayload::Binary(_) => Err(self),
        }
    }

    /// The buffer, for someone else to use.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        match self.payload {
            PartialPayload::Text(text) => text.into_buffer(),
            PartialPayload::Binary(bytes) | PartialPayload::Compressed(_, bytes) => bytes,
        }
    }
}

/// Whether `more` bytes may follow `length` bytes of a compressed message. What counts is how many
/// bytes come out; but deflate makes nothing larger by more than a few bytes in each block, so
/// nobody needs more of them than this.
pub(super) fn check_compressed_length(length: usize, more: u64, limits: &Limits) -> Result<(), ProtocolError> {
    let limit = limits.max_message;
    let most = limit.saturating_add(limit / 8).saturating_add(1 << 10);
    if (length as u64).saturating_add(more) > most as u64 {
        return Err(ProtocolError::MessageTooLarge { limit });
    }
    Ok(())
}

/// Whether `more` bytes may follow `length` bytes of a message.
pub(super) fn check_length(length: usize, more: u64, limits: &Limits) -> Result<(), ProtocolError> {
    let limit = limits.max_message;
    if (length as u64).saturating_add(more) > limit as u64 {
        return Err(ProtocolError::MessageTooLarge { limit });
    }
    Ok(())
}
