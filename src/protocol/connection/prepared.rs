//! A message for many receivers: encoded once, and compressed once for all that can share it.

use super::message::Message;
use super::outbox::{Outbox, SHARE_FROM};
use super::shared::Shared;
use super::shared_bytes::SharedBytes;
use super::trace::{Side, Trace};
use crate::protocol::deflate::{Agreed, MIN_WINDOW_BITS, WINDOWS};
use crate::protocol::wire::Header;
use std::cell::OnceCell;

/// A message for many receivers. It is encoded when the first of them needs it.
///
/// Receivers without context takeover share the frame that is compressed in the same window.
#[derive(Debug)]
pub struct Prepared<'m> {
    pub(super) message: Message<'m>,
    plain: OnceCell<Frame>,
    /// One for each window. It is `None` if the message does not become smaller.
    compressed: [OnceCell<Option<Frame>>; WINDOWS],
}

#[derive(Debug)]
pub(super) struct Frame {
    header: Header,
    encoded: Encoded,
}

/// When memory is short, frames are shared from this size on, in bytes: a place in the list of
/// shared frames takes as much.
const SHARE_SHORT_FROM: usize = 128;

#[derive(Debug)]
enum Encoded {
    /// Copied into each outbox, unless memory is short.
    Small(Vec<u8>, OnceCell<SharedBytes>),
    /// Exists once in memory for all receivers.
    Large(SharedBytes),
}

impl<'m> Prepared<'m> {
    /// Prepares a message to be sent with
    /// [`Connection::send_prepared`](super::Connection::send_prepared).
    pub fn new(message: Message<'m>) -> Prepared<'m> {
        Prepared { message, plain: OnceCell::new(), compressed: Default::default() }
    }

    /// The frame for a receiver without context takeover.
    pub(super) fn frame(&self, shared: &mut Shared, agreed: Agreed) -> &Frame {
        let payload = self.message.as_bytes();
        let bits = agreed.window_bits().filter(|_| shared.compression.is_worth(payload.len()));
        let compressed = bits.and_then(|bits| {
            let place = &self.compressed[usize::from(bits - MIN_WINDOW_BITS)];
            place.get_or_init(|| self.compress(shared, bits)).as_ref()
        });
        compressed.unwrap_or_else(|| {
            self.plain
                .get_or_init(|| Frame::new(shared, Header::unmasked(self.message.opcode(), payload.len()), payload))
        })
    }

    fn compress(&self, shared: &mut Shared, window_bits: u8) -> Option<Frame> {
        let mut compressed = shared.pools.compressed.take_or_new();
        let is_smaller = shared.compression.deflate(None, window_bits, self.message.as_bytes(), &mut compressed);
        let header = Header::compressed(self.message.opcode(), compressed.len());
        let frame = is_smaller.then(|| Frame::new(shared, header, &compressed));
        shared.pools.compressed.give_or_free(compressed);
        frame
    }
}

impl Frame {
    fn new(shared: &mut Shared, header: Header, payload: &[u8]) -> Frame {
        let mut frame = Vec::with_capacity(payload.len() + 10);
        header.encode(&mut frame);
        frame.extend_from_slice(payload);
        let encoded = if frame.len() < SHARE_FROM {
            Encoded::Small(frame, OnceCell::new())
        } else {
            Encoded::Large(shared.share(frame))
        };
        Frame { header, encoded }
    }

    /// Appends the frame to an outbox.
    #[inline]
    pub(super) fn append_to(&self, shared: &mut Shared, outbox: &mut Option<Box<Outbox>>) {
        #[cfg(not(lariat_plain))]
        if matches!(&self.encoded, Encoded::Small(frame, _) if super::fast::append_small(outbox, shared, frame)) {
            return;
        }
        self.copy_or_share(shared, outbox);
    }

    /// Appends a copy of the frame, or shares it if that takes less memory.
    pub(super) fn copy_or_share(&self, shared: &mut Shared, outbox: &mut Option<Box<Outbox>>) {
        match &self.encoded {
            Encoded::Small(frame, kept) if shared.is_near_budget() && frame.len() >= SHARE_SHORT_FROM => {
                let frame = kept.get_or_init(|| shared.share(frame.clone()));
                shared.outbox(outbox).append_shared(frame);
            }
            Encoded::Small(frame, _) => shared.outbox(outbox).own().extend_from_slice(frame),
            Encoded::Large(frame) => shared.outbox(outbox).append_shared(frame),
        }
    }

    pub(super) fn to_trace(&self) -> Trace {
        let bytes = match &self.encoded {
            Encoded::Small(frame, _) => &frame[..],
            Encoded::Large(frame) => frame,
        };
        let payload = bytes[bytes.len() - self.header.length as usize..].to_vec();
        Trace::Frame { side: Side::Us, header: self.header, payload }
    }
}
