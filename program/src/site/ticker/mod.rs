//! `/ticker`: random prices, which pages get by push or by poll, and the cost of both.
//!
//! | file | question |
//! |---|---|
//! | `ticker` | what are the prices, and what do pages get? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;
mod ticker;

pub use ticker::Ticker;
