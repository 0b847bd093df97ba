//! The [`Stats`] in the text format of Prometheus, version 0.0.4.

use super::stats::{Histogram, Stats};
use crate::protocol::Traffic;
use std::fmt::{Display, Write};

/// Writes metrics one after the other.
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        writeln!(self.0, "lariat_{name}{labels} {value}").expect("a String takes every write");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP lariat_{name} {help}\n# TYPE lariat_{name} {kind}")
            .expect("a String takes every write");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn many<V: Display>(&mut self, name: &str, kind: &str, help: &str, values: impl IntoIterator<Item = (String, V)>) {
        self.head(name, kind, help);
        for (labels, value) in values {
            self.line(name, &format!("{{{labels}}}"), value);
        }
    }

    /// `unit` is what 1 in the histogram is in the unit of the metric.
    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram, unit: f64) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (power, count) in histogram.buckets().iter().enumerate().take(Histogram::BUCKETS - 1) {
            so_far += count;
            self.line(&bucket, &format!("{{le=\"{}\"}}", (1_u64 << power) as f64 * unit), so_far);
        }
        self.line(&bucket, "{le=\"+Inf\"}", histogram.count());
        self.line(&format!("{name}_sum"), "", histogram.sum() as f64 * unit);
        self.line(&format!("{name}_count"), "", histogram.count());
    }
}

fn by_opcode(direction: &str, traffic: &Traffic) -> [(String, u64, u64); 5] {
    let flows = [
        ("text", traffic.text),
        ("binary", traffic.binary),
        ("ping", traffic.ping),
        ("pong", traffic.pong),
        ("close", traffic.close),
    ];
    flows.map(|(opcode, flow)| (format!("direction=\"{direction}\",opcode=\"{opcode}\""), flow.messages, flow.bytes))
}

impl Stats {
    /// Returns the text format of Prometheus, for your own `/metrics`, with the content type
    /// `text/plain; version=0.0.4`.
    pub fn to_prometheus(&self) -> String {
        let mut text = Text(String::with_capacity(8 << 10));
        self.write_connections(&mut text);
        self.write_traffic(&mut text);
        self.write_pressure(&mut text);
        self.write_turns(&mut text);
        #[cfg(feature = "handover")]
        self.write_handovers(&mut text);
        #[cfg(feature = "tls")]
        self.write_tls(&mut text);
        text.0
    }

    fn write_connections(&self, text: &mut Text) {
        let now = &self.connections;
        let states = [
            ("handshaking", now.handshaking),
            ("deciding", now.deciding),
            ("open", now.open),
            ("closing", now.closing),
            ("draining", now.draining),
            ("flushing", now.flushing),
            ("responding", now.responding),
        ];
        let states = states.map(|(state, count)| (format!("state=\"{state}\""), count));
        text.many("connections", "gauge", "Connections now, by state.", states);
        text.one("accepted_total", "counter", "Connections that came in.", self.accepted);
        text.one("connected_total", "counter", "Connections begun to other servers.", self.connected);
        text.one("opened_total", "counter", "Opening handshakes that succeeded.", self.opened);
        let refused = self.refused.iter().map(|(status, count)| (format!("status=\"{status}\""), count));
        text.many("refused_total", "counter", "Requests answered without an upgrade, by HTTP status.", refused);
        let help = "Of these responses, those that were not sent whole.";
        text.one("responses_cut_off_total", "counter", help, self.cut_off);
        let closed = self
            .closed
            .iter()
            .map(|(cause, count)| (format!("reason=\"{}\",detail=\"{}\"", cause.reason, cause.detail), count));
        text.many("closed_total", "counter", "Connections that ended, by reason.", closed);
        text.one("accept_errors_total", "counter", "Errors of accept(2).", self.accept_errors);
        let help = "Connections turned away for lack of descriptors, or too many of one address.";
        text.one("turned_away_total", "counter", help, self.turned_away);
    }

    fn write_traffic(&self, text: &mut Text) {
        let flows: Vec<_> =
            by_opcode("received", &self.received).into_iter().chain(by_opcode("sent", &self.sent)).collect();
        let messages = flows.iter().map(|(labels, messages, _)| (labels.clone(), *messages));
        text.many("messages_total", "counter", "Messages and control frames, by direction and opcode.", messages);
        let bytes = flows.iter().map(|(labels, _, bytes)| (labels.clone(), *bytes));
        text.many("payload_bytes_total", "counter", "Bytes of payload, uncompressed.", bytes);
        let directions = |received: u64, sent: u64| {
            [("direction=\"received\"".to_owned(), received), ("direction=\"sent\"".to_owned(), sent)]
        };
        let bytes = directions(self.bytes_read, self.bytes_written);
        text.many("socket_bytes_total", "counter", "Bytes read from and written to sockets.", bytes);
        let calls = directions(self.reads, self.writes);
        text.many("socket_calls_total", "counter", "Calls that read from and wrote to sockets.", calls);
    }

    #[cfg(feature = "handover")]
    fn write_handovers(&self, text: &mut Text) {
        let all = &self.handovers;
        text.one("handovers_total", "counter", "Processes that have handed over to the next one.", all.count);
        let help = "Handovers that failed, after which the process went on.";
        text.one("handover_failures_total", "counter", help, all.failures);
        let connections = [("outcome=\"moved\"".to_owned(), all.moved), ("outcome=\"left\"".to_owned(), all.left)];
        let help = "Connections of the last handover: moved, and left behind.";
        text.many("handover_connections", "gauge", help, connections);
        let help = "How long no process served in the last handover.";
        text.one("handover_frozen_seconds", "gauge", help, all.frozen.as_secs_f64());
    }

    fn write_pressure(&self, text: &mut Text) {
        text.one("buffered_bytes", "gauge", "Bytes held for all clients together.", self.buffered);
        text.one("memory_budget_bytes", "gauge", "Bytes that may be held for all clients.", self.memory_budget);
        let help = "How often the memory budget was used up.";
        text.one("memory_budget_exhausted_total", "counter", help, self.budget_exhaustions);
        let help = "How often a client was not read because memory ran short.";
        text.one("pauses_total", "counter", help, self.pauses);
        text.one("evictions_total", "counter", "Clients closed because memory was used up.", self.evictions);
        text.one("dropped_messages_total", "counter", "Messages dropped for slow consumers.", self.dropped);
        text.one("conflated_messages_total", "counter", "Messages replaced by a later one.", self.conflated);
        text.one("throttled_total", "counter", "How often a client was not read because of its rate.", self.throttled);
    }

    #[cfg(feature = "tls")]
    fn write_tls(&self, text: &mut Text) {
        text.one("tls_sessions", "gauge", "TLS sessions now.", self.tls_sessions);
        let handshakes = self.tls_handshakes.iter().map(|((version, cipher, resumed), count)| {
            (format!("version=\"{version}\",cipher=\"{cipher}\",resumed=\"{resumed}\""), count)
        });
        text.many("tls_handshakes_total", "counter", "TLS handshakes that succeeded.", handshakes);
    }

    fn write_turns(&self, text: &mut Text) {
        let help = "Durations of the loop's turns, without waiting.";
        text.histogram("turn_duration_seconds", help, &self.turn_micros, 1e-6);
        text.histogram("turn_events", "Readiness events of the loop's turns.", &self.turn_events, 1.0);
        let help = "Time that the loop has waited for something to do.";
        text.one("waited_seconds_total", "counter", help, self.waited.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_infinity() {
        let mut stats = Stats::default();
        for value in [1, 3, 3, 1 << 40] {
            stats.turn_micros.record(value);
        }
        let text = stats.to_prometheus();
        for line in [
            "# TYPE lariat_turn_duration_seconds histogram",
            "lariat_turn_duration_seconds_bucket{le=\"0.000001\"} 1",
            "lariat_turn_duration_seconds_bucket{le=\"0.000004\"} 3",
            "lariat_turn_duration_seconds_bucket{le=\"+Inf\"} 4",
            "lariat_turn_duration_seconds_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
