//! What one process measured, or several together.

use super::latency::Latency;
use super::report::{Client, Connections, ErrorCount, Messages, Search, Second};
use serde::{Deserialize, Serialize};

/// Times in nanoseconds, with the count of each.
type Pairs = Vec<(u64, u64)>;

/// The measurements of one process, or the sum of several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) ended: String,
    pub(crate) is_complete: bool,
    pub(crate) elapsed_s: f64,
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
    pub(crate) errors: Vec<ErrorCount>,
    pub(crate) connect: Pairs,
    pub(crate) tls: Pairs,
    pub(crate) handshake: Pairs,
    pub(crate) trips: Pairs,
    pub(crate) last: Pairs,
    pub(crate) delay: Pairs,
    pub(crate) search: Option<Search>,
    pub(crate) series: Vec<Second>,
    pub(crate) client: Client,
    /// CPU time while opening and while holding.
    pub(crate) cpu_opening_s: f64,
    pub(crate) cpu_holding_s: f64,
    /// How long the connections were held.
    pub(crate) holding_s: f64,
    /// The private memory of all connections.
    pub(crate) memory: u64,
    /// The messages that came back, or that were sent if none is expected back.
    pub(crate) counted: u64,
}

impl Record {
    /// Adds the measurements of another process in the same run, except for its seconds.
    pub(crate) fn merge(&mut self, other: Record) {
        if self.is_complete && !other.is_complete || self.ended.is_empty() {
            (self.ended, self.is_complete) = (other.ended, other.is_complete);
        }
        self.elapsed_s = self.elapsed_s.max(other.elapsed_s);
        add_connections(&mut self.connections, &other.connections);
        add_messages(&mut self.messages, &other.messages);
        for error in other.errors {
            match self
                .errors
                .iter_mut()
                .find(|known| known.kind == error.kind && known.explanation == error.explanation)
            {
                Some(known) => {
                    known.count += error.count;
                    error.details.into_iter().for_each(|detail| known.detail(detail.count, detail.text));
                }
                None => self.errors.push(error),
            }
        }
        let pairs = [
            (&mut self.connect, &other.connect),
            (&mut self.tls, &other.tls),
            (&mut self.handshake, &other.handshake),
            (&mut self.trips, &other.trips),
            (&mut self.last, &other.last),
            (&mut self.delay, &other.delay),
        ];
        for (sum, more) in pairs {
            let mut latency = Latency::from_pairs(sum);
            latency.add(&Latency::from_pairs(more));
            *sum = latency.to_pairs();
        }
        self.search = self.search.take().or(other.search);
        self.client.cpu_s += other.client.cpu_s;
        self.cpu_opening_s += other.cpu_opening_s;
        self.cpu_holding_s += other.cpu_holding_s;
        self.holding_s = self.holding_s.max(other.holding_s);
        self.memory += other.memory;
        self.counted += other.counted;
    }
}

fn add_connections(sum: &mut Connections, other: &Connections) {
    sum.begun += other.begun;
    sum.opened += other.opened;
    sum.failed += other.failed;
    sum.most += other.most;
    sum.lost += other.lost;
    sum.churned += other.churned;
    sum.reconnected += other.reconnected;
    sum.at_end += other.at_end;
    sum.opening_s = sum.opening_s.max(other.opening_s);
    sum.opened_per_second += other.opened_per_second;
}

fn add_messages(sum: &mut Messages, other: &Messages) {
    sum.sent += other.sent;
    sum.received += other.received;
    sum.right += other.right;
    sum.wrong += other.wrong;
    sum.unanswered += other.unanswered;
    sum.unexpected += other.unexpected;
    sum.bytes_sent += other.bytes_sent;
    sum.bytes_received += other.bytes_received;
    sum.published += other.published;
    sum.complete += other.complete;
    sum.missed += other.missed;
    sum.doubled += other.doubled;
    sum.out_of_order += other.out_of_order;
    sum.restarted += other.restarted;
    sum.sending_s = sum.sending_s.max(other.sending_s);
    sum.per_second += other.per_second;
}

impl Second {
    /// Adds the counts of another process in the same second, and keeps the worst of the
    /// percentiles.
    pub(crate) fn add(&mut self, other: &Second) {
        self.open += other.open;
        self.opened += other.opened;
        self.sent += other.sent;
        self.received += other.received;
        self.errors += other.errors;
        self.p50_us = self.p50_us.max(other.p50_us);
        self.p99_us = self.p99_us.max(other.p99_us);
        self.max_us = self.max_us.max(other.max_us);
        self.client_cpu += other.client_cpu;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_make_one_record() {
        let error = |kind: &str, count| ErrorCount { kind: kind.to_owned(), count, ..ErrorCount::default() };
        let record = |ended: &str, is_complete, most, kind: &str| Record {
            ended: ended.to_owned(),
            is_complete,
            connections: Connections { most, opening_s: most as f64, ..Connections::default() },
            errors: vec![error("lost", 1), error(kind, 2)],
            trips: vec![(1_000, most), (2_000, 1)],
            ..Record::default()
        };
        let mut sum = Record::default();
        sum.merge(record("complete", true, 10, "reset"));
        sum.merge(record("interrupted", false, 20, "stalled"));
        sum.merge(record("complete", true, 5, "reset"));
        assert_eq!((sum.ended.as_str(), sum.is_complete), ("interrupted", false));
        assert_eq!((sum.connections.most, sum.connections.opening_s), (35, 20.0));
        assert_eq!(sum.errors, [error("lost", 3), error("reset", 4), error("stalled", 2)]);
        assert_eq!(sum.trips.iter().map(|(_, count)| count).sum::<u64>(), 38);
    }
}
