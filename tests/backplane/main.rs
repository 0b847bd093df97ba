//! Several servers that share topics, through an engine in memory.
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod caught;
mod kept;
mod kit;
mod shared;
