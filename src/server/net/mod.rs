//! Sockets, readiness and the clock.
//!
//! | file | question |
//! |---|---|
//! | `socket` | which stream carries a conversation? |
//! | `listener` | where do connections come from? |
//! | `poller` | what is ready, and what time is it? |
//! | `resolver` | at which addresses is a host? |
//! | `signals` | which signals stop a server? |
//! | `memory` | what stands in for all that in a simulation? |

mod listener;
#[cfg(feature = "sim")]
pub(crate) mod memory;
mod poller;
mod resolver;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod socket;

pub use listener::LocalAddr;
#[cfg(feature = "sim")]
pub(crate) use listener::exhaustion;
pub(crate) use listener::{Arrival, Listener, SpareDescriptor, is_exhaustion};
pub(crate) use poller::{Clock, Kernel, Poller, Ready};
pub(crate) use resolver::{Question, Resolver};
#[cfg(all(unix, feature = "signals"))]
pub(crate) use signals::{Signalled, Signals};
pub(crate) use socket::{Readiness, Socket};
