//! What does the loop remember of a client from one step to another?

/// What the loop remembers of a client from one step to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    /// `on_open` has been called, so `on_close` must be.
    pub(crate) const OPENED: Flags = Flags(1);
    /// In the queue of those that may have something to read.
    pub(crate) const READ_QUEUED: Flags = Flags(1 << 1);
    /// In the queue of those that have something to write.
    pub(crate) const WRITE_QUEUED: Flags = Flags(1 << 2);
    /// The kernel takes no more bytes until it says so.
    pub(crate) const BLOCKED: Flags = Flags(1 << 3);
    /// Above the high-water mark: not read until below it.
    pub(crate) const HIGH_WATER: Flags = Flags(1 << 4);
    /// There may be something to read, but it may not be read now.
    pub(crate) const UNREAD: Flags = Flags(1 << 5);
    /// FIN or an error is to be read; short reads do not end the reading.
    pub(crate) const READ_CLOSED: Flags = Flags(1 << 6);
    /// In the queue of those that are to be removed.
    pub(crate) const REAP_QUEUED: Flags = Flags(1 << 7);
    /// It must begin with a header of the PROXY protocol.
    pub(crate) const PROXIED: Flags = Flags(1 << 9);
    /// Our half of the stream has been closed.
    pub(crate) const HALF_CLOSED: Flags = Flags(1 << 8);
    /// Not read, because it holds much and memory runs short.
    pub(crate) const PAUSED: Flags = Flags(1 << 10);
    /// Not read, because it has sent more than it may.
    pub(crate) const THROTTLED: Flags = Flags(1 << 11);
    /// Messages for it are dropped while much waits for it.
    pub(crate) const DROPS: Flags = Flags(1 << 12);
    /// Messages wait apart, each to be replaced by a later one.
    pub(crate) const LATEST: Flags = Flags(1 << 13);
    /// One of those whom `len` counts and `iter` finds: open, and `on_open` has been called.
    pub(crate) const LISTED: Flags = Flags(1 << 14);
    /// The kernel takes no more, or something waits apart.
    pub(crate) const BEHIND: Flags = Flags(Flags::BLOCKED.0 | Flags::LATEST.0);
    /// In some queue of the loop.
    pub(crate) const QUEUED: Flags = Flags(Flags::READ_QUEUED.0 | Flags::WRITE_QUEUED.0);
    /// Not read for either reason.
    pub(crate) const WAITS: Flags = Flags(Flags::PAUSED.0 | Flags::THROTTLED.0);
    /// More is to be done than to queue it when it can be read.
    pub(crate) const READY_UNUSUALLY: Flags = Flags(Flags::READ_QUEUED.0 | Flags::BLOCKED.0);
    /// More is to be done for a message than to queue it, and the client to be written to.
    pub(crate) const QUEUES_UNUSUALLY: Flags = Flags(Flags::DROPS.0 | Flags::BLOCKED.0);
    /// To be read, and perhaps nothing is unusual about it.
    pub(crate) const READS_USUALLY: Flags = Flags(Flags::READ_QUEUED.0 | Flags::OPENED.0);
    /// Perhaps not to be read, or more is to be done about what is read.
    pub(crate) const UNUSUAL: Flags =
        Flags(Flags::HIGH_WATER.0 | Flags::WAITS.0 | Flags::PROXIED.0 | Flags::READ_CLOSED.0);
    /// Something happens when what waits for it has become less.
    pub(crate) const WATCHED: Flags = Flags(Flags::HIGH_WATER.0 | Flags::PAUSED.0 | Flags::LATEST.0);

    pub(crate) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    /// Whether all of the first are set, and none of the second.
    #[inline]
    pub(crate) const fn are(self, set: Flags, clear: Flags) -> bool {
        self.0 & (set.0 | clear.0) == set.0
    }

    pub(crate) fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }

    pub(crate) fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }

    /// Sets the flag and says whether it was clear.
    pub(crate) fn raise(&mut self, flag: Flags) -> bool {
        let raised = !self.has(flag);
        self.set(flag);
        raised
    }

    /// Raises [`WRITE_QUEUED`](Self::WRITE_QUEUED), unless the kernel takes nothing now, and says
    /// whether it did.
    pub(crate) fn raise_to_write(&mut self) -> bool {
        !self.has(Flags::BLOCKED) && self.raise(Flags::WRITE_QUEUED)
    }

    /// Clears the flag and says whether it was set.
    pub(crate) fn lower(&mut self, flag: Flags) -> bool {
        let lowered = self.has(flag);
        self.clear(flag);
        lowered
    }
}
