//! Decompression: never more output than requested, the same result for any cuts, and the inverse
//! of compression.

#![no_main]

use lariat::protocol::{Deflater, Inflater, ProtocolError, STEP};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 256 << 10;

/// Returns the decompressed message or its error.
fn inflate(
    inflater: &mut Inflater,
    message: &[u8],
    cut: usize,
    step: usize,
    keep: bool,
) -> Result<Vec<u8>, ProtocolError> {
    let (mut scratch, mut made) = (vec![0; step], Vec::new());
    let mut take = |bytes: &[u8]| {
        assert!(bytes.len() <= step && !bytes.is_empty());
        if made.len() + bytes.len() > LIMIT {
            return Err(ProtocolError::MessageTooLarge { limit: LIMIT });
        }
        made.extend_from_slice(bytes);
        Ok(())
    };
    let outcome = message.chunks(cut).try_for_each(|piece| inflater.push(piece, &mut scratch, &mut take));
    let outcome = outcome.and_then(|()| match keep {
        true => inflater.finish_and_keep(&mut scratch, &mut take),
        false => inflater.finish_and_forget(&mut scratch, &mut take),
    });
    if outcome.is_err() {
        inflater.forget();
    }
    outcome.map(|()| made)
}

fuzz_target!(|data: &[u8]| {
    let [choice, cut, message @ ..] = data else { return };
    let (cut, keep) = (usize::from(*cut).max(1), choice & 1 != 0);
    let step = if choice & 2 != 0 { STEP } else { 1 + usize::from(choice >> 2) * 16 };

    let mut inflater = Inflater::new();
    let whole = inflate(&mut inflater, message, message.len().max(1), STEP, keep);
    inflater.forget();
    let cut_up = inflate(&mut inflater, message, cut, step, keep);
    match (&whole, &cut_up) {
        (Err(ProtocolError::MessageTooLarge { .. }), Err(_)) | (Err(_), Err(ProtocolError::MessageTooLarge { .. })) => {
        }
        (whole, cut_up) => assert_eq!(whole, cut_up),
    }
    inflater.forget();

    // The deflater can be used again and has forgotten the previous message.
    let mut deflater = Deflater::new(choice >> 4, 9 + (choice >> 2) % 7);
    for _ in 0..2 {
        let mut compressed = Vec::new();
        match deflater.compress_smaller(message, &mut compressed) {
            Ok(()) => assert!(compressed.len() < message.len()),
            Err(_) => {
                assert!(compressed.is_empty());
                deflater.compress(message, &mut compressed);
                inflater.forget();
            }
        }
        if message.len() <= LIMIT {
            assert_eq!(inflate(&mut inflater, &compressed, cut, step, true).as_deref(), Ok(message));
        }
    }
});
