//! Parses and checks a peer's request (RFC 6455 §4.2.1, RFC 9112).
//!
//! [`head_end`] searches for the end of a head while it arrives, and scans each byte once. When the
//! head is complete, `httparse` parses it and [`Request::parse`] checks it. The application sees
//! only valid requests: plain HTTP of any method, or an upgrade to version 13 with a valid key.

use super::accept_key::AcceptKey;
use super::body::Framing;
use super::lists::check_lists;
use super::rejection::Rejection;
use crate::protocol::deflate::{AVAILABLE, Parameters};
#[cfg(feature = "tls")]
use crate::protocol::tls::TlsInfo;
use crate::protocol::wire::token::is_token;
use http::Method;
#[cfg(feature = "tls")]
use std::sync::Arc;

/// The limit on the number of headers in a request.
pub const MAX_HEADERS: usize = 64;

/// Finds the end of a head in `bytes`. The first `scanned` bytes were searched before.
///
/// # Errors
///
/// The bytes cannot begin a request, or contain a bare LF. Both errors are returned as soon as the
/// byte has arrived.
pub(crate) fn head_end(bytes: &[u8], scanned: usize) -> Result<Option<usize>, Rejection> {
    if bytes.first().is_some_and(|first| !first.is_ascii_alphabetic() && !matches!(first, b'\r' | b'\n')) {
        return Err(Rejection::BadRequest("this is not HTTP; is the client using TLS (wss://) on a plain port?"));
    }
    let mut next = scanned;
    while let Some(length) = bytes[next..].iter().position(|byte| *byte == b'\n') {
        let line_feed = next + length;
        if !bytes[..line_feed].ends_with(b"\r") {
            return Err(Rejection::BadRequest("a line must end with CR LF"));
        }
        if bytes[..line_feed].ends_with(b"\r\n\r") {
            return Ok(Some(line_feed + 1));
        }
        next = line_feed + 1;
    }
    Ok(None)
}

/// A valid request: an opening handshake, or plain HTTP.
#[derive(Debug)]
pub struct Request<'b> {
    /// The bytes that were parsed.
    head: &'b [u8],
    method: Method,
    is_http_1_1: bool,
    path: &'b str,
    query: Option<&'b str>,
    body: &'b [u8],
    framing: Framing,
    headers: [httparse::Header<'b>; MAX_HEADERS],
    header_count: usize,
    key: Option<&'b str>,
    subprotocols: Vec<&'b str>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsInfo>>,
}

impl<'b> Request<'b> {
    /// Parses and checks a complete head.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] that RFC 6455 §4.2 or RFC 9112 requires.
    // Not inline, so that a request is not on the stack of a caller that has none.
    #[inline(never)]
    pub fn parse(head: &'b [u8]) -> Result<Request<'b>, Rejection> {
        let mut request = Request::unread(head, &[]);
        request.read()?;
        Ok(request)
    }

    /// Returns a request of which nothing but the body is known. [`read`](Self::read) must follow.
    pub(crate) fn unread(head: &'b [u8], body: &'b [u8]) -> Request<'b> {
        Request {
            head,
            method: Method::GET,
            is_http_1_1: false,
            path: "",
            query: None,
            body,
            framing: Framing::None,
            headers: no_headers(),
            header_count: 0,
            key: None,
            subprotocols: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// [`parse`](Self::parse) in place. A request has two kilobytes, and what is returned by value
    /// is copied from stack frame to stack frame.
    #[inline(never)]
    pub(crate) fn read(&mut self) -> Result<(), Rejection> {
        let mut parsed = httparse::Request::new(&mut self.headers);
        match parsed.parse(self.head) {
            Ok(httparse::Status::Complete(length)) if length == self.head.len() => {}
            Ok(_) => return Err(Rejection::BadRequest("the request line or a header is incomplete")),
            Err(error) => return Err(syntax_error(error)),
        }
        self.header_count = parsed.headers.len();
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        self.is_http_1_1 = parsed.version == Some(1);
        self.method =
            Method::from_bytes(method.as_bytes()).map_err(|_| Rejection::BadRequest("malformed request line"))?;
        (self.path, self.query) = match target {
            // RFC 9112 §3.2.4: a question about the server itself.
            "*" if self.method == Method::OPTIONS => ("*", None),
            target => split_target(target)?,
        };
        check_lists(&self.headers[..self.header_count]).map_err(Rejection::BadRequest)?;
        self.judge_message()?;
        if self.wants_upgrade() {
            self.judge_upgrade()?;
        }
        Ok(())
    }

    /// Returns what was agreed in the TLS handshake, with the certificates that the client has
    /// shown and that were verified. `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }

    #[cfg(feature = "tls")]
    pub(crate) fn set_tls(&mut self, tls: Option<Arc<TlsInfo>>) {
        self.tls = tls;
    }

    #[cfg(feature = "tls")]
    pub(super) const fn shared_tls(&self) -> Option<&Arc<TlsInfo>> {
        self.tls.as_ref()
    }

    /// Checks the rules of RFC 9112 for every request.
    fn judge_message(&mut self) -> Result<(), Rejection> {
        let hosts = self.values("host").count();
        if hosts > 1 || (hosts == 0 && self.is_http_1_1) {
            return Err(Rejection::BadRequest("exactly one Host header is required"));
        }
        if self.method == Method::CONNECT {
            // RFC 9110 §9.3.6: after a 2xx response, a proxy takes the rest for a tunnel.
            return Err(Rejection::BadRequest("CONNECT is not supported"));
        }
        self.framing = Framing::of(self.values("transfer-encoding"), self.values("content-length"), self.is_http_1_1)?;
        if self.framing != Framing::None && matches!(self.method, Method::GET | Method::HEAD) {
            return Err(Rejection::BadRequest("a GET or HEAD request with a body is not supported"));
        }
        Ok(())
    }

    /// Returns whether the client requests the WebSocket protocol.
    fn wants_upgrade(&self) -> bool {
        self.method == Method::GET && self.has_token("upgrade", "websocket")
    }

    /// Checks the rules of RFC 6455 §4.2.1 for an opening handshake.
    fn judge_upgrade(&mut self) -> Result<(), Rejection> {
        if !self.is_http_1_1 {
            return Err(Rejection::BadRequest("an upgrade needs HTTP/1.1"));
        }
        if !self.has_token("connection", "upgrade") {
            return Err(Rejection::BadRequest("the Connection header must list Upgrade"));
        }
        let mut versions = self.values("sec-websocket-version");
        match (versions.next(), versions.next()) {
            (Some(b"13"), None) => {}
            (Some(_), Some(_)) => return Err(Rejection::BadRequest("more than one Sec-WebSocket-Version")),
            (_, _) => return Err(Rejection::UnsupportedVersion),
        }
        drop(versions);
        self.key = Some(self.single_key()?);
        // It is sorted, so that many names that begin alike need few comparisons.
        let mut seen: Vec<&str> = Vec::new();
        let mut offered = Vec::new();
        for protocol in self.list("sec-websocket-protocol") {
            let place = seen.binary_search(&protocol);
            let (true, Err(place)) = (is_token(protocol), place) else {
                return Err(Rejection::BadRequest("malformed or repeated Sec-WebSocket-Protocol"));
            };
            seen.insert(place, protocol);
            offered.push(protocol);
        }
        self.subprotocols = offered;
        Ok(())
    }

    /// Returns the key. There must be exactly one, of 16 bytes in base64.
    fn single_key(&self) -> Result<&'b str, Rejection> {
        let mut keys = self.values("sec-websocket-key");
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(Rejection::BadRequest("exactly one Sec-WebSocket-Key is required"));
        };
        if !is_key(key) {
            return Err(Rejection::BadRequest("Sec-WebSocket-Key must be 16 bytes in base64"));
        }
        std::str::from_utf8(key).map_err(|_| Rejection::BadRequest("malformed Sec-WebSocket-Key"))
    }

    /// Adds the body, which has arrived.
    #[must_use]
    pub const fn with_body(mut self, body: &'b [u8]) -> Request<'b> {
        self.body = body;
        self
    }

    /// Returns the method. An opening handshake has GET.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the whole body: empty if there is none. [`Limits::http`](crate::Limits::http) sets
    /// how long it may be.
    pub const fn body(&self) -> &'b [u8] {
        self.body
    }

    /// Returns the bytes that were parsed.
    pub(super) const fn head(&self) -> &'b [u8] {
        self.head
    }

    /// Returns how the end of the body is found.
    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns whether the client sends a body only after `100 Continue` (RFC 9110 §10.1.1).
    ///
    /// # Errors
    ///
    /// [`Rejection::BadRequest`] for any other expectation.
    pub(crate) fn expects_continue(&self) -> Result<bool, Rejection> {
        match self.values("expect").next() {
            Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(self.is_http_1_1),
            Some(_) => Err(Rejection::BadRequest("the only known Expect is 100-continue")),
            None => Ok(false),
        }
    }

    /// Returns whether the connection may stay open for another request (RFC 9112 §9.3).
    fn keeps_alive(&self) -> bool {
        !self.is_upgrade() && self.is_http_1_1 && !self.has_token("connection", "close")
    }

    /// Returns whether this is an opening handshake. Otherwise it is plain HTTP.
    pub const fn is_upgrade(&self) -> bool {
        self.key.is_some()
    }

    /// Returns the `Sec-WebSocket-Key` of an opening handshake.
    pub(crate) const fn key(&self) -> Option<&'b str> {
        self.key
    }

    /// Returns the target's path, still percent-encoded: `/chat` of `/chat?room=1`.
    pub const fn path(&self) -> &'b str {
        self.path
    }

    /// Returns the target's query, still percent-encoded: `room=1` of `/chat?room=1`. With the
    /// feature `urlencoded`, `Request::query_pairs` and `Request::query_value` decode it.
    pub const fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// Returns all headers in their order of arrival.
    pub fn headers(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + '_ {
        self.headers[..self.header_count].iter().map(|header| (header.name, header.value))
    }

    /// Returns the values of all headers of this name. The letter case does not matter.
    pub fn values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'b [u8]> + 'r {
        let mut place = 0;
        std::iter::from_fn(move || self.next_value(name, &mut place))
    }

    /// Returns the value of the first header of this name at or after `place`. Moves `place` behind
    /// it.
    #[inline(never)]
    fn next_value(&self, name: &str, place: &mut usize) -> Option<&'b [u8]> {
        let rest = &self.headers[*place..self.header_count];
        let at = rest.iter().position(|header| header.name.eq_ignore_ascii_case(name));
        *place += at.map_or(rest.len(), |at| at + 1);
        at.map(|at| rest[at].value)
    }

    /// Returns the value of the first header of this name, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the origin of the page that opened the connection (§10.2). Clients other than
    /// browsers may leave it out. [`is_same_origin`](Self::is_same_origin) compares it with `Host`.
    pub fn origin(&self) -> Option<&'b str> {
        self.header("origin")
    }

    /// Returns the `Host` header: the host and port that the client addressed.
    pub fn host(&self) -> Option<&'b str> {
        self.header("host")
    }

    /// Returns the names and values of the cookies (RFC 6265 §4.2), not decoded: a value keeps its
    /// quotation marks and escapes. A part without `=` is skipped, and so is a header that is not
    /// UTF-8. A name may come more than once. With the feature `urlencoded`,
    /// `Request::cookie_pairs` and `Request::cookie_value` decode them.
    pub fn cookies(&self) -> impl Iterator<Item = (&'b str, &'b str)> + '_ {
        self.values("cookie")
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim_ascii().split_once('='))
    }

    /// Returns the subprotocols that the client offers, the preferred one first (§1.9). Plain HTTP
    /// offers none.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'b str> + '_ {
        self.subprotocols.iter().copied()
    }

    /// Returns the first of the `known` subprotocols that the client offers. List them in the
    /// server's order of preference.
    pub fn choose_subprotocol<'k>(&self, known: &[&'k str]) -> Option<&'k str> {
        known.iter().copied().find(|known| self.subprotocols.contains(known))
    }

    /// Returns the elements of a list-valued header, from all of its lines.
    fn list<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'b str> + 'r {
        let (mut place, mut rest) = (0, "");
        std::iter::from_fn(move || self.next_element(name, &mut place, &mut rest))
    }

    /// Returns the next element of a value, or the first of the next value that has one.
    #[inline(never)]
    fn next_element(&self, name: &str, place: &mut usize, rest: &mut &'b str) -> Option<&'b str> {
        loop {
            if rest.is_empty() {
                *rest = std::str::from_utf8(self.next_value(name, place)?).unwrap_or("\u{0}");
            }
            let (element, others) = rest.split_once(',').unwrap_or((rest, ""));
            *rest = others;
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token))
    }
}

/// Not inline, so that the compiler writes the headers where they stay, and not first beside it.
#[inline(never)]
const fn no_headers<'b>() -> [httparse::Header<'b>; MAX_HEADERS] {
    [httparse::EMPTY_HEADER; MAX_HEADERS]
}

fn syntax_error(error: httparse::Error) -> Rejection {
    match error {
        httparse::Error::TooManyHeaders => Rejection::HeadTooLarge,
        httparse::Error::HeaderName => Rejection::BadRequest("malformed header name"),
        httparse::Error::HeaderValue => Rejection::BadRequest("malformed header value"),
        httparse::Error::Version => Rejection::BadRequest("unknown HTTP version"),
        httparse::Error::NewLine => Rejection::BadRequest("a line must end with CR LF"),
        httparse::Error::Status | httparse::Error::Token => Rejection::BadRequest("malformed request line"),
    }
}

/// Returns whether the key is 16 bytes in base64. Four bits of the last character before the
/// padding are not used and must be 0.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key {
        [digits @ .., b'A' | b'Q' | b'g' | b'w', b'=', b'='] => digits.len() == 21 && digits.iter().all(is_digit),
        _ => false,
    }
}

/// Splits a request target into path and query (RFC 9112 §3.2: origin form or absolute form).
fn split_target(target: &str) -> Result<(&str, Option<&str>), Rejection> {
    let malformed = Rejection::BadRequest("malformed request target");
    let local = if target.starts_with('/') { target } else { without_host(target).ok_or(malformed)? };
    // "The fragment identifier is meaningless in the context of WebSocket URIs and MUST NOT be
    // used."
    if !local.starts_with('/') || local.contains('#') {
        return Err(malformed);
    }
    Ok(match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    })
}

/// Returns the part of an absolute-form target after the host.
fn without_host(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let end = rest.bytes().position(|byte| matches!(byte, b'/' | b'?'));
    Some(end.map_or("/", |end| &rest[end..]))
}

/// The parts of a request that are kept until it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) method: Method,
    /// The connection may stay open for another request.
    pub(crate) keeps_alive: bool,
    /// HTTP/1.1, so a response may come in chunks.
    pub(crate) takes_chunks: bool,
    /// The value of `Sec-WebSocket-Accept`, if this was an opening handshake.
    pub(crate) accept: Option<AcceptKey>,
    /// The offered subprotocols, separated by commas.
    pub(crate) offered: String,
    /// The first acceptable offer of permessage-deflate.
    pub(crate) deflate: Option<Parameters>,
    /// The request came through TLS.
    #[cfg(feature = "tls")]
    is_secured: bool,
}

impl Ticket {
    /// Creates the ticket for the answer to `request`.
    #[inline(never)]
    pub fn new(request: &Request<'_>) -> Ticket {
        let accept = request.key().map(AcceptKey::of);
        let deflate = match accept {
            Some(_) if AVAILABLE => Parameters::acceptable_offer(request.values("sec-websocket-extensions")),
            Some(_) | None => None,
        };
        Ticket {
            method: request.method().clone(),
            keeps_alive: request.keeps_alive(),
            takes_chunks: request.is_http_1_1,
            accept,
            offered: request.subprotocols.join(","),
            deflate,
            #[cfg(feature = "tls")]
            is_secured: request.tls.is_some(),
        }
    }

    /// Creates the ticket for the answer to a malformed request.
    pub const fn unreadable() -> Ticket {
        Ticket {
            method: Method::GET,
            keeps_alive: false,
            takes_chunks: false,
            accept: None,
            offered: String::new(),
            deflate: None,
            #[cfg(feature = "tls")]
            is_secured: false,
        }
    }

    /// Returns whether the request came through TLS.
    #[cfg(feature = "tls")]
    pub(super) const fn is_secured(&self) -> bool {
        self.is_secured
    }

    #[cfg(not(feature = "tls"))]
    pub(super) const fn is_secured(&self) -> bool {
        false
    }

    pub(crate) fn is_options(&self) -> bool {
        self.method == Method::OPTIONS
    }

    /// Returns whether the response has a body, if its status has one.
    pub(crate) fn wants_body(&self) -> bool {
        self.method != Method::HEAD
    }

    /// Returns whether this was an opening handshake.
    pub const fn is_upgrade(&self) -> bool {
        self.accept.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_valid_if_a_decoder_accepts_it() {
        let decodes = |key: &[u8]| data_encoding::BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16);
        let step = if cfg!(miri) { 37 } else { 1 };
        for place in 0..24 {
            for byte in (0..=u8::MAX).step_by(step) {
                let mut key = *b"dGhlIHNhbXBsZSBub25jZQ==";
                key[place] = byte;
                assert_eq!(is_key(&key), decodes(&key), "{key:?}");
            }
        }
        for key in
            [&b""[..], b"==", b"dGhlIHNhbXBsZSBub25jZQ=", b"dGhlIHNhbXBsZSBub25jZQ===", b"dGhlIHNhbXBsZSBub25jZWE="]
        {
            assert_eq!(is_key(key), decodes(key), "{key:?}");
        }
    }
}
