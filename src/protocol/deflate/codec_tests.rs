use super::*;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Inflates a message that arrives in pieces of `size` bytes.
fn inflate_in_pieces(
    inflater: &mut Inflater,
    message: &[u8],
    size: usize,
    keep: bool,
) -> Result<Vec<u8>, ProtocolError> {
    let (mut bytes, mut scratch) = (Vec::new(), vec![0; STEP]);
    for piece in message.chunks(size) {
        inflater.push(piece, &mut scratch, |step| {
            bytes.extend_from_slice(step);
            Ok(())
        })?;
    }
    let out = |step: &[u8]| {
        bytes.extend_from_slice(step);
        Ok(())
    };
    if keep {
        inflater.finish_and_keep(&mut scratch, out)?
    } else {
        inflater.finish_and_forget(&mut scratch, out)?
    }
    Ok(bytes)
}

fn inflate(message: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    inflate_in_pieces(&mut Inflater::new(), message, usize::MAX, false)
}

fn deflate(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(6, 15).compress(message, &mut out);
    out
}

/// Returns test bytes that range from all equal to all different, with near and far repetitions.
fn sample(random: &mut StdRng, length: usize) -> Vec<u8> {
    let letters = random.random_range(1..=256);
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        if bytes.len() > 10 && random.random_bool(0.5) {
            let start = random.random_range(0..bytes.len() - 4);
            let end = (start + random.random_range(4..600)).min(bytes.len());
            bytes.extend_from_within(start..end);
        } else {
            bytes.extend((0..random.random_range(1..60)).map(|_| random.random_range(0..letters) as u8));
        }
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn the_examples_of_rfc_7692_7_2_3() {
    let table: [(&str, &[u8]); 5] = [
        ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        ("a stored block", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        ("BFINAL", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        ("two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
        ("BFINAL without the empty block that must follow", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
    ];
    for (name, message) in table {
        for keep in [false, true] {
            let mut inflater = Inflater::new();
            for size in 1..=message.len() {
                let inflated = inflate_in_pieces(&mut inflater, message, size, keep);
                assert_eq!(inflated.as_deref(), Ok(&b"Hello"[..]), "{name} in pieces of {size}");
            }
        }
    }
    assert_eq!(inflate(&[0x00]).as_deref(), Ok(&b""[..]));
    assert_eq!(inflate(&[]), Err(ProtocolError::InvalidDeflate));
}

#[test]
fn the_example_of_a_shared_window() {
    let (first, second) = ([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xf2, 0x00, 0x11, 0x00, 0x00]);
    let mut inflater = Inflater::new();
    assert_eq!(inflate_in_pieces(&mut inflater, &first, 3, true).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate_in_pieces(&mut inflater, &second, 3, true).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflate_in_pieces(&mut inflater, &first, 3, false).as_deref(), Ok(&b"Hello"[..]));
    let referring = inflate_in_pieces(&mut inflater, &second, 3, false);
    assert_eq!(referring, Err(ProtocolError::InvalidDeflate), "there is nothing that it can refer to");
}

#[test]
fn what_the_examples_say_is_what_we_send() {
    let mut deflater = Deflater::new(6, 15);
    let mut compress = |message: &[u8]| {
        let mut out = b"before".to_vec();
        deflater.compress(message, &mut out);
        out.split_off(6)
    };
    assert_eq!(compress(b"Hello"), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(compress(b"Hello"), [0xf2, 0x00, 0x11, 0x00, 0x00]);
    assert_eq!(compress(b""), [0x00]);
    assert_eq!(compress(b"Hello"), [0x02, 0x13, 0x00, 0x00], "the example spells the H out, this does not");
    deflater.forget();
    let mut out = Vec::new();
    deflater.compress(b"Hello", &mut out);
    assert_eq!(out, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
}

#[test]
fn after_a_final_block_more_may_follow_and_the_next_message_may_refer_to_that() {
    let hello_final = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let two = [&hello_final[..], &hello_final, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]].concat();
    let mut inflater = Inflater::new();
    for size in 1..two.len() {
        assert_eq!(inflate_in_pieces(&mut inflater, &two, size, true).as_deref(), Ok(&b"HelloHelloHello"[..]));
        let referring = inflate_in_pieces(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00], size, true);
        assert_eq!(referring.as_deref(), Ok(&b"Hello"[..]));
    }
}

#[test]
fn every_level_and_window_survives_the_round_trip_with_and_without_context() {
    let mut random = StdRng::seed_from_u64(7692);
    for (level, window_bits) in (0..=9).flat_map(|level| (9..=15).map(move |bits| (level, bits))) {
        for keep in [false, true] {
            let (mut deflater, mut inflater) = (Deflater::new(level, window_bits), Inflater::new());
            let mut sent: Vec<u8> = Vec::new();
            for round in 0..12 {
                let length = random.random_range(0..[3, 300, 5_000, 70_000][round % 4]);
                // Every other message resembles an earlier one.
                let message = match sent.len() {
                    enough if round % 2 == 1 && enough > length => sent[..length].to_vec(),
                    _ => sample(&mut random, length),
                };
                sent.extend_from_slice(&message);
                let mut out = Vec::new();
                if round % 3 == 0 {
                    deflater.compress(&message, &mut out);
                } else if deflater.compress_smaller(&message, &mut out).is_err() {
                    assert!(out.is_empty());
                    continue;
                } else {
                    assert!(out.len() < message.len());
                }
                let size = random.random_range(1..=out.len() + 1);
                let inflated = inflate_in_pieces(&mut inflater, &out, size, keep);
                assert!(
                    inflated.as_ref() == Ok(&message),
                    "level {level}, window {window_bits}, {length} bytes, {inflated:?}"
                );
                if !keep {
                    deflater.forget();
                }
            }
        }
    }
}

#[test]
fn a_small_window_is_kept_to() {
    let mut random = StdRng::seed_from_u64(1);
    let noise: Vec<u8> = (0..40_000).map(|_| random.random_range(0..64)).collect();
    for window_bits in 9..=15 {
        let size = |message: &[u8]| {
            let mut out = Vec::new();
            Deflater::new(9, window_bits).compress(message, &mut out);
            out.len()
        };
        // The number of bytes that are saved by a repetition of 200 bytes at this distance.
        let saved = |distance: usize| {
            size(&noise[..distance + 200]).saturating_sub(size(&[&noise[..distance], &noise[..200]].concat()))
        };
        let (near, far) = (saved((1 << window_bits) - 262), saved((1 << window_bits) + 1));
        assert!(near > far + 20, "window {window_bits}: {near} bytes near, {far} far");
    }
}

#[test]
fn a_message_without_its_end_is_invalid_wherever_it_is_cut() {
    let mut random = StdRng::seed_from_u64(2);
    for length in [1, 10, 1_000, 3_000] {
        let message = sample(&mut random, length);
        for level in [0, 1, 6] {
            let mut whole = Vec::new();
            Deflater::new(level, 15).compress(&message, &mut whole);
            for cut in 1..whole.len() {
                let inflated = inflate(&whole[..cut]);
                // Two cuts cannot be detected: before a block, and where the tail completes a
                // stored block.
                if whole[..cut] == [0] || inflated.as_ref().is_ok_and(|bytes| bytes.ends_with(&TAIL)) {
                    continue;
                }
                assert_eq!(
                    inflated,
                    Err(ProtocolError::InvalidDeflate),
                    "{cut} of {} bytes, level {level}",
                    whole.len()
                );
            }
        }
    }
}

#[test]
fn corrupt_bytes_end_in_an_error_or_in_other_bytes_and_the_inflater_goes_on() {
    let mut random = StdRng::seed_from_u64(3);
    let mut inflater = Inflater::new();
    let (mut invalid, good) = (0, deflate(b"Hello"));
    for _ in 0..3_000 {
        let length = random.random_range(1..400);
        let mut message = sample(&mut random, length);
        if random.random_bool(0.7) {
            message = deflate(&message);
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..message.len());
                message[place] ^= 1 << random.random_range(0..8);
            }
        }
        let size = random.random_range(1..=message.len());
        let keep = random.random_bool(0.5);
        invalid += usize::from(inflate_in_pieces(&mut inflater, &message, size, keep).is_err());
        inflater.forget();
        assert_eq!(inflate_in_pieces(&mut inflater, &good, size, keep).as_deref(), Ok(&b"Hello"[..]));
        inflater.forget();
    }
    assert!(invalid > 1_000, "{invalid}");
    assert_eq!(inflate(&[0x06]), Err(ProtocolError::InvalidDeflate), "a block of type 3");
}

#[test]
fn a_bomb_costs_no_more_than_the_limit_and_the_limit_is_exact() {
    let (mut deflater, mut first, mut next, zeros) =
        (Deflater::new(9, 15), Vec::new(), TAIL.to_vec(), vec![0; 1 << 20]);
    deflater.compress(&zeros, &mut first);
    deflater.compress(&zeros, &mut next);
    let bomb = [first, next.repeat(1_023)].concat();
    assert!(bomb.len() < 1_200_000, "a gigabyte in {} bytes", bomb.len());
    let limit = 1_000_003;
    let too_large = ProtocolError::MessageTooLarge { limit };
    for size in [1, 1_000, bomb.len()] {
        let (mut inflater, mut scratch, mut made) = (Inflater::new(), vec![0; STEP], 0);
        let error = bomb.chunks(size).find_map(|piece| {
            let pushed = inflater.push(piece, &mut scratch, |step| {
                assert!(step.len() <= STEP);
                made += step.len();
                if made > limit { Err(too_large) } else { Ok(()) }
            });
            pushed.err()
        });
        assert_eq!(error, Some(too_large));
        assert!(made <= limit + STEP, "{made}");
    }
}

/// If zlib fills the buffer and is called again, it adds an empty block.
#[test]
fn what_comes_out_does_not_depend_on_the_room() {
    let message = sample(&mut StdRng::seed_from_u64(5), 300);
    let mut alone = Vec::new();
    assert_eq!(Deflater::new(1, 15).compress_smaller(&message, &mut alone), Ok(()));
    for room in 0..400 {
        let mut out = Vec::with_capacity(room);
        assert_eq!(Deflater::new(1, 15).compress_smaller(&message, &mut out), Ok(()));
        assert_eq!(out, alone, "room for {room} bytes");
    }
}

#[test]
fn what_does_not_shrink_is_left_as_it_is_and_forgotten() {
    let mut random = StdRng::seed_from_u64(4);
    let mut noise = vec![0; 100_000];
    random.fill_bytes(&mut noise);
    let (mut deflater, mut out) = (Deflater::new(6, 15), b"before".to_vec());
    for length in [0, 1, 2, 100, 1_000, 100_000] {
        assert_eq!(deflater.compress_smaller(&noise[..length], &mut out), Err(NotSmaller));
        assert_eq!(out, b"before");
    }
    // The peer never received the noise, so no message may refer to it.
    assert_eq!(deflater.compress_smaller(&noise[..1_000], &mut out), Err(NotSmaller));
    assert_eq!(deflater.compress_smaller(&[b'a'; 1_000], &mut out), Ok(()));
    assert_eq!(inflate(&out[6..]), Ok(vec![b'a'; 1_000]));
}
