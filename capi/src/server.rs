//! How a server is made, configured and freed.

use crate::boundary::status;
use crate::host::lariat_server;
use crate::options;
use crate::pointers::{check_out, write};
use std::ffi::c_int;

/// Makes a server. The calling thread is the loop's thread from now on. Free it with lariat_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_new(server: *mut *mut lariat_server) -> c_int {
    status(|| {
        check_out(server, "the place for the server")?;
        // SAFETY: the header demands a place that can be written.
        unsafe { write(server, lariat_server::create()) };
        Ok(())
    })
}

/// Frees a server. Call it on the loop's thread. It closes all sockets at once, without Close
/// frames and without on_close, so nothing frees what lariat_set_data has attached. It calls
/// `dropped` of calls of lariat_post that still wait. To close properly, first call lariat_stop and
/// run the loop. From now on, no thread may use the server, not even for lariat_post or
/// lariat_stop. LARIAT_BUSY in a callback: nothing has happened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_free(server: *mut lariat_server) -> c_int {
    // SAFETY: the header demands a server that nobody uses after this.
    status(|| unsafe { lariat_server::free(server) })
}

/// Sets an option, one of lariat_option. LARIAT_WRONG_STATE after the first lariat_listen. Options
/// that contradict one another, such as LARIAT_RESERVE and LARIAT_DEFLATE, are refused by the first
/// lariat_listen, with LARIAT_INVALID: lariat_last_error names them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_configure(server: *mut lariat_server, option: c_int, value: u64) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        unsafe { lariat_server::of(server)? }.configure(|config| options::set(config, option, value))
    })
}
