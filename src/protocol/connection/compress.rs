//! Compressed messages (RFC 7692).

use super::message::OwnedMessage;
use super::partial_message::{Finished, PartialMessage};
use super::rare::Rare;
use super::shared::Shared;
use super::{Connection, Modes};
use crate::protocol::deflate::{Agreed, Contexts};
use crate::protocol::wire::{Header, Opcode, ProtocolError};

impl<X: Default> Connection<X> {
    /// The compression that was agreed with the peer.
    pub fn agreed(&self) -> Agreed {
        if !self.modes.is_compressed() {
            return Agreed::NOTHING;
        }
        self.rare.as_ref().and_then(|rare| rare.agreed).unwrap_or(Agreed::USUAL)
    }

    /// Allows messages to be compressed from now on.
    pub(super) fn agree(&mut self, shared: &mut Shared, agreed: Agreed) {
        self.modes.set(Modes::COMPRESSED, agreed.is_compressed());
        if agreed.is_compressed() && agreed != Agreed::USUAL {
            self.rare().agreed = Some(agreed);
        }
        if let Some(contexts) = shared.compression.take_contexts(agreed) {
            self.rare().contexts = Some(Box::new(contexts));
            shared.review_budget();
        }
    }

    /// Gives the contexts back. No further message will be compressed or decompressed.
    pub(super) fn release_contexts(&mut self, shared: &mut Shared) {
        if let Some(contexts) = self.rare.as_mut().and_then(|rare| rare.contexts.take()) {
            shared.compression.give_contexts(*contexts);
        }
    }

    /// Whether RSV1 has a meaning in a frame: in the first frame of a message, it means that the
    /// message is compressed (§6).
    pub(super) fn may_have_rsv1(&self, header: &Header) -> bool {
        self.modes.is_compressed() && matches!(header.opcode, Opcode::Text | Opcode::Binary)
    }

    /// Decompresses a complete message.
    #[inline(never)]
    pub(super) fn inflate(
        &mut self,
        shared: &mut Shared,
        opcode: Opcode,
        compressed: &[u8],
    ) -> Result<OwnedMessage, ProtocolError> {
        let mut message = PartialMessage::new(opcode, shared.pools.buffers.take_or_new());
        let keeps = self.agreed().keeps_received();
        let contexts = contexts(&mut self.rare).filter(|_| keeps);
        let limits = &shared.limits;
        match shared.compression.inflate(contexts, compressed, |step| message.push_inflated(step, limits)) {
            Ok(()) => message.finish().and_then(Finished::into_plain),
            Err(error) => {
                shared.pools.buffers.give_or_free(message.into_buffer());
                Err(error)
            }
        }
    }

    /// Queues a message compressed, if the peer can decompress it and it becomes smaller. Returns
    /// `false` if it has to be queued as it is.
    #[inline]
    pub(super) fn queue_compressed(&mut self, shared: &mut Shared, opcode: Opcode, payload: &[u8]) -> bool {
        if !self.modes.is_compressed() || !shared.compression.is_worth(payload.len()) {
            return false;
        }
        match self.agreed().window_bits() {
            Some(bits) => self.compress(shared, bits, opcode, payload),
            None => false,
        }
    }

    #[inline(never)]
    fn compress(&mut self, shared: &mut Shared, window_bits: u8, opcode: Opcode, payload: &[u8]) -> bool {
        let mut compressed = shared.pools.compressed.take_or_new();
        let keeps = self.agreed().keeps_sent();
        let contexts = contexts(&mut self.rare).filter(|_| keeps);
        let is_smaller = shared.compression.deflate(contexts, window_bits, payload, &mut compressed);
        if is_smaller {
            self.queue_frame(shared, Header::compressed(opcode, compressed.len()), &compressed);
        }
        shared.pools.compressed.give_or_free(compressed);
        is_smaller
    }
}

/// The compression contexts of a connection, if messages refer to earlier ones.
pub(super) fn contexts<X>(rare: &mut Option<Box<Rare<X>>>) -> Option<&mut Contexts> {
    rare.as_mut()?.contexts.as_deref_mut()
}
