//! One connection at the terminal: lines of standard input are messages to the server, and its
//! messages are lines on standard output.
//!
//! | exit code | meaning |
//! |--:|---|
//! | 0 | the connection ended normally (1000, 1001 or 1005), or `--one` got its message |
//! | 1 | no connection, a lost one, another code, or no message in time |
//! | 2 | wrong usage |
//!
//! At the end of standard input, the session first sends a ping. Its pong comes when the server has
//! read everything before it, so answers to the last lines come before the Close. The library
//! delivers no message behind our Close. `late` takes those from the trace of the connection.
//!
//! | file | question |
//! |---|---|
//! | `options` | which options does `lariat connect` have? |
//! | `command` | what does it do, from its options to its exit code? |
//! | `session` | what happens at each event of the connection? |
//! | `steps` | what follows from lines, from the end of input, and from time? |
//! | `input` | how do lines get from standard input to the loop, without being read too early? |
//! | `output` | how do messages get to standard output, if its reader is slow or has gone? |
//! | `shown` | how does a message look? |
//! | `late` | which messages come after our Close? |
//! | `ending` | how did it end, and is that a failure? |

mod command;
mod ending;
mod input;
mod late;
mod options;
mod output;
mod session;
mod shown;
mod steps;

pub(crate) use command::run;
pub(crate) use options::Options;
