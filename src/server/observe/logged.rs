//! What the log says of a connection when it closes.

use crate::protocol::{CloseReason, Flow, Opcode, Side, Trace};

/// What is counted of one connection, if the log has the level `debug`.
#[derive(Debug)]
pub(crate) struct Logged {
    /// When it began, in nanoseconds of the loop's time.
    since: u64,
    received: Flow,
    sent: Flow,
    /// The head of a request or of an answer has come from the peer.
    has_head: bool,
    /// Nothing has come from it when its stream ended.
    is_silent: bool,
}

impl Logged {
    pub(crate) fn new(now: u64) -> Logged {
        Logged { since: now, received: Flow::default(), sent: Flow::default(), has_head: false, is_silent: false }
    }

    /// Counts a frame of a message, as it is on the wire.
    pub(crate) fn count(&mut self, trace: &Trace) {
        self.has_head |= matches!(trace, Trace::Handshake { side: Side::Peer, .. });
        let Trace::Frame { side, header, .. } = trace else { return };
        if matches!(header.opcode, Opcode::Continuation | Opcode::Text | Opcode::Binary) {
            let flow = match side {
                Side::Peer => &mut self.received,
                Side::Us => &mut self.sent,
            };
            flow.messages += u64::from(header.fin);
            flow.bytes += header.length;
        }
    }

    /// Notes that the peer's stream has ended, and that nothing has come of an opening handshake.
    pub(crate) const fn note_silence(&mut self) {
        self.is_silent = true;
    }

    /// Returns what the log says instead of the reason, if that would be wrong: a peer that has not
    /// come to the point of a Close frame did not leave one out.
    pub(crate) fn why(&self, reason: &CloseReason, has_opened: bool) -> Option<&'static str> {
        match reason {
            CloseReason::Eof if has_opened || self.has_head => None,
            CloseReason::Eof if self.is_silent => Some("the peer disconnected, and had sent nothing"),
            CloseReason::Eof => Some("the peer disconnected before the opening handshake was complete"),
            _ => None,
        }
    }

    /// Returns the text for the log.
    pub(crate) fn until(&self, now: u64) -> String {
        let Logged { since, received, sent, .. } = self;
        let millis = now.saturating_sub(*since) / 1_000_000;
        format!(
            "after {millis} ms; received {} messages of {} bytes, sent {} of {}",
            received.messages, received.bytes, sent.messages, sent.bytes
        )
    }
}
