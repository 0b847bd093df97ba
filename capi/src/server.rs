//! How a server is made, configured and freed.

use crate::abi::lariat_option::{self, *};
use crate::boundary::{Failure, Outcome, status};
use crate::host::lariat_server;
use crate::pointers::{check_out, write};
use lariat::{Config, Deflate};
use std::ffi::c_int;
use std::time::Duration;

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

/// Frees a server. All its sockets are closed at once, without Close frames and without on_close;
/// lariat_stop closes them properly before. No thread may use the server any more, lariat_post and
/// lariat_stop included. LARIAT_BUSY in a callback: then nothing has happened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_free(server: *mut lariat_server) -> c_int {
    // SAFETY: the header demands a server that nobody uses after this.
    status(|| unsafe { lariat_server::free(server) })
}

/// Sets an option, one of lariat_option. LARIAT_WRONG_STATE after the first lariat_listen. Options
/// that contradict one another are refused by the first lariat_listen, with LARIAT_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_configure(server: *mut lariat_server, option: c_int, value: u64) -> c_int {
    status(|| {
        // SAFETY: the header demands a server that is not freed.
        unsafe { lariat_server::of(server)? }.configure(|config| set(config, option, value))
    })
}

fn set(config: &mut Config, option: c_int, value: u64) -> Outcome {
    let is = |known: lariat_option| option == known as c_int;
    let size = usize::try_from(value).map_err(|_| Failure::invalid(format!("{value} is too much for this host")));
    let small = u32::try_from(value).map_err(|_| Failure::invalid(format!("{value} is more than {}", u32::MAX)));
    let time = Duration::from_millis(value);
    let perhaps = (value > 0).then_some(time);
    let limits = &mut config.limits;
    if is(LARIAT_MAX_CONNECTIONS) {
        config.max_connections = Some(size?).filter(|&most| most > 0);
    } else if is(LARIAT_MAX_PER_ADDRESS) {
        config.max_connections_per_address = Some(small?).filter(|&most| most > 0);
    } else if is(LARIAT_MEMORY_BUDGET) {
        config.memory_budget = size?;
    } else if is(LARIAT_MAX_MESSAGE) {
        limits.max_message = size?;
    } else if is(LARIAT_MAX_UNSENT) {
        limits.max_unsent = size?;
    } else if is(LARIAT_HIGH_WATER) {
        limits.high_water = size?;
    } else if is(LARIAT_READ_BUFFER) {
        config.read_buffer = size?;
    } else if is(LARIAT_PING_INTERVAL) {
        limits.ping_interval = perhaps;
    } else if is(LARIAT_IDLE_TIMEOUT) {
        limits.idle_timeout = perhaps;
    } else if is(LARIAT_HANDSHAKE_TIMEOUT) {
        limits.handshake_timeout = time;
    } else if is(LARIAT_CLOSE_TIMEOUT) {
        limits.close_timeout = time;
    } else if is(LARIAT_WRITE_TIMEOUT) {
        limits.write_timeout = perhaps;
    } else if is(LARIAT_DEFLATE) {
        config.deflate = (value > 0).then(Deflate::default);
    } else if is(LARIAT_MAX_POSTED) {
        config.remote_queue = size?;
    } else {
        return Err(Failure::invalid(format!("there is no option {option}")));
    }
    Ok(())
}
