//! Every transition of one conversation.
//!
//! ```text
//!                      accept
//!  Handshaking ─► Deciding ─► Open ──── we send Close ────► Closing
//!       │            │          │                              │
//!       │ bad        │ reject   │ peer's Close (echoed),       │ peer's Close,
//!       │ request    │ / HTTP   │ or protocol error (reported) │ protocol error
//!       ▼            ▼          ▼                              ▼
//!       └────────────┴────► Draining ◄─────────────────────────┘
//!                               │ peer's FIN       peer's FIN with bytes of ours unsent
//!     I/O error, EOF, deadline  ▼                  from any state ─────► Flushing
//!     from any state ───────► Closed ◄───── all sent, or deadline ──────────┘
//! ```
//!
//! Each edge is one method here, and there is no other way from state to state. A [`Connection`] never sees a
//! socket or a clock: its driver hands it bytes ([`receive`](Connection::receive)) and time, and carries its
//! [`output`](Connection::output) to the peer.

use super::close;
use super::error::{CloseReason, ProtocolError, Rejection, SendError, Timeout};
use super::frame::{Header, MAX_CONTROL_PAYLOAD, Opcode};
use super::input::Input;
use super::limits::Limits;
use super::mask;
use super::message::{Inbox, Message, PartialFrame, PartialMessage, Received, check_length};
use super::outbox::{Outbox, SHARE_FROM};
use super::request::{Ticket, head_end};
use super::response::{Answer, encode_response, encode_upgrade, refusal};
use super::shared::Shared;
use super::time::Tick;
use super::utf8;
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// Which side of the conversation we are (RFC 6455 §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We accept connections; our frames are not masked, the peer's are.
    Server,
    /// We open connections; our frames are masked, the peer's are not.
    Client,
}

/// Where a conversation stands; the picture is at the head of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The opening handshake's head is still arriving.
    Handshaking,
    /// The application has the request and has not answered yet.
    Deciding,
    /// Messages flow.
    Open,
    /// We have sent Close and wait for the peer's.
    Closing,
    /// All is said: what we still have to send is sent, then our half is closed, then we wait for the peer's
    /// FIN.
    Draining,
    /// The peer's FIN has come; what we still have to send is sent.
    Flushing,
    /// The end.
    Closed,
}

/// The `readyState` that a browser would show for this side (the WebSocket API's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// 0: the opening handshake has not ended.
    Connecting = 0,
    /// 1: messages can be sent.
    Open = 1,
    /// 2: the closing handshake has begun.
    Closing = 2,
    /// 3: the conversation is over.
    Closed = 3,
}

impl State {
    /// In the WebSocket API's words.
    pub const fn ready_state(self) -> ReadyState {
        match self {
            State::Handshaking | State::Deciding => ReadyState::Connecting,
            State::Open => ReadyState::Open,
            State::Closing | State::Draining | State::Flushing => ReadyState::Closing,
            State::Closed => ReadyState::Closed,
        }
    }
}

/// What the driver has to tell the application.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A request head is complete: to be parsed and answered with [`Connection::answer`].
    Request(Cow<'b, [u8]>),
    /// A message.
    Message(Received<'b>),
    /// A ping; its pong is queued already.
    Ping(Cow<'b, [u8]>),
    /// A pong.
    Pong(Cow<'b, [u8]>),
}

/// One conversation. `X` is what its driver wants to remember of the few that need it.
///
/// 32 bytes: what an idle conversation does not need lies in boxes that exist only while they are needed.
#[derive(Debug)]
pub struct Connection<X = ()> {
    state: State,
    role: Role,
    /// From when the state's timeout counts: Handshaking and Deciding: the start; Open: the last byte heard;
    /// Closing: our Close; Draining and Flushing: the last progress.
    since: Tick,
    outbox: Option<Box<Outbox>>,
    inbox: Option<Box<Inbox>>,
    rare: Option<Box<Rare<X>>>,
}

/// What few conversations need, or only for a while.
#[derive(Debug, Default)]
struct Rare<X> {
    reason: Option<CloseReason>,
    ticket: Option<Ticket>,
    extra: X,
}

impl<X: Default> Connection<X> {
    /// A conversation that begins now.
    pub const fn new(role: Role, now: Tick) -> Connection<X> {
        Connection { state: State::Handshaking, role, since: now, outbox: None, inbox: None, rare: None }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Bytes that wait to be written to the peer.
    pub fn buffered_amount(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Bytes of buffers that this conversation holds now; none when it is idle.
    pub fn memory(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory()) + self.outbox.as_ref().map_or(0, |outbox| outbox.memory())
    }

    /// Why it ended, once the state is [`State::Closed`]. Given once.
    pub fn take_close_reason(&mut self) -> Option<CloseReason> {
        self.rare.as_mut().and_then(|rare| rare.reason.take())
    }

    /// What the driver remembers of this conversation, if anything.
    pub fn extra(&self) -> Option<&X> {
        self.rare.as_ref().map(|rare| &rare.extra)
    }

    /// What the driver remembers of this conversation; allocated when it is not there.
    pub fn extra_mut(&mut self) -> &mut X {
        &mut self.rare().extra
    }

    fn rare(&mut self) -> &mut Rare<X> {
        self.rare.get_or_insert_default()
    }

    // ---- bytes from the peer -------------------------------------------------------------------

    /// Handles bytes up to the next event. `None`: all of `input` has been handled, or held until the
    /// application has answered.
    #[inline]
    pub fn receive<'b>(&mut self, shared: &mut Shared, now: Tick, input: &mut Input<'b>) -> Option<Event<'b>> {
        while !input.is_empty() {
            let step = match self.state {
                State::Open => {
                    self.since = now;
                    self.receive_frame(shared, now, input)
                }
                State::Closing => self.receive_frame(shared, now, input),
                State::Handshaking => match self.receive_head(shared, input) {
                    Ok(event) => Ok(event),
                    Err(rejection) => {
                        self.reject(shared, now, &Ticket::unreadable(), rejection);
                        Ok(None)
                    }
                },
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
            match step {
                Ok(None) => {}
                Ok(event) => return event,
                Err(error) => self.fail(shared, now, error),
            }
        }
        None
    }

    /// Bytes that were held while the application had not answered; to be received now.
    pub fn take_held(&mut self, shared: &mut Shared) -> Vec<u8> {
        if self.state == State::Deciding {
            return Vec::new();
        }
        let held = self.inbox.as_mut().map(|inbox| std::mem::take(&mut inbox.held));
        self.release_inbox(shared);
        held.unwrap_or_default()
    }

    /// The opening handshake: bytes up to the empty line.
    fn receive_head<'b>(&mut self, shared: &mut Shared, input: &mut Input<'b>) -> Result<Option<Event<'b>>, Rejection> {
        let limit = shared.limits.max_head;
        let kept = self.inbox.as_ref().map_or(0, |inbox| inbox.head.len());
        let piece = &input.peek()[..input.len().min(limit - kept)];
        if kept == 0 {
            if let Some(end) = head_end(piece, 0)? {
                self.state = State::Deciding;
                return Ok(Some(Event::Request(Cow::Borrowed(input.take(end)))));
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
                self.state = State::Deciding;
                Ok(Some(Event::Request(Cow::Owned(head))))
            }
            None if inbox.head.len() == limit => Err(Rejection::HeadTooLarge),
            None => {
                input.take_all();
                Ok(None)
            }
        }
    }

    /// The next piece of the next frame.
    #[inline]
    fn receive_frame<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        input: &mut Input<'b>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let decoded = match &mut self.inbox {
            None => Header::decode(input.peek())?,
            Some(inbox) => match inbox.frame.take() {
                Some(frame) => return self.receive_piece(shared, input, frame),
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
        if header.length > input.len() as u64 {
            return self.receive_first_piece(shared, now, input, header);
        }
        let payload = input.take(header.length as usize);
        if let Some(key) = &mut header.mask {
            mask::apply(*key, payload);
        }
        let payload = &*payload;
        match header.opcode {
            Opcode::Text if header.fin => {
                let text = utf8::whole(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
                self.release_inbox(shared);
                Ok(self.deliver(shared, Received::Text(Cow::Borrowed(text))))
            }
            Opcode::Binary if header.fin => {
                self.release_inbox(shared);
                Ok(self.deliver(shared, Received::Binary(Cow::Borrowed(payload))))
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                self.begin_data_frame(shared, now, &header)?.push(payload, 0)?;
                self.end_data_frame(shared, &header)
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                self.release_inbox(shared);
                self.control(shared, now, header.opcode, Cow::Borrowed(payload))
            }
        }
    }

    /// Whether this frame may come now.
    fn check_header(&self, header: &Header, shared: &Shared) -> Result<(), ProtocolError> {
        match (self.role, header.mask) {
            (Role::Server, Some(_)) | (Role::Client, None) => {}
            (Role::Server, None) => return Err(ProtocolError::UnmaskedFrame),
            (Role::Client, Some(_)) => return Err(ProtocolError::MaskedFrame),
        }
        if header.rsv1 {
            return Err(ProtocolError::ReservedBits);
        }
        let under_way = self.inbox.as_ref().is_some_and(|inbox| inbox.message.is_some());
        match header.opcode {
            Opcode::Text | Opcode::Binary if under_way => Err(ProtocolError::UnfinishedMessage),
            Opcode::Text | Opcode::Binary => check_length(0, header.length, &shared.limits),
            Opcode::Continuation if !under_way => Err(ProtocolError::UnexpectedContinuation),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => Ok(()),
        }
    }

    /// A frame begins whose payload has not arrived whole.
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
        self.receive_piece(shared, input, PartialFrame { header, remaining: header.length })
    }

    /// More of a frame's payload.
    fn receive_piece<'b>(
        &mut self,
        shared: &mut Shared,
        input: &mut Input<'b>,
        mut frame: PartialFrame,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
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
            return Ok(None);
        }
        if is_control {
            let payload = std::mem::take(&mut inbox.control);
            self.release_inbox(shared);
            return self.control(shared, self.since, frame.header.opcode, Cow::Owned(payload));
        }
        self.end_data_frame(shared, &frame.header)
    }

    /// The message to which a data frame belongs, which it may begin.
    fn begin_data_frame(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        header: &Header,
    ) -> Result<&mut PartialMessage, ProtocolError> {
        let buffer = if header.opcode == Opcode::Continuation { Vec::new() } else { shared.take_buffer() };
        let inbox = self.inbox.get_or_insert_with(|| shared.take_inbox());
        if header.opcode != Opcode::Continuation {
            inbox.since = now;
        }
        let message = inbox.message.get_or_insert_with(|| PartialMessage::new(header.opcode, buffer));
        message.begin_frame(header.length, &shared.limits)?;
        Ok(message)
    }

    /// A data frame is complete, and with FIN its message.
    fn end_data_frame<'b>(&mut self, shared: &mut Shared, header: &Header) -> Result<Option<Event<'b>>, ProtocolError> {
        let message = match &mut self.inbox {
            Some(inbox) if header.fin => inbox.message.take(),
            Some(_) | None => None,
        };
        let Some(message) = message else { return Ok(None) };
        self.release_inbox(shared);
        let received = message.finish()?;
        Ok(self.deliver(shared, received))
    }

    /// A message is complete. Once we have sent Close, nobody waits for it any more.
    #[inline]
    fn deliver<'b>(&self, shared: &mut Shared, message: Received<'b>) -> Option<Event<'b>> {
        if self.state == State::Open {
            return Some(Event::Message(message));
        }
        shared.recycle(message);
        None
    }

    /// A control frame is complete (§5.5).
    fn control<'b>(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        opcode: Opcode,
        payload: Cow<'b, [u8]>,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
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

    // ---- edges ---------------------------------------------------------------------------------

    /// Deciding -> Open, or Draining after an HTTP response; Later leaves it Deciding.
    ///
    /// # Errors
    ///
    /// The answer cannot be sent: the [`Rejection`] that was sent in its place.
    pub fn answer(&mut self, shared: &mut Shared, now: Tick, ticket: Ticket, answer: Answer) -> Result<(), Rejection> {
        if self.state != State::Deciding {
            return Ok(());
        }
        match answer {
            Answer::Upgrade(upgrade) => {
                let mut outbox = self.outbox.take().unwrap_or_else(|| shared.take_outbox());
                let mut outcome = Ok(());
                outbox.append(|out| outcome = encode_upgrade(&ticket, &upgrade, out));
                self.outbox = Some(outbox);
                match outcome {
                    Ok(()) => {
                        self.state = State::Open;
                        self.since = now;
                    }
                    Err(rejection) => self.reject(shared, now, &ticket, rejection),
                }
                outcome
            }
            Answer::Respond(response) => {
                self.respond(shared, now, &ticket, &response);
                Ok(())
            }
            Answer::Later => {
                self.rare().ticket = Some(ticket);
                Ok(())
            }
        }
    }

    /// What is needed to answer a request for which [`Answer::Later`] was given.
    pub fn take_ticket(&mut self) -> Option<Ticket> {
        self.rare.as_mut().and_then(|rare| rare.ticket.take())
    }

    /// Handshaking, Deciding -> Draining: the request is refused.
    pub fn reject(&mut self, shared: &mut Shared, now: Tick, ticket: &Ticket, rejection: Rejection) {
        self.respond(shared, now, ticket, &refusal(rejection));
    }

    /// Handshaking, Deciding -> Draining: an HTTP response, after which the connection closes.
    fn respond(&mut self, shared: &mut Shared, now: Tick, ticket: &Ticket, response: &http::Response<Vec<u8>>) {
        let mut outbox = self.outbox.take().unwrap_or_else(|| shared.take_outbox());
        outbox.append(|out| encode_response(ticket.method, response, out));
        self.outbox = Some(outbox);
        self.drain(shared, now, CloseReason::Refused(response.status()));
    }

    /// Open -> Closing: the application closes.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], [`SendError::InvalidCloseCode`], [`SendError::TooLong`] for a reason of more
    /// than 123 bytes.
    pub fn close(&mut self, shared: &mut Shared, now: Tick, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::NotOpen);
        }
        if !close::may_travel(&code) {
            return Err(SendError::InvalidCloseCode);
        }
        if reason.len() > close::MAX_REASON {
            return Err(SendError::TooLong);
        }
        self.queue_close(shared, code, reason);
        self.rare().reason = Some(CloseReason::Local(CloseFrame { code, reason: reason.into() }));
        self.state = State::Closing;
        self.since = now;
        Ok(())
    }

    /// Open -> Draining, with an echo; Closing -> Draining: the peer's Close (§5.5.1).
    fn receive_close(&mut self, shared: &mut Shared, now: Tick, frame: Option<CloseFrame>, body: &[u8]) {
        if self.state == State::Closing {
            let reason = self.take_close_reason().unwrap_or(CloseReason::Peer(frame));
            return self.drain(shared, now, reason);
        }
        self.queue(shared, Opcode::Close, body);
        self.drain(shared, now, CloseReason::Peer(frame));
    }

    /// Open, Closing -> Draining: "fail the WebSocket connection" (§7.1.7). The only road for a peer's
    /// violation.
    fn fail(&mut self, shared: &mut Shared, now: Tick, error: ProtocolError) {
        self.close_and_drain(shared, now, error.close_code(), &error.to_string(), CloseReason::Protocol(error));
    }

    /// Open, Closing -> Draining: a Close frame, unless one has been sent, and no wait for the peer's.
    pub fn close_and_drain(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        code: CloseCode,
        text: &str,
        reason: CloseReason,
    ) {
        if self.state == State::Open {
            self.queue_close(shared, code, text);
        }
        self.drain(shared, now, reason);
    }

    /// -> Draining.
    fn drain(&mut self, shared: &mut Shared, now: Tick, reason: CloseReason) {
        if let Some(inbox) = self.inbox.take() {
            shared.give_inbox(inbox);
        }
        self.rare().reason = Some(reason);
        self.state = State::Draining;
        self.since = now;
    }

    /// -> Flushing if bytes of ours are unsent, else -> Closed: the peer has sent FIN.
    pub fn receive_eof(&mut self, shared: &mut Shared, now: Tick) {
        match self.state {
            State::Open | State::Closing | State::Draining if self.buffered_amount() > 0 => {
                if self.state != State::Draining {
                    self.drain(shared, now, CloseReason::Eof);
                }
                self.state = State::Flushing;
            }
            State::Flushing | State::Closed => {}
            State::Handshaking | State::Deciding | State::Open | State::Closing | State::Draining => {
                self.end(shared, CloseReason::Eof);
            }
        }
    }

    /// -> Closed, at once: the connection broke, or must not cost anything any more. Once Draining, the
    /// reason for that stays.
    pub fn end(&mut self, shared: &mut Shared, reason: CloseReason) {
        let known = matches!(self.state, State::Draining | State::Flushing | State::Closed);
        if !known {
            self.rare().reason = Some(reason);
        }
        self.state = State::Closed;
        if let Some(inbox) = self.inbox.take() {
            shared.give_inbox(inbox);
        }
        if let Some(outbox) = self.outbox.take() {
            shared.give_outbox(outbox);
        }
    }

    // ---- time ----------------------------------------------------------------------------------

    /// The next point in time at which [`handle_timeout`](Self::handle_timeout) has something to do. It can
    /// move further away with each byte, so a driver may look lazily: when the time that it knew has
    /// come.
    pub fn deadline(&self, limits: &Limits, now: Tick) -> Option<Tick> {
        match self.state {
            State::Handshaking | State::Deciding => Some(self.since.after(limits.handshake_timeout)),
            State::Closing | State::Draining | State::Flushing => Some(self.since.after(limits.close_timeout)),
            State::Closed => None,
            State::Open => {
                let ping = limits.ping_interval.map(|interval| self.next_ping(interval, now));
                [ping, self.idle_deadline(limits), self.message_deadline(limits), self.write_deadline(limits)]
                    .into_iter()
                    .flatten()
                    .reduce(Tick::earlier)
            }
        }
    }

    /// The next whole multiple of `interval` in the peer's silence.
    fn next_ping(&self, interval: Duration, now: Tick) -> Tick {
        let silent = now.since(self.since);
        if silent < interval {
            return self.since.after(interval);
        }
        let intervals = silent.as_millis() / interval.as_millis().max(1) + 1;
        self.since.after(interval.saturating_mul(u32::try_from(intervals).unwrap_or(u32::MAX)))
    }

    fn idle_deadline(&self, limits: &Limits) -> Option<Tick> {
        limits.idle_timeout.map(|timeout| self.since.after(timeout))
    }

    fn message_deadline(&self, limits: &Limits) -> Option<Tick> {
        let inbox = self.inbox.as_ref().filter(|inbox| inbox.has_partial_message())?;
        limits.message_timeout.map(|timeout| inbox.since.after(timeout))
    }

    fn write_deadline(&self, limits: &Limits) -> Option<Tick> {
        let stalled = self.outbox.as_ref()?.stalled?;
        limits.write_timeout.map(|timeout| stalled.after(timeout))
    }

    /// Does what is due at `now`: a ping, or the end that a deadline brings. Does nothing if nothing is due.
    pub fn handle_timeout(&mut self, shared: &mut Shared, now: Tick) {
        let limits = &shared.limits;
        let is_due = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline.is_due(now));
        match self.state {
            State::Open => {
                if is_due(self.write_deadline(limits)) {
                    self.end(shared, CloseReason::Timeout(Timeout::Write));
                } else if is_due(self.message_deadline(limits)) {
                    let reason = CloseReason::Timeout(Timeout::Message);
                    self.close_and_drain(shared, now, CloseCode::Policy, "message did not end in time", reason);
                } else if is_due(self.idle_deadline(limits)) {
                    let reason = CloseReason::Timeout(Timeout::Idle);
                    self.close_and_drain(shared, now, CloseCode::Away, "silent for too long", reason);
                } else if limits.ping_interval.is_some_and(|interval| now.since(self.since) >= interval) {
                    self.queue(shared, Opcode::Ping, b"");
                }
            }
            _ if !is_due(self.deadline(limits, now)) => {}
            State::Handshaking if self.inbox.is_some() => {
                self.reject(shared, now, &Ticket::unreadable(), Rejection::Timeout);
            }
            State::Deciding => {
                let ticket = self.take_ticket().unwrap_or(Ticket::unreadable());
                self.reject(shared, now, &ticket, Rejection::Unavailable);
            }
            State::Handshaking => self.end(shared, CloseReason::Timeout(Timeout::Handshake)),
            State::Closing => self.end(shared, CloseReason::Timeout(Timeout::Close)),
            State::Draining | State::Flushing => self.end(shared, CloseReason::Timeout(Timeout::Close)),
            State::Closed => {}
        }
    }

    // ---- bytes to the peer ---------------------------------------------------------------------

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], or [`SendError::Full`] if more than [`Limits::max_unsent`] bytes would wait.
    pub fn send(&mut self, shared: &mut Shared, message: Message<'_>) -> Result<(), SendError> {
        let payload = message.as_bytes();
        self.check_room(shared, payload.len())?;
        self.queue(shared, message.opcode(), payload);
        Ok(())
    }

    /// Queues a message that others get too.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&mut self, shared: &mut Shared, prepared: &Prepared<'_>) -> Result<(), SendError> {
        if self.role == Role::Client {
            return self.send(shared, prepared.message);
        }
        self.check_room(shared, prepared.message.as_bytes().len())?;
        let outbox = self.outbox.get_or_insert_with(|| shared.take_outbox());
        match &prepared.frame {
            Encoded::Small(frame) => outbox.append(|out| out.extend_from_slice(frame)),
            Encoded::Large(frame) => outbox.append_shared(frame),
        }
        Ok(())
    }

    /// Queues a ping (§5.5.2).
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], [`SendError::Full`], or [`SendError::TooLong`] for more than 125 bytes.
    pub fn ping(&mut self, shared: &mut Shared, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::TooLong);
        }
        self.check_room(shared, payload.len())?;
        self.queue(shared, Opcode::Ping, payload);
        Ok(())
    }

    fn check_room(&self, shared: &Shared, payload: usize) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::NotOpen);
        }
        if self.buffered_amount().saturating_add(payload) > shared.limits.max_unsent {
            return Err(SendError::Full);
        }
        Ok(())
    }

    fn queue_close(&mut self, shared: &mut Shared, code: CloseCode, reason: &str) {
        let mut body = [0; MAX_CONTROL_PAYLOAD];
        let body = close::encode_body(code, reason, &mut body);
        self.queue(shared, Opcode::Close, body);
    }

    /// Appends a whole frame to the outbox.
    #[inline]
    fn queue(&mut self, shared: &mut Shared, opcode: Opcode, payload: &[u8]) {
        let mut header = Header::unmasked(opcode, payload.len());
        if self.role == Role::Client {
            header.mask = Some(shared.masking_key());
        }
        let outbox = self.outbox.get_or_insert_with(|| shared.take_outbox());
        outbox.append(|out| {
            header.encode(out);
            let start = out.len();
            out.extend_from_slice(payload);
            if let Some(key) = header.mask {
                mask::apply(key, &mut out[start..]);
            }
        });
    }

    /// The bytes to write next: all of them where they lie together or fit into one write.
    #[inline]
    pub fn output<'a>(&'a self, shared: &'a mut Shared) -> &'a [u8] {
        match &self.outbox {
            Some(outbox) => outbox.next(&mut shared.joined),
            None => &[],
        }
    }

    /// `count` bytes of the [`output`](Self::output) have been taken by the peer; 0: it takes nothing now.
    #[inline]
    pub fn sent(&mut self, shared: &mut Shared, now: Tick, count: usize) {
        let Some(outbox) = &mut self.outbox else { return };
        outbox.advance(count);
        if outbox.is_empty() {
            if let Some(outbox) = self.outbox.take() {
                shared.give_outbox(outbox);
            }
        } else if count > 0 || outbox.stalled.is_none() {
            outbox.stalled = Some(now);
        }
        match self.state {
            State::Draining | State::Flushing if count > 0 => {
                self.since = now;
                if self.state == State::Flushing && self.outbox.is_none() {
                    self.end(shared, CloseReason::Eof);
                }
            }
            State::Handshaking | State::Deciding | State::Open | State::Closing => {}
            State::Draining | State::Flushing | State::Closed => {}
        }
    }
}

/// A message that is encoded once for many receivers.
#[derive(Debug)]
pub struct Prepared<'m> {
    message: Message<'m>,
    frame: Encoded,
}

#[derive(Debug)]
enum Encoded {
    /// Copied into each outbox.
    Small(Vec<u8>),
    /// Lies once in memory for all.
    Large(Rc<[u8]>),
}

impl<'m> Prepared<'m> {
    /// Encodes the frame.
    pub fn new(message: Message<'m>) -> Prepared<'m> {
        let payload = message.as_bytes();
        let mut frame = Vec::with_capacity(payload.len() + 10);
        Header::unmasked(message.opcode(), payload.len()).encode(&mut frame);
        frame.extend_from_slice(payload);
        let frame = if frame.len() < SHARE_FROM { Encoded::Small(frame) } else { Encoded::Large(frame.into()) };
        Prepared { message, frame }
    }
}
