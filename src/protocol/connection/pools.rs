//! Buffers that are kept for reuse.
//!
//! A connection takes a buffer when it needs one and gives it back when it is idle. Thousands of
//! connections that speak in turn then need the memory of the few that speak now.

use super::inbox::Inbox;
use super::outbox::Outbox;

/// Bytes that a pool keeps at rest, unless the budget is small.
const AT_REST: usize = 128 << 10;

/// The share of the budget that a pool may keep: at rest, and while its buffers are in use.
const REST_SHARE: usize = 64;
const BUSY_SHARE: usize = 16;

/// The pools of a loop.
#[derive(Debug)]
pub(super) struct Pools {
    pub(super) inboxes: Pool<Box<Inbox>>,
    pub(super) outboxes: Pool<Box<Outbox>>,
    /// For payloads.
    pub(super) buffers: Pool<Vec<u8>>,
    /// For compressed payloads: they are smaller, so a shared pool would make them grow again and
    /// again.
    pub(super) compressed: Pool<Vec<u8>>,
    /// For payloads of control frames, if memory is reserved.
    pub(super) controls: Pool<Vec<u8>>,
    /// For bytes that are held, if memory is reserved.
    pub(super) held: Pool<Vec<u8>>,
}

impl Pools {
    pub(super) const fn new() -> Pools {
        Pools {
            inboxes: Pool::new(),
            outboxes: Pool::new(),
            buffers: Pool::new(),
            compressed: Pool::new(),
            controls: Pool::new(),
            held: Pool::new(),
        }
    }

    /// Sets how much each pool may keep, for this memory budget.
    pub(super) fn set_budget(&mut self, budget: usize) {
        self.inboxes.set_budget(budget);
        self.outboxes.set_budget(budget);
        self.buffers.set_budget(budget);
        self.compressed.set_budget(budget);
    }

    /// Whether a pool keeps more than it does at rest.
    pub(super) const fn are_ample(&self) -> bool {
        self.inboxes.is_ample() || self.outboxes.is_ample() || self.buffers.is_ample() || self.compressed.is_ample()
    }

    /// Frees these spares, down to what is kept at rest. Returns how many bytes of inboxes and
    /// outboxes it has freed.
    pub(super) fn trim(&mut self, spares: Spares) -> usize {
        self.buffers.trim(spares);
        self.compressed.trim(spares);
        self.inboxes.trim(spares) + self.outboxes.trim(spares)
    }

    /// Bytes of inboxes and outboxes, which the budget counts itself.
    pub(super) const fn box_bytes(&self) -> usize {
        self.inboxes.bytes + self.outboxes.bytes
    }

    /// Bytes of all other buffers.
    pub(super) const fn buffer_bytes(&self) -> usize {
        self.buffers.bytes + self.compressed.bytes + self.controls.bytes + self.held.bytes
    }
}

/// Which spares are freed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spares {
    /// Those that were not needed since the last time.
    Unused,
    /// All.
    All,
}

/// What a pool can keep.
pub(super) trait Pooled {
    /// Bytes of memory; the same when it is taken as when it was given.
    fn bytes(&self) -> usize;
}

impl Pooled for Vec<u8> {
    fn bytes(&self) -> usize {
        self.capacity()
    }
}

impl Pooled for Box<Inbox> {
    fn bytes(&self) -> usize {
        self.counted
    }
}

impl Pooled for Box<Outbox> {
    #[inline]
    fn bytes(&self) -> usize {
        self.counted
    }
}

/// Spare things of one kind. The one that was given last is taken first.
///
/// A pool keeps more while its things are in use than it does at rest, or each turn would have to
/// get what it needs from the operating system, page by page. [`trim`](Self::trim) frees what was
/// not needed since it was last called.
#[derive(Debug)]
pub(super) struct Pool<T> {
    spare: Vec<T>,
    bytes: usize,
    /// The fewest spare things since the last trim, as of the last give.
    unused: usize,
    /// Bytes that are kept at rest.
    at_rest: usize,
    /// Bytes that are kept at most.
    most: usize,
}

impl<T: Pooled> Pool<T> {
    const fn new() -> Pool<T> {
        Pool { spare: Vec::new(), bytes: 0, unused: 0, at_rest: AT_REST, most: AT_REST }
    }

    fn set_budget(&mut self, budget: usize) {
        self.at_rest = AT_REST.min(budget / REST_SHARE);
        self.most = budget / BUSY_SHARE;
    }

    /// Fills the pool, which then keeps all.
    pub(super) fn fill(&mut self, count: usize, mut make: impl FnMut() -> T) {
        (self.at_rest, self.most) = (usize::MAX, usize::MAX);
        self.spare.reserve_exact(2 * count);
        for _ in 0..count {
            let spare = make();
            self.bytes += spare.bytes();
            self.spare.push(spare);
        }
    }

    /// Takes a spare one, if there is one.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        let spare = self.spare.pop()?;
        self.bytes -= spare.bytes();
        Some(spare)
    }

    /// Keeps a spare one.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    #[inline(always)]
    pub(super) fn give(&mut self, spare: T) -> Result<(), T> {
        let sum = self.bytes + spare.bytes();
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

    /// Frees these spares, down to what is kept at rest. Returns how many bytes it has freed.
    fn trim(&mut self, spares: Spares) -> usize {
        let before = self.bytes;
        let most = match spares {
            Spares::All => self.spare.len(),
            Spares::Unused => self.unused.min(self.spare.len()),
        };
        let mut count = 0;
        while count < most && self.bytes > self.at_rest {
            self.bytes -= self.spare[count].bytes();
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

impl Pool<Vec<u8>> {
    /// Takes a spare buffer or a new one; it is empty.
    pub(super) fn take_or_new(&mut self) -> Vec<u8> {
        let mut buffer = self.take().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Keeps a buffer if it has capacity and there is room, and frees it otherwise.
    pub(super) fn give_or_free(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > 0 {
            drop(self.give(buffer));
        }
    }
}
