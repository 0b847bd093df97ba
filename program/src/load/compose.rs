//! Makes a report of measurements, and measurements of a report. So reports are added up in the
//! one way in which the processes of a run are.

use super::measure::process::Cpu;
use super::measure::{Asked, Client, Expected, Histograms, Latencies, Latency, Record, Report, Server};
use super::output::limits;
use super::plan::Expectation;

/// Makes the report of measurements. Percentiles, the curve, limits and expectations follow from
/// them.
pub(crate) fn compose(asked: Asked, record: Record, expect: &[Expectation]) -> Report {
    let (latency, curve) = latencies(&record.times);
    let mut report = Report {
        schema: 1,
        lariat: env!("CARGO_PKG_VERSION").to_owned(),
        asked,
        latency,
        curve,
        client: client(&record),
        server: record.server.clone().map(|server| with_shares(server, &record)),
        ended: record.ended,
        elapsed_s: record.elapsed_s,
        holding_s: record.holding_s,
        counted: record.counted,
        connections: record.connections,
        messages: record.messages,
        histograms: record.times,
        search: record.search,
        steps: record.steps,
        walks: record.walks,
        storms: record.storms,
        malformed: record.malformed,
        compression: record.compression,
        errors: record.errors,
        limits: Vec::new(),
        expectations: Vec::new(),
        series: record.series,
    };
    report.limits = limits(&report);
    report.expectations = expect
        .iter()
        .map(|expectation| {
            let (measured, holds) = expectation.check(&report);
            Expected { expectation: expectation.text().to_owned(), measured, holds }
        })
        .collect();
    report
}

/// Returns the measurements that a report was made of.
pub(crate) fn decompose(report: Report) -> Record {
    Record {
        is_complete: report.ended == "complete",
        ended: report.ended,
        elapsed_s: report.elapsed_s,
        connections: report.connections,
        messages: report.messages,
        errors: report.errors,
        times: report.histograms,
        search: report.search,
        steps: report.steps,
        walks: report.walks,
        storms: report.storms,
        malformed: report.malformed,
        compression: report.compression,
        series: report.series,
        cpu_opening_s: report.client.cpu_opening_s,
        cpu_holding_s: report.client.cpu_holding_s,
        memory: report.client.memory_bytes,
        client: report.client,
        server: report.server,
        holding_s: report.holding_s,
        counted: report.counted,
    }
}

/// Returns the summaries of all times, and the percentile curve of messages, in microseconds.
fn latencies(times: &Histograms) -> (Latencies, Vec<(f64, f64)>) {
    let Histograms { connect, tls, handshake, round_trip, last_receiver, send_delay } = times;
    let [connect, tls, handshake, trips, last, delay] =
        [connect, tls, handshake, round_trip, last_receiver, send_delay].map(|pairs| Latency::from_pairs(pairs));
    let measured = |latency: &Latency| (!latency.is_empty()).then(|| latency.summary());
    let shown = if last.is_empty() { &trips } else { &last };
    let curve = shown.curve().into_iter().map(|(share, nanos)| (share, nanos as f64 / 1e3)).collect();
    let latencies = Latencies {
        connect: connect.summary(),
        tls: measured(&tls),
        handshake: handshake.summary(),
        round_trip: measured(&trips),
        last_receiver: measured(&last),
        send_delay: measured(&delay),
    };
    (latencies, curve)
}

fn client(record: &Record) -> Client {
    Client {
        processes_lost: record.client.processes_lost,
        cpu_s: record.client.cpu_s,
        cpu_opening_s: record.cpu_opening_s,
        cpu_holding_s: record.cpu_holding_s,
        memory_bytes: record.memory,
        cpu_share_opening: share(record.cpu_opening_s, record.connections.opening_s, OWN_RESOLUTION),
        cpu_share_holding: share(record.cpu_holding_s, record.holding_s, OWN_RESOLUTION),
        cpu_ns_per_handshake: Cpu::exact(record.cpu_opening_s).each(record.connections.first_opened()),
        cpu_ns_per_message: Cpu::exact(record.cpu_holding_s).each(record.counted),
        memory_bytes_per_connection: each(record.memory as f64, record.connections.most),
    }
}

/// Sets the server's values for each connection and message.
fn with_shares(server: Server, record: &Record) -> Server {
    let connections = &record.connections;
    let cpu = |seconds: Option<f64>, count| each(seconds? * 1e9, count);
    let memory = |bytes: Option<u64>| each(bytes? as f64, connections.most);
    Server {
        cpu_ns_per_handshake: cpu(server.cpu_opening_s, connections.first_opened()),
        cpu_ns_per_message: cpu(server.cpu_holding_s, record.counted),
        memory_bytes_per_connection: memory(server.memory_bytes),
        memory_bytes_per_connection_at_end: memory(server.memory_bytes_at_end),
        ..server
    }
}

/// Over so many seconds, this process's own clock gives a share.
const OWN_RESOLUTION: f64 = 0.01;

/// Returns the share of one processor, or `None` over an interval that the clock does not resolve.
pub(crate) fn share(cpu_s: f64, seconds: f64, resolution: f64) -> Option<f64> {
    (seconds >= resolution).then(|| cpu_s / seconds)
}

/// Returns `sum / count`, or `None` if `count` is 0.
fn each(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| (sum / count as f64 * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_an_interval_that_the_clock_resolves() {
        // One tick of 10 ms in a phase of 2 ms is not 500 %.
        assert_eq!(share(0.01, 0.002, 0.2), None);
        assert_eq!((share(0.0, 0.0, 0.2), share(0.0, 0.0, OWN_RESOLUTION)), (None, None));
        assert_eq!((share(0.5, 1.0, 0.2), share(0.01, 0.02, OWN_RESOLUTION)), (Some(0.5), Some(0.5)));
    }
}
