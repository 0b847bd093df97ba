//! What the log says of a connection when it closes.

use crate::protocol::{Flow, Opcode, Side, Trace};

/// What is counted of one connection, if the log has the level `debug`.
#[derive(Debug)]
pub(crate) struct Logged {
    /// When it began, in nanoseconds of the loop's time.
    since: u64,
    received: Flow,
    sent: Flow,
}

impl Logged {
    pub(crate) fn new(now: u64) -> Logged {
        Logged { since: now, received: Flow::default(), sent: Flow::default() }
    }

    /// Counts a frame of a message, as it is on the wire.
    pub(crate) fn count(&mut self, trace: &Trace) {
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

    /// Returns the text for the log.
    pub(crate) fn until(&self, now: u64) -> String {
        let Logged { since, received, sent } = self;
        let millis = now.saturating_sub(*since) / 1_000_000;
        format!(
            "after {millis} ms; received {} messages of {} bytes, sent {} of {}",
            received.messages, received.bytes, sent.messages, sent.bytes
        )
    }
}
