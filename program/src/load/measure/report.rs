//! What is there to tell of a run?
//!
//! `--json` writes a [`Report`] as it stands here, with `"schema": 1`. Fields may be added; one
//! that is renamed, removed or means something else makes it 2. Times end in `_us` (microseconds),
//! `_ns` or `_s` and say so; what could not be measured is null.

use super::latency::Summary;
use serde::{Deserialize, Serialize};

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// The version of the program.
    pub(crate) lariat: &'static str,
    /// What was asked for.
    pub(crate) asked: Asked,
    /// How it ended: "complete", or what cut it short.
    pub(crate) ended: String,
    /// How long it took.
    pub(crate) elapsed_s: f64,
    pub(crate) connections: Connections,
    pub(crate) messages: Messages,
    pub(crate) latency: Latencies,
    /// With --until: what was tried, and the answer.
    pub(crate) search: Option<Search>,
    pub(crate) errors: Vec<ErrorCount>,
    /// What limited the run, the most likely first.
    pub(crate) limits: Vec<Limit>,
    pub(crate) client: Client,
    /// The server's process, if it is on this host and was found.
    pub(crate) server: Option<Server>,
    pub(crate) expectations: Vec<Expected>,
    /// A line for each second.
    pub(crate) series: Vec<Second>,
    /// Of round trips, or with --subscribe of times to the last receiver: shares, and the times in
    /// microseconds which that share of all did not exceed.
    pub(crate) curve: Vec<(f64, f64)>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Asked {
    pub(crate) urls: Vec<String>,
    pub(crate) connections: u64,
    /// "hold", "send", "echo" or "subscribe".
    pub(crate) mode: &'static str,
    /// Connections begun per second; null: as fast as the server took them.
    pub(crate) rate: Option<f64>,
    pub(crate) hold_s: f64,
    /// In all; null: as fast as answers came.
    pub(crate) messages_per_second: Option<f64>,
    /// Messages on the way at a time, without a rate.
    pub(crate) depth: Option<u32>,
    pub(crate) message_bytes: u64,
    pub(crate) binary: bool,
    pub(crate) deflate: bool,
    /// Connections closed and opened again per second: a number or "max".
    pub(crate) churn: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) processes: u32,
    pub(crate) seed: u64,
}

/// What became of the connections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connections {
    /// Begun, those that came back included.
    pub(crate) begun: u64,
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// Open at the same time.
    pub(crate) most: u64,
    /// Ended by the server or the network while they were to be held.
    pub(crate) lost: u64,
    /// Opened again by --churn while holding.
    pub(crate) churned: u64,
    /// Open when the run came to its end.
    pub(crate) at_end: u64,
    /// From the first attempt to the last answer.
    pub(crate) opening_s: f64,
    /// Per second, in that time; with --churn while holding.
    pub(crate) opened_per_second: f64,
}

/// What became of the messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Messages {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Came back as they were sent, or were received by a subscriber.
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    /// Expected, and not there when the run ended or their connection did.
    pub(crate) unanswered: u64,
    pub(crate) unexpected: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Published with --subscribe, and received by all.
    pub(crate) published: u64,
    pub(crate) complete: u64,
    /// How long messages were sent for.
    pub(crate) sending_s: f64,
    /// Right ones in that time, and as much longer as the first one took to come; sent ones if none
    /// was expected back; with --subscribe deliveries.
    pub(crate) per_second: f64,
}

/// How long things took.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Latencies {
    /// From the intended begin until TCP is connected and the request written.
    pub(crate) connect: Summary,
    /// From there until the server has accepted the upgrade.
    pub(crate) handshake: Summary,
    /// From the intended time of sending until the message is back; with --subscribe at each
    /// receiver.
    pub(crate) round_trip: Option<Summary>,
    /// From the intended time of publishing until the last receiver has it.
    pub(crate) last_receiver: Option<Summary>,
    /// By how much this client was late to send; it is part of the times above.
    pub(crate) send_delay: Option<Summary>,
}

/// The search for a rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Search {
    pub(crate) bound: String,
    /// The highest rate that kept the bound; null: none did.
    pub(crate) highest: Option<f64>,
    pub(crate) steps: Vec<Step>,
}

/// A rate that was tried.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) reached: f64,
    /// Of the percentile that is bounded.
    pub(crate) latency_us: f64,
    pub(crate) holds: bool,
}

/// A kind of error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ErrorCount {
    pub(crate) kind: String,
    pub(crate) count: u64,
    pub(crate) explanation: String,
}

/// Something that limited the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Limit {
    pub(crate) limit: &'static str,
    pub(crate) evidence: String,
    pub(crate) advice: String,
}

/// What this client itself used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) cpu_s: f64,
    /// Of one processor, while opening.
    pub(crate) cpu_share_opening: f64,
    /// Of one processor, while holding and sending.
    pub(crate) cpu_share_holding: f64,
    pub(crate) cpu_ns_per_handshake: Option<f64>,
    /// Per message that came back, or was sent if none was to.
    pub(crate) cpu_ns_per_message: Option<f64>,
    /// Private memory that was there more with all connections than with none, the kernel's not
    /// counted.
    pub(crate) memory_bytes_per_connection: Option<f64>,
}

/// What the server's process used.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Server {
    pub(crate) pids: Vec<u32>,
    pub(crate) name: String,
    pub(crate) cpu_share_opening: f64,
    pub(crate) cpu_share_holding: f64,
    pub(crate) cpu_ns_per_handshake: Option<f64>,
    pub(crate) cpu_ns_per_message: Option<f64>,
    /// Private memory, as above: once all were open, and at the end of the hold.
    pub(crate) memory_bytes_per_connection: Option<f64>,
    pub(crate) memory_bytes_per_connection_at_end: Option<f64>,
    /// Files that it may open, and had open with the most connections.
    pub(crate) files_limit: Option<u64>,
    pub(crate) files_open: Option<u64>,
}

/// Something that was to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Expected {
    pub(crate) expectation: String,
    pub(crate) measured: String,
    pub(crate) holds: bool,
}

/// A second of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Second {
    /// Its end, since the run began.
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
    /// Of one processor.
    pub(crate) client_cpu: f64,
}

impl Report {
    /// Whether all that was expected holds.
    pub(crate) fn holds(&self) -> bool {
        self.expectations.iter().all(|expected| expected.holds)
    }
}
