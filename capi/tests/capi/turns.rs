//! What happens in a server that turns.

use crate::host::{Host, Notes, connect, last, next, notes, string, text};
use lariat_c::lariat_status::*;
use lariat_c::*;
use std::ffi::{c_char, c_int, c_void};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tungstenite::Message;

unsafe extern "C-unwind" fn note_open(_: *mut lariat_server, user: *mut c_void, client: u64) {
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.opened.push(client);
}

unsafe extern "C-unwind" fn note_close(
    _: *mut lariat_server,
    user: *mut c_void,
    client: u64,
    code: u16,
    clean: c_int,
    reason: *const c_char,
    length: usize,
) {
    // SAFETY: the library gives a text.
    let reason = unsafe { string(reason, length) };
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.closed.push((client, code, clean, reason));
}

unsafe extern "C-unwind" fn echo_or_panic(
    server: *mut lariat_server,
    user: *mut c_void,
    client: u64,
    kind: c_int,
    data: *const c_char,
    length: usize,
) {
    // SAFETY: the library gives a text.
    let text = unsafe { string(data, length) };
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.texts.push(text.clone());
    assert!(text != "panic", "injected");
    // SAFETY: all is there.
    assert_eq!(unsafe { lariat_send(server, client, kind, data, length) }, 0);
}

/// Sets three callbacks.
fn listen_to(host: &Host, notes: &mut Notes) {
    let user = notes.pointer();
    // SAFETY: the notes outlive the server's turns.
    unsafe { lariat_on_open(host.0, Some(note_open), user) };
    // SAFETY: as above.
    unsafe { lariat_on_message(host.0, Some(echo_or_panic), user) };
    // SAFETY: as above.
    unsafe { lariat_on_close(host.0, Some(note_close), user) };
}

#[test]
#[allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]
fn a_stop_has_room_in_a_full_queue_and_a_second_one_brings_the_deadline_forward() {
    let host = Host::new();
    // SAFETY: the server is there, in all calls of this test.
    assert_eq!(unsafe { lariat_configure(host.0, lariat_option::LARIAT_MAX_POSTED as c_int, 1) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11) }, 0);
    let mut opened = Notes::default();
    // SAFETY: the notes outlive the server's turns.
    unsafe { lariat_on_open(host.0, Some(note_open), opened.pointer()) };
    let client = host.client("/", |socket| {
        // It does not answer the Close.
        let mut stream = socket.get_ref();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    host.turn_until(|| !opened.opened.is_empty());
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_post(host.0, Some(do_nothing), None, ptr::null_mut()) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_post(host.0, Some(do_nothing), None, ptr::null_mut()) }, LARIAT_FULL as c_int);
    assert!(last().contains("LARIAT_MAX_POSTED"), "{}", last());
    let begun = std::time::Instant::now();
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_stop(host.0, 1_000_000) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_turn(host.0, 0) }, 0);
    let url = c"ws://127.0.0.1:1/".as_ptr();
    // SAFETY: as above.
    let connected = unsafe { lariat_connect(host.0, url, 17, ptr::null(), 0, ptr::null_mut()) };
    assert_eq!(connected, LARIAT_WRONG_STATE as c_int);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_stop(host.0, 0) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_run(host.0) }, 0);
    assert!(begun.elapsed() < std::time::Duration::from_secs(4), "the second stop has no effect");
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_stop(host.0, 0) }, LARIAT_WRONG_STATE as c_int);
    client.join().unwrap();
}

unsafe extern "C-unwind" fn do_nothing(_: *mut lariat_server, _: *mut c_void) {}

#[test]
fn a_client_without_a_pointer_is_told_from_one_that_has_gone() {
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    let client = host.client("/", |socket| while socket.read().is_ok() {});
    host.turn_until(|| !all.opened.is_empty());
    for (id, expected) in
        [(all.opened[0], "the client has no pointer"), (7, "the client has disconnected, or never was")]
    {
        // SAFETY: the server is there.
        assert!(unsafe { lariat_data(host.0, id) }.is_null());
        assert_eq!(last(), expected);
    }
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_terminate(host.0, all.opened[0]) }, 0);
    host.turn_until(|| !all.closed.is_empty());
    client.join().unwrap();
}

#[test]
fn a_panic_in_a_callback_ends_its_client_with_1011_and_nobody_else() {
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    let good = host.client("/", |socket| {
        socket.send(Message::text("one")).unwrap();
        assert_eq!(text(socket), "one");
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
    host.turn_until(|| all.closed.len() == 1);
    good.join().unwrap();
    let bad = host.client("/", |socket| {
        socket.send(Message::text("panic")).unwrap();
        match next(socket) {
            Message::Close(frame) => u16::from(frame.unwrap().code),
            other => panic!("{other}"),
        }
    });
    host.turn_until(|| all.closed.len() == 2);
    assert_eq!(bad.join().unwrap(), 1011);
    assert_eq!(all.closed[1].1, 1011);
    // What the callback had borrowed was given back: the server is as before.
    // SAFETY: the server is there.
    assert_eq!(unsafe { lariat_broadcast(host.0, 1, c"x".as_ptr(), 1, ptr::null_mut()) }, 0, "{}", last());
}

#[test]
fn stale_ids_do_no_harm_when_their_place_is_taken() {
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    let first = host.client("/", |socket| {
        let _ = socket.close(None);
        while socket.read().is_ok() {}
    });
    host.turn_until(|| all.closed.len() == 1);
    first.join().unwrap();
    let second = host.client("/", |socket| {
        socket.send(Message::text("still here")).unwrap();
        assert_eq!(text(socket), "still here");
    });
    host.turn_until(|| all.opened.len() == 2);
    let (old, new) = (all.opened[0], all.opened[1]);
    assert_eq!((old >> 32, old != new), (new >> 32, true), "the same place, another id");
    // SAFETY: the server is there.
    assert_eq!(unsafe { lariat_terminate(host.0, old) }, LARIAT_GONE as c_int);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_send(host.0, old, 1, c"no".as_ptr(), 2) }, LARIAT_GONE as c_int);
    host.turn_until(|| all.closed.len() == 2);
    second.join().unwrap();
    assert_eq!(all.closed[0].1, 1005, "a Close frame without a code");
    assert_eq!((all.closed[1].1, all.closed[1].2), (1006, 0));
    assert!(!all.closed[1].3.is_empty());
}

unsafe extern "C-unwind" fn call_what_is_busy(server: *mut lariat_server, user: *mut c_void) {
    let mut stats = lariat_stats { size: size_of::<lariat_stats>(), ..lariat_stats::default() };
    // SAFETY: the tests give `Notes`, and the server is there.
    let codes = unsafe {
        [
            lariat_free(server),
            lariat_turn(server, 0),
            lariat_run(server),
            lariat_fd(server),
            lariat_configure(server, 1, 1),
            lariat_listen(server, c"127.0.0.1:0".as_ptr(), 11),
            // These can be called.
            lariat_get_stats(server, &raw mut stats),
            lariat_broadcast(server, 1, c"x".as_ptr(), 1, ptr::null_mut()),
            lariat_set_timer(server, 1, 0, 1, ptr::null_mut()),
            lariat_on_open(server, None, ptr::null_mut()),
            lariat_post(server, Some(note_post), None, user),
        ]
    };
    // SAFETY: as above.
    unsafe { notes(user) }.codes.extend(codes);
}

unsafe extern "C-unwind" fn note_post(_: *mut lariat_server, user: *mut c_void) {
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.texts.push("posted".to_owned());
}

unsafe extern "C-unwind" fn panic_now(_: *mut lariat_server, _: *mut c_void) {
    panic!("injected");
}

#[test]
fn callbacks_can_call_all_but_what_the_header_excludes() {
    let (host, mut all) = (Host::listening(), Notes::default());
    // SAFETY: the notes outlive the server's turns.
    assert_eq!(unsafe { lariat_post(host.0, Some(panic_now), None, ptr::null_mut()) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_post(host.0, Some(call_what_is_busy), None, all.pointer()) }, 0);
    host.turn_until(|| !all.texts.is_empty());
    let busy = LARIAT_BUSY as c_int;
    assert_eq!(all.codes, [busy, busy, busy, busy, busy, busy, 0, 0, 0, 0, 0]);
}

#[test]
fn posts_of_other_threads_come_in_order_and_wake_the_loop() {
    static SEEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    unsafe extern "C-unwind" fn note(server: *mut lariat_server, user: *mut c_void) {
        SEEN.lock().unwrap().push(user as usize);
        if user as usize == 999 {
            // SAFETY: the server is there.
            assert_eq!(unsafe { lariat_stop(server, 1_000) }, 0);
        }
    }
    let host = Host::listening();
    let server = host.0 as usize;
    let thread = std::thread::spawn(move || {
        for number in 0..1_000 {
            // SAFETY: the server is freed after this thread has ended.
            let status = unsafe { lariat_post(server as *mut lariat_server, Some(note), None, number as *mut c_void) };
            assert_eq!(status, 0);
        }
    });
    // SAFETY: the server is there.
    assert_eq!(unsafe { lariat_run(host.0) }, 0);
    thread.join().unwrap();
    assert_eq!(*SEEN.lock().unwrap(), (0..1_000).collect::<Vec<_>>());
}

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

#[test]
fn topics_timers_and_pauses_work_between_turns() {
    unsafe extern "C-unwind" fn note_timer(_: *mut lariat_server, user: *mut c_void, _: u64, token: u64) {
        // SAFETY: the tests give `Notes`.
        unsafe { notes(user) }.texts.push(format!("timer {token}"));
    }
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    let (mut timer, mut count) = (0, 0);
    // SAFETY: all is there, here and below.
    assert_eq!(unsafe { lariat_on_timer(host.0, Some(note_timer), all.pointer()) }, 0);
    let client = host.client("/", |socket| (text(socket), text(socket)));
    host.turn_until(|| all.opened.len() == 1);
    let id = all.opened[0];
    // SAFETY: as above.
    unsafe {
        assert_eq!(lariat_subscribe(host.0, id, c"news".as_ptr(), 4), 0);
        assert_eq!(lariat_publish(host.0, c"news".as_ptr(), 4, 0, 1, c"one".as_ptr(), 3, &raw mut count), 0);
        assert_eq!(count, 1);
        assert_eq!(lariat_publish(host.0, c"news".as_ptr(), 4, id, 1, c"no".as_ptr(), 2, &raw mut count), 0);
        assert_eq!(count, 0);
        assert_eq!(lariat_unsubscribe(host.0, id, c"news".as_ptr(), 4), 0);
        assert_eq!(lariat_publish(host.0, c"news".as_ptr(), 4, 0, 1, c"no".as_ptr(), 2, &raw mut count), 0);
        assert_eq!(count, 0);
        assert_eq!(lariat_pause(host.0, id), 0);
        assert_eq!(lariat_resume(host.0, id), 0);
        assert_eq!(lariat_resume(host.0, id), 0);
        let mut unsent = 0;
        assert_eq!(lariat_unsent(host.0, id, &raw mut unsent), 0);
        assert_eq!(unsent, 5);
        // Work is pending.
        assert_eq!(lariat_timeout(host.0), 0);
        assert_eq!(lariat_set_timer(host.0, 1, 0, 5, ptr::null_mut()), 0);
        assert_eq!(lariat_set_timer(host.0, 100_000, 1, 6, &raw mut timer), 0);
        assert_eq!(lariat_cancel_timer(host.0, timer), 0);
        assert_eq!(lariat_cancel_timer(host.0, timer), LARIAT_GONE as c_int);
    }
    host.turn_until(|| all.texts == ["timer 5"]);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_close(host.0, id, 1005, ptr::null(), 0) }, LARIAT_INVALID as c_int);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_broadcast(host.0, 1, c"two".as_ptr(), 3, &raw mut count) }, 0);
    host.turn_until(|| all.closed.len() == 1);
    assert_eq!(client.join().unwrap(), ("one".to_owned(), "two".to_owned()));
}

unsafe extern "C-unwind" fn check_request(
    server: *mut lariat_server,
    user: *mut c_void,
    client: u64,
    request: *mut lariat_request,
) -> c_int {
    let (mut data, mut length) = (ptr::null(), 0);
    // SAFETY: the library gives a request, and the server is there, here and below.
    assert_eq!(unsafe { lariat_request_header(request, c"x-token".as_ptr(), 7, &raw mut data, &raw mut length) }, 0);
    // SAFETY: it has given a text.
    assert_eq!(unsafe { string(data, length) }, "a: b");
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_request_names_local_host(request) }, 1);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_answer_subprotocol(request, c"second".as_ptr(), 6) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_set_data(server, client, user) }, 0);
    101
}

unsafe extern "C-unwind" fn note_pong(
    server: *mut lariat_server,
    user: *mut c_void,
    client: u64,
    data: *const c_char,
    length: usize,
) {
    // SAFETY: the library gives bytes, and the server is there.
    let (text, attached) = unsafe { (string(data, length), lariat_data(server, client)) };
    assert_eq!(attached, user);
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.texts.push(text);
}

/// What a call writes into a buffer.
fn written(call: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<String, c_int> {
    let mut buffer: [c_char; 64] = [1; 64];
    match call(buffer.as_mut_ptr(), buffer.len()) {
        // SAFETY: the text has a NUL at its end.
        0 => Ok(unsafe { std::ffi::CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap().to_owned()),
        status => Err(status),
    }
}

#[test]
fn a_client_has_data_an_address_and_a_subprotocol() {
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    let (url, headers) =
        (format!("ws://{}/", host.address()), "X-Token: a: b\r\nSec-WebSocket-Protocol: first, second");
    let (mut ours, mut count) = (0, 7);
    // SAFETY: all is there, here and below.
    unsafe {
        assert_eq!(lariat_on_request(host.0, Some(check_request), all.pointer()), 0);
        assert_eq!(lariat_on_pong(host.0, Some(note_pong), all.pointer()), 0);
        let (url, headers) = ((url.as_ptr().cast(), url.len()), (headers.as_ptr().cast(), headers.len()));
        assert_eq!(lariat_connect(host.0, url.0, url.1, headers.0, headers.1, &raw mut ours), 0, "{}", last());
    }
    host.turn_until(|| all.opened.len() == 2);
    let theirs = *all.opened.iter().find(|id| **id != ours).unwrap();
    // SAFETY: as above.
    unsafe {
        for id in [ours, theirs] {
            assert_eq!(written(|buffer, size| lariat_subprotocol(host.0, id, buffer, size)).as_deref(), Ok("second"));
            assert_eq!(lariat_subscribe(host.0, id, c"news".as_ptr(), 4), 0);
        }
        assert_eq!(written(|buffer, size| lariat_peer(host.0, ours, buffer, size)), Ok(host.address()));
        let peer = written(|buffer, size| lariat_peer(host.0, theirs, buffer, size)).unwrap();
        assert!(peer.starts_with("127.0.0.1:") && peer != host.address(), "{peer}");
        let mut small: [c_char; 4] = [1; 4];
        assert_eq!(lariat_peer(host.0, ours, small.as_mut_ptr(), 4), LARIAT_TOO_SMALL as c_int);
        assert_eq!(small.map(|byte| byte as u8), *b"127\0");
        assert_eq!(lariat_subscribers(host.0, c"news".as_ptr(), 4, &raw mut count), 0);
        assert_eq!(count, 2);
        assert_eq!(lariat_subscribers(host.0, c"none".as_ptr(), 4, &raw mut count), 0);
        assert_eq!(count, 0);
        assert!(lariat_data(host.0, ours).is_null());
        assert_eq!(lariat_data(host.0, theirs), all.pointer());
        assert_eq!(lariat_ping(host.0, theirs, c"hello".as_ptr(), 126), LARIAT_INVALID as c_int);
        assert_eq!(lariat_ping(host.0, theirs, c"hello".as_ptr(), 5), 0);
    }
    host.turn_until(|| all.texts == ["hello"]);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_terminate(host.0, theirs) }, 0);
    host.turn_until(|| all.closed.len() == 2);
    // SAFETY: as above.
    assert!(unsafe { lariat_data(host.0, theirs) }.is_null());
}

#[test]
fn a_client_without_an_address_or_a_subprotocol_has_none() {
    let path = std::env::temp_dir().join(format!("lariat-capi-peer-{}", std::process::id()));
    let (host, mut all, text) = (Host::new(), Notes::default(), path.to_str().unwrap());
    // SAFETY: all is there, here and below.
    assert_eq!(unsafe { lariat_listen_unix(host.0, text.as_ptr().cast(), text.len()) }, 0, "{}", last());
    listen_to(&host, &mut all);
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let thread = std::thread::spawn(move || tungstenite::client("ws://localhost/", stream).unwrap().0);
    host.turn_until(|| all.opened.len() == 1);
    let socket = thread.join().unwrap();
    let missing = LARIAT_NOT_FOUND as c_int;
    // SAFETY: as above.
    unsafe {
        assert_eq!(written(|buffer, size| lariat_peer(host.0, all.opened[0], buffer, size)), Err(missing));
        assert_eq!(written(|buffer, size| lariat_subprotocol(host.0, all.opened[0], buffer, size)), Err(missing));
    }
    drop(socket);
    host.turn_until(|| all.closed.len() == 1);
}

/// A callback of each kind that panics.
mod panicking {
    use super::*;

    pub unsafe extern "C-unwind" fn request(
        _: *mut lariat_server,
        user: *mut c_void,
        _: u64,
        _: *mut lariat_request,
    ) -> c_int {
        // SAFETY: the tests give `Notes`.
        unsafe { notes(user) }.texts.push("request".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn client(_: *mut lariat_server, user: *mut c_void, _: u64) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("client".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn message(
        _: *mut lariat_server,
        user: *mut c_void,
        _: u64,
        _: c_int,
        _: *const c_char,
        _: usize,
    ) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("message".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn pong(_: *mut lariat_server, user: *mut c_void, _: u64, _: *const c_char, _: usize) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("pong".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn close(
        _: *mut lariat_server,
        user: *mut c_void,
        _: u64,
        _: u16,
        _: c_int,
        _: *const c_char,
        _: usize,
    ) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("close".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn timer(_: *mut lariat_server, user: *mut c_void, _: u64, _: u64) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("timer".to_owned());
        panic!("injected");
    }

    pub unsafe extern "C-unwind" fn post(_: *mut lariat_server, user: *mut c_void) {
        // SAFETY: as above.
        unsafe { notes(user) }.texts.push("post".to_owned());
        panic!("injected");
    }
}

/// The log callback is in `the_log_goes_to_the_host_which_cannot_call_back`.
#[test]
fn a_panic_in_a_callback_of_any_kind_never_reaches_lariat_turn() {
    let (host, mut witness) = (Host::listening(), Notes::default());
    let witness = witness.pointer();
    // Each turn must return LARIAT_OK, which `turn_until` checks.
    let check = |kind: &str,
                 set: &dyn Fn(*mut c_void) -> c_int,
                 provoke: fn(&mut tungstenite::WebSocket<TcpStream>)| {
        let mut all = Notes::default();
        // SAFETY: the notes outlive the turns of this call, here and below.
        unsafe {
            lariat_on_request(host.0, None, ptr::null_mut());
            lariat_on_open(host.0, None, ptr::null_mut());
            lariat_on_message(host.0, None, ptr::null_mut());
            lariat_on_pong(host.0, None, ptr::null_mut());
            lariat_on_close(host.0, None, ptr::null_mut());
            lariat_on_drain(host.0, None, ptr::null_mut());
            lariat_on_timer(host.0, None, ptr::null_mut());
        }
        assert_eq!(set(all.pointer()), 0, "{kind}");
        let address = host.address();
        let client = std::thread::spawn(move || {
            if let Ok(mut socket) = connect(&address, "/", None) {
                provoke(&mut socket);
                while socket.read().is_ok() {}
            }
        });
        host.turn_until(|| !all.texts.is_empty());
        // SAFETY: as above.
        unsafe { lariat_on_close(host.0, Some(note_close), witness) };
        host.turn_until(|| client.is_finished());
        client.join().unwrap();
        assert_eq!(all.texts, [kind], "{kind}");
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_broadcast(host.0, 1, c"x".as_ptr(), 1, ptr::null_mut()) }, 0, "{kind}: {}", last());
    };
    let server = host.0;
    let close = |socket: &mut tungstenite::WebSocket<TcpStream>| drop(socket.close(None));
    // SAFETY: the server is there, here and below.
    unsafe {
        check("request", &|user| lariat_on_request(server, Some(panicking::request), user), |_| {});
        check("client", &|user| lariat_on_open(server, Some(panicking::client), user), |_| {});
        check("message", &|user| lariat_on_message(server, Some(panicking::message), user), |socket| {
            socket.send(Message::text("hello")).unwrap();
        });
        check("pong", &|user| lariat_on_pong(server, Some(panicking::pong), user), |socket| {
            socket.send(Message::Pong(vec![1].into())).unwrap();
        });
        check("close", &|user| lariat_on_close(server, Some(panicking::close), user), close);
        let set_timer = |user| {
            lariat_on_timer(server, Some(panicking::timer), user);
            lariat_set_timer(server, 1, 0, 1, ptr::null_mut())
        };
        check("timer", &set_timer, close);
        check("post", &|user| lariat_post(server, Some(panicking::post), None, user), close);
    }
}

unsafe extern "C-unwind" fn send_much(server: *mut lariat_server, _: *mut c_void, client: u64) {
    let long = vec![b'x'; 3 << 20];
    // SAFETY: all is there.
    assert_eq!(unsafe { lariat_send(server, client, 2, long.as_ptr().cast(), long.len()) }, 0);
}

#[test]
fn a_panic_in_on_drain_closes_its_client() {
    let (host, mut all, mut drained) = (Host::listening(), Notes::default(), Notes::default());
    // SAFETY: the notes outlive the server's turns.
    unsafe {
        lariat_on_open(host.0, Some(send_much), ptr::null_mut());
        lariat_on_drain(host.0, Some(panicking::client), drained.pointer());
        lariat_on_close(host.0, Some(note_close), all.pointer());
    }
    let client = host.client("/", |socket| {
        assert_eq!(next(socket).len(), 3 << 20);
        match next(socket) {
            Message::Close(frame) => u16::from(frame.unwrap().code),
            other => panic!("{other}"),
        }
    });
    host.turn_until(|| all.closed.len() == 1);
    assert_eq!((client.join().unwrap(), drained.texts), (1011, vec!["client".to_owned()]));
}

#[test]
fn a_server_connects_to_itself() {
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    let url = format!("ws://{}/", host.address());
    let mut id = 0;
    // SAFETY: all is there, here and below.
    let status = unsafe { lariat_connect(host.0, url.as_ptr().cast(), url.len(), ptr::null(), 0, &raw mut id) };
    assert_eq!(status, 0, "{}", last());
    host.turn_until(|| all.opened.len() == 2);
    assert!(all.opened.contains(&id));
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_close(host.0, id, 4000, c"bye".as_ptr(), 3) }, 0);
    host.turn_until(|| all.closed.len() == 2);
    assert!(all.closed.iter().all(|(_, code, clean, reason)| (*code, *clean, &**reason) == (4000, 1, "bye")));
    let wrong = "http://nowhere/";
    // SAFETY: as above.
    let status = unsafe { lariat_connect(host.0, wrong.as_ptr().cast(), wrong.len(), ptr::null(), 0, &raw mut id) };
    assert_ne!(status, 0);
}

#[test]
fn the_log_goes_to_the_host_which_cannot_call_back() {
    static LINES: AtomicUsize = AtomicUsize::new(0);
    static WRONG: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C-unwind" fn log(user: *mut c_void, _: c_int, data: *const c_char, length: usize) {
        // SAFETY: the library gives a text.
        assert!(!unsafe { string(data, length) }.is_empty());
        LINES.fetch_add(1, Ordering::Relaxed);
        // SAFETY: other tests log as well, on other threads; the server is there as long as this
        // log.
        let status = unsafe { lariat_broadcast(user.cast(), 1, c"x".as_ptr(), 1, ptr::null_mut()) };
        WRONG.fetch_add(usize::from(status != LARIAT_BUSY as c_int), Ordering::Relaxed);
        panic!("injected");
    }
    let (host, mut all) = (Host::listening(), Notes::default());
    listen_to(&host, &mut all);
    // SAFETY: the log is turned off before the server is freed.
    assert_eq!(unsafe { lariat_set_log(9, Some(log), host.0.cast()) }, LARIAT_INVALID as c_int);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_set_log(5, Some(log), host.0.cast()) }, 0, "{}", last());
    let address = host.address();
    let client = std::thread::spawn(move || drop(connect(&address, "/", None).unwrap()));
    host.turn_until(|| all.closed.len() == 1);
    client.join().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_set_log(5, None, ptr::null_mut()) }, 0);
    assert!(LINES.load(Ordering::Relaxed) > 0);
    assert_eq!(WRONG.load(Ordering::Relaxed), 0);
}
