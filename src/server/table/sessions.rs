//! The TLS sessions of clients.
//!
//! They are kept beside the table, so that a client without TLS has no room for one.

use crate::protocol::Shared;
use crate::protocol::tls::{Session, TlsInfo};
use std::sync::Arc;

/// TLS sessions, by the indexes of their clients. Those beyond the end have none.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: Vec<Option<Box<Session>>>,
    len: usize,
}

impl Sessions {
    pub(crate) fn get(&self, index: usize) -> Option<&Session> {
        self.sessions.get(index)?.as_deref()
    }

    /// Returns whether a client has a session.
    #[cfg(feature = "handover")]
    pub(crate) fn has(&self, index: usize) -> bool {
        self.get(index).is_some()
    }

    /// Takes a session out, to use it together with its client.
    pub(crate) fn take(&mut self, index: usize) -> Option<Box<Session>> {
        let session = self.sessions.get_mut(index)?.take();
        self.len -= usize::from(session.is_some());
        session
    }

    /// Puts a session in, or back, and counts the memory that it holds.
    pub(crate) fn put(&mut self, shared: &mut Shared, index: usize, mut session: Box<Session>) {
        self.remove(shared, index);
        let holds = session.holds();
        shared.recount(&mut session.counted, holds);
        while self.sessions.len() <= index {
            self.sessions.push(None);
        }
        self.sessions[index] = Some(session);
        self.len += 1;
    }

    /// Lets a session rest, if there is one.
    pub(crate) fn rest(&mut self, index: usize) {
        if let Some(Some(session)) = self.sessions.get_mut(index) {
            session.rest();
        }
    }

    /// Drops a session, if there is one.
    pub(crate) fn remove(&mut self, shared: &mut Shared, index: usize) {
        if let Some(mut session) = self.take(index) {
            shared.recount(&mut session.counted, 0);
        }
    }

    /// Returns the bytes that a client's session holds because something is under way.
    pub(crate) fn holds(&self, index: usize) -> usize {
        self.get(index).map_or(0, Session::holds)
    }

    /// Returns whether the connection's output cannot be sent or replaced now: the handshake is not
    /// over, or some of the output is encrypted already.
    pub(crate) fn is_busy(&self, index: usize) -> bool {
        self.get(index).is_some_and(|session| session.is_handshaking() || session.is_ahead())
    }

    /// Returns whether a client's handshake is not over.
    pub(crate) fn is_handshaking(&self, index: usize) -> bool {
        self.get(index).is_some_and(Session::is_handshaking)
    }

    /// Returns what was agreed for a client.
    pub(crate) fn info(&self, index: usize) -> Option<&Arc<TlsInfo>> {
        self.get(index)?.info()
    }

    /// Returns the number of sessions.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}
