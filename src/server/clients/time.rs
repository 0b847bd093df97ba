//! What can be done later?
//!
//! The application's timers lie in the same wheel as the protocol's deadlines.

use super::clients::Clients;
use crate::protocol::time::Tick;
use crate::server::id::TimerId;
use crate::server::table::{AppTimer, Armed, Entries, Node, Step};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimerExtra {
    period: Option<Duration>,
    route: u16,
}

/// What [`Clients::next_expired`] found.
pub(crate) enum Expired {
    /// The wheel has turned a little.
    Nothing,
    /// A client's deadline.
    Deadline(usize),
    /// An application's timer.
    Timer { timer: TimerId, token: u64, route: u16 },
}

impl<D> Clients<D> {
    /// `on_timer` is called once, with this token, when `after` has passed: not before, and by less
    /// than a millisecond later if the loop has nothing else to do.
    pub fn set_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.arm_timer(after, None, token)
    }

    /// `on_timer` is called with this token each time that `period` (at least a millisecond) has
    /// passed. When the loop is late, calls are left out rather than made up for.
    pub fn set_interval(&mut self, period: Duration, token: u64) -> TimerId {
        let period = period.max(Duration::from_millis(1));
        self.arm_timer(period, Some(period), token)
    }

    fn arm_timer(&mut self, after: Duration, period: Option<Duration>, token: u64) -> TimerId {
        let generation = self.next_generation();
        let index = self.timers.insert(AppTimer { node: Node::new(), generation, token }) as u32;
        if period.is_some() || self.route != 0 {
            self.timer_extras.insert(index, TimerExtra { period, route: self.route });
        }
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        // The present millisecond has begun already, so it does not count.
        let rest = if after.is_zero() { Duration::ZERO } else { Duration::from_millis(1) };
        self.wheel.arm(&mut nodes, Armed::Timer(index), self.now.after(after.saturating_add(rest)), self.now);
        TimerId { index, generation }
    }

    /// The timer will not come. `false` if it has, or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        let is_same = |found: &AppTimer| found.generation == timer.generation;
        if !self.timers.get(timer.index as usize).is_some_and(is_same) {
            return false;
        }
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.disarm(&mut nodes, Armed::Timer(timer.index));
        self.remove_timer(timer.index);
        true
    }

    fn remove_timer(&mut self, index: u32) -> TimerExtra {
        self.timers.remove(index as usize);
        self.timer_extras.remove(&index).unwrap_or_default()
    }

    /// The next thing that is due; `None`: nothing is.
    pub(crate) fn next_expired(&mut self) -> Option<Expired> {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        match self.wheel.step(&mut nodes, self.now) {
            Step::Idle => None,
            Step::Moved => Some(Expired::Nothing),
            Step::Expired(Armed::Client(index)) => Some(Expired::Deadline(index as usize)),
            Step::Expired(Armed::Timer(index)) => {
                let AppTimer { generation, token, .. } = self.timers[index as usize];
                let extra = self.timer_extras.get(&index).copied().unwrap_or_default();
                match extra.period {
                    Some(period) => {
                        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
                        self.wheel.arm(&mut nodes, Armed::Timer(index), self.now.after(period), self.now);
                    }
                    None => {
                        self.remove_timer(index);
                    }
                }
                Some(Expired::Timer { timer: TimerId { index, generation }, token, route: extra.route })
            }
        }
    }

    /// When the wheel has something to do.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.wheel.next_due()
    }
}
