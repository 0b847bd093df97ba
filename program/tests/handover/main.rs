//! `lariat serve --handover`: the next process takes over all connections, and the apps go on.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

#[path = "../common/mod.rs"]
mod common;

mod apps;
mod kit;
mod processes;
mod secured;
mod upgrades;
