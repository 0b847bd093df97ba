//! How many connections does this host hold, and what stops it there?
//!
//! | file | question |
//! |---|---|
//! | `host` | what does this host allow? |
//! | `findings` | which limit stops N connections first, and what lifts it? |
//! | `table` | how are the findings shown? |
//! | `descriptors` | how does the program get as many descriptors as it may? |
//! | `command` | what does `lariat doctor` do? |

mod command;
mod descriptors;
mod findings;
mod host;
mod table;

pub(crate) use command::{Options, run};
pub(crate) use descriptors::raise_descriptor_limit;
pub(crate) use findings::{Ask, Finding, Side, Verdict, findings};
pub(crate) use host::{Host, read};
