//! Owns compressors and decompressors and counts their memory.
//!
//! A message without context needs them only while it is compressed or decompressed. All
//! connections of a loop therefore share one [`Compression`], which creates them at first use. A
//! compressed message is first collected and then decompressed when it is complete. Other
//! connections can use the decompressor in the meantime.
//!
//! A connection with context takeover has its own [`Contexts`]. They are created at first use, but
//! they count against a budget as soon as both sides agree on them.

use super::codec::{AVAILABLE, Deflater, Inflater, STEP};
use super::extension::{Agreed, Deflate, MAX_WINDOW_BITS, MIN_WINDOW_BITS, Parameters, Takeover, judge_response};
use crate::protocol::wire::{ProtocolError, Role};

/// The number of window sizes in which we can compress.
pub(crate) const WINDOWS: usize = (MAX_WINDOW_BITS - MIN_WINDOW_BITS + 1) as usize;

/// The compressor and decompressor that all connections of a loop share.
#[derive(Debug, Default)]
pub(crate) struct Compression {
    /// `None` turns compression off.
    deflate: Option<Deflate>,
    inflater: Option<Inflater>,
    /// One for each window size. Usually only the last is used.
    deflaters: [Option<Deflater>; WINDOWS],
    /// The buffer that receives decompressed bytes, step by step.
    scratch: Vec<u8>,
    /// The size of all agreed contexts, in bytes.
    context_bytes: usize,
}

/// The compressor and decompressor of one connection with context takeover.
#[derive(Debug)]
pub(crate) struct Contexts {
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
    /// The bytes that are counted against the budget.
    bytes: usize,
}

impl Contexts {
    /// Returns the bytes that are counted against the budget.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the connection's decompressor, if it has been used.
    #[cfg(feature = "handover")]
    pub(crate) const fn used_inflater(&mut self) -> Option<&mut Inflater> {
        self.inflater.as_mut()
    }

    /// Returns the connection's decompressor. Creates it at first use.
    pub(crate) fn inflater(&mut self) -> &mut Inflater {
        self.inflater.get_or_insert_with(Inflater::new)
    }
}

/// Returns the most bytes that the contexts of an agreement can take.
fn cost(agreed: Agreed) -> usize {
    let sent = if agreed.keeps_sent() { agreed.window_bits().map_or(0, Deflater::memory) } else { 0 };
    let received = if agreed.keeps_received() { Inflater::MEMORY } else { 0 };
    sent + received
}

impl Compression {
    pub(crate) fn new(deflate: Option<Deflate>) -> Compression {
        Compression { deflate: deflate.filter(|_| AVAILABLE), ..Compression::default() }
    }

    /// Returns the memory of the shared compressors, decompressor and buffer, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let deflaters = self.deflaters.iter().zip(MIN_WINDOW_BITS..).filter(|(deflater, _)| deflater.is_some());
        let inflater = self.inflater.as_ref().map_or(0, |_| Inflater::MEMORY);
        deflaters.map(|(_, bits)| Deflater::memory(bits)).sum::<usize>() + inflater + self.scratch.capacity()
    }

    /// Returns the size of all agreed contexts, in bytes.
    pub(crate) const fn context_bytes(&self) -> usize {
        self.context_bytes
    }

    // ---- the opening handshake -----------------------------------------------------------------

    /// Returns a server's response to an offer. It allows context takeover if the contexts fit into
    /// the budget and into the `ample` bytes that are free.
    pub(crate) fn respond(&self, offer: Option<Parameters>, ample: usize) -> Option<(Parameters, Agreed)> {
        let (deflate, offer) = (self.deflate.as_ref().filter(|_| AVAILABLE)?, offer?);
        let respond = |takeover| {
            let response = deflate.respond(offer, takeover);
            (response, Agreed::new(Role::Server, response, deflate, takeover))
        };
        let (response, agreed) = respond(deflate.context_takeover);
        let has_room = self.has_room(deflate, cost(agreed), ample);
        Some(if has_room { (response, agreed) } else { respond(Takeover::Never) })
    }

    const fn has_room(&self, deflate: &Deflate, cost: usize, ample: usize) -> bool {
        cost <= ample && self.context_bytes + cost <= deflate.max_context_bytes
    }

    /// Returns a client's offer. It allows context takeover if the contexts fit into the budget and
    /// into the `ample` bytes that are free.
    pub(crate) fn offer(&self, ample: usize) -> Option<(Parameters, Takeover)> {
        let deflate = self.deflate.as_ref().filter(|_| AVAILABLE)?;
        let most = cost(Agreed::new(Role::Client, Parameters::default(), deflate, deflate.context_takeover));
        let has_room = self.has_room(deflate, most, ample);
        let takeover = if has_room { deflate.context_takeover } else { Takeover::Never };
        Some((deflate.offer(takeover), takeover))
    }

    /// Returns the agreement that a server's response to a client's offer makes.
    pub(crate) fn judge<'v>(
        &self,
        offer: Option<(Parameters, Takeover)>,
        values: impl Iterator<Item = &'v [u8]>,
    ) -> Result<Agreed, &'static str> {
        let response = judge_response(offer.map(|(offer, _)| offer), values)?;
        Ok(match (response, &self.deflate, offer) {
            (Some(response), Some(deflate), Some((_, takeover))) => {
                Agreed::new(Role::Client, response, deflate, takeover)
            }
            _ => Agreed::default(),
        })
    }

    /// Returns the contexts for an agreement, if it needs any. Pass them to
    /// [`give_contexts`](Self::give_contexts) at the end.
    pub(crate) fn take_contexts(&mut self, agreed: Agreed) -> Option<Contexts> {
        let bytes = cost(agreed);
        self.context_bytes += bytes;
        (bytes > 0).then_some(Contexts { inflater: None, deflater: None, bytes })
    }

    /// Frees the contexts of a connection.
    pub(crate) fn give_contexts(&mut self, contexts: Contexts) {
        self.context_bytes -= contexts.bytes;
    }

    // ---- messages ------------------------------------------------------------------------------

    /// Returns whether a message of this length should be compressed.
    pub(crate) fn is_worth(&self, length: usize) -> bool {
        self.deflate.as_ref().is_some_and(|deflate| length >= deflate.threshold)
    }

    /// Decompresses a whole message. `out` receives its bytes in steps. An error from `out` stops
    /// it.
    pub(crate) fn inflate(
        &mut self,
        contexts: Option<&mut Contexts>,
        compressed: &[u8],
        mut out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        if compressed.is_empty() {
            // An empty message should be a byte 0x00 (§7.2.3.6). No bytes at all are unambiguous as
            // well, and are accepted.
            return Ok(());
        }
        self.scratch.resize(STEP, 0);
        let scratch = &mut self.scratch[..];
        match contexts {
            Some(contexts) => {
                let inflater = contexts.inflater();
                inflater.push(compressed, scratch, &mut out)?;
                inflater.finish_and_keep(scratch, out)
            }
            None => {
                let inflater = self.inflater.get_or_insert_with(Inflater::new);
                let outcome = inflater.push(compressed, scratch, &mut out);
                if outcome.is_err() {
                    inflater.forget();
                }
                outcome.and_then(|()| inflater.finish_and_forget(scratch, out))
            }
        }
    }

    /// Returns a decompressor for one message that is decompressed as it arrives. Pass it to
    /// [`give_inflater`](Self::give_inflater) at the end.
    pub(crate) fn take_inflater(&mut self) -> Inflater {
        self.inflater.take().unwrap_or_default()
    }

    /// Takes back the decompressor of a message, so that other messages can use it.
    pub(crate) fn give_inflater(&mut self, inflater: Inflater) {
        self.inflater.get_or_insert(inflater);
    }

    /// Decompresses the next bytes of a message that is decompressed as it arrives.
    pub(crate) fn inflate_some(
        &mut self,
        inflater: &mut Inflater,
        compressed: &[u8],
        out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.scratch.resize(STEP, 0);
        inflater.push(compressed, &mut self.scratch, out)
    }

    /// Completes a message that is decompressed as it arrives. If `keep` is set, the next message
    /// may refer to it.
    pub(crate) fn inflate_end(
        &mut self,
        inflater: &mut Inflater,
        keep: bool,
        out: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.scratch.resize(STEP, 0);
        match keep {
            true => inflater.finish_and_keep(&mut self.scratch, out),
            false => inflater.finish_and_forget(&mut self.scratch, out),
        }
    }

    /// Appends a compressed message to `out`. Returns `false` if it should be sent uncompressed.
    pub(crate) fn deflate(
        &mut self,
        contexts: Option<&mut Contexts>,
        window_bits: u8,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let level = self.deflate.as_ref().map_or(0, |deflate| deflate.level);
        let new = || Deflater::new(level, window_bits);
        match contexts {
            Some(contexts) => contexts.deflater.get_or_insert_with(new).compress_smaller(message, out).is_ok(),
            None => {
                let place = usize::from(window_bits - MIN_WINDOW_BITS);
                let deflater = self.deflaters[place].get_or_insert_with(new);
                let outcome = deflater.compress_smaller(message, out);
                deflater.forget();
                outcome.is_ok()
            }
        }
    }
}
