//! Errors of the application, and the reasons why connections end.
//!
//! | type | who made the error | consequence |
//! |---|---|---|
//! | [`Rejection`] | the peer, in its opening handshake | an HTTP response with a 4xx status |
//! | [`ProtocolError`] | the peer, in an open connection | Close with the error's code (§7.1.7) |
//! | [`SendError`] | the application | nothing has changed, unless a variant says so |
//! | [`CloseReason`] | | the argument of `on_close` |

use crate::protocol::opening::{Rejection, Unaccepted};
use crate::protocol::wire::{CloseCode, CloseFrame, Escaped, ProtocolError};
use http::StatusCode;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// A message, ping, Close or answer was not accepted. Nothing has changed, unless a variant says
/// so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// No client has this id, or it has disconnected.
    Gone,
    /// The opening handshake has not ended, or the closing handshake has begun.
    NotOpen,
    /// Another message is being sent in pieces (RFC 6455 §5.4). Or the piece continues a message,
    /// but none has begun.
    Unfinished,
    /// There would be more unsent bytes than [`max_unsent`](crate::Limits::max_unsent) allows.
    Full,
    /// The client has many unsent bytes, and its messages are dropped until it has read them
    /// ([`SlowConsumer::DropNewest`](crate::SlowConsumer::DropNewest)).
    Dropped,
    /// A control frame's payload of more than 125 bytes, or a close reason of more than 123 (RFC
    /// 6455 §5.5).
    TooLong,
    /// A close code that must not be sent (RFC 6455 §7.4).
    InvalidCloseCode,
    /// The answer to a request cannot be sent. The client gets the response of this [`Rejection`]
    /// instead, and the connection closes.
    BadAnswer(Rejection),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::BadAnswer(rejection) => {
                return write!(f, "the answer cannot be sent ({rejection}): the client got {}", rejection.status());
            }
            SendError::Gone => "the client has disconnected",
            SendError::NotOpen => {
                "the connection is not open, or no response is being streamed: send between on_open and the close"
            }
            SendError::Unfinished => {
                "a message in pieces is not finished: send its last piece first; or none has begun"
            }
            SendError::Dropped => "dropped: the client does not read fast enough; send again after on_drain",
            SendError::Full => {
                "more bytes would be unsent than Limits::max_unsent allows: send less, or wait for on_drain"
            }
            SendError::TooLong => "too long: at most 125 bytes in a ping, 123 in a close reason",
            SendError::InvalidCloseCode => {
                "this close code must not be sent: use 1000 to 1003, 1007 to 1014 or 3000 to 4999"
            }
        })
    }
}

impl std::error::Error for SendError {}

/// The deadline that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// The opening handshake took too long.
    Handshake,
    /// The peer was silent for too long, and did not answer pings.
    Idle,
    /// A message began, but was not completed in time.
    Message,
    /// The peer did not read.
    Write,
    /// The peer did not answer our Close.
    Close,
    /// The connection was paused for too long, because it held much memory and little of the memory
    /// budget was left. The peer was sent 1013, unless a frame to it had been sent in part.
    Pause,
}

/// Why a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed with this frame, and was answered. It is `None` if the frame had no code
    /// (1005).
    Peer(Option<CloseFrame>),
    /// The application closed, with this frame, and the peer answered.
    Local(CloseFrame),
    /// The application has terminated the connection, without a Close frame.
    Terminated,
    /// The peer broke a rule. It was sent a Close frame with the error's code.
    Protocol(ProtocolError),
    /// A deadline passed.
    Timeout(Timeout),
    /// The peer's TCP stream ended without a Close frame.
    Eof,
    /// The connection broke.
    Io(io::ErrorKind),
    /// The server to which we wanted to connect could not be reached.
    Unreachable {
        /// The last address that was tried.
        address: SocketAddr,
        /// The error. [`TimedOut`](io::ErrorKind::TimedOut) if there was no result within
        /// [`handshake_timeout`](crate::Limits::handshake_timeout).
        kind: io::ErrorKind,
    },
    /// The client read too slowly, and its unsent bytes reached their limit.
    SlowConsumer,
    /// The server reached its [`memory_budget`](crate::Config::memory_budget), and this client held
    /// most. It was sent 1013, unless a frame to it had been sent in part.
    Evicted,
    /// The client sent more than the [`Rates`](crate::Rates) allow. It was sent 1008.
    TooFast,
    /// The handler panicked. The client was sent 1011.
    HandlerPanicked,
    /// The request was answered with this HTTP status, and no connection was opened.
    Refused(StatusCode),
    /// The request was answered, but the connection ended before the whole response was sent. The
    /// peer was sent a reset, so that it does not take the beginning for the whole.
    CutOff {
        /// The status of the response.
        status: StatusCode,
        /// Bytes that were sent, the head included.
        sent: usize,
        /// Bytes of the whole response, the head included.
        total: usize,
        /// What ended the connection.
        why: Box<CloseReason>,
    },
    /// The server to which we connected did not accept.
    Unaccepted(Unaccepted),
    /// The listener expects the PROXY protocol, but there was no header from a trusted proxy.
    BadProxyHeader,
    /// The name of the server to which we wanted to connect has no address.
    NameNotFound,
    /// The connection reached its maximum lifetime. The client was sent 1001.
    Lifetime,
    /// This process has taken over from another one, in which the connection stays until it ends.
    #[cfg(feature = "handover")]
    LeftBehind,
    /// TLS has failed.
    #[cfg(feature = "tls")]
    Tls(crate::protocol::tls::TlsError),
}

impl CloseReason {
    /// Returns the code that a browser's `CloseEvent` would show: the one that was sent, 1005 for a
    /// Close without a code, 1006 if there was no closing handshake.
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
            | CloseReason::Terminated
            | CloseReason::Unreachable { .. }
            | CloseReason::SlowConsumer
            | CloseReason::Refused(_)
            | CloseReason::CutOff { .. }
            | CloseReason::Unaccepted(_)
            | CloseReason::BadProxyHeader
            | CloseReason::NameNotFound => CloseCode::Abnormal,
            CloseReason::Lifetime => CloseCode::Away,
            #[cfg(feature = "handover")]
            CloseReason::LeftBehind => CloseCode::Abnormal,
            #[cfg(feature = "tls")]
            CloseReason::Tls(_) => CloseCode::Abnormal,
        }
    }

    /// Whether both sides sent a Close frame (§7.1.4).
    pub const fn was_clean(&self) -> bool {
        matches!(self, CloseReason::Peer(_) | CloseReason::Local(_))
    }
}

impl std::error::Error for CloseReason {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CloseReason::Protocol(error) => Some(error),
            CloseReason::CutOff { why, .. } => Some(&**why),
            CloseReason::Unaccepted(error) => Some(error),
            #[cfg(feature = "tls")]
            CloseReason::Tls(error) => Some(error),
            _ => None,
        }
    }
}

/// A code, and the reason if there is one.
struct Shown<'f>(&'f CloseFrame);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CloseFrame { code, reason } = self.0;
        match reason.is_empty() {
            true => write!(f, "{code}"),
            false => write!(f, "{code} {}", Escaped(reason)),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Peer(Some(frame)) => {
                write!(f, "closed by the peer: {}", Shown(frame))
            }
            CloseReason::Peer(None) => f.write_str("closed by the peer"),
            CloseReason::Local(frame) => write!(f, "closed by us: {}", Shown(frame)),
            CloseReason::Terminated => f.write_str("terminated by us, without a Close frame"),
            CloseReason::Protocol(error) => write!(f, "failed: {error}"),
            CloseReason::Timeout(Timeout::Handshake) => {
                f.write_str("the opening handshake took longer than handshake_timeout")
            }
            CloseReason::Timeout(Timeout::Idle) => {
                f.write_str("silent for longer than idle_timeout, and no answer to pings")
            }
            CloseReason::Timeout(Timeout::Message) => f.write_str("a message was not completed within message_timeout"),
            CloseReason::Timeout(Timeout::Write) => f.write_str("the peer did not read within write_timeout"),
            CloseReason::Timeout(Timeout::Close) => {
                f.write_str("the peer did not answer our Close within close_timeout, or before a shutdown's deadline")
            }
            CloseReason::Timeout(Timeout::Pause) => {
                f.write_str("paused for longer than pause_timeout: raise memory_budget")
            }
            CloseReason::Eof => f.write_str("the peer disconnected without a Close frame"),
            CloseReason::Io(kind) => write!(f, "the connection broke: {kind}"),
            CloseReason::Unreachable { address, kind } => write!(f, "cannot connect to {address}: {kind}"),
            CloseReason::SlowConsumer => {
                f.write_str("more than max_unsent bytes were unsent: send less, or watch on_drain")
            }
            CloseReason::Evicted => f.write_str("closed to free memory: raise memory_budget, or lower max_unsent"),
            CloseReason::TooFast => f.write_str("it sent more than Config::rates allows"),
            CloseReason::HandlerPanicked => f.write_str("the handler panicked"),
            CloseReason::Refused(status) => write!(f, "answered with {status}"),
            CloseReason::CutOff { status, sent, total, why } => {
                write!(f, "the response with {status} was cut off after {sent} of {total} bytes: {why}")
            }
            CloseReason::Unaccepted(why) => write!(f, "{why}"),
            CloseReason::BadProxyHeader => f.write_str("no PROXY header from one of trusted_proxies"),
            CloseReason::NameNotFound => f.write_str("the server's name has no address"),
            CloseReason::Lifetime => f.write_str("the connection reached max_lifetime"),
            #[cfg(feature = "handover")]
            CloseReason::LeftBehind => f.write_str("it stays in the process that has handed over"),
            #[cfg(feature = "tls")]
            CloseReason::Tls(error) => write!(f, "{error}"),
        }
    }
}
