//! Part I: RFC 6455 as pure state. Bytes and time go in, events and bytes come out.
//!
//! # The contract
//!
//! A [`Connection`] is one conversation. Whoever drives it
//!
//! 1. hands it what the peer sent: [`receive`](Connection::receive) until it returns `None`, each
//!    event handled before the next call (or, for speed, [`receive_run`](Connection::receive_run),
//!    and when there is none [`receive_other`](Connection::receive_other), until all is handled);
//!    [`receive_eof`](Connection::receive_eof) and [`end`](Connection::end) when the stream ends;
//! 2. carries away what it has to say: [`output`](Connection::output), then
//!    [`sent`](Connection::sent);
//! 3. tells it the time: [`handle_timeout`](Connection::handle_timeout) when the
//!    [`deadline`](Connection::deadline) has come;
//! 4. when it is [`Draining`](State::Draining) and has no output left, closes its half of the
//!    stream, and goes on receiving until the peer's end, so that no reset eats our Close frame;
//!    when it is [`Closed`](State::Closed), drops it.
//!
//! It does no I/O, reads no clock, allocates only for what is incomplete or unsent, and never
//! panics on what a peer sends. What all conversations of a loop have in common is in [`Shared`],
//! an argument of every call.
//!
//! # Reading order
//!
//! `frame` (one header) → `mask` → `utf8` → `message` (fragments become messages) → `close` →
//! `request` and `response` (the opening handshake) → `extension` (on what compression both sides
//! agree) → `deflate` → `compression` (who has a compressor) → `outbox` → `budget` (what do all
//! hold together?) → `connection` (the state machine, with its picture) → `error`. Beside the road:
//! `proxy` and `forwarded` (where is the client, when proxies stand in front of us?).

mod budget;
mod close;
mod compression;
mod connection;
mod counts;
#[cfg_attr(not(feature = "deflate"), path = "deflate_off.rs")]
mod deflate;
mod error;
mod extension;
pub mod forwarded;
mod frame;
mod input;
mod limits;
mod mask;
mod message;
mod opening;
mod outbox;
pub mod proxy;
mod request;
mod response;
mod shared;
pub mod time;
mod trace;
mod utf8;

pub use budget::{Mark, SharedBytes};
pub use connection::{Connection, Event, LONGEST_RUN, Prepared, ReadyState, Role, Run, State};
pub use counts::{Counts, Flow, Traffic};
pub use deflate::{Deflater, Inflater, NotSmaller, STEP};
pub use error::{CloseReason, ProtocolError, Rejection, SendError, Timeout};
pub use extension::{
    Agreed, ClientWindow, Deflate, MAX_WINDOW_BITS, MIN_WINDOW_BITS, Parameters, Takeover, judge_response,
};
pub use frame::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode};
pub use input::Input;
pub use limits::Limits;
pub use message::{Gathered, Message, Position};
pub use opening::{Opening, OpeningError, Unaccepted};
pub use outbox::JOINED;
pub use request::{MAX_HEADERS, Method, Request, Ticket};
pub use response::{Answer, Upgrade};
pub use shared::Shared;
pub use trace::{Side, Trace};
pub use utf8::InvalidUtf8;
