//! The program `lariat`: its commands, and the site that `lariat serve` shows. It uses only the
//! public API of the library `lariat`.
//!
//! | module | question |
//! |---|---|
//! | [`cli`] | what does the command line say, and how does the process end? |
//! | [`site`] | what does `lariat serve` show? |

#![forbid(unsafe_code)]

pub mod cli;
pub mod site;
