//! A server takes over all connections of another one.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
mod bytes;
mod failures;
mod kit;
mod raw;
mod resources;
mod state;
mod steady;
