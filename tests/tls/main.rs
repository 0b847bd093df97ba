//! TLS: sessions without sockets, and the loop with them. `.ci/clients/tls.py` has the clients of
//! others.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod certificates;
mod kit;
mod outgoing;
mod serving;

mod sessions;
