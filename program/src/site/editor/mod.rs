//! `/editor`: several people write one text at the same time.
//!
//! | file | question |
//! |---|---|
//! | `operation` | what does an edit do to a text, and to another edit? |
//! | `document` | what is the text, and who writes it? |
//! | `page` | what do a page and the server say to each other? |
//! | `handler` | which documents are there, and which client is in which? |

mod document;
mod handler;
mod operation;
mod page;

pub use handler::Editor;
pub use operation::Operation;
