//! `/loop`: shows pages what the event loop does.
//!
//! | file | question |
//! |---|---|
//! | `watch` | who watches, and what does a page get? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;
mod watch;

pub use watch::Loop;
