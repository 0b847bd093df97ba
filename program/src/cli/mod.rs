//! The command line.
//!
//! | exit code | meaning |
//! |--:|---|
//! | 0 | success |
//! | 1 | failure, or an expectation that did not hold |
//! | 2 | wrong usage |
//!
//! A failure prints a sentence on standard error that says what to do.
//!
//! | file | question |
//! |---|---|
//! | `arguments` | which command, and which exit code? |
//! | `completions` | what does a shell complete? |
//! | `manual` | how do the options become manual pages? |
//! | `serve` | what are the options of `lariat serve`, and how does it run? |
//! | `certificates` | which certificates does it show, and when are they read again? |
//! | `handover` | how does the next process take over, and who tells systemd? |
//! | `listen` | where does the server listen, and what if it cannot? |
//! | `socket_file` | which mode and group does a Unix socket get? |
//! | `status` | what does the status line on the terminal show? |

mod arguments;
mod certificates;
mod completions;
#[cfg(unix)]
mod handover;
mod listen;
mod manual;
mod serve;
mod socket_file;
mod status;

pub use arguments::run;
