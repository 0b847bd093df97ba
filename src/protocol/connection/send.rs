//! Messages become bytes to the peer.

use super::error::{CloseReason, SendError};
use super::message::{Message, Position};
use super::outbox::LARGE;
use super::shared::Shared;
use super::trace::Trace;
use super::{Connection, Modes, Prepared, State};
use crate::protocol::time::Tick;
use crate::protocol::wire::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, Role, close, mask};
use tungstenite::protocol::frame::coding::CloseCode;

/// Bytes of a short frame's header.
const SHORT_HEADER: usize = 2;

/// Puts a short message with its header into its place.
#[inline(always)]
fn fill(place: &mut [u8], shared: &mut Shared, message: Message<'_>) -> bool {
    let payload = message.as_bytes();
    shared.counters.sent.add(message.opcode(), payload.len());
    [place[0], place[1]] = Header::short(message.opcode(), payload.len());
    place[SHORT_HEADER..].copy_from_slice(payload);
    true
}

impl<X: Default> Connection<X> {
    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], or [`SendError::Full`] if more than
    /// [`max_unsent`](crate::Limits::max_unsent) bytes would wait, counted before compression.
    pub fn send(&mut self, shared: &mut Shared, message: Message<'_>) -> Result<(), SendError> {
        match self.is_usual(shared, message) && self.send_usual(shared, message) {
            true => Ok(()),
            false => self.send_any(shared, message),
        }
    }

    /// As [`send`](Self::send), whatever it is.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    #[inline(never)]
    pub(crate) fn send_any(&mut self, shared: &mut Shared, message: Message<'_>) -> Result<(), SendError> {
        let payload = message.as_bytes();
        self.check_room(shared, payload.len())?;
        self.check_no_pieces()?;
        shared.counters.sent.add(message.opcode(), payload.len());
        if !self.queue_compressed(shared, message.opcode(), payload) {
            self.queue_frame(shared, Header::unmasked(message.opcode(), payload.len()), payload);
        }
        Ok(())
    }

    /// Whether a message is short and nothing is unusual about it or its receiver: what most
    /// messages are. Then it is for [`send_usual`](Self::send_usual).
    #[inline(always)]
    pub(crate) fn is_usual(&self, shared: &Shared, message: Message<'_>) -> bool {
        let length = message.as_bytes().len();
        let is_short = (length <= MAX_CONTROL_PAYLOAD) & (length <= shared.limits.max_unsent);
        let may_be_sent = !self.modes.has(Modes::SENDS_UNUSUALLY);
        is_short & may_be_sent && (!self.modes.is_compressed() || !shared.compression.is_worth(length))
    }

    /// Queues a message that [is usual](Self::is_usual), if nothing has to be allocated. `false`:
    /// it is for [`send_any`](Self::send_any).
    #[inline(always)]
    pub(crate) fn send_usual(&mut self, shared: &mut Shared, message: Message<'_>) -> bool {
        let length = message.as_bytes().len();
        match &mut self.outbox {
            Some(outbox) if outbox.len() + length > shared.limits.max_unsent => false,
            Some(outbox) => {
                outbox.own.overwrite(SHORT_HEADER + length).is_some_and(|place| fill(place, shared, message))
            }
            None => {
                let Some(outbox) = shared.pools.outboxes.take() else { return false };
                // There is none, so nothing is forgotten but the way to drop it.
                std::mem::forget(self.outbox.replace(outbox));
                let place = self.outbox.as_mut().and_then(|outbox| outbox.own.overwrite_cleared(SHORT_HEADER + length));
                place.is_some_and(|place| fill(place, shared, message))
            }
        }
    }

    /// Queues a piece of a message: one fragment (§5.4). Between the first and the last, no other
    /// message can be sent.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Unfinished`] for a piece that does not fit to the
    /// last.
    pub fn send_piece(&mut self, shared: &mut Shared, piece: Message<'_>, position: Position) -> Result<(), SendError> {
        self.check_room(shared, piece.as_bytes().len())?;
        if self.modes.has(Modes::SENDING) == position.begins() {
            return Err(SendError::Unfinished);
        }
        self.modes.set(Modes::SENDING, !position.ends());
        let opcode = if position.begins() { piece.opcode() } else { Opcode::Continuation };
        let header = Header { fin: position.ends(), ..Header::unmasked(opcode, piece.as_bytes().len()) };
        shared.counters.sent.add_piece(piece.opcode(), piece.as_bytes().len(), position.ends());
        self.queue_frame(shared, header, piece.as_bytes());
        Ok(())
    }

    #[inline]
    fn check_no_pieces(&self) -> Result<(), SendError> {
        if self.modes.has(Modes::SENDING) { Err(SendError::Unfinished) } else { Ok(()) }
    }

    /// Queues a message that others get too.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, shared: &mut Shared, prepared: &Prepared<'_>) -> Result<(), SendError> {
        // Neither masks nor contexts can be shared.
        if self.role() == Role::Client || self.agreed().keeps_sent() {
            return self.send(shared, prepared.message);
        }
        self.check_room(shared, prepared.message.as_bytes().len())?;
        self.check_no_pieces()?;
        let frame = prepared.frame(shared, self.agreed());
        self.record(shared, || frame.to_trace());
        shared.counters.sent.add(prepared.message.opcode(), prepared.message.as_bytes().len());
        frame.append_to(shared, &mut self.outbox);
        Ok(())
    }

    /// Queues a ping (§5.5.2).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], [`SendError::Full`], or [`SendError::TooLong`] for more than 125
    /// bytes.
    pub fn ping(&mut self, shared: &mut Shared, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::TooLong);
        }
        self.check_room(shared, payload.len())?;
        self.queue(shared, Opcode::Ping, payload);
        Ok(())
    }

    #[inline]
    fn check_room(&self, shared: &Shared, payload: usize) -> Result<(), SendError> {
        if self.state() != State::Open {
            return Err(SendError::NotOpen);
        }
        let limit = shared.limits.max_unsent;
        if payload > limit || self.buffered_amount() > limit - payload {
            return Err(SendError::Full);
        }
        Ok(())
    }

    pub(super) fn queue_close(&mut self, shared: &mut Shared, code: CloseCode, reason: &str) {
        let mut body = [0; MAX_CONTROL_PAYLOAD];
        let body = close::encode_body(code, reason, &mut body);
        self.queue(shared, Opcode::Close, body);
    }

    /// Appends a whole frame to the outbox.
    #[inline(never)]
    pub(super) fn queue(&mut self, shared: &mut Shared, opcode: Opcode, payload: &[u8]) {
        shared.counters.sent.add(opcode, payload.len());
        self.queue_frame(shared, Header::unmasked(opcode, payload.len()), payload);
    }

    /// Appends a frame to the outbox, masked if we are the client.
    #[inline(always)]
    pub(super) fn queue_frame(&mut self, shared: &mut Shared, header: Header, payload: &[u8]) {
        if self.role() == Role::Client {
            return self.queue_masked(shared, header, payload);
        }
        if payload.len() >= LARGE {
            return self.queue_large(shared, header, payload);
        }
        shared.outbox(&mut self.outbox).append_frame(header, payload);
        self.record(shared, || Trace::sent(header, payload));
    }

    /// The same for a payload that is better not copied, and whose copy is better not allocated.
    #[inline(never)]
    fn queue_large(&mut self, shared: &mut Shared, header: Header, payload: &[u8]) {
        let lent = shared.lent(payload);
        let mut outbox = shared.outbox(&mut self.outbox);
        match lent {
            Some(lent) => {
                header.encode(&mut outbox.own());
                outbox.append_shared(&lent);
            }
            None => {
                outbox.make_room(MAX_HEADER + payload.len());
                outbox.append_frame(header, payload);
            }
        }
        drop(outbox);
        self.record(shared, || Trace::sent(header, payload));
    }

    fn queue_masked(&mut self, shared: &mut Shared, header: Header, payload: &[u8]) {
        let key = shared.random.masking_key();
        let header = Header { mask: Some(key), ..header };
        let mut outbox = shared.outbox(&mut self.outbox);
        outbox.append_frame(header, payload);
        mask::apply(key, outbox.own.last_mut(payload.len()));
        drop(outbox);
        self.record(shared, || Trace::sent(header, payload));
    }

    /// The bytes to write next: all of them where they lie together or fit into one write.
    #[inline]
    pub fn output<'a>(&'a self, shared: &'a mut Shared) -> &'a [u8] {
        match &self.outbox {
            Some(outbox) => outbox.next(&mut shared.joined),
            None => &[],
        }
    }

    /// All that waits, if it lies together, is no more than `most` bytes, and nothing follows from
    /// its being sent: then [`all_sent`](Self::all_sent) is to be called when it is.
    #[inline]
    pub fn plain_output(&self, most: usize) -> Option<&[u8]> {
        let output = self.outbox.as_ref().and_then(|outbox| outbox.plain(most))?;
        (self.state() == State::Open && self.inbox.is_none()).then_some(output)
    }

    /// The peer has taken the whole [`plain_output`](Self::plain_output).
    #[inline]
    pub fn all_sent(&mut self, shared: &mut Shared) {
        if let Some(outbox) = self.outbox.take() {
            shared.give_outbox(outbox);
        }
    }

    /// `count` bytes of the [`output`](Self::output) have been taken by the peer; 0: it takes
    /// nothing now.
    #[inline]
    pub fn sent(&mut self, shared: &mut Shared, now: Tick, count: usize) {
        if let Some(outbox) = self.outbox.take_if(|outbox| outbox.len() == count) {
            shared.give_outbox(outbox);
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.advance(count);
            if count > 0 || outbox.stalled.is_none() {
                outbox.stalled = Some(now);
            }
        }
        if count > 0 && matches!(self.state(), State::Draining | State::Flushing) {
            self.since = now;
            if self.state() == State::Flushing && self.outbox.is_none() {
                self.end(shared, CloseReason::Eof);
            }
        }
    }
}
