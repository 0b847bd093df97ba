//! Numbers and sentences as the program reads and writes them.
//!
//! | file | question |
//! |---|---|
//! | `units` | how do people write sizes, times and rates? |
//! | `failure` | what went wrong, and what should the user do? |
//! | `screen` | what stands on standard error, lines and the status? |
//! | `logging` | how does text get to standard error without holding up the loop? |
//! | `stdout` | how does text get to standard output? |

mod failure;
mod logging;
mod screen;
mod stdout;
pub(crate) mod units;

pub(crate) use failure::Failure;
pub(crate) use logging::Log;
pub(crate) use stdout::print;
