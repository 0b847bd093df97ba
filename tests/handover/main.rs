//! A server takes over all connections of another one.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
mod kit;
mod state;
