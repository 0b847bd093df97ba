//! The forms of the report, and what limited the run.
//!
//! | file | question |
//! |---|---|
//! | `limits` | what limited the run? |
//! | `text` | what does the report say on a terminal? |
//! | `html` | what does it show as a page? |
//! | `junit` | which of its checks passed, for a CI server? |
//! | `csv` | what are the seconds of a run, one per line? |
//! | `write` | where is the report written? |

mod csv;
mod html;
mod junit;
mod limits;
mod text;
mod write;

pub(crate) use csv::Table;
pub(crate) use limits::limits;
pub(crate) use write::{check, check_forms, write, write_json};
