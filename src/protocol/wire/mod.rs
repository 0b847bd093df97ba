//! What is on the wire: frames, masks, text, close codes. No state of a connection.
//!
//! | file | question |
//! |---|---|
//! | `frame` | what does a frame's header say, and is it allowed to? |
//! | `mask` | what does a masking key do to a payload? |
//! | `utf8` | how is text checked, whole or in pieces? |
//! | `close` | which close codes and reasons may travel? |
//! | `fast` | how are masks and short text handled faster? |
//! | `input` | which bytes of a read are still to be handled? |
//! | `token` | what is a token of HTTP? |
//! | `role` | which side are we? |
//! | `error` | which rule has the peer broken? |

pub mod close;
mod error;
#[cfg(not(lariat_plain))]
pub mod fast;
mod frame;
mod input;
pub mod mask;
mod role;
pub mod token;
pub mod utf8;

pub use error::ProtocolError;
pub use frame::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode};
pub use input::Input;
pub use role::Role;
