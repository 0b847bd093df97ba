//! What a controller and an agent say to each other: lines of JSON over TCP, in this order.
//!
//! | from | message | meaning |
//! |---|---|---|
//! | agent | `Hello` | the version of the program, and a nonce |
//! | controller | `Offer` | length and SHA-256 of the request, a nonce, and a proof of the token |
//! | agent | `Ready` | the agent is free; a proof of the token |
//! | controller | [`Request`] | the options, the files, and the numbers of the workers |
//! | agent | `Accepted` | the request can be done |
//! | agent | `Refused` | why not; then the agent closes, also later |
//! | controller | `Start` | all agents have accepted: start the workers |
//! | agent | `Part` | a line of a worker, with its number |
//! | agent | `Log` | a line that a worker has logged |
//! | agent | `Ended` | a worker has ended, and how |
//! | controller | `Go`, `Interrupt` | for the worker with this number |
//! | both | `Alive` | once in a second |
//!
//! The controller closes the connection when all workers have ended. A proof is an HMAC-SHA256 with
//! the token as its key, over both nonces and the digest of the request. So the token does not
//! travel, an old proof is worth nothing, and a request that was changed on its way is refused. The
//! agent reads 4 KiB at most before it has seen a proof, and the controller sends no option before.
//!
//! An agent serves one controller at a time. Who hears nothing for [`SILENCE`] counts the other
//! side as lost: the agent ends its workers at once and waits for the next run, the controller goes
//! on with the other agents.

use crate::load::run::FromWorker;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// The version of the program. Both sides must have the same.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The longest line before a proof of the token.
pub(super) const FIRST_LINE: u64 = 4 << 10;

/// The longest line of a controller with a proof, except for a request.
pub(super) const SHORT_LINE: u64 = 64 << 10;

/// The longest request, and the longest line of an agent: the report of a worker.
pub(super) const LONG_LINE: u64 = 64 << 20;

/// How often each side says that it is there.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// After so long without a word, the other side is lost. A busy host may be late.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// The most time until all agents have accepted.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A message from a controller to an agent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToAgent {
    Offer(Offer),
    Start,
    Go(u32),
    Interrupt(u32),
    Alive,
}

/// What a controller says before it sends its request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) nonce: String,
    /// Of the request, in bytes without the end of its line.
    pub(super) length: u64,
    pub(super) sha256: String,
    pub(super) proof: String,
}

/// A part of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request<'a> {
    pub(super) lariat: String,
    /// Options of `lariat load`, and URLs.
    pub(super) arguments: Cow<'a, [String]>,
    pub(super) files: Cow<'a, [SentFile]>,
    /// The number of the agent's first worker.
    pub(super) first: u32,
    /// The number of its workers.
    pub(super) workers: u32,
    /// The number of all workers of the run.
    pub(super) parts: u32,
}

/// A file that an option names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SentFile {
    /// The name of the option, without its dashes.
    pub(super) option: String,
    /// In Base64.
    pub(super) content: String,
}

/// A message from an agent to a controller.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromAgent {
    Hello { lariat: String, nonce: String },
    Ready { proof: String },
    Accepted,
    Refused(String),
    Part(u32, Box<FromWorker>),
    Log(String),
    Ended(u32, String),
    Alive,
}

/// Returns [`FromAgent::Part`] as a line. The worker has written JSON, so nothing needs to be
/// parsed.
pub(super) fn part_line(part: u32, line: &str) -> String {
    format!("{{\"Part\":[{part},{line}]}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_worker_becomes_a_message() {
        for (message, expected) in [
            (FromWorker::Opened, "Part(7, Opened)"),
            (FromWorker::Failed("a \"b\"\n".to_owned()), "Part(7, Failed(\"a \\\"b\\\"\\n\"))"),
        ] {
            let line = part_line(7, &serde_json::to_string(&message).expect("JSON"));
            let read: FromAgent = serde_json::from_str(&line).expect("a message");
            assert_eq!(format!("{read:?}"), expected);
        }
    }
}
