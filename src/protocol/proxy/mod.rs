//! Finds the address of a client behind proxies.
//!
//! | file | question |
//! |---|---|
//! | `header` | what does a PROXY header contain? |
//! | `text` | how is a header of version 1 parsed? |
//! | `binary` | how is a header of version 2 parsed? |
//! | `trusted` | which proxies are trusted? |
//! | `forwarded` | which address do `Forwarded` and `X-Forwarded-For` report? |
//!
//! `forwarded_tests` contains the unit tests of `forwarded`.

mod binary;
pub mod forwarded;
#[cfg(test)]
mod forwarded_tests;
mod header;
mod text;
mod trusted;

pub use header::{MAX_BLOCK, MAX_LINE, ProxyError, ProxyHeader, decode};
