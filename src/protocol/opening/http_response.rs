//! An HTTP response (RFC 9110, RFC 9112): its head, and where the bytes of its body are.

use super::request::Ticket;
use crate::parts::HTTP;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The body of a response. Static and shared bytes are sent from where they are, without a copy,
/// and do not count against the [`memory_budget`](crate::Config::memory_budget).
///
/// ```
/// use lariat::{Answer, HttpBody, http};
/// use std::sync::Arc;
///
/// let page: Answer = http::Response::new("<!doctype html>").into();
/// let numbers: Arc<[u8]> = vec![0; 1 << 20].into();
/// let file: Answer = http::Response::new(numbers.clone()).into();
/// let made: Answer = http::Response::new(format!("{} bytes", numbers.len())).into();
/// # let _ = (page, file, made, HttpBody::default());
/// ```
#[derive(Clone, Debug, Default)]
pub struct HttpBody(Bytes);

#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    Owned(Vec<u8>),
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Static(&[])
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Owned(bytes) => bytes,
            Bytes::Static(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl HttpBody {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns how many bytes of the body count against the memory budget.
    pub(crate) fn memory(&self) -> usize {
        match &self.0 {
            Bytes::Owned(bytes) => bytes.len(),
            Bytes::Static(_) | Bytes::Shared(_) => 0,
        }
    }

    pub(crate) fn into_inner(self) -> Bytes {
        self.0
    }
}

impl From<Vec<u8>> for HttpBody {
    fn from(bytes: Vec<u8>) -> HttpBody {
        HttpBody(Bytes::Owned(bytes))
    }
}

impl From<String> for HttpBody {
    fn from(text: String) -> HttpBody {
        HttpBody(Bytes::Owned(text.into_bytes()))
    }
}

impl From<&'static str> for HttpBody {
    fn from(text: &'static str) -> HttpBody {
        HttpBody(Bytes::Static(text.as_bytes()))
    }
}

impl From<&'static [u8]> for HttpBody {
    fn from(bytes: &'static [u8]) -> HttpBody {
        HttpBody(Bytes::Static(bytes))
    }
}

impl From<Arc<[u8]>> for HttpBody {
    fn from(bytes: Arc<[u8]>) -> HttpBody {
        HttpBody(Bytes::Shared(bytes))
    }
}

impl From<()> for HttpBody {
    fn from((): ()) -> HttpBody {
        HttpBody::default()
    }
}

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It closes.
    Close,
    /// It waits for another request.
    Keep,
    /// The body follows in chunks, then it closes.
    Chunks,
    /// The body follows, then it closes: that is the end of the body (HTTP/1.0).
    Body,
}

/// A response to an HTTP request: an [`http::Response`], to which it derefs.
#[derive(Debug)]
pub struct HttpResponse {
    response: http::Response<HttpBody>,
    is_streamed: bool,
    /// The function that writes the head. As it is a pointer, a program that never creates such a
    /// response does not contain the function.
    encode: fn(&http::Response<HttpBody>, After, &mut Vec<u8>),
}

impl HttpResponse {
    /// Creates a response whose body is sent later, piece by piece, with
    /// [`Clients::send_body`](crate::Clients::send_body) and
    /// [`Clients::end_body`](crate::Clients::end_body): a large file, or server-sent events. The
    /// connection closes after it. [`on_close`](crate::Handler::on_close) is called once the
    /// connection has ended.
    ///
    /// A stream is no WebSocket: `len`, `iter`, `broadcast`, topics and
    /// [`SlowConsumer`](crate::SlowConsumer) do not concern it, so look at
    /// [`buffered_amount`](crate::Clients::buffered_amount) before you send.
    /// [`write_timeout`](crate::Limits::write_timeout) applies, the timeouts for silence do not. A
    /// client that closes its half of the connection is taken for disconnected. In the text of
    /// server-sent events, each line of `data` needs its own field: a lone CR ends a line as well.
    ///
    /// ```
    /// use lariat::{HttpResponse, http};
    ///
    /// let events = http::Response::builder()
    ///     .header("Content-Type", "text/event-stream")
    ///     .header("Cache-Control", "no-store")
    ///     .body(())
    ///     .map(HttpResponse::streamed);
    /// # let _ = events;
    /// ```
    pub fn streamed(response: http::Response<()>) -> HttpResponse {
        HTTP.use_it();
        HttpResponse { response: response.map(HttpBody::from), is_streamed: true, encode: encode_head }
    }

    /// Returns whether its body is sent later.
    pub(crate) fn is_streamed(&self) -> bool {
        self.is_streamed && HTTP.is_used()
    }

    /// Returns whether it may have a body, by its status (RFC 9110 §6.4.1).
    pub(crate) fn may_have_body(&self) -> bool {
        may_have_body(self.status())
    }

    /// Returns whether the application has decided that the connection closes.
    pub(crate) fn has_connection(&self) -> bool {
        self.headers().contains_key(header::CONNECTION)
    }

    /// Appends the head to `out`.
    pub(crate) fn encode_head(&self, after: After, out: &mut Vec<u8>) {
        (self.encode)(&self.response, after, out);
    }

    pub(crate) fn into_body(self) -> HttpBody {
        self.response.into_body()
    }

    /// Returns the bytes of its body that the answer to a request with this ticket takes in memory.
    pub(crate) fn memory(&self, ticket: &Ticket) -> usize {
        if ticket.wants_body() { self.body().memory() } else { 0 }
    }
}

impl<B: Into<HttpBody>> From<http::Response<B>> for HttpResponse {
    fn from(response: http::Response<B>) -> HttpResponse {
        HttpResponse { response: response.map(Into::into), is_streamed: false, encode: encode_head }
    }
}

impl From<HttpResponse> for http::Response<HttpBody> {
    fn from(response: HttpResponse) -> http::Response<HttpBody> {
        response.response
    }
}

impl Deref for HttpResponse {
    type Target = http::Response<HttpBody>;

    fn deref(&self) -> &http::Response<HttpBody> {
        &self.response
    }
}

impl DerefMut for HttpResponse {
    fn deref_mut(&mut self) -> &mut http::Response<HttpBody> {
        &mut self.response
    }
}

/// RFC 9110 §8.6: 1xx, 204 and 304 have no body, and 1xx and 204 no Content-Length.
fn may_have_body(status: StatusCode) -> bool {
    !(status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED)
}

fn encode_head(response: &http::Response<HttpBody>, after: After, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("Unknown");
    write!(out, "HTTP/1.1 {} {reason}\r\n", status.as_u16()).expect("a Vec takes every write");
    encode_headers(response.headers(), out);
    if !response.headers().contains_key(header::X_CONTENT_TYPE_OPTIONS) {
        out.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
    }
    if after != After::Keep && !response.headers().contains_key(header::CONNECTION) {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    if after == After::Chunks && may_have_body(status) {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else if !matches!(after, After::Body | After::Chunks) && may_have_body(status) {
        write!(out, "Content-Length: {}\r\n", response.body().as_bytes().len()).expect("a Vec takes every write");
    }
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn encode_headers(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        if *name != header::CONTENT_LENGTH && *name != header::TRANSFER_ENCODING {
            encode_header(name, value, out);
        }
    }
}

pub(super) fn encode_header(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
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
