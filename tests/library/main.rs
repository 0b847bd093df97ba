//! Features of the library beyond messages: connections to other servers, messages in pieces,
//! traces, proxies, and the types that applications hold.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod adopting;
mod closures;
mod data;
mod events;
mod handles;
mod ids;
mod listening;
mod memberships;
mod outgoing;
mod pieces;
mod pipes;
mod proxies;
mod timers;
mod topics;
mod traces;
mod vocabulary;
