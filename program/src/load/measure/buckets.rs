//! Times in fixed buckets, for programs that watch the run.

use super::latency::Latency;
use serde::{Deserialize, Serialize};

/// The upper bounds of the buckets, in microseconds. Longer times are in one more bucket.
pub(crate) const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// How many times are in each bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Buckets {
    pub(crate) counts: [u64; BOUNDS_US.len() + 1],
    pub(crate) sum_s: f64,
}

impl Buckets {
    /// Adds the times of a second. A bound is right within the three digits of a [`Latency`].
    pub(super) fn record(&mut self, latency: &Latency) {
        for (nanos, count) in latency.to_pairs() {
            self.counts[BOUNDS_US.partition_point(|bound| bound * 1_000 < nanos)] += count;
        }
        self.sum_s += latency.mean() * latency.len() as f64 / 1e9;
    }

    /// Adds those of another process.
    pub(crate) fn add(&mut self, other: &Buckets) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum_s += other.sum_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_of_the_next_bound() {
        let mut latency = Latency::new();
        for nanos in [1_000, 49_000, 51_000, 99_000_000, 3_000_000_000_000] {
            latency.record(nanos);
        }
        let mut buckets = Buckets::default();
        buckets.record(&latency);
        let mut expected = [0; 17];
        for (place, count) in [(0, 2), (1, 1), (10, 1), (16, 1)] {
            expected[place] = count;
        }
        assert_eq!(buckets.counts, expected);
        assert!((buckets.sum_s - 3_000.1).abs() < 2.0, "{}", buckets.sum_s);
        let once = buckets.clone();
        buckets.add(&once);
        assert_eq!(buckets.counts, expected.map(|count| 2 * count));
    }
}
