//! §5.1 and §5.2: masking, and the rules for a header.

use super::kit::*;
use super::{Case, Outcome, Start, check};
use lariat::protocol::ProtocolError::{
    FragmentedControl, LengthTopBit, NonMinimalLength, ReservedBits, ReservedOpcode, UnmaskedFrame,
};
use lariat::protocol::{Header, MAX_HEADER, Opcode};

#[test]
fn s5_1_a_frame_that_is_not_masked_fails_the_connection() {
    for first in [FIN | TEXT, TEXT, FIN | BINARY, FIN | CLOSE, FIN | PING, FIN | PONG] {
        check(unmasked_frame(first, b"")).failed(UnmaskedFrame, &[]);
        check(unmasked_frame(first, b"\x03\xe8")).failed(UnmaskedFrame, &[]);
    }
    // Also without its payload, and in the middle of a message.
    check(header(FIN | BINARY, None, LengthForm::Minimal, 1_000)).failed(UnmaskedFrame, &[]);
    check([frame(TEXT, "a"), unmasked_frame(FIN, "b")].concat()).failed(UnmaskedFrame, &[]);
    check([text("a"), unmasked_frame(FIN | TEXT, "b")].concat()).failed(UnmaskedFrame, &[Seen::text("a")]);
}

#[test]
fn s5_3_every_key_and_every_length_is_unmasked() {
    for key in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0x80, 0, 0, 0], KEY] {
        for length in [0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 125] {
            let payload: Vec<u8> = (0..length).collect();
            check(keyed_frame(FIN | BINARY, key, &payload)).is_open(&[Seen::Binary(payload)], &[]);
        }
    }
}

#[test]
fn s5_7_the_examples_of_the_rfc_are_understood() {
    let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    check(hello).is_open(&[Seen::text("Hello")], &[]);
    // The Pong of the example is the client's. It is masked and answers a Ping of the server.
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    check(pong).is_open(&[Seen::pong("Hello")], &[]);
    let outcome = check(keyed_frame(FIN | PING, KEY, "Hello"));
    outcome.is_open(&[Seen::ping("Hello")], &[Sent::pong("Hello")]);
    let large: Vec<u8> = (0..65_536_u32).map(|i| i as u8).collect();
    let mut expected = b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00".to_vec();
    expected.extend_from_slice(&KEY);
    let bytes = binary(&large);
    assert!(bytes.starts_with(&expected));
    check(bytes).is_open(&[Seen::Binary(large)], &[]);
}

#[test]
fn s5_2_reserved_bits_fail_the_connection() {
    for bits in [RSV1, RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV3, RSV2 | RSV3, RSV1 | RSV2 | RSV3] {
        for first in [FIN | TEXT, BINARY, FIN | CLOSE, FIN | PING, FIN | PONG] {
            check(frame(bits | first, b"")).failed(ReservedBits, &[]);
            check(frame(bits | first, b"payload")).failed(ReservedBits, &[]);
        }
        check([frame(TEXT, "a"), frame(bits | FIN, "b")].concat()).failed(ReservedBits, &[]);
        check([frame(FIN | PING, "a"), frame(bits | FIN | TEXT, "b")].concat())
            .failed(ReservedBits, &[Seen::ping("a")]);
    }
}

#[test]
fn s5_2_reserved_opcodes_fail_the_connection_at_their_first_byte() {
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        for fin in [FIN, 0] {
            check([fin | opcode]).failed(ReservedOpcode(opcode), &[]);
            check(frame(fin | opcode, b"payload")).failed(ReservedOpcode(opcode), &[]);
            check([text("a"), frame(fin | opcode, b"")].concat()).failed(ReservedOpcode(opcode), &[Seen::text("a")]);
        }
    }
}

#[test]
fn s5_2_every_first_byte_is_accepted_or_fails_as_the_rfc_says() {
    for first in 0..=u8::MAX {
        let Outcome { state, reason, .. } = check(frame(first, b""));
        let is_good = matches!(first, 0x01 | 0x02 | 0x81 | 0x82 | 0x88 | 0x89 | 0x8a);
        let has_failed = matches!(reason, Some(lariat::CloseReason::Protocol(_)));
        assert_eq!(has_failed, !is_good, "{first:#04x}: {state:?}, {reason:?}");
    }
}

#[test]
fn s5_2_lengths_at_the_limits_of_their_forms_are_received() {
    for length in [0, 1, 124, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537] {
        let payload: Vec<u8> = (0..length as u32).map(|i| (i % 251) as u8).collect();
        let bytes = [binary(&payload), text("after")].concat();
        check(bytes).is_open(&[Seen::Binary(payload), Seen::text("after")], &[]);
    }
}

#[test]
fn s5_2_a_length_that_is_not_minimal_fails_the_connection() {
    for length in [0, 1, 124, 125] {
        check(header(FIN | BINARY, Some(KEY), LengthForm::Bits16, length)).failed(NonMinimalLength, &[]);
    }
    for length in [0, 1, 125, 126, 65_535] {
        check(header(FIN | TEXT, Some(KEY), LengthForm::Bits64, length)).failed(NonMinimalLength, &[]);
    }
    // Also before the masking key, and with a payload after it.
    check(b"\x81\xfe\x00\x05").failed(NonMinimalLength, &[]);
    check(b"\x81\xfe\x00\x01\x00\x00\x00\x00a").failed(NonMinimalLength, &[]);
}

#[test]
fn s5_2_a_64_bit_length_with_its_top_bit_fails_the_connection() {
    for length in [1 << 63, u64::MAX, (1 << 63) | 70_000] {
        check(header(FIN | BINARY, Some(KEY), LengthForm::Bits64, length)).failed(LengthTopBit, &[]);
    }
}

#[test]
fn s5_2_a_header_that_is_incomplete_waits() {
    let bytes = header(FIN | BINARY, Some(KEY), LengthForm::Minimal, 70_000);
    assert_eq!(bytes.len(), MAX_HEADER);
    for length in 1..bytes.len() {
        check(&bytes[..length]).waits(&[], &[]);
        check([text("a"), bytes[..length].to_vec()].concat()).waits(&[Seen::text("a")], &[]);
    }
}

#[test]
fn s5_2_each_violation_is_detected_at_the_first_possible_byte() {
    check([RSV2 | FIN | TEXT]).failed(ReservedBits, &[]);
    check([RSV3 | FIN | TEXT]).failed(ReservedBits, &[]);
    check([PING]).failed(FragmentedControl, &[]);
    check(header(FIN | RSV1 | TEXT, Some(KEY), LengthForm::Minimal, 5)).failed(ReservedBits, &[]);
}

#[test]
fn s5_2_our_own_headers_can_be_decoded() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let ours = Header::unmasked(Opcode::Binary, length);
        let bytes = ours.to_bytes();
        assert_eq!(bytes, header(FIN | BINARY, None, LengthForm::Minimal, length as u64));
        assert_eq!(Header::decode(&bytes), Ok(Some((ours, bytes.len()))));
    }
}

#[test]
fn s5_1_after_our_close_a_violation_is_not_answered_with_a_second_close() {
    let outcome = Case::new(Start::Closing).check(&unmasked_frame(FIN | TEXT, b"late"));
    assert_eq!(outcome.sent, [Sent::close(1000, "bye")]);
    assert_eq!(outcome.reason, Some(lariat::CloseReason::Protocol(UnmaskedFrame)));
}
