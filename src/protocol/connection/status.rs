//! Where does a conversation stand, and what does it hold?

use super::inbox::PartialFrame;
use super::rare::Rare;
use super::{Connection, Modes, SharedBytes};
use crate::protocol::time::Tick;
use crate::protocol::wire::Role;

impl<X: Default> Connection<X> {
    /// Which side we are.
    pub fn role(&self) -> Role {
        self.modes.role()
    }

    /// From when its state's timeout counts: while it is open, when the last byte was heard.
    pub const fn since(&self) -> Tick {
        self.since
    }

    /// Bytes that wait to be written to the peer.
    pub fn buffered_amount(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Bytes of buffers that this conversation holds now; none when it is idle.
    pub fn memory(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory()) + self.outbox.as_ref().map_or(0, |outbox| outbox.memory())
    }

    /// Whether a message is being sent in pieces, so that no other can be.
    pub const fn is_sending_pieces(&self) -> bool {
        self.modes.has(Modes::SENDING)
    }

    /// Frames that wait here and that others may have too.
    pub fn shared_frames(&self) -> impl Iterator<Item = &SharedBytes> {
        self.outbox.iter().flat_map(|outbox| outbox.shared_frames())
    }

    /// Bytes that are set aside for its contexts.
    pub fn context_bytes(&self) -> usize {
        let contexts = self.rare.as_ref().and_then(|rare| rare.contexts.as_ref());
        contexts.map_or(0, |contexts| contexts.bytes())
    }

    /// Whether something has begun to arrive and is not complete.
    pub fn is_receiving(&self) -> bool {
        self.inbox.is_some()
    }

    /// Bytes of a frame that are still to come, if one has begun to arrive.
    pub fn missing(&self) -> usize {
        let frame = self.inbox.as_ref().and_then(|inbox| inbox.frame.as_ref());
        frame.map_or(0, PartialFrame::remaining)
    }

    /// Bytes that others could have if this conversation ended now.
    pub fn holds(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory())
            + self.outbox.as_ref().map_or(0, |outbox| outbox.holds())
            + self.context_bytes()
    }

    /// Bytes that it takes beyond [`memory`](Self::memory) because there is something unusual about
    /// it, what that holds itself not counted; 0 for most.
    pub fn rare_memory(&self) -> usize {
        self.rare.as_ref().map_or(0, |_| size_of::<Rare<X>>())
    }
}
