//! The steps of a turn.
//!
//! ```text
//!  read ──► deliver ──► Handler ──► Clients (only queues)
//!  expire ─────────────────┘           │
//!  flush ◄─────────────────────────────┘   one write per client
//!  reap                                    the only place that frees a slot
//! ```
//!
//! The engine knows no poller and reads no clock: [`event_loop`](super::event_loop) tells it what
//! is ready and what time it is.
//!
//! | file | question |
//! |---|---|
//! | `engine` | who has work, and how is the application called? |
//! | `reading` | how is a client read? |
//! | `delivery` | how do its bytes reach the application? |
//! | `request` | how is a request answered? |
//! | `proxied` | where is a client that comes through proxies? |
//! | `expiry` | what happens when something is due? |
//! | `writing` | how is a client written to? |
//! | `reap` | how are those removed who have ended? |
//! | `fast` | which of these steps have a fast path? |

mod delivery;
mod engine;
mod expiry;
#[cfg(not(lariat_plain))]
mod fast;
mod proxied;
mod reading;
mod reap;
mod request;
mod writing;

pub(crate) use engine::Engine;
