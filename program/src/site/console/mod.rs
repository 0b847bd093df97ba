//! `/console`: shows a page what went over the wire of its socket, as this server sees it.
//!
//! | file | question |
//! |---|---|
//! | `console` | which connections does a page watch, and what does it get? |

mod console;

pub use console::Console;
pub(super) use console::{PATH, is_watched, wants_no_compression};
