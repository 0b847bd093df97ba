//! The address of a client behind proxies.
//!
//! | file | question |
//! |---|---|
//! | `header` | what does a PROXY header say? |
//! | `text` | what does one of version 1 look like? |
//! | `binary` | what does one of version 2 look like? |
//! | `trusted` | which proxies are trusted? |
//! | `forwarded` | what do `Forwarded` and `X-Forwarded-For` say? |

mod binary;
pub mod forwarded;
mod header;
mod text;
mod trusted;

pub use header::{MAX_BLOCK, MAX_LINE, ProxyError, ProxyHeader, decode};
