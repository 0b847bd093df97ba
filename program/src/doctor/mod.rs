//! How many connections this host holds, and what limits them.
//!
//! | file | question |
//! |---|---|
//! | `host` | what does this host allow? |
//! | `findings` | which limit do N connections reach first, and how is it raised? |
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
pub(crate) use findings::{Ask, Finding, SERVER_BYTES, SOCKET_BYTES, Side, Verdict, findings};
pub(crate) use host::{Host, read};
