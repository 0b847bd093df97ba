//! What connections say, and how it differs from one to the next.
//!
//! | file | question |
//! |---|---|
//! | `rows` | which row of `--data` belongs to a connection? |
//! | `template` | how is a text with `{id}` and the like filled in? |
//! | `payload` | what does each message say? |

mod payload;
mod rows;
mod template;

pub(crate) use payload::Payload;
pub(crate) use rows::{Rows, Share};
pub(crate) use template::{Names, Template, Who};
