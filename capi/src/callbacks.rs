//! Which functions of the host a server calls.

use crate::abi::{
    lariat_client_fn, lariat_close_fn, lariat_message_fn, lariat_pong_fn, lariat_request_fn, lariat_timer_fn,
};
use crate::boundary::status;
use crate::host::lariat_server;
use crate::pointers::User;
use std::cell::Cell;
use std::ffi::{c_int, c_void};

/// A function with its user pointer.
pub(crate) type Callback<F> = Cell<(F, User)>;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Callbacks {
    pub(crate) request: Callback<lariat_request_fn>,
    pub(crate) open: Callback<lariat_client_fn>,
    pub(crate) message: Callback<lariat_message_fn>,
    pub(crate) pong: Callback<lariat_pong_fn>,
    pub(crate) close: Callback<lariat_close_fn>,
    pub(crate) drain: Callback<lariat_client_fn>,
    pub(crate) timer: Callback<lariat_timer_fn>,
}

/// Sets what is called with each request. Without it, every upgrade is accepted, even from pages of
/// other origins, no subprotocol is chosen, and plain HTTP gets 426. A callback of NULL unsets it,
/// here and below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_request(
    server: *mut lariat_server,
    callback: lariat_request_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.request.set((callback, User(user)))))
}

/// Sets what is called when a WebSocket has opened: one of a client, or of lariat_connect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_open(
    server: *mut lariat_server,
    callback: lariat_client_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.open.set((callback, User(user)))))
}

/// Sets what is called for each message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_message(
    server: *mut lariat_server,
    callback: lariat_message_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.message.set((callback, User(user)))))
}

/// Sets what is called for each pong, such as the answer to a lariat_ping.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_pong(
    server: *mut lariat_server,
    callback: lariat_pong_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.pong.set((callback, User(user)))))
}

/// Sets what is called when a connection has ended: once for each that was open, and for each of
/// lariat_connect. It is also called for those that lariat_stop cuts at its deadline, but not for
/// those that lariat_free closes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_close(
    server: *mut lariat_server,
    callback: lariat_close_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.close.set((callback, User(user)))))
}

/// Sets what is called when the unsent bytes of a client, which were above LARIAT_HIGH_WATER, no
/// longer are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_drain(
    server: *mut lariat_server,
    callback: lariat_client_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.drain.set((callback, User(user)))))
}

/// Sets what is called when a timer has expired.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_on_timer(
    server: *mut lariat_server,
    callback: lariat_timer_fn,
    user: *mut c_void,
) -> c_int {
    // SAFETY: the header demands a server that is not freed.
    status(|| unsafe { lariat_server::of(server) }.map(|host| host.callbacks.timer.set((callback, User(user)))))
}
