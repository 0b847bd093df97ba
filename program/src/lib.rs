//! The program `lariat`: a server with a site, a load driver, and a check of the host. It uses only
//! the public API of the library `lariat`.
//!
//! Each room imports only from those above it.
//!
//! | room | question |
//! |---|---|
//! | [`site`] | what does `lariat serve` show? |
//! | `terminal` | how does the program read and write numbers and sentences? |
//! | `doctor` | how many connections does this host hold? |
//! | `load` | how does a server behave under load? |
//! | [`cli`] | which command does the command line name? |

#![forbid(unsafe_code)]

pub mod cli;
mod doctor;
mod load;
pub mod site;
mod terminal;
