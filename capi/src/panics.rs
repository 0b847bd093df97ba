//! Does each exported function end a panic as a code? The header names the functions, so that none
//! is forgotten.

use crate::abi::lariat_status::*;
use crate::boundary::{INJECTED, Place};
use crate::*;
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

const HEADER: &str = include_str!("../include/lariat.h");
const TEXT: *const c_char = c"text".as_ptr();
const USER: *mut c_void = ptr::null_mut();
/// The id of a client that never was.
const NOBODY: u64 = 7 << 32 | 7;

/// Those that cannot fail: they return a text.
const TEXTS: [&str; 3] = ["lariat_last_error", "lariat_strerror", "lariat_version"];
/// Those that say their failures only with `lariat_last_error`.
const WITHOUT_STATUS: [&str; 4] =
    ["lariat_timeout", "lariat_data", "lariat_request_is_same_origin", "lariat_request_names_local_host"];

/// The names of the functions that the header declares.
fn declared() -> BTreeSet<&'static str> {
    let (_, functions) = HEADER.split_once("extern \"C\" {").unwrap();
    let begins = |line: &&str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let prototypes = functions.lines().filter(begins).map(|line| line.split_once('(').unwrap().0);
    prototypes.map(|before| before.rsplit([' ', '*']).next().unwrap()).collect()
}

/// Calls all functions that return a status.
fn call_all(server: *mut lariat_server) -> Vec<(&'static str, c_int)> {
    macro_rules! each {
        ($($name:ident($($argument:expr),*);)*) => {
            // SAFETY: NULL is refused, the server is there, and so are the texts and places.
            vec![$((stringify!($name), unsafe { $name($($argument),*) })),*]
        };
    }
    let mut stats = lariat_stats { size: size_of::<lariat_stats>(), ..lariat_stats::default() };
    let (mut count, mut id, mut text) = (0, 0, ptr::null());
    let mut buffer: [c_char; 64] = [0; 64];
    each! {
        lariat_new(ptr::null_mut());
        lariat_free(server);
        lariat_configure(server, 1, 1);
        lariat_listen(server, TEXT, 4);
        lariat_listen_unix(server, TEXT, 4);
        lariat_listen_fd(server, -1);
        lariat_listen_tls(server, TEXT, 4, TEXT, 4, TEXT, 4);
        lariat_reload_tls(server);
        lariat_address(server, 9, buffer.as_mut_ptr(), 64);
        lariat_set_log(9, Some(log), USER);
        lariat_on_request(server, None, USER);
        lariat_on_open(server, None, USER);
        lariat_on_message(server, None, USER);
        lariat_on_pong(server, None, USER);
        lariat_on_close(server, None, USER);
        lariat_on_drain(server, None, USER);
        lariat_on_timer(server, None, USER);
        lariat_run(server);
        lariat_turn(server, 0);
        lariat_fd(server);
        lariat_stop(server, 0);
        lariat_post(server, None, None, USER);
        lariat_send(server, NOBODY, 1, TEXT, 4);
        lariat_ping(server, NOBODY, TEXT, 4);
        lariat_close(server, NOBODY, 1000, TEXT, 4);
        lariat_terminate(server, NOBODY);
        lariat_pause(server, NOBODY);
        lariat_resume(server, NOBODY);
        lariat_unsent(server, NOBODY, &raw mut count);
        lariat_set_data(server, NOBODY, USER);
        lariat_peer(server, NOBODY, buffer.as_mut_ptr(), 64);
        lariat_subprotocol(server, NOBODY, buffer.as_mut_ptr(), 64);
        lariat_connect(server, TEXT, 4, ptr::null(), 0, &raw mut id);
        lariat_trust(server, TEXT, 4);
        lariat_subscribe(server, NOBODY, TEXT, 4);
        lariat_keep_topic(server, TEXT, 4);
        lariat_unsubscribe(server, NOBODY, TEXT, 4);
        lariat_subscribers(server, TEXT, 4, &raw mut count);
        lariat_publish(server, TEXT, 4, 0, 1, TEXT, 4, &raw mut count);
        lariat_broadcast(server, 1, TEXT, 4, &raw mut count);
        lariat_set_timer(server, 1, 0, 1, &raw mut id);
        lariat_cancel_timer(server, NOBODY);
        lariat_get_stats(server, &raw mut stats);
        lariat_request_part(ptr::null(), 1, &raw mut text, &raw mut count);
        lariat_request_header(ptr::null(), TEXT, 4, &raw mut text, &raw mut count);
        lariat_answer_subprotocol(ptr::null_mut(), TEXT, 4);
        lariat_answer_header(ptr::null_mut(), TEXT, 4, TEXT, 4);
        lariat_answer_body(ptr::null_mut(), TEXT, 4, TEXT, 4);
    }
}

unsafe extern "C-unwind" fn log(_: *mut c_void, _: c_int, _: *const c_char, _: usize) {}

/// Calls those that return no status. Returns what `lariat_last_error` says after each.
fn call_without_status(server: *mut lariat_server) -> [String; 4] {
    // SAFETY: the text is valid until the next failure on this thread.
    let last = || unsafe { CStr::from_ptr(lariat_last_error()) }.to_str().unwrap().to_owned();
    // SAFETY: NULL is refused, and otherwise the server is there.
    assert_eq!(unsafe { lariat_timeout(server) }, 0);
    let timeout = last();
    // SAFETY: as above.
    assert!(unsafe { lariat_data(server, NOBODY) }.is_null());
    let data = last();
    // SAFETY: NULL is refused.
    assert_eq!(unsafe { lariat_request_is_same_origin(ptr::null()) }, 0);
    let same_origin = last();
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_request_names_local_host(ptr::null()) }, 0);
    [timeout, data, same_origin, last()]
}

fn create() -> *mut lariat_server {
    let mut server = ptr::null_mut();
    // SAFETY: the place can be written.
    assert_eq!(unsafe { lariat_new(&raw mut server) }, 0);
    server
}

#[test]
fn a_panic_at_the_beginning_of_a_function_ends_as_a_code() {
    INJECTED.set(Some(Place::Entry));
    let (called, texts) = (call_all(ptr::null_mut()), call_without_status(ptr::null_mut()));
    INJECTED.set(None);
    for (name, status) in &called {
        assert_eq!(*status, LARIAT_PANIC as c_int, "{name}");
    }
    assert!(texts.iter().all(|text| text.contains("injected")), "{texts:?}");
    let names = called.iter().map(|(name, _)| *name).chain(TEXTS).chain(WITHOUT_STATUS);
    assert_eq!(names.collect::<BTreeSet<_>>(), declared(), "a function of the header is not called here");
}

#[test]
fn without_a_panic_all_refuse_null() {
    for (name, status) in call_all(ptr::null_mut()) {
        assert_eq!(status, LARIAT_INVALID as c_int, "{name}");
    }
    assert_eq!(
        call_without_status(ptr::null_mut()),
        ["the server is NULL", "the server is NULL", "the request is NULL", "the request is NULL"]
    );
}

/// Those that borrow the server when they are called as above, so that a panic has something to
/// give back.
const BORROWS: [&str; 30] = [
    "lariat_free",
    "lariat_configure",
    "lariat_listen",
    "lariat_listen_tls",
    "lariat_listen_unix",
    "lariat_run",
    "lariat_turn",
    "lariat_fd",
    "lariat_timeout",
    "lariat_send",
    "lariat_ping",
    "lariat_close",
    "lariat_terminate",
    "lariat_pause",
    "lariat_resume",
    "lariat_unsent",
    "lariat_set_data",
    "lariat_data",
    "lariat_peer",
    "lariat_subprotocol",
    "lariat_connect",
    "lariat_subscribe",
    "lariat_keep_topic",
    "lariat_unsubscribe",
    "lariat_subscribers",
    "lariat_publish",
    "lariat_broadcast",
    "lariat_set_timer",
    "lariat_cancel_timer",
    "lariat_get_stats",
];

#[test]
fn a_panic_inside_gives_the_server_back() {
    let server = create();
    for round in ["before the loop", "with the loop"] {
        INJECTED.set(Some(Place::Inside));
        let (called, texts) = (call_all(server), call_without_status(server));
        INJECTED.set(None);
        for (name, status) in called {
            assert_eq!(status == LARIAT_PANIC as c_int, BORROWS.contains(&name), "{round}: {name} returned {status}");
        }
        assert!(texts[..2].iter().all(|text| text.contains("injected")), "{texts:?}");
        // With the loop, `lariat_stop` has stopped it.
        // SAFETY: the server is there.
        let status = unsafe { lariat_turn(server, 0) };
        assert_eq!(status, if round == "with the loop" { LARIAT_STOPPED } else { LARIAT_OK } as c_int, "{round}");
    }
    // SAFETY: nobody uses it any more.
    assert_eq!(unsafe { lariat_free(server) }, 0);
}

#[test]
fn a_panic_inside_a_callback_gives_the_clients_back() {
    unsafe extern "C-unwind" fn call(server: *mut lariat_server, user: *mut c_void) {
        INJECTED.set(Some(Place::Inside));
        // SAFETY: the server is there.
        let failed = unsafe { lariat_send(server, NOBODY, 1, TEXT, 4) };
        INJECTED.set(None);
        // SAFETY: as above.
        let sent = unsafe { lariat_send(server, NOBODY, 1, TEXT, 4) };
        // SAFETY: the user pointer is that of two numbers.
        unsafe { user.cast::<[c_int; 2]>().write([failed, sent]) };
    }
    let (server, mut codes) = (create(), [0; 2]);
    // SAFETY: the server is there, here and below.
    assert!(unsafe { lariat_fd(server) } >= 0);
    // SAFETY: the numbers outlive the server.
    assert_eq!(unsafe { lariat_post(server, Some(call), None, (&raw mut codes).cast()) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_turn(server, 0) }, 0);
    assert_eq!(codes, [LARIAT_PANIC as c_int, LARIAT_GONE as c_int]);
    // SAFETY: nobody uses it any more.
    assert_eq!(unsafe { lariat_free(server) }, 0);
}
