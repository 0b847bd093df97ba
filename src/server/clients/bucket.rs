//! Token buckets.

use crate::protocol::time::Tick;
use std::time::Duration;

/// A token bucket. It fills at a rate, up to one second's worth, and may be overdrawn once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) tokens: f32,
    at: Tick,
}

impl Bucket {
    pub(super) const fn full(rate: f32, now: Tick) -> Bucket {
        Bucket { tokens: rate, at: now }
    }

    /// Adds the tokens of the time that has passed, up to a second's worth. While the loop was
    /// absent for `lost` seconds, data has piled up, so their tokens are added without a limit.
    pub(super) fn fill(&mut self, rate: f32, now: Tick, lost: f32) {
        let (passed, most) = (now.since(self.at).as_secs_f32(), rate.max(1.0));
        if self.tokens < most {
            self.tokens = (self.tokens + passed * rate).min(most);
        }
        self.tokens += lost * rate;
        self.at = now;
    }

    /// Returns the time until nothing is owed.
    pub(super) fn debt(&self, rate: f32) -> Option<Duration> {
        (self.tokens < 0.0).then(|| Duration::from_secs_f32((-self.tokens / rate).clamp(0.001, 86_400.0)))
    }
}
