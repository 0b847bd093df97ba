//! Deadlines of clients and timers of the application, in one timing wheel.

use super::client::Client;
use super::table::Table;
use super::wheel::{Armed, Node, Nodes, Step};
use crate::parts::TIMERS;
use crate::protocol::time::Tick;
use crate::server::id::TimerId;
use slab::Slab;
use std::num::NonZeroU32;
use std::time::Duration;

/// An application's timer: 24 bytes.
#[derive(Debug)]
pub(super) struct AppTimer {
    node: Node,
    generation: NonZeroU32,
    token: u64,
}

/// What only few timers have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimerExtra {
    period: Option<Duration>,
    route: u16,
}

/// The result of [`Table::next_expired`].
pub(crate) enum Expired {
    /// The wheel has advanced.
    Nothing,
    /// A client's deadline has passed.
    Deadline(usize),
    /// A timer of the application has expired.
    Timer { timer: TimerId, token: u64, route: u16 },
}

/// The nodes of the wheel lie in clients and timers.
struct Entries<'a, D> {
    clients: &'a mut Slab<Client<D>>,
    timers: &'a mut Slab<AppTimer>,
}

impl<D> Nodes for Entries<'_, D> {
    fn node(&mut self, armed: Armed) -> &mut Node {
        match armed {
            Armed::Client(index) => &mut self.clients[index as usize].deadline,
            Armed::Timer(index) => &mut self.timers[index as usize].node,
        }
    }
}

impl<D> Table<D> {
    // ---- deadlines -----------------------------------------------------------------------------

    /// Arms a client's deadline, unless an earlier one is armed.
    pub(super) fn arm(&mut self, index: usize, due: Tick) {
        if self[index].deadline.due().is_none_or(|armed| due.is_before(armed)) {
            let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
            self.wheel.arm(&mut nodes, Armed::Client(index as u32), due, self.now);
        }
    }

    /// Arms the deadline of a client's connection and gate, unless an earlier one is armed.
    pub(super) fn arm_deadline(&mut self, index: usize) {
        let deadline = self[index].connection.deadline(&self.shared.limits, self.now);
        if let Some(due) = Tick::earliest(deadline, self.gate_due(index)) {
            self.arm(index, due);
        }
    }

    /// Disarms a client's deadline.
    pub(super) fn disarm(&mut self, index: usize) {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.disarm(&mut nodes, Armed::Client(index as u32));
    }

    // ---- the application's timers --------------------------------------------------------------

    /// Sets a timer for the handler of a route. With a `period`, it repeats.
    pub(crate) fn set_timer(&mut self, after: Duration, period: Option<Duration>, token: u64, route: u16) -> TimerId {
        TIMERS.use_it();
        let generation = self.next_generation();
        let index = self.timers.insert(AppTimer { node: Node::new(), generation, token }) as u32;
        if period.is_some() || route != 0 {
            self.timer_extras.insert(index, TimerExtra { period, route });
        }
        // The current millisecond has already begun, so it does not count.
        let rest = if after.is_zero() { Duration::ZERO } else { Duration::from_millis(1) };
        self.arm_timer(index, self.now.after(after.saturating_add(rest)));
        TimerId { index, generation }
    }

    fn arm_timer(&mut self, index: u32, due: Tick) {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.arm(&mut nodes, Armed::Timer(index), due, self.now);
    }

    /// Cancels a timer. Returns `false` if it has expired or was cancelled before.
    pub(crate) fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let is_same = |found: &AppTimer| found.generation == timer.generation;
        if !self.timers.get(timer.index as usize).is_some_and(is_same) {
            return false;
        }
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.disarm(&mut nodes, Armed::Timer(timer.index));
        self.remove_timer(timer.index);
        true
    }

    fn remove_timer(&mut self, index: u32) {
        self.timers.remove(index as usize);
        self.timer_extras.remove(&index);
    }

    // ---- expiry --------------------------------------------------------------------------------

    /// Advances the wheel by one step. Returns `None` if nothing is due.
    pub(crate) fn next_expired(&mut self) -> Option<Expired> {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        match self.wheel.step(&mut nodes, self.now) {
            Step::Idle => None,
            Step::Moved => Some(Expired::Nothing),
            Step::Expired(Armed::Client(index)) => Some(Expired::Deadline(index as usize)),
            Step::Expired(Armed::Timer(index)) => Some(self.timer_expired(index)),
        }
    }

    fn timer_expired(&mut self, index: u32) -> Expired {
        if !TIMERS.is_used() {
            return Expired::Nothing;
        }
        let AppTimer { generation, token, .. } = self.timers[index as usize];
        let TimerExtra { period, route } = self.timer_extras.get(&index).copied().unwrap_or_default();
        match period {
            Some(period) => self.arm_timer(index, self.now.after(period)),
            None => self.remove_timer(index),
        }
        Expired::Timer { timer: TimerId { index, generation }, token, route }
    }

    /// Returns when [`next_expired`](Self::next_expired) must be called at the latest.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.wheel.next_due()
    }
}
