//! Messages that travel compressed (RFC 7692).

use super::inbox::{Decoder, Ends, PartialFrame, PartialMessage};
use super::message::Gathered;
use super::rare::Rare;
use super::shared::Shared;
use super::{Connection, Event, Modes};
use crate::parts::PIECES;
use crate::protocol::deflate::{Agreed, Contexts};
use crate::protocol::time::Tick;
use crate::protocol::wire::{Header, Input, Opcode, ProtocolError, mask};

/// A piece of a compressed message is handed out when so many bytes of it have come out.
const LARGE_PIECE: usize = 16 << 10;

/// How many bytes of a message that is handed out as it arrives are decompressed at a time. Each
/// becomes 1,032 at most (two bits can mean 258 bytes), so that no piece is larger than 64 KiB.
const INFLATED_AT_A_TIME: usize = 40;

const _: () = assert!(LARGE_PIECE + (INFLATED_AT_A_TIME + 5) * 1_032 < 64 << 10);

impl<X: Default> Connection<X> {
    /// What has been agreed on with the peer.
    pub fn agreed(&self) -> Agreed {
        if !self.modes.is_compressed() {
            return Agreed::NOTHING;
        }
        self.rare.as_ref().and_then(|rare| rare.agreed).unwrap_or(Agreed::USUAL)
    }

    /// From now on, messages may travel compressed.
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

    /// No further message will be compressed, or decompressed.
    pub(super) fn release_contexts(&mut self, shared: &mut Shared) {
        if let Some(contexts) = self.rare.as_mut().and_then(|rare| rare.contexts.take()) {
            shared.compression.give_contexts(*contexts);
        }
    }

    /// Whether RSV1 has a meaning in a frame: "this message is compressed", in its first (§6).
    pub(super) fn may_have_rsv1(&self, header: &Header) -> bool {
        self.modes.is_compressed() && matches!(header.opcode, Opcode::Text | Opcode::Binary)
    }

    /// Decompresses a message that has arrived.
    #[inline(never)]
    pub(super) fn inflate(
        &mut self,
        shared: &mut Shared,
        opcode: Opcode,
        compressed: &[u8],
    ) -> Result<Gathered, ProtocolError> {
        let mut message = PartialMessage::new(opcode, shared.take_buffer());
        let keeps = self.agreed().keeps_received();
        let contexts = contexts(&mut self.rare).filter(|_| keeps);
        let limits = &shared.limits;
        match shared.compression.inflate(contexts, compressed, |step| message.push_inflated(step, limits)) {
            Ok(()) => message.finish(),
            Err(error) => {
                shared.give_buffer(message.into_buffer());
                Err(error)
            }
        }
    }

    // ---- a message that is handed out as it arrives ----------------------------------------------

    /// Whether a frame belongs to a message that is decompressed as it arrives, or begins one.
    pub(super) fn inflates(&self, header: &Header) -> bool {
        match header.opcode {
            _ if !PIECES.is_used() => false,
            Opcode::Text | Opcode::Binary if header.rsv1 => {
                // Its first frame: the message may have begun before pieces were asked for.
                let message = self.inbox.as_ref().and_then(|inbox| inbox.message.as_ref());
                message.map_or(self.modes.takes_pieces(), PartialMessage::is_inflating)
            }
            Opcode::Continuation => {
                let message = self.inbox.as_ref().and_then(|inbox| inbox.message.as_ref());
                message.is_some_and(PartialMessage::is_inflating)
            }
            Opcode::Text | Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => false,
        }
    }

    /// What will decompress a message that begins.
    pub(super) fn decoder(&mut self, shared: &mut Shared) -> Decoder {
        let keeps = self.agreed().keeps_received();
        match contexts(&mut self.rare).filter(|_| keeps) {
            Some(_) => Decoder::Context,
            None => Decoder::Own(shared.compression.take_inflater()),
        }
    }

    /// Decompresses the next bytes of a frame, until a piece is large enough or nothing is left.
    #[inline(never)]
    pub(super) fn inflate_piece<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
        mut frame: PartialFrame,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        while frame.remaining > 0 && !input.is_empty() {
            let Some(message) = self.inbox.as_mut().and_then(|inbox| inbox.message.as_mut()) else { return Ok(None) };
            if message.len() >= LARGE_PIECE {
                break;
            }
            let bytes = input.take(INFLATED_AT_A_TIME.min(usize::try_from(frame.remaining).unwrap_or(usize::MAX)));
            if let Some(key) = &mut frame.header.mask {
                *key = mask::apply(*key, bytes);
            }
            frame.remaining -= bytes.len() as u64;
            inflate_more(message, &mut self.rare, shared, Some(bytes))?;
        }
        if frame.remaining == 0 {
            return self.end_data_frame(shared, now, &frame.header);
        }
        if let Some(inbox) = &mut self.inbox {
            inbox.frame = Some(frame);
        }
        self.hand_out(shared, now, Ends::Later)
    }

    /// A message that is decompressed as it arrives has arrived: its last bytes come out.
    pub(super) fn finish_inflating(&mut self, shared: &mut Shared) -> Result<(), ProtocolError> {
        if !PIECES.is_used() {
            return Ok(());
        }
        let message = self.inbox.as_mut().and_then(|inbox| inbox.message.as_mut());
        let Some(message) = message.filter(|message| message.is_inflating()) else { return Ok(()) };
        inflate_more(message, &mut self.rare, shared, None)?;
        if let Decoder::Own(inflater) = std::mem::replace(&mut message.decoder, Decoder::None) {
            shared.compression.give_inflater(inflater);
        }
        Ok(())
    }

    /// Queues a message compressed, if the peer understands that and it is worth it. `false`: it is
    /// to be queued as it is.
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
        let mut compressed = shared.take_compressed();
        let keeps = self.agreed().keeps_sent();
        let contexts = contexts(&mut self.rare).filter(|_| keeps);
        let is_smaller = shared.compression.deflate(contexts, window_bits, payload, &mut compressed);
        if is_smaller {
            self.queue_frame(shared, Header::compressed(opcode, compressed.len()), &compressed);
        }
        shared.give_compressed(compressed);
        is_smaller
    }
}

fn contexts<X>(rare: &mut Option<Box<Rare<X>>>) -> Option<&mut Contexts> {
    rare.as_mut()?.contexts.as_deref_mut()
}

/// Decompresses some bytes of a message that is handed out as it arrives; `None`: its end.
fn inflate_more<X>(
    message: &mut PartialMessage,
    rare: &mut Option<Box<Rare<X>>>,
    shared: &mut Shared,
    bytes: Option<&[u8]>,
) -> Result<(), ProtocolError> {
    let mut decoder = std::mem::replace(&mut message.decoder, Decoder::None);
    let keep = matches!(decoder, Decoder::Context);
    let inflater = match &mut decoder {
        Decoder::Own(inflater) => Some(inflater),
        Decoder::Context => contexts(rare).map(Contexts::inflater),
        Decoder::None => None,
    };
    let outcome = match (inflater, bytes) {
        (Some(inflater), Some(bytes)) => {
            shared.compression.inflate_some(inflater, bytes, |step| message.push(step, LARGE_PIECE as u64))
        }
        (Some(inflater), None) if message.has_begun => {
            shared.compression.inflate_end(inflater, keep, |step| message.push(step, LARGE_PIECE as u64))
        }
        // An empty message is a byte 0x00 (§7.2.3.6), but nobody can misunderstand this one.
        (Some(_), None) => Ok(()),
        (None, _) => Err(ProtocolError::InvalidDeflate),
    };
    message.has_begun |= bytes.is_some();
    message.decoder = decoder;
    outcome
}
