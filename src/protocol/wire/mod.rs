//! The parts of the wire format: frames, masks, text and close codes. This room holds no state of a
//! connection.
//!
//! | file | question |
//! |---|---|
//! | `frame` | what does a frame's header contain, and is it valid? |
//! | `mask` | how is a payload masked and unmasked? |
//! | `utf8` | how is text checked, whole or in pieces? |
//! | `close_code` | which close codes are there, and which may be sent? |
//! | `close` | what is in a Close frame? |
//! | `fast` | how are masks and short text handled faster? |
//! | `input` | which bytes of a read are not handled yet? |
//! | `escape` | how is text of a stranger shown? |
//! | `token` | what is a token of HTTP? |
//! | `role` | which side are we? |
//! | `error` | which rule did the peer break? |

pub mod close;
mod close_code;
mod error;
mod escape;
#[cfg(not(lariat_plain))]
pub mod fast;
mod frame;
mod input;
pub mod mask;
mod role;
pub mod token;
pub mod utf8;

pub use close::CloseFrame;
pub use close_code::CloseCode;
pub use error::ProtocolError;
pub use escape::Escaped;
pub use frame::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode};
pub use input::Input;
pub use role::Role;
