//! Flags of a connection that change how messages are received and sent.

use crate::parts::{CONNECTING, PIECES, TRACES};
use crate::protocol::deflate::AVAILABLE;
use crate::protocol::wire::Role;

/// Flags that few connections have: one bit each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes(pub(super) u8);

impl Modes {
    /// The connection is traced.
    pub(super) const TRACED: Modes = Modes(1);
    /// Messages are delivered in pieces as they arrive.
    pub(super) const PIECES: Modes = Modes(1 << 1);
    /// We are sending a message in pieces.
    pub(super) const SENDING: Modes = Modes(1 << 2);
    /// Messages may be compressed: each by itself and in the largest window, unless something else
    /// has been agreed.
    pub(super) const COMPRESSED: Modes = Modes(1 << 3);
    /// We are the client: our frames are masked.
    pub(super) const CLIENT: Modes = Modes(1 << 4);
    /// The connection is not open: no messages can be sent, and none are delivered.
    pub(super) const NOT_OPEN: Modes = Modes(1 << 5);
    /// The application has paused the connection.
    pub(super) const PAUSED: Modes = Modes(1 << 6);
    /// Bytes are held. They must be received before any others.
    pub(super) const HOLDS: Modes = Modes(1 << 7);

    /// The flags of a new connection.
    #[inline]
    pub(super) fn new(role: Role) -> Modes {
        match role {
            Role::Server => Modes::NOT_OPEN,
            Role::Client => {
                CONNECTING.use_it();
                Modes(Modes::NOT_OPEN.0 | Modes::CLIENT.0)
            }
        }
    }

    /// Our side.
    pub(super) fn role(self) -> Role {
        if self.has(Modes::CLIENT) && CONNECTING.is_used() { Role::Client } else { Role::Server }
    }

    /// Whether the connection is traced.
    pub(super) fn is_traced(self) -> bool {
        self.has(Modes::TRACED) && TRACES.is_used()
    }

    /// Turns tracing on or off.
    pub(super) fn set_traced(&mut self, on: bool) {
        if on {
            TRACES.use_it();
        }
        self.set(Modes::TRACED, on);
    }

    /// Whether messages are delivered in pieces.
    pub(super) fn takes_pieces(self) -> bool {
        self.has(Modes::PIECES) && PIECES.is_used()
    }

    /// Turns pieces on or off.
    pub(super) fn set_takes_pieces(&mut self, on: bool) {
        if on {
            PIECES.use_it();
        }
        self.set(Modes::PIECES, on);
    }

    /// Whether messages may be compressed.
    pub(super) const fn is_compressed(self) -> bool {
        AVAILABLE && self.has(Modes::COMPRESSED)
    }

    /// Whether one of these flags is set.
    pub(super) const fn has(self, mode: Modes) -> bool {
        self.0 & mode.0 != 0
    }

    /// Sets or clears flags.
    pub(super) const fn set(&mut self, mode: Modes, on: bool) {
        if on {
            self.0 |= mode.0;
        } else {
            self.0 &= !mode.0;
        }
    }
}
