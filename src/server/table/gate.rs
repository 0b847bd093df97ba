//! May a client be read, and if not, why not?
//!
//! A client's gate is closed for a [`Reason`], or for several. Whoever finds it closed notes that
//! something is left [unread](Table::leave_unread); when the last reason goes, the client is queued
//! again. That happens in one place, [`Table::open`].
//!
//! | reason | closed when | opened when |
//! |---|---|---|
//! | [`Watermark`](Reason::Watermark) | a write begins with more than `high_water` unsent bytes | a write ends with no more than that |
//! | [`Memory`](Reason::Memory) | it is to be read, memory is short, and it holds more than is free | it holds less, more is free, or the peer has hung up |
//! | [`Rate`](Reason::Rate) | it has sent more than its rate allows | it has paid its debt |

use super::client::Client;
use super::flags::Flags;
use super::table::Table;
use super::times::Times;
use crate::protocol::State;
use crate::protocol::time::Tick;

/// Why a client is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It does not take what is sent to it.
    Watermark,
    /// It holds much, and memory is short. For a time.
    Memory,
    /// It has sent more than it may. For a time.
    Rate,
}

impl Reason {
    const fn flag(self) -> Flags {
        match self {
            Reason::Watermark => Flags::CLOSED_BY_WATERMARK,
            Reason::Memory => Flags::CLOSED_BY_MEMORY,
            Reason::Rate => Flags::CLOSED_BY_RATE,
        }
    }
}

/// The clients that are not read for a time, by their places, and until when.
#[derive(Debug, Default)]
pub(super) struct Timed {
    memory: Times,
    rate: Times,
}

impl Timed {
    const fn of(&mut self, reason: Reason) -> Option<&mut Times> {
        match reason {
            Reason::Watermark => None,
            Reason::Memory => Some(&mut self.memory),
            Reason::Rate => Some(&mut self.rate),
        }
    }

    fn forget(&mut self, index: u32, reason: Reason) {
        if let Some(timed) = self.of(reason) {
            timed.remove(index);
        }
    }
}

impl<D> Client<D> {
    /// Whether its gate is closed for this reason.
    #[inline]
    pub(crate) const fn is_closed(&self, reason: Reason) -> bool {
        self.flags.has(reason.flag())
    }

    /// Whether its gate is closed for a reason that lasts for a time.
    #[inline]
    pub(crate) const fn is_closed_for_a_time(&self) -> bool {
        self.flags.has(Flags::CLOSED_FOR_A_TIME)
    }

    /// Whether it does not take what is sent to it: more than `high_water` bytes are unsent, or
    /// were when it was written to last.
    #[inline]
    pub(crate) fn is_above(&self, high_water: usize) -> bool {
        self.connection.buffered_amount() > high_water || self.is_closed(Reason::Watermark)
    }

    /// Whether it may be read now.
    pub(crate) fn may_be_read(&self, high_water: usize) -> bool {
        match self.connection.state() {
            State::Closed | State::Deciding => false,
            State::Handshaking => !self.is_closed_for_a_time(),
            State::Open => !self.is_closed_for_a_time() && !self.is_above(high_water),
            State::Closing => !self.is_above(high_water),
            State::Draining | State::Flushing => true,
        }
    }
}

impl<D> Table<D> {
    /// Closes a client's gate. Returns whether it was open for this reason.
    pub(crate) fn close(&mut self, index: usize, reason: Reason) -> bool {
        self[index].flags.raise(reason.flag())
    }

    /// Closes a client's gate until then, when its deadline comes. Returns whether it was open for
    /// this reason.
    pub(crate) fn close_until(&mut self, index: usize, reason: Reason, until: Tick) -> bool {
        if let Some(timed) = self.timed.of(reason) {
            timed.insert(index as u32, until);
        }
        self.arm(index, until);
        self.close(index, reason)
    }

    /// Opens a client's gate for this reason. If that was the last one, and something is unread,
    /// the client is queued again.
    pub(crate) fn open(&mut self, index: usize, reason: Reason) -> bool {
        let was_closed = self[index].flags.lower(reason.flag());
        if was_closed {
            self.timed.forget(index as u32, reason);
            if !self[index].flags.has(Flags::CLOSED) {
                self.read_what_is_unread(index);
            }
        }
        was_closed
    }

    /// Opens a client's gate for good: it is read to its end, since bytes that are unread when its
    /// socket is closed make the kernel send a reset.
    pub(super) fn open_to_the_end(&mut self, index: usize) {
        self.forget_times(index);
        self[index].flags.clear(Flags::CLOSED);
        self.read_what_is_unread(index);
    }

    fn read_what_is_unread(&mut self, index: usize) {
        if self[index].flags.lower(Flags::UNREAD) {
            self.queue_read(index);
        }
    }

    /// Something may be left to read of a client that may not be read now.
    pub(crate) fn leave_unread(&mut self, index: usize) {
        self[index].flags.set(Flags::UNREAD);
    }

    /// Until when a client's gate is closed for this reason.
    pub(crate) fn closed_until(&self, index: usize, reason: Reason) -> Option<Tick> {
        let timed = match reason {
            Reason::Watermark => return None,
            Reason::Memory => &self.timed.memory,
            Reason::Rate => &self.timed.rate,
        };
        timed.get(index as u32)
    }

    /// When something is to be done about a client's gate.
    pub(super) fn gate_due(&self, index: usize) -> Option<Tick> {
        if !self[index].is_closed_for_a_time() {
            return None;
        }
        Tick::earliest(self.closed_until(index, Reason::Memory), self.closed_until(index, Reason::Rate))
    }

    /// The clients that are not read because memory is short.
    pub(crate) fn closed_by_memory(&self) -> Vec<usize> {
        self.timed.memory.clients().map(|index| index as usize).collect()
    }

    /// Whether there are any.
    #[inline]
    pub(crate) fn is_any_closed_by_memory(&self) -> bool {
        !self.timed.memory.is_empty()
    }

    /// A client is removed.
    pub(super) fn forget_times(&mut self, index: usize) {
        if self[index].is_closed_for_a_time() {
            self.timed.forget(index as u32, Reason::Memory);
            self.timed.forget(index as u32, Reason::Rate);
        }
    }
}
