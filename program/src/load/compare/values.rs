//! What one run says of each metric.

use super::interval::{self, Interval, of_events, of_quantile, of_seconds, variance};
use crate::load::measure::{Pairs, Report, Second};
use crate::terminal::units::counted;

/// So many seconds or more have a spread.
const LEAST_SECONDS: usize = 5;

/// A second that is shorter than this share of one is not a full one.
const FULL: f64 = 0.9;

const SINGLE: &str = "one run has a single value of it";
const BURST: &str = "one run opens its connections in one burst";

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Nanoseconds,
    /// More is better.
    PerSecond,
    Bytes,
    /// A share of all connections or messages.
    Share,
}

/// The value of a metric in one run.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) value: f64,
    /// Or why there is none.
    pub(super) interval: Result<Interval, String>,
    /// Of rare events: how many, of how many, and their dispersion.
    pub(super) events: Option<(f64, f64, f64)>,
}

impl Value {
    const fn new(value: f64, interval: Result<Interval, String>) -> Value {
        Value { value, interval, events: None }
    }
}

pub(super) type Values = Vec<(Metric, Value)>;

/// Returns what a run says of each metric that it has measured.
pub(super) fn values(report: &Report) -> Values {
    let seconds = sending(&report.series);
    let times = &report.histograms;
    let shown = if times.last_receiver.is_empty() { &times.round_trip } else { &times.last_receiver };
    let spread = Spread::of(shown, &seconds);
    let burst = Spread { p50: Err(BURST.to_owned()), p99: Err(BURST.to_owned()) };
    let mut values = Values::new();
    for (name, pairs, spread) in [
        ("connect", &times.connect, &burst),
        ("tls", &times.tls, &burst),
        ("handshake", &times.handshake, &burst),
        ("round_trip", &times.round_trip, &spread),
        ("last_receiver", &times.last_receiver, &spread),
    ] {
        values.extend(percentiles(name, pairs, spread, &[0.5, 0.9, 0.99, 0.999]));
    }
    for step in &report.steps {
        let name = format!("line {} ({})", step.line, step.text);
        values.extend(percentiles(&name, &step.histogram, &spread, &[0.5, 0.99]));
    }
    values.extend(rate(report, &seconds));
    values.extend(errors(report));
    let single = |name: &str, unit, value: Option<f64>| {
        Some((Metric { name: name.to_owned(), unit }, Value::new(value?, Err(SINGLE.to_owned()))))
    };
    if let Some(server) = &report.server {
        values.extend(single("server CPU per message", Unit::Nanoseconds, server.cpu_ns_per_message));
        values.extend(single("server memory per connection", Unit::Bytes, server.memory_bytes_per_connection));
    }
    values
}

/// Returns the full seconds in which messages were on their way, without the first and the last.
fn sending(series: &[Second]) -> Vec<&Second> {
    let is_used = |second: &Second| second.sent + second.received > 0;
    let first = series.iter().position(is_used).map_or(0, |first| first + 1);
    let last = series.iter().rposition(is_used).unwrap_or(0);
    let between = series.get(first..last).unwrap_or_default();
    between.iter().filter(|second| second.length_s >= FULL).collect()
}

fn too_short(seconds: usize) -> String {
    format!("one run of {} cannot tell: {LEAST_SECONDS} are needed", counted(seconds as u64, "full second"))
}

/// How much wider than its ranks say the interval of a percentile is.
#[derive(Clone, Copy)]
struct Wider {
    factor: f64,
    /// In nanoseconds.
    half_width: f64,
}

impl Wider {
    const NONE: Wider = Wider { factor: 1.0, half_width: 0.0 };
}

/// How much the percentiles of seconds differ.
struct Spread {
    p50: Result<Wider, String>,
    p99: Result<Wider, String>,
}

impl Spread {
    fn of(pairs: &Pairs, seconds: &[&Second]) -> Spread {
        let wider = |share, of: fn(&Second) -> f64| {
            let nanos: Vec<f64> = seconds.iter().map(|second| of(second) * 1e3).filter(|nanos| *nanos > 0.0).collect();
            if nanos.len() < LEAST_SECONDS {
                return Err(too_short(nanos.len()));
            }
            let (Some(by_seconds), Some(by_ranks)) = (of_seconds(&nanos), of_quantile(pairs, share)) else {
                return Ok(Wider::NONE);
            };
            // A recorded time has three digits.
            let least = by_ranks.value * 1e-3;
            let half_width = by_seconds.half_width();
            Ok(Wider { factor: (half_width / by_ranks.half_width().max(least)).max(1.0), half_width })
        };
        Spread { p50: wider(0.5, |second| second.p50_us), p99: wider(0.99, |second| second.p99_us) }
    }

    /// Returns the interval of a percentile, given that by its ranks.
    fn apply(&self, share: f64, ranks: Interval, has_seconds: bool) -> Result<Interval, String> {
        let (p50, p99) = (self.p50.clone()?, self.p99.clone()?);
        let around = |half: f64| Interval { low: ranks.value - half, value: ranks.value, high: ranks.value + half };
        Ok(match share {
            0.5 if has_seconds => ranks.hull(around(p50.half_width)),
            0.99 if has_seconds => ranks.hull(around(p99.half_width)),
            0.5 => ranks.widened(p50.factor),
            0.9 => ranks.widened(p50.factor.max(p99.factor)),
            _ => ranks.widened(p99.factor),
        })
    }
}

fn percentiles(name: &str, pairs: &Pairs, spread: &Spread, shares: &[f64]) -> Values {
    let count = interval::count(pairs);
    let has_seconds = matches!(name, "round_trip" | "last_receiver");
    let percentile = |share: &f64| {
        let value = interval::quantile(pairs, *share)?;
        let interval = match of_quantile(pairs, *share) {
            Some(ranks) => spread.apply(*share, ranks, has_seconds),
            // It is of no interest then.
            None if *share > 0.99 => return None,
            None => Err(format!("one run with {} cannot tell", counted(count, "value"))),
        };
        let metric = Metric { name: format!("{name} p{}", share * 100.0), unit: Unit::Nanoseconds };
        Some((metric, Value::new(value, interval)))
    };
    shares.iter().filter_map(percentile).collect()
}

fn rate(report: &Report, seconds: &[&Second]) -> Option<(Metric, Value)> {
    let counts =
        if report.asked.mode == "send" { |second: &Second| second.sent } else { |second: &Second| second.received };
    let rates: Vec<f64> = seconds.iter().map(|second| counts(second) as f64 / second.length_s).collect();
    let metric = Metric { name: "messages per second".to_owned(), unit: Unit::PerSecond };
    let value = match of_seconds(&rates).filter(|_| rates.len() >= LEAST_SECONDS) {
        Some(interval) => Value::new(interval.value, Ok(interval)),
        None if report.messages.per_second > 0.0 => Value::new(report.messages.per_second, Err(too_short(rates.len()))),
        None => return None,
    };
    Some((metric, value))
}

/// Errors of each message, or of each connection if there were no messages.
fn errors(report: &Report) -> Option<(Metric, Value)> {
    let messages = report.messages.sent.max(report.messages.received);
    let (name, of) = match messages {
        0 => ("errors per connection", report.connections.begun),
        _ => ("errors per message", messages),
    };
    let (events, of) = (report.errors.iter().map(|error| error.count).sum::<u64>() as f64, of as f64);
    if of == 0.0 {
        return None;
    }
    let of_seconds: Vec<f64> =
        report.series.iter().filter(|second| second.length_s >= FULL).map(|second| second.errors as f64).collect();
    let mean = of_seconds.iter().sum::<f64>() / of_seconds.len() as f64;
    let is_known = of_seconds.len() >= 2 && mean > 0.0;
    let dispersion = if is_known { (variance(&of_seconds) / mean).max(1.0) } else { 1.0 };
    let value = Value {
        value: events / of,
        interval: Ok(of_events(events, of, dispersion)),
        events: Some((events, of, dispersion)),
    };
    Some((Metric { name: name.to_owned(), unit: Unit::Share }, value))
}
