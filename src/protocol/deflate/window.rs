//! What a decompressor remembers of earlier messages, for another process.
//!
//! No call of zlib's Rust interfaces returns it. But a valid stream can ask for it: matches that
//! reach back as far as possible repeat exactly what is remembered. What follows them is remembered
//! as before, so the decompressor can go on. A stored block puts it into another decompressor.

use super::codec::{Inflater, STEP};
use crate::protocol::wire::ProtocolError;

/// The longest match (RFC 1951 §3.2.5).
const LONGEST_MATCH: usize = 258;
/// The shortest match.
const SHORTEST_MATCH: usize = 3;
/// The most that deflate remembers.
pub(crate) const WINDOW: usize = 32 << 10;

/// Bits of a deflate stream.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    next: u32,
    count: u32,
}

impl Bits {
    /// Appends a number, its lowest bit first.
    fn number(&mut self, value: u32, bits: u32) {
        self.next |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.bytes.push(self.next as u8);
            (self.next, self.count) = (self.next >> 8, self.count - 8);
        }
    }

    /// Appends a Huffman code, its highest bit first.
    fn code(&mut self, code: u32, bits: u32) {
        self.number(code.reverse_bits() >> (u32::BITS - bits), bits);
    }

    /// Appends a literal or length symbol from 256 on, in the fixed code (RFC 1951 §3.2.6).
    fn symbol(&mut self, symbol: u32) {
        match symbol {
            ..280 => self.code(symbol - 256, 7),
            280.. => self.code(0b1100_0000 + symbol - 280, 8),
        }
    }

    /// Appends a match.
    fn repeat(&mut self, length: usize, distance: usize) {
        let (symbol, extra) = match (length, (length - SHORTEST_MATCH) as u32) {
            (LONGEST_MATCH, _) => (285, 0),
            (_, above @ ..8) => (257 + above, 0),
            (_, above) => {
                let extra = above.ilog2() - 2;
                (257 + 4 * extra + (above >> extra), extra)
            }
        };
        self.symbol(symbol);
        self.number((length - SHORTEST_MATCH) as u32 & ((1 << extra) - 1), extra);
        let above = (distance - 1) as u32;
        let (symbol, extra) = match above {
            ..4 => (above, 0),
            4.. => {
                let extra = above.ilog2() - 1;
                (2 * extra + (above >> extra), extra)
            }
        };
        self.code(symbol, 5);
        self.number(above & ((1 << extra) - 1), extra);
    }
}

/// Returns a block that repeats the last `distance` bytes, and an empty one up to the next byte.
fn block_that_repeats(distance: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // Not the last block, with the fixed code.
    bits.number(0b010, 3);
    // A multiple of the distance.
    let mut left = distance.max(distance * SHORTEST_MATCH.div_ceil(distance));
    while left > 0 {
        let length = match left {
            ..=LONGEST_MATCH => left,
            // The rest must not be too short for a match.
            _ if left - LONGEST_MATCH < SHORTEST_MATCH => LONGEST_MATCH - SHORTEST_MATCH,
            _ => LONGEST_MATCH,
        };
        bits.repeat(length, distance);
        left -= length;
    }
    bits.symbol(256);
    // A stored block without contents.
    bits.number(0b000, 3);
    bits.number(0, (8 - bits.count) % 8);
    bits.bytes.extend_from_slice(&[0, 0, 0xff, 0xff]);
    bits.bytes
}

impl Inflater {
    /// Returns what it remembers, between two messages.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`] in the middle of a message.
    pub(crate) fn window(&mut self) -> Result<Vec<u8>, ProtocolError> {
        let length = self.remembered().min(WINDOW);
        let mut window = Vec::with_capacity(length + SHORTEST_MATCH);
        if length > 0 {
            self.push(&block_that_repeats(length), &mut [0; STEP], |bytes| {
                window.extend_from_slice(bytes);
                Ok(())
            })?;
            if window.len() < length {
                return Err(ProtocolError::InvalidDeflate);
            }
            window.truncate(length);
        }
        Ok(window)
    }

    /// Makes a new one remember what [`window`](Self::window) has returned.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidDeflate`] with more than a window.
    pub(crate) fn remember(&mut self, window: &[u8]) -> Result<(), ProtocolError> {
        if window.len() > WINDOW {
            return Err(ProtocolError::InvalidDeflate);
        }
        let length = window.len() as u16;
        let [low, high] = length.to_le_bytes();
        let mut block = vec![0, low, high, !low, !high];
        block.extend_from_slice(window);
        self.push(&block, &mut [0; STEP], |_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Deflater;
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn receive(inflater: &mut Inflater, compressed: &[u8]) -> Vec<u8> {
        let (mut scratch, mut out) = (vec![0; STEP], Vec::new());
        let mut keep = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        inflater.push(compressed, &mut scratch, &mut keep).expect("a valid message");
        inflater.finish_and_keep(&mut scratch, &mut keep).expect("its end");
        out
    }

    #[test]
    fn a_decompressor_goes_on_after_its_window_was_read_and_so_does_one_that_got_it() {
        let mut random = StdRng::seed_from_u64(1);
        let most = if cfg!(miri) { 300 } else { 40_000 };
        let sizes = [0, 1, 2, 3, 4, 5, 257, 258, 259, 260, 261, 262, 516, 517, 518, 32_767, 32_768, 32_769, 40_000];
        for size in sizes.into_iter().filter(|size| *size <= most) {
            let mut deflater = Deflater::new(6, 15);
            let (mut first, mut scratch) = (Inflater::new(), vec![0; STEP]);
            let mut message: Vec<u8> = (0..size).map(|_| random.random_range(b'a'..=b'z')).collect();
            for _ in 0..3 {
                let mut compressed = Vec::new();
                if deflater.compress_smaller(&message, &mut compressed).is_ok() {
                    assert_eq!(receive(&mut first, &compressed), message, "{size}");
                }
                let window = first.window().expect("between two messages");
                assert!(message.ends_with(&window) || window.len() == WINDOW || window.ends_with(&message), "{size}");
                let mut second = Inflater::new();
                second.remember(&window).expect("it fits");
                assert_eq!(second.window().expect("between two messages"), window, "{size}");
                // What follows refers to what came before.
                message.truncate(20_000);
                message.extend_from_slice(b"and something new");
                let mut next = Vec::new();
                if deflater.compress_smaller(&message, &mut next).is_ok() {
                    assert_eq!(receive(&mut second, &next), message, "{size}");
                    assert_eq!(receive(&mut first, &next), message, "{size}");
                }
            }
            assert!(first.push(&[0xff; 10], &mut scratch, |_| Ok(())).is_err(), "it still checks");
        }
    }
}
