//! The steps of a turn.
//!
//! ```text
//!  read ──► deliver ──► Handler ──► Clients (only queues)
//!  expire ─────────────────┘           │
//!  flush ◄─────────────────────────────┘   one write per client
//!  reap                                    the only step that removes clients
//! ```
//!
//! The engine knows no poller and reads no clock. [`event_loop`](super::event_loop) passes it
//! readiness and time.
//!
//! | file | question |
//! |---|---|
//! | `engine` | how do connections begin, and how is the application called? |
//! | `reading` | how is a client read? |
//! | `delivery` | how do its bytes reach the application? |
//! | `request` | how is a request answered? |
//! | `moving` | how does a request get to the loop that answers it? |
//! | `proxied` | what is the address of a client behind proxies? |
//! | `secured` | what does TLS do between a socket and a connection? |
//! | `secured_off` | what replaces `secured` without the feature `tls`? |
//! | `expiry` | what happens when something is due? |
//! | `kept` | how do handlers and clients get topics with a history? |
//! | `memberships` | how are handlers told who has joined and left topics? |
//! | `writing` | how is a client written to? |
//! | `reap` | how are clients removed that have ended? |
//! | `carried` | what goes to another process, and what comes from one? |
//! | `fast` | which of these steps have a fast path? |

#[cfg(all(unix, feature = "handover"))]
mod carried;
mod delivery;
mod engine;
mod expiry;
#[cfg(not(lariat_plain))]
mod fast;
mod kept;
mod memberships;
mod moving;
mod proxied;
mod reading;
mod reap;
mod request;
#[cfg_attr(not(feature = "tls"), path = "secured_off.rs")]
mod secured;
mod writing;

#[cfg(all(unix, feature = "handover"))]
pub(crate) use carried::Batch;
pub(crate) use engine::Engine;
