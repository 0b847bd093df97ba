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
//! | `watched` | what is different in a turn that is watched? |

mod accepting;
#[cfg(unix)]
mod descriptor;
mod event_loop;
mod watched;

pub use event_loop::EventLoop;
pub(crate) use event_loop::Parts;
