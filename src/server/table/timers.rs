//! Deadlines of clients and timers of the application, in one timing wheel.

use super::client::{Client, Extra};
use super::table::Table;
use super::wheel::{Armed, Node, Nodes, Step};
use crate::parts::{CLIENT_TIMERS, TIMERS};
use crate::protocol::time::{LONGEST, Tick};
use crate::server::data::ClientData;
use crate::server::id::{ClientId, TimerId};
use slab::Slab;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// An application's timer: 24 bytes.
#[derive(Debug)]
pub(super) struct AppTimer {
    node: Node,
    generation: NonZeroU32,
    token: u64,
}

#[cfg(feature = "handover")]
impl AppTimer {
    pub(super) const fn new(generation: NonZeroU32, token: u64) -> AppTimer {
        AppTimer { node: Node::new(), generation, token }
    }

    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    pub(super) const fn generation(&self) -> NonZeroU32 {
        self.generation
    }

    pub(super) const fn token(&self) -> u64 {
        self.token
    }
}

/// What only few timers have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimerExtra {
    /// When an interval is due, or a timer that is further away than ticks can express.
    pub(super) due: Option<u64>,
    /// The period of an interval.
    pub(super) period: Option<NonZeroU64>,
    pub(super) route: u16,
    /// The client with which it ends. Its list has the timer.
    pub(super) client: Option<ClientId>,
}

/// Calls of an interval that are late by no more than this are all made, in nanoseconds: waits and
/// turns take a little longer than planned, and the rate stays exact nevertheless.
const LATE: u64 = 20_000_000;

/// An interval is due at `due`, and was found to be at `now`. Returns when it is due next. All
/// times lie a whole number of periods apart; those that a late loop has missed are left out.
fn next_of_interval(due: u64, period: NonZeroU64, now: u64) -> u64 {
    let late = now.saturating_sub(due);
    let periods = if late <= LATE { 1 } else { late / period + 1 };
    due.saturating_add(periods.saturating_mul(period.get()))
}

/// The result of [`Table::next_expired`].
pub(crate) enum Expired {
    /// The wheel has advanced.
    Nothing,
    /// A client's deadline has passed.
    Deadline(usize),
    /// A timer of the application has expired: of a client, if there is one.
    Timer { timer: TimerId, token: u64, route: u16, client: Option<ClientId> },
}

/// The nodes of the wheel lie in clients and timers.
struct Entries<'a, D: ClientData> {
    clients: &'a mut Slab<Client<D>>,
    timers: &'a mut Slab<AppTimer>,
}

impl<D: ClientData> Nodes for Entries<'_, D> {
    fn node(&mut self, armed: Armed) -> &mut Node {
        match armed {
            Armed::Client(index) => &mut self.clients[index as usize].deadline,
            Armed::Timer(index) => &mut self.timers[index as usize].node,
        }
    }
}

impl<D: ClientData> Table<D> {
    // ---- deadlines -----------------------------------------------------------------------------

    /// Arms a client's deadline, in the clients' time, unless an earlier one is armed.
    pub(super) fn arm(&mut self, index: usize, due: Tick) {
        let due = self.clock.of_client(due);
        if self[index].deadline.due().is_none_or(|armed| due.is_before(armed)) {
            let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
            self.wheel.arm(&mut nodes, Armed::Client(index as u32), due, self.clock.now());
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
        let due = match after.is_zero() {
            true => self.clock.now_nanos(),
            // The turn may have taken long until now.
            false => self.clock.read_nanos().saturating_add(nanos(after)),
        };
        let period = period.and_then(|period| NonZeroU64::new(nanos(period)));
        let exact = (period.is_some() || after > LONGEST).then_some(due);
        if exact.is_some() || route != 0 {
            self.timer_extras.insert(index, TimerExtra { due: exact, period, route, client: None });
        }
        self.arm_timer(index, due);
        TimerId { index, generation }
    }

    /// Sets a timer that ends with a client.
    pub(crate) fn set_client_timer(
        &mut self,
        index: usize,
        after: Duration,
        period: Option<Duration>,
        token: u64,
    ) -> TimerId {
        CLIENT_TIMERS.use_it();
        let (id, route) = (self[index].id(index), self[index].route);
        let timer = self.set_timer(after, period, token, route);
        self.timer_extras.entry(timer.index).or_default().client = Some(id);
        self[index].connection.extra_mut().timers.push(timer.index);
        timer
    }

    /// Ends the timers of a client.
    pub(super) fn end_timers(&mut self, index: usize) {
        while let Some(timer) = self[index].connection.extra_if_any().and_then(|extra| extra.timers.pop()) {
            self.disarm_timer(timer);
            self.timers.remove(timer as usize);
            self.timer_extras.remove(&timer);
        }
    }

    /// Takes a timer that has ended from its client's list.
    #[inline(never)]
    fn leave_client(&mut self, id: ClientId, timer: u32) {
        let Some(index) = self.find(id) else { return };
        let connection = &mut self[index].connection;
        let Some(extra) = connection.extra_if_any() else { return };
        extra.timers.retain(|other| *other != timer);
        connection.release_extra(Extra::is_needed);
    }

    fn disarm_timer(&mut self, index: u32) {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.disarm(&mut nodes, Armed::Timer(index));
    }

    /// Arms a timer, for as far away as ticks can express.
    pub(super) fn arm_timer(&mut self, index: u32, due: u64) {
        let furthest = self.clock.now_nanos().saturating_add(nanos(LONGEST));
        let due = if due > furthest { Tick::not_before(furthest) } else { Tick::not_before(due) };
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.arm(&mut nodes, Armed::Timer(index), due, self.clock.now());
    }

    /// Cancels a timer. Returns `false` if it has expired or was cancelled before.
    pub(crate) fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let is_same = |found: &AppTimer| found.generation == timer.generation;
        if !self.timers.get(timer.index as usize).is_some_and(is_same) {
            return false;
        }
        self.disarm_timer(timer.index);
        self.remove_timer(timer.index);
        true
    }

    /// Drops a timer that has not expired.
    #[cfg(feature = "handover")]
    pub(super) fn drop_timer(&mut self, index: u32) {
        self.disarm_timer(index);
        self.remove_timer(index);
    }

    fn remove_timer(&mut self, index: u32) {
        self.timers.remove(index as usize);
        let extra = self.timer_extras.remove(&index);
        if let Some(client) = extra.and_then(|extra| extra.client).filter(|_| CLIENT_TIMERS.is_used()) {
            self.leave_client(client, index);
        }
    }

    // ---- expiry --------------------------------------------------------------------------------

    /// Advances the wheel by one step. Returns `None` if nothing is due.
    pub(crate) fn next_expired(&mut self) -> Option<Expired> {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        match self.wheel.step(&mut nodes, self.clock.now()) {
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
        let TimerExtra { due, period, route, client } = self.timer_extras.get(&index).copied().unwrap_or_default();
        let now = self.clock.now_nanos();
        match (due, period) {
            (Some(due), _) if due > now => {
                self.arm_timer(index, due);
                return Expired::Nothing;
            }
            (Some(due), Some(period)) => {
                let next = next_of_interval(due, period, now);
                self.timer_extras.insert(index, TimerExtra { due: Some(next), period: Some(period), route, client });
                self.arm_timer(index, next);
            }
            _ => self.remove_timer(index),
        }
        Expired::Timer { timer: TimerId { index, generation }, token, route, client }
    }

    /// Returns when [`next_expired`](Self::next_expired) must be called at the latest, in the loop's
    /// time.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.wheel.next_due()
    }
}

/// Nanoseconds of a duration; 584 years at most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
