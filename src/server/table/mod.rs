//! What the server knows of its clients, and the queues in which they wait.
//!
//! | file | question |
//! |---|---|
//! | `table` | which clients are there, in which queues, and what follows a change? |
//! | `client` | what does the server know of one connection? |
//! | `flags` | what does the loop remember of a client between two steps? |
//! | `gate` | may a client be read, and if not, for which reasons? |
//! | `key` | who may read, write and remove? |
//! | `behind` | what waits for a client that reads too slowly? |
//! | `queues` | which clients wait for which step? |
//! | `ready_queue` | which client is next? |
//! | `clock` | what time is it for clients, and for timers? |
//! | `times` | until when are clients not read? |
//! | `last_look` | has a client done what it was waited for, before a deadline ends it? |
//! | `timers` | which deadlines and timers are armed? |
//! | `wheel` | what is due, and when is the next deadline? |
//! | `reserved` | what is reserved for connections that come? |
//! | `sessions` | which clients have TLS? |
//! | `sessions_off` | what replaces `sessions` without the feature `tls`? |
//! | `topics` | who gets what is published? |
//! | `spread` | which other loops have members of a topic? |
//! | `carried` | how do clients and timers get to another process? |
//! | `fast` | which functions of the table have a fast path? |

mod behind;
#[cfg(all(unix, feature = "handover"))]
mod carried;
mod client;
mod clock;
#[cfg(not(lariat_plain))]
mod fast;
mod flags;
mod gate;
mod key;
mod last_look;
mod queues;
mod ready_queue;
mod reserved;
#[cfg_attr(not(feature = "tls"), path = "sessions_off.rs")]
mod sessions;
mod spread;
mod table;
mod timers;
mod times;
mod topics;
mod wheel;

#[cfg(all(unix, feature = "handover"))]
pub(crate) use behind::Behind;
pub(crate) use behind::Latest;
#[cfg(all(unix, feature = "handover"))]
pub(crate) use carried::Fillers;
pub(crate) use client::{Client, Extra, Outgoing};
pub(crate) use flags::Flags;
pub(crate) use gate::Reason;
pub(crate) use key::LoopKey;
pub(crate) use last_look::LastLook;
pub(crate) use spread::Spread;
pub(crate) use table::{At, Table};
pub(crate) use timers::Expired;
pub(crate) use wheel::MAX_INDEX;
