//! Tests of the server with literal bytes on real sockets.
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod applications;
mod closing;
mod embedding;
mod fairness;
mod handshakes;
mod http;
mod messages;
mod remote;
mod routes;
mod runs;
mod shutdown;
mod stopped;
