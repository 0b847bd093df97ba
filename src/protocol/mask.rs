//! What does a client's masking key do to its payload? (RFC 6455 §5.3)
//!
//! Each payload byte is XORed with one of the key's four, in turn. Doing it twice restores the bytes,
//! so one function masks and unmasks. A frame can arrive in pieces, so the function takes the key as
//! it stands at the piece's first byte and gives it back as it stands after its last.

/// A frame's masking key, turned so that its first byte belongs to the next payload byte.
pub type Key = [u8; 4];

/// XORs `payload` with `key` and returns the key for the byte that follows.
///
/// Sixteen bytes at a time, which the compiler turns into vector instructions.
#[inline]
pub fn apply(key: Key, payload: &mut [u8]) -> Key {
    let narrow = u32::from_ne_bytes(key);
    let pair = u64::from(narrow) << 32 | u64::from(narrow);
    let wide = u128::from(pair) << 64 | u128::from(pair);
    let mut blocks = payload.chunks_exact_mut(16);
    for block in &mut blocks {
        let masked = u128::from_ne_bytes((&*block).try_into().expect("blocks are 16 bytes")) ^ wide;
        block.copy_from_slice(&masked.to_ne_bytes());
    }
    let mut words = blocks.into_remainder().chunks_exact_mut(4);
    for word in &mut words {
        let masked = u32::from_ne_bytes((&*word).try_into().expect("words are 4 bytes")) ^ narrow;
        word.copy_from_slice(&masked.to_ne_bytes());
    }
    let rest = words.into_remainder();
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(rest.len());
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_every_cut_equals_the_definition_of_rfc_6455_5_3() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let lengths = if cfg!(miri) { 0..35 } else { 0..70 };
        for length in lengths {
            let plain: Vec<u8> = (0..length as u8).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
            for cut in 0..=length {
                let mut payload = plain.clone();
                let (head, tail) = payload.split_at_mut(cut);
                let key = apply(key, head);
                apply(key, tail);
                assert_eq!(payload, expected, "{length} bytes cut at {cut}");
            }
        }
    }
}
