//! What can be done later?
//!
//! The application's timers lie in the same wheel as the protocol's deadlines.

use super::clients::Clients;
use crate::server::id::TimerId;
use std::time::Duration;

impl<D> Clients<D> {
    /// `on_timer` is called once, with this token, when `after` has passed: not before, and by less
    /// than a millisecond later if the loop has nothing else to do.
    pub fn set_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.table.set_timer(after, None, token, self.route)
    }

    /// `on_timer` is called with this token each time that `period` (at least a millisecond) has
    /// passed. When the loop is late, calls are left out rather than made up for.
    pub fn set_interval(&mut self, period: Duration, token: u64) -> TimerId {
        let period = period.max(Duration::from_millis(1));
        self.table.set_timer(period, Some(period), token, self.route)
    }

    /// The timer will not come. `false` if it has, or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.table.cancel_timer(timer)
    }
}
