//! Decompresses a message as it arrives, for applications that take messages in pieces.
//!
//! A piece has at most 64 KiB, for all sizes and compression ratios of a message. While the message
//! is arriving it has a decompressor (47 KiB), which counts against the memory budget: its own, or
//! with context takeover that of the connection.

use super::compress::contexts;
use super::inbox::PartialFrame;
use super::partial_message::{Decoder, Ends, PartialMessage};
use super::rare::Rare;
use super::shared::Shared;
use super::trace::{Side, Trace};
use super::{Connection, Event};
use crate::parts::PIECES;
use crate::protocol::time::Tick;
use crate::protocol::wire::{Header, Input, Opcode, ProtocolError};

/// A piece is delivered when it has this many bytes.
const LARGE_PIECE: usize = 16 << 10;

/// The number of bytes that are decompressed at a time. Each becomes at most 1,032 bytes: two bits
/// can mean 258.
const STEP: usize = 40;

/// A few bytes of the previous step, and the end of the message, can be added to them.
const _: () = assert!(LARGE_PIECE + (STEP + 5) * 1_032 < 64 << 10);

impl<X: Default> Connection<X> {
    /// Whether a frame belongs to a message that is decompressed as it arrives.
    pub(super) fn inflates(&self, header: &Header) -> bool {
        if !PIECES.is_used() || header.opcode.is_control() {
            return false;
        }
        let message = self.inbox.as_ref().and_then(|inbox| inbox.message.as_ref());
        message.map_or(header.rsv1 && self.modes.takes_pieces(), PartialMessage::is_inflating)
    }

    /// Decompresses the next bytes of a frame, until a piece is large enough or all have been
    /// handled.
    #[inline(never)]
    pub(super) fn inflate_piece<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
        mut frame: PartialFrame,
        is_first: bool,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let header = frame.header;
        if header.opcode != Opcode::Continuation && is_first {
            let buffer = shared.pools.buffers.take_or_new();
            shared.inbox(&mut self.inbox, now).message = Some(PartialMessage::inflating(header.opcode, buffer));
        }
        let keep = self.agreed().keeps_received();
        let mut recorded = Vec::new();
        let mut outcome = Ok(());
        while outcome.is_ok() && frame.remaining() > 0 && !input.is_empty() {
            let message = self.inbox.as_mut().and_then(|inbox| inbox.message.as_mut());
            let Some(message) = message.filter(|message| message.len() < LARGE_PIECE) else { break };
            let bytes = input.take(frame.remaining().min(STEP));
            if self.modes.is_traced() {
                recorded.extend_from_slice(bytes);
            }
            frame.unmask(bytes);
            outcome = inflate(message, &mut self.rare, shared, bytes, keep);
        }
        self.record(shared, || match is_first {
            true => Trace::Frame { side: Side::Peer, header, payload: recorded },
            false => Trace::Payload { payload: recorded },
        });
        outcome?;
        if frame.remaining() == 0 {
            return self.end_data_frame(shared, now, header.fin);
        }
        shared.inbox(&mut self.inbox, now).frame = Some(frame);
        self.hand_out(shared, now, Ends::Later)
    }

    /// Decompresses the end of a message whose last frame has arrived, if the message is
    /// decompressed as it arrives.
    pub(super) fn finish_inflating(&mut self, shared: &mut Shared) -> Result<(), ProtocolError> {
        if !PIECES.is_used() {
            return Ok(());
        }
        let message = self.inbox.as_mut().and_then(|inbox| inbox.message.as_mut());
        let Some(message) = message else { return Ok(()) };
        match std::mem::take(&mut message.decoder) {
            // An empty message is a byte 0x00 (§7.2.3.6), but nobody can misunderstand one without.
            Decoder::None | Decoder::Later => Ok(()),
            Decoder::Own(mut inflater) => {
                shared.compression.inflate_end(&mut inflater, false, |bytes| message.push_inflated_piece(bytes))?;
                shared.compression.give_inflater(inflater);
                Ok(())
            }
            Decoder::Context => {
                let inflater = contexts(&mut self.rare).ok_or(ProtocolError::InvalidDeflate)?.inflater();
                shared.compression.inflate_end(inflater, true, |bytes| message.push_inflated_piece(bytes))
            }
        }
    }
}

/// Decompresses the next bytes of a message. `keep`: the next message may refer to it.
fn inflate<X>(
    message: &mut PartialMessage,
    rare: &mut Option<Box<Rare<X>>>,
    shared: &mut Shared,
    bytes: &[u8],
    keep: bool,
) -> Result<(), ProtocolError> {
    let mut decoder = std::mem::take(&mut message.decoder);
    if matches!(decoder, Decoder::Later) {
        decoder = if keep { Decoder::Context } else { Decoder::Own(shared.compression.take_inflater()) };
    }
    let inflater = match &mut decoder {
        Decoder::Own(inflater) => inflater,
        Decoder::None | Decoder::Later | Decoder::Context => {
            contexts(rare).ok_or(ProtocolError::InvalidDeflate)?.inflater()
        }
    };
    let outcome = shared.compression.inflate_some(inflater, bytes, |bytes| message.push_inflated_piece(bytes));
    message.decoder = decoder;
    outcome
}

impl PartialMessage {
    /// Appends decompressed bytes. The buffer may grow beyond a large piece.
    fn push_inflated_piece(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.push(bytes, LARGE_PIECE as u64)
    }
}
