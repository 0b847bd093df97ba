//! How a server is put together.
//!
//! | file | question |
//! |---|---|
//! | `server` | where does a server listen, and what runs it? |
//! | `succession` | from which process does it take over, and where can the next one? |
//! | `loops` | how do several loops serve one server? |

mod loops;
mod server;
#[cfg(all(unix, feature = "handover"))]
mod succession;

pub use loops::Loops;
pub use server::{ClosureServer, Server};
