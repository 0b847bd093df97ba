//! Timers of the application.

use super::clients::Clients;
use crate::server::id::TimerId;
use std::time::Duration;

impl<D> Clients<D> {
    /// Calls `on_timer` once, with this token, when `after` has passed. Never earlier, and less
    /// than a millisecond later if the loop has nothing else to do.
    pub fn set_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.table.set_timer(after, None, token, self.route)
    }

    /// Calls `on_timer` with this token each time that `period` has passed, which is at least a
    /// millisecond. If the loop is late, it skips calls.
    pub fn set_interval(&mut self, period: Duration, token: u64) -> TimerId {
        let period = period.max(Duration::from_millis(1));
        self.table.set_timer(period, Some(period), token, self.route)
    }

    /// Cancels a timer. Returns `false` if it has expired or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.table.cancel_timer(timer)
    }
}
