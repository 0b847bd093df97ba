//! Violations by a peer, and their consequences.

use super::kit::*;
use super::{compress, compressed_text, eager, offered, open, shared};
use lariat::protocol::ProtocolError::{self, InvalidDeflate, InvalidUtf8, MessageTooLarge, ReservedBits};
use lariat::protocol::{Limits, State};
use lariat::{CloseReason, Takeover};

fn limited(max_message: usize) -> Limits {
    let mut limits = Limits::default();
    limits.max_message = max_message;
    limits
}

/// Checks that the connection fails with this error for any cut of the bytes, and that only `seen`
/// is delivered.
fn fails(open: impl Fn() -> Talk, bytes: &[u8], error: ProtocolError, seen: &[Seen]) {
    for size in [1, 2, 7, 1_000, bytes.len()] {
        let mut talk = open();
        bytes.chunks(size.max(1)).for_each(|piece| talk.receive(piece));
        assert_eq!(talk.seen, seen, "in pieces of {size}");
        assert_eq!(talk.state(), State::Draining, "in pieces of {size}");
        let sent = talk.flushed();
        assert_eq!(sent.last().and_then(Sent::code), Some(error.close_code().into()), "in pieces of {size}");
        assert_eq!(talk.shared.context_bytes(), 0);
        assert_eq!(talk.end(), Some(CloseReason::Protocol(error)), "in pieces of {size}");
    }
}

#[test]
fn rsv1_is_allowed_only_in_the_first_frame_of_a_message() {
    let compressed = compress("Hello Hello Hello");
    let plain = || Talk::with_limits(Limits::default());
    let pair = |second: u8| [frame(RSV1 | TEXT, &compressed[..4]), frame(second, &compressed[4..])].concat();
    let ordinary = || open(Limits::default());
    fails(plain, &compressed_text("hello"), ReservedBits, &[]);
    fails(ordinary, &pair(FIN | RSV1 | CONTINUATION), ReservedBits, &[]);
    fails(ordinary, &pair(RSV1 | CONTINUATION), ReservedBits, &[]);
    for opcode in [PING, PONG, CLOSE] {
        fails(ordinary, &frame(FIN | RSV1 | opcode, ""), ReservedBits, &[]);
        fails(ordinary, &frame(FIN | RSV1 | opcode, compress("Hello")), ReservedBits, &[]);
    }
    for bit in [RSV2, RSV3] {
        fails(ordinary, &frame(FIN | RSV1 | bit | TEXT, &compressed), ReservedBits, &[]);
    }
    let started = [frame(TEXT, "He"), frame(FIN | RSV1 | CONTINUATION, "llo")].concat();
    fails(ordinary, &started, ReservedBits, &[]);
    let doubled = [frame(RSV1 | TEXT, &compressed[..4]), frame(FIN | RSV1 | TEXT, &compressed)].concat();
    fails(ordinary, &doubled, ProtocolError::UnfinishedMessage, &[]);
}

#[test]
fn invalid_compressed_data_fails_with_1007() {
    let text = "Some text that is long enough to be cut, and to be cut again. ".repeat(20);
    let (whole, good) = (compress(&text), compressed_text("good"));
    for takeover in [Takeover::Never, Takeover::Both] {
        let start = || offered(shared(eager(takeover)), &["permessage-deflate"]).0;
        for bad in [&[0x06][..], &[0xff; 30], b"not compressed at all", &whole[1..]] {
            fails(start, &[&good[..], &frame(FIN | RSV1 | TEXT, bad)].concat(), InvalidDeflate, &[Seen::text("good")]);
        }
    }
    for cut in 1..whole.len() {
        let mut talk = open(Limits::default());
        talk.receive(&frame(FIN | RSV1 | BINARY, &whole[..cut]));
        assert_eq!(talk.end(), Some(CloseReason::Protocol(InvalidDeflate)), "cut at {cut}");
    }
    assert_eq!(u16::from(InvalidDeflate.close_code()), 1007);
}

#[test]
fn a_failure_of_one_connection_does_not_affect_another() {
    let mut bad = open(Limits::default());
    bad.receive(&frame(FIN | RSV1 | BINARY, &compress("half a message".repeat(9))[..8]));
    assert_eq!(bad.state(), State::Draining);
    // The same loop, so the same decompressor.
    let (mut good, _) = offered(bad.shared, &["permessage-deflate"]);
    good.receive(&compressed_text("whole"));
    assert_eq!(good.seen, [Seen::text("whole")]);
}

#[test]
fn decompressed_text_must_be_utf_8() {
    let long = "x".repeat(100_000);
    let bad: [Vec<u8>; 4] = [
        b"\xff".to_vec(),
        b"abc\xe2\x82".to_vec(),
        [long.as_bytes(), b"\xed\xa0\x80", long.as_bytes()].concat(),
        [long.as_bytes(), b"\xe2\x82"].concat(),
    ];
    for text in bad {
        fails(|| open(Limits::default()), &compressed_text(&text), InvalidUtf8, &[]);
        let mut talk = open(Limits::default());
        talk.receive(&frame(FIN | RSV1 | BINARY, compress(&text)));
        assert_eq!(talk.seen, [Seen::Binary(text)], "the same bytes are valid as binary");
    }
    // Every step of 16 KiB ends inside a character.
    let text = format!("x{}", "€".repeat(30_000));
    let mut talk = open(Limits::default());
    talk.receive(&compressed_text(&text));
    assert_eq!(talk.seen, [Seen::text(&text)]);
}

#[test]
fn the_limit_counts_the_decompressed_bytes_exactly() {
    for limit in [1, 125, 16_383, 16_384, 16_385, 100_000] {
        let error = MessageTooLarge { limit };
        assert_eq!(u16::from(error.close_code()), 1009);
        let (fits, more) = ("x".repeat(limit), "x".repeat(limit + 1));
        for takeover in [Takeover::Never, Takeover::Both] {
            let start = || {
                let shared = lariat::protocol::Shared::with_seed(limited(limit), 0);
                offered(shared.with_deflate(Some(eager(takeover))), &["permessage-deflate"]).0
            };
            let mut talk = start();
            talk.receive(&compressed_text(&fits));
            talk.receive(&compressed_text(&fits));
            assert_eq!(talk.seen, [Seen::text(&fits), Seen::text(&fits)], "{limit}");
            let bytes = [compressed_text(&fits), compressed_text(&more)].concat();
            fails(start, &bytes, error, &[Seen::text(&fits)]);
        }
        let cut = compress(&more);
        let fragments = [frame(RSV1 | TEXT, &cut[..2]), frame(FIN | CONTINUATION, &cut[2..])].concat();
        fails(|| open(limited(limit)), &fragments, error, &[]);
    }
}

#[test]
fn a_decompression_bomb_needs_no_more_memory_than_the_limit() {
    let limit = 1 << 20;
    let (mut deflater, zeros) = (lariat::protocol::Deflater::new(9, 15), vec![0; 1 << 20]);
    let (mut first, mut next) = (Vec::new(), vec![0, 0, 0xff, 0xff]);
    deflater.compress(&zeros, &mut first);
    deflater.compress(&zeros, &mut next);
    let gigabyte = frame(FIN | RSV1 | BINARY, [first, next.repeat(1_023)].concat());
    assert!(gigabyte.len() < limit + limit / 8, "{}", gigabyte.len());
    let mut talk = open(limited(limit));
    talk.receive(&gigabyte);
    assert!(talk.shared.memory() <= limit + (600 << 10), "{}", talk.shared.memory());
    assert_eq!(talk.end(), Some(CloseReason::Protocol(MessageTooLarge { limit })));
}

#[test]
fn the_compressed_bytes_of_a_message_are_limited() {
    let limit = 1_000;
    let error = MessageTooLarge { limit };
    // Empty blocks never produce any output.
    let empty = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(500);
    fails(|| open(limited(limit)), &frame(FIN | RSV1 | TEXT, &empty), error, &[]);
    let fragments: Vec<u8> = std::iter::once(frame(RSV1 | TEXT, ""))
        .chain(empty.chunks(100).map(|piece| frame(CONTINUATION, piece)))
        .flatten()
        .collect();
    fails(|| open(limited(limit)), &fragments, error, &[]);
    for length in [3_000, 1 << 20, 1 << 40] {
        let announced = header(FIN | RSV1 | TEXT, Some(KEY), LengthForm::Minimal, length);
        fails(|| open(limited(limit)), &announced, error, &[]);
    }
    // Badly compressed, but the message is within the limit.
    let stored: Vec<u8> = (0..200).flat_map(|_| [0, 5, 0, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o']).collect();
    let mut talk = open(limited(limit));
    talk.receive(&frame(FIN | RSV1 | TEXT, [&stored[..], &[0]].concat()));
    assert_eq!(talk.seen, [Seen::text(&"Hello".repeat(200))]);
}

#[test]
fn the_limit_of_fragments_also_applies_to_compressed_messages() {
    let mut limits = Limits::default();
    limits.max_fragments = 5;
    let error = ProtocolError::TooManyFragments { limit: 5 };
    let fragments = [frame(RSV1 | TEXT, ""), frame(CONTINUATION, "").repeat(5)].concat();
    fails(|| open(limits.clone()), &fragments, error, &[]);
}
