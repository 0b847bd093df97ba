//! What an application is.
//!
//! | file | question |
//! |---|---|
//! | `handler` | what is an application told, and what does it answer? |
//! | `router` | how is an application composed of small ones? |
//! | `closures` | how small can an application be? |

mod closures;
mod handler;
mod router;

pub use closures::Closures;
pub use handler::Handler;
pub use router::Router;
