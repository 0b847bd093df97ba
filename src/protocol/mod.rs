//! RFC 6455 as pure state: bytes and time go in, events and bytes come out.
//!
//! # The driver's contract
//!
//! A [`Connection`] is one WebSocket connection. Its driver
//!
//! 1. **receives**: passes what the peer has sent to [`receive`](Connection::receive) until that
//!    returns `None`, and handles each event before the next call. When the stream ends, it calls
//!    [`receive_eof`](Connection::receive_eof) or [`end`](Connection::end).
//! 2. **sends output**: writes [`output`](Connection::output), and reports with
//!    [`sent`](Connection::sent) how much the peer has taken.
//! 3. **watches the time**: calls [`handle_timeout`](Connection::handle_timeout) when the
//!    [`deadline`](Connection::deadline) has come.
//!
//! When a [`Draining`](State::Draining) connection has no output left, the driver closes its half
//! of the stream. It goes on receiving until the peer's end, so that no reset discards our Close
//! frame. It drops a [`Closed`](State::Closed) connection.
//!
//! A connection does no I/O, reads no clock, allocates only for what is incomplete or unsent, and
//! never panics on what a peer sends. What all connections of a loop share is in [`Shared`], an
//! argument of every call.
//!
//! # Fast paths
//!
//! A driver may try a fast path first, and take the plain path if there is none. The result is the
//! same, which tests show.
//!
//! * [`receive`](Connection::receive): `receive_single`, if a read brings one short message;
//!   `receive_run` and `finish_run`, for several.
//! * [`send`](Connection::send) is fast by itself; `can_send_short` and `send_short` are its parts.
//! * [`output`](Connection::output) and [`sent`](Connection::sent): `simple_output` and
//!   `simple_output_sent`.
//!
//! They are in files named `fast.rs`, which `--cfg lariat_plain` leaves out.
//!
//! # Rooms
//!
//! Each imports only from those above it.
//!
//! | room | question |
//! |---|---|
//! | [`time`] | how is time counted? |
//! | `limits` | what may one connection cost, in bytes and in time? |
//! | `wire` | what is on the wire? Frames, masks, text, close codes |
//! | `deflate` | how are messages compressed? (RFC 7692) |
//! | `tls` | how are bytes encrypted and decrypted? With the feature `tls` alone |
//! | `opening` | how does a connection begin? HTTP heads, for both roles |
//! | [`proxy`] | which address has a client behind proxies? |
//! | `connection` | what happens in one connection? The state machine, and what it needs |
//! | `foreign` | how are messages and Close frames converted to tungstenite's? |

mod connection;
mod deflate;
#[cfg(feature = "tungstenite")]
mod foreign;
mod limits;
mod opening;
pub mod proxy;
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;
mod wire;

#[cfg(feature = "handover")]
pub(crate) use connection::byte_string;
#[cfg(feature = "handover")]
pub use connection::{Carried, CarriedReason, Malformed};
pub use connection::{
    CloseReason, Connection, Counters, Event, Flow, JOINED, Mark, Message, OwnedMessage, Position, Prepared,
    ReadyState, SendError, Shared, SharedBytes, Side, State, Timeout, Trace, Traffic, Undecided,
};
#[cfg(not(lariat_plain))]
pub use connection::{LONGEST_RUN, Run};
pub(crate) use connection::{Reserved, check_close, reserved_memory};
pub use deflate::{
    Agreed, ClientWindow, Deflate, Deflater, Inflater, MAX_WINDOW_BITS, MIN_WINDOW_BITS, NotSmaller, Parameters, STEP,
    Takeover, judge_response,
};
#[cfg(feature = "tungstenite")]
pub use foreign::NotData;
pub use limits::{Http, Limits};
pub use opening::{
    Answer, HttpBody, HttpResponse, MAX_COOKIES, MAX_ELEMENTS, MAX_HEADERS, Opening, OpeningError, OwnedRequest,
    Rejection, Request, Ticket, Unaccepted, Upgrade,
};
pub use proxy::forwarded;
pub use wire::{
    CloseCode, CloseFrame, Escaped, Header, Input, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, ProtocolError, Role,
};
