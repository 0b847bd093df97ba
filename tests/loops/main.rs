//! Servers with several loops.
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

#[path = "../common/mod.rs"]
mod common;

mod behind;
mod choosing;
mod ends;
mod kit;
mod limits;
mod placement;
mod topics;
