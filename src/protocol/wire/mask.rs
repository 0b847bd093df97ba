//! What does a client's masking key do to its payload? (RFC 6455 §5.3)
//!
//! Each payload byte is XORed with one of the key's four, in turn. Doing it twice restores the
//! bytes, so one function masks and unmasks. A frame can arrive in pieces, so the function takes
//! the key as it stands at the piece's first byte and gives it back as it stands after its last.

use std::ops::Range;

/// A frame's masking key, turned so that its first byte belongs to the next payload byte.
pub type Key = [u8; 4];

/// XORs `payload` with `key` and returns the key for the byte that follows.
///
/// Blocks of 32 bytes become vector instructions; the rest of a payload, or all of a short one,
/// takes a few steps.
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

/// Bytes of a block, and of as many as a short payload may take.
const BLOCK: usize = 16;
pub const BLOCKS: usize = 128;

/// XORs the first `length` bytes of `payload` with `key`, and those behind them up to the end of a
/// block: for a payload behind which nothing lies that matters.
#[inline(always)]
pub fn apply_in_blocks(key: Key, payload: &mut [u8; BLOCKS], length: usize) {
    let four = u32::from_ne_bytes(key);
    let eight = u64::from(four) << 32 | u64::from(four);
    let sixteen = u128::from(eight) << 64 | u128::from(eight);
    for (index, block) in payload.chunks_exact_mut(BLOCK).enumerate() {
        if index * BLOCK >= length {
            break;
        }
        xor(block, |bytes| (u128::from_ne_bytes(bytes) ^ sixteen).to_ne_bytes());
    }
}

/// XORs with `key` the `length` bytes that lie behind the first `by`, and moves them to the front.
/// Of what lies behind them nothing is changed; what lay in front of them is lost.
///
/// # Panics
///
/// If there are fewer bytes than that.
#[inline(always)]
pub fn apply_moving(key: Key, bytes: &mut [u8], by: usize, length: usize) {
    let four = u32::from_ne_bytes(key);
    let eight = u64::from(four) << 32 | u64::from(four);
    let sixteen = u128::from(eight) << 64 | u128::from(eight);
    let mut at = 0;
    // The last step may write more than is needed, where everything has been read already.
    while at < length {
        let is_done =
            at + 16 <= by + length && step(bytes, at, by, |bytes| (u128::from_ne_bytes(bytes) ^ sixteen).to_ne_bytes());
        if !is_done {
            return apply_moving_rest(key, bytes, by, at..length);
        }
        at += 16;
    }
}

#[inline(never)]
fn apply_moving_rest(key: Key, bytes: &mut [u8], by: usize, rest: Range<usize>) {
    let four = u32::from_ne_bytes(key);
    let mut at = rest.start;
    while at + 4 <= rest.end && step(bytes, at, by, |bytes| (u32::from_ne_bytes(bytes) ^ four).to_ne_bytes()) {
        at += 4;
    }
    while at < rest.end {
        bytes[at] = bytes[at + by] ^ key[at % 4];
        at += 1;
    }
}

/// Changes `N` bytes and moves them forward, if there are so many.
#[inline(always)]
fn step<const N: usize>(bytes: &mut [u8], at: usize, by: usize, changed: impl Fn([u8; N]) -> [u8; N]) -> bool {
    let Some(window) = bytes.get_mut(at..at + by + N) else { return false };
    let Some(word) = window.last_chunk::<N>().copied() else { return false };
    window[..N].copy_from_slice(&changed(word));
    true
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
    fn bytes_are_moved_over_those_before_them_and_nothing_behind_them_changes() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let lengths = if cfg!(miri) { 0..20 } else { 0..126 };
        for (length, by) in lengths.flat_map(|length| (0..20).map(move |by| (length, by))) {
            let plain: Vec<u8> = (0..length as u8).map(|byte| byte.wrapping_mul(7)).collect();
            for behind in [&b""[..], b"next", b"and what comes after it"] {
                let mut bytes = vec![0xaa; by];
                bytes.extend(plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
                bytes.extend_from_slice(behind);
                apply_moving(key, &mut bytes, by, length);
                assert_eq!(bytes[..length], plain, "{length} bytes over {by}");
                assert_eq!(&bytes[by + length..], behind);
            }
        }
    }

    #[test]
    fn blocks_are_unmasked_up_to_the_end_of_the_last_one() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let masked: [u8; BLOCKS] = std::array::from_fn(|i| (i as u8).wrapping_mul(7));
        for length in 0..=125 {
            let mut payload = masked;
            apply_in_blocks(key, &mut payload, length);
            let end = length.div_ceil(BLOCK) * BLOCK;
            let expected: Vec<u8> = masked[..end].iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            assert_eq!((&payload[..end], &payload[end..]), (&expected[..], &masked[end..]), "{length} bytes");
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
