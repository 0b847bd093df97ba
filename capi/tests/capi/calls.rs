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

const NULL: *mut lariat_server = ptr::null_mut();
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
fn null_instead_of_a_server_is_refused_by_all_functions() {
    is!(
        LARIAT_INVALID,
        lariat_new(ptr::null_mut()),
        lariat_free(NULL),
        lariat_configure(NULL, 1, 1),
        lariat_listen(NULL, TEXT, 4),
        lariat_listen_unix(NULL, TEXT, 4),
        lariat_listen_fd(NULL, 0),
        lariat_listen_tls(NULL, TEXT, 4, TEXT, 4, TEXT, 4),
        lariat_address(NULL, 0, ptr::null_mut(), 0),
        lariat_on_request(NULL, None, USER),
        lariat_on_open(NULL, None, USER),
        lariat_on_message(NULL, None, USER),
        lariat_on_close(NULL, None, USER),
        lariat_on_drain(NULL, None, USER),
        lariat_on_timer(NULL, None, USER),
        lariat_run(NULL),
        lariat_turn(NULL, 0),
        lariat_fd(NULL),
        lariat_stop(NULL, 0),
        lariat_post(NULL, None, USER),
        lariat_send(NULL, 1, 1, TEXT, 4),
        lariat_close(NULL, 1, 1000, TEXT, 4),
        lariat_terminate(NULL, 1),
        lariat_pause(NULL, 1),
        lariat_resume(NULL, 1),
        lariat_unsent(NULL, 1, ptr::null_mut()),
        lariat_connect(NULL, TEXT, 4, NOTHING, 0, ptr::null_mut()),
        lariat_subscribe(NULL, 1, TEXT, 4),
        lariat_unsubscribe(NULL, 1, TEXT, 4),
        lariat_publish(NULL, TEXT, 4, 0, 1, TEXT, 4, ptr::null_mut()),
        lariat_broadcast(NULL, 1, TEXT, 4, ptr::null_mut()),
        lariat_set_timer(NULL, 1, 0, 1, ptr::null_mut()),
        lariat_cancel_timer(NULL, 1),
        lariat_get_stats(NULL, ptr::null_mut()),
        lariat_request_part(ptr::null(), 1, ptr::null_mut(), ptr::null_mut()),
        lariat_request_header(ptr::null(), TEXT, 4, ptr::null_mut(), ptr::null_mut()),
        lariat_request_is_same_origin(ptr::null()),
        lariat_request_subprotocol(ptr::null_mut(), TEXT, 4),
        lariat_request_body(ptr::null_mut(), TEXT, 4, TEXT, 4),
    );
    // It says how long to wait: the next turn then says what is wrong.
    is!(LARIAT_OK, lariat_timeout(NULL));
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
        lariat_post(host.0, None, USER),
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
        );
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
    assert!(last().contains("high_water"), "{}", last());
    // It can be put right.
    is!(LARIAT_OK, lariat_configure(host.0, LARIAT_HIGH_WATER as c_int, 1000));
    is!(LARIAT_OK, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
    is!(LARIAT_WRONG_STATE, lariat_configure(host.0, LARIAT_HIGH_WATER as c_int, 900));
    is!(LARIAT_OK, lariat_turn(host.0, 0));
    is!(LARIAT_WRONG_STATE, lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11));
    is!(LARIAT_OK, lariat_turn(host.0, 0));
}

#[test]
fn an_address_that_cannot_be_listened_on_leaves_the_server_as_it_was() {
    let host = Host::listening();
    let taken = host.address();
    let other = Host::listening();
    is!(LARIAT_IO, lariat_listen(other.0, taken.as_ptr().cast(), taken.len()));
    assert!(last().contains(&taken), "{}", last());
    is!(LARIAT_INVALID, lariat_listen(other.0, TEXT, 4));
    is!(LARIAT_OK, lariat_turn(other.0, 0));
    let mut small: [c_char; 4] = [1; 4];
    is!(LARIAT_TOO_SMALL, lariat_address(other.0, 0, small.as_mut_ptr(), small.len()));
    is!(LARIAT_NOT_FOUND, lariat_address(other.0, 1, small.as_mut_ptr(), small.len()));
    #[cfg(not(feature = "tls"))]
    is!(LARIAT_UNSUPPORTED, lariat_listen_tls(Host::new().0, TEXT, 4, TEXT, 4, TEXT, 4));
    #[cfg(feature = "tls")]
    is!(LARIAT_INVALID, lariat_listen_tls(Host::new().0, TEXT, 4, TEXT, 4, TEXT, 4));
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
    is!(LARIAT_WRONG_STATE, lariat_turn(other.0, 0));
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
