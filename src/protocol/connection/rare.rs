//! What do few conversations need, or only for a while?

use super::Connection;
use super::error::CloseReason;
use crate::protocol::deflate::{Agreed, Contexts};
use crate::protocol::opening::{Expected, Ticket};
use crate::protocol::time::Tick;

/// What few conversations need, or only for a while.
#[derive(Debug, Default)]
pub(super) struct Rare<X> {
    pub(super) reason: Option<CloseReason>,
    pub(super) ticket: Option<Ticket>,
    /// What a server to which we connect must answer.
    pub(super) expected: Option<Expected>,
    /// When it opened, if it may last only so long.
    pub(super) opened: Option<Tick>,
    /// What its traces are labelled with.
    pub(super) label: u64,
    /// What has been agreed on with the peer, if it is not the usual.
    pub(super) agreed: Option<Agreed>,
    /// What it needs to compress, if messages refer to earlier ones.
    pub(super) contexts: Option<Box<Contexts>>,
    pub(super) extra: X,
}

impl<X> Rare<X> {
    /// Whether anything but the label and what the driver remembers is there.
    pub(super) const fn is_needed(&self) -> bool {
        self.reason.is_some()
            || self.ticket.is_some()
            || self.expected.is_some()
            || self.opened.is_some()
            || self.agreed.is_some()
            || self.contexts.is_some()
    }
}

impl<X: Default> Connection<X> {
    pub(super) fn rare(&mut self) -> &mut Rare<X> {
        self.rare.get_or_insert_default()
    }

    /// What the driver remembers of this conversation, if anything.
    pub fn extra(&self) -> Option<&X> {
        self.rare.as_ref().map(|rare| &rare.extra)
    }

    /// What the driver remembers of this conversation, to be changed, if anything.
    pub fn extra_if_any(&mut self) -> Option<&mut X> {
        self.rare.as_mut().map(|rare| &mut rare.extra)
    }

    /// What the driver remembers of this conversation; allocated when it is not there.
    pub fn extra_mut(&mut self) -> &mut X {
        &mut self.rare().extra
    }

    /// Frees what [`extra_mut`](Self::extra_mut) has allocated, unless some of it is needed.
    pub fn release_extra(&mut self, is_needed: impl FnOnce(&X) -> bool) {
        let is_traced = self.modes.is_traced();
        self.rare.take_if(|rare| !is_traced && !rare.is_needed() && !is_needed(&rare.extra));
    }
}
