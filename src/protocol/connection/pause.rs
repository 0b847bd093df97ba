//! Pauses: what has arrived is held, and the application gets it later.
//!
//! Bytes are held in three cases: until a request has been answered, while the application has
//! paused the connection, and if they were read before the driver got the stream. They lie in the
//! inbox, so the memory budget counts them. A driver does not read a connection that holds bytes or
//! is paused; it first receives what is held.
//!
//! While a connection is paused, the peer's silence says nothing about the peer. So neither the
//! timeout for silence nor the one for an unfinished message applies. Pings are sent as always;
//! they keep proxies from closing the connection.

use super::shared::Shared;
use super::{Connection, Modes, State};
use crate::parts::PAUSES;
use crate::protocol::time::Tick;

impl<X: Default> Connection<X> {
    /// Delivers nothing more, from the next frame on, until [`resume`](Self::resume) is called.
    /// A connection that is not open yet opens first. One that is closing is not paused.
    pub fn pause(&mut self) {
        PAUSES.use_it();
        self.modes.set(Modes::PAUSED, true);
    }

    /// Ends a pause. Returns `false` if there was none. The driver must [take what is
    /// held](Self::take_held).
    pub fn resume(&mut self, now: Tick) -> bool {
        let was_paused = self.is_paused();
        if was_paused {
            self.modes.set(Modes::PAUSED, false);
            self.excuse(now);
        }
        was_paused
    }

    /// Whether the application has paused the connection.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.modes.has(Modes::PAUSED) && PAUSES.is_used()
    }

    /// Whether bytes are held that can be received now.
    #[inline]
    pub fn has_held(&self) -> bool {
        self.modes.has(Modes::HOLDS) && !self.must_hold()
    }

    fn must_hold(&self) -> bool {
        match self.state() {
            State::Deciding | State::Responding => true,
            State::Open => self.is_paused(),
            State::Handshaking | State::Closing | State::Draining | State::Flushing | State::Closed => false,
        }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.held.len())
    }

    /// Holds bytes from the peer behind those that are held already: the driver receives them when
    /// it would read next. They take no more memory if they come in several calls.
    pub fn hold(&mut self, shared: &mut Shared, now: Tick, bytes: &[u8]) {
        self.modes.set(Modes::HOLDS, true);
        let mut inbox = shared.inbox(&mut self.inbox, now);
        inbox.begin_held();
        inbox.held.reserve_exact(bytes.len());
        inbox.held.extend_from_slice(bytes);
    }

    /// Takes out the bytes that are held, to be received now. There are none while they must be
    /// held.
    pub fn take_held(&mut self, shared: &mut Shared) -> Vec<u8> {
        if !self.has_held() {
            return Vec::new();
        }
        self.modes.set(Modes::HOLDS, false);
        let held = self.inbox.as_mut().map(|inbox| std::mem::take(&mut inbox.held));
        self.release_inbox(shared);
        held.unwrap_or_default()
    }
}
