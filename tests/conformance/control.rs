//! §5.5.2, §5.5.3 and §5.6: pings, pongs, and the two kinds of messages.

use super::kit::*;
use super::{Case, Start, check};
use lariat::protocol::ProtocolError::{ControlTooLong, FragmentedControl};
use lariat::protocol::State;

#[test]
fn s5_5_2_a_ping_is_answered_with_its_own_payload() {
    let all_bytes: Vec<u8> = (0..125).map(|i| i * 2 + 1).collect();
    for payload in [&b""[..], b"p", b"Hello", b"\x00\xff\xfe", &all_bytes] {
        check(frame(FIN | PING, payload)).is_open(&[Seen::ping(payload)], &[Sent::pong(payload)]);
    }
}

#[test]
fn s5_5_2_every_ping_is_answered_in_order() {
    let payloads: Vec<String> = (0..20).map(|i| format!("ping {i}")).collect();
    let bytes: Vec<Vec<u8>> = payloads.iter().map(|payload| frame(FIN | PING, payload)).collect();
    let seen: Vec<Seen> = payloads.iter().map(Seen::ping).collect();
    let pongs: Vec<Sent> = payloads.iter().map(Sent::pong).collect();
    check(bytes.concat()).is_open(&seen, &pongs);
}

#[test]
fn s5_5_3_a_pong_is_not_answered() {
    for payload in ["", "unasked"] {
        check(frame(FIN | PONG, payload)).is_open(&[Seen::pong(payload)], &[]);
    }
    check(frame(FIN | PONG, [7; 125])).is_open(&[Seen::pong([7; 125])], &[]);
}

#[test]
fn s5_5_a_control_frame_has_at_most_125_bytes() {
    for opcode in [CLOSE, PING, PONG] {
        for payload in [vec![3; 126], vec![3; 127], vec![3; 65_536]] {
            check(frame(FIN | opcode, payload)).failed(ControlTooLong, &[]);
        }
        for form in [LengthForm::Bits16, LengthForm::Bits64] {
            check(header(FIN | opcode, Some(KEY), form, 5)).failed(ControlTooLong, &[]);
        }
        // The second byte of the header is needed to detect this.
        check([FIN | opcode, 0x80 | 126]).failed(ControlTooLong, &[]);
        check([FIN | opcode, 0x80 | 127]).failed(ControlTooLong, &[]);
    }
}

#[test]
fn s5_5_a_control_frame_is_never_fragmented() {
    for opcode in [CLOSE, PING, PONG] {
        check(frame(opcode, b"")).failed(FragmentedControl, &[]);
        check([frame(opcode, b"a"), frame(FIN, b"b")].concat()).failed(FragmentedControl, &[]);
        check([frame(TEXT, b"a"), frame(opcode, b"p")].concat()).failed(FragmentedControl, &[]);
    }
}

#[test]
fn s5_5_a_control_frame_that_is_incomplete_waits() {
    for opcode in [CLOSE, PING, PONG] {
        let bytes = frame(FIN | opcode, b"\x03\xe8half");
        check(&bytes[..bytes.len() - 1]).waits(&[], &[]);
        check([frame(TEXT, "a"), bytes[..bytes.len() - 1].to_vec()].concat()).waits(&[], &[]);
    }
}

#[test]
fn s5_5_2_pings_are_answered_until_the_clients_close() {
    let outcome = Case::new(Start::Closing).check(&frame(FIN | PING, "still there?"));
    assert_eq!(outcome.state, State::Closing);
    assert_eq!(outcome.sent, [Sent::close(1000, "bye"), Sent::pong("still there?")]);

    let outcome = check([close(1000, ""), frame(FIN | PING, "too late")].concat());
    assert_eq!((outcome.seen, outcome.sent), (vec![], vec![Sent::close(1000, "")]));
}

#[test]
fn s5_6_messages_keep_their_type_their_bytes_and_their_order() {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let bytes = [
        text(""),
        binary(b""),
        text("\u{feff}a byte order mark is text"),
        binary(&all_bytes),
        text("\u{0}"),
        frame(FIN | PING, "between"),
        binary("text in binary"),
        text("last"),
    ];
    let seen = [
        Seen::text(""),
        Seen::binary(b""),
        Seen::text("\u{feff}a byte order mark is text"),
        Seen::binary(&all_bytes),
        Seen::text("\u{0}"),
        Seen::ping("between"),
        Seen::binary("text in binary"),
        Seen::text("last"),
    ];
    check(bytes.concat()).is_open(&seen, &[Sent::pong("between")]);
}
