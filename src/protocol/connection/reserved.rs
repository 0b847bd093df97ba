//! The memory that is reserved for a fixed number of connections.
//!
//! The pools are filled at the start with buffers that are as large as the limits allow. So no
//! buffer grows later, and a pool always has one. What few connections need ([`Rare`]) is allocated
//! at the start too, and stays with a connection as long as it lives.

use super::Connection;
use super::error::CloseReason;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::rare::{Rare, ReasonBuffer};
use super::shared::Shared;
use crate::parts::RESERVE;
use crate::protocol::limits::Limits;
use crate::protocol::wire::{CloseCode, CloseFrame, MAX_CONTROL_PAYLOAD, MAX_HEADER, close};

/// The fewest bytes of an outbox: the response to a handshake must fit.
const LEAST_OUTPUT: usize = 1 << 10;

/// The rare state of one connection, to be used by one after the other.
#[derive(Debug)]
pub(crate) struct Reserved<X>(Box<Rare<X>>);

impl<X: Default> Reserved<X> {
    /// With this data of the driver.
    pub(crate) fn new(extra: X) -> Reserved<X> {
        let buffer = ReasonBuffer(String::with_capacity(close::MAX_REASON));
        Reserved(Box::new(Rare::reserved(Box::new(buffer), extra)))
    }

    /// The data of the driver.
    pub(crate) fn extra_mut(&mut self) -> &mut X {
        &mut self.0.extra
    }
}

impl<X: Default> Rare<X> {
    fn reserved(buffer: Box<ReasonBuffer>, extra: X) -> Rare<X> {
        Rare { reserved: Some(buffer), extra, ..Rare::default() }
    }
}

impl<X: Default> Connection<X> {
    /// Gives the connection what was reserved for it, unless it has rare state already.
    ///
    /// # Errors
    ///
    /// Returns what it did not take.
    pub(crate) fn reserve(&mut self, reserved: Reserved<X>) -> Result<(), Reserved<X>> {
        if self.rare.is_some() {
            return Err(reserved);
        }
        self.rare = Some(reserved.0);
        Ok(())
    }

    /// Takes back what was reserved, from a connection that has ended. The data of the driver is as
    /// it was.
    pub(crate) fn take_reserved(&mut self) -> Option<Reserved<X>> {
        let mut rare = self.rare.take_if(|rare| rare.is_reserved())?;
        let (buffer, extra) = (rare.reserved.take()?, std::mem::take(&mut rare.extra));
        *rare = Rare::reserved(buffer, extra);
        Some(Reserved(rare))
    }

    /// Keeps the buffer of a reason that was [taken out](Self::take_close_reason).
    pub(crate) fn recycle_reason(&mut self, reason: CloseReason) {
        let buffer = self.reason_buffer();
        if let (Some(buffer), CloseReason::Peer(Some(frame)) | CloseReason::Local(frame)) = (buffer, reason) {
            buffer.0 = frame.reason;
        }
    }

    /// A Close frame with this reason, in the reserved buffer if there is one.
    pub(super) fn close_frame(&mut self, code: CloseCode, reason: &str) -> CloseFrame {
        let mut text = self.reason_buffer().map(|buffer| std::mem::take(&mut buffer.0)).unwrap_or_default();
        text.clear();
        text.push_str(reason);
        CloseFrame { code, reason: text }
    }

    fn reason_buffer(&mut self) -> Option<&mut ReasonBuffer> {
        self.rare.as_mut().filter(|rare| rare.is_reserved())?.reserved.as_deref_mut()
    }
}

impl Shared {
    /// Reserves the memory of so many connections. After that, the limits must stay the same, and
    /// there is no memory budget: all that can be needed is there.
    pub(crate) fn reserve(&mut self, connections: usize, read_buffer: usize) {
        self.budget = super::budget::Budget::new(usize::MAX, 0);
        self.is_reserved = true;
        let limits = self.limits.clone();
        self.pools.inboxes.fill(connections, Inbox::reserved);
        self.pools.outboxes.fill(connections, || Box::new(Outbox::reserved(output_size(&limits, read_buffer))));
        // Beside what each connection collects, the application handles one message.
        self.pools.buffers.fill(connections + 1, || touched(buffer_size(&limits)));
        self.pools.held.fill(connections + 1, || touched(read_buffer));
        self.pools.controls.fill(connections + 1, || touched(MAX_CONTROL_PAYLOAD));
        let boxes = self.pools.box_bytes();
        self.budget.recount(0, boxes);
    }

    /// Whether the memory of all connections is reserved.
    #[inline]
    pub(super) fn is_reserved(&self) -> bool {
        RESERVE.is_used() && self.is_reserved
    }
}

/// The bytes that [`Shared::reserve`] takes for so many connections.
pub(crate) const fn reserved_memory(limits: &Limits, connections: usize, read_buffer: usize) -> usize {
    let boxes = size_of::<Inbox>() + size_of::<Outbox>() + output_size(limits, read_buffer);
    let buffers = buffer_size(limits).saturating_add(read_buffer).saturating_add(MAX_CONTROL_PAYLOAD);
    boxes.saturating_mul(connections).saturating_add(buffers.saturating_mul(connections + 1))
}

/// The most bytes that can be unsent: a message beyond all others, the pongs for what one read can
/// bring, and a Close frame.
const fn output_size(limits: &Limits, read_buffer: usize) -> usize {
    let messages = limits.max_unsent.saturating_add(MAX_HEADER);
    let pongs = limits.high_water.saturating_add(read_buffer);
    let most = if messages > pongs { messages } else { pongs };
    let most = most.saturating_add(MAX_HEADER + MAX_CONTROL_PAYLOAD);
    if most > LEAST_OUTPUT { most } else { LEAST_OUTPUT }
}

/// The most bytes that are collected: of a message with its frame header, or of a head.
const fn buffer_size(limits: &Limits) -> usize {
    let message = limits.max_message.saturating_add(MAX_HEADER);
    if message > limits.max_head { message } else { limits.max_head }
}

/// An empty buffer whose pages are in memory. The operating system gives a page only when something
/// is written into it.
fn touched(capacity: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(capacity);
    buffer.resize(capacity, 1);
    buffer.clear();
    buffer
}

impl Inbox {
    fn reserved() -> Box<Inbox> {
        let mut inbox = Box::new(Inbox::default());
        inbox.counted = inbox.memory();
        inbox
    }
}

impl Outbox {
    fn reserved(capacity: usize) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.is_reserved = true;
        outbox.own.replace_buffer(touched(capacity));
        outbox.counted = outbox.memory();
        outbox
    }
}
