//! One turn of the loop: wait, accept, connect, read, expire, flush, reap.
//!
//! ```text
//!  kernel -> readiness -> shared read buffer -> frame -> message -> Handler::on_message
//!    ^                                                                     |
//!    +--- one write per client <- pending writes <- outbox <- frame <- Clients::send / publish
//! ```
//!
//! | file | question |
//! |---|---|
//! | `event_loop` | what is one turn, and how does a host run it? |
//! | `accepting` | where do new connections come from? |
//! | `descriptor` | which descriptor does a host's own loop watch? |
//! | `handover` | how does another process take over, and how does this one? |
//! | `recorded` | what does a simulated loop hand over? |
//! | `watched` | what is different in a turn that is watched? |

mod accepting;
#[cfg(unix)]
mod descriptor;
mod event_loop;
#[cfg(all(unix, feature = "handover"))]
mod handover;
#[cfg(all(unix, feature = "handover", feature = "sim"))]
mod recorded;
mod watched;

pub use event_loop::EventLoop;
pub(crate) use event_loop::Parts;
#[cfg(all(unix, feature = "handover"))]
pub(crate) use handover::{Handing, PASSED, Predecession, offered};
#[cfg(all(unix, feature = "handover", feature = "sim"))]
pub(crate) use recorded::Recorded;
