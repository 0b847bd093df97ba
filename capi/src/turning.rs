//! How the loop runs, and stops.

use crate::abi::lariat_post_fn;
use crate::abi::lariat_status::{LARIAT_OK, LARIAT_STOPPED};
use crate::boundary::{Failure, number, status, value_or};
use crate::host::lariat_server;
use crate::pointers::User;
use lariat::Drain;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Runs the loop until the server has stopped. Signals do not end it: a host that waits for one
/// calls lariat_turn instead, with a timeout. Starts the loop if need be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_run(server: *mut lariat_server) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        host.with_loop(|event_loop| Ok(event_loop.run().map(drop)?))
    })
}

/// Runs one turn of the loop: waits at most so many milliseconds for something to do (0: not at
/// all, negative: without a limit), then does it. All callbacks but those of the log come from here
/// and from lariat_run. A signal ends the wait, but not if it comes right before: a host that looks
/// at a flag needs a timeout as well. Returns LARIAT_STOPPED once the server has stopped. Starts
/// the loop if need be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_turn(server: *mut lariat_server, timeout_ms: c_int) -> c_int {
    number(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        host.with_loop(|event_loop| {
            event_loop.turn(u64::try_from(timeout_ms).ok().map(Duration::from_millis))?;
            Ok(if event_loop.outcome().is_some() { LARIAT_STOPPED } else { LARIAT_OK } as c_int)
        })
    })
}

/// Returns the descriptor of the whole loop, for poll, epoll or kqueue of the host: when it is
/// readable, call lariat_turn with 0. Level-triggered. It belongs to the server: do not close it.
/// Negative: a lariat_status. Starts the loop if need be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_fd(server: *mut lariat_server) -> c_int {
    number(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        host.with_loop(|event_loop| Ok(event_loop.as_raw_fd()))
    })
}

/// Returns for how many milliseconds the host may wait for lariat_fd before it calls lariat_turn,
/// as poll(2) takes them: -1 for ever, 0 not at all. Ask after everything else that is called
/// between two turns. After a failure it is 0 as well, and lariat_turn then says what it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_timeout(server: *mut lariat_server) -> c_int {
    let call = || {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        host.with_loop(|event_loop| Ok(event_loop.timeout().map_or(-1, milliseconds)))
    };
    value_or(call, |_| 0)
}

/// Rounds up, so that a host does not turn a moment too early, again and again.
fn milliseconds(wait: Duration) -> c_int {
    c_int::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
}

/// Stops the server: accepts nobody any more, and closes each client with 1001. The loop has to
/// turn on until lariat_turn returns LARIAT_STOPPED, or lariat_run returns: when the last client
/// has gone, at the latest after `deadline_ms`. A second call can only bring that forward. Can be
/// called on any thread, and in callbacks, but not in a signal handler. LARIAT_WRONG_STATE: the
/// server does not listen yet, or has stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_stop(server: *mut lariat_server, deadline_ms: u32) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of_any_thread(server)? };
        let drain = Drain::default().deadline(Duration::from_millis(deadline_ms.into()));
        Ok(host.remote()?.shutdown(drain)?)
    })
}

/// Takes a call to the loop's thread, where it is made at the start of a turn. Wakes the loop. The
/// calls are made in the order of lariat_post. Can be called on any thread, and in callbacks, but
/// not in a signal handler. LARIAT_OK: it is made, unless the server stops or is freed first.
/// LARIAT_FULL: LARIAT_MAX_POSTED calls wait. LARIAT_WRONG_STATE: the server does not listen yet,
/// or has stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_post(server: *mut lariat_server, callback: lariat_post_fn, user: *mut c_void) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of_any_thread(server)? };
        let callback = callback.ok_or_else(|| Failure::invalid("the callback is NULL"))?;
        let (user, server) = (User(user), User(server.cast()));
        let posted = host.remote()?.run(move |clients| {
            // The wrappers as a whole, for they can be sent, and what is in them cannot.
            let (User(user), User(server)) = ({ user }, { server });
            let server = server.cast::<lariat_server>();
            // SAFETY: a call runs in a turn, which `lariat_turn` or `lariat_run` runs with the
            // server borrowed, so that it is not freed meanwhile.
            let host = unsafe { &*server };
            // SAFETY: the host has given the function and its user pointer together.
            host.lend(clients, || unsafe { callback(server, user) });
        });
        Ok(posted.map_err(|refused| refused.error)?)
    })
}

/// Without sockets, so that Miri can run it: `cargo +nightly miri test -p lariat-capi --lib`.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::lariat_status::LARIAT_BUSY;
    use crate::{lariat_broadcast, lariat_free, lariat_new, lariat_on_timer, lariat_set_timer};
    use std::ptr;

    unsafe extern "C-unwind" fn set_timer(server: *mut lariat_server, user: *mut c_void) {
        // SAFETY: the server is there, as in all calls of this test.
        let status = unsafe { lariat_set_timer(server, 0, 0, user as u64, ptr::null_mut()) };
        assert_eq!(status, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_turn(server, 0) }, LARIAT_BUSY as c_int);
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_free(server) }, LARIAT_BUSY as c_int);
        assert!(user as usize != 2, "injected");
    }

    unsafe extern "C-unwind" fn count(server: *mut lariat_server, user: *mut c_void, _: u64, token: u64) {
        // SAFETY: the user pointer is that of a number.
        unsafe { *user.cast::<u64>() += token };
        // SAFETY: as above.
        let status = unsafe { lariat_broadcast(server, 2, ptr::null(), 0, ptr::null_mut()) };
        assert_eq!(status, 0);
    }

    #[test]
    fn calls_inside_callbacks_borrow_nothing_twice() {
        let (mut server, mut sum) = (ptr::null_mut(), 0_u64);
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_new(&raw mut server) }, 0);
        // SAFETY: the number outlives the server.
        assert_eq!(unsafe { lariat_on_timer(server, Some(count), (&raw mut sum).cast()) }, 0);
        // SAFETY: as above.
        assert!(unsafe { lariat_fd(server) } >= 0);
        for number in 1..4 {
            let user = ptr::without_provenance_mut(number);
            // SAFETY: as above.
            assert_eq!(unsafe { lariat_post(server, Some(set_timer), user) }, 0);
        }
        // SAFETY: the number is read between two turns.
        while unsafe { (&raw const sum).read() } < 6 {
            // SAFETY: as above.
            assert_eq!(unsafe { lariat_turn(server, 1_000) }, 0);
        }
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_stop(server, 1) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { lariat_run(server) }, 0);
        // SAFETY: nobody uses it any more.
        assert_eq!(unsafe { lariat_free(server) }, 0);
    }
}
