//! What do all conversations of a loop share?
//!
//! Their limits, and buffers: a conversation takes one when it needs it and gives it back when it is idle, so
//! that thousands of connections that speak in turn need the memory of the few that speak now.

use super::budget::{Budget, Mark, SharedBytes};
use super::compression::Compression;
use super::counts::Counts;
use super::extension::Deflate;
use super::limits::Limits;
use super::mask;
use super::message::{Gathered, Inbox};
use super::outbox::Outbox;
use super::trace::Trace;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes of spare buffers that are kept of each kind, if the budget is not a small one; beyond it they are freed.
const SPARE_BYTES: usize = 128 << 10;

/// The part of a budget that spare buffers of one kind may take.
const SPARE_SHARE: usize = 64;

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
    /// What has been said, and who stands where.
    pub counts: Counts,
    budget: Budget,
    /// What has happened in traced conversations, with their labels.
    pub(super) traces: Vec<(u64, Trace)>,
}

/// Spare things and how many bytes they take.
#[derive(Debug)]
struct Spares<T> {
    spare: Vec<T>,
    bytes: usize,
    most: usize,
}

impl<T> Spares<T> {
    const fn new() -> Spares<T> {
        Spares { spare: Vec::new(), bytes: 0, most: SPARE_BYTES }
    }

    fn take(&mut self, bytes: impl FnOnce(&T) -> usize) -> Option<T> {
        let spare = self.spare.pop()?;
        self.bytes -= bytes(&spare);
        Some(spare)
    }

    /// Keeps it, or frees it: `false`.
    fn give(&mut self, spare: T, bytes: usize) -> bool {
        let is_kept = self.bytes + bytes <= self.most;
        if is_kept {
            self.bytes += bytes;
            self.spare.push(spare);
        }
        is_kept
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
            counts: Counts::default(),
            budget: Budget::new(usize::MAX, 0),
            traces: Vec::new(),
        }
    }

    /// Messages are compressed, for those peers that can do it. `None`, and at first: they are not.
    #[must_use]
    pub fn with_deflate(mut self, deflate: Option<Deflate>) -> Shared {
        self.compression = Compression::new(deflate);
        self
    }

    /// All conversations together hold at most `limit` bytes, of which `reserve` are for what one step can add. Without this,
    /// and at first: as much as they like.
    #[must_use]
    pub fn with_budget(mut self, limit: usize, reserve: usize) -> Shared {
        self.budget = Budget::new(limit, reserve);
        let most = SPARE_BYTES.min(limit / SPARE_SHARE);
        (self.inboxes.most, self.outboxes.most) = (most, most);
        (self.buffers.most, self.compressed.most) = (most, most);
        self
    }

    /// Bytes that count against the budget: what conversations hold, spare buffers, and what is used to compress.
    pub fn held(&self) -> usize {
        self.budget.boxes
            + self.budget.frames.bytes()
            + self.buffers.bytes
            + self.compressed.bytes
            + self.joined.capacity()
            + self.compression.memory()
            + self.compression.context_bytes()
    }

    /// Whether more than three quarters of the budget were held when that was last reviewed; it is, when something
    /// grows.
    #[inline]
    pub const fn is_near_budget(&self) -> bool {
        self.budget.is_near
    }

    /// Whether somebody has to go, as of the last review.
    #[inline]
    pub const fn is_over_budget(&self) -> bool {
        self.budget.is_over
    }

    /// Looks at what is held.
    pub fn review_budget(&mut self) {
        let held = self.held();
        self.budget.judge(held);
    }

    /// Bytes that may still be held.
    pub fn free_budget(&self) -> usize {
        self.budget.free(self.held())
    }

    /// Whether no more is held than at this mark.
    pub fn is_below(&self, mark: Mark) -> bool {
        self.held() <= self.budget.at(mark)
    }

    /// Bytes that may still be held before memory runs short.
    pub(super) fn ample_budget(&self) -> usize {
        self.budget.at(Mark::Near).saturating_sub(self.held())
    }

    /// Bytes that several conversations will hold.
    pub(crate) fn share(&mut self, bytes: Vec<u8>) -> SharedBytes {
        let shared = SharedBytes::new(bytes, &self.budget.frames);
        self.review_budget();
        shared
    }

    /// An outbox may have grown.
    #[inline]
    pub(super) fn count_outbox(&mut self, outbox: &mut Outbox) {
        if outbox.has_grown() {
            self.recount_outbox(outbox);
        }
    }

    #[cold]
    fn recount_outbox(&mut self, outbox: &mut Outbox) {
        outbox.trim();
        let memory = outbox.memory();
        self.recount(outbox.note_size(), memory);
    }

    /// An inbox may have grown.
    pub(super) fn count_inbox(&mut self, inbox: &mut Inbox) {
        let memory = inbox.memory();
        if memory != inbox.counted {
            self.recount(&mut inbox.counted, memory);
        }
    }

    #[cold]
    fn recount(&mut self, counted: &mut usize, memory: usize) {
        self.budget.boxes = self.budget.boxes.saturating_sub(*counted) + memory;
        *counted = memory;
        self.review_budget();
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
        self.inboxes.take(|inbox| inbox.counted).unwrap_or_default()
    }

    #[inline(never)]
    pub(super) fn give_inbox(&mut self, mut inbox: Box<Inbox>) {
        if let Some(buffer) = inbox.reset() {
            self.give_buffer(buffer);
        }
        self.count_inbox(&mut inbox);
        let counted = inbox.counted;
        if !self.inboxes.give(inbox, counted) {
            self.budget.boxes = self.budget.boxes.saturating_sub(counted);
        }
    }

    #[inline(never)]
    pub(super) fn take_outbox(&mut self) -> Box<Outbox> {
        self.outboxes.take(|outbox| outbox.counted).unwrap_or_default()
    }

    #[inline(never)]
    pub(super) fn give_outbox(&mut self, mut outbox: Box<Outbox>) {
        outbox.clear();
        let counted = outbox.counted;
        if !self.outboxes.give(outbox, counted) {
            self.budget.boxes = self.budget.boxes.saturating_sub(counted);
        }
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
