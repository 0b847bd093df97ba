//! TLS (RFC 8446, RFC 5246) between a stream and a connection: bytes in, bytes and events out.
//!
//! | file | question |
//! |---|---|
//! | `session` | how do a stream's bytes become a connection's, and back? |
//! | `machine` | what does rustls do, and when does it wait? |
//! | `traffic` | what follows a handshake, in little memory? |
//! | `ratchet` | which keys follow from the secrets of a session? |
//! | `carried` | what goes to another process of an open session? |
//! | `output` | where does ciphertext for sockets lie? |
//! | `identity` | which certificates does a server or client show, and which does it accept? |
//! | `info` | what have both sides agreed on? |
//! | `error` | why does TLS fail? |
//!
//! The cryptography is rustls'. A [`Session`] has no socket and no clock. It owns bytes only while
//! a record is incomplete, or while the kernel has not taken all of one.

#[cfg(feature = "handover")]
mod carried;
mod error;
mod identity;
mod info;
mod machine;
mod output;
mod ratchet;
mod session;
mod traffic;

#[cfg(feature = "handover")]
pub use carried::CarriedSession;
pub use error::{TlsError, TlsFailure};
pub use identity::{ClientTls, ServerTls, TlsFiles, TlsSetupError};
pub use info::TlsInfo;
pub use output::Output;
pub use session::{MOST_KEPT, Session};
