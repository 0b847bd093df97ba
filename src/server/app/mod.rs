//! What an application is.
//!
//! | file | question |
//! |---|---|
//! | `handler` | what is an application told, and what does it answer? |
//! | `router` | how is an application composed of small ones? |
//! | `closures` | how small can an application be? |
//! | `pipe` | how do two clients forward to each other? |
//! | `saved` | how does what a handler keeps become bytes? |

mod closures;
mod handler;
mod pipe;
mod router;
#[cfg(all(unix, feature = "serde"))]
pub mod saved;

pub use closures::Closures;
pub(crate) use closures::for_each_callback;
pub use handler::Handler;
#[cfg(all(unix, feature = "handover"))]
pub use handler::RestoreError;
pub use pipe::Pipe;
pub use router::Router;
