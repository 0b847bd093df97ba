//! Timers of the application.

use super::clients::Clients;
use crate::server::id::TimerId;
use std::time::Duration;

impl<D> Clients<D> {
    /// Calls `on_timer` once, with this token, when `after` has passed since this call. Never
    /// earlier, and less than two milliseconds later if the loop has nothing else to do. With zero,
    /// it is called as soon as the loop next calls timers.
    pub fn set_timer(&mut self, after: Duration, token: u64) -> TimerId {
        self.table.set_timer(after, None, token, self.route)
    }

    /// Calls `on_timer` with this token again and again. The times of the calls lie exactly a
    /// `period` apart, which is at least a millisecond: the first is a period after this call, and
    /// a call that comes late does not delay the others. None comes early.
    ///
    /// If the loop is late by no more than 20 ms, it makes all calls. If it is later, because a
    /// handler took long or the process was stopped, it makes one call for all times that have
    /// passed, and the next at its own time.
    pub fn set_interval(&mut self, period: Duration, token: u64) -> TimerId {
        let period = period.max(Duration::from_millis(1));
        self.table.set_timer(period, Some(period), token, self.route)
    }

    /// Cancels a timer. Returns `false` if it has expired or was cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.table.cancel_timer(timer)
    }
}
