//! Bounds and expectations. A bound is `p99<50ms`; a list of expectations is `p99<20ms,errors=0`.

use crate::load::measure::{Latency, Report, Summary};
use crate::terminal::units;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A latency that a share of all latencies must not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    /// The share, from 0 to 1.
    share: f64,
    nanos: u64,
}

impl Bound {
    /// Returns whether a measurement keeps the bound.
    pub(crate) fn holds(self, latency: &Latency) -> bool {
        !latency.is_empty() && latency.quantile(self.share) < self.nanos
    }

    /// Returns the measured latency at this share, in nanoseconds.
    pub(crate) fn of(self, latency: &Latency) -> u64 {
        latency.quantile(self.share)
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Bound, String> {
        let wrong = || "write a bound like p99<50ms; a bound can be set for p50, p90, p99, p99.9 and max".to_owned();
        let (what, time) = text.split_once('<').ok_or_else(wrong)?;
        let share = share(what.trim()).ok_or_else(wrong)?;
        let time = self::time(time.trim_start_matches('=').trim())?;
        Ok(Bound { share, nanos: time.as_nanos() as u64 })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.share == 1.0 { "max".to_owned() } else { format!("p{}", self.share * 100.0) };
        write!(f, "{name} < {}", units::time(self.nanos as f64))
    }
}

/// Returns 0.999 for `p99.9`, and 1 for `max`.
fn share(name: &str) -> Option<f64> {
    if name == "max" {
        return Some(1.0);
    }
    let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
    (percent > 0.0 && percent <= 100.0).then_some(percent / 100.0)
}

/// A condition that the report must meet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// In microseconds if it is a time.
    value: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Metric {
    Count(Count),
    Time(Which, Statistic),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
    Errors,
    Connections,
    Failed,
    Lost,
    Sent,
    Received,
    Unanswered,
    Missed,
    Doubled,
    OutOfOrder,
    Rate,
    /// Connections that got through a scenario, and those that were still in it.
    Finished,
    Unfinished,
    /// Connections that a storm has cut, and that did not come back.
    Away,
    /// Hostile clients to which the server did not do what the RFC asks for.
    Misjudged,
}

/// The latencies to which a statistic applies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    /// Round trips, or with --subscribe the times until the last receiver has a message.
    Messages,
    Connect,
    Handshake,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Statistic {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Mean,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

const COUNTS: [(&str, Count); 15] = [
    ("errors", Count::Errors),
    ("connections", Count::Connections),
    ("failed", Count::Failed),
    ("lost", Count::Lost),
    ("sent", Count::Sent),
    ("received", Count::Received),
    ("unanswered", Count::Unanswered),
    ("missed", Count::Missed),
    ("doubled", Count::Doubled),
    ("out_of_order", Count::OutOfOrder),
    ("rate", Count::Rate),
    ("finished", Count::Finished),
    ("unfinished", Count::Unfinished),
    ("away", Count::Away),
    ("misjudged", Count::Misjudged),
];

const STATISTICS: [(&str, Statistic); 7] = [
    ("p50", Statistic::P50),
    ("p90", Statistic::P90),
    ("p99", Statistic::P99),
    ("p99.9", Statistic::P999),
    ("p99.99", Statistic::P9999),
    ("max", Statistic::Max),
    ("mean", Statistic::Mean),
];

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Expectation, String> {
        let operators = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
            ("=", Comparison::Equal),
        ];
        let split = operators.iter().find_map(|(sign, comparison)| {
            let (name, value) = text.split_once(sign)?;
            Some((name.trim(), *comparison, value.trim()))
        });
        let (name, comparison, value) = split.ok_or("write an expectation like p99<20ms or errors=0")?;
        let metric = metric(name).ok_or_else(|| {
            let counts: Vec<&str> = COUNTS.iter().map(|(name, _)| *name).collect();
            format!(
                "{name:?} is not known; use {}, or p50, p90, p99, p99.9, p99.99, max or mean of messages, or of connect and handshake like connect.p99",
                counts.join(", ")
            )
        })?;
        let value = match metric {
            Metric::Count(_) => value.parse().map_err(|_| format!("{value:?} is not a number"))?,
            Metric::Time(..) => time(value)?.as_nanos() as f64 / 1e3,
        };
        Ok(Expectation { text: text.trim().to_owned(), metric, comparison, value })
    }
}

/// Parses a time. It needs a unit: 20 milliseconds are easily meant by 20.
fn time(text: &str) -> Result<Duration, String> {
    match text.ends_with(|letter: char| letter.is_ascii_alphabetic()) {
        true => units::duration(text),
        false => Err(format!("{text:?} has no unit: write {text}ms or {text}s")),
    }
}

fn metric(name: &str) -> Option<Metric> {
    if let Some((_, count)) = COUNTS.iter().find(|(known, _)| *known == name) {
        return Some(Metric::Count(*count));
    }
    let prefixes = [("connect.", Which::Connect), ("handshake.", Which::Handshake), ("", Which::Messages)];
    let (which, rest) = prefixes.iter().find_map(|(prefix, which)| Some((*which, name.strip_prefix(prefix)?)))?;
    let (_, statistic) = STATISTICS.iter().find(|(known, _)| *known == rest)?;
    Some(Metric::Time(which, *statistic))
}

impl Expectation {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the measured value as text, and whether the expectation holds. It does not hold if
    /// nothing was measured.
    pub(crate) fn check(&self, report: &Report) -> (String, bool) {
        let (value, shown) = match &self.metric {
            Metric::Count(count) => {
                let value = count.of(report);
                (Some(value), units::decimal(value))
            }
            Metric::Time(which, statistic) => {
                let summary = which.of(report).filter(|summary| summary.count > 0);
                let value = summary.map(|summary| statistic.of(summary));
                (value, value.map_or_else(|| "nothing was measured".to_owned(), |us| units::time(us * 1e3)))
            }
        };
        let holds = value.is_some_and(|value| match self.comparison {
            Comparison::Less => value < self.value,
            Comparison::AtMost => value <= self.value,
            Comparison::Equal => value == self.value,
            Comparison::AtLeast => value >= self.value,
            Comparison::More => value > self.value,
        });
        (shown, holds)
    }
}

impl Count {
    fn of(self, report: &Report) -> f64 {
        let (connections, messages) = (&report.connections, &report.messages);
        match self {
            Count::Errors => report.errors.iter().map(|error| error.count).sum::<u64>() as f64,
            Count::Connections => connections.most as f64,
            Count::Failed => connections.failed as f64,
            Count::Lost => connections.lost as f64,
            Count::Sent => messages.sent as f64,
            Count::Received => messages.received as f64,
            Count::Unanswered => messages.unanswered as f64,
            Count::Missed => messages.missed as f64,
            Count::Doubled => messages.doubled as f64,
            Count::OutOfOrder => messages.out_of_order as f64,
            Count::Rate => messages.per_second,
            Count::Finished => report.walks.as_ref().map_or(0, |walks| walks.finished) as f64,
            Count::Unfinished => report.walks.as_ref().map_or(0, |walks| walks.unfinished) as f64,
            Count::Away => report.storms.iter().map(|storm| storm.cut.saturating_sub(storm.back)).sum::<u64>() as f64,
            Count::Misjudged => {
                report.malformed.iter().map(|kind| kind.tried.saturating_sub(kind.right)).sum::<u64>() as f64
            }
        }
    }
}

impl Which {
    const fn of(self, report: &Report) -> Option<&Summary> {
        let latency = &report.latency;
        match self {
            Which::Connect => Some(&latency.connect),
            Which::Handshake => Some(&latency.handshake),
            Which::Messages => match &latency.last_receiver {
                Some(last) => Some(last),
                None => latency.round_trip.as_ref(),
            },
        }
    }
}

impl Statistic {
    const fn of(self, summary: &Summary) -> f64 {
        match self {
            Statistic::P50 => summary.p50_us,
            Statistic::P90 => summary.p90_us,
            Statistic::P99 => summary.p99_us,
            Statistic::P999 => summary.p99_9_us,
            Statistic::P9999 => summary.p99_99_us,
            Statistic::Max => summary.max_us,
            Statistic::Mean => summary.mean_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::ErrorCount;

    #[test]
    fn bounds_are_parsed_and_checked() {
        let bound: Bound = "p99<50ms".parse().expect("a bound");
        assert_eq!((bound.to_string(), bound.nanos), ("p99 < 50.0 ms".to_owned(), 50_000_000));
        let mut latency = Latency::new();
        assert!(!bound.holds(&latency), "nothing came back");
        (0..990).for_each(|_| latency.record(1_000_000));
        assert!(bound.holds(&latency));
        (0..20).for_each(|_| latency.record(60_000_000));
        assert!(!bound.holds(&latency));
        for bad in ["", "p99", "p99<", "p99<50", "q<5ms", "p0<5ms", "p101<5ms"] {
            assert!(bad.parse::<Bound>().is_err() || bad == "p99<50", "{bad:?}");
        }
    }

    #[test]
    fn expectations_are_parsed_and_checked() {
        let mut report = Report::default();
        report.latency.round_trip = Some(Summary { count: 5, p99_us: 20_000.0, ..Summary::default() });
        report.latency.connect = Summary { count: 5, max_us: 900.0, ..Summary::default() };
        report.connections.most = 100;
        report.errors = vec![ErrorCount { count: 2, ..ErrorCount::default() }];
        let cases = [
            ("p99<20ms", false),
            ("p99<=20ms", true),
            ("p99 < 21ms", true),
            ("connect.max<1ms", true),
            ("handshake.p50<1s", false),
            ("errors=0", false),
            ("errors=2", true),
            ("errors<3", true),
            ("connections>=100", true),
            ("connections>100", false),
        ];
        for (text, holds) in cases {
            let expectation: Expectation = text.parse().expect("it makes sense");
            assert_eq!(expectation.check(&report).1, holds, "{text}");
        }
        report.latency.last_receiver = Some(Summary { count: 1, p99_us: 5.0, ..Summary::default() });
        assert!("p99<6us".parse::<Expectation>().expect("it makes sense").check(&report).1);
        for bad in ["", "errors", "errors~0", "errors=x", "p99<5 parsecs", "q99<5ms", "tls.p99<5ms"] {
            assert!(bad.parse::<Expectation>().is_err(), "{bad:?}");
        }
    }
}
