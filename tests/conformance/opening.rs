//! §4: the opening handshake.

use super::kit::*;
use super::{Case, Outcome, Start};
use lariat::Method;
use lariat::http::{HeaderName, HeaderValue, StatusCode};
use lariat::protocol::time::Tick;
use lariat::protocol::{Answer, Limits, Rejection, Request, Shared, State, Ticket, Upgrade};
use lariat::{CloseCode, CloseReason};

/// The headers of a valid opening handshake.
pub const HEADERS: [(&str, &str); 5] = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// Returns a valid opening handshake with changes: each of these headers is replaced by one header
/// per value.
pub fn with(changes: &[(&str, &[&str])]) -> Vec<u8> {
    let mut lines = vec!["GET /chat HTTP/1.1".to_owned()];
    for (name, value) in HEADERS {
        if !changes.iter().any(|(changed, _)| changed.eq_ignore_ascii_case(name)) {
            lines.push(format!("{name}: {value}"));
        }
    }
    for (name, values) in changes {
        lines.extend(values.iter().map(|value| format!("{name}: {value}")));
    }
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// Returns a valid opening handshake with another request line.
pub fn request_line(line: &str) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", &REQUEST[b"GET /chat HTTP/1.1\r\n".len()..]].concat()
}

/// Returns a request without an upgrade.
pub fn plain(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: server.example.com\r\n\r\n").into_bytes()
}

/// Returns a valid opening handshake with more header lines, which are not changed.
pub fn with_lines(lines: &[u8]) -> Vec<u8> {
    [&REQUEST[..REQUEST.len() - 2], lines, b"\r\n"].concat()
}

#[track_caller]
pub fn check(bytes: impl AsRef<[u8]>) -> Outcome {
    Case::new(Start::Fresh).check(bytes.as_ref())
}

/// Returns the response, which must be the only output.
#[track_caller]
pub fn response(outcome: &Outcome) -> &Response {
    match outcome.sent.as_slice() {
        [Sent::Response(response)] => response,
        sent => panic!("{sent:?}"),
    }
}

/// Checks that the request was accepted.
#[track_caller]
pub fn accepted(bytes: impl AsRef<[u8]>) -> Response {
    let outcome = check(bytes);
    let response = response(&outcome).clone();
    assert_eq!((response.status, outcome.state), (101, State::Open), "{outcome:?}");
    assert!(outcome.is_idle);
    assert_eq!(response.header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(response.header("connection").as_deref(), Some("Upgrade"));
    assert_eq!(response.header("sec-websocket-accept").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.header("content-length"), None);
    response
}

/// Checks that the request got an HTTP response.
#[track_caller]
pub fn answered(outcome: &Outcome, status: u16) -> Response {
    let response = response(outcome).clone();
    assert_eq!(response.status, status, "{outcome:?}");
    assert_eq!((outcome.state, outcome.is_idle), (State::Draining, true));
    let reason = CloseReason::Refused(StatusCode::from_u16(status).unwrap());
    assert_eq!((reason.code(), reason.was_clean()), (CloseCode::Abnormal, false));
    assert_eq!(outcome.reason, Some(reason));
    let connection = response.header("connection").unwrap().to_ascii_lowercase();
    assert!(connection.split(", ").any(|token| token == "close"), "{connection}");
    assert_eq!(response.header("x-content-type-options").as_deref(), Some("nosniff"));
    response
}

/// Checks that the request was refused, with a body that names the reason.
#[track_caller]
pub fn refused(bytes: impl AsRef<[u8]>, status: u16) -> Response {
    let outcome = check(bytes);
    let response = answered(&outcome, status);
    assert!(!response.body.is_empty());
    assert_eq!(response.header("content-length"), Some(response.body.len().to_string()));
    assert_eq!(response.header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
    response
}

#[test]
fn s1_3_the_example_gets_the_exact_response() {
    let mut talk = Talk::fresh(Shared::with_seed(Limits::default(), 0), Tick::default());
    talk.receive(REQUEST);
    talk.flush();
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(String::from_utf8(talk.output.clone()).unwrap(), expected);
    assert_eq!(talk.seen, [Seen::Request { path: "/chat".into(), is_upgrade: true }]);
    accepted(REQUEST);
}

#[test]
fn s4_2_1_header_lists_and_letter_case_follow_http() {
    let table: [&[(&str, &[&str])]; 22] = [
        &[],
        &[("Connection", &["keep-alive, Upgrade"])],
        &[("Connection", &["Upgrade, keep-alive"])],
        &[("Connection", &["keep-alive,Upgrade"])],
        &[("Connection", &["keep-alive ,\t Upgrade , "])],
        &[("Connection", &["keep-alive", "Upgrade"])],
        &[("Connection", &["Upgrade", "keep-alive"])],
        &[("Connection", &["UPGRADE"])],
        &[("Upgrade", &["WebSocket"])],
        &[("Upgrade", &["WEBSOCKET"])],
        &[("Upgrade", &["h2c, websocket"])],
        &[("Upgrade", &["websocket, h2c"])],
        &[("Upgrade", &["h2c", "websocket"])],
        &[("host", &["server.example.com"]), ("UPGRADE", &["websocket"]), ("connection", &["upgrade"])],
        &[("SEC-WEBSOCKET-KEY", &["dGhlIHNhbXBsZSBub25jZQ=="]), ("sec-websocket-version", &["13"])],
        &[("Sec-WebSocket-Key", &["  dGhlIHNhbXBsZSBub25jZQ==  "]), ("Sec-WebSocket-Version", &["\t13 "])],
        &[("Host", &[""])],
        &[("Host", &["[::1]:9998"])],
        &[("Content-Length", &["0"])],
        &[("Origin", &["http://example.com"]), ("Cookie", &["a=1; b=2"])],
        &[("Sec-WebSocket-Extensions", &["permessage-deflate; client_max_window_bits"])],
        &[("Sec-WebSocket-Protocol", &["chat, superchat", "third"])],
    ];
    for changes in table {
        let response = accepted(with(changes));
        assert_eq!(response.header("sec-websocket-protocol"), None, "nothing was chosen");
        assert_eq!(response.header("sec-websocket-extensions"), None, "nothing was negotiated");
    }
    // No space after the colon, bytes beyond ASCII, and the headers in any order.
    accepted(with_lines(b"X-Tight:value\r\nX-Latin: \xe9\xff\r\n"));
    let mut lines: Vec<&[u8]> = REQUEST[..REQUEST.len() - 4].split(|b| *b == b'\n').collect();
    lines[1..].reverse();
    let lines = lines.iter().map(|line| String::from_utf8_lossy(line).trim().to_owned()).collect::<Vec<_>>();
    accepted(lines.join("\r\n") + "\r\n\r\n");
}

#[test]
fn s4_2_1_request_targets_are_parsed() {
    let table = [
        ("/", "/", None),
        ("/chat", "/chat", None),
        ("/chat?room=1", "/chat", Some("room=1")),
        ("/chat?", "/chat", Some("")),
        ("/chat?a=http://b/?c", "/chat", Some("a=http://b/?c")),
        ("/a%20b/../c", "/a%20b/../c", None),
        ("//host/path", "//host/path", None),
        ("http://server.example.com/chat?room=1", "/chat", Some("room=1")),
        ("WS://server.example.com:80/chat", "/chat", None),
        ("https://server.example.com", "/", None),
    ];
    for (target, path, query) in table {
        let bytes = request_line(&format!("GET {target} HTTP/1.1"));
        let request = Request::parse(&bytes).unwrap();
        assert_eq!((request.path(), request.query(), request.is_upgrade()), (path, query, true), "{target}");
        accepted(bytes);
    }
    for target in ["*", "chat", "/chat#fragment", "server.example.com:80", "ftp://server/", "http://server?query", "#"]
    {
        refused(request_line(&format!("GET {target} HTTP/1.1")), 400);
    }
}

#[test]
fn s4_2_1_missing_repeated_or_malformed_headers_are_refused_with_400() {
    let key = HEADERS[3].1;
    let long = "A".repeat(2_000);
    let table: [&[(&str, &[&str])]; 29] = [
        &[("Host", &[])],
        &[("Host", &["a.example", "b.example"])],
        &[("Host", &["same.example", "same.example"])],
        &[("Connection", &[])],
        &[("Connection", &["keep-alive"])],
        &[("Connection", &["close"])],
        &[("Connection", &["Upgraded"])],
        &[("Connection", &["\"Upgrade\""])],
        &[("Sec-WebSocket-Key", &[])],
        &[("Sec-WebSocket-Key", &[""])],
        &[("Sec-WebSocket-Key", &[key, key])],
        &[("Sec-WebSocket-Key", &[key, "AQIDBAUGBwgJCgsMDQ4PEA=="])],
        &[("Sec-WebSocket-Key", &["not base64 at all!!!!!=="])],
        &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ"])],
        &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ="])],
        &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25j"])],
        &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZWU="])],
        &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZWVl"])],
        &[("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="])],
        &[("Sec-WebSocket-Key", &[&long])],
        &[("Sec-WebSocket-Version", &["13", "13"])],
        &[("Sec-WebSocket-Version", &["13", "8"])],
        &[("Sec-WebSocket-Protocol", &["chat, chat"])],
        &[("Sec-WebSocket-Protocol", &["chat", "chat"])],
        &[("Sec-WebSocket-Protocol", &["with space"])],
        &[("Sec-WebSocket-Protocol", &["sub/protocol"])],
        &[("Content-Length", &["1"])],
        &[("Content-Length", &["0x0"])],
        &[("Transfer-Encoding", &["chunked"])],
    ];
    for changes in table {
        refused(with(changes), 400);
    }
}

#[test]
fn s4_4_another_version_gets_426_with_the_supported_version() {
    for versions in [&[][..], &["8"], &["12"], &["14"], &["0"], &["255"], &["130"], &["013"], &["13, 8"], &[""], &["x"]]
    {
        let response = refused(with(&[("Sec-WebSocket-Version", versions)]), 426);
        assert_eq!(response.header("sec-websocket-version").as_deref(), Some("13"));
        assert_eq!(response.header("upgrade").as_deref(), Some("websocket"));
        assert_eq!(response.header("connection").as_deref(), Some("close, Upgrade"));
    }
}

#[test]
fn s4_2_1_an_upgrade_needs_http_1_1() {
    refused(request_line("GET /chat HTTP/1.0"), 400);
}

#[test]
fn s4_1_frames_directly_after_the_request_are_received() {
    let bytes = [REQUEST, &text("hello"), &frame(FIN | PING, "p"), &frame(BINARY, "a"), &frame(FIN, "b")].concat();
    let outcome = check(bytes);
    let seen = [
        Seen::Request { path: "/chat".into(), is_upgrade: true },
        Seen::text("hello"),
        Seen::ping("p"),
        Seen::binary("ab"),
    ];
    assert_eq!(outcome.seen, seen);
    assert_eq!((outcome.sent[0].code(), &outcome.sent[1..]), (Some(101), &[Sent::pong("p")][..]));
    assert_eq!(outcome.state, State::Open);

    // A violation directly after the request is answered after the 101.
    let outcome = check([REQUEST, &unmasked_frame(FIN | TEXT, "a")].concat());
    assert_eq!(outcome.sent.iter().map(Sent::code).collect::<Vec<_>>(), [Some(101), Some(1002)]);
    // After a refused request, nothing is received.
    let outcome = check([with(&[("Host", &[])]), text("hello")].concat());
    assert_eq!((outcome.sent.len(), outcome.sent[0].code()), (1, Some(400)));
}

/// Prefers the second of two subprotocols.
fn subprotocol(request: &Request<'_>) -> Answer {
    match request.choose_subprotocol(&["superchat", "chat"]) {
        Some(chosen) => Upgrade::new().subprotocol(chosen).into(),
        None => Upgrade::new().into(),
    }
}

#[test]
fn s4_2_2_the_servers_preferred_subprotocol_is_chosen() {
    let mut case = Case::new(Start::Fresh);
    case.decide = subprotocol;
    for (offered, chosen) in [
        (&["chat, superchat"][..], Some("superchat")),
        (&["chat"], Some("chat")),
        (&["superchat"], Some("superchat")),
        (&["other", "chat"], Some("chat")),
        (&["other,chat,,third"], Some("chat")),
        (&["other"], None),
        (&["Chat"], None),
        (&[""], None),
        (&[], None),
    ] {
        let outcome = case.check(&with(&[("Sec-WebSocket-Protocol", offered)]));
        assert_eq!(outcome.state, State::Open);
        assert_eq!(response(&outcome).header("sec-websocket-protocol").as_deref(), chosen, "{offered:?}");
    }
}

#[test]
fn s4_2_2_an_answer_that_the_client_could_not_accept_becomes_a_500() {
    let mut case = Case::new(Start::Fresh);
    let table: [Decide; 8] = [
        |_| Upgrade::new().subprotocol("never offered").into(),
        |_| Upgrade::new().subprotocol("third").into(),
        |_| Upgrade::new().subprotocol("").into(),
        |_| Upgrade::new().subprotocol("chat,superchat").into(),
        |_| Upgrade::new().header(HeaderName::from_static("upgrade"), HeaderValue::from_static("h2c")).into(),
        |_| Upgrade::new().header(HeaderName::from_static("connection"), HeaderValue::from_static("close")).into(),
        |_| Upgrade::new().header(HeaderName::from_static("content-length"), HeaderValue::from_static("0")).into(),
        |_| {
            Upgrade::new().header(HeaderName::from_static("sec-websocket-accept"), HeaderValue::from_static("x")).into()
        },
    ];
    for decide in table {
        case.decide = decide;
        let outcome = case.check(&with(&[("Sec-WebSocket-Protocol", &["chat, superchat"])]));
        answered(&outcome, 500);
        assert!(matches!(outcome.seen[1], Seen::Refused(Rejection::BadAnswer(_))), "{:?}", outcome.seen);
    }
}

#[test]
fn s4_2_2_more_headers_are_sent_with_the_101() {
    let mut case = Case::new(Start::Fresh);
    case.decide = |_| {
        let (set_cookie, server) = (HeaderName::from_static("set-cookie"), HeaderName::from_static("server"));
        let upgrade = Upgrade::new().header(set_cookie.clone(), HeaderValue::from_static("a=1"));
        upgrade
            .header(set_cookie, HeaderValue::from_static("b=2"))
            .header(server, HeaderValue::from_static("Lariat"))
            .into()
    };
    let outcome = case.check(REQUEST);
    assert_eq!(outcome.state, State::Open);
    assert_eq!(response(&outcome).header("set-cookie").as_deref(), Some("a=1, b=2"));
    assert_eq!(response(&outcome).header("server").as_deref(), Some("Lariat"));
}

#[test]
fn bytes_that_arrive_before_the_answer_are_received_after_it() {
    let frames = [text("early"), frame(FIN | PING, "p"), frame(TEXT, "a"), frame(FIN, "b")].concat();
    for cut in 0..=frames.len() {
        let mut talk = Talk::fresh(Shared::with_seed(Limits::default(), 0), Tick::default());
        talk.decide = |_| Answer::Later;
        talk.receive(&[REQUEST, &frames[..cut]].concat());
        talk.receive(&frames[cut..]);
        assert_eq!((talk.state(), talk.seen.len(), talk.flushed()), (State::Deciding, 1, vec![]));
        assert!(talk.connection.take_held(&mut talk.shared).is_empty(), "not before the answer");
        assert!(talk.connection.memory() >= frames.len());

        let ticket: Ticket = talk.connection.take_ticket().unwrap();
        assert!(ticket.is_upgrade());
        let outcome = talk.connection.answer(&mut talk.shared, talk.now, ticket, Upgrade::new().into());
        assert_eq!((outcome, talk.state()), (Ok(()), State::Open));
        let held = talk.connection.take_held(&mut talk.shared);
        assert_eq!(held, frames);
        talk.receive(&held);
        assert_eq!(talk.seen[1..], [Seen::text("early"), Seen::ping("p"), Seen::text("ab")]);
        let sent = talk.flushed();
        assert_eq!((sent[0].code(), &sent[1..]), (Some(101), &[Sent::pong("p")][..]));
        assert_eq!(talk.connection.memory(), 0);
    }
}

#[test]
fn a_request_returns_its_parts_to_the_application() {
    let bytes = with(&[
        ("Origin", &["http://example.com"]),
        ("Cookie", &["a=1; b=x=y", "c=3"]),
        ("Sec-WebSocket-Protocol", &["chat", "superchat, third"]),
        ("X-Twice", &["one", "two"]),
    ]);
    let request = Request::parse(&bytes).unwrap();
    assert_eq!((request.method(), request.is_upgrade()), (&Method::GET, true));
    assert_eq!((request.origin(), request.host()), (Some("http://example.com"), Some("server.example.com")));
    assert_eq!(request.cookies().collect::<Vec<_>>(), [("a", "1"), ("b", "x=y"), ("c", "3")]);
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat", "third"]);
    assert_eq!(request.values("x-twice").collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(request.header("X-TWICE"), Some("one"));
    assert_eq!((request.header("absent"), request.headers().count()), (None, 12));
    assert_eq!(Request::parse(&plain("HEAD / HTTP/1.1")).unwrap().method(), &Method::HEAD);
    assert_eq!(Request::parse(b"GET / HT").unwrap_err().status(), 400);
}
