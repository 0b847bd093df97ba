//! What happens in a server that turns.

use crate::host::{Host, Notes, connect, last, next, notes, string, text};
use lariat_c::lariat_status::*;
use lariat_c::*;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tungstenite::Message;

unsafe extern "C-unwind" fn note_open(_: *mut lariat_server, user: *mut c_void, client: u64) {
    // SAFETY: the tests give `Notes`.
    unsafe { notes(user) }.opened.push(client);
}

pub unsafe extern "C-unwind" fn note_close(
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
