//! The helpers of the library's tests, and the program as a process.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

#[path = "../../../tests/common/mod.rs"]
mod library;

pub mod program;
pub mod raw;

pub use library::*;
