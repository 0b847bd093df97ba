//! What does a client's masking key do to its payload? (RFC 6455 §5.3)
//!
//! Each payload byte is XORed with one of the key's four, in turn. Doing it twice restores the bytes,
//! so one function masks and unmasks. A frame can arrive in pieces, so the function takes the key as
//! it stands at the piece's first byte and gives it back as it stands after its last.

/// A frame's masking key, turned so that its first byte belongs to the next payload byte.
pub type Key = [u8; 4];

/// XORs `payload` with `key` and returns the key for the byte that follows.
///
/// Blocks of 32 bytes become vector instructions; the rest of a payload, or all of a short one, takes a few steps.
#[inline]
pub fn apply(key: Key, payload: &mut [u8]) -> Key {
    let four = u32::from_ne_bytes(key);
    let eight = u64::from(four) << 32 | u64::from(four);
    let sixteen = u128::from(eight) << 64 | u128::from(eight);
    let (blocks, rest) = payload.split_at_mut(payload.len() & !31);
    for block in blocks.chunks_exact_mut(8) {
        xor(block, |bytes| (u64::from_ne_bytes(bytes) ^ eight).to_ne_bytes());
    }
    let (head, rest) = rest.split_at_mut(rest.len() & 16);
    xor(head, |bytes| (u128::from_ne_bytes(bytes) ^ sixteen).to_ne_bytes());
    let (head, rest) = rest.split_at_mut(rest.len() & 8);
    xor(head, |bytes| (u64::from_ne_bytes(bytes) ^ eight).to_ne_bytes());
    let (head, rest) = rest.split_at_mut(rest.len() & 4);
    xor(head, |bytes| (u32::from_ne_bytes(bytes) ^ four).to_ne_bytes());
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(rest.len());
    next
}

/// The header of a masked frame of at most 125 bytes: two bytes and the key.
pub const SHORT_HEADER: usize = 6;

/// Unmasks the payload of a frame with a [`SHORT_HEADER`], and moves it to a word boundary over the header, if it can:
/// whoever looks at it next, does so word by word. (`str::from_utf8` takes 45 instructions for 20 bytes then, and 100
/// where they lie by chance.)
///
/// # Panics
///
/// If the frame is shorter than its header.
#[inline]
pub fn unmask_short(frame: &mut [u8]) -> &[u8] {
    let key = [frame[2], frame[3], frame[4], frame[5]];
    let four = u32::from_ne_bytes(key);
    let eight = u64::from(four) << 32 | u64::from(four);
    let to = frame.as_ptr().align_offset(align_of::<u64>()).min(SHORT_HEADER);
    let by = SHORT_HEADER - to;
    let length = frame.len() - SHORT_HEADER;
    let moved = &mut frame[to..];
    let mut at = 0;
    while let Some(word) = moved.get(at + by..at + by + 8) {
        let word = u64::from_ne_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        moved[at..at + 8].copy_from_slice(&(word ^ eight).to_ne_bytes());
        at += 8;
    }
    if let Some(half) = moved.get(at + by..at + by + 4) {
        let half = u32::from_ne_bytes([half[0], half[1], half[2], half[3]]);
        moved[at..at + 4].copy_from_slice(&(half ^ four).to_ne_bytes());
        at += 4;
    }
    while at < length {
        moved[at] = moved[at + by] ^ key[at % 4];
        at += 1;
    }
    &moved[..length]
}

/// Changes `bytes` if there are `N`, and not if there are none.
#[inline]
fn xor<const N: usize>(bytes: &mut [u8], masked: impl Fn([u8; N]) -> [u8; N]) {
    if let Ok(bytes) = <&mut [u8; N]>::try_from(bytes) {
        *bytes = masked(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_frame_is_unmasked_wherever_it_lies() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let lengths = if cfg!(miri) { 0..20 } else { 0..126 };
        for (length, place) in lengths.flat_map(|length| (0..8).map(move |place| (length, place))) {
            let plain: Vec<u8> = (0..length as u8).map(|byte| byte.wrapping_mul(7)).collect();
            let mut bytes = vec![0xaa; place + SHORT_HEADER];
            bytes[place + 2..].copy_from_slice(&key);
            bytes.extend(plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
            bytes.extend_from_slice(b"next");
            let end = bytes.len() - 4;
            assert_eq!(unmask_short(&mut bytes[place..end]), plain, "{length} bytes at {place}");
            assert_eq!(&bytes[end..], b"next");
        }
    }

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
