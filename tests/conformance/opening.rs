//! §4.2: the opening handshake, and plain HTTP on the same port (RFC 9110, RFC 9112).

use super::kit::*;
use super::{Case, Outcome, Start};
use lariat::http::{self, HeaderName, HeaderValue, StatusCode};
use lariat::protocol::time::Tick;
use lariat::protocol::{Answer, Limits, MAX_HEADERS, Method, Rejection, Request, Shared, State, Ticket, Upgrade};
use lariat::{CloseCode, CloseReason};

/// The headers of a good opening handshake.
const HEADERS: [(&str, &str); 5] = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// A good opening handshake, except for these headers: each is replaced by as many as there are values.
fn with(changes: &[(&str, &[&str])]) -> Vec<u8> {
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

/// A good opening handshake with another request line.
fn request_line(line: &str) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", &REQUEST[b"GET /chat HTTP/1.1\r\n".len()..]].concat()
}

/// A request without an upgrade.
fn plain(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: server.example.com\r\n\r\n").into_bytes()
}

/// A good opening handshake with further header lines, as they are.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    [&REQUEST[..REQUEST.len() - 2], lines, b"\r\n"].concat()
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>) -> Outcome {
    Case::new(Start::Fresh).check(bytes.as_ref())
}

/// The response that the client got, and nothing else.
#[track_caller]
fn response(outcome: &Outcome) -> &Response {
    match outcome.sent.as_slice() {
        [Sent::Response(response)] => response,
        sent => panic!("{sent:?}"),
    }
}

/// The request was accepted.
#[track_caller]
fn accepted(bytes: impl AsRef<[u8]>) -> Response {
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

/// The request was answered with HTTP.
#[track_caller]
fn answered(outcome: &Outcome, status: u16) -> Response {
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

/// The request was refused, with a body that says why.
#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, status: u16) -> Response {
    let outcome = check(bytes);
    let response = answered(&outcome, status);
    assert!(!response.body.is_empty());
    assert_eq!(response.header("content-length"), Some(response.body.len().to_string()));
    assert_eq!(response.header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
    response
}

#[test]
fn s1_3_the_example_is_answered_to_the_byte() {
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
fn s4_2_1_lists_and_cases_are_read_as_http_writes_them() {
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
    // No space behind the colon, bytes beyond ASCII, and the headers in any order.
    accepted(with_lines(b"X-Tight:value\r\nX-Latin: \xe9\xff\r\n"));
    let mut lines: Vec<&[u8]> = REQUEST[..REQUEST.len() - 4].split(|b| *b == b'\n').collect();
    lines[1..].reverse();
    let lines = lines.iter().map(|line| String::from_utf8_lossy(line).trim().to_owned()).collect::<Vec<_>>();
    accepted(lines.join("\r\n") + "\r\n\r\n");
}

#[test]
fn s4_2_1_targets() {
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
fn s4_2_1_what_is_missing_doubled_or_malformed_is_refused_with_400() {
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
fn s4_2_1_what_is_no_http_request_is_refused_with_400() {
    let lines = [
        "GET /chat",
        "GET /chat ",
        "GET  /chat HTTP/1.1",
        "GET /chat  HTTP/1.1",
        "GET /ch at HTTP/1.1",
        "GET HTTP/1.1",
        "GET /chat HTTP/2.0",
        "GET /chat HTTP/1.2",
        "GET /chat HTTP/1.1 more",
        "GET /chat http/1.1",
        "GET /chat HTTP/11",
        "GET /chat FTP/1.1",
        "GET /ch\u{0}at HTTP/1.1",
        "GET\t/chat\tHTTP/1.1",
        "G@T /chat HTTP/1.1",
        "HTTP/1.1 200 OK",
    ];
    for line in lines {
        refused(request_line(line), 400);
    }
    let headers: [&[u8]; 15] = [
        b"Header without a colon\r\n",
        b"Header\r\n",
        b": value\r\n",
        b"Space-Before-Colon : value\r\n",
        b"In Name: value\r\n",
        b" Space-Before: value\r\n",
        b"X-Folded: one\r\n two\r\n",
        b"X-Folded: one\r\n\ttwo\r\n",
        b"X-Nul: a\x00b\r\n",
        b"X-Nul\x00: a\r\n",
        b"X-Bell: a\x07b\r\n",
        b"X-Delete: a\x7fb\r\n",
        b"X-Return: a\rb\r\n",
        b"\xe9: name beyond ASCII\r\n",
        b"\r: value\r\n",
    ];
    for header in headers {
        refused(with_lines(header), 400);
    }
}

#[test]
fn s4_2_1_a_bare_line_feed_is_refused_as_soon_as_it_is_there() {
    for bytes in [&b"\n"[..], b"GET /chat HTTP/1.1\n", b"GET /chat HTTP/1.1\r\nHost: a\n", b"GET / HTTP/1.1\r\n\n"] {
        refused(bytes, 400);
    }
    refused(with_lines(b"X-Bare: value\n"), 400);
    refused(REQUEST.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<u8>>(), 400);
}

#[test]
fn what_cannot_begin_a_request_is_refused_at_its_first_byte() {
    // TLS, SSH-like binary, HTTP/2 without TLS reads as a method and fails later.
    for bytes in
        [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01\x00", b"\x00", b"\xff", b" GET / HTTP/1.1", b"1", b"\x81\x80"]
    {
        let response = refused(bytes, 400);
        assert!(String::from_utf8(response.body).unwrap().contains("TLS"), "the usual cause is named");
    }
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
}

#[test]
fn rfc_9112_2_2_an_empty_line_before_the_request_does_no_harm() {
    accepted([b"\r\n", REQUEST].concat());
    // Nothing but empty lines is no request.
    refused(b"\r\n\r\n", 400);
}

#[test]
fn s4_4_another_version_is_told_which_one_is_spoken() {
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
fn rfc_9110_15_5_6_other_methods_are_told_which_ones_there_are() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "get", "Get", "BREW"] {
        for bytes in [request_line(&format!("{method} /chat HTTP/1.1")), plain(&format!("{method} /chat HTTP/1.1"))] {
            let response = refused(bytes, 405);
            assert_eq!(response.header("allow").as_deref(), Some("GET, HEAD"));
        }
    }
    // With its body behind it, which nobody reads.
    refused(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 405);
}

#[test]
fn a_request_without_upgrade_is_plain_http() {
    let table: [Vec<u8>; 7] = [
        plain("GET /chat HTTP/1.1"),
        plain("GET /chat HTTP/1.0"),
        b"GET /chat HTTP/1.0\r\n\r\n".to_vec(),
        with(&[("Upgrade", &[])]),
        with(&[("Upgrade", &["h2c"])]),
        with(&[("Upgrade", &["websockets"])]),
        request_line("HEAD /chat HTTP/1.1"),
    ];
    for bytes in table {
        let outcome = check(&bytes);
        let seen = [
            Seen::Request { path: "/chat".into(), is_upgrade: false },
            // The application said Upgrade, which nobody had asked for.
            Seen::Refused(Rejection::UpgradeRequired),
        ];
        assert_eq!(outcome.seen, seen);
        let response = answered(&outcome, 426);
        assert_eq!(response.header("upgrade").as_deref(), Some("websocket"));
        assert_eq!(response.header("connection").as_deref(), Some("close, Upgrade"));
        assert_eq!(response.body.is_empty(), bytes.starts_with(b"HEAD"));
        assert!(response.header("content-length").unwrap().parse::<usize>().unwrap() > 0);
    }
}

/// A page at every path.
fn page(_: &Request<'_>) -> Answer {
    let response = http::Response::builder()
        .header("content-type", "text/html")
        .header("cache-control", "no-store")
        .header("content-length", "7")
        .header("transfer-encoding", "chunked");
    response.body(b"<h1>page</h1>".to_vec()).unwrap().into()
}

#[test]
fn rfc_9110_a_page_is_served_and_the_connection_closes() {
    let mut case = Case::new(Start::Fresh);
    case.decide = page;
    for line in ["GET /page HTTP/1.1", "GET /page HTTP/1.0", "HEAD /page HTTP/1.1"] {
        let response = answered(&case.check(&plain(line)), 200);
        // The application's own Content-Length and Transfer-Encoding do not go out.
        assert_eq!(response.header("content-length").as_deref(), Some("13"));
        assert_eq!(response.header("transfer-encoding"), None);
        assert_eq!(response.header("connection").as_deref(), Some("close"));
        assert_eq!(response.header("content-type").as_deref(), Some("text/html"));
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
        let body = if line.starts_with("HEAD") { &b""[..] } else { b"<h1>page</h1>" };
        assert_eq!(response.body, body, "{line}");
    }
    // An opening handshake may be answered with a page too.
    answered(&case.check(REQUEST), 200);
    // A further request behind the first is not answered.
    let two = [plain("GET /page HTTP/1.1"), plain("GET /page HTTP/1.1")].concat();
    assert_eq!(answered(&case.check(&two), 200).body, b"<h1>page</h1>");
}

#[test]
fn rfc_9110_8_6_no_content_has_no_length() {
    let mut case = Case::new(Start::Fresh);
    for (decide, status) in
        [((|_| StatusCode::NO_CONTENT.into()) as Decide, 204), ((|_| StatusCode::NOT_MODIFIED.into()) as Decide, 304)]
    {
        case.decide = decide;
        let response = answered(&case.check(&plain("GET / HTTP/1.1")), status);
        assert_eq!((response.header("content-length"), response.body), (None, vec![]));
    }
    case.decide = |_| StatusCode::FORBIDDEN.into();
    let response = answered(&case.check(REQUEST), 403);
    assert_eq!(response.body, b"403 Forbidden\n");
}

#[test]
fn rfc_9110_a_body_is_refused_and_a_large_one_with_413() {
    for method in ["GET", "HEAD"] {
        for (length, status) in [
            ("1", 400),
            ("65536", 400),
            ("65537", 413),
            ("18446744073709551615", 413),
            ("99999999999999999999", 413),
            ("-1", 400),
            ("+1", 400),
            ("", 400),
            ("1, 1", 400),
        ] {
            let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            refused(bytes, status);
        }
        refused(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"), 400);
        refused(format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"), 400);
    }
}

/// A good opening handshake of exactly this many bytes.
fn of_length(length: usize) -> Vec<u8> {
    let filler = "x".repeat(length - REQUEST.len() - "X-Filler: \r\n".len());
    let bytes = with_lines(format!("X-Filler: {filler}\r\n").as_bytes());
    assert_eq!(bytes.len(), length);
    bytes
}

#[test]
fn a_head_of_more_than_8_kib_is_refused_with_431() {
    let limit = Limits::default().max_head;
    assert_eq!(limit, 8 << 10);
    accepted(of_length(limit - 1));
    accepted(of_length(limit));
    refused(of_length(limit + 1), 431);
    refused(&of_length(limit + 1)[..limit], 431);
    refused(of_length(3 * limit), 431);
}

#[test]
fn an_endless_head_is_refused_after_bounded_bytes_in_bounded_memory() {
    for line in [&b"GET /"[..], b"GET / HTTP/1.1\r\nX: y", b"\r\n"] {
        for piece in [1, 100, 1_000, 65_536] {
            let mut talk = Talk::fresh(Shared::with_seed(Limits::default(), 0), Tick::default());
            talk.receive(line);
            let mut received = line.len();
            while talk.state() == State::Handshaking {
                assert!(received < 8 << 10, "{received} bytes were taken");
                talk.receive(&vec![b'x'; piece]);
                received += piece;
            }
            assert!(received >= 8 << 10);
            assert!(talk.most_memory < 20 << 10, "{} bytes held", talk.most_memory);
            assert_eq!(talk.flushed()[0].code(), Some(431));
            // What still comes is thrown away.
            talk.receive(&[b'x'; 10_000]);
            assert_eq!((talk.state(), talk.connection.memory()), (State::Draining, 0));
        }
    }
}

#[test]
fn more_than_64_headers_are_refused_with_431() {
    let further = |count: usize| with_lines("X: y\r\n".repeat(count - HEADERS.len()).as_bytes());
    assert_eq!(MAX_HEADERS, 64);
    accepted(further(MAX_HEADERS));
    refused(further(MAX_HEADERS + 1), 431);
    refused(further(1_000), 431);
}

#[test]
fn s4_1_frames_right_behind_the_request_are_received() {
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

    // A violation right behind it is answered after the 101.
    let outcome = check([REQUEST, &unmasked_frame(FIN | TEXT, "a")].concat());
    assert_eq!(outcome.sent.iter().map(Sent::code).collect::<Vec<_>>(), [Some(101), Some(1002)]);
    // And behind a request that is refused, nothing is.
    let outcome = check([with(&[("Host", &[])]), text("hello")].concat());
    assert_eq!((outcome.sent.len(), outcome.sent[0].code()), (1, Some(400)));
}

/// Prefers the second of two.
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
fn s4_2_2_further_headers_go_out_with_the_101() {
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
fn what_comes_while_the_application_decides_is_held_and_received_afterwards() {
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
fn a_request_says_what_an_application_asks() {
    let bytes = with(&[
        ("Origin", &["http://example.com"]),
        ("Cookie", &["a=1; b=x=y", "c=3"]),
        ("Sec-WebSocket-Protocol", &["chat", "superchat, third"]),
        ("X-Twice", &["one", "two"]),
    ]);
    let request = Request::parse(&bytes).unwrap();
    assert_eq!((request.method(), request.is_upgrade()), (Method::Get, true));
    assert_eq!((request.origin(), request.host()), (Some("http://example.com"), Some("server.example.com")));
    assert_eq!(request.cookies().collect::<Vec<_>>(), [("a", "1"), ("b", "x=y"), ("c", "3")]);
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["chat", "superchat", "third"]);
    assert_eq!(request.values("x-twice").collect::<Vec<_>>(), [b"one", b"two"]);
    assert_eq!(request.header("X-TWICE"), Some("one"));
    assert_eq!((request.header("absent"), request.headers().count()), (None, 12));
    assert_eq!(Request::parse(&plain("HEAD / HTTP/1.1")).unwrap().method(), Method::Head);
    assert_eq!(Request::parse(b"GET / HT").unwrap_err().status(), 400);
}
