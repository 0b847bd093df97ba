//! `/learn/class`: a class that learns together. The teacher sees what each learner expects and
//! what happens, and holds the loop for all.
//!
//! | file | question |
//! |---|---|
//! | `messages` | what do pages and the class say to each other? |
//! | `roll` | who is in the class, and what has each of them answered? |
//! | `handler` | who may teach, and who gets which message? |
//! | `saved` | what does the process get that takes over? |
//!
//! `saved_tests` has the unit tests of `saved`.

mod handler;
mod messages;
mod roll;
#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;

pub use handler::Class;
pub(super) use handler::PATH;
