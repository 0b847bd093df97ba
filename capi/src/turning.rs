//! How the loop runs, and stops.

use crate::abi::lariat_status::{LARIAT_OK, LARIAT_STOPPED};
use crate::abi::{lariat_dropped_fn, lariat_post_fn};
use crate::boundary::{Failure, discard, number, status, value_or};
use crate::host::{HostClients, lariat_server};
use crate::pointers::User;
use lariat::Drain;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
/// all, negative: without a limit), then does it. A signal that the calling thread receives ends
/// the wait, but not if it comes right before: a host that looks at a flag needs a timeout as well.
/// Returns LARIAT_STOPPED once the server has stopped. Starts the loop if need be.
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
/// as poll(2) takes them: -1 for ever, 0 not at all. Call it last, right before each wait: other
/// calls between two turns change it. If it fails, it returns 0, and lariat_turn then returns the
/// error.
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

/// Stops the server: accepts no new clients, and closes each client with 1001. A client still gets
/// what was queued before its Close frame, which comes in one of the next turns. Keep calling
/// lariat_turn until it returns LARIAT_STOPPED; lariat_run returns by itself. That is when the last
/// client has gone, after `deadline_ms` at the latest. A client that does not answer is cut after
/// LARIAT_CLOSE_TIMEOUT, if that is earlier. Connections that are cut get on_close too, with 1006.
/// A second call can only shorten the deadline. To let clients finish their work first, answer new
/// requests with 503 in on_request, and stop the server when nothing is left to do. Can be called
/// on any thread, and in callbacks, but not in a signal handler. LARIAT_WRONG_STATE: the server
/// neither listens nor runs yet, or has stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_stop(server: *mut lariat_server, deadline_ms: u32) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of_any_thread(server)? };
        let drain = Drain::default().deadline(Duration::from_millis(deadline_ms.into()));
        Ok(host.remote()?.shutdown(drain)?)
    })
}

/// Queues a call of `callback`, and wakes the loop, whose thread makes the call at the start of a
/// turn. Calls are made in the order in which they were queued. Can be called on any thread, and in
/// callbacks, but not in a signal handler. It never waits for a callback, so it can be called while
/// a lock is held. `callback` sees all that the calling thread has written before. LARIAT_OK:
/// either `callback` is called, once, or, if the server has stopped or is freed before, `dropped`.
/// What `user` points to then belongs to the one that is called. A server that is being stopped
/// still makes calls, until lariat_turn returns LARIAT_STOPPED or lariat_run returns. `dropped`
/// runs on the loop's thread, inside lariat_turn, lariat_run or lariat_free, and must not use the
/// server. It may be NULL. What it uses must exist until lariat_free has returned. LARIAT_FULL:
/// LARIAT_MAX_POSTED calls wait; try again later, or have less work under way. LARIAT_WRONG_STATE:
/// the server neither listens nor runs yet, or has stopped. After an error, neither is called, and
/// `user` still belongs to the caller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_post(
    server: *mut lariat_server,
    callback: lariat_post_fn,
    dropped: lariat_dropped_fn,
    user: *mut c_void,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of_any_thread(server)? };
        let callback = callback.ok_or_else(|| Failure::invalid("the callback is NULL"))?;
        let remote = host.remote()?;
        // From here on, whatever drops it calls `dropped`.
        let posted = Posted { callback, dropped, server: User(server.cast()), user: User(user) };
        let refused = remote.run(move |clients| posted.call(clients));
        refused.map_err(|refused| {
            // The host keeps what it has not handed over.
            std::mem::forget(refused.call);
            Failure::from(refused.error)
        })
    })
}

/// A call that waits for the loop. If it is dropped before, the host is told.
struct Posted {
    callback: unsafe extern "C-unwind" fn(*mut lariat_server, *mut c_void),
    dropped: lariat_dropped_fn,
    server: User,
    user: User,
}

impl Posted {
    fn call(mut self, clients: &mut HostClients) {
        self.dropped = None;
        let (callback, User(user), server) = (self.callback, self.user, self.server.0.cast::<lariat_server>());
        // SAFETY: a call runs in a turn, which `lariat_turn` or `lariat_run` runs with the server
        // borrowed, so that it is not freed meanwhile.
        let host = unsafe { &*server };
        // SAFETY: the host has given the function and its user pointer together.
        host.lend(clients, || unsafe { callback(server, user) });
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        let Some(dropped) = self.dropped else { return };
        // SAFETY: the host has given the function and its user pointer together.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| unsafe { dropped(self.user.0) })) {
            log::error!("a callback of lariat_post has panicked");
            discard(panic);
        }
    }
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
            assert_eq!(unsafe { lariat_post(server, Some(set_timer), None, user) }, 0);
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
