//! `/learn`: runs the experiments of lessons.
//!
//! | file | question |
//! |---|---|
//! | `messages` | what do pages and the lab say to each other? |
//! | `handler` | which experiments run, and who gets their reports? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

mod handler;
mod messages;
#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;

pub use handler::Learn;
pub(super) use handler::{ECHO, PATH};
