//! Where is the client, when proxies stand in front of us?
//!
//! | file | question |
//! |---|---|
//! | `header` | what does a PROXY header say? |
//! | `forwarded` | what do `Forwarded` and `X-Forwarded-For` say, and whom do we trust? |

pub mod forwarded;
mod header;

pub use header::{MAX_BLOCK, MAX_LINE, ProxyError, ProxyHeader, decode};
