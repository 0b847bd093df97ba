//! One bit for each thing that the loop remembers of a client between two steps.

/// What the loop remembers of a client between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(super) u16);

impl Flags {
    /// `on_open` has been called, so `on_close` must be.
    pub(crate) const OPENED: Flags = Flags(1);
    /// The client is in the queue of those that may have something to read.
    pub(crate) const READ_QUEUED: Flags = Flags(1 << 1);
    /// The client is in the queue of those that have output.
    pub(crate) const WRITE_QUEUED: Flags = Flags(1 << 2);
    /// The kernel takes no bytes until it reports that the socket is writable.
    pub(crate) const BLOCKED: Flags = Flags(1 << 3);
    /// Something may be left to read behind a closed [gate](super::gate).
    pub(super) const UNREAD: Flags = Flags(1 << 5);
    // The gate is closed: one bit for each [reason](super::Reason).
    pub(super) const CLOSED_BY_WATERMARK: Flags = Flags(1 << 4);
    pub(super) const CLOSED_BY_MEMORY: Flags = Flags(1 << 10);
    pub(super) const CLOSED_BY_RATE: Flags = Flags(1 << 11);
    pub(super) const CLOSED_FOR_A_TIME: Flags = Flags(Flags::CLOSED_BY_MEMORY.0 | Flags::CLOSED_BY_RATE.0);
    pub(super) const CLOSED: Flags = Flags(Flags::CLOSED_BY_WATERMARK.0 | Flags::CLOSED_FOR_A_TIME.0);
    /// FIN or an error is next to be read, so a short read does not mean that nothing is left.
    pub(crate) const READ_CLOSED: Flags = Flags(1 << 6);
    /// The client is in the queue of those that have ended.
    pub(crate) const REAP_QUEUED: Flags = Flags(1 << 7);
    /// The socket's bytes are not the connection's: a header of the PROXY protocol comes first, or
    /// there is a TLS session.
    pub(crate) const WRAPPED: Flags = Flags(1 << 9);
    /// We have closed our half of the stream.
    pub(crate) const HALF_CLOSED: Flags = Flags(1 << 8);
    /// Messages for this client are dropped while too many bytes are unsent.
    pub(crate) const DROPS: Flags = Flags(1 << 12);
    /// Conflated messages wait for this client ([`Behind`](super::behind::Behind)).
    pub(crate) const CONFLATES: Flags = Flags(1 << 13);
    /// `len` counts this client and `iter` returns it: it is open, and `on_open` has been called.
    pub(crate) const LISTED: Flags = Flags(1 << 14);
    /// The client takes less than it is sent.
    pub(crate) const BEHIND: Flags = Flags(Flags::BLOCKED.0 | Flags::CONFLATES.0);
    /// The client is queued for its [last look](super::last_look).
    pub(super) const LOOKED_AT: Flags = Flags(1 << 15);
    /// The client is in a queue for reading or writing.
    pub(crate) const QUEUED: Flags = Flags(Flags::READ_QUEUED.0 | Flags::WRITE_QUEUED.0);

    /// What another process has to know. The rest follows from other state, or from readiness.
    #[cfg(feature = "handover")]
    const TRAVELLING: u16 = Flags::OPENED.0
        | Flags::WRAPPED.0
        | Flags::DROPS.0
        | Flags::CONFLATES.0
        | Flags::CLOSED_BY_WATERMARK.0
        | Flags::CLOSED_BY_RATE.0;

    /// Returns what another process has to know.
    #[cfg(feature = "handover")]
    pub(crate) const fn travelling(self) -> u16 {
        self.0 & Flags::TRAVELLING
    }

    /// Returns the flags of another process's client, or `None` if they are not such ones.
    #[cfg(feature = "handover")]
    pub(crate) const fn from_travelling(bits: u16) -> Option<Flags> {
        if bits & !Flags::TRAVELLING == 0 { Some(Flags(bits)) } else { None }
    }

    pub(crate) const fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn set(&mut self, flag: Flags) {
        self.0 |= flag.0;
    }

    pub(crate) const fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }

    /// Sets the flag and returns whether it was clear.
    pub(crate) const fn raise(&mut self, flag: Flags) -> bool {
        let raised = !self.has(flag);
        self.set(flag);
        raised
    }

    /// Raises [`WRITE_QUEUED`](Self::WRITE_QUEUED) unless the kernel takes no bytes. Returns
    /// whether it was raised.
    pub(crate) fn raise_to_write(&mut self) -> bool {
        !self.has(Flags::BLOCKED) && self.raise(Flags::WRITE_QUEUED)
    }

    /// Clears the flag and returns whether it was set.
    pub(crate) const fn lower(&mut self, flag: Flags) -> bool {
        let lowered = self.has(flag);
        self.clear(flag);
        lowered
    }
}
