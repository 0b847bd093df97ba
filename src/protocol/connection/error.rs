//! Who erred, and what is the answer?
//!
//! | type | who | what follows |
//! |---|---|---|
//! | [`Rejection`] | the peer, in its opening handshake | an HTTP response with a 4xx status |
//! | [`ProtocolError`] | the peer, in an open conversation | Close with the error's code (§7.1.7) |
//! | [`SendError`] | the application | nothing has changed, unless it says so |
//! | [`CloseReason`] | | what `on_close` is told |

use crate::protocol::opening::{Rejection, Unaccepted};
use crate::protocol::wire::ProtocolError;
use http::StatusCode;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// A message, ping, Close or answer was not accepted. Nothing has changed, unless a variant says
/// so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody has this id, or not any more.
    Gone,
    /// The opening handshake has not ended, or the closing handshake has begun.
    NotOpen,
    /// A message is being sent in pieces; another one cannot begin inside it (RFC 6455 §5.4). Or a
    /// piece that goes on has come without one that begins.
    Unfinished,
    /// More bytes would wait for this client than [`max_unsent`](crate::Limits::max_unsent) allows.
    Full,
    /// Many bytes wait for this client, and messages for it are dropped meanwhile
    /// ([`SlowConsumer::DropNewest`](crate::SlowConsumer::DropNewest)).
    Dropped,
    /// A control frame's payload of more than 125 bytes, or a close reason of more than 123 (RFC
    /// 6455 §5.5).
    TooLong,
    /// A close code that must not travel (RFC 6455 §7.4).
    InvalidCloseCode,
    /// The answer to a request cannot be sent. The client got the response of this [`Rejection`]
    /// instead, and the connection closes.
    BadAnswer(Rejection),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::BadAnswer(rejection) => {
                return write!(f, "the answer cannot be sent ({rejection}): the client got {}", rejection.status());
            }
            SendError::Gone => "the client has gone",
            SendError::NotOpen => "the connection is not open",
            SendError::Unfinished => "a message is under way in pieces, or none is",
            SendError::Dropped => "dropped: the client does not read fast enough",
            SendError::Full => "too many unsent bytes wait for this client",
            SendError::TooLong => "a control frame carries at most 125 bytes",
            SendError::InvalidCloseCode => "this close code must not travel",
        })
    }
}

impl std::error::Error for SendError {}

/// Which deadline ended a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// The opening handshake took too long.
    Handshake,
    /// Not a byte came for too long, not even in answer to pings.
    Idle,
    /// A message began and did not end.
    Message,
    /// The peer took nothing of what waited for it.
    Write,
    /// The peer did not answer our Close.
    Close,
    /// It was not read for too long, because it held much and the memory budget was nearly used up;
    /// the peer was sent 1013 unless a frame was under way to it.
    Pause,
}

/// Who ended a conversation, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent a Close frame and was answered; `None`: it had no code (1005).
    Peer(Option<CloseFrame>),
    /// The application closed, with this frame, and the peer answered.
    Local(CloseFrame),
    /// The peer broke a rule; it was sent a Close frame with the error's code.
    Protocol(ProtocolError),
    /// A deadline passed.
    Timeout(Timeout),
    /// The peer's TCP stream ended without a Close frame.
    Eof,
    /// The connection broke.
    Io(io::ErrorKind),
    /// The server to which we wanted to connect could not be reached.
    Unreachable {
        /// The address that was tried last, of those that its name has.
        address: SocketAddr,
        /// Why: [`TimedOut`](io::ErrorKind::TimedOut) if nothing had come of it within
        /// [`handshake_timeout`](crate::Limits::handshake_timeout).
        kind: io::ErrorKind,
    },
    /// The client did not read, and what waits for it reached its limit.
    SlowConsumer,
    /// The server's [`memory_budget`](crate::Config::memory_budget) was used up, and this client
    /// held most; the peer was sent 1013 unless a frame was under way to it.
    Evicted,
    /// The client sent more than [`Rates`](crate::Rates) allow; the peer was sent 1008.
    TooFast,
    /// The handler panicked; the peer was sent 1011.
    HandlerPanicked,
    /// The opening handshake did not lead to a conversation: we answered it with this HTTP status.
    Refused(StatusCode),
    /// The server to which we connected did not accept.
    Unaccepted(Unaccepted),
    /// On a listener with the PROXY protocol: no such header, or not from a trusted proxy.
    BadProxyHeader,
    /// The name of the server to which we wanted to connect has no address.
    NameNotFound,
    /// The connection had lasted as long as it may; the peer was sent 1001.
    Lifetime,
}

impl CloseReason {
    /// The code that a browser's `CloseEvent` would show: the one that travelled, 1005 for a Close
    /// without a code, 1006 where there was no closing handshake.
    pub fn code(&self) -> CloseCode {
        match self {
            CloseReason::Peer(Some(frame)) | CloseReason::Local(frame) => frame.code,
            CloseReason::Peer(None) => CloseCode::Status,
            CloseReason::Protocol(error) => error.close_code(),
            CloseReason::HandlerPanicked => CloseCode::Error,
            CloseReason::Evicted | CloseReason::Timeout(Timeout::Pause) => CloseCode::Again,
            CloseReason::TooFast => CloseCode::Policy,
            CloseReason::Timeout(_)
            | CloseReason::Eof
            | CloseReason::Io(_)
            | CloseReason::Unreachable { .. }
            | CloseReason::SlowConsumer
            | CloseReason::Refused(_)
            | CloseReason::Unaccepted(_)
            | CloseReason::BadProxyHeader
            | CloseReason::NameNotFound => CloseCode::Abnormal,
            CloseReason::Lifetime => CloseCode::Away,
        }
    }

    /// Whether both sides sent a Close frame (§7.1.4).
    pub const fn was_clean(&self) -> bool {
        matches!(self, CloseReason::Peer(_) | CloseReason::Local(_))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Peer(Some(frame)) => write!(f, "closed by the peer: {} {}", frame.code, frame.reason),
            CloseReason::Peer(None) => f.write_str("closed by the peer"),
            CloseReason::Local(frame) => write!(f, "closed by us: {} {}", frame.code, frame.reason),
            CloseReason::Protocol(error) => write!(f, "failed: {error}"),
            CloseReason::Timeout(Timeout::Handshake) => f.write_str("the opening handshake took too long"),
            CloseReason::Timeout(Timeout::Idle) => f.write_str("silent for too long"),
            CloseReason::Timeout(Timeout::Message) => f.write_str("a message did not end in time"),
            CloseReason::Timeout(Timeout::Write) => f.write_str("the peer did not read"),
            CloseReason::Timeout(Timeout::Close) => f.write_str("the peer did not answer our Close"),
            CloseReason::Timeout(Timeout::Pause) => f.write_str("the memory that it needed did not become free"),
            CloseReason::Eof => f.write_str("the peer hung up without a Close frame"),
            CloseReason::Io(kind) => write!(f, "the connection broke: {kind}"),
            CloseReason::Unreachable { address, kind } => write!(f, "cannot connect to {address}: {kind}"),
            CloseReason::SlowConsumer => f.write_str("too many unsent bytes"),
            CloseReason::Evicted => f.write_str("the memory that it held was needed"),
            CloseReason::TooFast => f.write_str("it sent too much"),
            CloseReason::HandlerPanicked => f.write_str("the handler panicked"),
            CloseReason::Refused(status) => write!(f, "answered with {status}"),
            CloseReason::Unaccepted(why) => write!(f, "{why}"),
            CloseReason::BadProxyHeader => f.write_str("no PROXY header of a trusted proxy"),
            CloseReason::NameNotFound => f.write_str("the server's name has no address"),
            CloseReason::Lifetime => f.write_str("the connection had lasted as long as it may"),
        }
    }
}
