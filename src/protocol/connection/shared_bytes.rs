//! Bytes that several outboxes hold at once, counted once.

use super::message::{Message, OwnedMessage};
use crate::protocol::opening::Bytes;
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

/// A count of bytes that have several owners.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<Cell<usize>>);

impl Meter {
    /// Bytes that exist now.
    pub(super) fn bytes(&self) -> usize {
        self.0.get()
    }
}

/// Bytes with several owners. A meter counts them once, until the last owner drops them.
#[derive(Clone, Debug)]
pub struct SharedBytes(Rc<Metered>);

/// Bytes that shared bytes cost besides their payload: the reference counts, the allocator's
/// header, and the places where they wait.
const OVERHEAD: usize = 96;

#[derive(Debug)]
enum Payload {
    Message(OwnedMessage),
    /// The body of a response. Its buffer is not kept: no message would take it.
    Body(Bytes),
}

#[derive(Debug)]
struct Metered {
    payload: Payload,
    /// Bytes that the meter has counted.
    memory: usize,
    meter: Meter,
}

impl SharedBytes {
    /// Counts these bytes from now on.
    pub(super) fn new(payload: OwnedMessage, meter: &Meter) -> SharedBytes {
        SharedBytes::metered(payload.capacity() + OVERHEAD, Payload::Message(payload), meter)
    }

    /// Wraps the body of a response. Static and shared bytes belong to the application.
    pub(super) fn of_body(body: Bytes, meter: &Meter) -> SharedBytes {
        let memory = match &body {
            Bytes::Owned(bytes) => bytes.capacity(),
            Bytes::Static(_) | Bytes::Shared(_) => 0,
        };
        SharedBytes::metered(memory + OVERHEAD, Payload::Body(body), meter)
    }

    fn metered(memory: usize, payload: Payload, meter: &Meter) -> SharedBytes {
        meter.0.set(meter.bytes() + memory);
        SharedBytes(Rc::new(Metered { payload, memory, meter: meter.clone() }))
    }

    /// Bytes of memory that they take.
    pub(crate) fn memory(&self) -> usize {
        self.0.memory
    }

    /// These bytes as a message.
    pub(crate) fn as_message(&self) -> Message<'_> {
        match &self.0.payload {
            Payload::Message(message) => message.as_message(),
            Payload::Body(bytes) => Message::Binary(bytes),
        }
    }

    /// Whether `bytes` are the same memory, not only equal.
    pub(super) fn are(&self, bytes: &[u8]) -> bool {
        std::ptr::eq::<[u8]>(&**self, bytes)
    }

    /// Their buffer, if this is the last owner.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        let mut metered = Rc::into_inner(self.0)?;
        match std::mem::replace(&mut metered.payload, Payload::Body(Bytes::default())) {
            Payload::Message(message) => Some(message.into_buffer()),
            Payload::Body(_) => None,
        }
    }

    /// Their address, which is the same for all owners.
    #[cfg(any(feature = "sim", feature = "handover"))]
    pub(crate) fn place(&self) -> *const u8 {
        self.as_ptr()
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_message().as_bytes()
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.meter.0.set(self.meter.bytes() - self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_count_once_and_until_the_last_owner_drops_them() {
        let meter = Meter::default();
        let first = SharedBytes::new(OwnedMessage::Binary(vec![7; 1_000]), &meter);
        let second = first.clone();
        assert_eq!((meter.bytes(), second.len()), (1_000 + OVERHEAD, 1_000));
        assert!(second.are(&first) && !second.are(&[7; 1_000]));
        assert_eq!(first.into_buffer(), None, "not the last owner");
        assert_eq!(meter.bytes(), second.memory());
        assert_eq!(second.into_buffer(), Some(vec![7; 1_000]), "the last owner");
        assert_eq!(meter.bytes(), 0);
    }
}
