//! What time is it for the threads of this engine, and may a warning be logged again?

use std::time::{Duration, Instant};

/// How often the same kind of warning is logged.
const INTERVAL: Duration = Duration::from_secs(10);

/// Returns the time.
#[expect(clippy::disallowed_methods, reason = "these threads wait for Redis, outside of the loop and its clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Counts what is logged at most once per interval.
#[derive(Debug, Default)]
pub(super) struct Limited {
    next: Option<Instant>,
    unlogged: u64,
}

impl Limited {
    /// Counts one more. Returns how many are to be logged, if a line may come now.
    pub(super) fn count(&mut self) -> Option<u64> {
        self.unlogged += 1;
        let now = now();
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.unlogged))
    }
}
