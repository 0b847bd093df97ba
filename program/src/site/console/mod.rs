//! `/console`: shows a page what went over the wire of its socket, as this server sees it.
//!
//! | file | question |
//! |---|---|
//! | `console` | which connections does a page watch, and what does it get? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

mod console;
#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;

pub use console::Console;
pub(super) use console::{PATH, is_watched, wants_no_compression};
