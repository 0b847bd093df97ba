//! The memory budget of all connections of a loop.
//!
//! Capacity counts, not length, and only memory that exists: a length that a peer announces
//! reserves nothing. Inboxes and outboxes are counted when they grow and when they are freed. A
//! frame that many outboxes share counts once. Pools and compressors count too.
//!
//! ```text
//!  0 ─────────────────────── 3/4 ───────── 7/8 ───── ceiling ── reserve ── limit
//!     everybody is read       │ whoever holds │         │ room for what one step adds
//!                             │ more than is  │         └─ whoever holds most is closed,
//!                             │ free is not   └─────────── until no more is held than this,
//!                             └─────────────────────────── and after a while, than this
//! ```

use super::shared_bytes::Meter;

/// The marks of a budget, and the bytes of inboxes, outboxes and shared frames.
#[derive(Debug)]
pub(super) struct Budget {
    /// Above it, clients are evicted.
    ceiling: usize,
    /// Bytes of inboxes and outboxes, both those in use and those in pools.
    boxes: usize,
    /// Bytes of frames that outboxes share.
    pub(super) frames: Meter,
    /// At the last review, more was held than [`Mark::Near`].
    is_near: bool,
    /// At the last review, more was held than the ceiling.
    is_over: bool,
}

/// A point on the scale between nothing and the whole budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Above it, memory is short.
    Near,
    /// At or below it, eviction has freed enough.
    Relieved,
}

impl Budget {
    /// At most `limit` bytes. `reserve` of them are for what one step can add before the next
    /// review.
    pub(super) fn new(limit: usize, reserve: usize) -> Budget {
        Budget {
            ceiling: limit.saturating_sub(reserve),
            boxes: 0,
            frames: Meter::default(),
            is_near: false,
            is_over: false,
        }
    }

    /// Bytes of inboxes, outboxes and shared frames.
    pub(super) fn bytes(&self) -> usize {
        self.boxes + self.frames.bytes()
    }

    /// Counts an inbox or outbox of `memory` bytes that was counted with `counted` bytes before.
    pub(super) const fn recount(&mut self, counted: usize, memory: usize) {
        self.boxes = self.boxes.saturating_sub(counted) + memory;
    }

    /// Compares the bytes that are held now with the marks.
    pub(super) const fn review(&mut self, held: usize) {
        self.is_near = held > self.at(Mark::Near);
        self.is_over = held > self.ceiling;
    }

    /// Whether more than three quarters of the budget were held at the last review.
    pub(super) const fn is_near(&self) -> bool {
        self.is_near
    }

    /// Whether more than the ceiling was held at the last review.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The most bytes that may be held.
    pub(super) const fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// Bytes that are still free when `held` bytes are held.
    pub(super) const fn free(&self, held: usize) -> usize {
        self.ceiling.saturating_sub(held)
    }

    /// The bytes that may be held at a mark.
    pub(super) const fn at(&self, mark: Mark) -> usize {
        match mark {
            Mark::Near => self.ceiling / 4 * 3,
            Mark::Relieved => self.ceiling / 8 * 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_stand_in_their_order() {
        let mut budget = Budget::new(1_100, 100);
        assert_eq!([Mark::Near, Mark::Relieved].map(|mark| budget.at(mark)), [750, 875]);
        for (held, near, over) in [(750, false, false), (751, true, false), (1_000, true, false), (1_001, true, true)] {
            budget.review(held);
            assert_eq!((budget.is_near(), budget.is_over()), (near, over), "{held}");
        }
        assert_eq!((budget.free(900), budget.free(2_000)), (100, 0));
    }
}
