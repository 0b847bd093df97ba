//! What the pages of `/learn` and the lab say to each other.
//!
//! A page cannot send raw bytes. So the lab sends them for it, over a connection of its own to
//! this server, and reports what comes back. Bytes are in hexadecimal digits. `on` is the number
//! that the page gave an experiment. `at` is the time since its beginning, in milliseconds.
//!
//! | from the page | meaning |
//! |---|---|
//! | `{"run":{"on":1,"steps":[],"within":2000}}` | run this, for at most so many milliseconds |
//!
//! | step | meaning |
//! |---|---|
//! | `{"send":"8180"}` | send these bytes |
//! | `{"pause":200}` | wait for so many milliseconds |
//! | `{"await":"0d0a0d0a"}` | wait until these bytes have come, after those awaited before |
//! | `"deaf"` | read nothing from now on |
//! | `"hear"` | read again |
//! | `"fin"` | end the own direction: the server gets FIN |
//! | `"close"` | close the socket: the server gets FIN, or a reset if bytes are unread |
//!
//! After the last step, the experiment goes on until the server closes or the time is up.
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"did":{"on":1,"at":0.1,"step":0}}` | this step has been done |
//! | `{"failed":{"on":1,"at":0.1,"step":0}}` | this step and later ones cannot be done |
//! | `{"got":{"on":1,"at":0.3,"hex":"485454"}}` | these bytes have come |
//! | `{"fin":{"on":1,"at":0.3}}` | the server has sent FIN |
//! | `{"trace":{"at":0.2,"frame":{"on":1}}}` | a step of the server's side, as in `traced` |
//! | `{"closed":{"on":1,"at":0.3,"reason":"protocol"}}` | why the server's side has ended |
//! | `{"ended":{"on":1,"at":0.4,"how":"closed"}}` | it is over, on both sides |
//! | `{"refused":{"on":1,"why":"busy"}}` | it was not run |
//! | `{"missed":12}` | so many reports were left out, because the page reads too slowly |
//!
//! `closed` comes only if the path was [`ECHO`](super::ECHO). Its `reason` and `detail` are those
//! of the metrics, `code` is what an application gets, and `text` says the same in words.
//!
//! | how it ended | meaning |
//! |---|---|
//! | `closed` | the server has closed |
//! | `reset` | the connection broke |
//! | `left` | the step `close` was done |
//! | `time` | the time was up |
//! | `size` | too many bytes came |
//! | `moved` | another process has taken over from this one |
//! | `failed` | the lab has failed |
//!
//! | why it was refused | meaning |
//! |---|---|
//! | `steps` | it has too many steps, or one waits for nothing or for too many bytes |
//! | `bytes` | it sends too many bytes |
//! | `time` | it takes too long |
//! | `address` | it sends a header by which proxies tell a client's address |
//! | `twice` | another one of the page has this number |
//! | `busy` | the page has as many running as it may |
//! | `full` | as many run as may run on this server |
//! | `failed` | it cannot be run; the log says why |

use crate::lab::{self, Unfit};
use crate::site::traced;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromPage {
    Run { on: u32, steps: Vec<Step>, within: u32 },
}

/// A step of an experiment.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    Send(Hex),
    Pause(u32),
    Await(Hex),
    Deaf,
    Hear,
    Fin,
    Close,
}

/// Bytes in hexadecimal digits.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = data_encoding::DecodeError;

    fn try_from(digits: String) -> Result<Hex, Self::Error> {
        data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map(Hex)
    }
}

impl From<Step> for lab::Step {
    fn from(step: Step) -> lab::Step {
        match step {
            Step::Send(Hex(bytes)) => lab::Step::Send(bytes),
            Step::Pause(ms) => lab::Step::Pause(Duration::from_millis(ms.into())),
            Step::Await(Hex(bytes)) => lab::Step::Await(bytes),
            Step::Deaf => lab::Step::Deaf,
            Step::Hear => lab::Step::Hear,
            Step::Fin => lab::Step::Fin,
            Step::Close => lab::Step::Close,
        }
    }
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToPage {
    Did {
        on: u32,
        at: f64,
        step: usize,
    },
    Failed {
        on: u32,
        at: f64,
        step: usize,
    },
    Got {
        on: u32,
        at: f64,
        hex: String,
    },
    Fin {
        on: u32,
        at: f64,
    },
    Trace {
        at: f64,
        #[serde(flatten)]
        step: traced::Step<'static>,
    },
    Closed {
        on: u32,
        at: f64,
        reason: &'static str,
        detail: &'static str,
        code: u16,
        text: String,
    },
    Ended {
        on: u32,
        at: f64,
        how: &'static str,
    },
    Refused {
        on: u32,
        why: Refusal,
    },
    Missed(u32),
}

/// Why an experiment was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Refusal {
    Steps,
    Bytes,
    Time,
    Address,
    Twice,
    Busy,
    Full,
    Failed,
}

impl From<Unfit> for Refusal {
    fn from(why: Unfit) -> Refusal {
        match why {
            Unfit::Steps => Refusal::Steps,
            Unfit::Bytes => Refusal::Bytes,
            Unfit::Time => Refusal::Time,
            Unfit::Address => Refusal::Address,
        }
    }
}

/// Returns a time as pages get it.
pub(super) fn milliseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
