//! Latencies: how long things took.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Times up to an hour, in nanoseconds, each with three significant digits.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u32>);

/// Longer times count as this one.
const LONGEST: u64 = 3_600_000_000_000;

/// A summary of many times, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) min_us: f64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    #[serde(rename = "p99.9_us")]
    pub(crate) p99_9_us: f64,
    #[serde(rename = "p99.99_us")]
    pub(crate) p99_99_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    pub(crate) fn new() -> Latency {
        Latency(Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order"))
    }

    #[inline]
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub(crate) fn add(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the time in nanoseconds that this share of all times does not exceed, or 0 if there
    /// are none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    pub(crate) fn max(&self) -> u64 {
        self.0.max()
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.mean()
    }

    pub(crate) fn summary(&self) -> Summary {
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |share| micros(self.quantile(share));
        Summary {
            count: self.len(),
            min_us: if self.is_empty() { 0.0 } else { micros(self.0.min()) },
            mean_us: (self.mean() / 10.0).round() / 100.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: micros(self.max()),
        }
    }

    /// Returns all recorded times in nanoseconds, with the count of each.
    pub(crate) fn to_pairs(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value().into())).collect()
    }

    /// Reads the result of [`to_pairs`](Self::to_pairs).
    pub(crate) fn from_pairs(pairs: &[(u64, u64)]) -> Latency {
        let mut latency = Latency::new();
        for (nanos, count) in pairs {
            latency.0.saturating_record_n(*nanos, u32::try_from(*count).unwrap_or(u32::MAX));
        }
        latency
    }

    /// Returns points of the percentile curve: a share, and the time in nanoseconds that this share
    /// does not exceed. The points are closer together towards the end.
    pub(crate) fn curve(&self) -> Vec<(f64, u64)> {
        self.0.iter_quantiles(4).map(|step| (step.quantile_iterated_to(), step.value_iterated_to())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_three_digits_and_survive_a_round_trip_through_pairs() {
        let mut latency = Latency::new();
        (1..=100_000_u64).for_each(|micros| latency.record(micros * 1_000));
        latency.record(u64::MAX);
        let summary = Latency::from_pairs(&latency.to_pairs()).summary();
        assert_eq!(summary, latency.summary());
        assert_eq!(summary.count, 100_001);
        for (found, expected) in [(summary.p50_us, 5e4), (summary.p99_us, 9.9e4), (summary.p99_9_us, 9.99e4)] {
            assert!((found / expected - 1.0).abs() < 1e-3, "{found} is not {expected}");
        }
        assert!((summary.max_us / 3.6e9 - 1.0).abs() < 1e-3);
        assert_eq!(Latency::new().summary(), Summary::default());
    }
}
