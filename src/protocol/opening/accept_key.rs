//! The value of `Sec-WebSocket-Accept` (RFC 6455 §4.2.2).

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

/// What the key of a request is hashed with (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept`: a SHA-1 digest in base64. Nothing is allocated for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptKey([u8; 28]);

impl AcceptKey {
    /// Derives it from the value of `Sec-WebSocket-Key`.
    pub(crate) fn of(key: &str) -> AcceptKey {
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let mut encoded = [0; 28];
        BASE64.encode_mut(&digest, &mut encoded);
        AcceptKey(encoded)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_tungstenite_derives() {
        for key in ["dGhlIHNhbXBsZSBub25jZQ==", "", "AAAAAAAAAAAAAAAAAAAAAA=="] {
            let expected = tungstenite::handshake::derive_accept_key(key.as_bytes());
            assert_eq!(AcceptKey::of(key).as_bytes(), expected.as_bytes());
        }
        // The example of §1.3.
        assert_eq!(AcceptKey::of("dGhlIHNhbXBsZSBub25jZQ==").as_bytes(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
