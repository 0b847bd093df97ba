//! The comparison: for each metric, the change and whether it is better or worse.

use super::interval::{Interval, of_difference, of_ratio};
use super::sides::{Estimate, Side};
use super::values::{Metric, Unit};
use serde::Serialize;

/// What `--json` of `lariat load diff` writes.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) schema: u32,
    /// The version of the program.
    pub(super) lariat: &'static str,
    pub(super) old: Vec<String>,
    pub(super) new: Vec<String>,
    /// Smaller changes do not count.
    pub(super) tolerance_percent: f64,
    /// That of all metrics: "worse" if one is, or else "better" if one is.
    pub(super) verdict: Verdict,
    /// What differs between the plans, and which runs ended early.
    pub(super) notes: Vec<String>,
    pub(super) metrics: Vec<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) enum Verdict {
    #[serde(rename = "better")]
    Better,
    #[serde(rename = "worse")]
    Worse,
    #[serde(rename = "no difference beyond noise")]
    Same,
    #[serde(rename = "not comparable")]
    Unknown,
}

impl Verdict {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Same => "no difference beyond noise",
            Verdict::Unknown => "not comparable",
        }
    }

    /// Returns the verdict of all metrics. If only errors can be compared, that there are as few as
    /// before says nothing of the rest.
    pub(super) fn of(rows: &[Row]) -> Verdict {
        let has = |verdict| rows.iter().any(|row| row.verdict == verdict);
        let tells = rows.iter().any(|row| row.kind != Unit::Share && row.verdict != Verdict::Unknown);
        let order = [Verdict::Worse, Verdict::Better, Verdict::Same];
        let found = order.into_iter().find(|verdict| has(*verdict));
        found.filter(|verdict| tells || *verdict != Verdict::Same).unwrap_or(Verdict::Unknown)
    }
}

/// A metric.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) metric: String,
    /// "ns", "1/s", "bytes" or "share".
    pub(super) unit: &'static str,
    #[serde(skip)]
    pub(super) kind: Unit,
    pub(super) old: Option<Measured>,
    pub(super) new: Option<Measured>,
    pub(super) change: Option<Change>,
    pub(super) verdict: Verdict,
    /// Why it is not comparable.
    pub(super) why: Option<String>,
}

/// A value, and its interval with a confidence of 95 % if it is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

/// The change from old to new in percent of old, and its interval. All is null if old is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Change {
    pub(super) percent: Option<f64>,
    pub(super) low_percent: Option<f64>,
    pub(super) high_percent: Option<f64>,
}

/// Compares two sides in all metrics. The tolerance is a share.
pub(super) fn compare(old: &Side, new: &Side, tolerance: f64) -> Vec<Row> {
    old.metrics(new).into_iter().map(|metric| row(old, new, metric, tolerance)).collect()
}

fn row(old: &Side, new: &Side, metric: Metric, tolerance: f64) -> Row {
    let (before, after) = (old.estimate(&metric), new.estimate(&metric));
    let measured = |estimate: &Option<Estimate>| {
        let Estimate { value, interval } = estimate.as_ref()?;
        let ends = interval.as_ref().ok();
        Some(Measured { value: *value, low: ends.map(|ends| ends.low.max(0.0)), high: ends.map(|ends| ends.high) })
    };
    let (old, new) = (measured(&before), measured(&after));
    let (change, verdict, why) = match (before, after) {
        (Some(Estimate { interval: Ok(old), .. }), Some(Estimate { interval: Ok(new), .. })) => {
            let (change, verdict) = judge(metric.unit, old, new, tolerance);
            (Some(change), verdict, None)
        }
        (Some(before), Some(after)) => {
            let change = Change { percent: percent(after.value - before.value, before.value), ..Change::default() };
            let why = [("OLD", before), ("NEW", after)]
                .into_iter()
                .find_map(|(side, estimate)| Some(format!("{side}: {}", estimate.interval.err()?)));
            (Some(change), Verdict::Unknown, why)
        }
        (None, _) => (None, Verdict::Unknown, Some("only NEW has it".to_owned())),
        (_, None) => (None, Verdict::Unknown, Some("only OLD has it".to_owned())),
    };
    Row { unit: unit(metric.unit), kind: metric.unit, metric: metric.name, old, new, change, verdict, why }
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "ns",
        Unit::PerSecond => "1/s",
        Unit::Bytes => "bytes",
        Unit::Share => "share",
    }
}

/// Returns a share of a whole in percent, or `None` if the whole is 0.
fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole * 100.0)
}

/// Returns the change, and the verdict: the whole interval of the change must be beyond the
/// tolerance.
fn judge(unit: Unit, old: Interval, new: Interval, tolerance: f64) -> (Change, Verdict) {
    let (change, is_up, is_down) = match of_ratio(old, new) {
        Some(ratio) => {
            let percent = |ratio: f64| Some((ratio - 1.0) * 100.0);
            let (low, high) = (percent(ratio.low), percent(ratio.high));
            let change = Change { percent: percent(ratio.value), low_percent: low, high_percent: high };
            (change, ratio.low > 1.0 + tolerance, ratio.high < 1.0 - tolerance)
        }
        None => {
            let difference = of_difference(old, new);
            let share = |part| percent(part, old.value);
            // Nothing becomes less than 0.
            let (low, high) = (share(difference.low.max(-old.value)), share(difference.high));
            let change = Change { percent: share(difference.value), low_percent: low, high_percent: high };
            let least = tolerance * old.value;
            (change, difference.low > least, difference.high < -least)
        }
    };
    let verdict = match (is_up, is_down) {
        (false, false) => Verdict::Same,
        (is_up, _) if is_up == (unit == Unit::PerSecond) => Verdict::Better,
        _ => Verdict::Worse,
    };
    (change, verdict)
}
