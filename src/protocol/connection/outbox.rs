//! The unsent bytes of one connection.
//!
//! Frames of the peer's own lie end to end in one buffer, so that all that a turn queues goes out
//! in one write. A large frame that many peers get is not copied for each of them. It is shared,
//! and remembered with its place between the own bytes.
//!
//! ```text
//!   own     [ frame frame ........ frame ]      next(): up to the next shared frame,
//!             ^start       ^at                  or that frame, whichever comes first
//!   shared                [ big frame ]
//! ```
//!
//! An idle connection has no outbox. An outbox that has been sent goes back to the loop's pool with
//! its buffer, so that an echo allocates nothing.

use super::byte_queue::{Appender, ByteQueue};
use super::shared_bytes::SharedBytes;
use super::trace::{Side, Trace};
use crate::parts::RESERVE;
use crate::protocol::time::Tick;
use crate::protocol::wire::Header;
use std::collections::VecDeque;

/// Frames for many receivers are copied below this size, in bytes, and shared from it on: below,
/// the copy costs less.
pub const SHARE_FROM: usize = 2 << 10;

/// Runs are joined up to this many bytes, so that a turn's output goes out in one write.
pub const JOINED: usize = 64 << 10;

/// From this size on, in bytes, a message that was put together is sent as it came without a copy.
/// And a larger buffer does not stay with an outbox that has been sent: another message may need
/// it.
pub const LARGE: usize = 128 << 10;

/// Buffers beyond this size, in bytes, have at most a quarter to spare.
const SHRINK_FROM: usize = 256 << 10;

/// Unsent bytes of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Its own bytes.
    pub(super) own: ByteQueue,
    /// Frames that other outboxes have too, if there have been any.
    shared: Option<Box<SharedFrames>>,
    /// Bytes of memory that the budget has counted.
    pub(super) counted: usize,
    /// Since when the peer has taken nothing, if bytes are waiting for it to.
    pub(super) stalled: Option<Tick>,
    /// Some bytes have been sent, but not all: a frame may be under way.
    is_begun: bool,
    /// Its buffer is as large as it will ever have to be, and stays with it.
    pub(super) is_reserved: bool,
}

/// Frames between the own bytes.
#[derive(Debug, Default)]
struct SharedFrames {
    frames: VecDeque<SharedFrame>,
    /// Sent bytes of the first frame.
    sent: usize,
    /// Unsent bytes of all.
    unsent: usize,
}

#[derive(Debug)]
struct SharedFrame {
    /// The place among the own bytes before which it goes out.
    at: usize,
    frame: SharedBytes,
}

/// A piece of the unsent bytes.
#[cfg(feature = "handover")]
pub(super) enum UnsentPiece<'a> {
    /// Bytes of the connection's own.
    Own(&'a [u8]),
    /// A frame that other outboxes have too, and how many of its bytes have been sent.
    Shared(&'a SharedBytes, usize),
}

impl Outbox {
    /// Unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |shared| shared.unsent);
        self.own.len() + shared
    }

    /// Bytes of memory that this outbox takes, without shared frames.
    pub fn memory(&self) -> usize {
        let of_places =
            |shared: &SharedFrames| size_of::<SharedFrames>() + shared.frames.capacity() * size_of::<SharedFrame>();
        size_of::<Outbox>() + self.own.capacity() + self.shared.as_deref().map_or(0, of_places)
    }

    /// Bytes that could be freed with it, including those that it shares with others.
    pub fn holds(&self) -> usize {
        self.memory() + self.shared.as_ref().map_or(0, |shared| shared.unsent)
    }

    /// The shared frames among the unsent bytes.
    pub(super) fn shared_frames(&self) -> impl Iterator<Item = &SharedBytes> {
        self.shared.iter().flat_map(|shared| &shared.frames).map(|shared| &shared.frame)
    }

    /// Whether there are shared frames.
    #[inline]
    pub(super) fn has_shared_frames(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| !shared.frames.is_empty())
    }

    /// Whether the unsent bytes may be dropped and the peer will not notice: none have been sent.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_begun
    }

    /// The unsent bytes, as the text of a handshake.
    pub(super) fn to_trace(&self) -> Trace {
        Trace::Handshake { side: Side::Us, text: self.to_vec() }
    }

    /// The unsent bytes.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.own.as_slice().to_vec();
        if let Some(shared) = self.shared.as_ref().filter(|_| self.has_shared_frames()) {
            bytes.clear();
            self.collect(shared, usize::MAX, &mut bytes);
        }
        bytes
    }

    // ---- bytes are queued ----------------------------------------------------------------------

    /// Returns a vector to whose end own bytes can be appended.
    #[inline]
    pub(super) fn own(&mut self) -> Appender<'_> {
        let moved = if self.is_reserved() { self.own.compact_all() } else { self.own.compact() };
        if moved > 0 {
            self.own_has_moved(moved);
        }
        self.own.appender()
    }

    #[inline(never)]
    fn own_has_moved(&mut self, by: usize) {
        for shared in self.shared.iter_mut().flat_map(|shared| &mut shared.frames) {
            shared.at -= by;
        }
    }

    /// Appends a frame.
    #[inline]
    pub(super) fn append_frame(&mut self, header: Header, payload: &[u8]) {
        let mut own = self.own();
        header.encode(&mut own);
        own.extend_from_slice(payload);
    }

    /// Appends a frame that other outboxes have too.
    pub(super) fn append_shared(&mut self, frame: &SharedBytes) {
        let at = self.own().len();
        let shared = self.shared.get_or_insert_default();
        shared.frames.push_back(SharedFrame { at, frame: frame.clone() });
        shared.unsent += frame.len();
    }

    #[inline]
    fn is_reserved(&self) -> bool {
        RESERVE.is_used() && self.is_reserved
    }

    /// Frees most of the memory that is not used, if that is much: a buffer doubles as it grows.
    pub(super) fn shrink(&mut self) {
        if self.own.capacity() > SHRINK_FROM && !self.is_reserved() {
            self.own.shrink();
        }
    }

    // ---- bytes are sent ------------------------------------------------------------------------

    /// The bytes to send next: all, if they lie in one piece or fit into `joined`.
    #[inline]
    pub(super) fn next<'a>(&'a self, joined: &'a mut Vec<u8>) -> &'a [u8] {
        match &self.shared {
            Some(shared) if !shared.frames.is_empty() => self.join(shared, joined),
            _ => self.own.as_slice(),
        }
    }

    #[inline(never)]
    fn join<'a>(&'a self, shared: &'a SharedFrames, joined: &'a mut Vec<u8>) -> &'a [u8] {
        let run = self.run(shared, self.own.start(), shared.sent, 0);
        if run.len() == self.len() || run.len() >= JOINED {
            return run;
        }
        joined.clear();
        joined.reserve_exact(JOINED.min(self.len()));
        self.collect(shared, JOINED, joined);
        joined
    }

    /// Appends the unsent bytes to `out`, which holds at most `most` bytes then.
    fn collect(&self, shared: &SharedFrames, most: usize, out: &mut Vec<u8>) {
        let (mut own, mut sent, mut index) = (self.own.start(), shared.sent, 0);
        while out.len() < most {
            let run = self.run(shared, own, sent, index);
            if run.is_empty() {
                break;
            }
            out.extend_from_slice(&run[..run.len().min(most - out.len())]);
            if shared.frames.get(index).is_some_and(|shared| shared.at == own) {
                index += 1;
                sent = 0;
            } else {
                own += run.len();
            }
        }
    }

    /// The bytes that lie in one piece from a place on.
    fn run<'a>(&'a self, shared: &'a SharedFrames, own: usize, sent: usize, index: usize) -> &'a [u8] {
        match shared.frames.get(index) {
            Some(shared) if shared.at == own => &shared.frame[sent..],
            Some(shared) => self.own.between(own, shared.at),
            None => self.own.between(own, self.own.end()),
        }
    }

    /// `count` bytes of what [`next`](Self::next) returned have been sent.
    pub(super) fn advance(&mut self, mut count: usize) {
        if count == self.len() {
            return self.clear();
        }
        self.is_begun |= count > 0;
        while count > 0 {
            let first = self.shared.as_mut().and_then(|shared| Some((shared.frames.front()?.at, shared)));
            match first {
                Some((at, shared)) if at == self.own.start() => {
                    let left = shared.frames[0].frame.len() - shared.sent;
                    let step = count.min(left);
                    shared.unsent -= step;
                    if step < left {
                        shared.sent += step;
                        return;
                    }
                    count -= step;
                    shared.frames.pop_front();
                    shared.sent = 0;
                }
                first => {
                    let end = first.map_or(self.own.end(), |(at, _)| at);
                    let step = count.min(end - self.own.start());
                    self.own.remove(step);
                    count -= step;
                }
            }
        }
    }

    // ---- another process sends the rest -------------------------------------------------------

    /// The unsent bytes in order: own bytes, and shared frames with how much of each has been sent.
    #[cfg(feature = "handover")]
    pub(super) fn pieces(&self) -> impl Iterator<Item = UnsentPiece<'_>> {
        let shared = self.shared.as_deref();
        let mut frames = shared.map(|shared| shared.frames.iter()).into_iter().flatten().peekable();
        let (mut own, mut sent) = (self.own.start(), shared.map_or(0, |shared| shared.sent));
        std::iter::from_fn(move || {
            if let Some(shared) = frames.next_if(|shared| shared.at == own) {
                return Some(UnsentPiece::Shared(&shared.frame, std::mem::take(&mut sent)));
            }
            let end = frames.peek().map_or(self.own.end(), |shared| shared.at);
            let piece = self.own.between(own, end);
            own = end;
            (!piece.is_empty()).then_some(UnsentPiece::Own(piece))
        })
    }

    /// Appends a shared frame, of which so many bytes have been sent. `false` if it cannot be: only
    /// the first bytes of an outbox can have been sent in part.
    #[cfg(feature = "handover")]
    pub(super) fn append_rest_of_shared(&mut self, frame: &SharedBytes, sent: usize) -> bool {
        if sent >= frame.len() || sent > 0 && self.len() > 0 {
            return false;
        }
        self.append_shared(frame);
        if let Some(shared) = self.shared.as_deref_mut().filter(|_| sent > 0) {
            shared.sent = sent;
            shared.unsent -= sent;
        }
        true
    }

    /// Notes whether a frame may have been sent in part.
    #[cfg(feature = "handover")]
    pub(super) const fn set_begun(&mut self, is_begun: bool) {
        self.is_begun = is_begun;
    }

    // ---- all bytes have been sent --------------------------------------------------------------

    /// Whether it has more than a buffer that may stay with it in the pool.
    #[inline]
    pub(super) fn has_more_than_is_kept(&self) -> bool {
        (self.own.capacity() > LARGE && !self.is_reserved()) || self.has_shared_frames()
    }

    /// Takes out the frames that it shares with others.
    pub(super) fn drain_shared(&mut self) -> impl Iterator<Item = SharedBytes> {
        std::iter::from_fn(|| self.shared.as_mut()?.frames.pop_front()).map(|shared| shared.frame)
    }

    /// Takes out its own buffer, if that may not stay with it in the pool.
    pub(super) fn take_large(&mut self) -> Option<Vec<u8>> {
        (self.own.capacity() > LARGE && !self.is_reserved()).then(|| self.own.replace_buffer(Vec::new()))
    }

    /// Drops all bytes but keeps the buffers.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.own.clear();
        self.is_begun = false;
        if let Some(shared) = &mut self.shared {
            shared.frames.clear();
            (shared.sent, shared.unsent) = (0, 0);
        }
        self.stalled = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::OwnedMessage;
    use super::super::shared_bytes::Meter;
    use super::*;

    #[test]
    fn own_and_shared_bytes_leave_in_the_order_in_which_they_came_however_writes_are_cut() {
        let meter = Meter::default();
        let big = SharedBytes::new(OwnedMessage::Binary((0..SHARE_FROM).map(|i| i as u8).collect()), &meter);
        let steps = [1, 2, 7, 100, 1_000, 5_000, 100_000].into_iter().skip(if cfg!(miri) { 3 } else { 0 });
        for step in steps {
            let (mut outbox, mut expected, mut received) = (Outbox::default(), Vec::new(), Vec::new());
            let mut joined = Vec::new();
            let rounds = if cfg!(miri) { 5 } else { 20_u8 };
            for round in 0..rounds {
                let own = vec![round; usize::from(round) * 11];
                outbox.own().extend_from_slice(&own);
                expected.extend_from_slice(&own);
                for _ in 0..round % 3 {
                    outbox.append_shared(&big);
                    expected.extend_from_slice(&big);
                }
                let next = outbox.next(&mut joined);
                let count = next.len().min(step);
                received.extend_from_slice(&next[..count]);
                outbox.advance(count);
                assert_eq!(outbox.len(), expected.len() - received.len());
            }
            while outbox.len() > 0 {
                let next = outbox.next(&mut joined);
                let count = next.len().min(step);
                received.extend_from_slice(&next[..count]);
                outbox.advance(count);
            }
            assert_eq!(received, expected);
            assert_eq!(outbox.shared_frames().count(), 0);
        }
    }

    #[test]
    fn what_fits_goes_out_in_one_write() {
        let frame = SharedBytes::new(OwnedMessage::Binary(vec![7; 3_000]), &Meter::default());
        let mut outbox = Outbox::default();
        for _ in 0..5 {
            outbox.own().extend_from_slice(b"own");
            outbox.append_shared(&frame);
        }
        assert_eq!(outbox.next(&mut Vec::new()).len(), 5 * 3_003);
    }

    #[test]
    fn a_peer_that_always_lags_does_not_make_the_buffer_grow() {
        let (mut outbox, mut joined) = (Outbox::default(), Vec::new());
        let rounds = if cfg!(miri) { 100 } else { 10_000 };
        for _ in 0..rounds {
            outbox.own().extend_from_slice(&[0; 100]);
            let count = outbox.next(&mut joined).len().saturating_sub(50);
            outbox.advance(count);
        }
        assert!(outbox.memory() < 2_000, "{}", outbox.memory());
    }
}
