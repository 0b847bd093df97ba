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
//! Each edge is one method here, and there is no other way from state to state. A [`Connection`]
//! never sees a socket or a clock: its driver hands it bytes ([`receive`](Connection::receive)) and
//! time, and carries its [`output`](Connection::output) to the peer.
//!
//! The edges are in this file; `receive` turns bytes into events, `run` does so for many short
//! messages at a time, `send` messages into bytes, and `deadlines` knows when something is due.

mod budget;
mod compress;
mod counts;
mod deadlines;
mod error;
mod inbox;
mod message;
mod outbox;
mod prepared;
mod receive;
mod run;
mod send;
mod shared;
mod state;
mod trace;

pub use budget::{Mark, SharedBytes};
pub use counts::{Counts, Flow, Traffic};
pub use error::{CloseReason, SendError, Timeout};
pub use message::{Gathered, Message, Position};
pub use outbox::JOINED;
pub use prepared::Prepared;
pub use run::{LONGEST_RUN, Run};
pub use shared::Shared;
pub use state::{ReadyState, State};
pub use trace::{Side, Trace};

use crate::protocol::deflate::{Agreed, Contexts};
use crate::protocol::opening::{
    Answer, Expected, Opening, Rejection, Ticket, Unaccepted, encode_response, encode_upgrade, refusal,
};
use crate::protocol::time::Tick;
use crate::protocol::wire::{Opcode, ProtocolError, Role, close};
use inbox::Inbox;
use outbox::Outbox;
use std::borrow::Cow;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// What the driver has to tell the application.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A request head is complete: to be parsed and answered with [`Connection::answer`].
    Request(Cow<'b, [u8]>),
    /// The server to which we connected has accepted, and perhaps chosen a subprotocol.
    Opened(Option<String>),
    /// A message that lies whole in the bytes that were given.
    Message(Message<'b>),
    /// A message that has been put together, or decompressed; to be given back with
    /// [`Shared::recycle`].
    Gathered(Gathered),
    /// A piece of a message, if [`Connection::receive_in_pieces`] asked for them; to be given back
    /// as well.
    Piece(Gathered, Position),
    /// A ping; its pong is queued already.
    Ping(Cow<'b, [u8]>),
    /// A pong.
    Pong(Cow<'b, [u8]>),
}

/// One conversation. `X` is what its driver wants to remember of the few that need it.
///
/// 32 bytes: what an idle conversation does not need lies in boxes that exist only while they are
/// needed.
#[derive(Debug)]
pub struct Connection<X = ()> {
    state: State,
    modes: Modes,
    /// Open: how many whole ping intervals the peer had been silent at our last ping, modulo 256.
    pinged: u8,
    /// From when the state's timeout counts: Handshaking and Deciding: the start; Open: the last
    /// byte heard; Closing: our Close; Draining and Flushing: the last progress.
    since: Tick,
    outbox: Option<Box<Outbox>>,
    inbox: Option<Box<Inbox>>,
    rare: Option<Box<Rare<X>>>,
}

/// Bytes of memory that a last word to a peer can take.
const FAREWELL: usize = 1 << 10;

/// What few conversations need, or only for a while.
#[derive(Debug, Default)]
struct Rare<X> {
    reason: Option<CloseReason>,
    ticket: Option<Ticket>,
    /// What a server to which we connect must answer.
    expected: Option<Expected>,
    /// When it opened, if it may last only so long.
    opened: Option<Tick>,
    /// What its traces are labelled with.
    label: u64,
    /// What has been agreed on with the peer, if it is not the usual.
    agreed: Option<Agreed>,
    /// What it needs to compress, if messages refer to earlier ones.
    contexts: Option<Box<Contexts>>,
    extra: X,
}

impl<X> Rare<X> {
    /// Whether anything but the label and what the driver remembers is there.
    const fn is_needed(&self) -> bool {
        self.reason.is_some()
            || self.ticket.is_some()
            || self.expected.is_some()
            || self.opened.is_some()
            || self.agreed.is_some()
            || self.contexts.is_some()
    }
}

/// What is unusual about a conversation: one bit each.
#[derive(Clone, Copy, Debug)]
struct Modes(u8);

impl Modes {
    /// Its story is recorded.
    const TRACED: Modes = Modes(1);
    /// Messages are handed out as they arrive.
    const PIECES: Modes = Modes(1 << 1);
    /// Messages are not just handed out whole.
    const WATCHED: Modes = Modes(Modes::TRACED.0 | Modes::PIECES.0);
    /// We are sending a message in pieces.
    const SENDING: Modes = Modes(1 << 2);
    /// Messages may travel compressed: each by itself and in the largest window, unless it is
    /// agreed otherwise.
    const COMPRESSED: Modes = Modes(1 << 3);
    /// We are the client: our frames are masked.
    const CLIENT: Modes = Modes(1 << 4);
    /// It is not open: no messages can be sent, and none are handed out.
    const SHUT: Modes = Modes(1 << 5);

    /// More is to be done with a short message that arrives than to unmask it and to hand it out.
    const RECEIVES_UNUSUALLY: Modes = Modes(Modes::WATCHED.0 | Modes::CLIENT.0 | Modes::SHUT.0);
    /// More is to be done with a short message that is sent than to queue it with its header, or it
    /// cannot be; a long enough one may be compressed, too.
    const SENDS_UNUSUALLY: Modes = Modes(Modes::TRACED.0 | Modes::SENDING.0 | Modes::CLIENT.0 | Modes::SHUT.0);

    const fn has(self, mode: Modes) -> bool {
        self.0 & mode.0 != 0
    }

    const fn set(&mut self, mode: Modes, on: bool) {
        if on {
            self.0 |= mode.0;
        } else {
            self.0 &= !mode.0;
        }
    }
}

impl<X: Default> Connection<X> {
    /// A conversation that begins now.
    pub const fn new(role: Role, now: Tick) -> Connection<X> {
        Connection {
            state: State::Handshaking,
            modes: match role {
                Role::Server => Modes::SHUT,
                Role::Client => Modes(Modes::SHUT.0 | Modes::CLIENT.0),
            },
            pinged: 0,
            since: now,
            outbox: None,
            inbox: None,
            rare: None,
        }
    }

    /// A conversation that we begin: its request is queued, to be written when the stream is
    /// connected.
    pub fn connect(shared: &mut Shared, now: Tick, opening: &Opening) -> Connection<X> {
        let mut connection = Connection::new(Role::Client, now);
        let mut outbox = shared.take_outbox();
        let (key, rare) = (shared.handshake_key(), connection.rare());
        let deflate = shared.compression.offer(shared.ample_budget());
        rare.expected = Some(opening.encode(&key, deflate, outbox.own()));
        shared.count_outbox(&mut outbox);
        connection.outbox = Some(outbox);
        connection
    }

    /// Which side we are.
    pub const fn role(&self) -> Role {
        if self.modes.has(Modes::CLIENT) { Role::Client } else { Role::Server }
    }

    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// From when its state's timeout counts: while it is open, when the last byte was heard.
    pub const fn since(&self) -> Tick {
        self.since
    }

    /// Bytes that wait to be written to the peer.
    pub fn buffered_amount(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Bytes of buffers that this conversation holds now; none when it is idle.
    pub fn memory(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory()) + self.outbox.as_ref().map_or(0, |outbox| outbox.memory())
    }

    /// Whether a message is being sent in pieces, so that no other can be.
    pub const fn is_sending_pieces(&self) -> bool {
        self.modes.has(Modes::SENDING)
    }

    /// Frames that wait here and that others may have too.
    pub fn shared_frames(&self) -> impl Iterator<Item = &SharedBytes> {
        self.outbox.iter().flat_map(|outbox| outbox.shared_frames())
    }

    /// Bytes that are set aside for its contexts.
    pub fn context_bytes(&self) -> usize {
        let contexts = self.rare.as_ref().and_then(|rare| rare.contexts.as_ref());
        contexts.map_or(0, |contexts| contexts.bytes())
    }

    /// Whether something has begun to arrive and is not complete.
    pub fn is_receiving(&self) -> bool {
        self.inbox.is_some()
    }

    /// Bytes of a frame that are still to come, if one has begun to arrive.
    pub fn missing(&self) -> usize {
        let frame = self.inbox.as_ref().and_then(|inbox| inbox.frame.as_ref());
        frame.map_or(0, |frame| usize::try_from(frame.remaining).unwrap_or(usize::MAX))
    }

    /// Bytes that others could have if this conversation ended now.
    pub fn holds(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.memory())
            + self.outbox.as_ref().map_or(0, |outbox| outbox.holds())
            + self.context_bytes()
    }

    /// Bytes that it takes beyond [`memory`](Self::memory) because there is something unusual about
    /// it, what that holds itself not counted; 0 for most.
    pub fn rare_memory(&self) -> usize {
        self.rare.as_ref().map_or(0, |_| size_of::<Rare<X>>())
    }

    /// Why it ended, once the state is [`State::Closed`]. Given once.
    pub fn take_close_reason(&mut self) -> Option<CloseReason> {
        self.rare.as_mut().and_then(|rare| rare.reason.take())
    }

    /// What the driver remembers of this conversation, if anything.
    pub fn extra(&self) -> Option<&X> {
        self.rare.as_ref().map(|rare| &rare.extra)
    }

    /// What the driver remembers of this conversation, to be changed, if anything.
    pub fn extra_if_any(&mut self) -> Option<&mut X> {
        self.rare.as_mut().map(|rare| &mut rare.extra)
    }

    /// What the driver remembers of this conversation; allocated when it is not there.
    pub fn extra_mut(&mut self) -> &mut X {
        &mut self.rare().extra
    }

    /// Frees what [`extra_mut`](Self::extra_mut) has allocated, unless some of it is needed.
    pub fn release_extra(&mut self, is_needed: impl FnOnce(&X) -> bool) {
        let is_traced = self.modes.has(Modes::TRACED);
        self.rare.take_if(|rare| !is_traced && !rare.is_needed() && !is_needed(&rare.extra));
    }

    /// Messages are handed out as they arrive, from the next one on; the limit of a message's size
    /// does not apply to them, nor that of its fragments.
    pub fn receive_in_pieces(&mut self, on: bool) {
        self.modes.set(Modes::PIECES, on);
    }

    /// Records what happens from now on under this label in [`Shared`], or stops to.
    pub fn trace(&mut self, label: Option<u64>) {
        self.modes.set(Modes::TRACED, label.is_some());
        if let Some(label) = label {
            self.rare().label = label;
        }
    }

    /// Whether what happens is recorded.
    pub const fn is_traced(&self) -> bool {
        self.modes.has(Modes::TRACED)
    }

    /// Records the request head, for those who begin to trace when they have read it.
    pub fn record_request(&self, shared: &mut Shared, head: &[u8]) {
        self.record(shared, || Trace::Handshake { side: Side::Peer, text: head.to_vec() });
    }

    /// Records a step, if this conversation is traced.
    #[inline(always)]
    fn record(&self, shared: &mut Shared, trace: impl FnOnce() -> Trace) {
        if self.modes.has(Modes::TRACED) {
            self.record_now(shared, trace());
        }
    }

    #[cold]
    fn record_now(&self, shared: &mut Shared, trace: Trace) {
        let label = self.rare.as_ref().map_or(0, |rare| rare.label);
        shared.traces.push((label, trace));
    }

    /// Every state change goes through here.
    fn enter(&mut self, shared: &mut Shared, to: State) {
        let from = std::mem::replace(&mut self.state, to);
        self.modes.set(Modes::SHUT, to != State::Open);
        shared.counts.moves(from, to);
        self.record(shared, || Trace::State { from, to });
    }

    fn rare(&mut self) -> &mut Rare<X> {
        self.rare.get_or_insert_default()
    }

    // ---- edges ---------------------------------------------------------------------------------

    /// Handshaking -> Deciding: the request is complete.
    fn requested(&mut self, shared: &mut Shared) {
        self.enter(shared, State::Deciding);
    }

    /// Handshaking, Deciding -> Open.
    fn open(&mut self, shared: &mut Shared, now: Tick) {
        if shared.limits.max_lifetime.is_some() {
            self.rare().opened = Some(now);
        }
        self.since = now;
        self.enter(shared, State::Open);
    }

    /// Handshaking -> Open, or Closed: the answer of a server to which we connect.
    fn receive_answer(&mut self, shared: &mut Shared, now: Tick, head: &[u8]) -> Option<Option<String>> {
        let expected = self.rare().expected.take();
        let judged = match expected {
            Some(expected) => expected.judge(&shared.compression, head),
            None => Err(Unaccepted::BadResponse("nothing was asked")),
        };
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
                let deflate = shared.compression.respond(upgrade.deflate(&ticket), shared.ample_budget());
                let (response, agreed) = deflate.unzip();
                let outcome = encode_upgrade(&ticket, &upgrade, response, outbox.own());
                self.record(shared, || outbox.to_trace());
                shared.count_outbox(&mut outbox);
                self.outbox = Some(outbox);
                match outcome {
                    Ok(()) => {
                        self.agree(shared, agreed.unwrap_or_default());
                        self.open(shared, now);
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
        encode_response(ticket.method, response, outbox.own());
        self.record(shared, || outbox.to_trace());
        shared.count_outbox(&mut outbox);
        self.outbox = Some(outbox);
        self.drain(shared, now, CloseReason::Refused(response.status()));
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
        if !close::may_travel(&code) {
            return Err(SendError::InvalidCloseCode);
        }
        if reason.len() > close::MAX_REASON {
            return Err(SendError::TooLong);
        }
        self.queue_close(shared, code, reason);
        self.rare().reason = Some(CloseReason::Local(CloseFrame { code, reason: reason.into() }));
        self.since = now;
        self.enter(shared, State::Closing);
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

    /// Open, Closing -> Draining: "fail the WebSocket connection" (§7.1.7). The only road for a
    /// peer's violation.
    #[cold]
    fn fail(&mut self, shared: &mut Shared, now: Tick, error: ProtocolError) {
        self.record(shared, || Trace::Violation(error));
        self.close_and_drain(shared, now, error.close_code(), &error.to_string(), CloseReason::Protocol(error));
    }

    /// Open, Closing -> Draining: a Close frame, unless one has been sent, and no wait for the
    /// peer's.
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

    /// -> Draining, or -> Closed: what it holds is needed by others. The peer is told (503, or
    /// 1013: "try again later"), unless a frame that it has not taken is under way, or to tell
    /// it would take as much as it holds.
    pub fn evict(&mut self, shared: &mut Shared, now: Tick, reason: CloseReason) {
        let is_worth_it = self.holds() > FAREWELL;
        if let Some(outbox) = self.outbox.take_if(|outbox| outbox.is_whole()) {
            shared.give_outbox(outbox);
        }
        let may_tell = self.outbox.is_none() && is_worth_it;
        match self.state {
            State::Handshaking | State::Deciding if may_tell && self.role() == Role::Server => {
                let ticket = self.take_ticket().unwrap_or(Ticket::unreadable());
                self.reject(shared, now, &ticket, Rejection::Unavailable);
            }
            State::Open if may_tell => {
                self.close_and_drain(shared, now, CloseCode::Again, "out of memory", reason);
            }
            State::Handshaking
            | State::Deciding
            | State::Open
            | State::Closing
            | State::Draining
            | State::Flushing
            | State::Closed => self.end(shared, reason),
        }
    }

    /// -> Draining.
    fn drain(&mut self, shared: &mut Shared, now: Tick, reason: CloseReason) {
        if let Some(inbox) = self.inbox.take() {
            shared.give_inbox(inbox);
        }
        self.release_contexts(shared);
        self.rare().reason = Some(reason);
        self.since = now;
        self.enter(shared, State::Draining);
    }

    /// -> Flushing if bytes of ours are unsent, else -> Closed: the peer has sent FIN.
    pub fn receive_eof(&mut self, shared: &mut Shared, now: Tick) {
        match self.state {
            State::Open | State::Closing | State::Draining if self.buffered_amount() > 0 => {
                if self.state != State::Draining {
                    self.drain(shared, now, CloseReason::Eof);
                }
                self.enter(shared, State::Flushing);
            }
            State::Flushing | State::Closed => {}
            State::Handshaking | State::Deciding | State::Open | State::Closing | State::Draining => {
                self.end(shared, CloseReason::Eof);
            }
        }
    }

    /// -> Closed, at once: the connection broke, or must not cost anything any more. Once Draining,
    /// the reason for that stays.
    pub fn end(&mut self, shared: &mut Shared, reason: CloseReason) {
        let known = matches!(self.state, State::Draining | State::Flushing | State::Closed);
        if !known {
            self.rare().reason = Some(reason);
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
}
