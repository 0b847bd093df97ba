//! State that few connections need, or only for a while.

use super::Connection;
use super::error::CloseReason;
use super::http::Responding;
use crate::parts::RESERVE;
use crate::protocol::deflate::{Agreed, Contexts};
use crate::protocol::opening::{Expected, Rejection, Ticket};
use crate::protocol::time::Tick;
use http::StatusCode;

/// State that few connections need, or only for a while.
#[derive(Debug, Default)]
pub(super) struct Rare<X> {
    /// Why the connection ends.
    pub(super) reason: Option<CloseReason>,
    /// The request that has not been answered yet.
    pub(super) ticket: Option<Ticket>,
    /// The response that a server to which we connect must send.
    pub(super) expected: Option<Expected>,
    /// Why the request was refused, until the driver has reported it.
    pub(super) rejection: Option<Rejection>,
    /// Bytes of the HTTP response that was queued.
    pub(super) response: usize,
    /// The response that is being sent, if the connection is Responding.
    pub(super) responding: Option<Responding>,
    /// The status of a response that has been sent, until the driver has counted it.
    pub(super) answered: Option<StatusCode>,
    /// How many requests have been answered.
    pub(super) requests: u32,
    /// When the connection opened, if its lifetime is limited.
    pub(super) opened: Option<Tick>,
    /// The label of its traces.
    pub(super) label: u64,
    /// The compression that was agreed with the peer, if it is not [`Agreed::USUAL`].
    pub(super) agreed: Option<Agreed>,
    /// The compression contexts, if messages refer to earlier ones.
    pub(super) contexts: Option<Box<Contexts>>,
    /// If it is [reserved](super::Reserved): a buffer for the reason of a Close frame. It then
    /// stays with its connection.
    pub(super) reserved: Option<Box<ReasonBuffer>>,
    /// Data of the driver.
    pub(super) extra: X,
}

/// Behind a pointer, because few servers reserve memory.
#[derive(Debug)]
pub(super) struct ReasonBuffer(pub(super) String);

impl<X> Rare<X> {
    /// Whether it stays with its connection.
    pub(super) fn is_reserved(&self) -> bool {
        RESERVE.is_used() && self.reserved.is_some()
    }

    /// Whether there is anything but the label and the data of the driver.
    pub(super) const fn is_needed(&self) -> bool {
        self.reason.is_some()
            || self.ticket.is_some()
            || self.expected.is_some()
            || self.responding.is_some()
            || self.answered.is_some()
            || self.requests > 0
            || self.opened.is_some()
            || self.agreed.is_some()
            || self.contexts.is_some()
    }
}

impl<X: Default> Connection<X> {
    /// The rare state. It is allocated if there is none.
    pub(super) fn rare(&mut self) -> &mut Rare<X> {
        self.rare.get_or_insert_default()
    }

    /// Notes why the connection ends.
    pub(super) fn set_reason(&mut self, reason: CloseReason) {
        if let Some(replaced) = self.rare().reason.replace(reason) {
            self.recycle_reason(replaced);
        }
    }

    /// The data of the driver, if there is any.
    pub fn extra(&self) -> Option<&X> {
        self.rare.as_ref().map(|rare| &rare.extra)
    }

    /// The data of the driver, if there is any, to be changed.
    pub fn extra_if_any(&mut self) -> Option<&mut X> {
        self.rare.as_mut().map(|rare| &mut rare.extra)
    }

    /// The data of the driver. It is allocated if there is none.
    pub fn extra_mut(&mut self) -> &mut X {
        &mut self.rare().extra
    }

    /// Frees what [`extra_mut`](Self::extra_mut) has allocated, unless it is needed.
    pub fn release_extra(&mut self, is_needed: impl FnOnce(&X) -> bool) {
        let is_traced = self.modes.is_traced();
        self.rare.take_if(|rare| !rare.is_reserved() && !is_traced && !rare.is_needed() && !is_needed(&rare.extra));
    }
}
