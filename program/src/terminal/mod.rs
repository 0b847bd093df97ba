//! Numbers and sentences as the program reads and writes them.
//!
//! | file | question |
//! |---|---|
//! | `units` | how do people write sizes, times and rates? |
//! | `failure` | what went wrong, and what should the user do? |
//! | `tls_files` | which option names a file that TLS cannot use? |
//! | `escape` | how is text of strangers quoted in a sentence? |
//! | `screen` | what stands on standard error, lines and the status? |
//! | `logging` | how does text get to standard error without holding up the loop? |
//! | `plain` | how is text of strangers shown? |
//! | `stdout` | how does text get to standard output? |

mod escape;
mod failure;
mod logging;
mod plain;
mod screen;
mod stdout;
mod tls_files;
pub(crate) mod units;

pub(crate) use escape::{quoted, quoted_bytes};
pub(crate) use failure::{Failure, Usage};
pub(crate) use logging::Log;
pub(crate) use plain::plain;
pub(crate) use stdout::print;
pub(crate) use tls_files::tls_problem;
