//! What waits to be written to one peer?
//!
//! Frames of the peer's own lie end to end in one buffer, so that all that a turn queues goes out
//! in one write. A large frame that many peers get is not copied for each of them: it is shared,
//! and remembered with its place between the own bytes.
//!
//! ```text
//!   own     [ frame frame ........ frame ]      next_run(): up to the next shared frame,
//!             ^written     ^at                  or that frame, whichever comes first
//!   shared                [ big frame ]
//! ```
//!
//! An idle connection has no outbox. Those that have been written out go back to the loop's pool
//! with their buffer, so that an echo allocates nothing.

use super::budget::SharedBytes;
use super::trace::{Side, Trace};
use crate::protocol::time::Tick;
use std::collections::VecDeque;

/// Frames for many are copied up to this size, in bytes, and shared beyond it: below, the copy
/// costs less.
pub const SHARE_FROM: usize = 2 << 10;

/// Runs are joined up to this many bytes, so that a turn's output goes out in one write.
pub const JOINED: usize = 64 << 10;

/// From this size on, in bytes, a message that was put together is sent as it came without a copy;
/// and a buffer of more does not stay with an outbox that has been written: another message may
/// need it.
pub const LARGE: usize = 128 << 10;

/// Larger buffers than this have a quarter to spare, in bytes.
const TRIM_FROM: usize = 256 << 10;

/// Unsent bytes of one conversation.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Its own bytes, and behind them what is left of earlier ones: short frames are written over
    /// that.
    own: Vec<u8>,
    /// How many of `own` wait or have been written, if it is not all of them.
    used: usize,
    /// Bytes of `own` that have been written.
    written: usize,
    /// Frames that others have too, if there have been any.
    shared: Option<Box<Shared>>,
    /// Bytes of memory that the budget knows of.
    pub(super) counted: usize,
    /// Since when the peer has taken nothing, if bytes are waiting for it to.
    pub(super) stalled: Option<Tick>,
    /// Some of what waits has been written, but not all: a frame may be under way.
    is_begun: bool,
}

/// All of `own` is used: frames are appended to it as to any vector, until it has been
/// [cleared](Outbox::clear).
const ALL: usize = usize::MAX;

/// Frames between the own bytes.
#[derive(Debug, Default)]
struct Shared {
    frames: VecDeque<SharedFrame>,
    /// Bytes of the first one that have been written.
    written: usize,
    /// Bytes that have not.
    unsent: usize,
}

#[derive(Debug)]
struct SharedFrame {
    /// How many own bytes come before it.
    at: usize,
    frame: SharedBytes,
}

impl Outbox {
    /// Unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        let shared = self.shared.as_ref().map_or(0, |shared| shared.unsent);
        self.end() - self.written + shared
    }

    /// How many own bytes wait or have been written.
    #[inline(always)]
    fn end(&self) -> usize {
        self.used.min(self.own.len())
    }

    /// Bytes of memory that this outbox takes, shared frames not counted.
    pub fn memory(&self) -> usize {
        let of_places = |shared: &Shared| size_of::<Shared>() + shared.frames.capacity() * size_of::<SharedFrame>();
        size_of::<Outbox>() + self.own.capacity() + self.shared.as_deref().map_or(0, of_places)
    }

    /// Bytes that could be freed with it, those included that it shares with others.
    pub fn holds(&self) -> usize {
        self.memory() + self.shared.as_ref().map_or(0, |shared| shared.unsent)
    }

    /// The shared frames among what waits.
    pub(super) fn shared_frames(&self) -> impl Iterator<Item = &SharedBytes> {
        self.shared.iter().flat_map(|shared| &shared.frames).map(|shared| &shared.frame)
    }

    /// Whether what waits may be forgotten without a trace: nothing of it has been written.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_begun
    }

    /// What waits, as the text of a handshake.
    pub(super) fn to_trace(&self) -> Trace {
        Trace::Handshake { side: Side::Us, text: self.own[self.written..self.end()].to_vec() }
    }

    // ---- more waits ----------------------------------------------------------------------------

    /// Where own bytes are to be appended, and nothing else to be done.
    #[inline]
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        if self.used < self.own.len() {
            self.own.truncate(self.used);
        }
        self.used = ALL;
        if self.written > 0 {
            self.compact();
        }
        &mut self.own
    }

    /// Where so many bytes can be appended, if that is over what is left of earlier ones; they have
    /// to be put there.
    #[inline(always)]
    pub(super) fn place(&mut self, count: usize) -> Option<&mut [u8]> {
        let end = self.used.checked_add(count)?;
        let place = self.own.get_mut(self.used..end)?;
        self.used = end;
        Some(place)
    }

    /// The same in an outbox that has been [cleared](Self::clear).
    #[inline(always)]
    pub(super) fn first_place(&mut self, count: usize) -> Option<&mut [u8]> {
        let place = self.own.get_mut(..count)?;
        self.used = count;
        Some(place)
    }

    /// Appends a whole frame, if that is over what is left of earlier ones.
    #[inline]
    pub(super) fn put(&mut self, frame: &[u8]) -> bool {
        self.place(frame.len()).map(|place| place.copy_from_slice(frame)).is_some()
    }

    /// Appends a frame that other outboxes have too.
    pub(super) fn append_shared(&mut self, frame: &SharedBytes) {
        let at = self.own().len();
        let shared = self.shared.get_or_insert_default();
        shared.frames.push_back(SharedFrame { at, frame: frame.clone() });
        shared.unsent += frame.len();
    }

    /// Room for `count` own bytes, if there are none, perhaps in another buffer.
    pub(super) fn make_room(&mut self, count: usize, other: impl FnOnce() -> Vec<u8>) {
        if self.end() == 0 && self.own.capacity() < count {
            self.own = other();
            self.used = 0;
        }
    }

    /// Gives the room of what has been written to what is still to come, once it is more than half.
    #[inline(never)]
    fn compact(&mut self) {
        if self.written >= self.own.len() / 2 {
            self.own.drain(..self.written);
            for shared in self.shared.iter_mut().flat_map(|shared| &mut shared.frames) {
                shared.at -= self.written;
            }
            self.written = 0;
        }
    }

    /// Gives back most of the room beyond what waits, if that is much: a buffer doubles as it
    /// grows.
    pub(super) fn trim(&mut self) {
        if self.own.capacity() > TRIM_FROM {
            self.own.truncate(self.used);
            self.own.shrink_to(self.own.len() / 4 * 5);
        }
    }

    // ---- some of it goes -----------------------------------------------------------------------

    /// The bytes to write next: everything, if it lies together or fits into `joined`.
    #[inline]
    pub(super) fn next<'a>(&'a self, joined: &'a mut Vec<u8>) -> &'a [u8] {
        match &self.shared {
            Some(shared) if !shared.frames.is_empty() => self.join(shared, joined),
            _ => &self.own[self.written..self.end()],
        }
    }

    /// Everything, if it lies together and is no more than `most` bytes, but some.
    #[inline]
    pub(super) fn plain(&self, most: usize) -> Option<&[u8]> {
        let plain = self.own.get(self.written..self.end())?;
        let is_all = self.shared.as_ref().is_none_or(|shared| shared.frames.is_empty());
        (is_all && !plain.is_empty() && plain.len() <= most).then_some(plain)
    }

    #[inline(never)]
    fn join<'a>(&'a self, shared: &'a Shared, joined: &'a mut Vec<u8>) -> &'a [u8] {
        let run = self.run(shared, self.written, shared.written, 0);
        if run.len() == self.len() || run.len() >= JOINED {
            return run;
        }
        joined.clear();
        joined.reserve_exact(JOINED.min(self.len()));
        let (mut written, mut shared_written, mut index) = (self.written, shared.written, 0);
        while joined.len() < JOINED {
            let run = self.run(shared, written, shared_written, index);
            if run.is_empty() {
                break;
            }
            joined.extend_from_slice(&run[..run.len().min(JOINED - joined.len())]);
            if shared.frames.get(index).is_some_and(|shared| shared.at == written) {
                index += 1;
                shared_written = 0;
            } else {
                written += run.len();
            }
        }
        joined
    }

    /// The bytes that lie together from a place on.
    fn run<'a>(&'a self, shared: &'a Shared, written: usize, shared_written: usize, index: usize) -> &'a [u8] {
        match shared.frames.get(index) {
            Some(shared) if shared.at == written => &shared.frame[shared_written..],
            Some(shared) => &self.own[written..shared.at],
            None => &self.own[written..self.end()],
        }
    }

    /// `count` bytes of what [`next`](Self::next) gave have been written.
    pub(super) fn advance(&mut self, mut count: usize) {
        if count == self.len() {
            return self.clear();
        }
        self.is_begun |= count > 0;
        while count > 0 {
            let first = self.shared.as_mut().and_then(|shared| Some((shared.frames.front()?.at, shared)));
            match first {
                Some((at, shared)) if at == self.written => {
                    let left = shared.frames[0].frame.len() - shared.written;
                    let step = count.min(left);
                    shared.unsent -= step;
                    if step < left {
                        shared.written += step;
                        return;
                    }
                    count -= step;
                    shared.frames.pop_front();
                    shared.written = 0;
                }
                first => {
                    let end = first.map_or(self.used.min(self.own.len()), |(at, _)| at);
                    let step = count.min(end - self.written);
                    self.written += step;
                    count -= step;
                }
            }
        }
    }

    // ---- all has gone --------------------------------------------------------------------------

    /// Whether there is more in it than a buffer to be kept.
    #[inline]
    pub(super) fn has_more_than_is_kept(&self) -> bool {
        self.own.capacity() > LARGE || self.shared.as_ref().is_some_and(|shared| !shared.frames.is_empty())
    }

    /// Takes out the frames that it shares with others.
    pub(super) fn drain_shared(&mut self) -> impl Iterator<Item = SharedBytes> {
        self.shared.iter_mut().flat_map(|shared| shared.frames.drain(..)).map(|shared| shared.frame)
    }

    /// Takes out its own buffer, if it is not to be kept.
    pub(super) fn take_large(&mut self) -> Option<Vec<u8>> {
        (self.own.capacity() > LARGE).then(|| std::mem::take(&mut self.own))
    }

    /// Forgets everything but keeps the buffers.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.written = 0;
        self.is_begun = false;
        if let Some(shared) = &mut self.shared {
            shared.frames.clear();
            (shared.written, shared.unsent) = (0, 0);
        }
        self.stalled = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Meter;
    use super::super::message::Gathered;
    use super::*;

    #[test]
    fn own_and_shared_bytes_leave_in_the_order_in_which_they_came_however_writes_are_cut() {
        let meter = Meter::default();
        let big = SharedBytes::new(Gathered::Binary((0..SHARE_FROM).map(|i| i as u8).collect()), &meter);
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

    /// Whatever is appended in whichever way, and however writes are cut: also over what is left of
    /// earlier frames.
    #[test]
    fn nothing_of_earlier_frames_goes_out_again() {
        let rounds = if cfg!(miri) { 60 } else { 3_000_u32 };
        let (mut outbox, mut joined) = (Outbox::default(), Vec::new());
        let big = SharedBytes::new(Gathered::Binary(vec![0xbb; 50]), &Meter::default());
        let (mut expected, mut received) = (Vec::new(), Vec::new());
        let mut random = 1_u32;
        for round in 0..rounds {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let frame = vec![round as u8; (random >> 8) as usize % 40];
            match random >> 24 & 7 {
                0 => outbox.own().extend_from_slice(&frame),
                1 => outbox.append_shared(&big),
                2..=4 => match outbox.place(frame.len()) {
                    Some(place) => place.copy_from_slice(&frame),
                    None => outbox.own().extend_from_slice(&frame),
                },
                _ if outbox.len() == 0 => {
                    outbox.clear();
                    match outbox.first_place(frame.len()) {
                        Some(place) => place.copy_from_slice(&frame),
                        None => outbox.own().extend_from_slice(&frame),
                    }
                }
                _ if outbox.put(&frame) => {}
                _ => outbox.own().extend_from_slice(&frame),
            }
            expected.extend_from_slice(if random >> 24 & 7 == 1 { &big } else { &frame });
            let next = outbox.next(&mut joined);
            if let Some(plain) = outbox.plain(usize::MAX) {
                assert_eq!(plain, next);
            }
            let count = if random & 3 == 0 { next.len() } else { next.len().min((random >> 16) as usize % 60) };
            received.extend_from_slice(&next[..count]);
            outbox.advance(count);
            assert_eq!((outbox.len(), &expected[..received.len()]), (expected.len() - received.len(), &received[..]));
        }
        assert!(outbox.memory() < 20_000, "{}", outbox.memory());
    }

    #[test]
    fn what_fits_goes_out_in_one_write() {
        let frame = SharedBytes::new(Gathered::Binary(vec![7; 3_000]), &Meter::default());
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
