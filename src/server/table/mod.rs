//! What the server knows of its clients, and the queues in which they stand.
//!
//! | file | question |
//! |---|---|
//! | `client` | what does the server know of one connection? |
//! | `flags` | what does the loop remember of a client from one step to another? |
//! | `behind` | what waits apart for a client that reads slowly? |
//! | `ready_queue` | who is next? |
//! | `wheel` | what is due, and when is the next thing due? |
//! | `topics` | who gets what is published? |

mod behind;
mod client;
mod flags;
mod ready_queue;
mod topics;
mod wheel;

pub(crate) use behind::Latest;
pub(crate) use client::{AppTimer, Client, Entries, Extra, Outgoing};
pub(crate) use flags::Flags;
pub(crate) use ready_queue::ReadyQueue;
pub(crate) use topics::Topics;
pub(crate) use wheel::{Armed, MAX_INDEX, Node, Step, Wheel};
