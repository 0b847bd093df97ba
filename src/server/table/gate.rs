//! The reading gate: may a client be read, and if not, for which reasons?
//!
//! A client is read while its gate is open. [`Table::close`] closes it for a [`Reason`], and
//! [`Table::open`] removes the reason. If a client is found ready behind a closed gate, the engine
//! calls [`Table::leave_unread`]. When the last reason is removed, `open` queues such a client
//! again; no other function does.
//!
//! | reason | the gate closes when | it opens when |
//! |---|---|---|
//! | `Watermark` | a write begins with too much unsent | a write ends with no more than that |
//! | `Memory` | the client holds more than is free | it holds less, or more is free |
//! | `Rate` | the client has sent more than its rate allows | enough time has passed |
//! | a pause | the application pauses the client | the application resumes the client |
//!
//! The connection knows of a pause itself, because it holds what has already been read
//! ([`Table::pause`]).
//!
//! Too much is more than `high_water`. A client that is [read above
//! it](crate::Clients::read_above_high_water) is read nevertheless. The gate closes for `Memory` only
//! if memory is short and a read is due. It also opens when the peer has closed.
//!
//! The questions that are asked here only ask. They change nothing.

use super::client::Client;
use super::flags::Flags;
use super::table::{At, Table};
use super::times::Times;
use crate::protocol::State;
use crate::protocol::time::Tick;
use crate::server::data::ClientData;

/// Why a client is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The client takes less than it is sent.
    Watermark,
    /// The client holds much, and memory is short. Lasts until a deadline.
    Memory,
    /// The client has sent more than its rate allows. Lasts until a deadline.
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

/// The deadlines of gates that are closed for a time, by client.
#[derive(Debug, Default)]
pub(super) struct Timed {
    memory: Times,
    rate: Times,
}

impl Timed {
    pub(super) fn reserve(&mut self, clients: usize) {
        self.memory.reserve(clients);
        self.rate.reserve(clients);
    }

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

impl<D: ClientData> Client<D> {
    /// Returns whether the gate is closed for this reason.
    #[inline]
    pub(crate) const fn is_closed(&self, reason: Reason) -> bool {
        self.flags.has(reason.flag())
    }

    /// Returns whether the gate is closed and the peer has sent something.
    pub(crate) fn is_left_unread(&self) -> bool {
        self.is_gate_closed() && self.flags.has(Flags::UNREAD)
    }

    fn is_gate_closed(&self) -> bool {
        self.is_closed_for_a_time()
            || self.connection.is_paused()
            || self.is_closed(Reason::Watermark) && !self.reads_above_high_water()
    }

    /// Returns whether the watermark does not close the gate, because the application pauses
    /// clients itself.
    fn reads_above_high_water(&self) -> bool {
        self.connection.extra().is_some_and(|extra| extra.reads_above_high_water)
    }

    fn must_wait_for_peer(&self, high_water: usize) -> bool {
        self.is_above(high_water) && !self.reads_above_high_water()
    }

    /// Returns whether the gate is closed for a reason that has a deadline.
    #[inline]
    pub(crate) const fn is_closed_for_a_time(&self) -> bool {
        self.flags.has(Flags::CLOSED_FOR_A_TIME)
    }

    /// Returns whether the client is above the watermark: more than `high_water` bytes are unsent,
    /// or were at the last write.
    #[inline]
    pub(crate) fn is_above(&self, high_water: usize) -> bool {
        self.connection.buffered_amount() > high_water || self.is_closed(Reason::Watermark)
    }

    /// Returns whether the client may be read now, by its state and its gate.
    pub(crate) fn may_be_read(&self, high_water: usize) -> bool {
        match self.connection.state() {
            State::Closed | State::Deciding => false,
            State::Responding => self.connection.is_streaming(),
            State::Handshaking => !self.is_closed_for_a_time(),
            State::Open => {
                !self.is_closed_for_a_time() && !self.connection.is_paused() && !self.must_wait_for_peer(high_water)
            }
            State::Closing => !self.must_wait_for_peer(high_water),
            State::Draining | State::Flushing => true,
        }
    }
}

impl<D: ClientData> Table<D> {
    /// Closes a client's gate for a reason. Returns whether the reason is new.
    pub(crate) fn close(&mut self, index: usize, reason: Reason) -> bool {
        self[index].flags.raise(reason.flag())
    }

    /// Closes a client's gate for a reason that has a deadline. Returns whether the reason is new.
    pub(crate) fn close_until(&mut self, index: usize, reason: Reason, until: Tick) -> bool {
        if let Some(timed) = self.timed.of(reason) {
            timed.insert(index as u32, until);
        }
        self.arm(index, until);
        self.close(index, reason)
    }

    /// Removes a reason. If it was the last one and something is unread, queues the client for
    /// reading. Returns whether the gate was closed for this reason.
    pub(crate) fn open(&mut self, index: usize, reason: Reason) -> bool {
        let was_closed = self[index].flags.lower(reason.flag());
        if was_closed {
            self.timed.forget(index as u32, reason);
            self.read_if_gate_is_open(index);
        }
        was_closed
    }

    /// Closes a client's gate because the application pauses the client.
    pub(crate) fn pause(&mut self, index: usize) {
        self[index].connection.pause();
    }

    /// Ends a pause. Queues the client for reading if something is unread or held. Returns `false`
    /// if there was no pause.
    pub(crate) fn resume(&mut self, index: usize) -> bool {
        let At { client, now, .. } = self.at(index);
        if !client.connection.resume(now) {
            return false;
        }
        if client.connection.has_held() {
            self.leave_unread(index);
        }
        self.read_if_gate_is_open(index);
        // A timeout that the pause has suspended may end before the deadline that is armed.
        self.arm_deadline(index);
        true
    }

    fn read_if_gate_is_open(&mut self, index: usize) {
        if !self[index].is_gate_closed() {
            self.read_what_is_unread(index);
        }
    }

    /// Removes all reasons: the client is read to its end. If the socket were closed with unread
    /// bytes, the kernel would send a reset.
    pub(super) fn open_to_the_end(&mut self, index: usize) {
        self.forget_times(index);
        self[index].flags.clear(Flags::CLOSED);
        self.resume(index);
        self.read_what_is_unread(index);
    }

    fn read_what_is_unread(&mut self, index: usize) {
        if self[index].flags.lower(Flags::UNREAD) {
            self.queue_read(index);
        }
    }

    /// Notes that something may be left to read behind a closed gate.
    pub(crate) fn leave_unread(&mut self, index: usize) {
        self[index].flags.set(Flags::UNREAD);
    }

    /// Returns the deadline of a reason for which a client's gate is closed.
    pub(crate) fn closed_until(&self, index: usize, reason: Reason) -> Option<Tick> {
        let timed = match reason {
            Reason::Watermark => return None,
            Reason::Memory => &self.timed.memory,
            Reason::Rate => &self.timed.rate,
        };
        timed.get(index as u32)
    }

    /// Returns the next deadline of a client's gate.
    pub(super) fn gate_due(&self, index: usize) -> Option<Tick> {
        if !self[index].is_closed_for_a_time() {
            return None;
        }
        Tick::earliest(self.closed_until(index, Reason::Memory), self.closed_until(index, Reason::Rate))
    }

    /// Returns the clients whose gate is closed because memory is short.
    pub(crate) fn closed_by_memory(&self) -> Vec<usize> {
        self.timed.memory.clients().map(|index| index as usize).collect()
    }

    /// Returns whether any gate is closed because memory is short.
    #[inline]
    pub(crate) fn is_any_closed_by_memory(&self) -> bool {
        !self.timed.memory.is_empty()
    }

    /// Forgets the deadlines of a client's gate.
    pub(super) fn forget_times(&mut self, index: usize) {
        if self[index].is_closed_for_a_time() {
            self.timed.forget(index as u32, Reason::Memory);
            self.timed.forget(index as u32, Reason::Rate);
        }
    }
}
