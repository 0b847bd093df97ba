//! Fast paths for masks and short text.
//!
//! The figures are instructions per message of `benches/baseline.py`, without the one fast path and
//! with it.
//!
//! | fast path | equals | case | without | with |
//! |---|---|---|--:|--:|
//! | [`apply_mask`] | [`mask::apply_bytewise`] | `echo-binary-1k` | 7,558 | 1,211 |
//! | [`apply_mask_in_blocks`] | [`mask::apply_bytewise`] | `echo-text-20` | 367 | 356 |
//! | [`apply_mask_moving`] | the same, then a copy | `echo-text-20-pipelined-32` | 188 | 176 |
//! | [`short_text`] | [`utf8::whole`] | `echo-text-20` | 415 | 356 |

use super::input::Input;
use super::mask::{self, Key};
use super::utf8::{self, InvalidUtf8};
use ascii::AsAsciiStr;
use std::ops::Range;

/// Equals [`mask::apply_bytewise`].
///
/// Blocks of 32 bytes become vector instructions. The rest of a payload, or all of a short one,
/// takes at most four steps and three bytes.
///
/// Shown by `masks_equal_the_plain_one`.
#[inline]
pub fn apply_mask(key: Key, payload: &mut [u8]) -> Key {
    let (four, eight, sixteen) = words(key);
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
    mask::apply_bytewise(key, rest)
}

/// The key as often as it fits into words of 4, 8 and 16 bytes.
#[inline(always)]
const fn words(key: Key) -> (u32, u64, u128) {
    let four = u32::from_ne_bytes(key);
    let eight = (four as u64) << 32 | four as u64;
    (four, eight, (eight as u128) << 64 | eight as u128)
}

/// Bytes of a block, and of the blocks that a short payload may take.
const BLOCK: usize = 16;
pub const BLOCKS: usize = 128;

/// Equals [`mask::apply_bytewise`] for the first `length` bytes of `payload`. The bytes behind them
/// are changed up to the end of a block, so they must not matter.
///
/// There is no rest to handle, which takes most of the steps for a short payload.
///
/// Shown by `blocks_are_unmasked_up_to_the_end_of_the_last_one`.
#[inline(always)]
pub fn apply_mask_in_blocks(key: Key, payload: &mut [u8; BLOCKS], length: usize) {
    let (_, _, sixteen) = words(key);
    for (index, block) in payload.chunks_exact_mut(BLOCK).enumerate() {
        if index * BLOCK >= length {
            break;
        }
        xor(block, |bytes| (u128::from_ne_bytes(bytes) ^ sixteen).to_ne_bytes());
    }
}

/// Equals [`mask::apply_bytewise`] for the `length` bytes behind the first `by`, followed by a copy
/// to the front. The bytes behind them are unchanged, those in front of them are lost.
///
/// # Panics
///
/// If there are fewer bytes than that.
///
/// Shown by `bytes_are_moved_over_those_before_them`.
#[inline(always)]
pub fn apply_mask_moving(key: Key, bytes: &mut [u8], by: usize, length: usize) {
    let (_, _, sixteen) = words(key);
    let mut at = 0;
    // The last step may write more than is needed, where everything has been read already.
    while at < length {
        let is_done =
            at + 16 <= by + length && step(bytes, at, by, |bytes| (u128::from_ne_bytes(bytes) ^ sixteen).to_ne_bytes());
        if !is_done {
            return apply_mask_moving_rest(key, bytes, by, at..length);
        }
        at += 16;
    }
}

#[inline(never)]
fn apply_mask_moving_rest(key: Key, bytes: &mut [u8], by: usize, rest: Range<usize>) {
    let (four, _, _) = words(key);
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

/// Changes `bytes` if there are `N`.
#[inline]
fn xor<const N: usize>(bytes: &mut [u8], changed: impl Fn([u8; N]) -> [u8; N]) {
    if let Ok(bytes) = <&mut [u8; N]>::try_from(bytes) {
        *bytes = changed(*bytes);
    }
}

/// Text of fewer bytes than this is checked for ASCII by words.
const SHORT: usize = 64;

/// Bytes of a word.
pub const WORD: usize = size_of::<u64>();

/// Equals [`utf8::whole`] for the first `length` bytes of `bytes`. The word behind them is
/// overwritten.
///
/// Most short text is ASCII. 20 bytes take 24 instructions here and 65 in the validator of the
/// standard library; without `unsafe`, the crate `ascii` is the only other way from bytes to
/// `&str`.
///
/// # Errors
///
/// As [`utf8::whole`].
///
/// # Panics
///
/// If there is no word behind them.
///
/// Shown by `short_text_equals_the_plain_one`.
#[inline(always)]
pub fn short_text(bytes: &mut [u8], length: usize) -> Result<&str, InvalidUtf8> {
    if length < SHORT {
        // Whole words take a third of the steps. The last one may be all zeros.
        bytes[length..length + WORD].fill(0);
        if let Ok(text) = bytes[..(length | (WORD - 1)) + 1].as_ascii_str() {
            return Ok(text[..length].as_str());
        }
    }
    utf8::whole(&bytes[..length])
}

impl Input<'_> {
    /// The bytes that are left, to be changed where they lie.
    pub(crate) fn peek_mut(&mut self) -> &mut [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn masks_equal_the_plain_one() {
        for length in 0..200_u8 {
            let plain: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(7)).collect();
            let (mut fast, mut slow) = (plain.clone(), plain);
            assert_eq!(apply_mask(KEY, &mut fast), mask::apply_bytewise(KEY, &mut slow), "{length} bytes");
            assert_eq!(fast, slow, "{length} bytes");
        }
    }

    #[test]
    fn bytes_are_moved_over_those_before_them() {
        let lengths = if cfg!(miri) { 0..20 } else { 0..126 };
        for (length, by) in lengths.flat_map(|length| (0..20).map(move |by| (length, by))) {
            let plain: Vec<u8> = (0..length as u8).map(|byte| byte.wrapping_mul(7)).collect();
            for behind in [&b""[..], b"next", b"and what comes after it"] {
                let mut masked = plain.clone();
                mask::apply_bytewise(KEY, &mut masked);
                let mut bytes = [&vec![0xaa; by][..], &masked, behind].concat();
                apply_mask_moving(KEY, &mut bytes, by, length);
                assert_eq!(bytes[..length], plain, "{length} bytes over {by}");
                assert_eq!(&bytes[by + length..], behind, "the bytes behind them are unchanged");
            }
        }
    }

    #[test]
    fn blocks_are_unmasked_up_to_the_end_of_the_last_one() {
        let masked: [u8; BLOCKS] = std::array::from_fn(|i| (i as u8).wrapping_mul(7));
        for length in 0..=125 {
            let (mut payload, mut expected) = (masked, masked);
            apply_mask_in_blocks(KEY, &mut payload, length);
            mask::apply_bytewise(KEY, &mut expected[..length.div_ceil(BLOCK) * BLOCK]);
            assert_eq!(payload, expected, "{length} bytes");
        }
    }

    #[test]
    fn short_text_equals_the_plain_one() {
        let texts = ["", "a", "seven..", "eight...", "nine.....", "é", "1234567é", "12345678é", "\u{7f}"];
        let long = "x".repeat(200);
        let lengths = (0..long.len()).map(|length| long.as_bytes()[..length].to_vec());
        let bad = [&b"\xff"[..], b"12345678\xc3", b"1234567\x80", b"\xe2\x82"].map(<[u8]>::to_vec);
        for bytes in texts.iter().map(|text| text.as_bytes().to_vec()).chain(lengths).chain(bad) {
            for behind in [0, b'x', 0x80, 0xff] {
                let mut buffer = [&bytes[..], &[behind; WORD]].concat();
                assert_eq!(short_text(&mut buffer, bytes.len()), utf8::whole(&bytes), "{bytes:x?}");
            }
        }
    }
}
