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
//!
//! The edges are in this file; `receive` turns bytes into events, `send` messages into bytes, and
//! `deadlines` knows when something is due.

mod deadlines;
mod receive;
mod send;
mod state;

pub use send::Prepared;
pub use state::{ReadyState, Role, State};

use super::close;
use super::error::{CloseReason, ProtocolError, Rejection, SendError};
use super::frame::Opcode;
use super::message::{Inbox, Received};
use super::outbox::Outbox;
use super::request::Ticket;
use super::response::{Answer, encode_response, encode_upgrade, refusal};
use super::shared::Shared;
use super::time::Tick;
use std::borrow::Cow;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

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
}
