//! What do all conversations of a loop share?
//!
//! Their limits, and buffers: a conversation takes one when it needs it and gives it back when it is idle, so
//! that thousands of connections that speak in turn need the memory of the few that speak now.

use super::compression::Compression;
use super::extension::Deflate;
use super::limits::Limits;
use super::mask;
use super::message::{Gathered, Inbox};
use super::outbox::Outbox;
use super::trace::Trace;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes of spare buffers that are kept of each kind; beyond it they are freed.
const SPARE_BYTES: usize = 128 << 10;

/// Limits, spare buffers and randomness of one loop. An argument of every call that needs them.
#[derive(Debug)]
pub struct Shared {
    /// The limits of each conversation.
    pub limits: Limits,
    inboxes: Spares<Box<Inbox>>,
    outboxes: Spares<Box<Outbox>>,
    buffers: Spares<Vec<u8>>,
    /// Apart from the others: they are smaller, and would have to grow again and again.
    compressed: Spares<Vec<u8>>,
    /// Where runs of output are joined for a write.
    pub(super) joined: Vec<u8>,
    random: StdRng,
    pub(super) compression: Compression,
    /// What has happened in traced conversations, with their labels.
    pub(super) traces: Vec<(u64, Trace)>,
}

/// Spare things and how many bytes they take.
#[derive(Debug)]
struct Spares<T> {
    spare: Vec<T>,
    bytes: usize,
}

impl<T> Spares<T> {
    const fn new() -> Spares<T> {
        Spares { spare: Vec::new(), bytes: 0 }
    }

    fn take(&mut self, bytes: impl FnOnce(&T) -> usize) -> Option<T> {
        let spare = self.spare.pop()?;
        self.bytes -= bytes(&spare);
        Some(spare)
    }

    fn give(&mut self, spare: T, bytes: usize) {
        if self.bytes + bytes <= SPARE_BYTES {
            self.bytes += bytes;
            self.spare.push(spare);
        }
    }
}

impl Shared {
    /// With randomness from the operating system.
    pub fn new(limits: Limits) -> Shared {
        Shared::with_seed(limits, rand::random())
    }

    /// With randomness from a seed, so that a run can be repeated. Masking keys can then be foreseen
    /// (RFC 6455 §10.3): for tests and simulations only.
    pub fn with_seed(limits: Limits, seed: u64) -> Shared {
        Shared {
            limits,
            inboxes: Spares::new(),
            outboxes: Spares::new(),
            buffers: Spares::new(),
            compressed: Spares::new(),
            joined: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            compression: Compression::default(),
            traces: Vec::new(),
        }
    }

    /// Messages are compressed, for those peers that can do it. `None`, and at first: they are not.
    #[must_use]
    pub fn with_deflate(mut self, deflate: Option<Deflate>) -> Shared {
        self.compression = Compression::new(deflate);
        self
    }

    /// Bytes of spare buffers, and of what all use to compress.
    pub fn memory(&self) -> usize {
        self.inboxes.bytes
            + self.outboxes.bytes
            + self.buffers.bytes
            + self.compressed.bytes
            + self.joined.capacity()
            + self.compression.memory()
    }

    /// Bytes that conversations with context takeover can take to compress, beyond those of [`memory`](Self::memory).
    pub const fn context_bytes(&self) -> usize {
        self.compression.context_bytes()
    }

    /// The application is done with a message: another may use its buffer.
    pub fn recycle(&mut self, message: Gathered) {
        self.give_buffer(message.into_buffer());
    }

    /// Whether something has happened in traced conversations.
    #[inline]
    pub fn has_traces(&self) -> bool {
        !self.traces.is_empty()
    }

    /// What has happened in traced conversations since the last call, with the labels that they were given.
    pub fn take_traces(&mut self) -> Vec<(u64, Trace)> {
        std::mem::take(&mut self.traces)
    }

    #[inline(never)]
    pub(super) fn take_inbox(&mut self) -> Box<Inbox> {
        self.inboxes.take(|inbox| inbox.memory()).unwrap_or_default()
    }

    #[inline(never)]
    pub(super) fn give_inbox(&mut self, mut inbox: Box<Inbox>) {
        if let Some(buffer) = inbox.reset() {
            self.give_buffer(buffer);
        }
        let bytes = inbox.memory();
        self.inboxes.give(inbox, bytes);
    }

    #[inline(never)]
    pub(super) fn take_outbox(&mut self) -> Box<Outbox> {
        self.outboxes.take(|outbox| outbox.memory()).unwrap_or_default()
    }

    #[inline(never)]
    pub(super) fn give_outbox(&mut self, mut outbox: Box<Outbox>) {
        outbox.clear();
        let bytes = outbox.memory();
        self.outboxes.give(outbox, bytes);
    }

    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        self.buffers.take(Vec::capacity).unwrap_or_default()
    }

    pub(super) fn give_buffer(&mut self, buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes > 0 {
            self.buffers.give(buffer, bytes);
        }
    }

    /// An empty buffer for a message that is compressed.
    pub(super) fn take_compressed(&mut self) -> Vec<u8> {
        let mut buffer = self.compressed.take(Vec::capacity).unwrap_or_default();
        buffer.clear();
        buffer
    }

    pub(super) fn give_compressed(&mut self, buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes > 0 {
            self.compressed.give(buffer, bytes);
        }
    }

    /// A fresh `Sec-WebSocket-Key` (§4.1): "a randomly selected 16-byte value that has been base64-encoded".
    pub(super) fn handshake_key(&mut self) -> String {
        let mut nonce = [0; 16];
        self.random.fill_bytes(&mut nonce);
        data_encoding::BASE64.encode(&nonce)
    }

    /// A fresh masking key that nobody can foresee (§5.3).
    pub(super) fn masking_key(&mut self) -> mask::Key {
        self.random.next_u32().to_ne_bytes()
    }
}
