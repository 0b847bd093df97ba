//! Traces: a record of what happens in a connection.
//!
//! A traced connection records its steps in the loop's [`Shared`]: the text of the handshake, the
//! header and payload of each frame as they are on the wire, and the state changes. A connection
//! that is not traced costs a branch for each frame.

use super::shared::Shared;
use super::{Connection, State};
use crate::parts::TRACES;
#[cfg(feature = "tls")]
use crate::protocol::tls::TlsInfo;
use crate::protocol::wire::{Escaped, Header, Opcode, ProtocolError, mask};
use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;

/// The side that has sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The peer: it has been received.
    Peer,
    /// We: it has been queued.
    Us,
}

/// What has happened in the traced connections of a loop, with their labels.
#[derive(Debug, Default)]
pub(super) struct Traces(Vec<(u64, Trace)>);

impl Traces {
    pub(super) fn push(&mut self, label: u64, trace: Trace) {
        self.0.push((label, trace));
    }

    /// Puts a step before all that were not taken yet.
    #[cfg(feature = "tls")]
    pub(super) fn push_first(&mut self, label: u64, trace: Trace) {
        self.0.insert(0, (label, trace));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty() || !TRACES.is_used()
    }

    pub(super) fn take(&mut self) -> Vec<(u64, Trace)> {
        std::mem::take(&mut self.0)
    }
}

/// One step of a traced connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trace {
    /// What was agreed in the TLS handshake, when it is over. The trace of a secured connection
    /// begins with it, also if the tracing begins later.
    #[cfg(feature = "tls")]
    Secured(Arc<TlsInfo>),
    /// A request or response head, or a whole HTTP response.
    Handshake {
        /// The side that has sent it.
        side: Side,
        /// Its text.
        text: Vec<u8>,
    },
    /// A frame's header, and as much of its payload as came with it.
    Frame {
        /// The side that has sent it.
        side: Side,
        /// The header; [`Header::to_bytes`] gives its bytes as they were on the wire.
        header: Header,
        /// The payload as it was on the wire: masked, if the header has a key.
        payload: Vec<u8>,
    },
    /// More of the payload of the peer's last frame, as it was on the wire.
    Payload {
        /// The bytes.
        payload: Vec<u8>,
    },
    /// The peer broke a rule.
    Violation(ProtocolError),
    /// A state change.
    State {
        /// The state before.
        from: State,
        /// The state after.
        to: State,
    },
}

impl Trace {
    /// A frame of ours with this unmasked payload.
    #[cold]
    pub(super) fn sent(header: Header, payload: &[u8]) -> Trace {
        let mut payload = payload.to_vec();
        mask::apply(header.mask.unwrap_or_default(), &mut payload);
        Trace::Frame { side: Side::Us, header, payload }
    }

    /// Returns a frame's payload unmasked.
    pub fn unmasked(&self) -> Option<Vec<u8>> {
        match self {
            Trace::Frame { header, payload, .. } => {
                let mut payload = payload.clone();
                if let Some(key) = header.mask {
                    mask::apply(key, &mut payload);
                }
                Some(payload)
            }
            Trace::Handshake { .. } | Trace::Payload { .. } | Trace::Violation(_) | Trace::State { .. } => None,
            #[cfg(feature = "tls")]
            Trace::Secured(_) => None,
        }
    }
}

impl<X: Default> Connection<X> {
    /// Records what happens from now on under this label in [`Shared`]. `None` stops that.
    pub fn trace(&mut self, label: Option<u64>) {
        self.modes.set_traced(label.is_some());
        if let Some(label) = label {
            self.rare().label = label;
        }
    }

    /// Whether the connection is traced.
    pub fn is_traced(&self) -> bool {
        self.modes.is_traced()
    }

    /// Records what was agreed in the TLS handshake: before everything that was not delivered yet,
    /// because a trace begins with it.
    #[cfg(feature = "tls")]
    #[cold]
    pub fn record_secured(&self, shared: &mut Shared, info: Arc<TlsInfo>) {
        if let Some(rare) = self.rare.as_ref().filter(|_| self.modes.is_traced()) {
            shared.traces.push_first(rare.label, Trace::Secured(info));
        }
    }

    /// Records the request head, for a driver that begins to trace after reading it.
    pub fn record_request(&self, shared: &mut Shared, head: &[u8]) {
        self.record(shared, || Trace::Handshake { side: Side::Peer, text: head.to_vec() });
    }

    /// Records the unsent bytes, which are those of a handshake.
    pub(super) fn record_handshake(&self, shared: &mut Shared) {
        if let Some(outbox) = &self.outbox {
            self.record(shared, || outbox.to_trace());
        }
    }

    /// Records a step, if this connection is traced.
    #[inline(always)]
    pub(super) fn record(&self, shared: &mut Shared, trace: impl FnOnce() -> Trace) {
        if self.modes.is_traced() {
            self.record_now(shared, trace());
        }
    }

    #[cold]
    pub(super) fn record_now(&self, shared: &mut Shared, trace: Trace) {
        let label = self.rare.as_ref().map_or(0, |rare| rare.label);
        shared.traces.push(label, trace);
    }
}

/// The number of characters of a text that are shown.
const SHOWN: usize = 60;

/// `< TEXT "hi" [2 bytes, masked]`, `> PONG [0 bytes]`, `= OPEN -> CLOSING`.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "tls")]
            Trace::Secured(info) => write!(f, "= {info}"),
            Trace::Handshake { side, text } => {
                let first = text.split(|byte| *byte == b'\r').next().unwrap_or_default();
                write!(f, "{} {}", arrow(*side), Escaped(String::from_utf8_lossy(first)))
            }
            Trace::Frame { side, header, .. } => {
                write!(f, "{} {}", arrow(*side), name(header.opcode))?;
                let payload = self.unmasked().unwrap_or_default();
                match (header.opcode, std::str::from_utf8(&payload)) {
                    (Opcode::Text, Ok(text)) if !header.rsv1 => {
                        let shown: String = text.chars().take(SHOWN).collect();
                        write!(f, " {shown:?}{}", if shown.len() < text.len() { "..." } else { "" })?;
                    }
                    _ => {}
                }
                write!(f, " [{} bytes", header.length)?;
                f.write_str(if header.mask.is_some() { ", masked" } else { "" })?;
                f.write_str(if header.rsv1 { ", compressed" } else { "" })?;
                f.write_str(if header.fin { "]" } else { ", more follows]" })
            }
            Trace::Payload { payload } => write!(f, "< ... [{} bytes]", payload.len()),
            Trace::Violation(error) => write!(f, "! {error}"),
            Trace::State { from, to } => {
                write!(f, "= {} -> {}", format!("{from:?}").to_uppercase(), format!("{to:?}").to_uppercase())
            }
        }
    }
}

const fn arrow(side: Side) -> &'static str {
    match side {
        Side::Peer => "<",
        Side::Us => ">",
    }
}

const fn name(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::Continuation => "CONTINUATION",
        Opcode::Text => "TEXT",
        Opcode::Binary => "BINARY",
        Opcode::Close => "CLOSE",
        Opcode::Ping => "PING",
        Opcode::Pong => "PONG",
    }
}
