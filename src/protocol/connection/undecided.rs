//! A request that another driver answers: what travels with it.
//!
//! While a connection is Deciding, it has no frame and no message under way. So what is left of it
//! are a few numbers and bytes, which another thread or process can take over.

use super::shared::Shared;
use super::{Connection, State};
use crate::protocol::time::Tick;
use crate::protocol::wire::Role;
use std::time::Duration;

/// What a connection is besides its request, while that waits for an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecided {
    /// How long the connection has been open, or its request has been under way.
    pub waited: Duration,
    /// How many requests have been answered.
    pub requests: u32,
    /// What has arrived behind the request.
    pub held: Vec<u8>,
    /// What is still to be sent.
    pub unsent: Vec<u8>,
}

impl Undecided {
    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        size_of::<Undecided>() + self.held.capacity() + self.unsent.capacity()
    }
}

impl<X: Default> Connection<X> {
    /// Takes out what another driver needs to answer the request. `None` unless the connection is
    /// Deciding. It must then be dropped: its stream belongs to the other driver.
    pub fn take_undecided(&mut self, shared: &mut Shared, now: Tick) -> Option<Undecided> {
        if self.state() != State::Deciding {
            return None;
        }
        let mut undecided =
            Undecided { waited: now.since(self.since), requests: self.requests(), ..Undecided::default() };
        if let Some(outbox) = self.outbox.take() {
            undecided.unsent = outbox.to_vec();
            shared.give_outbox(outbox);
        }
        if let Some(mut inbox) = self.inbox.take() {
            undecided.held = std::mem::take(&mut inbox.held);
            shared.give_inbox(inbox);
        }
        Some(undecided)
    }

    /// Handshaking -> Deciding: goes on with a connection whose request another driver has
    /// received. The connection must be new.
    pub fn go_on_undecided(&mut self, shared: &mut Shared, now: Tick, undecided: &Undecided) {
        debug_assert!(self.role() == Role::Server && self.state() == State::Handshaking, "the connection is not new");
        self.since = now.before(undecided.waited);
        if undecided.requests > 0 {
            self.rare().requests = undecided.requests;
        }
        if !undecided.unsent.is_empty() {
            shared.outbox(&mut self.outbox).own().extend_from_slice(&undecided.unsent);
        }
        if !undecided.held.is_empty() {
            self.hold(shared, now, &undecided.held);
        }
        self.requested(shared);
    }
}
