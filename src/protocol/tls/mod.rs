//! TLS (RFC 8446, RFC 5246) between a stream and a connection: bytes in, bytes and events out.
//!
//! | file | question |
//! |---|---|
//! | `session` | how do a stream's bytes become a connection's, and back? |
//! | `identity` | which certificates does a server or client show, and which does it accept? |
//! | `info` | what have both sides agreed on? |
//! | `error` | why does TLS fail? |
//!
//! The cryptography is rustls'. A [`Session`] has no socket and no clock. It owns bytes only while
//! a record is incomplete, or while the kernel has not taken all of one.

mod error;
mod identity;
mod info;
mod session;

pub use error::{TlsError, TlsFailure};
pub use identity::{ClientTls, ServerTls, TlsFiles, TlsSetupError};
pub use info::TlsInfo;
pub use session::{MOST_KEPT, Output, Received, Session};
