//! What on_request decides is the answer.

use crate::host::{Host, Notes, notes, string};
use lariat_c::lariat_status::{LARIAT_INVALID, LARIAT_NOT_FOUND};
use lariat_c::*;
use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ptr;

unsafe extern "C-unwind" fn decide(
    _: *mut lariat_server,
    user: *mut c_void,
    _: u64,
    request: *mut lariat_request,
) -> c_int {
    let (mut data, mut length) = (ptr::null(), 0);
    // SAFETY: the library gives a request.
    assert_eq!(unsafe { lariat_request_part(request, 2, &raw mut data, &raw mut length) }, 0);
    // SAFETY: it has given a text.
    let path = unsafe { string(data, length) };
    // SAFETY: as above.
    let query = unsafe { lariat_request_part(request, 3, &raw mut data, &raw mut length) };
    // SAFETY: as above.
    let host = unsafe { lariat_request_header(request, c"HOST".as_ptr(), 4, &raw mut data, &raw mut length) };
    // SAFETY: as above.
    let none = unsafe { lariat_request_header(request, c"X-None".as_ptr(), 6, &raw mut data, &raw mut length) };
    // SAFETY: as above.
    let wrong = unsafe { lariat_request_part(request, 9, &raw mut data, &raw mut length) };
    // SAFETY: as above.
    let unknown = unsafe { lariat_answer_subprotocol(request, c"unknown".as_ptr(), 7) };
    // SAFETY: as above.
    let chosen = unsafe { lariat_answer_subprotocol(request, c"second".as_ptr(), 6) };
    // SAFETY: as above.
    let bad = unsafe { lariat_answer_body(request, c"a\nb".as_ptr(), 3, c"hi".as_ptr(), 2) };
    // SAFETY: as above.
    let body = unsafe { lariat_answer_body(request, c"text/plain".as_ptr(), 10, c"hi".as_ptr(), 2) };
    // SAFETY: as above.
    let header = unsafe { lariat_answer_header(request, c"X-Answer".as_ptr(), 8, c"yes".as_ptr(), 3) };
    // SAFETY: as above.
    let split = unsafe { lariat_answer_header(request, c"X-Answer".as_ptr(), 8, c"a\r\nb".as_ptr(), 4) };
    // SAFETY: as above.
    let own = unsafe { lariat_answer_header(request, c"Sec-WebSocket-Accept".as_ptr(), 20, c"x".as_ptr(), 1) };
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.codes = vec![query, host, none, wrong, unknown, chosen, bad, body, header, split, own];
    assert!(path != "/panic", "injected");
    path[1..].parse().unwrap()
}

/// The first lines of a response.
fn respond(host: &Host, request: &str) -> String {
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.set_nonblocking(true).unwrap();
    host.turn_until(|| {
        let mut buffer = [0; 1_024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(length) => response.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
                Err(_) => return response.starts_with("HTTP/1.1 101") && response.ends_with("\r\n\r\n"),
            }
        }
    });
    response
}

#[test]
fn the_status_of_on_request_is_the_answer() {
    let (host, mut all) = (Host::listening(), Notes::default());
    // SAFETY: the notes outlive the server's turns.
    unsafe { lariat_on_request(host.0, Some(decide), all.pointer()) };
    let ask = |path: &str, more: &str| format!("GET /{path} HTTP/1.1\r\nHost: here\r\n{more}\r\n");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: first, second\r\n";

    let page = respond(&host, &ask("200?query", ""));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/plain") && page.ends_with("\r\n\r\nhi"), "{page}");
    let (missing, invalid) = (LARIAT_NOT_FOUND as c_int, LARIAT_INVALID as c_int);
    assert_eq!(all.codes, [0, 0, missing, invalid, missing, missing, invalid, 0, 0, invalid, invalid]);
    assert_eq!(page.to_lowercase().matches("x-answer: yes\r\n").count(), 1, "{page}");

    let opened = respond(&host, &ask("101", upgrade));
    assert!(opened.starts_with("HTTP/1.1 101") && opened.to_lowercase().contains("protocol: second"), "{opened}");
    assert_eq!(all.codes, [missing, 0, missing, invalid, missing, 0, invalid, 0, 0, invalid, invalid]);
    assert!(opened.to_lowercase().contains("x-answer: yes\r\n"), "{opened}");

    for (path, status) in [("403", "403"), ("100", "500"), ("-1", "500"), ("600", "500"), ("70000", "500")] {
        let refused = respond(&host, &ask(path, upgrade));
        assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {refused}");
    }
    assert!(respond(&host, &ask("101", "")).starts_with("HTTP/1.1 426"));
    // The client of a panic gets nothing, and the server goes on.
    respond(&host, &ask("panic", upgrade));
    assert!(respond(&host, &ask("204", "")).starts_with("HTTP/1.1 204"));
}
