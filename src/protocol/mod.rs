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
//! # Rooms
//!
//! Each imports only from those above it.
//!
//! | room | question |
//! |---|---|
//! | [`time`] | what time is it for a conversation? |
//! | `limits` | what may one conversation cost, in bytes and in time? |
//! | `wire` | what lies on the wire? Frames, masks, text, close codes |
//! | `deflate` | how do messages travel compressed? (RFC 7692) |
//! | `opening` | how does a conversation begin? HTTP heads, for both roles |
//! | [`proxy`] | where is the client, when proxies stand in front of us? |
//! | `connection` | what happens in one conversation? The state machine, and what it needs |

mod connection;
mod deflate;
mod limits;
mod opening;
pub mod proxy;
pub mod time;
mod wire;

pub(crate) use connection::check_close;
pub use connection::{
    CloseReason, Connection, Counters, Event, Flow, Gathered, JOINED, LONGEST_RUN, Mark, Message, NotData, Position,
    Prepared, ReadyState, Run, SendError, Shared, SharedBytes, Side, State, Timeout, Trace, Traffic,
};
pub use deflate::{
    Agreed, ClientWindow, Deflate, Deflater, Inflater, MAX_WINDOW_BITS, MIN_WINDOW_BITS, NotSmaller, Parameters, STEP,
    Takeover, judge_response,
};
pub use limits::Limits;
pub use opening::{
    Answer, HttpResponse, MAX_HEADERS, Method, Opening, OpeningError, Rejection, Request, Ticket, Unaccepted, Upgrade,
};
pub use proxy::forwarded;
pub use wire::utf8::InvalidUtf8;
pub use wire::{Header, Input, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, ProtocolError, Role};
