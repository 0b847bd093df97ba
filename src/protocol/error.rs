//! Who erred, and what is the answer?
//!
//! | type | who | what follows |
//! |---|---|---|
//! | [`Rejection`] | the peer, in its opening handshake | an HTTP response with a 4xx status |
//! | [`ProtocolError`] | the peer, in an open conversation | Close with the error's code (§7.1.7) |
//! | [`SendError`] | the application | nothing has changed |
//! | [`CloseReason`] | | what `on_close` is told |

use super::opening::Unaccepted;
use http::StatusCode;
use std::fmt;
use std::io;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

/// A peer has broken a rule of an open conversation; the connection fails (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client's frame was not masked.
    UnmaskedFrame,
    /// A server's frame was masked.
    MaskedFrame,
    /// An RSV bit is set and no negotiated extension gives it a meaning.
    ReservedBits,
    /// An opcode that nobody has defined.
    ReservedOpcode(u8),
    /// A control frame without FIN.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A continuation frame, but no message is under way.
    UnexpectedContinuation,
    /// A new message, but the last one has not ended.
    UnfinishedMessage,
    /// A length in more bytes than it needs.
    NonMinimalLength,
    /// A 64-bit length with its top bit set.
    LengthTopBit,
    /// A close code that must not travel.
    InvalidCloseCode(u16),
    /// A Close frame's body with half a code.
    CloseBodyOfOneByte,
    /// Text, or a close reason, that is not UTF-8.
    InvalidUtf8,
    /// A compressed message that cannot be decompressed.
    InvalidDeflate,
    /// A message of more bytes than `limit`, announced or real.
    MessageTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message in more frames than `limit`.
    TooManyFragments {
        /// The limit, in frames.
        limit: u32,
    },
}

impl ProtocolError {
    /// The code of the Close frame that answers it (§7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            ProtocolError::InvalidUtf8 | ProtocolError::InvalidDeflate => CloseCode::Invalid,
            ProtocolError::MessageTooLarge { .. } => CloseCode::Size,
            ProtocolError::TooManyFragments { .. } => CloseCode::Policy,
            ProtocolError::UnmaskedFrame
            | ProtocolError::MaskedFrame
            | ProtocolError::ReservedBits
            | ProtocolError::ReservedOpcode(_)
            | ProtocolError::FragmentedControl
            | ProtocolError::ControlTooLong
            | ProtocolError::UnexpectedContinuation
            | ProtocolError::UnfinishedMessage
            | ProtocolError::NonMinimalLength
            | ProtocolError::LengthTopBit
            | ProtocolError::InvalidCloseCode(_)
            | ProtocolError::CloseBodyOfOneByte => CloseCode::Protocol,
        }
    }

    /// The section of RFC 6455 that has the rule; for [`InvalidDeflate`](Self::InvalidDeflate), of
    /// RFC 7692.
    pub const fn section(self) -> &'static str {
        match self {
            ProtocolError::InvalidDeflate => "7.2.2",
            ProtocolError::UnmaskedFrame | ProtocolError::MaskedFrame => "5.1",
            ProtocolError::ReservedBits
            | ProtocolError::ReservedOpcode(_)
            | ProtocolError::NonMinimalLength
            | ProtocolError::LengthTopBit => "5.2",
            ProtocolError::UnexpectedContinuation | ProtocolError::UnfinishedMessage => "5.4",
            ProtocolError::FragmentedControl | ProtocolError::ControlTooLong => "5.5",
            ProtocolError::CloseBodyOfOneByte => "5.5.1",
            ProtocolError::InvalidCloseCode(_) => "7.4",
            ProtocolError::InvalidUtf8 => "8.1",
            ProtocolError::MessageTooLarge { .. } | ProtocolError::TooManyFragments { .. } => "10.4",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::UnmaskedFrame => f.write_str("a client must mask its frames")?,
            ProtocolError::MaskedFrame => f.write_str("a server must not mask its frames")?,
            ProtocolError::ReservedBits => f.write_str("reserved bit set")?,
            ProtocolError::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x}")?,
            ProtocolError::FragmentedControl => f.write_str("fragmented control frame")?,
            ProtocolError::ControlTooLong => f.write_str("control frame of more than 125 bytes")?,
            ProtocolError::UnexpectedContinuation => f.write_str("continuation without a message")?,
            ProtocolError::UnfinishedMessage => f.write_str("new message inside a message")?,
            ProtocolError::NonMinimalLength => f.write_str("length not minimal")?,
            ProtocolError::LengthTopBit => f.write_str("length with its top bit set")?,
            ProtocolError::InvalidCloseCode(code) => write!(f, "invalid close code {code}")?,
            ProtocolError::CloseBodyOfOneByte => f.write_str("close body of one byte")?,
            ProtocolError::InvalidUtf8 => f.write_str("invalid UTF-8")?,
            ProtocolError::InvalidDeflate => return f.write_str("invalid compressed data (RFC 7692 section 7.2.2)"),
            ProtocolError::MessageTooLarge { limit } => write!(f, "message of more than {limit} bytes")?,
            ProtocolError::TooManyFragments { limit } => write!(f, "message in more than {limit} frames")?,
        }
        write!(f, " (RFC 6455 section {})", self.section())
    }
}

impl std::error::Error for ProtocolError {}

/// A peer's opening handshake, or plain HTTP request, is refused (RFC 6455 §4.2.1, RFC 9112).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// 400: the request breaks a rule, which the text names.
    BadRequest(&'static str),
    /// 405: neither GET nor HEAD.
    MethodNotAllowed,
    /// 408: the request did not finish in time.
    Timeout,
    /// 413: a body was announced, and a large one.
    BodyTooLarge,
    /// 426: this resource speaks WebSocket only.
    UpgradeRequired,
    /// 426: a version of the WebSocket protocol other than 13 (§4.4).
    UnsupportedVersion,
    /// 429: this address has as many connections as it may.
    TooManyConnections,
    /// 431: more bytes or headers than the limits allow.
    HeadTooLarge,
    /// 500: the application's answer could not be sent.
    BadAnswer(&'static str),
    /// 503: the server is full, out of memory, or about to stop.
    Unavailable,
}

impl Rejection {
    /// The HTTP status that answers it.
    pub const fn status(self) -> StatusCode {
        match self {
            Rejection::BadRequest(_) => StatusCode::BAD_REQUEST,
            Rejection::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Rejection::Timeout => StatusCode::REQUEST_TIMEOUT,
            Rejection::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::UpgradeRequired | Rejection::UnsupportedVersion => StatusCode::UPGRADE_REQUIRED,
            Rejection::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
            Rejection::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Rejection::BadAnswer(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Rejection::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejection::BadRequest(why) | Rejection::BadAnswer(why) => why,
            Rejection::MethodNotAllowed => "only GET and HEAD are answered here",
            Rejection::Timeout => "the request did not arrive in time",
            Rejection::BodyTooLarge => "a request with a body is not answered here",
            Rejection::UpgradeRequired => "this is a WebSocket: connect with new WebSocket(\"ws://...\")",
            Rejection::UnsupportedVersion => "only version 13 of the WebSocket protocol is spoken here",
            Rejection::TooManyConnections => "there are too many connections from this address",
            Rejection::HeadTooLarge => "the request head is too large",
            Rejection::Unavailable => "the server takes no new connections now",
        })
    }
}

impl std::error::Error for Rejection {}

/// A message, ping or Close was not accepted. Nothing has changed.
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
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_its_code_and_its_section() {
        assert_eq!(u16::from(ProtocolError::ReservedBits.close_code()), 1002);
        assert_eq!(u16::from(ProtocolError::InvalidUtf8.close_code()), 1007);
        assert_eq!(u16::from(ProtocolError::MessageTooLarge { limit: 1 }.close_code()), 1009);
        assert_eq!(u16::from(ProtocolError::TooManyFragments { limit: 1 }.close_code()), 1008);
        assert_eq!(ProtocolError::ReservedOpcode(3).to_string(), "reserved opcode 0x3 (RFC 6455 section 5.2)");
        assert_eq!(Rejection::UnsupportedVersion.status(), 426);
    }
}
