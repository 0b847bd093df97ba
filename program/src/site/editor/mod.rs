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
//!
//! `feed_tests` has the unit tests of `feed`.

mod document;
mod feed;
#[cfg(test)]
mod feed_tests;
mod handler;
mod operation;
mod page;
mod shared;

pub use handler::Editor;
pub use operation::Operation;
pub(super) use page::PATH;
