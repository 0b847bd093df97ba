//! Turns messages into bytes to the peer, and hands these to the driver.

use super::error::{CloseReason, SendError};
use super::message::{Message, Position};
use super::outbox::LARGE;
use super::shared::Shared;
use super::trace::Trace;
use super::{Connection, Modes, Prepared, State};
use crate::protocol::time::Tick;
use crate::protocol::wire::{CloseCode, Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, Role, close, mask};

impl<X: Default> Connection<X> {
    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], or [`SendError::Full`] if there would be more unsent bytes than
    /// [`max_unsent`](crate::Limits::max_unsent), counted before compression. And
    /// [`SendError::Unfinished`] while another message is being sent in pieces.
    #[inline]
    pub fn send(&mut self, shared: &mut Shared, message: Message<'_>) -> Result<(), SendError> {
        #[cfg(not(lariat_plain))]
        if self.can_send_short(shared, message) && self.send_short(shared, message) {
            return Ok(());
        }
        self.send_whole(shared, message)
    }

    /// Queues a message in one frame.
    #[cfg_attr(not(lariat_plain), cold)]
    pub(super) fn send_whole(&mut self, shared: &mut Shared, message: Message<'_>) -> Result<(), SendError> {
        let payload = message.as_bytes();
        self.check_room(shared, payload.len())?;
        self.check_no_pieces()?;
        shared.counters.sent.add(message.opcode(), payload.len());
        if !self.queue_compressed(shared, message.opcode(), payload) {
            self.queue_frame(shared, Header::unmasked(message.opcode(), payload.len()), payload);
        }
        Ok(())
    }

    /// Queues a piece of a message as one fragment (§5.4). No other message can be sent between the
    /// first and the last piece.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Unfinished`] for a piece at the wrong position.
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

    /// Queues a message that other connections get too.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, shared: &mut Shared, prepared: &Prepared<'_>) -> Result<(), SendError> {
        // Neither masks nor contexts can be shared. Reserved outboxes have room for a copy.
        if self.role() == Role::Client || self.agreed().keeps_sent() || shared.is_reserved() {
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

    /// Queues a pong: one that answers no ping (§5.5.3), or, without
    /// [`answer_pings`](crate::Limits::answer_pings), the answer to a ping.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, shared: &mut Shared, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::TooLong);
        }
        self.check_room(shared, payload.len())?;
        self.queue(shared, Opcode::Pong, payload);
        Ok(())
    }

    #[inline]
    fn check_room(&self, shared: &Shared, payload: usize) -> Result<(), SendError> {
        if self.state() != State::Open {
            return Err(SendError::NotOpen);
        }
        self.check_unsent(shared, payload)
    }

    /// Checks that no more than `max_unsent` bytes are unsent with `payload` more.
    #[inline]
    pub(super) fn check_unsent(&self, shared: &Shared, payload: usize) -> Result<(), SendError> {
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

    /// Counts and queues a whole frame.
    #[inline(never)]
    pub(super) fn queue(&mut self, shared: &mut Shared, opcode: Opcode, payload: &[u8]) {
        shared.counters.sent.add(opcode, payload.len());
        self.queue_frame(shared, Header::unmasked(opcode, payload.len()), payload);
    }

    /// Queues a frame, masked if we are the client.
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

    /// Queues a large frame: it is shared if the application was lent it, and otherwise copied into
    /// a buffer from the pool.
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

    /// Returns the bytes to send next: all of them, if they lie in one piece or fit into one write.
    #[inline]
    pub fn output<'a>(&'a self, shared: &'a mut Shared) -> &'a [u8] {
        match &self.outbox {
            Some(outbox) => outbox.next(&mut shared.joined),
            None => &[],
        }
    }

    /// Reports that the peer has taken `count` bytes of the [`output`](Self::output). 0 means that
    /// it takes nothing now.
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
        if count > 0 && matches!(self.state(), State::Draining | State::Flushing | State::Responding) {
            self.since = now;
            match (self.state(), &self.outbox) {
                (State::Flushing, None) => self.end(shared, CloseReason::Eof),
                (State::Responding, None) => self.response_sent(shared, now),
                (_, _) => {}
            }
        }
    }
}
