//! Masks and unmasks payloads (RFC 6455 §5.3).
//!
//! Each payload byte is XORed with one of the key's four bytes, in turn. A second XOR restores the
//! bytes, so one function masks and unmasks. A frame can arrive in pieces. The function therefore
//! takes the key rotated for the piece's first byte and returns it rotated for the next piece.

/// A frame's masking key, rotated so that its first byte belongs to the next payload byte.
pub type Key = [u8; 4];

/// XORs `payload` with `key` and returns the key for the byte that follows.
#[inline]
pub fn apply(key: Key, payload: &mut [u8]) -> Key {
    #[cfg(not(lariat_plain))]
    return super::fast::apply_mask(key, payload);
    #[cfg(lariat_plain)]
    return apply_bytewise(key, payload);
}

/// Does the same as [`apply`], byte by byte.
#[inline]
pub fn apply_bytewise(mut key: Key, payload: &mut [u8]) -> Key {
    for (byte, key) in payload.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
    key.rotate_left(payload.len() % 4);
    key
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
            for (apply, cut) in [apply, apply_bytewise].into_iter().flat_map(|f| (0..=length).map(move |cut| (f, cut)))
            {
                let mut payload = plain.clone();
                let (head, tail) = payload.split_at_mut(cut);
                let key = apply(key, head);
                apply(key, tail);
                assert_eq!(payload, expected, "{length} bytes cut at {cut}");
            }
        }
    }
}
