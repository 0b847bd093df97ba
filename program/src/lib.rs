//! The program `lariat`: a server with a site, a client for the terminal, a load driver, a check of
//! the host, and certificates for development. It uses only the public API of the library `lariat`.
//!
//! Each room imports only from those above it.
//!
//! | room | question |
//! |---|---|
//! | `clock` | what time is it, to the microsecond? |
//! | `lab` | what happens if a client sends these bytes? |
//! | `terminal` | how does the program read and write numbers and sentences? |
//! | `doctor` | how many connections does this host hold? |
//! | [`site`] | what does `lariat serve` show? |
//! | `client` | how does the program ask a server for a connection? |
//! | `load` | how does a server behave under load? |
//! | `connect` | how does somebody talk to a server at the terminal? |
//! | `cert` | how does a developer get a certificate? |
//! | [`cli`] | which command does the command line name? |

#![forbid(unsafe_code)]

mod cert;
pub mod cli;
mod client;
mod clock;
mod connect;
mod doctor;
mod lab;
mod load;
pub mod site;
mod terminal;
