//! Tests of HTTP itself (RFC 9110, RFC 9112): what a request is, how a request without an upgrade
//! is answered, and how large its head may be.

use super::kit::*;
use super::opening::{HEADERS, accepted, answered, check, plain, refused, request_line, with, with_lines};
use super::{Case, Start};
use lariat::http::{self, StatusCode};
use lariat::protocol::time::Tick;
use lariat::protocol::{Answer, Limits, MAX_COOKIES, MAX_ELEMENTS, MAX_HEADERS, Rejection, Request, Shared, State};

#[test]
fn rfc_9112_malformed_requests_are_refused_with_400() {
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
fn rfc_9112_2_2_a_bare_line_feed_is_refused_at_once() {
    for bytes in [&b"\n"[..], b"GET /chat HTTP/1.1\n", b"GET /chat HTTP/1.1\r\nHost: a\n", b"GET / HTTP/1.1\r\n\n"] {
        refused(bytes, 400);
    }
    refused(with_lines(b"X-Bare: value\n"), 400);
    refused(REQUEST.iter().copied().filter(|byte| *byte != b'\r').collect::<Vec<u8>>(), 400);
}

#[test]
fn bytes_that_cannot_begin_a_request_are_refused_at_the_first_byte() {
    // TLS and binary protocols fail at once. HTTP/2 without TLS looks like a method at first and
    // fails later.
    for bytes in
        [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01\x00", b"\x00", b"\xff", b" GET / HTTP/1.1", b"1", b"\x81\x80"]
    {
        let response = refused(bytes, 400);
        assert!(String::from_utf8(response.body).unwrap().contains("TLS"), "the response names the usual cause");
    }
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
}

#[test]
fn rfc_9112_2_2_an_empty_line_before_the_request_is_ignored() {
    accepted([b"\r\n", REQUEST].concat());
    // Empty lines alone are not a request.
    refused(b"\r\n\r\n", 400);
}

#[test]
fn rfc_9110_15_5_6_other_methods_get_405_with_the_allowed_methods() {
    for method in ["POST", "PUT", "DELETE", "TRACE", "PATCH", "get", "Get", "BREW"] {
        for bytes in [request_line(&format!("{method} /chat HTTP/1.1")), plain(&format!("{method} /chat HTTP/1.1"))] {
            let response = refused(bytes, 405);
            assert_eq!(response.header("allow").as_deref(), Some("GET, HEAD, OPTIONS"));
        }
    }
    // A tunnel cannot be told apart from what follows.
    refused(plain("CONNECT /chat HTTP/1.1"), 400);
    // Its body is not accepted.
    refused(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413);
}

#[test]
fn rfc_9110_9_3_7_options_gets_204_with_the_allowed_methods() {
    // As the health check of HAProxy sends it, and for the server itself.
    for bytes in [&b"OPTIONS / HTTP/1.0\r\n\r\n"[..], b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let response = answered(&check(bytes), 204);
        assert_eq!(response.header("allow").as_deref(), Some("GET, HEAD, OPTIONS"));
        assert!(response.body.is_empty());
    }
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
            // The application accepted an upgrade that the request did not ask for.
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

/// Answers every path with a page.
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
        // The Content-Length and Transfer-Encoding of the application are not sent.
        assert_eq!(response.header("content-length").as_deref(), Some("13"));
        assert_eq!(response.header("transfer-encoding"), None);
        assert_eq!(response.header("connection").as_deref(), Some("close"));
        assert_eq!(response.header("content-type").as_deref(), Some("text/html"));
        assert_eq!(response.header("cache-control").as_deref(), Some("no-store"));
        let body = if line.starts_with("HEAD") { &b""[..] } else { b"<h1>page</h1>" };
        assert_eq!(response.body, body, "{line}");
    }
    // An opening handshake may also be answered with a page.
    answered(&case.check(REQUEST), 200);
    // A second request after the first is not answered.
    let two = [plain("GET /page HTTP/1.1"), plain("GET /page HTTP/1.1")].concat();
    assert_eq!(answered(&case.check(&two), 200).body, b"<h1>page</h1>");
}

#[test]
fn rfc_9110_8_6_a_response_204_has_no_content_length() {
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
fn rfc_9110_a_get_or_head_request_with_a_body_is_refused() {
    for method in ["GET", "HEAD"] {
        for (length, status) in [
            ("1", 400),
            ("65536", 400),
            ("65537", 400),
            ("18446744073709551615", 400),
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

/// Returns a valid opening handshake of exactly this many bytes.
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
fn an_endless_head_is_refused_within_bounded_bytes_and_memory() {
    for line in [&b"GET /"[..], b"GET / HTTP/1.1\r\nX: y", b"\r\n"] {
        for piece in [1, 100, 1_000, 65_536] {
            let mut talk = Talk::fresh(Shared::with_seed(Limits::default(), 0), Tick::default());
            talk.receive(line);
            let mut received = line.len();
            while talk.state() == State::Handshaking {
                assert!(received < 8 << 10, "{received} bytes were accepted");
                talk.receive(&vec![b'x'; piece]);
                received += piece;
            }
            assert!(received >= 8 << 10);
            assert!(talk.most_memory < 20 << 10, "{} bytes held", talk.most_memory);
            assert_eq!(talk.flushed()[0].code(), Some(431));
            // The bytes that follow are discarded.
            talk.receive(&[b'x'; 10_000]);
            assert_eq!((talk.state(), talk.connection.memory()), (State::Draining, 0));
        }
    }
}

#[test]
fn a_list_with_too_many_elements_is_refused_with_400_that_names_it() {
    // The header, its separator, its limit, and how many elements the valid head already has.
    let table: [(&str, &str, usize, usize); 9] = [
        ("Connection", ",", MAX_ELEMENTS, 1),
        ("Upgrade", ",", MAX_ELEMENTS, 1),
        ("Sec-WebSocket-Protocol", ",", MAX_ELEMENTS, 0),
        ("Sec-WebSocket-Extensions", ",", MAX_ELEMENTS, 0),
        ("Sec-WebSocket-Extensions", ";", MAX_ELEMENTS, 0),
        ("X-Forwarded-For", ",", MAX_ELEMENTS, 0),
        ("Forwarded", ",", MAX_ELEMENTS, 0),
        ("Forwarded", ";", MAX_ELEMENTS, 0),
        ("Cookie", ";", MAX_COOKIES, 0),
    ];
    for (name, separator, limit, already) in table {
        let elements = |count: usize| (0..count).map(|n| format!("x{n}=y")).collect::<Vec<_>>();
        let list = |count: usize| {
            elements(count).join(separator).replace('=', if name == "Sec-WebSocket-Protocol" { "-" } else { "=" })
        };
        accepted(with_lines(format!("{name}: {}\r\n", list(limit - already)).as_bytes()));
        // In one line, in two, with a lower-case name, and with empty elements.
        let more = limit - already + 1;
        for lines in [
            format!("{name}: {}\r\n", list(more)),
            format!("{name}: {}\r\n{name}: z\r\n", list(more - 1)),
            format!("{}: {}\r\n", name.to_ascii_lowercase(), list(more)),
            format!("{name}: {}\r\n", separator.repeat(more)),
            format!("{name}: {}\r\n", separator.repeat(7_000)),
        ] {
            let body = String::from_utf8(refused(with_lines(lines.as_bytes()), 400).body).unwrap();
            assert!(body.contains(&format!("{name} has more than {limit} ")), "{body}");
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
