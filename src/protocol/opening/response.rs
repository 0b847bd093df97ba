//! The server's answer to a request (RFC 6455 §4.2.2, RFC 9110).
//!
//! The answer is a 101 response, which opens the connection, or an HTTP response.

use super::http_response::{HttpBody, HttpResponse, encode_header};
use super::rejection::Rejection;
use super::request::Ticket;
use crate::parts::GIVEN_DATA;
use crate::protocol::deflate::Parameters;
use crate::protocol::wire::token::is_token;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::any::Any;
use std::fmt;
use std::io::Write;

/// An application's answer to a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// Accepts the opening handshake: the connection becomes a WebSocket.
    Upgrade(Upgrade),
    /// Sends an HTTP response. The connection closes after it, unless
    /// [`Limits::http`](crate::Limits::http) allows more requests. `Content-Length`, `Connection`
    /// and `X-Content-Type-Options` are added. The status must be final: a 1xx status is replaced
    /// by 500. A response that does not fit into what is free of the
    /// [`memory_budget`](crate::Config::memory_budget) is replaced by 503, one that is larger than
    /// the budget by 500. If the client does not take the whole response, the connection ends with
    /// a reset, so that nobody takes the beginning for the whole.
    Respond(HttpResponse),
    /// Answers later. Call [`Clients::answer`](crate::Clients::answer) within the handshake's
    /// deadline.
    Later,
}

impl Answer {
    /// Returns the bytes of its body that the answer to a request with this ticket takes in memory.
    pub(crate) fn memory(&self, ticket: &Ticket) -> usize {
        match self {
            Answer::Respond(response) => response.memory(ticket),
            Answer::Upgrade(_) | Answer::Later => 0,
        }
    }

    /// Returns whether it is a response whose body is sent later.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self, Answer::Respond(response) if response.is_streamed())
    }
}

impl From<Upgrade> for Answer {
    fn from(upgrade: Upgrade) -> Answer {
        Answer::Upgrade(upgrade)
    }
}

impl<B: Into<HttpBody>> From<http::Response<B>> for Answer {
    fn from(response: http::Response<B>) -> Answer {
        Answer::Respond(response.into())
    }
}

impl From<HttpResponse> for Answer {
    fn from(response: HttpResponse) -> Answer {
        Answer::Respond(response)
    }
}

/// Creates a response with the status as its text.
impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Answer {
        let mut response = http::Response::new(format!("{status}\n").into_bytes());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 §15.5.22 and §7.8, RFC 6455 §4.4.
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("close, Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response.into()
    }
}

/// The parts of a 101 response that the application can set. Each public field has a method that
/// sets it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Upgrade {
    /// The subprotocol (§1.9). It must be one that the client offered. Otherwise the handshake is
    /// answered with 500, because the client would have to fail it. Default: none.
    pub subprotocol: Option<String>,
    /// Further headers, as they are sent. Not a `HeaderMap`, which would bring the names of all
    /// known headers into a program that sets none.
    headers: Vec<u8>,
    /// Whether one of them belongs to the handshake itself.
    is_wrong: bool,
    /// Turns off compression for this client. The length of a compressed message can reveal a
    /// secret in it to an attacker who controls another part of the same message (CRIME, BREACH).
    /// Default `false`.
    pub uncompressed: bool,
    /// The application's data of the client.
    pub(crate) data: Option<Given>,
}

/// Data of a type that only the application and its [`Clients`](crate::Clients) know.
pub(crate) struct Given(Box<dyn Any + Send>);

impl Given {
    /// Returns the data, if it is of this type.
    pub(crate) fn take<T: 'static>(self) -> Option<T> {
        self.0.downcast().ok().map(|data| *data)
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(..)")
    }
}

impl Upgrade {
    /// Creates a response without a subprotocol and without further headers.
    pub fn new() -> Upgrade {
        Upgrade::default()
    }

    /// Sets [`subprotocol`](#structfield.subprotocol).
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Upgrade {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header. Headers of the handshake itself cannot be set: the handshake is then answered
    /// with 500.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Upgrade {
        self.is_wrong |= is_of_handshake(&name);
        encode_header(&name, &value, &mut self.headers);
        self
    }

    /// Sets [`uncompressed`](#structfield.uncompressed).
    #[must_use]
    pub const fn uncompressed(mut self) -> Upgrade {
        self.uncompressed = true;
        self
    }

    /// Gives the client its data, which must be of the handler's type
    /// [`Data`](crate::Handler::Data). With another type, the client gets 500, and the log has the
    /// reason. `on_open` is the first callback that finds the data.
    #[must_use]
    pub fn with_data(mut self, data: impl Send + 'static) -> Upgrade {
        GIVEN_DATA.use_it();
        self.data = Some(Given(Box::new(data)));
        self
    }

    /// Returns the offer that can be accepted, unless the application turned off compression.
    pub(crate) fn deflate(&self, ticket: &Ticket) -> Option<Parameters> {
        ticket.deflate.filter(|_| !self.uncompressed)
    }

    fn check(&self, ticket: &Ticket) -> Result<(), Rejection> {
        if let Some(chosen) = &self.subprotocol {
            if !is_token(chosen) || !ticket.offered.split(',').any(|offered| offered == chosen) {
                return Err(Rejection::BadAnswer("the chosen subprotocol was not offered"));
            }
        }
        if self.is_wrong {
            return Err(Rejection::BadAnswer("a header of the handshake itself cannot be set"));
        }
        Ok(())
    }
}

/// Whether a header belongs to the handshake itself.
fn is_of_handshake(name: &HeaderName) -> bool {
    [header::UPGRADE, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// Appends the 101 response (§4.2.2).
///
/// # Errors
///
/// The request is not an upgrade, or the client could not accept the answer. Nothing is appended.
pub(crate) fn encode_upgrade(
    ticket: &Ticket,
    upgrade: &Upgrade,
    deflate: Option<Parameters>,
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let accept = match (&ticket.accept, &ticket.method) {
        (Some(accept), _) => accept,
        (None, &Method::GET | &Method::HEAD) => return Err(Rejection::UpgradeRequired),
        (None, _) => return Err(Rejection::MethodNotAllowed),
    };
    upgrade.check(ticket)?;
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept.as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(chosen) = &upgrade.subprotocol {
        out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
        out.extend_from_slice(chosen.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(deflate) = deflate {
        write!(out, "Sec-WebSocket-Extensions: {deflate}\r\n").expect("a Vec takes every write");
    }
    out.extend_from_slice(&upgrade.headers);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends the response to OPTIONS (RFC 9110 §9.3.7). The connection closes after it.
pub(crate) fn encode_options(out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, OPTIONS\r\n\
        X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
    );
}

/// Appends the response to a refused request: the status, the headers that the status requires, and
/// a sentence. The connection closes after it.
pub(crate) fn encode_refusal(ticket: &Ticket, rejection: Rejection, out: &mut Vec<u8>) {
    let (status, sentence) = (rejection.status_line(), rejection.sentence(ticket.is_secured()));
    let (headers, connection) = match rejection {
        Rejection::MethodNotAllowed => ("Allow: GET, HEAD, OPTIONS\r\n", "close"),
        // RFC 9110 §7.8: a sender of Upgrade lists it in Connection.
        Rejection::UpgradeRequired | Rejection::UnsupportedVersion => {
            ("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", "close, Upgrade")
        }
        Rejection::Unavailable | Rejection::TooManyConnections => ("Retry-After: 5\r\n", "close"),
        Rejection::BadRequest(_)
        | Rejection::Timeout
        | Rejection::BodyTooLarge
        | Rejection::HeadTooLarge
        | Rejection::BadAnswer(_) => ("", "close"),
    };
    let length = status.len() + ": ".len() + sentence.len() + "\n".len();
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n{headers}\
         X-Content-Type-Options: nosniff\r\nConnection: {connection}\r\nContent-Length: {length}\r\n\r\n"
    )
    .expect("a Vec takes every write");
    if ticket.wants_body() {
        writeln!(out, "{status}: {sentence}").expect("a Vec takes every write");
    }
}
