//! §5.4: fragments become messages.

use super::check;
use super::kit::*;
use lariat::protocol::ProtocolError::{UnexpectedContinuation, UnfinishedMessage};

/// Returns the frames of a message with these fragments.
fn message(opcode: u8, fragments: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = fragments.len() - 1;
    let frames = fragments.iter().enumerate().map(|(index, payload)| {
        let opcode = if index == 0 { opcode } else { CONTINUATION };
        frame(if index == last { FIN | opcode } else { opcode }, payload)
    });
    frames.collect()
}

#[test]
fn s5_4_fragments_become_one_message() {
    let table: [&[&[u8]]; 9] = [
        &[b"whole"],
        &[b"two", b" frames"],
        &[b"a", b"b", b"c", b"d", b"e"],
        &[b"", b"first empty"],
        &[b"last empty", b""],
        &[b"middle", b"", b" empty"],
        &[b"", b""],
        &[b"", b"", b"", b""],
        &[&[b'a'; 125], &[b'b'; 126], &[b'c'; 1]],
    ];
    for fragments in table {
        let whole = fragments.concat();
        let as_text = Seen::text(std::str::from_utf8(&whole).unwrap());
        check(message(TEXT, fragments).concat()).is_open(std::slice::from_ref(&as_text), &[]);
        check(message(BINARY, fragments).concat()).is_open(&[Seen::binary(&whole)], &[]);
        // Two such messages, one of each type, directly after each other.
        let both = [message(TEXT, fragments).concat(), message(BINARY, fragments).concat()].concat();
        check(both).is_open(&[as_text, Seen::binary(&whole)], &[]);
    }
}

#[test]
fn s5_4_many_fragments_become_one_message() {
    let payload: Vec<u8> = (0..2_000_u32).map(|i| i as u8).collect();
    let fragments: Vec<&[u8]> = payload.chunks(1).collect();
    check(message(BINARY, &fragments).concat()).is_open(&[Seen::binary(&payload)], &[]);
    let fragments: Vec<&[u8]> = payload.chunks(300).collect();
    check(message(BINARY, &fragments).concat()).is_open(&[Seen::binary(&payload)], &[]);
}

#[test]
fn s5_4_control_frames_may_come_between_fragments() {
    let frames = message(TEXT, &[b"one ", b"two ", b"three"]);
    let ping = |payload: &str| frame(FIN | PING, payload);
    let bytes = [
        frames[0].clone(),
        ping("a"),
        ping(""),
        frames[1].clone(),
        frame(FIN | PONG, "unasked"),
        ping("b"),
        frames[2].clone(),
    ];
    let pings = [Seen::ping("a"), Seen::ping(""), Seen::pong("unasked"), Seen::ping("b")];
    let mut seen = pings.to_vec();
    seen.push(Seen::text("one two three"));
    check(bytes.concat()).is_open(&seen, &[Sent::pong("a"), Sent::pong(""), Sent::pong("b")]);
    // The events come when their frames arrive, not when the message is complete.
    check(bytes[..6].concat()).waits(&pings, &[Sent::pong("a"), Sent::pong(""), Sent::pong("b")]);
}

#[test]
fn s5_4_a_close_between_fragments_ends_the_connection() {
    let outcome = check([frame(TEXT, "never"), close(1000, "enough"), frame(FIN, "ended")].concat());
    assert_eq!((outcome.seen.as_slice(), outcome.sent), (&[][..], vec![Sent::close(1000, "enough")]));
    assert!(outcome.is_idle);
}

#[test]
fn s5_4_a_new_message_inside_a_message_fails_the_connection() {
    for first in [TEXT, BINARY] {
        for second in [FIN | TEXT, TEXT, FIN | BINARY, BINARY] {
            check([frame(first, "a"), frame(second, "b")].concat()).failed(UnfinishedMessage, &[]);
            check([frame(first, ""), frame(second, "")].concat()).failed(UnfinishedMessage, &[]);
            let bytes = [frame(first, "a"), frame(FIN | PING, "p"), frame(CONTINUATION, "b"), frame(second, "c")];
            check(bytes.concat()).failed(UnfinishedMessage, &[Seen::ping("p")]);
        }
    }
    // The error occurs as soon as the header is complete.
    let header = header(FIN | TEXT, Some(KEY), LengthForm::Minimal, 1_000);
    check([frame(TEXT, "a"), header].concat()).failed(UnfinishedMessage, &[]);
}

#[test]
fn s5_4_a_continuation_without_a_message_fails_the_connection() {
    for first in [FIN | CONTINUATION, CONTINUATION] {
        check(frame(first, "")).failed(UnexpectedContinuation, &[]);
        check(frame(first, "a")).failed(UnexpectedContinuation, &[]);
        check([text("whole"), frame(first, "a")].concat()).failed(UnexpectedContinuation, &[Seen::text("whole")]);
        let ended = [message(BINARY, &[b"a", b"b"]).concat(), frame(first, "c")].concat();
        check(ended).failed(UnexpectedContinuation, &[Seen::binary("ab")]);
        check([frame(FIN | PING, "p"), frame(first, "a")].concat()).failed(UnexpectedContinuation, &[Seen::ping("p")]);
    }
}

#[test]
fn s5_4_an_incomplete_message_is_not_delivered() {
    check(frame(TEXT, "a")).waits(&[], &[]);
    check(frame(TEXT, "")).waits(&[], &[]);
    check([text("whole"), frame(BINARY, "a"), frame(CONTINUATION, "b")].concat()).waits(&[Seen::text("whole")], &[]);
    let cut = binary([0; 50]);
    check(&cut[..cut.len() - 1]).waits(&[], &[]);
}
