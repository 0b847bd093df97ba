//! TLS: sessions without sockets, and the loop with them. `.ci/clients/tls.py` has the clients of
//! others.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod any_version;
mod certificates;
mod floods;
mod forger;
mod hostile_servers;
mod kit;
mod memory;
mod moving;
mod older_records;
mod outgoing;
mod records;
mod serving;
mod sessions;
mod stage;
mod traces;
mod traffic;
