//! What has been said in all conversations of a loop, and where do they stand?

use super::connection::State;
use super::frame::Opcode;

/// Messages, and the bytes of their payloads before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// How many.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Flow {
    #[inline]
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// What has gone one way, by its opcode (RFC 6455 §5.2). A message in several frames counts once.
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
    /// Counts a message or a control frame; of a continuation, its bytes alone, and as binary.
    #[inline]
    pub(crate) const fn add(&mut self, opcode: Opcode, bytes: usize) {
        match opcode {
            Opcode::Text => self.text.add(bytes),
            Opcode::Binary => self.binary.add(bytes),
            Opcode::Continuation => self.binary.bytes += bytes as u64,
            Opcode::Close => self.close.add(bytes),
            Opcode::Ping => self.ping.add(bytes),
            Opcode::Pong => self.pong.add(bytes),
        }
    }

    /// Text and binary messages.
    pub const fn messages(&self) -> u64 {
        self.text.messages + self.binary.messages
    }

    /// Bytes of text and binary messages.
    pub const fn bytes(&self) -> u64 {
        self.text.bytes + self.binary.bytes
    }
}

/// What is counted where it happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// What peers have sent us.
    pub received: Traffic,
    /// What was queued for peers.
    pub sent: Traffic,
    states: [usize; 7],
}

impl Counts {
    /// How many conversations stand here.
    pub const fn in_state(&self, state: State) -> usize {
        self.states[state as usize]
    }

    /// A conversation begins.
    pub(crate) const fn begins(&mut self) {
        self.states[State::Handshaking as usize] += 1;
    }

    pub(super) const fn moves(&mut self, from: State, to: State) {
        self.states[from as usize] = self.states[from as usize].wrapping_sub(1);
        self.states[to as usize] = self.states[to as usize].wrapping_add(1);
    }

    /// A conversation is forgotten.
    pub(crate) const fn ends(&mut self, state: State) {
        self.states[state as usize] = self.states[state as usize].wrapping_sub(1);
    }
}
