//! What is there to tell of a run?
//!
//! `--json` writes a [`Report`] as it stands here, with `"schema": 1`. Fields may be added; one
//! that is renamed, removed or means something else makes it 2. Times end in `_us` (microseconds),
//! `_ns` or `_s` and say so; what could not be measured is null.

use super::latency::Summary;
use serde::{Deserialize, Serialize};

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    /// The version of the program.
    pub(super) lariat: &'static str,
    /// What was asked for.
    pub(super) asked: Asked,
    /// How it ended: "complete", or what cut it short.
    pub(super) ended: String,
    /// How long it took.
    pub(super) elapsed_s: f64,
    pub(super) connections: Connections,
    pub(super) messages: Messages,
    pub(super) latency: Latencies,
    /// With --until: what was tried, and the answer.
    pub(super) search: Option<Search>,
    pub(super) errors: Vec<ErrorCount>,
    /// What limited the run, the most likely first.
    pub(super) limits: Vec<Limit>,
    pub(super) client: Client,
    /// The server's process, if it is on this host and was found.
    pub(super) server: Option<Server>,
    pub(super) expectations: Vec<Expected>,
    /// A line for each second.
    pub(super) series: Vec<Second>,
    /// Of round trips, or with --subscribe of times to the last receiver: shares, and the times in
    /// microseconds which that share of all did not exceed.
    pub(super) curve: Vec<(f64, f64)>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Asked {
    pub(super) urls: Vec<String>,
    pub(super) connections: u64,
    /// "hold", "send", "echo" or "subscribe".
    pub(super) mode: &'static str,
    /// Connections begun per second; null: as fast as the server took them.
    pub(super) rate: Option<f64>,
    pub(super) hold_s: f64,
    /// In all; null: as fast as answers came.
    pub(super) messages_per_second: Option<f64>,
    /// Messages on the way at a time, without a rate.
    pub(super) depth: Option<u32>,
    pub(super) message_bytes: u64,
    pub(super) binary: bool,
    pub(super) deflate: bool,
    /// Connections closed and opened again per second: a number or "max".
    pub(super) churn: Option<String>,
    pub(super) until: Option<String>,
    pub(super) processes: u32,
    pub(super) seed: u64,
}

/// What became of the connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Connections {
    /// Begun, those that came back included.
    pub(super) begun: u64,
    pub(super) opened: u64,
    pub(super) failed: u64,
    /// Open at the same time.
    pub(super) most: u64,
    /// Ended by the server or the network while they were to be held.
    pub(super) lost: u64,
    /// Opened again by --churn while holding.
    pub(super) churned: u64,
    /// Open when the run came to its end.
    pub(super) at_end: u64,
    /// From the first attempt to the last answer.
    pub(super) opening_s: f64,
    /// Per second, in that time; with --churn while holding.
    pub(super) opened_per_second: f64,
}

/// What became of the messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Messages {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Came back as they were sent, or were received by a subscriber.
    pub(super) right: u64,
    pub(super) wrong: u64,
    /// Expected, and not there when the run ended or their connection did.
    pub(super) unanswered: u64,
    pub(super) unexpected: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// Published with --subscribe, and received by all.
    pub(super) published: u64,
    pub(super) complete: u64,
    /// How long messages were sent for.
    pub(super) sending_s: f64,
    /// Right ones in that time, and as much longer as the first one took to come; sent ones if none
    /// was expected back; with --subscribe deliveries.
    pub(super) per_second: f64,
}

/// How long things took.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Latencies {
    /// From the intended begin until TCP is connected and the request written.
    pub(super) connect: Summary,
    /// From there until the server has accepted the upgrade.
    pub(super) handshake: Summary,
    /// From the intended time of sending until the message is back; with --subscribe at each
    /// receiver.
    pub(super) round_trip: Option<Summary>,
    /// From the intended time of publishing until the last receiver has it.
    pub(super) last_receiver: Option<Summary>,
    /// By how much this client was late to send; it is part of the times above.
    pub(super) send_delay: Option<Summary>,
}

/// The search for a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Search {
    pub(super) bound: String,
    /// The highest rate that kept the bound; null: none did.
    pub(super) highest: Option<f64>,
    pub(super) steps: Vec<Step>,
}

/// A rate that was tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) rate: f64,
    pub(super) reached: f64,
    /// Of the percentile that is bounded.
    pub(super) latency_us: f64,
    pub(super) holds: bool,
}

/// A kind of error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ErrorCount {
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) explanation: String,
}

/// Something that limited the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Limit {
    pub(super) limit: &'static str,
    pub(super) evidence: String,
    pub(super) advice: String,
}

/// What this client itself used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Client {
    pub(super) cpu_s: f64,
    /// Of one processor, while opening.
    pub(super) cpu_share_opening: f64,
    /// Of one processor, while holding and sending.
    pub(super) cpu_share_holding: f64,
    pub(super) cpu_ns_per_handshake: Option<f64>,
    /// Per message that came back, or was sent if none was to.
    pub(super) cpu_ns_per_message: Option<f64>,
    /// Private memory that was there more with all connections than with none, the kernel's not
    /// counted.
    pub(super) memory_bytes_per_connection: Option<f64>,
}

/// What the server's process used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Server {
    pub(super) pids: Vec<u32>,
    pub(super) name: String,
    pub(super) cpu_share_opening: f64,
    pub(super) cpu_share_holding: f64,
    pub(super) cpu_ns_per_handshake: Option<f64>,
    pub(super) cpu_ns_per_message: Option<f64>,
    /// Private memory, as above: once all were open, and at the end of the hold.
    pub(super) memory_bytes_per_connection: Option<f64>,
    pub(super) memory_bytes_per_connection_at_end: Option<f64>,
    /// Files that it may open, and had open with the most connections.
    pub(super) files_limit: Option<u64>,
    pub(super) files_open: Option<u64>,
}

/// Something that was to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Expected {
    pub(super) expectation: String,
    pub(super) measured: String,
    pub(super) holds: bool,
}

/// A second of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Second {
    /// Its end, since the run began.
    pub(super) at_s: f64,
    pub(super) length_s: f64,
    pub(super) open: u64,
    pub(super) opened: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) errors: u64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
    /// Of one processor.
    pub(super) client_cpu: f64,
}

impl Report {
    /// Whether all that was expected holds.
    pub(super) fn holds(&self) -> bool {
        self.expectations.iter().all(|expected| expected.holds)
    }
}
