//! Compares which servers both implementations accept: the client's side of the opening handshake
//! (RFC 6455 §4.1).
//!
//! Both send the same request with the same key. A seed creates the response: a valid one in one of
//! its many forms, or one with one [`Flaw`].

use super::answers::{Answer, Flaw, OFFERED, Verdict, pick};
use super::judges::fork;
use super::kit::*;
use super::{seeds, with_seed};
use http::{HeaderValue, Request};
use lariat::CloseReason;
use lariat::protocol::time::Tick;
use lariat::protocol::{Limits, Opening, Shared, State, Unaccepted};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use tungstenite::client::IntoClientRequest;
use tungstenite::error::{ProtocolError, SubProtocolError};
use tungstenite::handshake::{HandshakeError, client::ClientHandshake};
use tungstenite::{Error, Message};

/// The number of responses.
const SEEDS: u64 = 2_000;

// ---- the two who judge --------------------------------------------------------------------------

/// Bytes that arrive in a few pieces, sometimes none. tungstenite treats many small pieces as an
/// attack.
struct Stream {
    bytes: Vec<u8>,
    at: usize,
    random: StdRng,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.random.random_ratio(1, 8) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let left = self.bytes.len() - self.at;
        let count = if self.random.random() { left } else { self.random.random_range(1..300).min(left) };
        let count = count.min(buffer.len());
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns tungstenite's request with our key.
fn their_request(url: &str, key: &str, offers: bool) -> Request<()> {
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().insert("Sec-WebSocket-Key", HeaderValue::from_str(key).expect("base64"));
    if offers {
        let offered = HeaderValue::from_str(&OFFERED.join(", ")).expect("tokens");
        request.headers_mut().insert("Sec-WebSocket-Protocol", offered);
    }
    request
}

/// The result, and the first message after the handshake if it is open.
pub type Judgement = (Verdict, Option<Seen>);

fn theirs(request: Request<()>, bytes: Vec<u8>, random: StdRng) -> Judgement {
    let stream = Stream { bytes, at: 0, random };
    let mut outcome = ClientHandshake::start(stream, request, None).expect("a valid request").handshake();
    let error = loop {
        match outcome {
            Ok((mut socket, response)) => {
                let chosen = response.headers().get("Sec-WebSocket-Protocol");
                let chosen = chosen.map(|name| name.to_str().expect("a token").to_owned());
                let seen = loop {
                    match socket.read() {
                        Ok(Message::Text(text)) => break Some(Seen::text(&text)),
                        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                        other => panic!("{other:?}"),
                    }
                };
                return (Verdict::Open(chosen), seen);
            }
            Err(HandshakeError::Interrupted(again)) => outcome = again.handshake(),
            Err(HandshakeError::Failure(error)) => break error,
        }
    };
    let verdict = match error {
        Error::Http(response) => Verdict::Status(response.status().as_u16()),
        Error::Protocol(ProtocolError::HandshakeIncomplete) => Verdict::HungUp,
        Error::HttpFormat(_) | Error::Utf8(_) => Verdict::Refused,
        Error::Protocol(
            ProtocolError::HttparseError(_)
            | ProtocolError::WrongHttpVersion
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::SecWebSocketAcceptKeyMismatch
            | ProtocolError::SecWebSocketSubProtocolError(
                SubProtocolError::NoSubProtocol
                | SubProtocolError::InvalidSubProtocol
                | SubProtocolError::ServerSentSubProtocolNoneRequested,
            ),
        ) => Verdict::Refused,
        unforeseen => panic!("tungstenite says {unforeseen:?}"),
    };
    (verdict, None)
}

/// Creates a client of ours that has sent its request. Returns both.
pub fn ask(url: &str, offers: bool, seed: u64) -> (Talk, Vec<u8>) {
    let (mut opening, _, _) = Opening::parse(url).expect("a URL");
    if offers {
        opening.offer(&OFFERED.map(str::to_owned)).expect("tokens");
    }
    let mut talk = Talk::connect(Shared::with_seed(Limits::default(), seed), Tick::default(), &opening);
    let request = std::mem::take(&mut talk.output);
    (talk, request)
}

pub fn ours(mut talk: Talk, bytes: &[u8], mut pieces: impl FnMut() -> usize) -> Judgement {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(pieces().min(rest.len()));
        talk.receive(head);
        rest = tail;
    }
    assert_eq!(talk.output, b"", "nothing is sent to a server that was refused");
    let mut seen = std::mem::take(&mut talk.seen).into_iter();
    if talk.state() == State::Open {
        let Some(Seen::Opened(chosen)) = seen.next() else { panic!("there was no event `Opened`") };
        return (Verdict::Open(chosen), seen.next());
    }
    assert_eq!(seen.next(), None);
    talk.eof();
    let verdict = match talk.end() {
        Some(CloseReason::Unaccepted(Unaccepted::Status(status) | Unaccepted::Redirect { status, .. })) => {
            Verdict::Status(status.as_u16())
        }
        Some(CloseReason::Unaccepted(Unaccepted::BadResponse(_) | Unaccepted::NotHttp(_))) => Verdict::Refused,
        Some(CloseReason::Eof) => Verdict::HungUp,
        reason => panic!("{reason:?}"),
    };
    (verdict, None)
}

// ---- the tests ----------------------------------------------------------------------------------

#[test]
fn responses_are_accepted_as_tungstenite_accepts_them() {
    const URL: &str = "ws://localhost/chat";
    let mut count: BTreeMap<Flaw, u32> = BTreeMap::new();
    for seed in seeds(SEEDS) {
        let mut random = StdRng::seed_from_u64(seed);
        let offers = random.random();
        let (talk, request) = ask(URL, offers, seed);
        let answer = Answer::new(&mut random, &accept(&request), offers);
        *count.entry(answer.flaw).or_default() += 1;
        // The server sends its first message together with its response.
        let first = Seen::text("welcome");
        let bytes = [answer.bytes.clone(), unmasked_frame(FIN | TEXT, "welcome")].concat();
        let bytes = if answer.flaw == Flaw::CutShort { answer.bytes.clone() } else { bytes };
        let expect = |verdict: &Verdict| match verdict {
            Verdict::Open(_) => (verdict.clone(), Some(first.clone())),
            _ => (verdict.clone(), None),
        };
        let shown = format!("  {:?}, offers {offers}: {}", answer.flaw, answer.bytes.escape_ascii());
        with_seed(seed, &shown, || {
            assert_eq!(ours(talk, &bytes, || usize::MAX), expect(&answer.ours), "ours, whole");
            let (talk, _) = ask(URL, offers, seed);
            let most = pick(&mut random, &[1, 7, 300]);
            let judgement = ours(talk, &bytes, || random.random_range(1..=most));
            assert_eq!(judgement, expect(&answer.ours), "ours, in pieces of at most {most}");
            let request = their_request(URL, &header_of(&request, "Sec-WebSocket-Key"), offers);
            let judgement = theirs(request, bytes.clone(), fork(&mut random));
            assert_eq!(judgement, expect(&answer.theirs), "tungstenite");
        });
    }
    if super::replayed().is_none() {
        for flaw in Flaw::ALL {
            let times = count.get(&flaw).copied().unwrap_or_default();
            assert!(times >= 20, "{flaw:?} occurred only {times} times");
        }
    }
}

/// Returns a header of a request.
fn header_of(request: &[u8], name: &str) -> String {
    let (_, headers) = parsed(request);
    let value = headers.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    value.expect("it is there").1
}

/// Returns the first line of a request and its sorted headers.
fn parsed(request: &[u8]) -> (String, Vec<(String, String)>) {
    let text = std::str::from_utf8(request).expect("a request is ASCII");
    let (first, rest) = text.strip_suffix("\r\n\r\n").expect("an empty line").split_once("\r\n").expect("headers");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let mut headers: Vec<_> = rest.split("\r\n").map(header).collect();
    headers.sort();
    (first.to_owned(), headers)
}

#[test]
fn both_send_the_same_request() {
    let urls = [
        "ws://localhost",
        "ws://localhost/",
        "ws://localhost:9998/chat?room=1&x=%20y",
        "ws://[::1]:8080/a/b/../c",
        "ws://127.0.0.1/",
        "WS://Example.ORG/Chat",
        "ws://example.org?x",
    ];
    for (url, offers) in urls.into_iter().flat_map(|url| [(url, false), (url, true)]) {
        let (_, ours) = ask(url, offers, 1);
        let request = their_request(url, &header_of(&ours, "Sec-WebSocket-Key"), offers);
        let (theirs, _) = tungstenite::handshake::client::generate_request(request).expect("a valid request");
        let (ours, mut theirs) = (parsed(&ours), parsed(&theirs));
        if url == "ws://example.org?x" {
            // "resource-name = "/" if the path component is empty ... and "?" if the query
            // component is non-empty" (§3)
            assert_eq!(theirs.0, "GET ?x HTTP/1.1");
            theirs.0 = "GET /?x HTTP/1.1".to_owned();
        }
        assert_eq!(ours, theirs, "{url}");
    }
}
