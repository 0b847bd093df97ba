//! Each posted call ends once: it is made, it is dropped, or the host keeps it.

use crate::host::Host;
use lariat_c::lariat_status::{LARIAT_FULL, LARIAT_WRONG_STATE};
use lariat_c::*;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How often a call was made, and dropped.
#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl Counts {
    fn post(&self, server: *mut lariat_server) -> c_int {
        let user = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the server is there, and the counts outlive it.
        unsafe { lariat_post(server, Some(made), Some(dropped), user) }
    }

    fn are(&self, made: usize, dropped: usize) {
        assert_eq!((self.made.load(Relaxed), self.dropped.load(Relaxed)), (made, dropped), "made, dropped");
    }
}

unsafe extern "C-unwind" fn made(_: *mut lariat_server, user: *mut c_void) {
    // SAFETY: it is that of `Counts::post`.
    unsafe { &*user.cast::<Counts>() }.made.fetch_add(1, Relaxed);
}

unsafe extern "C-unwind" fn dropped(user: *mut c_void) {
    // SAFETY: it is that of `Counts::post`.
    unsafe { &*user.cast::<Counts>() }.dropped.fetch_add(1, Relaxed);
}

unsafe extern "C-unwind" fn dropped_with_panic(user: *mut c_void) {
    // SAFETY: as above.
    unsafe { dropped(user) };
    panic!("injected");
}

#[test]
fn a_call_that_is_made_is_not_dropped() {
    let (counts, host) = (Counts::default(), Host::listening());
    assert_eq!(counts.post(host.0), 0);
    host.turn_until(|| counts.made.load(Relaxed) > 0);
    drop(host);
    counts.are(1, 0);
}

#[test]
fn calls_are_dropped_when_the_server_is_freed_or_has_stopped() {
    let (counts, host) = (Counts::default(), Host::listening());
    assert_eq!((counts.post(host.0), counts.post(host.0)), (0, 0));
    drop(host);
    counts.are(0, 2);

    let (counts, host) = (Counts::default(), Host::listening());
    // SAFETY: the server is there.
    assert_eq!(unsafe { lariat_stop(host.0, 0) }, 0);
    assert_eq!(counts.post(host.0), 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_run(host.0) }, 0);
    let (made, dropped) = (counts.made.load(Relaxed), counts.dropped.load(Relaxed));
    assert_eq!(made + dropped, 1, "made {made}, dropped {dropped}");
    drop(host);
    counts.are(made, dropped);
}

#[test]
fn the_host_keeps_what_was_refused() {
    let (counts, host) = (Counts::default(), Host::new());
    assert_eq!(counts.post(host.0), LARIAT_WRONG_STATE as c_int);
    // SAFETY: the server is there, here and below.
    assert_eq!(unsafe { lariat_configure(host.0, lariat_option::LARIAT_MAX_POSTED as c_int, 1) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { lariat_listen(host.0, c"127.0.0.1:0".as_ptr(), 11) }, 0);
    assert_eq!((counts.post(host.0), counts.post(host.0)), (0, LARIAT_FULL as c_int));
    counts.are(0, 0);
    drop(host);
    counts.are(0, 1);
}

#[test]
fn a_panic_of_one_drops_the_others_as_well() {
    let (counts, host) = (Counts::default(), Host::listening());
    let user = ptr::from_ref(&counts).cast_mut().cast();
    for _ in 0..3 {
        // SAFETY: the server is there, and the counts outlive it.
        assert_eq!(unsafe { lariat_post(host.0, Some(made), Some(dropped_with_panic), user) }, 0);
    }
    drop(host);
    counts.are(0, 3);
}
