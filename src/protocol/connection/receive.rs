//! Turns bytes from the peer into events.
//!
//! A frame that has arrived whole is unmasked and borrowed where it lies, in the read buffer.
//! Incomplete frames and messages are collected in the inbox.

use super::inbox::PartialFrame;
use super::message::{Message, OwnedMessage, Position};
use super::partial_message::{Ends, Finished, check_compressed_length, check_length};
use super::shared::Shared;
use super::trace::{Side, Trace};
use super::{Connection, Event, State};
use crate::protocol::limits::Limits;
use crate::protocol::time::Tick;
use crate::protocol::wire::{Header, Input, Opcode, ProtocolError, Role, close, utf8};
use std::borrow::Cow;

impl<X: Default> Connection<X> {
    /// Handles bytes up to the next event. Returns `None` if all of `input` has been handled, or is
    /// [held](Self::take_held).
    pub fn receive<'b>(&mut self, shared: &mut Shared, now: Tick, input: &mut Input<'b>) -> Option<Event<'b>> {
        while !input.is_empty() {
            let event = self.receive_next(shared, now, input).unwrap_or_else(|error| {
                self.fail(shared, now, error);
                None
            });
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Handles the next bytes.
    #[inline(always)]
    fn receive_next<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        match self.state() {
            State::Open if self.is_paused() => {
                self.hold(shared, now, input.take_all());
                Ok(None)
            }
            State::Open => {
                self.heard(now);
                self.receive_frame(shared, now, input)
            }
            State::Closing => self.receive_frame(shared, now, input),
            State::Handshaking => Ok(self.receive_handshake(shared, now, input)),
            State::Responding if self.is_streaming() => {
                input.take_all();
                Ok(None)
            }
            State::Deciding | State::Responding => {
                self.hold(shared, now, input.take_all());
                Ok(None)
            }
            State::Draining | State::Flushing | State::Closed => {
                input.take_all();
                Ok(None)
            }
        }
    }

    /// Notes that the peer is alive.
    #[inline]
    pub(super) const fn heard(&mut self, now: Tick) {
        self.since = now;
        self.pinged = 0;
    }

    /// Receives the next frame, or the next piece of one.
    fn receive_frame<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let (mut frame, is_first) = match self.inbox.as_mut().and_then(|inbox| inbox.frame.take()) {
            Some(frame) => (frame, false),
            None => match self.receive_header(shared, now, input)? {
                Some(header) => (PartialFrame::new(header), true),
                None => return Ok(None),
            },
        };
        if self.inflates(&frame.header) {
            return self.inflate_piece(shared, now, input, frame, is_first);
        }
        let piece = input.take(frame.remaining());
        self.record(shared, || match is_first {
            true => Trace::Frame { side: Side::Peer, header: frame.header, payload: piece.to_vec() },
            false => Trace::Payload { payload: piece.to_vec() },
        });
        frame.unmask(piece);
        match is_first && frame.remaining() == 0 {
            true => self.receive_whole(shared, now, frame, piece),
            false => self.receive_piece(shared, now, frame, is_first, piece),
        }
    }

    /// Receives the header of the next frame. Returns `None` until all its bytes have arrived.
    fn receive_header(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'_>,
    ) -> Result<Option<Header>, ProtocolError> {
        let decoded = match &mut self.inbox {
            Some(inbox) => inbox.decode_header(input.peek())?,
            None => Header::decode(input.peek())?,
        };
        let Some((header, length)) = decoded else {
            let piece = input.take_all();
            if self.inbox.is_none() {
                shared.inbox(&mut self.inbox, now).decode_header(piece)?;
            }
            return Ok(None);
        };
        input.take(length);
        self.check_frame(&header, &shared.limits)?;
        Ok(Some(header))
    }

    /// Checks that a frame with this header may come now.
    fn check_frame(&self, header: &Header, limits: &Limits) -> Result<(), ProtocolError> {
        match (self.role(), header.mask) {
            (Role::Server, Some(_)) | (Role::Client, None) => {}
            (Role::Server, None) => return Err(ProtocolError::UnmaskedFrame),
            (Role::Client, Some(_)) => return Err(ProtocolError::MaskedFrame),
        }
        if header.rsv1 && !self.may_have_rsv1(header) {
            return Err(ProtocolError::ReservedBits);
        }
        let message = self.inbox.as_ref().and_then(|inbox| inbox.message.as_ref());
        match (header.opcode, message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => Ok(()),
            (Opcode::Continuation, None) => Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Continuation, Some(message)) => message.check_frame(header.length, limits),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(ProtocolError::UnfinishedMessage),
            (Opcode::Text | Opcode::Binary, None) if self.modes.takes_pieces() => Ok(()),
            (Opcode::Text | Opcode::Binary, None) if header.rsv1 => check_compressed_length(0, header.length, limits),
            (Opcode::Text | Opcode::Binary, None) => check_length(0, header.length, limits),
        }
    }

    /// Handles a frame that has arrived whole. A control frame and an unfragmented message are
    /// borrowed where they lie.
    fn receive_whole<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        frame: PartialFrame,
        payload: &'b [u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let header = &frame.header;
        let wants_pieces = self.modes.takes_pieces();
        let message = match header.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                self.release_inbox(shared);
                return self.receive_control(shared, now, header.opcode, Cow::Borrowed(payload));
            }
            Opcode::Text | Opcode::Binary if header.fin && header.rsv1 => {
                let message = self.inflate(shared, header.opcode, payload)?;
                self.release_inbox(shared);
                return Ok(self.deliver(shared, message));
            }
            Opcode::Text if header.fin && !wants_pieces => Message::Text(utf8::whole(payload)?),
            Opcode::Binary if header.fin && !wants_pieces => Message::Binary(payload),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                return self.receive_piece(shared, now, frame, true, payload);
            }
        };
        self.release_inbox(shared);
        Ok(self.is_wanted().then_some(Event::Message(message)))
    }

    /// Collects a piece of a frame, or a whole fragment of a message, in the inbox.
    fn receive_piece<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        frame: PartialFrame,
        is_first: bool,
        piece: &[u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let (header, is_complete) = (frame.header, frame.remaining() == 0);
        let wants_pieces = self.modes.takes_pieces();
        let mut inbox = shared.inbox(&mut self.inbox, now);
        if header.opcode.is_control() {
            inbox.begin_control();
            inbox.control.extend_from_slice(piece);
        } else {
            let message = inbox.message(&header, wants_pieces);
            message.fragments = message.fragments.saturating_add(u32::from(is_first));
            message.push(piece, frame.remaining() as u64)?;
        }
        if !is_complete {
            inbox.frame = Some(frame);
            drop(inbox);
            return self.hand_out(shared, now, Ends::Later);
        }
        if header.opcode.is_control() {
            let payload = std::mem::take(&mut inbox.control);
            drop(inbox);
            self.release_inbox(shared);
            return self.receive_control(shared, now, header.opcode, Cow::Owned(payload));
        }
        drop(inbox);
        self.end_data_frame(shared, now, header.fin)
    }

    /// Handles the end of a data frame. With FIN, its message is complete too.
    pub(super) fn end_data_frame<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        fin: bool,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if !fin {
            return self.hand_out(shared, now, Ends::Later);
        }
        self.finish_inflating(shared)?;
        let inbox = self.inbox.as_mut();
        let Some(message) = inbox.and_then(|inbox| inbox.message.take_if(|message| !message.in_pieces)) else {
            return self.hand_out(shared, now, Ends::Here);
        };
        self.release_inbox(shared);
        let message = match message.finish()? {
            Finished::Compressed(opcode, compressed) => {
                let message = self.inflate(shared, opcode, &compressed);
                shared.pools.compressed.give_or_free(compressed);
                message?
            }
            Finished::Plain(message) => message,
        };
        Ok(self.deliver(shared, message))
    }

    /// Delivers what has arrived of a message, if the application takes it in pieces.
    pub(super) fn hand_out<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        ends: Ends,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let mut inbox = shared.inbox(&mut self.inbox, now);
        let Some((piece, position)) = inbox.take_piece(ends)? else { return Ok(None) };
        inbox.since = now;
        drop(inbox);
        self.release_inbox(shared);
        if self.is_wanted() {
            return Ok(Some(Event::Piece(piece, position)));
        }
        shared.recycle(piece);
        Ok(None)
    }

    /// Delivers a message that has been put together.
    fn deliver<'b>(&self, shared: &mut Shared, message: OwnedMessage) -> Option<Event<'b>> {
        if self.is_wanted() {
            return Some(match self.modes.takes_pieces() {
                true => Event::Piece(message, Position::Whole),
                false => Event::Gathered(message),
            });
        }
        shared.recycle(message);
        None
    }

    /// Whether messages are delivered: no longer after we have sent Close.
    fn is_wanted(&self) -> bool {
        self.state() == State::Open
    }

    /// Handles a complete control frame (§5.5).
    fn receive_control<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        opcode: Opcode,
        payload: Cow<'b, [u8]>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        shared.counters.received.add(opcode, payload.len());
        match opcode {
            Opcode::Close => {
                let frame = close::decode_body(&payload)?;
                self.receive_close(shared, now, frame, &payload);
                if let Cow::Owned(payload) = payload {
                    shared.recycle_bytes(payload);
                }
                Ok(None)
            }
            Opcode::Ping => {
                // "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response,
                // unless it already received a Close frame."
                if shared.limits.answer_pings {
                    self.queue(shared, Opcode::Pong, &payload);
                }
                Ok(Some(Event::Ping(payload)))
            }
            Opcode::Pong => Ok(Some(Event::Pong(payload))),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
        }
    }

    /// Gives the inbox back to the pool if nothing in it is incomplete.
    #[inline]
    pub(super) fn release_inbox(&mut self, shared: &mut Shared) {
        if self.inbox.as_ref().is_some_and(|inbox| inbox.is_empty()) {
            if let Some(inbox) = self.inbox.take() {
                shared.give_inbox(inbox);
            }
        }
    }
}
