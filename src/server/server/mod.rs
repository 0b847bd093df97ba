//! How a server is put together.
//!
//! | file | question |
//! |---|---|
//! | `server` | where does a server listen, and what runs it? |
//! | `loops` | how do several loops serve one server? |

mod loops;
mod server;

pub use loops::Loops;
pub use server::{ClosureServer, Server};
