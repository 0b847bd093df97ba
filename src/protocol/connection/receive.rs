//! Bytes from the peer become events.
//!
//! A frame that has arrived whole is unmasked and borrowed where it lies, in the read buffer. What
//! has not arrived whole goes into the [`Inbox`], piece by piece.

use super::error::CloseReason;
use super::inbox::{Decoder, Ends, Inbox, PartialFrame, PartialMessage, check_compressed_length, check_length};
use super::message::{Gathered, Message, Position};
use super::shared::Shared;
use super::trace::{Side, Trace};
use super::{Connection, Event, State};
use crate::protocol::opening::{Rejection, Ticket, Unaccepted, head_end};
use crate::protocol::time::Tick;
use crate::protocol::wire::{Header, Input, Opcode, ProtocolError, Role, close, mask, utf8};
use std::borrow::Cow;

impl<X: Default> Connection<X> {
    /// Handles bytes up to the next event. `None`: all of `input` has been handled, or held until
    /// the application has answered.
    #[inline]
    pub fn receive<'b>(&mut self, shared: &mut Shared, now: Tick, input: &mut Input<'b>) -> Option<Event<'b>> {
        while !input.is_empty() {
            match self.receive_run(shared, now, input, 1) {
                Some(mut run) => match run.next() {
                    Some(message) => return Some(Event::Message(message)),
                    None => self.receive_bad_text(shared, now),
                },
                None => {
                    if let Some(event) = self.receive_other(shared, now, input) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }

    /// What has been received as text is not UTF-8: behind a [run](Self::receive_run) that ends
    /// badly.
    #[cold]
    pub fn receive_bad_text(&mut self, shared: &mut Shared, now: Tick) {
        if matches!(self.state(), State::Open | State::Closing) {
            self.fail(shared, now, ProtocolError::InvalidUtf8);
        }
    }

    /// Whatever comes next, when it is no [run](Self::receive_run) of short messages. `None`:
    /// something was handled that needs nobody's attention; there may be more.
    pub fn receive_other<'b>(&mut self, shared: &mut Shared, now: Tick, input: &mut Input<'b>) -> Option<Event<'b>> {
        let event = self.step(shared, now, input);
        if let Some(inbox) = &mut self.inbox {
            shared.count_inbox(inbox);
        }
        event
    }

    fn step<'b>(&mut self, shared: &mut Shared, now: Tick, input: &mut Input<'b>) -> Option<Event<'b>> {
        let step = match self.state() {
            State::Open => {
                self.heard(now);
                self.receive_frame(shared, now, input)
            }
            State::Closing => self.receive_frame(shared, now, input),
            State::Handshaking => Ok(self.receive_handshake(shared, now, input)),
            State::Deciding => {
                let held = input.take_all();
                self.inbox(shared, now).held.extend_from_slice(held);
                Ok(None)
            }
            State::Draining | State::Flushing | State::Closed => {
                input.take_all();
                Ok(None)
            }
        };
        step.unwrap_or_else(|error| {
            self.fail(shared, now, error);
            None
        })
    }

    /// The peer is alive.
    #[inline]
    pub(super) const fn heard(&mut self, now: Tick) {
        self.since = now;
        self.pinged = 0;
    }

    /// We do not listen: the peer's silence says nothing of it.
    pub fn excuse_silence(&mut self, now: Tick) {
        if self.state() == State::Open {
            self.heard(now);
        }
    }

    /// Bytes that were held while the application had not answered; to be received now.
    pub fn take_held(&mut self, shared: &mut Shared) -> Vec<u8> {
        if self.state() == State::Deciding {
            return Vec::new();
        }
        let held = self.inbox.as_mut().map(|inbox| std::mem::take(&mut inbox.held));
        self.release_inbox(shared);
        held.unwrap_or_default()
    }

    /// The opening handshake: a request, or the answer to ours.
    fn receive_handshake<'b>(&mut self, shared: &mut Shared, now: Tick, input: &mut Input<'b>) -> Option<Event<'b>> {
        match (self.receive_head(shared, input), self.role()) {
            (Ok(None), _) => None,
            (Ok(Some(head)), role) => {
                self.record(shared, || Trace::Handshake { side: Side::Peer, text: head.to_vec() });
                match role {
                    Role::Server => {
                        self.requested(shared);
                        Some(Event::Request(head))
                    }
                    Role::Client => self.receive_answer(shared, now, &head).map(Event::Opened),
                }
            }
            (Err(rejection), Role::Server) => {
                self.reject(shared, now, &Ticket::unreadable(), rejection);
                None
            }
            (Err(_), Role::Client) => {
                self.end(shared, CloseReason::Unaccepted(Unaccepted::BadResponse("malformed")));
                None
            }
        }
    }

    /// Bytes up to the empty line.
    fn receive_head<'b>(
        &mut self,
        shared: &mut Shared,
        input: &mut Input<'b>,
    ) -> Result<Option<Cow<'b, [u8]>>, Rejection> {
        let limit = shared.limits.max_head;
        let kept = self.inbox.as_ref().map_or(0, |inbox| inbox.head.len());
        let piece = &input.peek()[..input.len().min(limit - kept)];
        if kept == 0 {
            if let Some(end) = head_end(piece, 0)? {
                return Ok(Some(Cow::Borrowed(input.take(end))));
            }
        }
        let inbox = self.inbox.get_or_insert_with(|| shared.take_inbox());
        inbox.head.extend_from_slice(piece);
        match head_end(&inbox.head, kept)? {
            Some(end) => {
                input.take(end - kept);
                inbox.head.truncate(end);
                let head = std::mem::take(&mut inbox.head);
                self.release_inbox(shared);
                Ok(Some(Cow::Owned(head)))
            }
            None if inbox.head.len() == limit => Err(Rejection::HeadTooLarge),
            None => {
                input.take_all();
                Ok(None)
            }
        }
    }

    /// The next piece of the next frame.
    fn receive_frame<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let decoded = match &mut self.inbox {
            None => Header::decode(input.peek())?,
            Some(inbox) => match inbox.frame.take() {
                Some(mut frame) => {
                    self.record_payload(shared, input, &mut frame);
                    return self.receive_piece(shared, now, input, frame);
                }
                None => inbox.decode_header(input.peek())?,
            },
        };
        let Some((mut header, length)) = decoded else {
            let piece = input.take_all();
            if self.inbox.is_none() {
                self.inbox(shared, now).decode_header(piece)?;
            }
            return Ok(None);
        };
        input.take(length);
        self.check_header(&header, shared)?;
        if header.length > input.len() as u64 || self.inflates(&header) {
            return self.receive_first_piece(shared, now, input, header);
        }
        let payload = input.take(header.length as usize);
        self.record(shared, || Trace::Frame { side: Side::Peer, header, payload: payload.to_vec() });
        if let Some(key) = &mut header.mask {
            mask::apply(*key, payload);
        }
        let payload = &*payload;
        if header.rsv1 && header.fin {
            let received = self.inflate(shared, header.opcode, payload)?;
            self.release_inbox(shared);
            return Ok(self.deliver(shared, received));
        }
        match header.opcode {
            Opcode::Text if header.fin && !self.modes.takes_pieces() => {
                let text = utf8::whole(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
                self.release_inbox(shared);
                Ok(self.is_wanted().then_some(Event::Message(Message::Text(text))))
            }
            Opcode::Binary if header.fin && !self.modes.takes_pieces() => {
                self.release_inbox(shared);
                Ok(self.is_wanted().then_some(Event::Message(Message::Binary(payload))))
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                self.begin_data_frame(shared, now, &header)?.push(payload, 0)?;
                self.end_data_frame(shared, now, &header)
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                self.release_inbox(shared);
                self.control(shared, now, header.opcode, Cow::Borrowed(payload))
            }
        }
    }

    /// Whether this frame may come now.
    #[inline]
    fn check_header(&self, header: &Header, shared: &Shared) -> Result<(), ProtocolError> {
        match (self.role(), header.mask) {
            (Role::Server, Some(_)) | (Role::Client, None) => {}
            (Role::Server, None) => return Err(ProtocolError::UnmaskedFrame),
            (Role::Client, Some(_)) => return Err(ProtocolError::MaskedFrame),
        }
        if header.rsv1 && !self.may_have_rsv1(header) {
            return Err(ProtocolError::ReservedBits);
        }
        let under_way = self.inbox.as_ref().is_some_and(|inbox| inbox.message.is_some());
        match header.opcode {
            Opcode::Text | Opcode::Binary if under_way => Err(ProtocolError::UnfinishedMessage),
            Opcode::Text | Opcode::Binary if self.modes.takes_pieces() => Ok(()),
            Opcode::Text | Opcode::Binary if header.rsv1 => check_compressed_length(0, header.length, &shared.limits),
            Opcode::Text | Opcode::Binary => check_length(0, header.length, &shared.limits),
            Opcode::Continuation if !under_way => Err(ProtocolError::UnexpectedContinuation),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => Ok(()),
        }
    }

    /// A frame begins whose payload has not arrived whole, or is handled piece by piece.
    fn receive_first_piece<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
        header: Header,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if header.opcode.is_control() {
            self.inbox(shared, now).control.clear();
        } else {
            self.begin_data_frame(shared, now, &header)?;
        }
        let arrived = header.length.min(input.len() as u64);
        let payload = || input.peek()[..arrived as usize].to_vec();
        self.record(shared, || Trace::Frame { side: Side::Peer, header, payload: payload() });
        let frame = PartialFrame { header, remaining: header.length, untraced: header.length - arrived };
        self.receive_piece(shared, now, input, frame)
    }

    /// Records what has arrived of a frame since it was recorded last.
    fn record_payload(&self, shared: &mut Shared, input: &Input<'_>, frame: &mut PartialFrame) {
        let arrived = frame.remaining.min(input.len() as u64);
        let known = frame.remaining - frame.untraced;
        if known < arrived {
            let payload = || input.peek()[known as usize..arrived as usize].to_vec();
            self.record(shared, || Trace::Payload { payload: payload() });
            frame.untraced -= arrived - known;
        }
    }

    /// More of a frame's payload.
    fn receive_piece<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
        mut frame: PartialFrame,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if self.inflates(&frame.header) {
            return self.inflate_piece(shared, now, input, frame);
        }
        let piece = input.take(usize::try_from(frame.remaining).unwrap_or(usize::MAX));
        if let Some(key) = &mut frame.header.mask {
            *key = mask::apply(*key, piece);
        }
        frame.remaining -= piece.len() as u64;
        let Some(inbox) = &mut self.inbox else { return Ok(None) };
        let is_control = frame.header.opcode.is_control();
        match &mut inbox.message {
            _ if is_control => inbox.control.extend_from_slice(piece),
            Some(message) => message.push(piece, frame.remaining)?,
            None => {}
        }
        if frame.remaining > 0 {
            inbox.frame = Some(frame);
            return self.hand_out(shared, now, Ends::Later);
        }
        if is_control {
            let payload = std::mem::take(&mut inbox.control);
            self.release_inbox(shared);
            return self.control(shared, now, frame.header.opcode, Cow::Owned(payload));
        }
        self.end_data_frame(shared, now, &frame.header)
    }

    /// The message to which a data frame belongs, which it may begin.
    fn begin_data_frame(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        header: &Header,
    ) -> Result<&mut PartialMessage, ProtocolError> {
        let wants_pieces = self.modes.takes_pieces();
        let is_first = header.opcode != Opcode::Continuation;
        let decoder = if is_first && header.rsv1 && wants_pieces { self.decoder(shared) } else { Decoder::None };
        let inbox = self.inbox(shared, now);
        let message = inbox.message.get_or_insert_with(|| match header.rsv1 {
            _ if wants_pieces => PartialMessage::in_pieces(header.opcode, shared.take_buffer(), decoder),
            true => PartialMessage::compressed(header.opcode, shared.take_compressed()),
            false => PartialMessage::new(header.opcode, shared.take_buffer()),
        });
        if !message.in_pieces {
            message.begin_frame(header.length, &shared.limits)?;
        }
        Ok(message)
    }

    /// A data frame is complete, and with FIN its message.
    pub(super) fn end_data_frame<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        header: &Header,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        if !header.fin {
            return self.hand_out(shared, now, Ends::Later);
        }
        self.finish_inflating(shared)?;
        let inbox = self.inbox.as_mut();
        let Some(message) = inbox.and_then(|inbox| inbox.message.take_if(|message| !message.in_pieces)) else {
            return self.hand_out(shared, now, Ends::Here);
        };
        self.release_inbox(shared);
        let received = match message.into_compressed() {
            Ok((opcode, compressed)) => {
                let received = self.inflate(shared, opcode, &compressed);
                shared.give_compressed(compressed);
                received?
            }
            Err(message) => message.finish()?,
        };
        Ok(self.deliver(shared, received))
    }

    /// If messages are wanted in pieces: hands out what has arrived of this one.
    pub(super) fn hand_out<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        ends: Ends,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let Some(inbox) = self.inbox.as_mut() else { return Ok(None) };
        let Some(message) = inbox.message.as_mut().filter(|message| message.in_pieces) else { return Ok(None) };
        if ends == Ends::Later && !message.has_piece() {
            return Ok(None);
        }
        let (piece, position) = message.take_piece(ends, shared.take_buffer())?;
        inbox.since = now;
        if ends == Ends::Here {
            if let Some(message) = inbox.message.take() {
                shared.give_buffer(message.into_buffer());
            }
            self.release_inbox(shared);
        }
        if self.state() == State::Open {
            return Ok(Some(Event::Piece(piece, position)));
        }
        shared.recycle(piece);
        Ok(None)
    }

    /// A message has been put together.
    fn deliver<'b>(&self, shared: &mut Shared, message: Gathered) -> Option<Event<'b>> {
        if self.is_wanted() {
            return Some(match self.modes.takes_pieces() {
                true => Event::Piece(message, Position::Whole),
                false => Event::Gathered(message),
            });
        }
        shared.recycle(message);
        None
    }

    /// Whether somebody waits for messages: nobody does any more once we have sent Close.
    fn is_wanted(&self) -> bool {
        self.state() == State::Open
    }

    /// A control frame is complete (§5.5).
    fn control<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        opcode: Opcode,
        payload: Cow<'b, [u8]>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        shared.counts.received.add(opcode, payload.len());
        match opcode {
            Opcode::Close => {
                let frame = close::decode_body(&payload)?;
                self.receive_close(shared, now, frame, &payload);
                Ok(None)
            }
            Opcode::Ping => {
                // "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response,
                // unless it already received a Close frame."
                self.queue(shared, Opcode::Pong, &payload);
                Ok(Some(Event::Ping(payload)))
            }
            Opcode::Pong => Ok(Some(Event::Pong(payload))),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
        }
    }

    /// The inbox, which begins to exist.
    fn inbox(&mut self, shared: &mut Shared, now: Tick) -> &mut Inbox {
        self.inbox.get_or_insert_with(|| {
            let mut inbox = shared.take_inbox();
            inbox.since = now;
            inbox
        })
    }

    /// Gives the inbox back if nothing in it is incomplete.
    #[inline]
    fn release_inbox(&mut self, shared: &mut Shared) {
        if self.inbox.as_ref().is_some_and(|inbox| inbox.is_empty()) {
            if let Some(inbox) = self.inbox.take() {
                shared.give_inbox(inbox);
            }
        }
    }
}
