//! Randomness: what a peer must not foresee.

use crate::protocol::wire::mask;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The random numbers of a loop.
#[derive(Debug)]
pub(super) struct Random(StdRng);

impl Random {
    /// Numbers that depend on the seed alone.
    pub(super) fn new(seed: u64) -> Random {
        Random(StdRng::seed_from_u64(seed))
    }

    /// Returns a fresh `Sec-WebSocket-Key` (§4.1): "a randomly selected 16-byte value that has been
    /// base64-encoded".
    pub(super) fn handshake_key(&mut self) -> String {
        let mut nonce = [0; 16];
        self.0.fill_bytes(&mut nonce);
        data_encoding::BASE64.encode(&nonce)
    }

    /// Returns a fresh masking key (§5.3).
    pub(super) fn masking_key(&mut self) -> mask::Key {
        self.0.next_u32().to_ne_bytes()
    }
}
