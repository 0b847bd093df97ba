//! The log of each connection's life, and text of strangers in it.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::Wire;
use common::program::{Program, lariat};
use std::net::SocketAddr;
use std::process::Stdio;

/// Runs the program with the log at level `debug` while `visit` talks to it. Returns the log.
fn logged(visit: impl FnOnce(SocketAddr)) -> String {
    let mut command = lariat(&["--listen", "127.0.0.1:0"]);
    command.env("RUST_LOG", "lariat=debug").stderr(Stdio::piped());
    let mut program = Program::spawn(command);
    visit(program.ready());
    program.stop()
}

/// Returns a request for an upgrade with more lines.
fn upgrade(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// Returns a masked frame with a key of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | u8::try_from(payload.len()).expect("a short frame"), 0, 0, 0, 0], payload].concat()
}

#[track_caller]
fn has_line(log: &str, words: &[&str]) {
    let is_found = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_found, "no line has {words:?}:\n{log}");
}

#[test]
fn each_event_of_a_connection_is_a_line() {
    let mut peer = None;
    let log = logged(|addr| {
        let mut wire = Wire::connect(addr);
        peer = Some(wire.stream.get_ref().local_addr().expect("it is connected"));
        wire.send(upgrade("/echo?token=secret", "Origin: http://localhost:1\r\n").as_bytes());
        assert_eq!(wire.response().status(), 101);
        wire.send(&frame(0x81, b"hello"));
        wire.expect(0x81, b"hello");
        wire.send(&frame(0x88, b"\x03\xe8bye"));
        wire.expect_close(1000);
        wire.expect_end();
        for (request, status) in [
            (upgrade("/echo", "Sec-WebSocket-Protocol: a,a\r\n"), 400),
            (upgrade("/chat", "Origin: http://evil.example\r\n"), 403),
            ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 404),
            (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9_000)), 431),
        ] {
            let mut wire = Wire::connect(addr);
            wire.send(request.as_bytes());
            assert_eq!(wire.response().status(), status);
        }
    });
    has_line(&log, &["connected from", &peer.expect("it was connected").to_string()]);
    has_line(&log, &["requested /echo, origin: http://localhost:1"]);
    has_line(&log, &["requested /nowhere, no origin"]);
    has_line(&log, &[" opened"]);
    has_line(&log, &["closed after ", "received 1 messages of 5 bytes, sent 1 of 5: closed by the peer: 1000 bye"]);
    has_line(&log, &["refused with 400 Bad Request: malformed or repeated Sec-WebSocket-Protocol"]);
    has_line(&log, &["refused with 403 Forbidden"]);
    has_line(&log, &["refused with 404 Not Found"]);
    // Also without the level `debug`, at most once per status and interval.
    has_line(
        &log,
        &["WARN", "requests refused with 431 Request Header Fields Too Large: 1; the last from 127.0.0.1:", "cookies"],
    );
    has_line(&log, &["refused with 431 Request Header Fields Too Large: the request head is too large"]);
    assert!(!log.contains("secret"), "{log}");
}

/// A peer that does not come to the point of a Close frame did not leave one out.
#[test]
fn a_peer_that_leaves_early_is_not_blamed_for_a_close_frame() {
    let log = logged(|addr| {
        for request in ["", "GET /echo HTTP/1.1\r\nHost:"] {
            let mut wire = Wire::connect(addr);
            wire.send(request.as_bytes());
            wire.stream.get_ref().shutdown(std::net::Shutdown::Write).expect("it is connected");
            wire.expect_end();
        }
        drop(Wire::open_at(addr, "/echo"));
    });
    has_line(&log, &["closed after ", ": the peer disconnected, and had sent nothing"]);
    has_line(&log, &["closed after ", ": the peer disconnected before the opening handshake was complete"]);
    has_line(&log, &["closed after ", ": the peer disconnected without a Close frame"]);
}

#[test]
fn a_stranger_cannot_write_control_or_bidirectional_characters_into_the_log() {
    const BAD: &str = "a\u{202e}b\u{2066}c\u{200f}d\u{2028}e\u{9b}f";
    let log = logged(|addr| {
        for request in [
            upgrade(&format!("/echo/{BAD}"), ""),
            upgrade("/chat", &format!("Origin: {BAD}\r\n")),
            upgrade("/chat", &format!("Origin: http://{BAD}.example\r\nX-{BAD}: y\r\n")),
            upgrade("/echo", &format!("Sec-WebSocket-Protocol: {BAD}\r\n")),
            upgrade("/echo", &format!("X: {BAD}\u{1b}[2J\r\n")),
            upgrade("/echo\u{1b}[2J", ""),
        ] {
            let mut wire = Wire::connect(addr);
            wire.send(request.as_bytes());
            assert_ne!(wire.response().status(), 101, "{request:?}");
        }
        let mut wire = Wire::open_at(addr, "/echo");
        let reason = format!("forged\nline\r\u{1b}[2J\u{7f}{BAD}");
        wire.send(&frame(0x88, &[&1000_u16.to_be_bytes()[..], reason.as_bytes()].concat()));
        wire.expect_close(1000);
        wire.expect_end();
    });
    has_line(&log, &["/echo/a\\u{202e}b\\u{2066}c\\u{200f}d\\u{2028}e\\u{9b}f"]);
    has_line(&log, &["closed by the peer: 1000 forged\\u{a}line\\u{d}\\u{1b}[2J\\u{7f}a\\u{202e}b"]);
    let is_bad = |c: &char| *c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200f}\u{2028}".contains(*c));
    assert_eq!(log.chars().find(is_bad), None, "{log:?}");
    assert!(log.lines().all(|line| line.starts_with('[')), "{log}");
}

#[test]
fn a_large_cookie_is_accepted_with_max_head_and_reported_without() {
    let cookie = format!("Cookie: session={}\r\n", "x".repeat(9_000));
    for (options, status) in [(&[][..], 431), (&["--max-head", "16KiB"][..], 101)] {
        let mut command = lariat(&["--listen", "127.0.0.1:0"]);
        command.args(options).stderr(Stdio::piped());
        let mut program = Program::spawn(command);
        let addr = program.ready();
        for _ in 0..3 {
            let mut wire = Wire::connect(addr);
            wire.send(upgrade("/echo", &cookie).as_bytes());
            let response = wire.response();
            assert_eq!(response.status(), status);
            assert!(status == 101 || String::from_utf8_lossy(&response.body).contains("cookies"));
        }
        let log = program.stop();
        let reports = log.lines().filter(|line| line.contains("refused with 431")).collect::<Vec<_>>();
        match status {
            431 => {
                assert_eq!(reports.len(), 2, "one at once, and one at the end: {log}");
                assert!(reports[1].ends_with("since the last report: 2"), "{log}");
            }
            _ => assert!(reports.is_empty(), "{log}"),
        }
    }
}

#[test]
fn a_health_check_with_options_gets_204() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let mut wire = Wire::connect(program.ready());
    // As HAProxy's `option httpchk` sends it.
    wire.send(b"OPTIONS / HTTP/1.0\r\n\r\n");
    let response = wire.response();
    assert_eq!((response.status(), response.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
}
