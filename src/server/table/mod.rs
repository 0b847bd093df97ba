//! What the server knows of its clients, and the queues in which they stand.
//!
//! | file | question |
//! |---|---|
//! | `table` | who is here, who stands in which queue, and what follows from a change? |
//! | `client` | what does the server know of one connection? |
//! | `flags` | what does the loop remember of a client from one step to another? |
//! | `gate` | may a client be read, and if not, why not? |
//! | `key` | who may read, write and free? |
//! | `behind` | what waits apart for a client that reads slowly? |
//! | `ready_queue` | who is next? |
//! | `times` | until when are clients not read? |
//! | `timers` | what happens later, for clients and for the application? |
//! | `wheel` | what is due, and when is the next thing due? |
//! | `topics` | who gets what is published? |
//! | `fast` | which of the table's functions have a fast path? |

mod behind;
mod client;
#[cfg(not(lariat_plain))]
mod fast;
mod flags;
mod gate;
mod key;
mod ready_queue;
mod table;
mod timers;
mod times;
mod topics;
mod wheel;

pub(crate) use behind::Latest;
pub(crate) use client::{Client, Extra, Outgoing};
pub(crate) use flags::Flags;
pub(crate) use gate::Reason;
pub(crate) use key::LoopKey;
pub(crate) use table::{At, Table};
pub(crate) use timers::Expired;
pub(crate) use wheel::MAX_INDEX;
