//! §8.1: text is UTF-8 and is checked as its bytes arrive.

use super::check;
use super::kit::*;
use lariat::protocol::ProtocolError::InvalidUtf8;

/// Valid UTF-8: the first and last character of every length, the neighbours of the surrogates,
/// noncharacters.
const VALID: [&[u8]; 20] = [
    b"",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xec\xbf\xbf",
    b"\xed\x80\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf0\x9f\x98\x80",
    b"\xf1\x80\x80\x80",
    b"\xf3\xbf\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
];

/// Invalid UTF-8, and the number of bytes that could still become valid.
const INVALID: [(&[u8], usize); 36] = [
    // Continuation bytes without a first byte.
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"\x80\xbf\x80", 0),
    // Bytes that never occur: overlong two-byte forms, bytes beyond U+10FFFF, five and six bytes.
    (b"\xc0\x80", 0),
    (b"\xc1\xbf", 0),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xf8\x88\x80\x80\x80", 0),
    (b"\xfb\xbf\xbf\xbf\xbf", 0),
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    (b"\xfd\xbf\xbf\xbf\xbf\xbf", 0),
    (b"\xfe", 0),
    (b"\xff", 0),
    (b"\xfe\xfe\xff\xff", 0),
    // A first byte without its continuation.
    (b"\xc2 ", 1),
    (b"\xc3\x28", 1),
    (b"\xdf\xc0", 1),
    (b"\xe2\x82 ", 2),
    (b"\xe2\x28\xa1", 1),
    (b"\xf0\x9f\x98 ", 3),
    (b"\xf0\x28\x8c\xbc", 1),
    (b"\xf0\x90\x28\xbc", 2),
    (b"\xf0\x28\x8c\x28", 1),
    // Overlong forms.
    (b"\xe0\x80\xaf", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xf0\x80\x80\xaf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    // Surrogates, alone and in pairs.
    (b"\xed\xa0\x80", 1),
    (b"\xed\xaf\xbf", 1),
    (b"\xed\xb0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xed\xa0\x80\xed\xb0\x80", 1),
    (b"\xed\xaf\xbf\xed\xbf\xbf", 1),
    // Beyond U+10FFFF.
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf4\xbf\xbf\xbf", 1),
    (b"\xf7\xbf\xbf\xbf", 0),
    // The well-known example: valid Greek, a surrogate, more text.
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 12),
];

/// Text that lacks only its end.
const INCOMPLETE: [&[u8]; 9] =
    [b"\xc2", b"\xdf", b"\xe0", b"\xe0\xa0", b"\xed\x9f", b"\xf0", b"\xf0\x90", b"\xf4\x8f\xbf", b"\xce\xba\xe1\xbd"];

#[test]
fn s8_1_valid_text_is_delivered_for_any_fragmentation() {
    for bytes in VALID {
        let seen = [Seen::text(std::str::from_utf8(bytes).unwrap())];
        check(frame(FIN | TEXT, bytes)).is_open(&seen, &[]);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            check([frame(TEXT, head), frame(FIN, tail)].concat()).is_open(&seen, &[]);
            let with_ping = [frame(TEXT, head), frame(FIN | PING, "\u{e9}"), frame(0, ""), frame(FIN, tail)].concat();
            check(with_ping).is_open(&[Seen::ping("é"), seen[0].clone()], &[Sent::pong("é")]);
        }
        let frames: Vec<Vec<u8>> = bytes.iter().map(|byte| frame(CONTINUATION, [*byte])).collect();
        check([frame(TEXT, ""), frames.concat(), frame(FIN, "")].concat()).is_open(&seen, &[]);
    }
}

#[test]
fn s8_1_invalid_text_fails_the_connection_with_1007() {
    assert_eq!(u16::from(InvalidUtf8.close_code()), 1007);
    for (bytes, _) in INVALID {
        for (before, after) in
            [("", ""), ("before", ""), ("", "after"), ("κόσμε", "κόσμε"), ("sixteen bytes ASCII, more", "")]
        {
            let bytes = [before.as_bytes(), bytes, after.as_bytes()].concat();
            check(frame(FIN | TEXT, &bytes)).failed(InvalidUtf8, &[]);
            check([frame(TEXT, &bytes), frame(FIN, b"")].concat()).failed(InvalidUtf8, &[]);
        }
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            check([frame(TEXT, head), frame(FIN, tail)].concat()).failed(InvalidUtf8, &[]);
        }
    }
}

#[test]
fn s8_1_an_invalid_byte_in_an_unfinished_frame_fails_at_once() {
    for (bytes, good) in INVALID {
        for before in ["", "κόσμε", "a text that is longer than sixteen bytes"] {
            let good = before.len() + good;
            let payload = [before.as_bytes(), bytes, &[b'.'; 200]].concat();
            for first in [FIN | TEXT, TEXT] {
                let whole = frame(first, &payload);
                let start = whole.len() - payload.len();
                // First the bytes that could still become valid, then the byte that cannot.
                check(&whole[..start + good]).waits(&[], &[]);
                check(&whole[..start + good + 1]).failed(InvalidUtf8, &[]);
            }
        }
    }
}

#[test]
fn s8_1_an_invalid_byte_in_a_continuation_fails_at_once() {
    for (bytes, good) in INVALID {
        // The boundary of the frames cuts the character.
        let (head, tail) = bytes.split_at(good);
        let tail = [tail, &[b'.'; 200]].concat();
        let continuation = frame(FIN, &tail);
        let start = continuation.len() - tail.len();
        check([frame(TEXT, head), continuation[..start].to_vec()].concat()).waits(&[], &[]);
        check([frame(TEXT, head), continuation[..start + 1].to_vec()].concat()).failed(InvalidUtf8, &[]);
    }
}

#[test]
fn s8_1_text_must_not_end_inside_a_character() {
    for bytes in INCOMPLETE {
        check(frame(FIN | TEXT, bytes)).failed(InvalidUtf8, &[]);
        check([frame(TEXT, bytes), frame(FIN, "")].concat()).failed(InvalidUtf8, &[]);
        check([frame(TEXT, ""), frame(FIN, bytes)].concat()).failed(InvalidUtf8, &[]);
        check(frame(TEXT, bytes)).waits(&[], &[]);
    }
}

#[test]
fn s8_1_binary_and_pings_are_not_text() {
    for (bytes, _) in INVALID {
        check(frame(FIN | BINARY, bytes)).is_open(&[Seen::binary(bytes)], &[]);
        let bytes_in_ping = frame(FIN | PING, bytes);
        check(bytes_in_ping).is_open(&[Seen::ping(bytes)], &[Sent::pong(bytes)]);
    }
}
