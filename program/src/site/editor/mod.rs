//! `/editor`: several people write one text at the same time.
//!
//! | file | question |
//! |---|---|
//! | `operation` | what does an edit do to a text, and to another edit? |
//! | `document` | what is the text, and who writes it? |
//! | `page` | what do a page and the server say to each other? |
//! | `feed` | how do several servers have the same text? |
//! | `shared` | which documents do several servers have? |
//! | `handler` | which documents are there, and which client is in which? |
//! | `saved` | what does the process get that takes over? |
//!
//! `feed_tests` and `saved_tests` have the unit tests of `feed` and `saved`.

mod document;
mod feed;
#[cfg(test)]
mod feed_tests;
mod handler;
mod operation;
mod page;
#[cfg(unix)]
mod saved;
#[cfg(all(test, unix))]
mod saved_tests;
mod shared;

pub use handler::Editor;
pub use operation::Operation;
pub(super) use page::PATH;
