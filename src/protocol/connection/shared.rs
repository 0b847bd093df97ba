//! What all connections of a loop share.
//!
//! [`Shared`] only composes: each part is in a file of its own.

use super::budget::{Budget, Mark};
use super::counters::Counters;
use super::growing::Growing;
use super::inbox::Inbox;
use super::message::OwnedMessage;
use super::outbox::{LARGE, Outbox};
use super::pools::{Pools, Spares};
use super::random::Random;
use super::shared_bytes::SharedBytes;
use super::trace::{Trace, Traces};
use crate::protocol::deflate::{Compression, Deflate};
use crate::protocol::limits::Limits;
use crate::protocol::opening::Bytes;
use crate::protocol::time::Tick;
use crate::protocol::wire::MAX_CONTROL_PAYLOAD;

/// Limits, pools, the memory budget, counters and randomness of one loop. An argument of every call
/// that needs them.
#[derive(Debug)]
pub struct Shared {
    /// The limits of each connection.
    pub limits: Limits,
    /// What all connections have sent and received, and their states.
    pub counters: Counters,
    pub(super) pools: Pools,
    pub(super) budget: Budget,
    pub(super) random: Random,
    pub(super) compression: Compression,
    pub(super) traces: Traces,
    /// The message that the application is handling.
    lent: Option<SharedBytes>,
    /// Where runs of output are joined for one write.
    pub(super) joined: Vec<u8>,
    /// The memory of all connections is [reserved](Self::reserve).
    pub(super) is_reserved: bool,
}

impl Shared {
    /// With randomness from the operating system.
    pub fn new(limits: Limits) -> Shared {
        Shared::seeded(limits, None)
    }

    /// With randomness from a seed, so that a run can be repeated. Masking keys can then be
    /// foreseen (RFC 6455 §10.3), so this is for tests and simulations only.
    pub fn with_seed(limits: Limits, seed: u64) -> Shared {
        Shared::seeded(limits, Some(seed))
    }

    pub(crate) fn seeded(limits: Limits, seed: Option<u64>) -> Shared {
        Shared {
            limits,
            counters: Counters::default(),
            pools: Pools::new(),
            budget: Budget::new(usize::MAX, 0),
            random: Random::new(seed),
            compression: Compression::default(),
            traces: Traces::default(),
            lent: None,
            joined: Vec::new(),
            is_reserved: false,
        }
    }

    /// Compresses messages for peers that can decompress them. `None` does not, and is the default.
    #[must_use]
    pub fn with_deflate(mut self, deflate: Option<Deflate>) -> Shared {
        self.compression = Compression::new(deflate);
        self
    }

    /// Limits what all connections hold together to `limit` bytes. `reserve` of them are for what
    /// one step can add. There is no limit by default.
    #[must_use]
    pub fn with_budget(mut self, limit: usize, reserve: usize) -> Shared {
        self.budget = Budget::new(limit, reserve);
        self.pools.set_budget(limit);
        self
    }

    // ---- the memory budget ---------------------------------------------------------------------

    /// Counts the bytes of something that belongs to a connection, and was counted with `counted`
    /// bytes before.
    pub fn recount(&mut self, counted: &mut usize, memory: usize) {
        self.budget.recount(*counted, memory);
        *counted = memory;
    }

    /// Bytes that count against the budget: connections, pools and compressors.
    pub fn held(&self) -> usize {
        self.budget.bytes()
            + self.pools.buffer_bytes()
            + self.joined.capacity()
            + self.compression.memory()
            + self.compression.context_bytes()
    }

    /// Bytes of pools and of the compressors that all connections share.
    pub fn memory(&self) -> usize {
        self.pools.box_bytes() + self.pools.buffer_bytes() + self.joined.capacity() + self.compression.memory()
    }

    /// Bytes that connections with context takeover can take to compress, beyond
    /// [`memory`](Self::memory).
    pub const fn context_bytes(&self) -> usize {
        self.compression.context_bytes()
    }

    /// Whether more than three quarters of the budget were held at the last review. Each growth
    /// causes a review.
    #[inline]
    pub const fn is_near_budget(&self) -> bool {
        self.budget.is_near()
    }

    /// Whether a client has to be evicted, as of the last review.
    #[inline]
    pub const fn is_over_budget(&self) -> bool {
        self.budget.is_over()
    }

    /// Compares what is held with the budget, after freeing spare buffers if memory is short.
    pub fn review_budget(&mut self) {
        self.budget.review(self.held());
        if self.budget.is_near() && self.pools.are_ample() {
            self.trim(Spares::All);
            self.budget.review(self.held());
        }
    }

    /// Whether the pools keep more than they do at rest.
    #[inline]
    pub const fn has_ample_spares(&self) -> bool {
        self.pools.are_ample()
    }

    /// Frees the spare buffers that were not needed since the last call, down to what is kept at
    /// rest.
    pub fn trim_unused_spares(&mut self) {
        self.trim(Spares::Unused);
    }

    /// Frees all spare buffers, down to what is kept at rest.
    pub(crate) fn trim_all_spares(&mut self) {
        self.trim(Spares::All);
    }

    #[cold]
    fn trim(&mut self, spares: Spares) {
        let freed = self.pools.trim(spares);
        self.budget.recount(freed, 0);
    }

    /// Bytes that may still be held.
    pub fn free_budget(&self) -> usize {
        self.budget.free(self.held())
    }

    /// The most bytes that may be held, whatever is held now.
    pub(crate) fn whole_budget(&self) -> usize {
        self.budget.ceiling()
    }

    /// Whether no more is held than at this mark.
    pub fn is_below(&self, mark: Mark) -> bool {
        self.held() <= self.budget.at(mark)
    }

    /// Bytes that may still be held before memory is short.
    pub(super) fn ample_budget(&self) -> usize {
        self.budget.at(Mark::Near).saturating_sub(self.held())
    }

    // ---- inboxes and outboxes ------------------------------------------------------------------

    /// Returns the outbox in this place, and puts a spare or new one there if it is empty.
    #[inline]
    pub(super) fn outbox<'a>(&'a mut self, place: &'a mut Option<Box<Outbox>>) -> Growing<'a, Outbox> {
        let outbox = place.get_or_insert_with(|| self.take_outbox());
        Growing::new(self, outbox)
    }

    #[inline(never)]
    fn take_outbox(&mut self) -> Box<Outbox> {
        self.pools.outboxes.take().unwrap_or_default()
    }

    /// Takes back an outbox that is no longer needed.
    #[inline(always)]
    pub(super) fn give_outbox(&mut self, mut outbox: Box<Outbox>) {
        if outbox.has_more_than_is_kept() {
            self.strip(&mut outbox);
        }
        outbox.clear();
        if let Err(outbox) = self.pools.outboxes.give(outbox) {
            self.free_outbox(&outbox);
        }
    }

    #[cold]
    fn free_outbox(&mut self, outbox: &Outbox) {
        self.budget.recount(outbox.counted, 0);
    }

    /// Takes out of an outbox what another message may need.
    #[cold]
    fn strip(&mut self, outbox: &mut Outbox) {
        for frame in outbox.drain_shared() {
            self.give_shared(frame);
        }
        if let Some(buffer) = outbox.take_large() {
            self.pools.buffers.give_or_free(buffer);
        }
        drop(Growing::new(self, outbox));
    }

    /// Returns the inbox in this place, and puts a spare or new one there if it is empty; something
    /// begins to arrive then.
    #[inline]
    pub(super) fn inbox<'a>(&'a mut self, place: &'a mut Option<Box<Inbox>>, now: Tick) -> Growing<'a, Inbox> {
        let inbox = place.get_or_insert_with(|| self.take_inbox(now));
        Growing::new(self, inbox)
    }

    #[inline(never)]
    fn take_inbox(&mut self, now: Tick) -> Box<Inbox> {
        let mut inbox = self.pools.inboxes.take().unwrap_or_default();
        inbox.since = now;
        inbox
    }

    /// Takes back an inbox that is no longer needed.
    #[inline(never)]
    pub(super) fn give_inbox(&mut self, mut inbox: Box<Inbox>) {
        if let Some(buffer) = inbox.reset() {
            self.pools.buffers.give_or_free(buffer);
        }
        if self.is_reserved() {
            self.pools.buffers.give_or_free(std::mem::take(&mut inbox.head));
        }
        drop(Growing::new(self, &mut *inbox));
        if let Err(inbox) = self.pools.inboxes.give(inbox) {
            self.budget.recount(inbox.counted, 0);
        }
    }

    // ---- messages ------------------------------------------------------------------------------

    /// Bytes that several connections will hold.
    pub(crate) fn share(&mut self, bytes: Vec<u8>) -> SharedBytes {
        self.share_gathered(OwnedMessage::Binary(bytes))
    }

    /// The body of a response.
    pub(super) fn share_body(&mut self, body: Bytes) -> SharedBytes {
        let shared = SharedBytes::of_body(body, &self.budget.frames);
        self.review_budget();
        shared
    }

    fn share_gathered(&mut self, payload: OwnedMessage) -> SharedBytes {
        let shared = SharedBytes::new(payload, &self.budget.frames);
        self.review_budget();
        shared
    }

    /// Lends a message to the application. Connections that are sent it unchanged share it if it
    /// is large, and need no copy. To be given back with [`take_back`](Self::take_back).
    ///
    /// # Errors
    ///
    /// The message is not large enough.
    pub(crate) fn lend(&mut self, message: OwnedMessage) -> Result<SharedBytes, OwnedMessage> {
        if message.as_message().as_bytes().len() < LARGE || self.is_reserved() {
            return Err(message);
        }
        let lent = self.share_gathered(message);
        self.lent = Some(lent.clone());
        Ok(lent)
    }

    /// Takes back a message from the application.
    pub(crate) fn take_back(&mut self, lent: SharedBytes) {
        self.lent = None;
        self.give_shared(lent);
    }

    /// Returns the message that the application was lent, if this is its payload.
    pub(super) fn lent(&self, payload: &[u8]) -> Option<SharedBytes> {
        self.lent.clone().filter(|lent| lent.are(payload))
    }

    /// Keeps the buffer of these bytes if this is their last owner.
    fn give_shared(&mut self, bytes: SharedBytes) {
        if let Some(buffer) = bytes.into_buffer() {
            self.pools.buffers.give_or_free(buffer);
        }
    }

    /// Keeps the buffer of bytes that were held.
    pub(crate) fn recycle_held(&mut self, held: Vec<u8>) {
        if self.is_reserved() {
            self.pools.held.give_or_free(held);
        }
    }

    /// Keeps the buffer of a head or of a control frame's payload that was handled.
    pub(crate) fn recycle_bytes(&mut self, bytes: Vec<u8>) {
        if self.is_reserved() {
            let is_control = bytes.capacity() <= MAX_CONTROL_PAYLOAD;
            let pool = if is_control { &mut self.pools.controls } else { &mut self.pools.buffers };
            pool.give_or_free(bytes);
        }
    }

    /// Keeps the buffer of a message that the application has handled.
    pub fn recycle(&mut self, message: OwnedMessage) {
        self.pools.buffers.give_or_free(message.into_buffer());
    }

    // ---- traces --------------------------------------------------------------------------------

    /// Whether something has happened in traced connections.
    #[inline]
    pub fn has_traces(&self) -> bool {
        !self.traces.is_empty()
    }

    /// Returns what has happened in traced connections since the last call, with the labels that
    /// they were given.
    pub fn take_traces(&mut self) -> Vec<(u64, Trace)> {
        self.traces.take()
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
        let Some(Event::Request { head, .. }) = event else { panic!("{event:?}") };
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
        (0..5).for_each(|_| shared.pools.buffers.give_or_free(megabyte()));
        assert_eq!(
            (shared.pools.buffer_bytes(), shared.has_ample_spares()),
            (4 << 20, true),
            "a sixteenth of the budget"
        );
        // Each second, two of them are needed at a time.
        for _ in 0..3 {
            shared.trim_unused_spares();
            let two = [shared.pools.buffers.take_or_new(), shared.pools.buffers.take_or_new()];
            two.into_iter().for_each(|buffer| shared.pools.buffers.give_or_free(buffer));
        }
        assert_eq!(shared.pools.buffer_bytes(), 2 << 20);
        shared.trim_unused_spares();
        shared.trim_unused_spares();
        assert_eq!((shared.pools.buffer_bytes(), shared.has_ample_spares()), (0, false));
    }

    #[test]
    fn spare_buffers_go_first_when_memory_runs_short() {
        let mut shared = Shared::new(Limits::default()).with_budget(64 << 20, 0);
        (0..4).for_each(|_| shared.pools.buffers.give_or_free(Vec::with_capacity(1 << 20)));
        let frame = shared.share(vec![0; 47 << 20]);
        assert_eq!((shared.pools.buffer_bytes(), shared.is_near_budget()), (0, false));
        drop(frame);
    }

    #[test]
    fn a_large_message_that_is_sent_as_it_came_is_not_copied() {
        for (text, copies) in [("x".repeat(LARGE), false), ("x".repeat(LARGE - 1), true)] {
            let mut shared = Shared::new(Limits::default());
            let mut connections = [open(&mut shared), open(&mut shared)];
            let lent = shared.lend(OwnedMessage::Text(text));
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
            assert_eq!(shared.pools.buffer_bytes(), 0, "others have it");
            for connection in &mut connections {
                let length = connection.buffered_amount();
                connection.sent(&mut shared, Tick::default(), length);
            }
            assert_eq!(
                (shared.pools.buffer_bytes(), shared.budget.frames.bytes()),
                (LARGE, 0),
                "its buffer serves the next"
            );
        }
    }
}
