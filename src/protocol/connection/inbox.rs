//! How do fragments become messages? (RFC 6455 §5.4)
//!
//! A message that arrives whole in one read is never copied: the application borrows it from the
//! read buffer. Everything else (half a header, half a payload, a fragmented message, half a
//! request head) is kept in the conversation's [`Inbox`], a box that exists only while something is
//! incomplete.

use super::message::{Gathered, Position};
use super::pools::Pools;
use crate::protocol::deflate::Inflater;
use crate::protocol::limits::Limits;
use crate::protocol::time::Tick;
use crate::protocol::wire::utf8::PartialText;
use crate::protocol::wire::{Header, MAX_HEADER, Opcode, ProtocolError, mask};

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

/// A frame whose payload is still arriving.
#[derive(Clone, Copy, Debug)]
pub struct PartialFrame {
    /// Its masking key is turned to the next byte.
    pub(super) header: Header,
    remaining: u64,
}

impl PartialFrame {
    /// A frame of which only the header has arrived.
    pub(super) const fn new(header: Header) -> PartialFrame {
        PartialFrame { header, remaining: header.length }
    }

    /// Bytes of payload that are still to come.
    pub(super) fn remaining(&self) -> usize {
        usize::try_from(self.remaining).unwrap_or(usize::MAX)
    }

    /// Unmasks the next piece of the payload.
    pub(super) fn unmask(&mut self, piece: &mut [u8]) {
        if let Some(key) = &mut self.header.mask {
            *key = mask::apply(*key, piece);
        }
        self.remaining -= piece.len() as u64;
    }
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

    /// The message to which a data frame with this header belongs. Begins one if there is none.
    pub(super) fn message(&mut self, pools: &mut Pools, header: &Header, wants_pieces: bool) -> &mut PartialMessage {
        self.message.get_or_insert_with(|| match (header.rsv1, wants_pieces) {
            (true, _) => PartialMessage::compressed(header.opcode, pools.compressed.take_or_new()),
            (false, true) => PartialMessage::in_pieces(header.opcode, pools.buffers.take_or_new()),
            (false, false) => PartialMessage::new(header.opcode, pools.buffers.take_or_new()),
        })
    }

    /// Takes out what has arrived of a message that is handed out in pieces since the last piece,
    /// if anything has or the message ends.
    pub(super) fn take_piece(
        &mut self,
        pools: &mut Pools,
        ends: Ends,
    ) -> Result<Option<(Gathered, Position)>, ProtocolError> {
        let Some(message) = self.message.as_mut().filter(|message| message.in_pieces) else { return Ok(None) };
        if ends == Ends::Later && !message.has_piece() {
            return Ok(None);
        }
        let piece = message.take_piece(ends, pools.buffers.take_or_new())?;
        if ends == Ends::Here {
            if let Some(message) = self.message.take() {
                pools.buffers.give_or_free(message.into_buffer());
            }
        }
        Ok(Some(piece))
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
    pub(super) fragments: u32,
    /// It is handed out as it arrives; decided when it began.
    pub(super) in_pieces: bool,
    /// Something of it has been handed out as a piece.
    is_handed_out: bool,
    /// What decompresses it as it arrives, if it is handed out so.
    pub(super) decoder: Decoder,
}

/// What decompresses a message as it arrives.
#[derive(Debug, Default)]
pub(super) enum Decoder {
    /// Nothing does.
    #[default]
    None,
    /// Something will, when there are bytes.
    Later,
    /// A decompressor that others can use when the message has ended.
    Own(Inflater),
    /// That of the conversation, which remembers earlier messages.
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
        PartialMessage::of(payload)
    }

    /// A compressed message that begins with a frame of this opcode and is collected in `buffer`.
    pub(super) fn compressed(opcode: Opcode, mut buffer: Vec<u8>) -> PartialMessage {
        buffer.clear();
        PartialMessage::of(PartialPayload::Compressed(opcode, buffer))
    }

    const fn of(payload: PartialPayload) -> PartialMessage {
        PartialMessage { payload, fragments: 0, in_pieces: false, is_handed_out: false, decoder: Decoder::None }
    }

    /// A message that is handed out as it arrives.
    pub(super) fn in_pieces(opcode: Opcode, buffer: Vec<u8>) -> PartialMessage {
        PartialMessage { in_pieces: true, ..PartialMessage::new(opcode, buffer) }
    }

    /// A compressed message that is decompressed and handed out as it arrives.
    pub(super) fn inflating(opcode: Opcode, buffer: Vec<u8>) -> PartialMessage {
        PartialMessage { decoder: Decoder::Later, ..PartialMessage::in_pieces(opcode, buffer) }
    }

    /// Whether it is decompressed as it arrives.
    pub(super) const fn is_inflating(&self) -> bool {
        !matches!(self.decoder, Decoder::None)
    }

    /// Bytes that have come out since the last piece.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
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
            PartialPayload::Text(text) => Ok(Gathered::Text(text.finish()?)),
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
