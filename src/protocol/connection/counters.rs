//! What all connections of a loop have sent and received, and their states.

use super::State;
use crate::protocol::wire::Opcode;

/// Messages, and the bytes of their payloads before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// Number of messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

/// Traffic in one direction, by opcode (RFC 6455 §5.2). A message in several frames counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Text messages.
    pub text: Flow,
    /// Binary messages.
    pub binary: Flow,
    /// Pings.
    pub ping: Flow,
    /// Pongs.
    pub pong: Flow,
    /// Close frames.
    pub close: Flow,
}

impl Traffic {
    /// Text and binary messages.
    pub const fn messages(&self) -> u64 {
        self.text.messages + self.binary.messages
    }

    /// Bytes of text and binary messages.
    pub const fn bytes(&self) -> u64 {
        self.text.bytes + self.binary.bytes
    }
}

/// The counters of a loop.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    pub(crate) received: ByOpcode,
    pub(crate) sent: ByOpcode,
    states: [usize; 8],
}

/// Messages and bytes of each opcode.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ByOpcode {
    messages: [u64; 16],
    bytes: [u64; 16],
}

impl ByOpcode {
    /// Counts a message or a control frame.
    #[inline]
    pub(crate) const fn add(&mut self, opcode: Opcode, bytes: usize) {
        self.add_many(opcode, 1, bytes);
    }

    /// Counts several messages.
    #[inline]
    pub(crate) const fn add_many(&mut self, opcode: Opcode, messages: usize, bytes: usize) {
        self.messages[opcode as usize] += messages as u64;
        self.bytes[opcode as usize] += bytes as u64;
    }

    /// Counts a piece of a message. The message counts when it ends.
    pub(crate) const fn add_piece(&mut self, opcode: Opcode, bytes: usize, ends: bool) {
        self.add_many(opcode, ends as usize, bytes);
    }

    const fn of(&self, opcode: Opcode) -> Flow {
        Flow { messages: self.messages[opcode as usize], bytes: self.bytes[opcode as usize] }
    }

    pub(crate) const fn traffic(&self) -> Traffic {
        Traffic {
            text: self.of(Opcode::Text),
            binary: self.of(Opcode::Binary),
            ping: self.of(Opcode::Ping),
            pong: self.of(Opcode::Pong),
            close: self.of(Opcode::Close),
        }
    }
}

#[cfg(feature = "handover")]
impl ByOpcode {
    fn flows(&self) -> Vec<(u8, Flow)> {
        let flows = (0..).zip(self.messages.iter().zip(&self.bytes));
        let flows = flows.map(|(opcode, (messages, bytes))| (opcode, Flow { messages: *messages, bytes: *bytes }));
        flows.filter(|(_, flow)| *flow != Flow::default()).collect()
    }

    fn add_flows(&mut self, flows: &[(u8, Flow)]) {
        for (opcode, flow) in flows {
            let place = usize::from(*opcode) % self.messages.len();
            self.messages[place] = self.messages[place].saturating_add(flow.messages);
            self.bytes[place] = self.bytes[place].saturating_add(flow.bytes);
        }
    }
}

impl Counters {
    /// What has been received from peers.
    pub const fn received(&self) -> Traffic {
        self.received.traffic()
    }

    /// What has been queued for peers.
    pub const fn sent(&self) -> Traffic {
        self.sent.traffic()
    }

    /// Number of connections in this state.
    pub const fn in_state(&self, state: State) -> usize {
        self.states[state as usize]
    }

    /// Returns what peers have sent and were sent, by opcode.
    #[cfg(feature = "handover")]
    pub(crate) fn by_opcode(&self) -> [Vec<(u8, Flow)>; 2] {
        [&self.received, &self.sent].map(ByOpcode::flows)
    }

    /// Adds what another process has counted.
    #[cfg(feature = "handover")]
    pub(crate) fn add_by_opcode(&mut self, received: &[(u8, Flow)], sent: &[(u8, Flow)]) {
        self.received.add_flows(received);
        self.sent.add_flows(sent);
    }

    /// A connection begins.
    pub(crate) const fn begins(&mut self) {
        self.states[State::Handshaking as usize] += 1;
    }

    /// A connection changes its state.
    pub(super) const fn moves(&mut self, from: State, to: State) {
        self.states[from as usize] = self.states[from as usize].wrapping_sub(1);
        self.states[to as usize] = self.states[to as usize].wrapping_add(1);
    }

    /// A connection is dropped.
    pub(crate) const fn ends(&mut self, state: State) {
        self.states[state as usize] = self.states[state as usize].wrapping_sub(1);
    }
}
