//! A server takes over all connections of another one.
#![cfg(unix)]

mod bytes;
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod kit;
mod old;
mod raw;
mod resources;
mod state;
mod steady;
mod travels;
