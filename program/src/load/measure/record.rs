//! What one process measured, or several together.

use super::latency::{Latency, Summary};
use super::report::{
    Client, Compression, Connections, Detail, ErrorCount, Histograms, Malformed, Messages, Pairs, ScenarioStep, Search,
    Second, Server, Storm, Walked,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How a run ended that opened nothing.
pub(crate) const NONE_OPENED: &str = "no connection could be opened";

/// The measurements of one process, or the sum of several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) ended: String,
    pub(crate) is_complete: bool,
    pub(crate) elapsed_s: f64,
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
    pub(crate) errors: Vec<ErrorCount>,
    pub(crate) times: Histograms,
    pub(crate) search: Option<Search>,
    pub(crate) steps: Vec<ScenarioStep>,
    pub(crate) walks: Option<Walked>,
    pub(crate) storms: Vec<Storm>,
    pub(crate) malformed: Vec<Malformed>,
    pub(crate) compression: Option<Compression>,
    pub(crate) series: Vec<Second>,
    pub(crate) client: Client,
    /// What the server used. Its values per connection and per message follow from the sum.
    pub(crate) server: Option<Server>,
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
    /// Adds the measurements of another process in the same run, except for its seconds. The order
    /// in which records are added changes only the order of lists.
    pub(crate) fn merge(&mut self, other: Record) {
        // Of several reasons for an early end, the first in the alphabet stays.
        let is_earlier = (other.is_complete, &other.ended) < (self.is_complete, &self.ended);
        if self.ended.is_empty() || is_earlier {
            (self.ended, self.is_complete) = (other.ended, other.is_complete);
        }
        self.elapsed_s = self.elapsed_s.max(other.elapsed_s);
        add_connections(&mut self.connections, &other.connections);
        if self.connections.opened > 0 && self.ended == NONE_OPENED {
            // It begins alike, so that the order of parts does not matter.
            self.ended = format!("{NONE_OPENED} by a part of this client");
        }
        add_messages(&mut self.messages, &other.messages);
        for error in other.errors {
            match self
                .errors
                .iter_mut()
                .find(|known| known.kind == error.kind && known.explanation == error.explanation)
            {
                Some(known) => {
                    known.count += error.count;
                    merge_details(&mut known.details, error.details);
                }
                None => self.errors.push(error),
            }
        }
        self.times.merge(&other.times);
        merge_steps(&mut self.steps, other.steps);
        if let Some(more) = other.walks {
            let walks = self.walks.get_or_insert_default();
            walks.finished += more.finished;
            walks.failed += more.failed;
            walks.unfinished += more.unfinished;
            walks.is_endless |= more.is_endless;
        }
        merge_storms(&mut self.storms, other.storms);
        merge_malformed(&mut self.malformed, other.malformed);
        if let Some(more) = other.compression {
            self.compression.get_or_insert_default().add(&more);
        }
        self.search = self.search.take().or(other.search);
        self.client.cpu_s += other.client.cpu_s;
        self.client.processes_lost = self.client.processes_lost.saturating_add(other.client.processes_lost);
        self.server = match (self.server.take(), other.server) {
            (Some(one), Some(other)) => Some(merge_server(one, other)),
            (one, other) => one.or(other),
        };
        self.cpu_opening_s += other.cpu_opening_s;
        self.cpu_holding_s += other.cpu_holding_s;
        self.holding_s = self.holding_s.max(other.holding_s);
        self.memory += other.memory;
        self.counted += other.counted;
    }
}

impl Histograms {
    /// Adds the times of another process, bucket by bucket.
    pub(crate) fn merge(&mut self, other: &Histograms) {
        let pairs = [
            (&mut self.connect, &other.connect),
            (&mut self.tls, &other.tls),
            (&mut self.handshake, &other.handshake),
            (&mut self.round_trip, &other.round_trip),
            (&mut self.last_receiver, &other.last_receiver),
            (&mut self.send_delay, &other.send_delay),
        ];
        for (sum, more) in pairs {
            merge_pairs(sum, more);
        }
    }
}

fn merge_pairs(sum: &mut Pairs, more: &Pairs) {
    if !more.is_empty() {
        let mut latency = Latency::from_pairs(sum);
        latency.add(&Latency::from_pairs(more));
        *sum = latency.to_pairs();
    }
}

fn merge_steps(sum: &mut Vec<ScenarioStep>, more: Vec<ScenarioStep>) {
    for step in more {
        let Some(known) = sum.iter_mut().find(|known| known.line == step.line) else {
            sum.push(step);
            continue;
        };
        known.done += step.done;
        known.failed += step.failed;
        known.first_failed = known.first_failed.into_iter().chain(step.first_failed).min();
        merge_pairs(&mut known.histogram, &step.histogram);
        known.latency = known.latency.as_ref().or(step.latency.as_ref()).map(|_| summary(&known.histogram));
        merge_details(&mut known.failures, step.failures);
    }
}

/// Storms of the same number came at the same time.
fn merge_storms(sum: &mut Vec<Storm>, more: Vec<Storm>) {
    for (number, storm) in more.into_iter().enumerate() {
        let Some(known) = sum.get_mut(number) else {
            sum.push(storm);
            continue;
        };
        known.at_s = known.at_s.min(storm.at_s);
        known.cut += storm.cut;
        known.back += storm.back;
        known.failed += storm.failed;
        known.messages_lost += storm.messages_lost;
        known.all_back_s = known.all_back_s.zip(storm.all_back_s).map(|(one, other)| one.max(other));
        merge_pairs(&mut known.histogram, &storm.histogram);
        known.handshake = summary(&known.histogram);
    }
}

fn merge_malformed(sum: &mut Vec<Malformed>, more: Vec<Malformed>) {
    for kind in more {
        let Some(known) = sum.iter_mut().find(|known| known.name == kind.name) else {
            sum.push(kind);
            continue;
        };
        known.tried += kind.tried;
        known.right += kind.right;
        merge_details(&mut known.outcomes, kind.outcomes);
    }
}

/// Adds up details, without a limit: else their counts would depend on the order of reports.
fn merge_details(sum: &mut Vec<Detail>, more: Vec<Detail>) {
    for detail in more {
        match sum.iter_mut().find(|known| known.text == detail.text) {
            Some(known) => known.count += detail.count,
            None => sum.push(detail),
        }
    }
}

/// Two clients on one host see the same server; the higher value is that of the longer interval. Of
/// different servers, only the higher share of a processor is known.
fn merge_server(one: Server, other: Server) -> Server {
    let most = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::max);
    let (cpu_share_opening, cpu_share_holding) =
        (most(one.cpu_share_opening, other.cpu_share_opening), most(one.cpu_share_holding, other.cpu_share_holding));
    if (&one.pids, &one.name) != (&other.pids, &other.name) {
        let union = |one: Vec<String>, other: Vec<String>| -> Vec<String> {
            one.into_iter().chain(other).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let names = |name: &str| name.split(", ").map(str::to_owned).collect();
        return Server {
            name: union(names(&one.name), names(&other.name)).join(", "),
            pids: one.pids.into_iter().chain(other.pids).collect::<BTreeSet<_>>().into_iter().collect(),
            cpu_share_opening,
            cpu_share_holding,
            ..Server::default()
        };
    }
    let both = |one: Option<f64>, other: Option<f64>| one.zip(other).map(|(one, other)| one.max(other));
    let count = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one.max(other));
    Server {
        cpu_opening_s: both(one.cpu_opening_s, other.cpu_opening_s),
        cpu_holding_s: both(one.cpu_holding_s, other.cpu_holding_s),
        memory_bytes: count(one.memory_bytes, other.memory_bytes),
        memory_bytes_at_end: count(one.memory_bytes_at_end, other.memory_bytes_at_end),
        cpu_share_opening,
        cpu_share_holding,
        files_limit: count(one.files_limit, other.files_limit),
        files_open: count(one.files_open, other.files_open),
        ..one
    }
}

fn summary(pairs: &Pairs) -> Summary {
    Latency::from_pairs(pairs).summary()
}

impl Compression {
    fn add(&mut self, other: &Compression) {
        self.sent_payload += other.sent_payload;
        self.sent_wire += other.sent_wire;
        self.received_payload += other.received_payload;
        self.received_wire += other.received_wire;
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
    /// Returns the number of the second of the run in which it ended. A process that was held up
    /// skips some.
    pub(crate) fn number(&self) -> u64 {
        (self.at_s - self.length_s.min(1.0) / 2.0).max(0.0) as u64
    }

    /// Adds the counts of another process in the same second, and keeps the worst of the
    /// percentiles.
    pub(crate) fn add(&mut self, other: &Second) {
        self.at_s = self.at_s.max(other.at_s);
        self.length_s = self.length_s.max(other.length_s);
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
            times: Histograms { round_trip: vec![(1_000, most), (2_000, 1)], ..Histograms::default() },
            ..Record::default()
        };
        let mut sum = Record::default();
        sum.merge(record("complete", true, 10, "reset"));
        sum.merge(record("interrupted", false, 20, "stalled"));
        sum.merge(record("complete", true, 5, "reset"));
        assert_eq!((sum.ended.as_str(), sum.is_complete), ("interrupted", false));
        assert_eq!((sum.connections.most, sum.connections.opening_s), (35, 20.0));
        assert_eq!(sum.errors, [error("lost", 3), error("reset", 4), error("stalled", 2)]);
        assert_eq!(sum.times.round_trip.iter().map(|(_, count)| count).sum::<u64>(), 38);
    }

    #[test]
    fn the_times_of_four_processes_are_those_of_one_to_the_bucket() {
        // From 1 ns to an hour and beyond, many of them equal.
        let mut state = 7_u64;
        let times = (0..40_000).map(|number| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 20) >> (number % 44)
        });
        let times: Vec<u64> = times.collect();
        let pairs = |times: &mut dyn Iterator<Item = &u64>| {
            let mut latency = Latency::new();
            times.for_each(|time| latency.record(*time));
            latency.to_pairs()
        };
        let mut sum = Record::default();
        for part in 0..4 {
            let mut slice = times.iter().skip(part).step_by(4);
            // As it comes from another process.
            let times = Histograms { round_trip: pairs(&mut slice), ..Histograms::default() };
            let line = serde_json::to_string(&Record { times, ..Record::default() }).expect("JSON");
            sum.merge(serde_json::from_str(&line).expect("a record"));
        }
        assert_eq!(sum.times.round_trip, pairs(&mut times.iter()));
        assert_eq!(sum.times.round_trip.iter().map(|(_, count)| count).sum::<u64>(), 40_000);
    }
}
