//! The C interface of Lariat. `include/lariat.h` is generated from this package by cbindgen and
//! kept: `capi/tests/capi/header.rs` compares it.
//!
//! It is the only package with `unsafe`, and it uses only the public API of the library.
//!
//! | file | question |
//! |---|---|
//! | `abi.rs` | What are the types and numbers that C sees? |
//! | `boundary.rs` | How does a call of C end: with which code and text, also after a panic? |
//! | `pointers.rs` | How does a pointer of C become something safe? |
//! | `thread.rs` | Which thread is this? |
//! | `log.rs` | Where does the log go? |
//! | `host.rs` | What is behind a `lariat_server`, and who may use it when? |
//! | `bridge.rs` | How do the loop's callbacks reach C? |
//! | `requests.rs` | What can C learn of a request, and answer? |
//! | `server.rs` | How is a server made, configured and freed? |
//! | `options.rs` | Which options are there, and what is wrong with them? |
//! | `listening.rs` | Where does it listen? |
//! | `callbacks.rs` | Which functions does it call? |
//! | `turning.rs` | How does its loop run, and stop? |
//! | `clients.rs` | What can be done with one client? |
//! | `connecting.rs` | How does the server connect to others? |
//! | `topics.rs` | What can be done with many? |
//! | `timers.rs` | How are timers set? |
//! | `stats.rs` | What has it done? |
//! | `panics.rs` | (tests) Does each function end a panic as a code? |
//!
//! # Why it is sound
//!
//! * C has only pointers to a `Host`, and Rust makes only shared references from them. What
//!   changes lies in cells.
//! * All cells belong to one thread, which is checked at each call. `lariat_post` and `lariat_stop`
//!   touch no cell.
//! * While the loop turns, it is borrowed. A callback lends its `&mut Clients` to the calls of C
//!   that come before it returns; each of them takes it away and puts it back, so there are never
//!   two. A call at any other moment gets `LARIAT_BUSY`.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_debug_implementations)]

// First what the header has, in its order. Groups keep rustfmt from sorting it.
mod abi;

mod server;

mod listening;

mod callbacks;

mod turning;

mod clients;

mod topics;

mod timers;

mod requests;

mod connecting;

mod stats;

mod boundary;

mod log;

mod bridge;
mod host;
mod options;
#[cfg(test)]
mod panics;
mod pointers;
mod thread;

pub use abi::*;
pub use boundary::{lariat_last_error, lariat_strerror, lariat_version};
pub use callbacks::*;
pub use clients::*;
pub use connecting::*;
pub use host::lariat_server;
pub use listening::*;
pub use log::lariat_set_log;
pub use requests::*;
pub use server::*;
pub use stats::lariat_get_stats;
pub use timers::*;
pub use topics::*;
pub use turning::*;
