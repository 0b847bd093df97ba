//! Timers.

use crate::abi::lariat_status::LARIAT_GONE;
use crate::boundary::{Failure, status};
use crate::host::lariat_server;
use crate::pointers::write;
use lariat::TimerId;
use std::ffi::c_int;
use std::time::Duration;

/// Sets a timer: on_timer is called with `token` after `after_ms` milliseconds, never earlier, and
/// if `repeat` is not 0, again and again. If the loop was blocked, one call may stand for several
/// missed ones. Writes the id of the timer, unless `timer` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_set_timer(
    server: *mut lariat_server,
    after_ms: u64,
    repeat: c_int,
    token: u64,
    timer: *mut u64,
) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        let after = Duration::from_millis(after_ms);
        let set = host.with_clients(|clients| {
            Ok(if repeat != 0 { clients.set_interval(after, token) } else { clients.set_timer(after, token) })
        })?;
        // SAFETY: the header demands NULL or a place that can be written.
        unsafe { write(timer, set.to_u64()) };
        Ok(())
    })
}

/// Cancels a timer. LARIAT_GONE if it has expired or was cancelled before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_cancel_timer(server: *mut lariat_server, timer: u64) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        let host = unsafe { lariat_server::of(server)? };
        let is_there =
            host.with_clients(|clients| Ok(TimerId::from_u64(timer).is_some_and(|id| clients.cancel_timer(id))))?;
        if is_there { Ok(()) } else { Err(Failure::new(LARIAT_GONE, "the timer has expired, or never was")) }
    })
}
