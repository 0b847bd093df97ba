//! How pages are told which bytes were on the wire: the trace of a connection, with all that it
//! says. Bytes are in hexadecimal digits.

use super::secured::Secured;
use super::told::{Violation, name};
use lariat::{Side, Trace};
use serde::Serialize;

/// The bytes of a frame's payload that are shown, so they are also sent unmasked.
const SHOWN: usize = 256;

/// The bytes of a frame's payload that are sent as they were on the wire: pages export them.
const CAPTURED: usize = 16 << 10;

/// A step of a connection. `on` is the number that the page gave it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step<'a> {
    Tls {
        on: u32,
        #[serde(flatten)]
        secured: Secured<'a>,
    },
    Handshake {
        on: u32,
        side: &'static str,
        text: String,
    },
    Frame {
        on: u32,
        side: &'static str,
        header: String,
        wire: String,
        plain: String,
        length: u64,
    },
    Payload {
        on: u32,
        wire: String,
        plain: String,
    },
    Violation {
        on: u32,
        #[serde(flatten)]
        violation: Violation,
    },
    State {
        on: u32,
        from: String,
        to: String,
    },
}

/// How far the last frame of the peer has been shown: its payload may come in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LastFrame {
    pub(super) key: Option<[u8; 4]>,
    /// The bytes of its payload so far.
    pub(super) received: usize,
}

impl LastFrame {
    /// Returns what the page gets of a step, or nothing.
    pub(super) fn step(&mut self, on: u32, trace: &Trace) -> Option<Step<'static>> {
        Some(match trace {
            Trace::Handshake { side, text } => {
                Step::Handshake { on, side: name(*side), text: String::from_utf8_lossy(text).into_owned() }
            }
            Trace::Frame { side, header, payload } => {
                let mut frame = LastFrame { key: header.mask, received: 0 };
                let (wire, plain) = frame.shown(payload);
                if *side == Side::Peer {
                    *self = frame;
                }
                Step::Frame {
                    on,
                    side: name(*side),
                    header: hex(&header.to_bytes()),
                    wire,
                    plain,
                    length: header.length,
                }
            }
            Trace::Payload { payload } => {
                let (wire, plain) = self.shown(payload);
                if wire.is_empty() {
                    return None;
                }
                Step::Payload { on, wire, plain }
            }
            Trace::Violation(error) => Step::Violation { on, violation: (*error).into() },
            Trace::State { from, to } => Step::State { on, from: format!("{from:?}"), to: format!("{to:?}") },
            _ => return None,
        })
    }

    /// Returns the next bytes of a payload: those on the wire, and unmasked those that are shown.
    pub(super) fn shown(&mut self, wire: &[u8]) -> (String, String) {
        let start = self.received;
        self.received += wire.len();
        let up_to = |most: usize| &wire[..wire.len().min(most.saturating_sub(start))];
        let (wire, shown) = (up_to(CAPTURED), up_to(SHOWN));
        let key = self.key.unwrap_or_default();
        let plain: Vec<u8> = shown.iter().enumerate().map(|(at, byte)| byte ^ key[(start + at) % 4]).collect();
        (hex(wire), hex(&plain))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
