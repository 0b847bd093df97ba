//! Negotiates compression (RFC 6455 §9.1, RFC 7692 §5 and §7.1).
//!
//! ```text
//!  client: Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate
//!  server: Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover
//! ```
//!
//! A client's header lists offers, the preferred one first. The server accepts the first valid
//! offer and names the parameters for both sides. It declines an offer with a malformed, repeated
//! or unknown parameter and looks at the next. A client accepts only what it has offered; any other
//! response fails the handshake.
//!
//! The agreement fits into one byte, so a connection without context costs no more memory.

use super::grammar::{Elements, Value};
use crate::protocol::wire::Role;
use std::fmt;

/// The window of RFC 1951, in bits: the largest that deflate knows.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window in which zlib can compress. It can decompress with 8.
pub const MIN_WINDOW_BITS: u8 = 9;

/// How messages are compressed for those peers that can do it (permessage-deflate, RFC 7692). Needs
/// the feature `deflate`.
///
/// Without context takeover, which is the default, compression costs no memory per connection: one
/// compressor (372 KiB) and one decompressor (47 KiB) serve all of a loop's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// How hard to compress, from 0 (not at all) over 1 (fast) to 9 (small). Default 6.
    pub level: u8,
    /// Messages of fewer bytes are not compressed. Default 1 KiB; with context takeover, a few
    /// bytes can be worth it.
    pub threshold: usize,
    /// The largest window in which we compress, and the largest that we ask of a peer's compressor,
    /// as a power of two from 9 to 15. Default 15, which is 32 KiB. A smaller one takes less
    /// memory of a compressor (246 KiB at 9, 252 at 11, 276 at 13), the same of a decompressor.
    pub max_window_bits: u8,
    /// Which side's messages may refer to earlier ones. That makes short, similar messages far
    /// smaller. It costs memory for each connection from the first compressed message on: 372 KiB
    /// for sending and 47 KiB for receiving. Default: neither side.
    pub context_takeover: Takeover,
    /// The most bytes of contexts in the whole server; connections beyond it are agreed on without
    /// context takeover. Default 64 MiB.
    pub max_context_bytes: usize,
}

impl Default for Deflate {
    fn default() -> Deflate {
        Deflate {
            level: 6,
            threshold: 1 << 10,
            max_window_bits: MAX_WINDOW_BITS,
            context_takeover: Takeover::Never,
            max_context_bytes: 64 << 20,
        }
    }
}

/// Whose compression may refer to earlier messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Takeover {
    /// Neither side: each message is compressed by itself.
    #[default]
    Never,
    /// Ours.
    Sent,
    /// The peer's.
    Received,
    /// Both.
    Both,
}

impl Takeover {
    const fn of_sent(self) -> bool {
        matches!(self, Takeover::Sent | Takeover::Both)
    }

    const fn of_received(self) -> bool {
        matches!(self, Takeover::Received | Takeover::Both)
    }
}

/// The parameters of an offer or a response (RFC 7692 §7.1). Shown as the header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// The server's messages do not refer to earlier ones.
    pub server_no_context_takeover: bool,
    /// The client's messages do not refer to earlier ones.
    pub client_no_context_takeover: bool,
    /// The server's window.
    pub server_max_window_bits: Option<u8>,
    /// The client's window.
    pub client_max_window_bits: ClientWindow,
}

/// What is said about the client's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientWindow {
    /// Nothing: in an offer, that the client cannot make it smaller.
    #[default]
    Unsaid,
    /// In an offer: the client can make it as small as the server asks for.
    Any,
    /// It is at most this large, in bits.
    Bits(u8),
}

pub(super) const NAME: &str = "permessage-deflate";

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            ClientWindow::Unsaid => Ok(()),
            ClientWindow::Any => f.write_str("; client_max_window_bits"),
            ClientWindow::Bits(bits) => write!(f, "; client_max_window_bits={bits}"),
        }
    }
}

impl Parameters {
    /// The first offer in a client's `Sec-WebSocket-Extensions` headers that a server can accept.
    pub fn acceptable_offer<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<Parameters> {
        // zlib cannot compress in a window of 256 bytes.
        let is_possible = |offer: &Parameters| offer.server_max_window_bits.is_none_or(|bits| bits >= MIN_WINDOW_BITS);
        values.flat_map(Elements::new).filter_map(Result::ok).find(is_possible)
    }

    /// Adds a parameter. Returns `false` if it is unknown or repeated, or if its value is invalid.
    pub(super) fn set(&mut self, name: &[u8], value: Option<Value>) -> bool {
        match name {
            b"server_no_context_takeover" => {
                value.is_none() && !std::mem::replace(&mut self.server_no_context_takeover, true)
            }
            b"client_no_context_takeover" => {
                value.is_none() && !std::mem::replace(&mut self.client_no_context_takeover, true)
            }
            b"server_max_window_bits" => {
                let Some(bits) = value.and_then(Value::window_bits) else { return false };
                self.server_max_window_bits.replace(bits).is_none()
            }
            b"client_max_window_bits" => {
                let window = match value.map(Value::window_bits) {
                    None => ClientWindow::Any,
                    Some(Some(bits)) => ClientWindow::Bits(bits),
                    Some(None) => return false,
                };
                std::mem::replace(&mut self.client_max_window_bits, window) == ClientWindow::Unsaid
            }
            _ => false,
        }
    }
}

impl Deflate {
    /// Returns a server's response to an offer. `takeover` is what the budget allows.
    pub fn respond(&self, offer: Parameters, takeover: Takeover) -> Parameters {
        let server_bits = offer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS).min(self.max_window_bits);
        Parameters {
            server_no_context_takeover: offer.server_no_context_takeover || !takeover.of_sent(),
            client_no_context_takeover: offer.client_no_context_takeover || !takeover.of_received(),
            // "A server accepts an offer with this parameter by including it in the response with
            // the same or smaller value."
            server_max_window_bits: (offer.server_max_window_bits.is_some() || server_bits < MAX_WINDOW_BITS)
                .then_some(server_bits),
            client_max_window_bits: match offer.client_max_window_bits {
                // "A server MUST NOT include it in the response if the offer does not."
                ClientWindow::Unsaid => ClientWindow::Unsaid,
                ClientWindow::Any if self.max_window_bits == MAX_WINDOW_BITS => ClientWindow::Unsaid,
                ClientWindow::Any => ClientWindow::Bits(self.max_window_bits),
                ClientWindow::Bits(bits) => ClientWindow::Bits(bits.min(self.max_window_bits)),
            },
        }
    }

    /// Returns a client's offer. `takeover` is what the budget allows.
    pub fn offer(&self, takeover: Takeover) -> Parameters {
        let is_smaller = self.max_window_bits < MAX_WINDOW_BITS;
        Parameters {
            server_no_context_takeover: !takeover.of_received(),
            client_no_context_takeover: !takeover.of_sent(),
            server_max_window_bits: is_smaller.then_some(self.max_window_bits),
            client_max_window_bits: match is_smaller {
                true => ClientWindow::Bits(self.max_window_bits),
                false => ClientWindow::Any,
            },
        }
    }
}

/// Reads the `Sec-WebSocket-Extensions` headers of a response to a client's `offer`. Returns `None`
/// if the server does not compress.
///
/// # Errors
///
/// The response has a parameter that was not offered or is invalid. The handshake fails (RFC 7692
/// §5.1 and §7.1).
pub fn judge_response<'v>(
    offer: Option<Parameters>,
    values: impl Iterator<Item = &'v [u8]>,
) -> Result<Option<Parameters>, &'static str> {
    let mut elements = values.flat_map(Elements::new);
    let Some(first) = elements.next() else { return Ok(None) };
    let (Some(offer), Ok(response), None) = (offer, first, elements.next()) else {
        return Err("the server chose an extension or parameters that were not offered");
    };
    if offer.server_no_context_takeover && !response.server_no_context_takeover {
        return Err("the server does not promise server_no_context_takeover");
    }
    let within = |bits: Option<u8>, limit: u8| bits.is_some_and(|bits| bits <= limit);
    if offer.server_max_window_bits.is_some_and(|limit| !within(response.server_max_window_bits, limit)) {
        return Err("the server's window is larger than what was offered");
    }
    match (offer.client_max_window_bits, response.client_max_window_bits) {
        (_, ClientWindow::Unsaid) | (ClientWindow::Any, ClientWindow::Bits(_)) => Ok(Some(response)),
        (ClientWindow::Bits(limit), ClientWindow::Bits(bits)) if bits <= limit => Ok(Some(response)),
        _ => Err("the server's client_max_window_bits was not offered"),
    }
}

/// The agreement, as one side sees it. Default: no compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed(u8);

impl Agreed {
    /// The window in which we may compress, less 8.
    const WINDOW: u8 = 0b111;
    const COMPRESSED: u8 = 1 << 3;
    const KEEPS_SENT: u8 = 1 << 4;
    const KEEPS_RECEIVED: u8 = 1 << 5;

    /// No compression.
    pub const NOTHING: Agreed = Agreed(0);

    /// Each message is compressed by itself, in the largest window.
    pub const USUAL: Agreed = Agreed(Agreed::COMPRESSED | Agreed::WINDOW);

    /// Returns the agreement that follows from a response, for a side configured with `deflate`.
    /// `takeover` is what it offered or responded with.
    pub fn new(role: Role, response: Parameters, deflate: &Deflate, takeover: Takeover) -> Agreed {
        let client_bits = match response.client_max_window_bits {
            ClientWindow::Bits(bits) => bits,
            ClientWindow::Unsaid | ClientWindow::Any => MAX_WINDOW_BITS,
        };
        let server_bits = response.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        let (bits, sent_alone, received_alone) = match role {
            Role::Server => (server_bits, response.server_no_context_takeover, response.client_no_context_takeover),
            Role::Client => (client_bits, response.client_no_context_takeover, response.server_no_context_takeover),
        };
        let mut agreed = Agreed::COMPRESSED | (bits.min(deflate.max_window_bits) - 8);
        if takeover.of_sent() && !sent_alone {
            agreed |= Agreed::KEEPS_SENT;
        }
        if !received_alone {
            agreed |= Agreed::KEEPS_RECEIVED;
        }
        Agreed(agreed)
    }

    /// Whether messages may come compressed.
    pub const fn is_compressed(self) -> bool {
        self.0 & Agreed::COMPRESSED != 0
    }

    /// The window in which we may compress, in bits; `None` if we may not, or cannot.
    pub const fn window_bits(self) -> Option<u8> {
        let bits = 8 + (self.0 & Agreed::WINDOW);
        if self.is_compressed() && bits >= MIN_WINDOW_BITS { Some(bits) } else { None }
    }

    /// Whether what we send may refer to what we have sent before.
    pub const fn keeps_sent(self) -> bool {
        self.0 & Agreed::KEEPS_SENT != 0
    }

    /// Whether what the peer sends may refer to what it has sent before.
    pub const fn keeps_received(self) -> bool {
        self.0 & Agreed::KEEPS_RECEIVED != 0
    }
}

#[cfg(test)]
#[path = "extension_tests.rs"]
mod tests;
