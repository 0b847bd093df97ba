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
            lariat_get_stats(server, &raw mut stats),
            lariat_configure(server, 1, 1),
            lariat_listen(server, c"127.0.0.1:0".as_ptr(), 11),
            // These can be called.
            lariat_broadcast(server, 1, c"x".as_ptr(), 1, ptr::null_mut()),
            lariat_set_timer(server, 1, 0, 1, ptr::null_mut()),
            lariat_on_open(server, None, ptr::null_mut()),
            lariat_post(server, Some(note_post), user),
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
    assert_eq!(unsafe { lariat_post(host.0, Some(panic_now), ptr::null_mut()) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_post(host.0, Some(call_what_is_busy), all.pointer()) }, 0);
    host.turn_until(|| !all.texts.is_empty());
    let busy = LARIAT_BUSY as c_int;
    assert_eq!(all.codes, [busy, busy, busy, busy, busy, busy, busy, 0, 0, 0, 0]);
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
            let status = unsafe { lariat_post(server as *mut lariat_server, Some(note), number as *mut c_void) };
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
    let unknown = unsafe { lariat_request_subprotocol(request, c"unknown".as_ptr(), 7) };
    // SAFETY: as above.
    let chosen = unsafe { lariat_request_subprotocol(request, c"second".as_ptr(), 6) };
    // SAFETY: as above.
    let bad = unsafe { lariat_request_body(request, c"a\nb".as_ptr(), 3, c"hi".as_ptr(), 2) };
    // SAFETY: as above.
    let body = unsafe { lariat_request_body(request, c"text/plain".as_ptr(), 10, c"hi".as_ptr(), 2) };
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.codes = vec![query, host, none, wrong, unknown, chosen, bad, body];
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
    assert_eq!(all.codes, [0, 0, missing, invalid, missing, missing, invalid, 0]);

    let opened = respond(&host, &ask("101", upgrade));
    assert!(opened.starts_with("HTTP/1.1 101") && opened.to_lowercase().contains("protocol: second"), "{opened}");
    assert_eq!(all.codes, [missing, 0, missing, invalid, missing, 0, invalid, 0]);

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
