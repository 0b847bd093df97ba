//! The inbox: what has arrived of something incomplete.
//!
//! A message that arrives whole in one read is never copied: the application borrows it from the
//! read buffer. Everything else (half a header, half a payload, a fragmented message, half a
//! request head) is kept in the connection's [`Inbox`], which exists only while something is
//! incomplete.

use super::message::{OwnedMessage, Position};
use super::partial_message::{Ends, PartialMessage};
use super::pools::Pools;
use crate::protocol::opening::Body;
use crate::protocol::time::Tick;
use crate::protocol::wire::{Header, MAX_HEADER, ProtocolError, mask};

/// What has arrived of something incomplete.
#[derive(Debug, Default)]
pub struct Inbox {
    /// A request or response head.
    pub(super) head: Vec<u8>,
    /// The body of a request.
    pub(super) body: Option<Box<Body>>,
    /// Bytes that wait until the application has answered or ends a pause.
    pub(super) held: Vec<u8>,
    /// A frame's header.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// A frame whose payload is still arriving.
    pub(super) frame: Option<PartialFrame>,
    /// The payload of a control frame.
    pub(super) control: Vec<u8>,
    /// A message that is still arriving.
    pub(super) message: Option<PartialMessage>,
    /// When the incomplete message began.
    pub(super) since: Tick,
    /// Bytes of memory that the budget has counted.
    pub(super) counted: usize,
}

/// A frame whose payload is still arriving.
#[derive(Clone, Copy, Debug)]
pub struct PartialFrame {
    /// Its masking key is rotated to the next byte.
    pub(super) header: Header,
    remaining: u64,
}

impl PartialFrame {
    /// A frame of which only the header has arrived.
    pub(super) const fn new(header: Header) -> PartialFrame {
        PartialFrame { header, remaining: header.length }
    }

    /// A frame of which `remaining` bytes are missing. `None` if it has not so many.
    #[cfg(feature = "handover")]
    pub(super) fn with_remaining(header: Header, remaining: u64) -> Option<PartialFrame> {
        (remaining <= header.length).then_some(PartialFrame { header, remaining })
    }

    /// Bytes of payload that are missing.
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
            && self.body.is_none()
            && self.held.is_empty()
            && self.header_len == 0
            && self.frame.is_none()
            && self.message.is_none()
    }

    /// Whether a frame or message is incomplete.
    pub(super) fn has_partial_message(&self) -> bool {
        self.header_len > 0 || self.frame.is_some() || self.message.is_some()
    }

    /// Bytes of memory that this inbox takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Inbox>()
            + self.head.capacity()
            + self.body.as_ref().map_or(0, |body| body.memory())
            + self.held.capacity()
            + self.control.capacity()
            + self.message.as_ref().map_or(0, PartialMessage::memory)
    }

    /// The bytes of a header that has arrived in part.
    #[cfg(feature = "handover")]
    pub(super) fn partial_header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    /// Drops everything but keeps the buffers. Returns the buffer of a message.
    pub(super) fn reset(&mut self) -> Option<Vec<u8>> {
        self.head.clear();
        self.body = None;
        self.held.clear();
        self.header_len = 0;
        self.frame = None;
        self.control.clear();
        self.message.take().map(PartialMessage::into_buffer)
    }

    /// Returns the message to which a data frame with this header belongs. Begins one if there is
    /// none.
    pub(super) fn message(&mut self, pools: &mut Pools, header: &Header, wants_pieces: bool) -> &mut PartialMessage {
        self.message.get_or_insert_with(|| match (header.rsv1, wants_pieces) {
            (true, _) => PartialMessage::compressed(header.opcode, pools.compressed.take_or_new()),
            (false, true) => PartialMessage::in_pieces(header.opcode, pools.buffers.take_or_new()),
            (false, false) => PartialMessage::new(header.opcode, pools.buffers.take_or_new()),
        })
    }

    /// Takes out the next piece of a message that is delivered in pieces, if something has arrived
    /// or the message ends.
    pub(super) fn take_piece(
        &mut self,
        pools: &mut Pools,
        ends: Ends,
    ) -> Result<Option<(OwnedMessage, Position)>, ProtocolError> {
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

    /// Decodes a header, whose earlier bytes may have been kept. Returns it with the number of
    /// `bytes` that belong to it, or `None` if these have been kept too.
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
