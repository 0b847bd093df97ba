//! The C interface, as C sees it.
//!
//! | file | question |
//! |---|---|
//! | `calls.rs` | What do functions return when they are called wrongly? |
//! | `turns.rs` | What happens in a server that turns: callbacks, timers, other threads? |
//! | `requests.rs` | What answers does a request get? |
//! | `panics.rs` | What becomes of a panic in a callback? |
//! | `posts.rs` | What becomes of calls of other threads that are never made? |
//! | `signals.rs` | Which threads take the signals of the process? |
//! | `examples.rs` | Do the hosts in C and Python work, with the static and the shared library? |
//! | `header.rs` | Is the header that of the sources? |
//! | `host.rs` | A server of the tests |

#![allow(clippy::multiple_unsafe_ops_per_block, reason = "rows of calls, as a host in C has them")]

mod calls;
mod examples;
mod header;
mod host;
mod panics;
mod posts;
mod requests;
#[cfg(target_os = "linux")]
mod signals;
mod turns;
