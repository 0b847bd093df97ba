//! Hostile clients beside the good ones: what a server does with what the RFC forbids.
//!
//! | file | question |
//! |---|---|
//! | `list` | which kinds are there, and what does a server that keeps to the RFC do? |
//! | `bytes` | which requests and frames do they send? |
//! | `stream` | how do bytes come and go until a deadline? |
//! | `client` | what does one client do, and what does the server? |
//! | `thread` | how do they run beside the good clients? |

mod bytes;
mod client;
mod list;
mod stream;
mod thread;

pub(crate) use thread::Hostile;
