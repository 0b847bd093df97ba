//! Random numbers, which a peer must not be able to predict.

use crate::protocol::wire::mask;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The random numbers of a loop. The generator is created when the first number is needed: only a
/// loop that connects to other servers needs any.
#[derive(Debug)]
pub(super) struct Random {
    /// If it is `None`, the operating system gives one.
    seed: Option<u64>,
    generator: Option<StdRng>,
}

impl Random {
    /// Numbers that depend on the seed alone, or that nobody can predict.
    pub(super) const fn new(seed: Option<u64>) -> Random {
        Random { seed, generator: None }
    }

    fn generator(&mut self) -> &mut StdRng {
        let seed = self.seed;
        self.generator.get_or_insert_with(|| seed.map_or_else(rand::make_rng, StdRng::seed_from_u64))
    }

    /// Returns a fresh `Sec-WebSocket-Key` (§4.1): "a randomly selected 16-byte value that has been
    /// base64-encoded".
    pub(super) fn handshake_key(&mut self) -> String {
        let mut nonce = [0; 16];
        self.generator().fill_bytes(&mut nonce);
        data_encoding::BASE64.encode(&nonce)
    }

    /// Returns a fresh masking key (§5.3).
    pub(super) fn masking_key(&mut self) -> mask::Key {
        self.generator().next_u32().to_ne_bytes()
    }
}
