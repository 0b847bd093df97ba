//! Message compression: permessage-deflate (RFC 7692).
//!
//! | file | question |
//! |---|---|
//! | `extension` | which compression do both sides agree on? |
//! | `grammar` | how is a line of the header parsed? |
//! | `codec` | how is a message compressed and decompressed? |
//! | `codec_off` | what replaces `codec` without the feature `deflate`? |
//! | `contexts` | who owns a compressor, and what may it cost? |
//! | `window` | what does a decompressor remember, for another process? |
//!
//! `codec_tests` and `extension_tests` contain the unit tests of `codec` and `extension`.

#[cfg_attr(not(feature = "deflate"), path = "codec_off.rs")]
mod codec;
mod contexts;
mod extension;
mod grammar;
#[cfg(all(feature = "deflate", feature = "handover"))]
mod window;

pub(crate) use codec::AVAILABLE;
pub use codec::{Deflater, Inflater, NotSmaller, STEP};
pub(crate) use contexts::{Compression, Contexts, WINDOWS};
pub use extension::{
    Agreed, ClientWindow, Deflate, MAX_WINDOW_BITS, MIN_WINDOW_BITS, Parameters, Takeover, judge_response,
};
