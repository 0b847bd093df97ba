//! How much memory do all conversations of a loop hold together, and is that too much?
//!
//! What counts is capacity, not length, and only what is there: nothing is reserved because a peer
//! has announced it. Inboxes and outboxes are counted when they have grown and when they are freed,
//! a frame that many outboxes share once, spare buffers and compressors with the rest.
//!
//! ```text
//!  0 ─────────────────────── 3/4 ───────── 7/8 ───── ceiling ── reserve ── limit
//!     everybody is read       │ whoever holds │         │ room for what one step adds
//!                             │ more than is  │         └─ whoever holds most is closed,
//!                             │ free is not   └─────────── until no more is held than this,
//!                             └─────────────────────────── and after a while, than this
//! ```

use super::message::{Gathered, Message};
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

/// The marks of a budget, and what counts against it apart from pools and compressors.
#[derive(Debug)]
pub(super) struct Budget {
    /// Above it somebody has to go.
    ceiling: usize,
    /// Bytes of inboxes and outboxes, those in use and the spare ones.
    pub(super) boxes: usize,
    /// Bytes of frames that outboxes share.
    pub(super) frames: Meter,
    /// More than three quarters of the ceiling were held when it was last looked at.
    pub(super) is_near: bool,
    /// More than the ceiling was.
    pub(super) is_over: bool,
}

/// How much is held, compared with the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Beyond it, memory runs short.
    Near,
    /// When no more is held than this, enough has been freed for everybody to stay who is there.
    Relieved,
}

impl Budget {
    /// At most `limit` bytes, of which `reserve` are for what one step can add before anybody
    /// looks.
    pub(super) fn new(limit: usize, reserve: usize) -> Budget {
        Budget {
            ceiling: limit.saturating_sub(reserve),
            boxes: 0,
            frames: Meter::default(),
            is_near: false,
            is_over: false,
        }
    }

    /// So much is held.
    pub(super) const fn judge(&mut self, held: usize) {
        self.is_near = held > self.at(Mark::Near);
        self.is_over = held > self.ceiling;
    }

    /// Bytes that are still free.
    pub(super) const fn free(&self, held: usize) -> usize {
        self.ceiling.saturating_sub(held)
    }

    /// The most bytes that may be held, at one of the marks.
    pub(super) const fn at(&self, mark: Mark) -> usize {
        match mark {
            Mark::Near => self.ceiling / 4 * 3,
            Mark::Relieved => self.ceiling / 8 * 7,
        }
    }
}

/// Counts bytes that have several owners.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<Cell<usize>>);

impl Meter {
    pub(super) fn bytes(&self) -> usize {
        self.0.get()
    }
}

/// Bytes with several owners, counted once for as long as one of them is left.
#[derive(Clone, Debug)]
pub struct SharedBytes(Rc<Counted>);

/// What shared bytes cost besides: their counts, the allocator's, and the places where they wait.
const BESIDES: usize = 96;

#[derive(Debug)]
struct Counted {
    payload: Gathered,
    /// Bytes that the meter knows of.
    memory: usize,
    meter: Meter,
}

impl SharedBytes {
    /// Counts these bytes from now on.
    pub(super) fn new(payload: Gathered, meter: &Meter) -> SharedBytes {
        let memory = payload.capacity() + BESIDES;
        meter.0.set(meter.bytes() + memory);
        SharedBytes(Rc::new(Counted { payload, memory, meter: meter.clone() }))
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory(&self) -> usize {
        self.0.memory
    }

    /// The message that they are.
    pub(crate) fn as_message(&self) -> Message<'_> {
        self.0.payload.as_message()
    }

    /// Whether these are the very same bytes, not only equal ones.
    pub(super) fn are(&self, bytes: &[u8]) -> bool {
        std::ptr::eq::<[u8]>(&**self, bytes)
    }

    /// Their buffer, if this is their last owner.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        let mut counted = Rc::into_inner(self.0)?;
        Some(std::mem::replace(&mut counted.payload, Gathered::Binary(Vec::new())).into_buffer())
    }

    /// Where they lie: the same for all owners.
    #[cfg(feature = "sim")]
    pub(crate) fn place(&self) -> *const u8 {
        self.as_ptr()
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_message().as_bytes()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.meter.0.set(self.meter.bytes() - self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_count_once_and_until_the_last_owner_is_gone() {
        let meter = Meter::default();
        let first = SharedBytes::new(Gathered::Binary(vec![7; 1_000]), &meter);
        let second = first.clone();
        assert_eq!((meter.bytes(), second.len()), (1_000 + BESIDES, 1_000));
        assert!(second.are(&first) && !second.are(&[7; 1_000]));
        assert_eq!(first.into_buffer(), None, "not the last owner");
        assert_eq!(meter.bytes(), second.memory());
        assert_eq!(second.into_buffer(), Some(vec![7; 1_000]), "the last owner");
        assert_eq!(meter.bytes(), 0);
    }

    #[test]
    fn the_marks_stand_in_their_order() {
        let mut budget = Budget::new(1_100, 100);
        assert_eq!([Mark::Near, Mark::Relieved].map(|mark| budget.at(mark)), [750, 875]);
        for (held, near, over) in [(750, false, false), (751, true, false), (1_000, true, false), (1_001, true, true)] {
            budget.judge(held);
            assert_eq!((budget.is_near, budget.is_over), (near, over), "{held}");
        }
        assert_eq!((budget.free(900), budget.free(2_000)), (100, 0));
    }
}
