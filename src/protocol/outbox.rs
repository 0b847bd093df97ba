//! What waits to be written to one peer?
//!
//! Frames of the peer's own lie end to end in one buffer, so that all that a turn queues goes out in one
//! write. A large frame that many peers get is not copied for each of them: it is shared, and remembered with
//! its place between the own bytes.
//!
//! ```text
//!   own     [ frame frame ........ frame ]      next_run(): up to the next shared frame,
//!             ^written     ^at                  or that frame, whichever comes first
//!   shared                [ big frame ]
//! ```
//!
//! An idle connection has no outbox. Those that have been written out go back to the loop's pool with their
//! buffer, so that an echo allocates nothing.

use super::budget::SharedBytes;
use super::time::Tick;
use super::trace::{Side, Trace};
use std::collections::VecDeque;

/// Frames for many are copied up to this size, in bytes, and shared beyond it: below, the copy costs less.
pub const SHARE_FROM: usize = 2 << 10;

/// Runs are joined up to this many bytes, so that a turn's output goes out in one write.
pub const JOINED: usize = 64 << 10;

/// From this size on, in bytes, a message that was put together is sent as it came without a copy; and a buffer of more does
/// not stay with an outbox that has been written: another message may need it.
pub const LARGE: usize = 128 << 10;

/// Larger buffers than this have a quarter to spare, in bytes.
const TRIM_FROM: usize = 256 << 10;

/// Unsent bytes of one conversation.
#[derive(Debug, Default)]
pub struct Outbox {
    own: Vec<u8>,
    /// Bytes of `own` that have been written.
    written: usize,
    shared: VecDeque<Shared>,
    /// Bytes of the first shared frame that have been written.
    shared_written: usize,
    /// Bytes of shared frames that have not.
    shared_unsent: usize,
    /// Since when the peer has taken nothing, if bytes are waiting for it to.
    pub(super) stalled: Option<Tick>,
    /// Some of what waits has been written, but not all: a frame may be under way.
    is_begun: bool,
    /// Bytes of memory that the budget knows of, and capacities then.
    pub(super) counted: usize,
    counted_own: usize,
    counted_shared: usize,
}

#[derive(Debug)]
struct Shared {
    /// How many own bytes come before it.
    at: usize,
    frame: SharedBytes,
}

impl Outbox {
    /// Unsent bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.own.len() - self.written + self.shared_unsent
    }

    /// Bytes of memory that this outbox takes, shared frames not counted.
    pub fn memory(&self) -> usize {
        size_of::<Outbox>() + self.own.capacity() + self.shared.capacity() * size_of::<Shared>()
    }

    /// Whether it takes more memory than the budget knows of.
    #[inline]
    pub(super) fn has_grown(&self) -> bool {
        self.own.capacity() != self.counted_own || self.shared.capacity() != self.counted_shared
    }

    /// Where the budget notes how much memory it takes now.
    pub(super) fn note_size(&mut self) -> &mut usize {
        (self.counted_own, self.counted_shared) = (self.own.capacity(), self.shared.capacity());
        &mut self.counted
    }

    /// Bytes that could be freed with it, those included that it shares with others.
    pub fn holds(&self) -> usize {
        self.memory() + self.shared_unsent
    }

    /// The shared frames among what waits.
    pub(super) fn shared_frames(&self) -> impl Iterator<Item = &SharedBytes> {
        self.shared.iter().map(|shared| &shared.frame)
    }

    /// Whether what waits may be forgotten without a trace: nothing of it has been written.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_begun
    }

    /// What waits, as the text of a handshake.
    pub(super) fn to_trace(&self) -> Trace {
        Trace::Handshake { side: Side::Us, text: self.own[self.written..].to_vec() }
    }

    /// Where own bytes are to be appended, and nothing else to be done.
    #[inline]
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        if self.written > 0 {
            self.compact();
        }
        &mut self.own
    }

    /// Appends a frame that other outboxes have too.
    pub(super) fn append_shared(&mut self, frame: &SharedBytes) {
        self.shared.push_back(Shared { at: self.own.len(), frame: frame.clone() });
        self.shared_unsent += frame.len();
    }

    /// The bytes to write next: everything, if it lies together or fits into `joined`.
    #[inline]
    pub(super) fn next<'a>(&'a self, joined: &'a mut Vec<u8>) -> &'a [u8] {
        if self.shared.is_empty() { &self.own[self.written..] } else { self.join(joined) }
    }

    #[inline(never)]
    fn join<'a>(&'a self, joined: &'a mut Vec<u8>) -> &'a [u8] {
        let run = self.run(self.written, self.shared_written, 0);
        if run.len() == self.len() || run.len() >= JOINED {
            return run;
        }
        joined.clear();
        joined.reserve_exact(JOINED.min(self.len()));
        let (mut written, mut shared_written, mut shared_index) = (self.written, self.shared_written, 0);
        while joined.len() < JOINED {
            let run = self.run(written, shared_written, shared_index);
            if run.is_empty() {
                break;
            }
            joined.extend_from_slice(&run[..run.len().min(JOINED - joined.len())]);
            if self.shared.get(shared_index).is_some_and(|shared| shared.at == written) {
                shared_index += 1;
                shared_written = 0;
            } else {
                written += run.len();
            }
        }
        joined
    }

    /// The bytes that lie together from a place on.
    fn run(&self, written: usize, shared_written: usize, shared_index: usize) -> &[u8] {
        match self.shared.get(shared_index) {
            Some(shared) if shared.at == written => &shared.frame[shared_written..],
            Some(shared) => &self.own[written..shared.at],
            None => &self.own[written..],
        }
    }

    /// `count` bytes of what [`next`](Self::next) gave have been written.
    pub(super) fn advance(&mut self, mut count: usize) {
        if count == self.len() {
            return self.clear();
        }
        self.is_begun |= count > 0;
        while count > 0 {
            match self.shared.front() {
                Some(shared) if shared.at == self.written => {
                    let left = shared.frame.len() - self.shared_written;
                    let step = count.min(left);
                    self.shared_unsent -= step;
                    if step < left {
                        self.shared_written += step;
                        return;
                    }
                    count -= step;
                    self.shared.pop_front();
                    self.shared_written = 0;
                }
                front => {
                    let end = front.map_or(self.own.len(), |shared| shared.at);
                    let step = count.min(end - self.written);
                    self.written += step;
                    count -= step;
                }
            }
        }
    }

    /// Gives back most of the room beyond what waits, if that is much: a buffer doubles as it grows.
    pub(super) fn trim(&mut self) {
        if self.own.capacity() > TRIM_FROM {
            self.own.shrink_to(self.own.len() / 4 * 5);
        }
    }

    /// Room for `count` own bytes, if there are none, perhaps in another buffer.
    pub(super) fn make_room(&mut self, count: usize, other: impl FnOnce() -> Vec<u8>) {
        if self.own.is_empty() && self.own.capacity() < count {
            self.own = other();
            self.own.clear();
        }
    }

    /// Takes out the frames that it shares with others, when everything has been written.
    pub(super) fn drain_shared(&mut self) -> impl Iterator<Item = SharedBytes> {
        (self.shared_written, self.shared_unsent) = (0, 0);
        self.shared.drain(..).map(|shared| shared.frame)
    }

    /// Takes out its own buffer, if it is not to be kept, when everything has been written.
    pub(super) fn take_large(&mut self) -> Option<Vec<u8>> {
        (self.own.capacity() > LARGE).then(|| std::mem::take(&mut self.own))
    }

    /// Whether there is more in it than a buffer to be kept.
    #[inline]
    pub(super) fn has_more_than_is_kept(&self) -> bool {
        self.own.capacity() > LARGE || !self.shared.is_empty()
    }

    /// Forgets everything but keeps the buffer.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.own.clear();
        self.written = 0;
        self.is_begun = false;
        if !self.shared.is_empty() {
            self.clear_shared();
        }
        self.stalled = None;
    }

    #[inline(never)]
    fn clear_shared(&mut self) {
        self.shared.clear();
        self.shared_written = 0;
        self.shared_unsent = 0;
    }

    /// Gives the room of what has been written to what is still to come, once it is more than half.
    #[inline(never)]
    fn compact(&mut self) {
        if self.written >= self.own.len() / 2 {
            self.own.drain(..self.written);
            for shared in &mut self.shared {
                shared.at -= self.written;
            }
            self.written = 0;
        }
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
            assert_eq!(outbox.shared.len(), 0);
        }
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
