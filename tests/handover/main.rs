//! A server takes over all connections of another one.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod behind;
mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod kit;
mod loops;
mod old;
mod raw;
mod resources;
mod state;
mod steady;
mod time;
mod travels;
mod unsent;
mod versions;
