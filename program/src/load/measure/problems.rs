//! What went wrong, how often, and what it means.

use crate::terminal::{quoted, quoted_bytes};
use lariat::{CloseReason, Timeout, Unaccepted};
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Problem {
    NameNotFound,
    /// TLS has failed, in this way.
    Tls(&'static str),
    Refused,
    Unreachable,
    ConnectTimeout,
    NoPorts,
    NoDescriptors,
    ConnectFailed(ErrorKind),
    /// The server answered the request with an HTTP status.
    Status(u16),
    /// The server's handshake breaks the rule that the text names.
    BadHandshake(&'static str),
    HandshakeTimeout,
    /// The connection broke before the server had answered the request.
    HandshakeBroken,
    /// The server closed with this code.
    Closed(u16),
    HungUp,
    Reset,
    Broken(ErrorKind),
    Protocol(u16),
    Silent,
    /// The server does not read.
    Stalled,
    WrongEcho,
    Unanswered,
    Lost,
    Unexpected,
    Missed,
    Doubled,
    OutOfOrder,
    Restarted,
    Unnumbered,
    CloseUnanswered,
    Scenario,
}

/// How often each problem occurred.
pub(crate) type Problems = BTreeMap<Problem, u64>;

impl Problem {
    /// Returns why a connection did not open. `is_connected` says that its request was written.
    pub(crate) fn of_opening(reason: &CloseReason, is_connected: bool) -> Problem {
        match reason {
            CloseReason::NameNotFound => Problem::NameNotFound,
            CloseReason::Tls(error) => Problem::Tls(error.kind().name()),
            CloseReason::Unaccepted(Unaccepted::Status(status)) => Problem::Status(status.as_u16()),
            CloseReason::Unaccepted(Unaccepted::Redirect { status, .. }) => Problem::Status(status.as_u16()),
            CloseReason::Unaccepted(Unaccepted::BadResponse(why)) => Problem::BadHandshake(why),
            CloseReason::Unaccepted(Unaccepted::NotHttp(_)) => Problem::BadHandshake("it is not HTTP/1"),
            CloseReason::Unaccepted(_) => Problem::BadHandshake("unknown"),
            CloseReason::Timeout(_) if is_connected => Problem::HandshakeTimeout,
            CloseReason::Timeout(_) => Problem::ConnectTimeout,
            CloseReason::Unreachable { kind, .. } => Problem::of_connect(*kind),
            _ => Problem::HandshakeBroken,
        }
    }

    /// Returns why a stream could not be connected.
    pub(crate) fn of_connect(kind: ErrorKind) -> Problem {
        match kind {
            ErrorKind::ConnectionRefused => Problem::Refused,
            // A Unix socket whose backlog is full would block.
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Problem::ConnectTimeout,
            ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => Problem::NoPorts,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Problem::Unreachable,
            kind if kind == std::io::Error::from_raw_os_error(EMFILE).kind() => Problem::NoDescriptors,
            kind => Problem::ConnectFailed(kind),
        }
    }

    /// Returns why an open connection ended, or `None` if the driver ended it.
    pub(crate) fn of_end(reason: &CloseReason, is_closing: bool) -> Option<Problem> {
        Some(match reason {
            CloseReason::Local(_) => return None,
            CloseReason::Peer(_) if is_closing => return None,
            CloseReason::Peer(frame) => Problem::Closed(frame.as_ref().map_or(1005, |frame| frame.code.into())),
            CloseReason::Protocol(error) => Problem::Protocol(error.close_code().into()),
            CloseReason::Timeout(Timeout::Idle) => Problem::Silent,
            CloseReason::Timeout(Timeout::Write) | CloseReason::SlowConsumer => Problem::Stalled,
            CloseReason::Timeout(_) => Problem::CloseUnanswered,
            CloseReason::Tls(error) => Problem::Tls(error.kind().name()),
            CloseReason::Eof if is_closing => Problem::CloseUnanswered,
            CloseReason::Eof => Problem::HungUp,
            CloseReason::Io(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Problem::Reset,
            CloseReason::Io(kind) => Problem::Broken(*kind),
            _ => Problem::HungUp,
        })
    }

    /// Returns what is particular to a connection that ended for this reason: what the server said,
    /// or its address.
    pub(crate) fn detail(reason: &CloseReason) -> Option<String> {
        match reason {
            CloseReason::Peer(Some(frame)) if !frame.reason.is_empty() => Some(quoted(&frame.reason)),
            CloseReason::Unreachable { address, kind: ErrorKind::ConnectionRefused } => {
                Some(format!("nobody listens at {address}"))
            }
            // The explanation says that it is TLS.
            CloseReason::Tls(error) => Some(error.to_string().trim_start_matches("TLS: ").to_owned()),
            CloseReason::Unreachable { address, .. } => Some(address.to_string()),
            CloseReason::Unaccepted(Unaccepted::Redirect { location, .. }) => {
                Some(format!("Location: {}", quoted(location)))
            }
            CloseReason::Unaccepted(Unaccepted::NotHttp(bytes)) => {
                Some(format!("its first bytes are {}", quoted_bytes(bytes)))
            }
            _ => None,
        }
    }

    /// Returns a stable name.
    pub(crate) fn key(self) -> String {
        match self {
            Problem::NameNotFound => "name-not-found".to_owned(),
            Problem::Tls(kind) => format!("tls-{}", kind.replace('_', "-")),
            Problem::Refused => "connect-refused".to_owned(),
            Problem::Unreachable => "unreachable".to_owned(),
            Problem::ConnectTimeout => "connect-timeout".to_owned(),
            Problem::NoPorts => "no-ports".to_owned(),
            Problem::NoDescriptors => "no-descriptors".to_owned(),
            Problem::ConnectFailed(kind) => format!("connect-{}", kind.to_string().replace(' ', "-")),
            Problem::Status(status) => format!("status-{status}"),
            Problem::BadHandshake(_) => "bad-handshake".to_owned(),
            Problem::HandshakeTimeout => "handshake-timeout".to_owned(),
            Problem::HandshakeBroken => "handshake-broken".to_owned(),
            Problem::Closed(code) => format!("closed-{code}"),
            Problem::HungUp => "hung-up".to_owned(),
            Problem::Reset => "reset".to_owned(),
            Problem::Broken(kind) => format!("broken-{}", kind.to_string().replace(' ', "-")),
            Problem::Protocol(code) => format!("protocol-{code}"),
            Problem::Silent => "silent".to_owned(),
            Problem::Stalled => "stalled".to_owned(),
            Problem::WrongEcho => "wrong-message".to_owned(),
            Problem::Unanswered => "unanswered".to_owned(),
            Problem::Lost => "lost".to_owned(),
            Problem::Unexpected => "unexpected-message".to_owned(),
            Problem::Missed => "missed".to_owned(),
            Problem::Doubled => "doubled".to_owned(),
            Problem::OutOfOrder => "out-of-order".to_owned(),
            Problem::Restarted => "restarted".to_owned(),
            Problem::Unnumbered => "unnumbered".to_owned(),
            Problem::CloseUnanswered => "close-unanswered".to_owned(),
            Problem::Scenario => "scenario".to_owned(),
        }
    }

    /// Returns what the problem means.
    pub(crate) fn explanation(self) -> String {
        match self {
            Problem::NameNotFound => "the name of the server has no address".to_owned(),
            Problem::Tls(_) => "the TLS session failed".to_owned(),
            Problem::Refused => "the connection was refused".to_owned(),
            Problem::Unreachable => "no route to the server".to_owned(),
            Problem::ConnectTimeout => {
                "TCP did not connect in time: SYNs are dropped, by a full backlog or a firewall".to_owned()
            }
            Problem::NoPorts => "no port of this host was free for a connection to this address".to_owned(),
            Problem::NoDescriptors => "this process may not open more files".to_owned(),
            Problem::ConnectFailed(kind) => format!("connecting failed: {kind}"),
            Problem::Status(400) => {
                "the server answered the upgrade with HTTP status 400; a port with TLS answers so: try wss://".to_owned()
            }
            Problem::Status(status) => format!("the server answered the upgrade with HTTP status {status}"),
            Problem::BadHandshake(why) => {
                format!("the answer of the server to the upgrade violates RFC 6455, section 4.1: {why}")
            }
            Problem::HandshakeTimeout => {
                "TCP connected, but the server did not answer the upgrade in time: it does not accept, or it is too busy"
                    .to_owned()
            }
            Problem::HandshakeBroken => "the server closed the connection before it had answered the upgrade".to_owned(),
            Problem::Closed(code) => format!("the server closed with code {code}{}", meaning(code)),
            Problem::HungUp => "the server ended the stream without a Close frame".to_owned(),
            Problem::Reset => "the server reset the connection".to_owned(),
            Problem::Broken(kind) => format!("the connection broke: {kind}"),
            Problem::Protocol(code) => format!("the server violated the protocol; this client closed with {code}{}", meaning(code)),
            Problem::Silent => "the server sent nothing, not even answers to pings".to_owned(),
            Problem::Stalled => "not sent: the server does not read".to_owned(),
            Problem::WrongEcho => "the message that came back differs from the one that was sent".to_owned(),
            Problem::Unanswered => "sent, but had not come back when the run ended".to_owned(),
            Problem::Lost => "sent, but had not come back when the connection ended".to_owned(),
            Problem::Unexpected => "arrived although none was expected".to_owned(),
            Problem::Missed => "positions that a subscriber has skipped and not received later".to_owned(),
            Problem::Doubled => "positions that a subscriber already had".to_owned(),
            Problem::OutOfOrder => "positions that came after a higher one".to_owned(),
            Problem::Restarted => "positions of another sequence: what is before the number has changed".to_owned(),
            Problem::Unnumbered => "the first word of the message does not end in a number".to_owned(),
            Problem::CloseUnanswered => "the server did not answer the Close frame".to_owned(),
            Problem::Scenario => "connections did not get through the scenario; its steps say why".to_owned(),
        }
    }
}

/// "Too many open files" on every Unix.
const EMFILE: i32 = 24;

const fn meaning(code: u16) -> &'static str {
    match code {
        1000 => " (normal)",
        1001 => " (going away)",
        1002 => " (protocol error)",
        1003 => " (unsupported data)",
        1005 => " (none given)",
        1007 => " (invalid data)",
        1008 => " (policy)",
        1009 => " (too large)",
        1011 => " (internal error)",
        1012 => " (restart)",
        1013 => " (try again later)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lariat::http::StatusCode;
    use lariat::{CloseCode, CloseFrame, ProtocolError};

    fn redirect() -> CloseReason {
        CloseReason::Unaccepted(Unaccepted::Redirect { status: StatusCode::FOUND, location: "/\x1b[2J".into() })
    }

    #[test]
    fn what_the_server_said_is_shown_escaped() {
        let frame = CloseFrame { code: CloseCode::Policy, reason: "token \"x\"\u{202e}".into() };
        let not_http = CloseReason::Unaccepted(Unaccepted::NotHttp((*b"\x15\x03\xff").into()));
        for (reason, detail) in [
            (CloseReason::Peer(Some(frame)), r#""token \"x\"\u{202e}""#),
            (redirect(), r#"Location: "/\u{1b}[2J""#),
            (not_http, r#"its first bytes are "\x15\x03\xff""#),
        ] {
            assert_eq!(Problem::detail(&reason).as_deref(), Some(detail));
        }
        assert_eq!(Problem::detail(&CloseReason::Eof), None);
    }

    #[test]
    fn every_failure_to_open_has_a_name() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let io = |kind| CloseReason::Unreachable { address, kind };
        let cases = [
            (io(ErrorKind::ConnectionRefused), false, "connect-refused"),
            (io(ErrorKind::AddrNotAvailable), false, "no-ports"),
            (io(std::io::Error::from_raw_os_error(EMFILE).kind()), false, "no-descriptors"),
            (io(ErrorKind::TimedOut), false, "connect-timeout"),
            (io(ErrorKind::HostUnreachable), false, "unreachable"),
            (io(ErrorKind::PermissionDenied), false, "connect-permission-denied"),
            (CloseReason::Io(ErrorKind::ConnectionReset), true, "handshake-broken"),
            (CloseReason::Eof, true, "handshake-broken"),
            (CloseReason::Timeout(Timeout::Handshake), false, "connect-timeout"),
            (CloseReason::Timeout(Timeout::Handshake), true, "handshake-timeout"),
            (CloseReason::Unaccepted(Unaccepted::Status(StatusCode::SERVICE_UNAVAILABLE)), true, "status-503"),
            (CloseReason::Unaccepted(Unaccepted::BadResponse("x")), true, "bad-handshake"),
            (CloseReason::NameNotFound, false, "name-not-found"),
            (redirect(), true, "status-302"),
            (CloseReason::Unaccepted(Unaccepted::NotHttp((*b"SSH").into())), true, "bad-handshake"),
        ];
        for (reason, is_connected, key) in cases {
            let problem = Problem::of_opening(&reason, is_connected);
            assert_eq!(problem.key(), key);
            assert!(!problem.explanation().is_empty());
        }
    }

    #[test]
    fn every_end_except_the_drivers_own_has_a_name() {
        let frame = || CloseFrame { code: CloseCode::Away, reason: "".into() };
        let cases = [
            (CloseReason::Local(frame()), true, None),
            (CloseReason::Peer(Some(frame())), true, None),
            (CloseReason::Peer(Some(frame())), false, Some("closed-1001")),
            (CloseReason::Peer(None), false, Some("closed-1005")),
            (CloseReason::Eof, false, Some("hung-up")),
            (CloseReason::Eof, true, Some("close-unanswered")),
            (CloseReason::Timeout(Timeout::Close), true, Some("close-unanswered")),
            (CloseReason::Timeout(Timeout::Idle), false, Some("silent")),
            (CloseReason::SlowConsumer, false, Some("stalled")),
            (CloseReason::Io(ErrorKind::ConnectionReset), false, Some("reset")),
            (CloseReason::Io(ErrorKind::TimedOut), false, Some("broken-timed-out")),
            (CloseReason::Protocol(ProtocolError::InvalidUtf8), false, Some("protocol-1007")),
        ];
        for (reason, is_closing, key) in cases {
            let problem = Problem::of_end(&reason, is_closing);
            assert_eq!(problem.map(Problem::key).as_deref(), key, "{reason:?}");
        }
    }
}
