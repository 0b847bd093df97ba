//! The client's side of the opening handshake (RFC 6455 §4.1).

use super::lists::MAX_ELEMENTS;
use crate::protocol::deflate::{Agreed, Compression, Parameters, Takeover};
use crate::protocol::wire::token::is_token;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use std::fmt;
use std::io::Write;
use std::net::Ipv6Addr;
use tungstenite::handshake::derive_accept_key;

/// The request of a client's opening handshake.
#[derive(Clone, Debug)]
pub struct Opening {
    host: String,
    target: String,
    subprotocols: Vec<String>,
    headers: HeaderMap,
    is_plain: bool,
    is_secure: bool,
}

/// An error in the configuration of a client's opening handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpeningError {
    /// The URL is invalid. It must have a scheme and a host, and can have a port and a path.
    BadUrl,
    /// The scheme is neither `ws` nor `wss`, or it is `wss` and the build lacks the feature `tls`.
    BadScheme,
    /// For `wss`, the certificates that this host trusts cannot be read.
    NoTrust,
    /// A subprotocol is not a token, or is listed twice. Or there are more than 64.
    BadSubprotocol,
    /// The header is part of the handshake itself.
    BadHeader,
}

impl fmt::Display for OpeningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpeningError::BadUrl => "the URL must look like ws://host:port/path",
            OpeningError::BadScheme => "the scheme must be ws, or wss in a build with the feature tls",
            OpeningError::NoTrust => {
                "the certificates that this host trusts cannot be read: install them, or set ConnectOptions::tls"
            }
            OpeningError::BadSubprotocol => "subprotocols must be distinct tokens, such as \"chat.v1\", and at most 64",
            OpeningError::BadHeader => {
                "a header of the handshake itself cannot be set: leave it out; subprotocols have their own option"
            }
        })
    }
}

impl std::error::Error for OpeningError {}

impl Opening {
    /// Parses a URL. Returns the opening, and the host and port to connect to.
    ///
    /// # Errors
    ///
    /// [`OpeningError::BadUrl`] or [`OpeningError::BadScheme`].
    pub fn parse(url: &str) -> Result<(Opening, String, u16), OpeningError> {
        let uri: Uri = url.parse().map_err(|_| OpeningError::BadUrl)?;
        let is_secure = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case("ws") => false,
            Some(scheme) if scheme.eq_ignore_ascii_case("wss") && cfg!(feature = "tls") => true,
            Some(_) => return Err(OpeningError::BadScheme),
            None => return Err(OpeningError::BadUrl),
        };
        let authority = uri.authority().ok_or(OpeningError::BadUrl)?;
        if authority.as_str().contains('@') || url.contains('#') || authority.host().is_empty() {
            return Err(OpeningError::BadUrl);
        }
        let port = match (authority.port_u16(), authority.as_str() == authority.host()) {
            (Some(port), _) => port,
            (None, true) if is_secure => 443,
            (None, true) => 80,
            (None, false) => return Err(OpeningError::BadUrl),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let opening = Opening {
            host: authority.as_str().to_owned(),
            target,
            subprotocols: Vec::new(),
            headers: HeaderMap::new(),
            is_plain: false,
            is_secure,
        };
        let name = match authority.host().strip_prefix('[') {
            None => authority.host(),
            // Only an IPv6 address may be in brackets (RFC 3986 §3.2.2).
            Some(rest) => rest
                .strip_suffix(']')
                .filter(|address| address.parse::<Ipv6Addr>().is_ok())
                .ok_or(OpeningError::BadUrl)?,
        };
        Ok((opening, name.to_owned(), port))
    }

    /// Returns whether the scheme is `wss`: TLS comes first.
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Offers subprotocols, the preferred one first.
    ///
    /// # Errors
    ///
    /// [`OpeningError::BadSubprotocol`] if one is not a token or is listed twice, or if there are
    /// more than [`MAX_ELEMENTS`](crate::protocol::MAX_ELEMENTS).
    pub fn offer(&mut self, subprotocols: &[String]) -> Result<(), OpeningError> {
        let is_bad = |(index, name): (usize, &String)| !is_token(name) || subprotocols[..index].contains(name);
        if subprotocols.len() > MAX_ELEMENTS || subprotocols.iter().enumerate().any(is_bad) {
            return Err(OpeningError::BadSubprotocol);
        }
        self.subprotocols = subprotocols.to_vec();
        Ok(())
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// [`OpeningError::BadHeader`] if the header is part of the handshake itself.
    pub fn header(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), OpeningError> {
        let own =
            [header::HOST, header::UPGRADE, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        if own.contains(&name) || name.as_str().starts_with("sec-websocket-") {
            return Err(OpeningError::BadHeader);
        }
        self.headers.append(name, value);
        Ok(())
    }

    /// Turns off the offer of compression.
    pub const fn uncompressed(&mut self) {
        self.is_plain = true;
    }

    /// Appends the request to `out` and returns what the response must contain. `key` is 16 random
    /// bytes in base64.
    pub(crate) fn encode(&self, key: &str, deflate: Option<(Parameters, Takeover)>, out: &mut Vec<u8>) -> Expected {
        let deflate = deflate.filter(|_| !self.is_plain);
        write!(
            out,
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            self.target, self.host
        )
        .expect("a Vec takes every write");
        if !self.subprotocols.is_empty() {
            write!(out, "Sec-WebSocket-Protocol: {}\r\n", self.subprotocols.join(", "))
                .expect("a Vec takes every write");
        }
        if let Some((offer, _)) = deflate {
            write!(out, "Sec-WebSocket-Extensions: {offer}\r\n").expect("a Vec takes every write");
        }
        super::http_response::encode_headers(&self.headers, out);
        out.extend_from_slice(b"\r\n");
        Expected {
            accept: derive_accept_key(key.as_bytes()),
            subprotocols: self.subprotocols.clone(),
            deflate,
            interim: 0,
        }
    }
}

/// The number of interim responses (1xx) that may precede the final one.
const MAX_INTERIM: u8 = 4;

/// The contents that the server's response must have.
#[derive(Debug)]
pub(crate) struct Expected {
    accept: String,
    subprotocols: Vec<String>,
    deflate: Option<(Parameters, Takeover)>,
    /// The number of interim responses skipped so far.
    interim: u8,
}

/// The options that the server chose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) subprotocol: Option<String>,
    pub(crate) agreed: Agreed,
}

/// The reason why the server's response does not open the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unaccepted {
    /// The server responded with a status other than 101. Up to four interim responses (1xx) are
    /// skipped before it.
    Status(StatusCode),
    /// The server responded with a status 3xx and this `Location`.
    Redirect {
        /// The status.
        status: StatusCode,
        /// The server's text, as it is. Bytes that are not UTF-8 are replaced.
        location: Box<str>,
    },
    /// The answer is not HTTP/1. Its first bytes, at most 64.
    NotHttp(Box<[u8]>),
    /// The response breaks the rule that the text names (§4.1).
    BadResponse(&'static str),
}

impl fmt::Display for Unaccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unaccepted::Status(status) => write!(
                f,
                "the server responded with {status}, not with 101: check the path, the credentials and the Origin"
            ),
            Unaccepted::Redirect { status, location } => {
                write!(f, "the server responded with {status}: connect to its Location, {location:?}")
            }
            Unaccepted::NotHttp(bytes) => {
                write!(
                    f,
                    "the server's answer is not HTTP/1: check the port. It begins with \"{}\"",
                    bytes.escape_ascii()
                )
            }
            Unaccepted::BadResponse(why) => write!(f, "the server's handshake is invalid: {why}"),
        }
    }
}

impl std::error::Error for Unaccepted {}

/// Returns the first bytes of an answer that cannot become an HTTP/1 response. `head` may be
/// incomplete. Empty lines before a response are allowed, as in httparse, if they end with CR LF.
pub(crate) fn not_http(head: &[u8]) -> Option<Box<[u8]>> {
    const SHOWN: usize = 64;
    let begin = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(head.len());
    let (empty_lines, line) = head.split_at(begin);
    let mut ends = empty_lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let is_http =
        ends.all(|end| end.ends_with(b"\r\n")) && line.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
    (!is_http).then(|| head[..head.len().min(SHOWN)].into())
}

impl Expected {
    /// Returns whether a refusal was only an interim response, after which the final one follows
    /// (RFC 9110 §15.2). Returns `false` if the server has sent too many of them.
    pub(crate) fn skips(&mut self, refusal: &Unaccepted) -> bool {
        let is_interim = matches!(refusal, Unaccepted::Status(status) if status.is_informational());
        self.interim += u8::from(is_interim);
        is_interim && self.interim <= MAX_INTERIM
    }

    /// Checks a complete response head (§4.1) and returns the options that the server chose.
    pub(crate) fn judge(&self, compression: &Compression, head: &[u8]) -> Result<Accepted, Unaccepted> {
        let mut headers = [httparse::EMPTY_HEADER; super::request::MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) | Err(_) => {
                return Err(not_http(head).map_or(Unaccepted::BadResponse("malformed"), Unaccepted::NotHttp));
            }
        }
        let headers = &*response.headers;
        let values = |name: &'static str| {
            let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value.trim_ascii())
        };
        let code = response.code.unwrap_or_default();
        if code != 101 {
            let status = StatusCode::from_u16(code).map_err(|_| Unaccepted::BadResponse("malformed status"))?;
            let location = values("location").next().filter(|_| status.is_redirection());
            return Err(location.map_or(Unaccepted::Status(status), |location| Unaccepted::Redirect {
                status,
                location: String::from_utf8_lossy(location).into(),
            }));
        }
        super::lists::check_lists(headers).map_err(Unaccepted::BadResponse)?;
        if response.version != Some(1) {
            return Err(Unaccepted::BadResponse("not HTTP/1.1"));
        }
        let mut upgrades = values("upgrade");
        if !(upgrades.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) && upgrades.next().is_none())
        {
            return Err(Unaccepted::BadResponse("Upgrade is not websocket"));
        }
        let tokens = values("connection").flat_map(|value| value.split(|byte| *byte == b','));
        if !tokens.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
            return Err(Unaccepted::BadResponse("Connection does not list Upgrade"));
        }
        if !values("sec-websocket-accept").eq([self.accept.as_bytes()]) {
            return Err(Unaccepted::BadResponse("Sec-WebSocket-Accept does not match the key"));
        }
        let agreed =
            compression.judge(self.deflate, values("sec-websocket-extensions")).map_err(Unaccepted::BadResponse)?;
        let mut chosen = values("sec-websocket-protocol");
        match (chosen.next(), chosen.next()) {
            (None, _) => Ok(Accepted { subprotocol: None, agreed }),
            (Some(name), None) => match self.subprotocols.iter().find(|offered| offered.as_bytes() == name) {
                Some(offered) => Ok(Accepted { subprotocol: Some(offered.clone()), agreed }),
                None => Err(Unaccepted::BadResponse("a subprotocol that was not offered")),
            },
            (Some(_), Some(_)) => Err(Unaccepted::BadResponse("more than one subprotocol")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let parsed = |url| Opening::parse(url).map(|(opening, name, port)| (opening.host, name, port, opening.target));
        let expect = |a: &str, b: &str, port, d: &str| Ok((a.to_owned(), b.to_owned(), port, d.to_owned()));
        assert_eq!(parsed("ws://localhost:9998/echo?a=b"), expect("localhost:9998", "localhost", 9998, "/echo?a=b"));
        assert_eq!(parsed("ws://[::1]:9998"), expect("[::1]:9998", "::1", 9998, "/"));
        assert_eq!(parsed("WS://example.org?x"), expect("example.org", "example.org", 80, "/?x"));
        let secure = parsed("wss://example.org/").map(|(_, _, port, _)| port);
        assert_eq!(secure, if cfg!(feature = "tls") { Ok(443) } else { Err(OpeningError::BadScheme) });
        for bad in ["", "/echo", "ws://", "ws:///x", "ws://u:p@h/", "ws://h/#f", "ws://h:99999/", "ws://h/ x"] {
            assert_eq!(parsed(bad).unwrap_err(), OpeningError::BadUrl, "{bad:?}");
        }
        for bad in ["ws://[]:9908", "ws://[host]/", "ws://[[::1]]/", "ws://[127.0.0.1]/", "ws://[::1/"] {
            assert_eq!(parsed(bad).unwrap_err(), OpeningError::BadUrl, "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_become_a_response_is_known_however_much_of_it_has_arrived() {
        for answer in [&b"\nHTTP/1.1 101\r\n"[..], b"\r\n\nx", b"\r\r\nSSH-2.0", b"\r\rH\n", b"HTTP/2 101\r\n"] {
            let known = (1..=answer.len()).map(|length| not_http(&answer[..length]).is_some());
            let mut later = known.skip_while(|known| !known).peekable();
            assert!(later.peek().is_some() && later.all(|known| known), "{}", answer.escape_ascii());
        }
        for answer in [&b""[..], b"\r", b"\r\n\r\n", b"\r\nHTT", b"\r\r\nHTTP/1.1 101 \n"] {
            assert_eq!(not_http(answer), None, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn a_list_with_more_than_64_elements_is_neither_offered_nor_accepted() {
        let (mut opening, _, _) = Opening::parse("ws://localhost/").unwrap();
        let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(opening.offer(&names(MAX_ELEMENTS + 1)), Err(OpeningError::BadSubprotocol));
        assert_eq!(opening.offer(&names(MAX_ELEMENTS)), Ok(()));
        let expected = opening.encode("AQIDBAUGBwgJCgsMDQ4PEA==", None, &mut Vec::new());
        let judge = |tokens: usize| {
            let connection = format!("upgrade{}", ", x".repeat(tokens - 1));
            let accept = &expected.accept;
            let head = format!(
                "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: {connection}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            expected.judge(&Compression::default(), head.as_bytes()).map(|accepted| accepted.subprotocol)
        };
        assert_eq!(judge(MAX_ELEMENTS), Ok(None));
        let why = "Connection has more than 64 elements";
        assert_eq!(judge(MAX_ELEMENTS + 1), Err(Unaccepted::BadResponse(why)));
    }

    #[test]
    fn an_answer_that_is_not_http_is_noticed_by_its_first_bytes() {
        for head in ["", "\r\n", "H", "HTTP/1", "HTTP/1.1 2", "\r\nHTTP/1.0 200 OK\r\n"] {
            assert_eq!(not_http(head.as_bytes()), None, "{head:?}");
        }
        for head in [&b"SSH-2.0-x\r\n"[..], b"\x15\x03\x01", b"HTTP/2.0 200", b"\r\n220 mail", b"h"] {
            assert_eq!(not_http(head).as_deref(), Some(head));
        }
        assert_eq!(not_http(&[b'x'; 1_000]).map(|bytes| bytes.len()), Some(64));
    }

    #[test]
    fn only_a_complete_and_matching_response_is_accepted() {
        let (mut opening, _, _) = Opening::parse("ws://localhost/").unwrap();
        opening.offer(&["chat".to_owned(), "talk".to_owned()]).unwrap();
        let expected = opening.encode("AQIDBAUGBwgJCgsMDQ4PEA==", None, &mut Vec::new());
        let answer = |status: &str, lines: &[&str]| {
            let accept = format!("Sec-WebSocket-Accept: {}", expected.accept);
            let lines: Vec<&str> =
                lines.iter().map(|line| if *line == "ACCEPT" { accept.as_str() } else { line }).collect();
            let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let head = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
            expected.judge(&Compression::default(), head.as_bytes()).map(|accepted| accepted.subprotocol)
        };
        let (upgrade, connection) = ("upgrade: WebSocket", "connection: keep-alive, Upgrade");
        assert_eq!(answer("101 X", &[upgrade, connection, "ACCEPT"]), Ok(None));
        let chosen = answer("101 X", &[upgrade, connection, "ACCEPT", "Sec-WebSocket-Protocol: talk"]);
        assert_eq!(chosen, Ok(Some("talk".to_owned())));
        assert_eq!(answer("404 No", &[]), Err(Unaccepted::Status(StatusCode::NOT_FOUND)));
        // Without a redirection, a Location has another meaning.
        assert_eq!(answer("404 No", &["Location: /x"]), Err(Unaccepted::Status(StatusCode::NOT_FOUND)));
        let redirect = Unaccepted::Redirect { status: StatusCode::FOUND, location: "wss://h/x".into() };
        assert_eq!(answer("302 X", &["location:  wss://h/x "]), Err(redirect));
        assert_eq!(answer("302 X", &[]), Err(Unaccepted::Status(StatusCode::FOUND)));
        let bad: [&[&str]; 9] = [
            &[connection, "ACCEPT"],
            &["upgrade: h2c", connection, "ACCEPT"],
            &[upgrade, "ACCEPT"],
            &[upgrade, connection],
            &[upgrade, connection, "ACCEPT", "ACCEPT"],
            &[upgrade, connection, "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="],
            &[upgrade, connection, "ACCEPT", "Sec-WebSocket-Protocol: other"],
            &[upgrade, connection, "ACCEPT", "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: talk"],
            &[upgrade, connection, "ACCEPT", "Sec-WebSocket-Extensions: x"],
        ];
        for lines in bad {
            assert!(matches!(answer("101 X", lines), Err(Unaccepted::BadResponse(_))), "{lines:?}");
        }
    }
}
