//! After how long is a connection tried again?

use rand::RngExt;
use std::time::Duration;

/// The first delay is at most this, and each further one at most twice the one before.
const FIRST: Duration = Duration::from_millis(50);
/// No delay is longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Delays that grow, with full jitter: servers that have lost Redis at once do not return at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Returns how long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(rand::rng().random::<f64>())
    }

    /// The connection was a good one: begins with short delays again.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_limit() {
        let mut backoff = Backoff::default();
        let mut most = Duration::ZERO;
        for failure in 0..100 {
            let delay = backoff.next();
            assert!(delay <= FIRST * (1 << failure.min(7)) && delay <= LONGEST, "{failure}: {delay:?}");
            most = most.max(delay);
        }
        assert!(most > Duration::from_secs(2));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
