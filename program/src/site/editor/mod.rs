//! `/editor`: several people write one text at the same time.
//!
//! | file | question |
//! |---|---|
//! | `operation` | what does an edit do to a text, and to another edit? |
//! | `document` | what is the text, and who writes it? |
//! | `handler` | what do pages ask for, and what are they told? |

mod document;
mod handler;
mod operation;

pub use handler::Editor;
pub use operation::Operation;
