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

/// The largest window of deflate (RFC 1951), in bits.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window in which zlib can compress, in bits. It can decompress with 8.
pub const MIN_WINDOW_BITS: u8 = 9;

/// Settings of compression for peers that support permessage-deflate (RFC 7692). Needs the feature
/// `deflate`.
///
/// Without context takeover, which is the default, compression costs no memory per connection. All
/// connections of a loop share one compressor (372 KiB) and one decompressor (47 KiB).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// The compression level: 0 (no compression), or from 1 (fast) to 9 (small). Default 6.
    pub level: u8,
    /// The size of the smallest message that is compressed, in bytes. Default 1 KiB. With context
    /// takeover, compression can pay off from a few bytes on.
    pub threshold: usize,
    /// The largest window of our compressor, and the largest that we request from a peer's
    /// compressor, as a power of two from 9 to 15. Default 15, which is 32 KiB. With a smaller
    /// window, a compressor takes less memory (246 KiB at 9, 252 at 11, 276 at 13). A
    /// decompressor always takes the same.
    pub max_window_bits: u8,
    /// The sides whose messages may refer to earlier ones. This makes short, similar messages far
    /// smaller. From the first compressed message on, each connection takes more memory: 372 KiB
    /// for sending and 47 KiB for receiving. Default: neither side.
    pub context_takeover: Takeover,
    /// The limit on the contexts of the whole server, in bytes. Connections beyond it get no
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

/// The sides whose messages may refer to earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Takeover {
    /// Neither side: each message is compressed by itself.
    #[default]
    Never,
    /// Our messages.
    Sent,
    /// The peer's messages.
    Received,
    /// The messages of both sides.
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

/// The parameters of an offer or a response (RFC 7692 §7.1). `Display` writes the header's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Whether the server's messages must not refer to earlier ones.
    pub server_no_context_takeover: bool,
    /// Whether the client's messages must not refer to earlier ones.
    pub client_no_context_takeover: bool,
    /// The largest window of the server's compressor, in bits.
    pub server_max_window_bits: Option<u8>,
    /// The largest window of the client's compressor.
    pub client_max_window_bits: ClientWindow,
}

/// The value of `client_max_window_bits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientWindow {
    /// The parameter is absent. In an offer, it means that the client cannot use a smaller window.
    #[default]
    Unsaid,
    /// In an offer: the client can use any window that the server requests.
    Any,
    /// The window has at most this many bits.
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
    /// Returns the first offer in a client's `Sec-WebSocket-Extensions` headers that a server can
    /// accept.
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
    /// Returns a server's response to an offer. `takeover` names the sides for which the budget
    /// allows context takeover.
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

    /// Returns a client's offer. `takeover` names the sides for which the budget allows context
    /// takeover.
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
        return Err("the response lacks server_no_context_takeover, which the offer requires");
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

/// The agreed compression, from the view of one side. Default: no compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed(u8);

impl Agreed {
    /// The bits that hold our compressor's window, in bits, minus 8.
    const WINDOW: u8 = 0b111;
    const COMPRESSED: u8 = 1 << 3;
    const KEEPS_SENT: u8 = 1 << 4;
    const KEEPS_RECEIVED: u8 = 1 << 5;

    /// The agreement on no compression.
    pub const NOTHING: Agreed = Agreed(0);

    /// The agreement without context takeover and with the largest window.
    pub const USUAL: Agreed = Agreed(Agreed::COMPRESSED | Agreed::WINDOW);

    /// Returns the agreement that follows from a response, for a side configured with `deflate`.
    /// `takeover` is the value that the side used in its offer or response.
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

    /// Returns the agreement as a number, for another process.
    #[cfg(feature = "handover")]
    pub(crate) const fn to_bits(self) -> u8 {
        self.0
    }

    /// Returns the agreement of a number, or `None` if it is not one.
    #[cfg(feature = "handover")]
    pub(crate) const fn from_bits(bits: u8) -> Option<Agreed> {
        let known = Agreed::WINDOW | Agreed::COMPRESSED | Agreed::KEEPS_SENT | Agreed::KEEPS_RECEIVED;
        let is_sensible = bits == 0 || bits & Agreed::COMPRESSED != 0;
        if bits & !known == 0 && is_sensible { Some(Agreed(bits)) } else { None }
    }

    /// Returns whether messages may be compressed.
    pub const fn is_compressed(self) -> bool {
        self.0 & Agreed::COMPRESSED != 0
    }

    /// Returns our compressor's window, in bits. Returns `None` if we must not or cannot compress.
    pub const fn window_bits(self) -> Option<u8> {
        let bits = 8 + (self.0 & Agreed::WINDOW);
        if self.is_compressed() && bits >= MIN_WINDOW_BITS { Some(bits) } else { None }
    }

    /// Returns whether messages that we send may refer to earlier ones.
    pub const fn keeps_sent(self) -> bool {
        self.0 & Agreed::KEEPS_SENT != 0
    }

    /// Returns whether messages that the peer sends may refer to earlier ones.
    pub const fn keeps_received(self) -> bool {
        self.0 & Agreed::KEEPS_RECEIVED != 0
    }
}

#[cfg(test)]
#[path = "extension_tests.rs"]
mod tests;
