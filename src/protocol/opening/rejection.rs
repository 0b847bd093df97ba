//! The reasons to refuse a request, and their HTTP statuses.

use http::StatusCode;
use std::fmt;

/// The reason why a peer's opening handshake or plain HTTP request is refused (RFC 6455 §4.2.1,
/// RFC 9112).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// 400: the request breaks the rule that the text names.
    BadRequest(&'static str),
    /// 405: this resource is a WebSocket, and the method is neither GET nor HEAD.
    MethodNotAllowed,
    /// 408: the request was not complete in time.
    Timeout,
    /// 413: the body is longer than [`Http::max_body`](crate::Http::max_body).
    BodyTooLarge,
    /// 426: this resource supports WebSocket only.
    UpgradeRequired,
    /// 426: the version of the WebSocket protocol is not 13 (§4.4).
    UnsupportedVersion,
    /// 429: this address has reached its limit of connections.
    TooManyConnections,
    /// 431: the head has more bytes or headers than the limits allow.
    HeadTooLarge,
    /// 500: the application's answer could not be sent.
    BadAnswer(&'static str),
    /// 503: the server has reached its connection or memory limit, or is about to stop.
    Unavailable,
}

impl Rejection {
    /// Returns the HTTP status of the refusal.
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

/// What to do instead of a plain request, with the scheme of the port.
macro_rules! use_a_websocket {
    ($scheme:literal) => {
        concat!(
            "this is a WebSocket: connect with new WebSocket(\"",
            $scheme,
            "://...\"). If the client did that, a proxy has dropped its Upgrade header; for nginx: \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\""
        )
    };
}

impl Rejection {
    /// Returns the status as in the response's first line: its number and its name.
    pub(super) const fn status_line(self) -> &'static str {
        match self {
            Rejection::BadRequest(_) => "400 Bad Request",
            Rejection::MethodNotAllowed => "405 Method Not Allowed",
            Rejection::Timeout => "408 Request Timeout",
            Rejection::BodyTooLarge => "413 Payload Too Large",
            Rejection::UpgradeRequired | Rejection::UnsupportedVersion => "426 Upgrade Required",
            Rejection::TooManyConnections => "429 Too Many Requests",
            Rejection::HeadTooLarge => "431 Request Header Fields Too Large",
            Rejection::BadAnswer(_) => "500 Internal Server Error",
            Rejection::Unavailable => "503 Service Unavailable",
        }
    }

    /// Returns a sentence that tells a peer with or without TLS the reason.
    pub(crate) const fn sentence(self, is_secured: bool) -> &'static str {
        match self {
            Rejection::BadRequest(why) | Rejection::BadAnswer(why) => why,
            Rejection::MethodNotAllowed => {
                "this is a WebSocket, and only GET and HEAD are supported; a redirect may have changed the method"
            }
            Rejection::Timeout => "the request did not arrive within the server's handshake_timeout",
            Rejection::BodyTooLarge => "the body of the request is larger than the server's max_body",
            Rejection::UpgradeRequired if is_secured => use_a_websocket!("wss"),
            Rejection::UpgradeRequired => use_a_websocket!("ws"),
            Rejection::UnsupportedVersion => "only version 13 of the WebSocket protocol is supported",
            Rejection::TooManyConnections => "there are too many connections from this address: try again later",
            Rejection::HeadTooLarge => {
                "the request head is too large: its cookies are the usual reason. Remove cookies of this host, or \
                 raise the server's limit (max_head)"
            }
            Rejection::Unavailable => "the server accepts no new connections now: try again later",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence(false))
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_has_its_status() {
        for rejection in [
            Rejection::BadRequest(""),
            Rejection::MethodNotAllowed,
            Rejection::Timeout,
            Rejection::BodyTooLarge,
            Rejection::UpgradeRequired,
            Rejection::UnsupportedVersion,
            Rejection::TooManyConnections,
            Rejection::HeadTooLarge,
            Rejection::BadAnswer(""),
            Rejection::Unavailable,
        ] {
            assert_eq!(rejection.status_line(), rejection.status().to_string());
        }
    }
}
