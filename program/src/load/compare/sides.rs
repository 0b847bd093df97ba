//! What several runs say together.

use super::interval::{Interval, of_events, of_runs};
use super::values::{Metric, Value, Values};

/// One side of the comparison: the values of its runs.
pub(super) struct Side(pub(super) Vec<Values>);

/// What a side says of a metric.
pub(super) struct Estimate {
    pub(super) value: f64,
    /// Or why there is none.
    pub(super) interval: Result<Interval, String>,
}

impl Side {
    /// Returns all metrics that a run of this side or the other has, in order.
    pub(super) fn metrics(&self, other: &Side) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for (metric, _) in self.0.iter().chain(&other.0).flatten() {
            if !metrics.contains(metric) {
                metrics.push(metric.clone());
            }
        }
        metrics
    }

    /// Returns what all runs say of a metric, or `None` if none has it.
    pub(super) fn estimate(&self, metric: &Metric) -> Option<Estimate> {
        let of_run = |values: &Values| values.iter().find(|(known, _)| known == metric).map(|(_, value)| value.clone());
        let found: Vec<Value> = self.0.iter().filter_map(of_run).collect();
        if let [only] = &found[..] {
            let interval = if self.0.len() == 1 { only.interval.clone() } else { Err(some(1, self.0.len())) };
            return Some(Estimate { value: only.value, interval });
        }
        let values: Vec<f64> = found.iter().map(|value| value.value).collect();
        let between = of_runs(&values)?;
        let interval = match pooled(&found) {
            _ if found.len() < self.0.len() => Err(some(found.len(), self.0.len())),
            // Between runs without any, there seems to be no spread.
            Some(events) => Ok(between.hull(events)),
            None => Ok(between),
        };
        Some(Estimate { value: between.value, interval })
    }
}

fn some(found: usize, all: usize) -> String {
    format!("{found} of {all} runs have it")
}

/// Returns the interval of rare events in all runs together.
fn pooled(values: &[Value]) -> Option<Interval> {
    let (mut events, mut of, mut dispersion) = (0.0, 0.0, 1.0_f64);
    for value in values {
        let (more, of_more, widest) = value.events?;
        events += more;
        of += of_more;
        dispersion = dispersion.max(widest);
    }
    Some(of_events(events, of, dispersion))
}
