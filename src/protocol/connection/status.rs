//! What a driver can ask about a connection.

use super::inbox::PartialFrame;
use super::rare::Rare;
use super::{Connection, Modes, SharedBytes};
use crate::protocol::time::Tick;
use crate::protocol::wire::Role;

impl<X: Default> Connection<X> {
    /// Our side.
    pub fn role(&self) -> Role {
        self.modes.role()
    }

    /// The start of the state's timeout. For an open connection, when the last byte was received.
    pub const fn since(&self) -> Tick {
        self.since
    }

    /// Unsent bytes.
    pub fn buffered_amount(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Bytes of buffers that the connection holds now: none if it is idle.
    pub fn memory(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory()) + self.outbox.as_ref().map_or(0, |outbox| outbox.memory())
    }

    /// Whether a message is being sent in pieces. No other message can be sent then.
    pub const fn is_sending_pieces(&self) -> bool {
        self.modes.has(Modes::SENDING)
    }

    /// Unsent frames that other connections may have too.
    pub fn shared_frames(&self) -> impl Iterator<Item = &SharedBytes> {
        self.outbox.iter().flat_map(|outbox| outbox.shared_frames())
    }

    /// Bytes that are reserved for its compression contexts.
    pub fn context_bytes(&self) -> usize {
        let contexts = self.rare.as_ref().and_then(|rare| rare.contexts.as_ref());
        contexts.map_or(0, |contexts| contexts.bytes())
    }

    /// Whether something has begun to arrive and is not complete.
    pub fn is_receiving(&self) -> bool {
        self.inbox.is_some()
    }

    /// Bytes that are missing of a frame that has begun to arrive.
    pub fn missing(&self) -> usize {
        let frame = self.inbox.as_ref().and_then(|inbox| inbox.frame.as_ref());
        frame.map_or(0, PartialFrame::remaining)
    }

    /// Bytes that would be free if the connection ended now.
    pub fn holds(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory())
            + self.outbox.as_ref().map_or(0, |outbox| outbox.holds())
            + self.context_bytes()
    }

    /// Bytes of the state that few connections need, without what that holds itself. They are not
    /// part of [`memory`](Self::memory).
    pub fn rare_memory(&self) -> usize {
        self.rare.as_ref().map_or(0, |_| size_of::<Rare<X>>())
    }
}
