//! What do all conversations of a loop share?
//!
//! Their limits, and buffers: a conversation takes one when it needs it and gives it back when it
//! is idle, so that thousands of connections that speak in turn need the memory of the few that
//! speak now.

use super::budget::{Budget, Mark, SharedBytes};
use super::counts::Counts;
use super::inbox::Inbox;
use super::message::Gathered;
use super::outbox::{LARGE, Outbox};
use super::trace::Trace;
use crate::protocol::deflate::{Compression, Deflate};
use crate::protocol::limits::Limits;
use crate::protocol::wire::mask;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes of spare buffers that are kept of each kind, if the budget is not a small one.
const SPARE_BYTES: usize = 128 << 10;

/// The part of a budget that spare buffers of one kind may take, and while they are used again and
/// again.
const SPARE_SHARE: usize = 64;
const BUSY_SHARE: usize = 16;

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
    /// The message that the application has been handed.
    lent: Option<SharedBytes>,
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

/// Spare things and how many bytes they take. The one that was given last is taken first.
///
/// In a busy moment more of them are kept than at rest, or each turn would have to get what it
/// needs from the operating system, page by page; [`trim`](Self::trim) frees what was not needed
/// since it was last called.
#[derive(Debug)]
struct Spares<T> {
    spare: Vec<T>,
    bytes: usize,
    /// The fewest that there were since the last trim, as of when one was given last.
    unused: usize,
    /// How many bytes are kept at rest, and at most.
    at_rest: usize,
    most: usize,
}

impl<T> Spares<T> {
    const fn new() -> Spares<T> {
        Spares { spare: Vec::new(), bytes: 0, unused: 0, at_rest: SPARE_BYTES, most: SPARE_BYTES }
    }

    fn set_budget(&mut self, budget: usize) {
        self.at_rest = SPARE_BYTES.min(budget / SPARE_SHARE);
        self.most = budget / BUSY_SHARE;
    }

    #[inline]
    fn take(&mut self, bytes: impl FnOnce(&T) -> usize) -> Option<T> {
        let spare = self.spare.pop()?;
        self.bytes -= bytes(&spare);
        Some(spare)
    }

    /// Keeps it, if there is room for so many bytes more.
    #[inline(always)]
    fn give(&mut self, spare: T, bytes: usize) -> Result<(), T> {
        let sum = self.bytes + bytes;
        if sum > self.most {
            return Err(spare);
        }
        self.bytes = sum;
        if self.spare.len() < self.unused {
            self.unused = self.spare.len();
        }
        self.spare.push(spare);
        Ok(())
    }

    const fn is_ample(&self) -> bool {
        self.bytes > self.at_rest
    }

    /// Frees those that were not needed since the last call, or `all`, down to what is kept at
    /// rest; says how many bytes.
    fn trim(&mut self, all: bool, bytes: impl Fn(&T) -> usize) -> usize {
        let before = self.bytes;
        let most = if all { self.spare.len() } else { self.unused.min(self.spare.len()) };
        let mut count = 0;
        while count < most && self.bytes > self.at_rest {
            self.bytes -= bytes(&self.spare[count]);
            count += 1;
        }
        self.spare.drain(..count);
        if count > 0 {
            self.spare.shrink_to(2 * self.spare.len());
        }
        self.unused = self.spare.len();
        before - self.bytes
    }
}

impl Shared {
    /// With randomness from the operating system.
    pub fn new(limits: Limits) -> Shared {
        Shared::with_seed(limits, rand::random())
    }

    /// With randomness from a seed, so that a run can be repeated. Masking keys can then be
    /// foreseen (RFC 6455 §10.3): for tests and simulations only.
    pub fn with_seed(limits: Limits, seed: u64) -> Shared {
        Shared {
            limits,
            inboxes: Spares::new(),
            outboxes: Spares::new(),
            buffers: Spares::new(),
            compressed: Spares::new(),
            lent: None,
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

    /// All conversations together hold at most `limit` bytes, of which `reserve` are for what one
    /// step can add. Without this, and at first: as much as they like.
    #[must_use]
    pub fn with_budget(mut self, limit: usize, reserve: usize) -> Shared {
        self.budget = Budget::new(limit, reserve);
        self.inboxes.set_budget(limit);
        self.outboxes.set_budget(limit);
        self.buffers.set_budget(limit);
        self.compressed.set_budget(limit);
        self
    }

    /// Bytes that count against the budget: what conversations hold, spare buffers, and what is
    /// used to compress.
    pub fn held(&self) -> usize {
        self.budget.boxes
            + self.budget.frames.bytes()
            + self.buffers.bytes
            + self.compressed.bytes
            + self.joined.capacity()
            + self.compression.memory()
            + self.compression.context_bytes()
    }

    /// Whether more than three quarters of the budget were held when that was last reviewed; it is,
    /// when something grows.
    #[inline]
    pub const fn is_near_budget(&self) -> bool {
        self.budget.is_near
    }

    /// Whether somebody has to go, as of the last review.
    #[inline]
    pub const fn is_over_budget(&self) -> bool {
        self.budget.is_over
    }

    /// Looks at what is held. If it is much, that is not because of spare buffers.
    pub fn review_budget(&mut self) {
        let held = self.held();
        self.budget.judge(held);
        if self.budget.is_near && self.has_ample_spares() {
            self.trim_spares(true);
            let held = self.held();
            self.budget.judge(held);
        }
    }

    /// Whether there are more spare buffers than are kept at rest.
    #[inline]
    pub const fn has_ample_spares(&self) -> bool {
        self.inboxes.is_ample() || self.outboxes.is_ample() || self.buffers.is_ample() || self.compressed.is_ample()
    }

    /// Frees the spare buffers that were not needed since the last call, or `all`, down to what is
    /// kept at rest.
    #[cold]
    pub fn trim_spares(&mut self, all: bool) {
        let boxes = self.inboxes.trim(all, |inbox| inbox.counted) + self.outboxes.trim(all, |outbox| outbox.counted);
        self.budget.boxes = self.budget.boxes.saturating_sub(boxes);
        self.buffers.trim(all, Vec::capacity);
        self.compressed.trim(all, Vec::capacity);
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
        self.share_gathered(Gathered::Binary(bytes))
    }

    fn share_gathered(&mut self, payload: Gathered) -> SharedBytes {
        let shared = SharedBytes::new(payload, &self.budget.frames);
        self.review_budget();
        shared
    }

    /// A message that the application is about to be handed: whoever is sent it as it is, gets no
    /// copy of a large one. To be given back with [`take_back`](Self::take_back).
    ///
    /// # Errors
    ///
    /// It is not large enough.
    pub(crate) fn lend(&mut self, message: Gathered) -> Result<SharedBytes, Gathered> {
        if message.as_message().as_bytes().len() < LARGE {
            return Err(message);
        }
        let lent = self.share_gathered(message);
        self.lent = Some(lent.clone());
        Ok(lent)
    }

    /// The application is done with a message that it was lent.
    pub(crate) fn take_back(&mut self, lent: SharedBytes) {
        self.lent = None;
        self.give_shared(lent);
    }

    /// The message that the application was lent, if this is it.
    pub(super) fn lent(&self, payload: &[u8]) -> Option<SharedBytes> {
        self.lent.clone().filter(|lent| lent.are(payload))
    }

    /// If nobody else has them, their buffer may be used for something else.
    fn give_shared(&mut self, bytes: SharedBytes) {
        if let Some(buffer) = bytes.into_buffer() {
            self.give_buffer(buffer);
        }
    }

    /// An outbox may have grown.
    #[inline]
    pub(super) fn count_outbox(&mut self, outbox: &mut Outbox) {
        if outbox.memory() != outbox.counted {
            self.recount_outbox(outbox);
        }
    }

    #[cold]
    fn recount_outbox(&mut self, outbox: &mut Outbox) {
        outbox.trim();
        let memory = outbox.memory();
        self.recount(&mut outbox.counted, memory);
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

    /// Bytes that conversations with context takeover can take to compress, beyond those of
    /// [`memory`](Self::memory).
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

    /// What has happened in traced conversations since the last call, with the labels that they
    /// were given.
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
        if self.inboxes.give(inbox, counted).is_err() {
            self.budget.boxes = self.budget.boxes.saturating_sub(counted);
        }
    }

    #[inline(never)]
    pub(super) fn take_outbox(&mut self) -> Box<Outbox> {
        self.spare_outbox().unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn spare_outbox(&mut self) -> Option<Box<Outbox>> {
        self.outboxes.take(|outbox| outbox.counted)
    }

    #[inline(always)]
    pub(super) fn give_outbox(&mut self, mut outbox: Box<Outbox>) {
        if outbox.has_more_than_is_kept() {
            self.strip(&mut outbox);
        }
        outbox.clear();
        let counted = outbox.counted;
        if let Err(outbox) = self.outboxes.give(outbox, counted) {
            self.forget_outbox(&outbox);
        }
    }

    #[cold]
    fn forget_outbox(&mut self, outbox: &Outbox) {
        self.budget.boxes = self.budget.boxes.saturating_sub(outbox.counted);
    }

    /// Takes out of an outbox what another message may need.
    #[cold]
    fn strip(&mut self, outbox: &mut Outbox) {
        for frame in outbox.drain_shared() {
            self.give_shared(frame);
        }
        if let Some(buffer) = outbox.take_large() {
            self.give_buffer(buffer);
        }
        self.count_outbox(outbox);
    }

    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        self.buffers.take(Vec::capacity).unwrap_or_default()
    }

    pub(super) fn give_buffer(&mut self, buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes > 0 {
            drop(self.buffers.give(buffer, bytes));
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
            drop(self.compressed.give(buffer, bytes));
        }
    }

    /// A fresh `Sec-WebSocket-Key` (§4.1): "a randomly selected 16-byte value that has been
    /// base64-encoded".
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::time::Tick;
    use crate::protocol::{Answer, Connection, Event, Input, Request, Role, Ticket, Upgrade};

    fn open(shared: &mut Shared) -> Connection {
        let (mut connection, now) = (Connection::new(Role::Server, Tick::default()), Tick::default());
        let mut request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            .to_vec();
        let event = connection.receive(shared, now, &mut Input::new(&mut request));
        let Some(Event::Request(head)) = event else { panic!("{event:?}") };
        let ticket = Ticket::new(&Request::parse(&head).expect("a good one"));
        connection.answer(shared, now, ticket, Answer::Upgrade(Upgrade::default())).expect("it can be");
        let length = connection.buffered_amount();
        connection.sent(shared, now, length);
        connection
    }

    #[test]
    fn spare_buffers_stay_while_they_are_needed_and_go_when_they_are_not() {
        let mut shared = Shared::new(Limits::default()).with_budget(64 << 20, 0);
        let megabyte = || Vec::<u8>::with_capacity(1 << 20);
        (0..5).for_each(|_| shared.give_buffer(megabyte()));
        assert_eq!((shared.buffers.bytes, shared.has_ample_spares()), (4 << 20, true), "a sixteenth of the budget");
        // Each second, two of them are needed at a time.
        for _ in 0..3 {
            shared.trim_spares(false);
            let two = [shared.take_buffer(), shared.take_buffer()];
            two.into_iter().for_each(|buffer| shared.give_buffer(buffer));
        }
        assert_eq!(shared.buffers.bytes, 2 << 20);
        shared.trim_spares(false);
        shared.trim_spares(false);
        assert_eq!((shared.buffers.bytes, shared.has_ample_spares()), (0, false));
    }

    #[test]
    fn spare_buffers_go_first_when_memory_runs_short() {
        let mut shared = Shared::new(Limits::default()).with_budget(64 << 20, 0);
        (0..4).for_each(|_| shared.give_buffer(Vec::with_capacity(1 << 20)));
        let frame = shared.share(vec![0; 47 << 20]);
        assert_eq!((shared.buffers.bytes, shared.is_near_budget()), (0, false));
        drop(frame);
    }

    #[test]
    fn a_large_message_that_is_sent_as_it_came_is_not_copied() {
        for (text, copies) in [("x".repeat(LARGE), false), ("x".repeat(LARGE - 1), true)] {
            let mut shared = Shared::new(Limits::default());
            let mut connections = [open(&mut shared), open(&mut shared)];
            let lent = shared.lend(Gathered::Text(text));
            let message = match &lent {
                Ok(lent) => lent.as_message(),
                Err(small) => small.as_message(),
            };
            for connection in &mut connections {
                connection.send(&mut shared, message).expect("it is open");
                let frames: Vec<&SharedBytes> = connection.shared_frames().collect();
                assert_eq!(frames.iter().any(|frame| frame.are(message.as_bytes())), !copies);
                assert!(connection.memory() < 1 << 10 || copies);
            }
            let Ok(lent) = lent else { continue };
            shared.take_back(lent);
            assert_eq!(shared.buffers.bytes, 0, "others have it");
            for connection in &mut connections {
                let length = connection.buffered_amount();
                connection.sent(&mut shared, Tick::default(), length);
            }
            assert_eq!((shared.buffers.bytes, shared.budget.frames.bytes()), (LARGE, 0), "its buffer serves the next");
        }
    }
}
