//! The metrics of a run in the format of OpenMetrics 1.0.

use crate::load::measure::{BOUNDS_US, Second};
use crate::load::run::{PHASES, Progress};
use std::fmt::{self, Display, Formatter};

/// The latest that is known of a run. It is shown as metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) progress: Progress,
    pub(super) second: Second,
}

const PREFIX: &str = "lariat_load";

/// Writes the lines before the samples of a metric.
fn head(f: &mut Formatter<'_>, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(f, "# TYPE {PREFIX}_{name} {kind}")?;
    // A unit is the end of the name.
    if let Some(unit) = ["seconds", "ratio"].into_iter().find(|unit| name.ends_with(unit)) {
        writeln!(f, "# UNIT {PREFIX}_{name} {unit}")?;
    }
    writeln!(f, "# HELP {PREFIX}_{name} {help}")
}

fn gauge(f: &mut Formatter<'_>, name: &str, help: &str, value: impl Display) -> fmt::Result {
    head(f, name, "gauge", help)?;
    writeln!(f, "{PREFIX}_{name} {value}")
}

fn counter(f: &mut Formatter<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    head(f, name, "counter", help)?;
    writeln!(f, "{PREFIX}_{name}_total {value}")
}

impl Display for Snapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Snapshot { progress, second } = self;
        phase(f, progress)?;
        gauge(f, "run_seconds", "The time since the run began.", progress.at_s)?;
        gauge(f, "open_connections", "Connections that are open.", progress.open)?;
        gauge(f, "asked_connections", "Connections that the run is to open.", progress.asked)?;
        let totals = &progress.totals;
        counter(f, "connections_opened", "Connections that the server accepted.", totals.opened)?;
        counter(f, "connections_failed", "Connections that did not open.", totals.failed)?;
        counter(f, "connections_lost", "Connections that ended while they were held.", totals.lost)?;
        counter(f, "messages_sent", "Messages sent.", totals.sent)?;
        counter(f, "messages_received", "Messages received.", totals.received)?;
        head(f, "errors", "counter", "Errors, by kind.")?;
        for (kind, count) in &progress.errors {
            writeln!(f, "{PREFIX}_errors_total{{kind=\"{}\"}} {count}", escaped(kind))?;
        }
        gauge(
            f,
            "client_cpu_ratio",
            "CPU time of this client in the last second; 1 is a processor.",
            second.client_cpu,
        )?;
        latency(f, second)?;
        trips(f, progress)?;
        writeln!(f, "# EOF")
    }
}

fn phase(f: &mut Formatter<'_>, progress: &Progress) -> fmt::Result {
    head(f, "phase", "stateset", "What the run does.")?;
    // Before the first progress, it opens.
    let present = if progress.phase.is_empty() { PHASES[0] } else { &progress.phase };
    for phase in PHASES {
        let name = phase.replace(' ', "_");
        writeln!(f, "{PREFIX}_phase{{{PREFIX}_phase=\"{name}\"}} {}", u8::from(phase == present))?;
    }
    Ok(())
}

fn latency(f: &mut Formatter<'_>, second: &Second) -> fmt::Result {
    head(f, "last_second_latency_seconds", "gauge", "Latency of the last second; quantile 1 is its maximum.")?;
    for (quantile, micros) in [("0.5", second.p50_us), ("0.99", second.p99_us), ("1.0", second.max_us)] {
        writeln!(f, "{PREFIX}_last_second_latency_seconds{{quantile=\"{quantile}\"}} {}", micros / 1e6)?;
    }
    Ok(())
}

fn trips(f: &mut Formatter<'_>, progress: &Progress) -> fmt::Result {
    let name = format!("{PREFIX}_round_trip_seconds");
    let help = "Times until messages came back, or with --subscribe until their last receiver had them.";
    head(f, "round_trip_seconds", "histogram", help)?;
    let buckets = &progress.totals.trips;
    let mut so_far = 0;
    for (place, count) in buckets.counts.iter().enumerate() {
        so_far += count;
        match BOUNDS_US.get(place) {
            Some(bound) => writeln!(f, "{name}_bucket{{le=\"{:?}\"}} {so_far}", *bound as f64 / 1e6)?,
            None => writeln!(f, "{name}_bucket{{le=\"+Inf\"}} {so_far}")?,
        }
    }
    writeln!(f, "{name}_count {so_far}")?;
    writeln!(f, "{name}_sum {}", buckets.sum_s)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_a_text_of_openmetrics() {
        let mut snapshot = Snapshot::default();
        snapshot.progress.phase = PHASES[2].to_owned();
        snapshot.progress.errors = [("a\"b\\c\nd".to_owned(), 3)].into();
        snapshot.progress.totals.trips.counts[0] = 2;
        snapshot.progress.totals.trips.counts[16] = 1;
        snapshot.progress.totals.opened = 7;
        snapshot.second.p99_us = 250.0;
        let text = snapshot.to_string();
        for line in [
            "lariat_load_phase{lariat_load_phase=\"waiting_for_answers\"} 1",
            "lariat_load_phase{lariat_load_phase=\"opening\"} 0",
            "lariat_load_connections_opened_total 7",
            "lariat_load_errors_total{kind=\"a\\\"b\\\\c\\nd\"} 3",
            "lariat_load_last_second_latency_seconds{quantile=\"0.99\"} 0.00025",
            "lariat_load_round_trip_seconds_bucket{le=\"5e-5\"} 2",
            "lariat_load_round_trip_seconds_bucket{le=\"1.0\"} 2",
            "lariat_load_round_trip_seconds_bucket{le=\"+Inf\"} 3",
            "lariat_load_round_trip_seconds_count 3",
            "# UNIT lariat_load_round_trip_seconds seconds",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"));
        assert!(Snapshot::default().to_string().contains("{lariat_load_phase=\"opening\"} 1"));
    }
}
