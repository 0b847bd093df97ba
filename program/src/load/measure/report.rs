//! The report of a run.
//!
//! `--json` writes a [`Report`] with the fields below and `"schema": 1`. New fields may be added.
//! If a field is renamed or removed, or changes its meaning, the schema becomes 2. Names of times
//! end in `_us` (microseconds), `_ns` or `_s`. A value that could not be measured is null.
//! `docs/load-report.schema.json` is the JSON schema of all this. It is made from this file.

use super::latency::Summary;
use crate::terminal::units::{counted, grouped};
use serde::{Deserialize, Serialize};

/// The report of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// The version of the program.
    pub(crate) lariat: String,
    /// What the options asked for.
    pub(crate) asked: Asked,
    /// How the run ended: "complete", or the reason why it ended early.
    pub(crate) ended: String,
    /// How long it took.
    pub(crate) elapsed_s: f64,
    /// For how long the connections were held.
    pub(crate) holding_s: f64,
    /// The messages that came back, or that were sent if none is expected back. The values per
    /// message are about these.
    pub(crate) counted: u64,
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
    pub(crate) latency: Latencies,
    /// All times that were recorded. The percentiles above follow from them, and so do those of
    /// several reports together.
    pub(crate) histograms: Histograms,
    /// With --until: the rates that were tried, and the result.
    pub(crate) search: Option<Search>,
    /// With --scenario: its steps, in the order of their lines.
    pub(crate) steps: Vec<ScenarioStep>,
    /// With --scenario: how many connections got through it.
    pub(crate) walks: Option<Walked>,
    /// With --storm: what happened in each.
    pub(crate) storms: Vec<Storm>,
    /// With --malformed: what the server did with hostile clients, one entry for each kind.
    pub(crate) malformed: Vec<Malformed>,
    /// With --deflate: what compression has saved.
    pub(crate) compression: Option<Compression>,
    pub(crate) errors: Vec<ErrorCount>,
    /// What limited the run, the most likely cause first.
    pub(crate) limits: Vec<Limit>,
    pub(crate) client: Client,
    /// The process of the server, if it is on this host and was found.
    pub(crate) server: Option<Server>,
    pub(crate) expectations: Vec<Expected>,
    /// One entry for each second.
    pub(crate) series: Vec<Second>,
    /// The percentile curve of round trips, or with --subscribe of times to the last receiver: a
    /// share, and the time in microseconds that this share does not exceed.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// What the options asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Asked {
    pub(crate) urls: Vec<String>,
    pub(crate) connections: u64,
    /// "hold", "send", "echo", "subscribe", "follow" or "scenario".
    pub(crate) mode: String,
    /// Connections begun per second; null means as fast as the server accepted them.
    pub(crate) rate: Option<f64>,
    pub(crate) hold_s: f64,
    /// In total; null means as fast as answers came.
    pub(crate) messages_per_second: Option<f64>,
    /// Messages in flight at a time, without a rate.
    pub(crate) depth: Option<u32>,
    pub(crate) message_bytes: u64,
    pub(crate) binary: bool,
    pub(crate) deflate: bool,
    /// Connections that are closed and opened again per second: a number or "max".
    pub(crate) churn: Option<String>,
    pub(crate) until: Option<String>,
    /// With --agents, on each of them. In a merged report, all together.
    pub(crate) processes: u32,
    /// The agents on other hosts that shared the run; empty without --agents, and in a merged
    /// report.
    pub(crate) agents: Vec<String>,
    pub(crate) seed: u64,
}

/// The connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Connections {
    /// Begun, including those that were opened again.
    pub(crate) begun: u64,
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// The most that were open at the same time.
    pub(crate) most: u64,
    /// Ended by the server or the network while they were held.
    pub(crate) lost: u64,
    /// Opened again by --churn while holding.
    pub(crate) churned: u64,
    /// Opened again by --follow, --reconnect or --storm after they were lost or cut.
    pub(crate) reconnected: u64,
    /// Open when the run ended.
    pub(crate) at_end: u64,
    /// The time from the first attempt to the last answer.
    pub(crate) opening_s: f64,
    /// Opened per second in that time; with --churn, while holding.
    pub(crate) opened_per_second: f64,
}

impl Connections {
    /// Returns how many were opened, without those that were opened again.
    pub(crate) fn first_opened(&self) -> u64 {
        self.opened.saturating_sub(self.churned).saturating_sub(self.reconnected)
    }
}

/// The messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Messages {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Came back as they were sent, or were received by a subscriber as they were published. With
    /// --follow, had a higher position than those before.
    pub(crate) right: u64,
    /// Differ from what was sent. With --follow, have no position.
    pub(crate) wrong: u64,
    /// Expected, but not received before the run or their connection ended.
    pub(crate) unanswered: u64,
    pub(crate) unexpected: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Published with --subscribe.
    pub(crate) published: u64,
    /// Published, and received by all subscribers.
    pub(crate) complete: u64,
    /// With --follow: positions that a subscriber has skipped, and not received later.
    pub(crate) missed: u64,
    /// With --follow: positions that a subscriber already had.
    pub(crate) doubled: u64,
    /// With --follow: positions that came after a higher one.
    pub(crate) out_of_order: u64,
    /// With --follow: how often what is before the number of a position has changed.
    pub(crate) restarted: u64,
    /// For how long messages were sent.
    pub(crate) sending_s: f64,
    /// Right messages per second in that time, extended by the time that the first one took. Sent
    /// messages if none is expected back; deliveries with --subscribe.
    pub(crate) per_second: f64,
}

/// The latencies.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Latencies {
    /// From the intended time until TCP is connected and the request is written, or with wss:// the
    /// first message of TLS.
    pub(crate) connect: Summary,
    /// For wss://, from then until the TLS handshake is over.
    pub(crate) tls: Option<Summary>,
    /// From then until the server has accepted the upgrade.
    pub(crate) handshake: Summary,
    /// From the intended time of sending until the message is back; with --subscribe, until each
    /// receiver has it.
    pub(crate) round_trip: Option<Summary>,
    /// From the intended time of publishing until the last receiver has it.
    pub(crate) last_receiver: Option<Summary>,
    /// How late this client sent. The times above include this delay.
    pub(crate) send_delay: Option<Summary>,
}

/// Recorded times in nanoseconds, each with its count, in order. A time stands for all that have
/// the same first three digits.
pub(crate) type Pairs = Vec<(u64, u64)>;

/// All times of [`Latencies`]. Empty where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Histograms {
    pub(crate) connect: Pairs,
    pub(crate) tls: Pairs,
    pub(crate) handshake: Pairs,
    pub(crate) round_trip: Pairs,
    pub(crate) last_receiver: Pairs,
    pub(crate) send_delay: Pairs,
}

/// A step of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct ScenarioStep {
    /// The number of its line in the file. The first line is 1.
    pub(crate) line: u32,
    /// The line itself.
    pub(crate) text: String,
    /// How often it was done.
    pub(crate) done: u64,
    /// How often it failed, which ends the walk of a connection.
    pub(crate) failed: u64,
    /// The first failures that differ, four at most from each process.
    pub(crate) failures: Vec<Detail>,
    /// The lowest number of a connection in which it failed. Its row of --data is the next one.
    pub(crate) first_failed: Option<u32>,
    /// How long it took, for steps that wait for the server: from when the connection came to it,
    /// or with "at" from when it should have come to it.
    pub(crate) latency: Option<Summary>,
    pub(crate) histogram: Pairs,
}

/// The walks of connections through a scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Walked {
    /// Those that have done all steps.
    pub(crate) finished: u64,
    /// Those that a step has failed.
    pub(crate) failed: u64,
    /// Those that were under way when the run ended.
    pub(crate) unfinished: u64,
    /// The scenario has no end ("forever"), so all are under way.
    pub(crate) is_endless: bool,
}

impl Walked {
    /// Returns whether no step has failed, and all got through unless there is no end.
    pub(crate) const fn is_good(&self) -> bool {
        self.failed == 0 && (self.unfinished == 0 || self.is_endless)
    }
}

/// A storm: connections that were cut at once, and their return.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Storm {
    /// When it came, counted from the beginning of the hold.
    pub(crate) at_s: f64,
    /// "fin" or "rst".
    pub(crate) kind: String,
    /// The connections that were cut.
    pub(crate) cut: u64,
    /// Those of them that were open again before the next storm or the end of the hold.
    pub(crate) back: u64,
    /// Attempts of theirs to come back that failed.
    pub(crate) failed: u64,
    /// Messages that were under way on them and did not come back. With --follow, see
    /// `messages.missed`.
    pub(crate) messages_lost: u64,
    /// The time from the storm until the last of them was open again; null if some never were.
    pub(crate) all_back_s: Option<f64>,
    /// From the beginning of an attempt until the server has accepted it.
    pub(crate) handshake: Summary,
    pub(crate) histogram: Pairs,
}

/// What the server did with a kind of hostile client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Malformed {
    pub(crate) name: String,
    /// What the client sends, and the section of the RFC that forbids it.
    pub(crate) what: String,
    /// The clients of this kind that were tried.
    pub(crate) tried: u64,
    /// What a server that keeps to the RFC does.
    pub(crate) expected: String,
    /// What the server did, with counts.
    pub(crate) outcomes: Vec<Detail>,
    /// Those to which the server did what is expected.
    pub(crate) right: u64,
}

/// What compression has saved while the connections were held: bytes of payloads, and the bytes on
/// the wire, with the headers of frames and, for wss://, of TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Compression {
    pub(crate) sent_payload: u64,
    pub(crate) sent_wire: u64,
    pub(crate) received_payload: u64,
    pub(crate) received_wire: u64,
}

/// The search for a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Search {
    pub(crate) bound: String,
    /// The highest rate that kept the bound; null if none did.
    pub(crate) highest: Option<f64>,
    pub(crate) steps: Vec<Step>,
}

/// A rate that was tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) reached: f64,
    /// The latency at the percentile of the bound.
    pub(crate) latency_us: f64,
    pub(crate) holds: bool,
}

/// A kind of error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct ErrorCount {
    pub(crate) kind: String,
    pub(crate) count: u64,
    pub(crate) explanation: String,
    /// What the server said, or its address. The first ones that differ, four at most from each
    /// process.
    pub(crate) details: Vec<Detail>,
}

/// What is particular to some errors of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Detail {
    pub(crate) count: u64,
    pub(crate) text: String,
}

/// The most details of a kind of error in one process. A server may say something else to each
/// connection.
const DETAILS: usize = 4;

impl ErrorCount {
    /// Counts a detail.
    pub(crate) fn detail(&mut self, count: u64, text: String) {
        if let Some(known) = self.details.iter_mut().find(|known| known.text == text) {
            known.count += count;
        } else if self.details.len() < DETAILS {
            self.details.push(Detail { count, text });
        }
    }

    /// Returns the explanation with its first details.
    pub(crate) fn sentence(&self) -> String {
        let shown = &self.details[..self.details.len().min(DETAILS)];
        let told: u64 = shown.iter().map(|detail| detail.count).sum();
        let texts: Vec<String> = match shown {
            [] => return self.explanation.clone(),
            [only] if told == self.count => vec![only.text.clone()],
            several => several.iter().map(|detail| format!("{} ({})", detail.text, grouped(detail.count))).collect(),
        };
        let others = if told < self.count { ", and others" } else { "" };
        format!("{}: {}{others}", self.explanation, texts.join(", "))
    }
}

/// Something that limited the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Limit {
    pub(crate) limit: String,
    pub(crate) evidence: String,
    pub(crate) advice: String,
}

/// What this client used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Client {
    /// Processes of this client that ended without a report. Their measurements are missing, except
    /// in `series`, which has what they did until then.
    pub(crate) processes_lost: u32,
    pub(crate) cpu_s: f64,
    /// The parts of it while opening, and while holding.
    pub(crate) cpu_opening_s: f64,
    pub(crate) cpu_holding_s: f64,
    /// The increase of private memory from no connections to all, without the memory of the kernel.
    pub(crate) memory_bytes: u64,
    /// Share of one processor while opening, unless that was too short for the clock.
    pub(crate) cpu_share_opening: Option<f64>,
    /// Share of one processor while holding and sending, as above.
    pub(crate) cpu_share_holding: Option<f64>,
    /// Unless the CPU time was too short for its clock.
    pub(crate) cpu_ns_per_handshake: Option<f64>,
    /// Per message that came back, or that was sent if none is expected back.
    pub(crate) cpu_ns_per_message: Option<f64>,
    /// That memory for each connection.
    pub(crate) memory_bytes_per_connection: Option<f64>,
}

/// What the process of the server used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Server {
    pub(crate) pids: Vec<u32>,
    pub(crate) name: String,
    /// CPU time while opening and while holding, unless it was too short for its clock.
    pub(crate) cpu_opening_s: Option<f64>,
    pub(crate) cpu_holding_s: Option<f64>,
    /// The increase of private memory once all connections were open, and at the end of the hold.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_bytes_at_end: Option<u64>,
    pub(crate) cpu_share_opening: Option<f64>,
    pub(crate) cpu_share_holding: Option<f64>,
    pub(crate) cpu_ns_per_handshake: Option<f64>,
    pub(crate) cpu_ns_per_message: Option<f64>,
    /// The increase of private memory for each connection once all were open.
    pub(crate) memory_bytes_per_connection: Option<f64>,
    /// The same at the end of the hold.
    pub(crate) memory_bytes_per_connection_at_end: Option<f64>,
    /// The files that it may open.
    pub(crate) files_limit: Option<u64>,
    /// The files that it had open once all connections were open.
    pub(crate) files_open: Option<u64>,
}

/// An expectation, and whether it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Expected {
    pub(crate) expectation: String,
    pub(crate) measured: String,
    pub(crate) holds: bool,
}

/// A second of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub(crate) struct Second {
    /// Its end, counted from the beginning of the run.
    pub(crate) at_s: f64,
    pub(crate) length_s: f64,
    pub(crate) open: u64,
    pub(crate) opened: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) errors: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    /// Share of one processor.
    pub(crate) client_cpu: f64,
}

impl Report {
    /// Returns whether all expectations hold, no step of a scenario has failed, and the run itself
    /// has no faults.
    pub(crate) fn is_good(&self) -> bool {
        let holds = self.expectations.iter().all(|expected| expected.holds);
        holds && self.walks.as_ref().is_none_or(Walked::is_good) && self.faults().is_empty()
    }

    /// Returns why the run itself failed: it opened nothing, lost a process of its own, or ended
    /// before a scenario that has an end. That it ended early, as by a signal, is no fault.
    pub(crate) fn faults(&self) -> Vec<String> {
        let lost = self.client.processes_lost;
        let walks = self.walks.as_ref().filter(|walks| !walks.is_endless);
        let unfinished = walks.map_or(0, |walks| walks.unfinished);
        let faults = [
            (unfinished > 0, format!("{} not at the end of the scenario", counted(unfinished, "connection"))),
            (self.connections.opened == 0, "no connection opened".to_owned()),
            (lost > 0, format!("{} of this client without a report", counted(lost.into(), "process"))),
        ];
        faults.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, why)| why).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_listed_as_far_as_there_is_room() {
        let mut error = ErrorCount { count: 3, explanation: "closed".to_owned(), ..ErrorCount::default() };
        assert_eq!(error.sentence(), "closed");
        error.detail(3, "\"a\"".to_owned());
        assert_eq!(error.sentence(), "closed: \"a\"");
        for text in ["b", "c", "d", "e", "b"] {
            error.count += 1;
            error.detail(1, text.to_owned());
        }
        assert_eq!(error.sentence(), "closed: \"a\" (3), b (2), c (1), d (1), and others");
    }
}
