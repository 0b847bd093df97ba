//! The server's answer to a request (RFC 6455 §4.2.2, RFC 9110).
//!
//! The answer is a 101 response, which opens the connection, or an HTTP response, after which the
//! connection closes.

use super::rejection::Rejection;
use super::request::{Method, Ticket};
use crate::protocol::deflate::Parameters;
use crate::protocol::wire::token::is_token;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::io::Write;
use std::ops::{Deref, DerefMut};

/// An application's answer to a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// Accepts the opening handshake: the connection becomes a WebSocket.
    Upgrade(Upgrade),
    /// Sends an HTTP response and closes the connection. `Content-Length`, `Connection` and
    /// `X-Content-Type-Options` are added. The status must be final: a 1xx status is replaced by
    /// 500. A response that does not fit into what is free of the
    /// [`memory_budget`](crate::Config::memory_budget) is replaced by 503, one that is larger than
    /// the budget by 500. If the client does not take the whole response, the connection ends with
    /// a reset, so that nobody takes the beginning for the whole.
    Respond(HttpResponse),
    /// Answers later. Call [`Clients::answer`](crate::Clients::answer) within the handshake's
    /// deadline.
    Later,
}

impl Answer {
    /// Returns the bytes of the body that the answer to a request with this method has.
    pub(crate) fn body_length(&self, method: Method) -> usize {
        match self {
            Answer::Respond(response) if method == Method::Get => response.body().len(),
            Answer::Respond(_) | Answer::Upgrade(_) | Answer::Later => 0,
        }
    }
}

impl From<Upgrade> for Answer {
    fn from(upgrade: Upgrade) -> Answer {
        Answer::Upgrade(upgrade)
    }
}

impl From<http::Response<Vec<u8>>> for Answer {
    fn from(response: http::Response<Vec<u8>>) -> Answer {
        Answer::Respond(response.into())
    }
}

/// A wrapped [`http::Response`].
#[derive(Debug)]
pub struct HttpResponse {
    response: http::Response<Vec<u8>>,
    /// The function that writes the response. As it is a pointer, a program that never creates such
    /// a response does not contain the function.
    encode: fn(&http::Response<Vec<u8>>, Method, &mut Vec<u8>),
}

impl HttpResponse {
    /// Appends the response to `out`, for HEAD without the body. The connection closes after it.
    pub(crate) fn encode(&self, method: Method, out: &mut Vec<u8>) {
        (self.encode)(&self.response, method, out);
    }
}

impl From<http::Response<Vec<u8>>> for HttpResponse {
    fn from(response: http::Response<Vec<u8>>) -> HttpResponse {
        HttpResponse { response, encode: encode_response }
    }
}

impl From<HttpResponse> for http::Response<Vec<u8>> {
    fn from(response: HttpResponse) -> http::Response<Vec<u8>> {
        response.response
    }
}

impl Deref for HttpResponse {
    type Target = http::Response<Vec<u8>>;

    fn deref(&self) -> &http::Response<Vec<u8>> {
        &self.response
    }
}

impl DerefMut for HttpResponse {
    fn deref_mut(&mut self) -> &mut http::Response<Vec<u8>> {
        &mut self.response
    }
}

/// Creates a response with the status as its text.
impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Answer {
        let mut response = http::Response::new(format!("{status}\n").into_bytes());
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response.into()
    }
}

/// The parts of a 101 response that the application can set. Each field has a method that sets it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Upgrade {
    /// The subprotocol (§1.9). It must be one that the client offered. Otherwise the handshake is
    /// answered with 500, because the client would have to fail it. Default: none.
    pub subprotocol: Option<String>,
    /// Further headers. Headers of the handshake itself cannot be set: the handshake is then
    /// answered with 500. Default: none.
    pub headers: HeaderMap,
    /// Turns off compression for this client. The length of a compressed message can reveal a
    /// secret in it to an attacker who controls another part of the same message (CRIME, BREACH).
    /// Default `false`.
    pub uncompressed: bool,
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

    /// Adds one of the [`headers`](#structfield.headers).
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Upgrade {
        self.headers.append(name, value);
        self
    }

    /// Sets [`uncompressed`](#structfield.uncompressed).
    #[must_use]
    pub const fn uncompressed(mut self) -> Upgrade {
        self.uncompressed = true;
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
        if self.headers.keys().any(is_of_handshake) {
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
    let accept = ticket.accept.as_deref().ok_or(Rejection::UpgradeRequired)?;
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
    encode_headers(&upgrade.headers, out);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn encode_response(response: &http::Response<Vec<u8>>, method: Method, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("Unknown");
    write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_u16()).expect("a Vec takes every write");
    encode_headers(response.headers(), out);
    if !response.headers().contains_key(header::X_CONTENT_TYPE_OPTIONS) {
        out.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
    }
    if !response.headers().contains_key(header::CONNECTION) {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    // RFC 9110 §8.6: 1xx and 204 have no Content-Length.
    let has_body =
        !(status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED);
    if has_body {
        write!(out, "Content-Length: {}\r\n", response.body().len()).expect("a Vec takes every write");
    }
    out.extend_from_slice(b"\r\n");
    if has_body && method == Method::Get {
        out.extend_from_slice(response.body());
    }
}

pub(crate) fn encode_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        if *name != header::CONTENT_LENGTH && *name != header::TRANSFER_ENCODING {
            encode_header(name, value, out);
        }
    }
}

fn encode_header(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    encode_name(name.as_str(), out);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a header name with capital initials. Any case is valid (RFC 9110 §5.1), but this one is
/// usual and easier to read.
fn encode_name(name: &str, out: &mut Vec<u8>) {
    let rest = match name.strip_prefix("sec-websocket-") {
        Some(rest) => {
            out.extend_from_slice(b"Sec-WebSocket-");
            rest
        }
        None => name,
    };
    let mut starts_word = true;
    out.extend(rest.bytes().map(|byte| {
        let cased = if starts_word { byte.to_ascii_uppercase() } else { byte };
        starts_word = byte == b'-';
        cased
    }));
}

/// Appends the response to a refused request: the status, the headers that the status requires, and
/// a sentence. The connection closes after it.
pub(crate) fn encode_refusal(method: Method, rejection: Rejection, out: &mut Vec<u8>) {
    let (status, sentence) = (rejection.status_line(), rejection.sentence());
    let (headers, connection) = match rejection {
        Rejection::MethodNotAllowed => ("Allow: GET, HEAD\r\n", "close"),
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
    if method == Method::Get {
        writeln!(out, "{status}: {sentence}").expect("a Vec takes every write");
    }
}
