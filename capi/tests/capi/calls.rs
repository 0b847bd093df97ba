//! What functions return when they are called wrongly.

use crate::host::{Host, last};
use lariat_c::lariat_option::*;
use lariat_c::lariat_status::*;
use lariat_c::*;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::ptr;

const TEXT: *const c_char = c"text".as_ptr();
const NOTHING: *const c_char = ptr::null();
const USER: *mut c_void = ptr::null_mut();

/// A macro, so that a failure names the call.
macro_rules! is {
    ($status:ident, $($call:expr),+ $(,)?) => {$(
        // SAFETY: NULL is refused; all else is there.
        assert_eq!(unsafe { $call }, $status as c_int, "{}: {}", stringify!($call), last());
    )+};
}

#[test]
fn null_instead_of_data_is_refused_and_allowed_for_none() {
    let host = Host::listening();
    is!(
        LARIAT_INVALID,
        lariat_listen(host.0, NOTHING, 4),
        lariat_address(host.0, 0, ptr::null_mut(), 64),
        lariat_get_stats(host.0, ptr::null_mut()),
        lariat_broadcast(host.0, 1, NOTHING, 1, ptr::null_mut()),
        lariat_broadcast(host.0, 1, TEXT, usize::MAX, ptr::null_mut()),
        lariat_publish(host.0, NOTHING, 1, 0, 1, TEXT, 4, ptr::null_mut()),
        lariat_connect(host.0, NOTHING, 0, NOTHING, 0, ptr::null_mut()),
        lariat_post(host.0, None, None, USER),
        lariat_broadcast(host.0, 3, TEXT, 4, ptr::null_mut()),
    );
    is!(LARIAT_OK, lariat_broadcast(host.0, 2, NOTHING, 0, ptr::null_mut()));
    is!(LARIAT_NOT_UTF8, lariat_broadcast(host.0, 1, [-1_i8 as c_char].as_ptr(), 1, ptr::null_mut()));
}

#[test]
fn ids_that_never_were_are_gone() {
    let host = Host::listening();
    for id in [0, 1, 1 << 32, u64::MAX, u64::from(u32::MAX), 7 << 32 | 7] {
        is!(
            LARIAT_GONE,
            lariat_send(host.0, id, 1, TEXT, 4),
            lariat_close(host.0, id, 1000, NOTHING, 0),
            lariat_terminate(host.0, id),
            lariat_pause(host.0, id),
            lariat_resume(host.0, id),
            lariat_subscribe(host.0, id, TEXT, 4),
            lariat_unsubscribe(host.0, id, TEXT, 4),
            lariat_cancel_timer(host.0, id),
            lariat_ping(host.0, id, TEXT, 4),
            lariat_set_data(host.0, id, USER),
        );
        // SAFETY: the server is there.
        assert!(unsafe { lariat_data(host.0, id) }.is_null());
        let mut text: [c_char; 4] = [0; 4];
        is!(LARIAT_GONE, lariat_peer(host.0, id, text.as_mut_ptr(), 4));
        is!(LARIAT_GONE, lariat_subprotocol(host.0, id, text.as_mut_ptr(), 4));
        let mut bytes = 7;
        is!(LARIAT_GONE, lariat_unsent(host.0, id, &raw mut bytes));
        is!(LARIAT_OK, lariat_publish(host.0, TEXT, 4, id, 1, TEXT, 4, ptr::null_mut()));
    }
}

#[test]
fn options_are_checked_when_they_are_set_and_together_when_it_listens() {
    let host = Host::new();
    is!(
        LARIAT_INVALID,
        lariat_configure(host.0, 0, 1),
        lariat_configure(host.0, 99, 1),
        lariat_configure(host.0, -1, 1)
    );
    is!(LARIAT_INVALID, lariat_configure(host.0, LARIAT_MAX_PER_ADDRESS as c_int, 1 << 32));
    is!(LARIAT_OK, lariat_configure(host.0, LARIAT_MAX_UNSENT as c_int, 1000));
    is!(LARIAT_INVALID, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
    assert!(last().starts_with("LARIAT_HIGH_WATER must not be above LARIAT_MAX_UNSENT"), "{}", last());
    // It can be put right.
    is!(LARIAT_OK, lariat_configure(host.0, LARIAT_HIGH_WATER as c_int, 1000));
    is!(LARIAT_OK, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
    is!(LARIAT_WRONG_STATE, lariat_configure(host.0, LARIAT_HIGH_WATER as c_int, 900));
    is!(LARIAT_OK, lariat_turn(host.0, 0));
    is!(LARIAT_WRONG_STATE, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
    is!(LARIAT_OK, lariat_turn(host.0, 0));
}

#[test]
fn options_that_contradict_one_another_are_named_as_in_the_header() {
    for (options, expected) in [
        (&[(LARIAT_MEMORY_BUDGET, 1)][..], "LARIAT_MEMORY_BUDGET is smaller than what the other options need"),
        (&[(LARIAT_RESERVE, 20)], "LARIAT_DEFLATE must be 0 with LARIAT_RESERVE"),
        (&[(LARIAT_SMALL, 1), (LARIAT_RESERVED_TIMERS, 20)], "LARIAT_RESERVE must lie between 1 and 1,048,576"),
        (
            &[(LARIAT_SMALL, 1), (LARIAT_RESERVE, 1), (LARIAT_RESERVED_TIMERS, u64::MAX)],
            "LARIAT_RESERVED_TIMERS must be",
        ),
        (
            &[(LARIAT_SMALL, 1), (LARIAT_RESERVE, 1), (LARIAT_RESERVED_TOPICS, u64::MAX)],
            "LARIAT_RESERVED_TOPICS must be",
        ),
        (&[(LARIAT_SMALL, 1), (LARIAT_RESERVE, 20), (LARIAT_MAX_HEAD, u64::MAX)], "LARIAT_RESERVE needs more memory"),
        (
            &[(LARIAT_SMALL, 1), (LARIAT_RESERVE, 20), (LARIAT_MAX_MESSAGE, u64::MAX)],
            "LARIAT_RESERVE needs more memory",
        ),
        (&[(LARIAT_EVENTS_PER_TURN, u64::MAX)], "LARIAT_EVENTS_PER_TURN must lie between 1 and 1,048,576"),
        (&[(LARIAT_MEMORY_BUDGET, u64::MAX), (LARIAT_READ_BUFFER, u64::MAX)], "LARIAT_READ_BUFFER must lie between"),
        (&[(LARIAT_HANDSHAKE_TIMEOUT, 0)], "LARIAT_HANDSHAKE_TIMEOUT must lie between a millisecond and 12 days"),
    ] {
        let host = Host::new();
        for (option, value) in options {
            is!(LARIAT_OK, lariat_configure(host.0, *option as c_int, *value));
        }
        is!(LARIAT_INVALID, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
        assert!(last().starts_with(expected), "{}", last());
    }
    let host = Host::new();
    is!(LARIAT_INVALID, lariat_configure(host.0, LARIAT_SMALL as c_int, 2));
    is!(LARIAT_INVALID, lariat_configure(host.0, LARIAT_DEFLATE as c_int, 2));
    for address in [c"9998", c"127.0.0.1", c":"] {
        is!(LARIAT_INVALID, lariat_listen(host.0, address.as_ptr(), address.count_bytes()));
        assert!(last().contains("it must look like \"127.0.0.1:9998\""), "{}", last());
    }
}

/// What a reserve of this size cannot get, it must not die of.
#[test]
#[cfg(target_os = "linux")]
fn memory_that_the_host_does_not_have_is_not_reserved() {
    let host = Host::new();
    for (option, value) in [(LARIAT_SMALL, 1), (LARIAT_RESERVE, 20), (LARIAT_MAX_MESSAGE, 1 << 46)] {
        is!(LARIAT_OK, lariat_configure(host.0, option as c_int, value));
    }
    is!(LARIAT_OK, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
    is!(LARIAT_IO, lariat_turn(host.0, 0));
    assert!(last().ends_with("bytes cannot be reserved"), "{}", last());
}

#[test]
fn an_address_that_cannot_be_listened_on_leaves_the_server_as_it_was() {
    let host = Host::listening();
    let taken = host.address();
    let other = Host::listening();
    is!(LARIAT_IO, lariat_listen(other.0, taken.as_ptr().cast(), taken.len()));
    assert!(last().starts_with(&format!("cannot listen on {taken}: ")), "{}", last());
    is!(LARIAT_INVALID, lariat_listen(other.0, TEXT, 4));
    is!(LARIAT_OK, lariat_turn(other.0, 0));
    let mut small: [c_char; 4] = [1; 4];
    is!(LARIAT_TOO_SMALL, lariat_address(other.0, 0, small.as_mut_ptr(), small.len()));
    is!(LARIAT_NOT_FOUND, lariat_address(other.0, 1, small.as_mut_ptr(), small.len()));
}

/// With TLS, the gate connects foreign clients: `.ci/clients/capi.py`.
#[test]
fn a_build_without_tls_says_so() {
    let host = Host::listening();
    let status = if cfg!(feature = "tls") { LARIAT_INVALID } else { LARIAT_UNSUPPORTED };
    is!(status, lariat_listen_tls(host.0, TEXT, 4, TEXT, 4, TEXT, 4));
    is!(status, lariat_trust(host.0, TEXT, 4));
    let connect = |url: &str| {
        // SAFETY: all is there.
        unsafe { lariat_connect(host.0, url.as_ptr().cast(), url.len(), NOTHING, 0, ptr::null_mut()) }
    };
    assert_eq!(connect("ws://127.0.0.1:1/"), 0);
    for url in ["wss://127.0.0.1:1/", "WSS://127.0.0.1:1/"] {
        assert_eq!(connect(url) == LARIAT_UNSUPPORTED as c_int, !cfg!(feature = "tls"), "{url}: {}", last());
    }
    assert_eq!(connect("http://127.0.0.1:1/"), LARIAT_INVALID as c_int);
}

#[test]
fn headers_of_a_request_are_checked_before_it_is_sent() {
    let host = Host::listening();
    let url = format!("ws://{}/", host.address());
    for headers in ["no colon", ": no name", "a b: c", "Host: elsewhere", "Upgrade: h2c", "X: \u{1}"] {
        let (url, headers) = ((url.as_ptr().cast(), url.len()), (headers.as_ptr().cast(), headers.len()));
        is!(LARIAT_INVALID, lariat_connect(host.0, url.0, url.1, headers.0, headers.1, ptr::null_mut()));
    }
    let twice = "Sec-WebSocket-Protocol: a, a";
    let (url, headers) = ((url.as_ptr().cast(), url.len()), (twice.as_ptr().cast(), twice.len()));
    is!(LARIAT_INVALID, lariat_connect(host.0, url.0, url.1, headers.0, headers.1, ptr::null_mut()));
}

#[test]
fn listening_descriptors_are_taken_and_others_refused() {
    let host = Host::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    is!(LARIAT_INVALID, lariat_listen_fd(host.0, -1), lariat_listen_fd(host.0, udp.as_raw_fd()));
    let file = std::fs::File::open("/dev/null").unwrap();
    is!(LARIAT_INVALID, lariat_listen_fd(host.0, file.as_raw_fd()));
    is!(LARIAT_IO, lariat_listen_fd(host.0, c_int::MAX));
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    is!(LARIAT_OK, lariat_listen_fd(host.0, tcp.as_raw_fd()));
    assert_eq!(host.address(), tcp.local_addr().unwrap().to_string());

    let path = std::env::temp_dir().join(format!("lariat-capi-{}", std::process::id()));
    let unix = UnixListener::bind(&path).unwrap();
    is!(LARIAT_OK, lariat_listen_fd(host.0, unix.as_raw_fd()));
    is!(LARIAT_INVALID, lariat_listen_unix(host.0, NOTHING, 0), lariat_listen_unix(host.0, c"a".as_ptr(), 2));
    // The path is in use.
    let text = path.to_str().unwrap();
    let other = Host::new();
    is!(LARIAT_IO, lariat_listen_unix(other.0, text.as_ptr().cast(), text.len()));
    assert!(last().contains(text), "{}", last());
    // All is as before, and it can be configured.
    is!(LARIAT_WRONG_STATE, lariat_stop(other.0, 0));
    is!(LARIAT_OK, lariat_configure(other.0, LARIAT_MAX_MESSAGE as c_int, 1000));
    is!(LARIAT_OK, lariat_listen(other.0, c"127.0.0.1:0".as_ptr(), 11));
    let address = other.address();
    is!(LARIAT_IO, lariat_listen_unix(other.0, text.as_ptr().cast(), text.len()));
    assert_eq!(other.address(), address);
    is!(LARIAT_OK, lariat_turn(other.0, 0));
    drop(unix);
    drop(host);
    std::fs::remove_file(&path).unwrap();
    let other = Host::new();
    is!(LARIAT_OK, lariat_listen_unix(other.0, text.as_ptr().cast(), text.len()));
    assert_eq!(other.address(), format!("unix:{text}"));
    drop(other);
    assert!(!path.exists());
}

#[test]
fn another_thread_can_only_post_and_stop() {
    let host = Host::listening();
    is!(LARIAT_OK, lariat_turn(host.0, 0));
    let server = host.0 as usize;
    std::thread::spawn(move || {
        let server = server as *mut lariat_server;
        is!(
            LARIAT_WRONG_THREAD,
            lariat_free(server),
            lariat_turn(server, 0),
            lariat_run(server),
            lariat_fd(server),
            lariat_send(server, 1, 1, TEXT, 4),
            lariat_broadcast(server, 1, TEXT, 4, ptr::null_mut()),
            lariat_on_open(server, None, USER),
            lariat_set_timer(server, 1, 0, 1, ptr::null_mut()),
        );
        is!(LARIAT_OK, lariat_stop(server, 100));
    })
    .join()
    .unwrap();
    is!(LARIAT_OK, lariat_run(host.0));
    is!(LARIAT_STOPPED, lariat_turn(host.0, -1));
    is!(LARIAT_WRONG_STATE, lariat_stop(host.0, 100));
    let before = Host::new();
    is!(LARIAT_WRONG_STATE, lariat_stop(before.0, 100));
}

#[test]
fn statistics_fit_callers_that_are_older_and_newer() {
    let host = Host::listening();
    #[repr(C)]
    struct Newer {
        known: lariat_stats,
        more: u64,
    }
    let mut newer = Newer { known: lariat_stats::default(), more: 7 };
    let stats = (&raw mut newer).cast::<lariat_stats>();
    is!(LARIAT_INVALID, lariat_get_stats(host.0, stats));
    newer.known.size = size_of::<Newer>();
    is!(LARIAT_OK, lariat_get_stats(host.0, stats));
    assert_eq!((newer.known.size, newer.more), (size_of::<Newer>(), 0));

    newer.known = lariat_stats { size: 16, open: 7, connections: 7, ..lariat_stats::default() };
    is!(LARIAT_OK, lariat_get_stats(host.0, stats));
    assert_eq!((newer.known.size, newer.known.open, newer.known.connections), (16, 0, 7));
}

#[test]
fn texts_that_are_returned_are_there() {
    for number in -20..5 {
        // SAFETY: the text has a NUL at its end.
        let name = unsafe { CStr::from_ptr(lariat_strerror(number)) }.to_str().unwrap();
        assert_eq!(name.starts_with("LARIAT_"), (-13..=1).contains(&number), "{number} {name}");
    }
    // SAFETY: as above.
    assert_eq!(unsafe { CStr::from_ptr(lariat_version()) }.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
}
