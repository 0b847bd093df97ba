//! The state machine of one connection: all its transitions.
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
//! A connection that answers several HTTP requests is Responding in between (`http`).
//!
//! Each edge is one method, and there is no other way from state to state. A [`Connection`]
//! never sees a socket or a clock. Its driver passes bytes ([`receive`](Connection::receive)) and
//! time to it, and sends its [`output`](Connection::output) to the peer.

use super::error::{CloseReason, SendError, Timeout};
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::rare::Rare;
use super::shared::Shared;
use super::trace::Trace;
use super::{Modes, State};
use crate::protocol::opening::{
    Answer, Opening, Rejection, Ticket, Unaccepted, encode_options, encode_refusal, encode_upgrade,
};
use crate::protocol::time::Tick;
use crate::protocol::wire::{CloseCode, Opcode, ProtocolError, Role, close};
use http::StatusCode;

/// One WebSocket connection. `X` is data of its driver, for the few connections that need any.
///
/// It takes 32 bytes. What an idle connection does not need lies in boxes that exist only while
/// they are needed.
#[derive(Debug)]
pub struct Connection<X = ()> {
    state: State,
    pub(super) modes: Modes,
    /// Open: the number of whole ping intervals, modulo 256, that the peer had been silent at our
    /// last ping.
    pub(super) pinged: u8,
    /// The start of the state's timeout. Handshaking and Deciding: the start of the connection.
    /// Open: the last byte received. Closing: our Close. Draining and Flushing: the last progress.
    pub(super) since: Tick,
    pub(super) outbox: Option<Box<Outbox>>,
    pub(super) inbox: Option<Box<Inbox>>,
    pub(super) rare: Option<Box<Rare<X>>>,
}

/// Bytes of memory that the notice to an evicted peer can take.
const EVICTION_NOTICE: usize = 1 << 10;

impl<X: Default> Connection<X> {
    /// Creates a connection whose stream has just been accepted or is being connected.
    pub fn new(role: Role, now: Tick) -> Connection<X> {
        Connection {
            state: State::Handshaking,
            modes: Modes::new(role),
            pinged: 0,
            since: now,
            outbox: None,
            inbox: None,
            rare: None,
        }
    }

    /// Creates a connection to a server, and queues its request for the time when the stream is
    /// connected.
    pub fn connect(shared: &mut Shared, now: Tick, opening: &Opening) -> Connection<X> {
        let mut connection = Connection::new(Role::Client, now);
        let key = shared.random.handshake_key();
        let deflate = shared.compression.offer(shared.ample_budget());
        let expected = opening.encode(&key, deflate, &mut shared.outbox(&mut connection.outbox).own());
        connection.rare().expected = Some(expected);
        connection
    }

    /// Delivers messages in pieces as they arrive, from the next message on. The limits of a
    /// message's size and fragments do not apply to them.
    pub fn receive_in_pieces(&mut self, on: bool) {
        self.modes.set_takes_pieces(on);
    }

    /// The state.
    #[inline]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Changes the state. Every state change goes through here.
    pub(super) fn enter(&mut self, shared: &mut Shared, to: State) {
        let from = std::mem::replace(&mut self.state, to);
        self.modes.set(Modes::NOT_OPEN, to != State::Open);
        shared.counters.moves(from, to);
        self.record(shared, || Trace::State { from, to });
    }

    /// Takes out the reason for the end, once the state is [`State::Closed`]. Returned once.
    pub fn take_close_reason(&mut self) -> Option<CloseReason> {
        self.rare.as_mut().and_then(|rare| rare.reason.take())
    }

    // ---- edges ---------------------------------------------------------------------------------

    /// Handshaking -> Deciding: the request is complete.
    pub(super) fn requested(&mut self, shared: &mut Shared) {
        self.enter(shared, State::Deciding);
    }

    /// Handshaking, Deciding -> Open.
    pub(super) fn open(&mut self, shared: &mut Shared, now: Tick) {
        if shared.limits.max_lifetime.is_some() {
            self.rare().opened = Some(now);
        }
        if let Some(rare) = &mut self.rare {
            rare.requests = 0;
        }
        self.since = now;
        self.enter(shared, State::Open);
    }

    /// Handshaking -> Open: another HTTP server has done the opening handshake.
    pub fn adopt(&mut self, shared: &mut Shared, now: Tick) {
        self.open(shared, now);
    }

    /// Handshaking -> Open, or Closed: the response of the server to which we connect has arrived.
    pub(super) fn receive_answer(&mut self, shared: &mut Shared, now: Tick, head: &[u8]) -> Option<Option<String>> {
        let judged = match &mut self.rare().expected {
            Some(expected) => match expected.judge(&shared.compression, head) {
                Err(refusal) if expected.skips(&refusal) => return None,
                judged => judged,
            },
            None => Err(Unaccepted::BadResponse("nothing was asked")),
        };
        self.rare().expected = None;
        match judged {
            Ok(accepted) => {
                self.agree(shared, accepted.agreed);
                self.open(shared, now);
                Some(accepted.subprotocol)
            }
            Err(why) => {
                self.end(shared, CloseReason::Unaccepted(why));
                None
            }
        }
    }

    /// Deciding -> Open, Draining or Responding. `Later` leaves it Deciding.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] that was sent instead, if the answer cannot be sent.
    pub fn answer(&mut self, shared: &mut Shared, now: Tick, ticket: Ticket, answer: Answer) -> Result<(), Rejection> {
        if self.state != State::Deciding {
            return Ok(());
        }
        match answer {
            // A question about the resource, by a health check for example.
            Answer::Upgrade(_) if ticket.is_options() => {
                encode_options(&mut shared.outbox(&mut self.outbox).own());
                self.record_handshake(shared);
                self.responded(shared, now, StatusCode::NO_CONTENT);
                Ok(())
            }
            Answer::Upgrade(upgrade) => {
                let deflate = shared.compression.respond(upgrade.deflate(&ticket), shared.ample_budget());
                let (response, agreed) = deflate.unzip();
                let mut outbox = shared.outbox(&mut self.outbox);
                let outcome = encode_upgrade(&ticket, &upgrade, response, &mut outbox.own());
                drop(outbox);
                self.record_handshake(shared);
                match outcome {
                    Ok(()) => {
                        self.agree(shared, agreed.unwrap_or_default());
                        self.open(shared, now);
                    }
                    Err(rejection) => self.reject(shared, now, &ticket, rejection),
                }
                outcome
            }
            Answer::Respond(response) if response.status().is_informational() => {
                // RFC 9110 §15.2: the client would wait for another response.
                let rejection = Rejection::BadAnswer("1xx is no final status");
                self.reject(shared, now, &ticket, rejection);
                Err(rejection)
            }
            Answer::Respond(response) => {
                self.respond(shared, now, &ticket, response);
                Ok(())
            }
            Answer::Later => {
                self.rare().ticket = Some(ticket);
                Ok(())
            }
        }
    }

    /// Takes out what is needed to answer a request that was answered with [`Answer::Later`].
    pub fn take_ticket(&mut self) -> Option<Ticket> {
        self.rare.as_mut().and_then(|rare| rare.ticket.take())
    }

    /// Handshaking, Deciding -> Draining: the request is refused.
    pub fn reject(&mut self, shared: &mut Shared, now: Tick, ticket: &Ticket, rejection: Rejection) {
        encode_refusal(ticket, rejection, &mut shared.outbox(&mut self.outbox).own());
        self.record_handshake(shared);
        self.rare().rejection = Some(rejection);
        self.responded(shared, now, rejection.status());
    }

    /// Takes out why the request was refused, for a report. Returned once.
    pub fn take_rejection(&mut self) -> Option<Rejection> {
        self.rare.as_mut().and_then(|rare| rare.rejection.take())
    }

    /// Handshaking, Deciding -> Draining: an HTTP response is queued, after which the connection
    /// closes.
    pub(super) fn responded(&mut self, shared: &mut Shared, now: Tick, status: StatusCode) {
        self.rare().response = self.buffered_amount();
        self.drain(shared, now, CloseReason::Refused(status));
    }

    /// Open -> Closing: the application closes.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`], [`SendError::InvalidCloseCode`], [`SendError::TooLong`] for a reason
    /// of more than 123 bytes.
    pub fn close(&mut self, shared: &mut Shared, now: Tick, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::NotOpen);
        }
        check_close(code, reason)?;
        self.queue_close(shared, code, reason);
        let frame = self.close_frame(code, reason);
        self.set_reason(CloseReason::Local(frame));
        self.since = now;
        self.enter(shared, State::Closing);
        Ok(())
    }

    /// Open -> Draining, with an echo; Closing -> Draining: the peer's Close has arrived (§5.5.1).
    pub(super) fn receive_close(
        &mut self,
        shared: &mut Shared,
        now: Tick,
        frame: Option<(CloseCode, &str)>,
        body: &[u8],
    ) {
        let ours = if self.state == State::Closing { self.take_close_reason() } else { None };
        if self.state != State::Closing {
            self.queue(shared, Opcode::Close, body);
        }
        let reason =
            ours.unwrap_or_else(|| CloseReason::Peer(frame.map(|(code, reason)| self.close_frame(code, reason))));
        self.drain(shared, now, reason);
    }

    /// Open, Closing -> Draining: "fail the WebSocket connection" (§7.1.7). Every violation by a
    /// peer ends here.
    #[cold]
    pub(super) fn fail(&mut self, shared: &mut Shared, now: Tick, error: ProtocolError) {
        self.record(shared, || Trace::Violation(error));
        let mut text = [0; close::MAX_REASON];
        let text = close::format_reason(&error, &mut text);
        self.close_and_drain(shared, now, error.close_code(), text, CloseReason::Protocol(error));
    }

    /// Open, Closing -> Draining: sends a Close frame, unless one has been sent, and does not wait
    /// for the peer's.
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

    /// -> Draining, or -> Closed: closes the connection to free its memory. The peer gets 503, or
    /// 1013 ("try again later"), unless a frame to it has been sent in part, or the notice would
    /// take as much memory as the connection holds.
    pub fn evict(&mut self, shared: &mut Shared, now: Tick, reason: CloseReason) {
        if matches!(self.state, State::Draining | State::Flushing | State::Responding) {
            // What it still has to say is as good as a notice, or is what takes the memory.
            return self.end(shared, reason);
        }
        let is_worth_it = self.holds() > EVICTION_NOTICE;
        if let Some(outbox) = self.outbox.take_if(|outbox| outbox.is_whole()) {
            shared.give_outbox(outbox);
        }
        let may_notify = self.outbox.is_none() && is_worth_it;
        match self.state {
            State::Handshaking | State::Deciding if may_notify && self.role() == Role::Server => {
                let ticket = self.take_ticket().unwrap_or(Ticket::unreadable());
                self.reject(shared, now, &ticket, Rejection::Unavailable);
            }
            State::Open if may_notify => {
                self.close_and_drain(shared, now, CloseCode::Again, "out of memory", reason);
            }
            State::Handshaking
            | State::Deciding
            | State::Open
            | State::Closing
            | State::Draining
            | State::Flushing
            | State::Responding
            | State::Closed => self.end(shared, reason),
        }
    }

    /// -> Draining.
    pub(super) fn drain(&mut self, shared: &mut Shared, now: Tick, reason: CloseReason) {
        if let Some(inbox) = self.inbox.take() {
            shared.give_inbox(inbox);
        }
        self.release_contexts(shared);
        self.set_reason(reason);
        self.since = now;
        self.enter(shared, State::Draining);
    }

    /// -> Draining: the layer below has failed, and has something left to tell the peer. What was
    /// unsent is dropped.
    pub fn break_off(&mut self, shared: &mut Shared, now: Tick, reason: CloseReason) {
        match self.state {
            State::Handshaking | State::Deciding | State::Open | State::Closing => {
                if let Some(outbox) = self.outbox.take() {
                    shared.give_outbox(outbox);
                }
                self.drain(shared, now, reason);
            }
            State::Draining | State::Flushing | State::Responding | State::Closed => self.end(shared, reason),
        }
    }

    /// -> Flushing if there are unsent bytes, else -> Closed: the peer has sent FIN.
    pub fn receive_eof(&mut self, shared: &mut Shared, now: Tick) {
        match self.state {
            State::Open | State::Closing | State::Draining if self.buffered_amount() > 0 => {
                if self.state != State::Draining {
                    self.drain(shared, now, CloseReason::Eof);
                }
                self.enter(shared, State::Flushing);
            }
            State::Flushing | State::Closed => {}
            State::Responding if !self.is_streaming() => self.send_last_response(shared, now),
            State::Handshaking
            | State::Deciding
            | State::Open
            | State::Closing
            | State::Draining
            | State::Responding => {
                self.end(shared, CloseReason::Eof);
            }
        }
    }

    /// -> Closed at once: the stream is broken, or the connection must not cost anything any more.
    /// If it was Draining already, the earlier reason stays, unless a response was not sent whole.
    pub fn end(&mut self, shared: &mut Shared, reason: CloseReason) {
        match self.state {
            State::Draining | State::Flushing => self.note_cut_off(reason),
            State::Responding => self.note_broken_off(reason),
            State::Closed => {}
            State::Handshaking | State::Deciding | State::Open | State::Closing => self.set_reason(reason),
        }
        self.enter(shared, State::Closed);
        self.release_contexts(shared);
        if let Some(inbox) = self.inbox.take() {
            shared.give_inbox(inbox);
        }
        if let Some(outbox) = self.outbox.take() {
            shared.give_outbox(outbox);
        }
    }

    /// The connection ends for this reason before its response has ended.
    fn note_broken_off(&mut self, reason: CloseReason) {
        let is_streaming = self.is_streaming();
        let rare = self.rare();
        let status = rare.responding.as_ref().map(|responding| responding.status);
        match status.filter(|_| !is_streaming) {
            Some(status) => {
                rare.reason = Some(CloseReason::Refused(status));
                self.note_cut_off(reason);
            }
            None => rare.reason = Some(reason),
        }
    }

    /// The connection ends for this reason. If bytes of an HTTP response are unsent, it is cut off.
    fn note_cut_off(&mut self, reason: CloseReason) {
        let unsent = self.buffered_amount();
        let Some(rare) = self.rare.as_mut().filter(|_| unsent > 0) else { return };
        if let Some(CloseReason::Refused(status)) = rare.reason {
            let why = match reason {
                CloseReason::Timeout(_) => CloseReason::Timeout(Timeout::Write),
                reason => reason,
            };
            let (sent, total) = (rare.response.saturating_sub(unsent), rare.response);
            rare.reason = Some(CloseReason::CutOff { status, sent, total, why: Box::new(why) });
        }
    }
}

/// Checks the contents of a Close frame that is to be sent.
///
/// # Errors
///
/// [`SendError::InvalidCloseCode`], or [`SendError::TooLong`] for a reason of more than 123 bytes.
pub(crate) fn check_close(code: CloseCode, reason: &str) -> Result<(), SendError> {
    if !code.is_allowed() {
        return Err(SendError::InvalidCloseCode);
    }
    if reason.len() > close::MAX_REASON {
        return Err(SendError::TooLong);
    }
    Ok(())
}
