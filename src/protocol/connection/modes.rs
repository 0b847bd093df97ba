//! What is unusual about a conversation?

use crate::parts::{CONNECTING, PIECES, TRACES};
use crate::protocol::deflate::AVAILABLE;
use crate::protocol::wire::Role;

/// What is unusual about a conversation: one bit each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Modes(pub(super) u8);

impl Modes {
    /// Its story is recorded.
    pub(super) const TRACED: Modes = Modes(1);
    /// Messages are handed out as they arrive.
    pub(super) const PIECES: Modes = Modes(1 << 1);
    /// We are sending a message in pieces.
    pub(super) const SENDING: Modes = Modes(1 << 2);
    /// Messages may travel compressed: each by itself and in the largest window, unless it is
    /// agreed otherwise.
    pub(super) const COMPRESSED: Modes = Modes(1 << 3);
    /// We are the client: our frames are masked.
    pub(super) const CLIENT: Modes = Modes(1 << 4);
    /// It is not open: no messages can be sent, and none are handed out.
    pub(super) const NOT_OPEN: Modes = Modes(1 << 5);

    /// Those of a conversation that begins.
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

    pub(super) fn role(self) -> Role {
        if self.has(Modes::CLIENT) && CONNECTING.is_used() { Role::Client } else { Role::Server }
    }

    /// Whether its story is recorded.
    pub(super) fn is_traced(self) -> bool {
        self.has(Modes::TRACED) && TRACES.is_used()
    }

    pub(super) fn set_traced(&mut self, on: bool) {
        if on {
            TRACES.use_it();
        }
        self.set(Modes::TRACED, on);
    }

    /// Whether messages are handed out as they arrive.
    pub(super) fn takes_pieces(self) -> bool {
        self.has(Modes::PIECES) && PIECES.is_used()
    }

    pub(super) fn set_takes_pieces(&mut self, on: bool) {
        if on {
            PIECES.use_it();
        }
        self.set(Modes::PIECES, on);
    }

    /// Whether messages may travel compressed.
    pub(super) const fn is_compressed(self) -> bool {
        AVAILABLE && self.has(Modes::COMPRESSED)
    }

    pub(super) const fn has(self, mode: Modes) -> bool {
        self.0 & mode.0 != 0
    }

    pub(super) const fn set(&mut self, mode: Modes, on: bool) {
        if on {
            self.0 |= mode.0;
        } else {
            self.0 &= !mode.0;
        }
    }
}
