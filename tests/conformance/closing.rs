//! §5.5.1 and §7: the closing handshake.

use super::kit::*;
use super::{Case, Outcome, Start, check};
use lariat::protocol::ProtocolError::{CloseBodyOfOneByte, InvalidCloseCode, InvalidUtf8};
use lariat::protocol::{Limits, ProtocolError, SendError, State};
use lariat::{CloseCode, CloseFrame, CloseReason};

fn peer(code: u16, reason: &str) -> CloseReason {
    CloseReason::Peer(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() }))
}

fn local(code: u16, reason: &str) -> CloseReason {
    CloseReason::Local(CloseFrame { code: CloseCode::from(code), reason: reason.into() })
}

/// Checks that the server answered the client's Close with `answer`.
#[track_caller]
fn echoed(outcome: &Outcome, answer: Sent, reason: CloseReason) {
    assert_eq!(outcome.sent, [answer]);
    assert_eq!((outcome.state, &outcome.seen, outcome.is_idle), (State::Draining, &vec![], true));
    assert!(reason.was_clean());
    assert_eq!(outcome.reason, Some(reason));
}

#[test]
fn s5_5_1_a_close_is_echoed_once() {
    let longest = "r".repeat(123);
    let in_characters = format!("{}€", "é".repeat(60));
    for (code, reason) in [
        (1000, ""),
        (1000, "bye"),
        (1001, "κόσμε"),
        (3000, ""),
        (4999, longest.as_str()),
        (4000, in_characters.as_str()),
    ] {
        echoed(&check(close(code, reason)), Sent::close(code, reason), peer(code, reason));
        let twice = [close(code, reason), close(code, reason)].concat();
        echoed(&check(twice), Sent::close(code, reason), peer(code, reason));
    }
}

#[test]
fn s7_1_5_a_close_without_a_code_is_1005_for_the_application_and_its_answer_is_empty() {
    let outcome = check(frame(FIN | CLOSE, b""));
    echoed(&outcome, Sent::Frame(FIN | CLOSE, vec![]), CloseReason::Peer(None));
    assert_eq!(u16::from(outcome.reason.unwrap().code()), 1005);
}

#[test]
fn s7_4_valid_close_codes_are_echoed() {
    for code in (1000..=1003).chain(1007..=1014).chain([3000, 3001, 3999, 4000, 4001, 4999]) {
        echoed(&check(close(code, "why")), Sent::close(code, "why"), peer(code, "why"));
        assert_eq!(u16::from(peer(code, "").code()), code);
    }
}

#[test]
fn s7_4_invalid_close_codes_fail_the_connection() {
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65_535] {
        check(close(code, "")).failed(InvalidCloseCode(code), &[]);
        check(close(code, "why")).failed(InvalidCloseCode(code), &[]);
    }
}

#[test]
fn s5_5_1_an_invalid_close_body_fails_the_connection() {
    check(frame(FIN | CLOSE, b"\x03")).failed(CloseBodyOfOneByte, &[]);
    for reason in [&b"\xff"[..], b"\xc3\x28", b"cut \xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        check(close(1000, reason)).failed(InvalidUtf8, &[]);
    }
}

#[test]
fn s7_messages_before_a_close_are_delivered_and_those_after_it_are_not() {
    let outcome = check([text("before"), close(1000, ""), text("after"), frame(FIN | PING, "after")].concat());
    assert_eq!(outcome.seen, [Seen::text("before")]);
    assert_eq!((outcome.sent, outcome.reason), (vec![Sent::close(1000, "")], Some(peer(1000, ""))));
}

#[test]
fn s7_when_we_close_first_any_close_of_the_client_ends_the_connection() {
    let ours = local(1000, "bye");
    for answer in [close(1000, "bye"), close(1000, ""), close(4000, "mine"), frame(FIN | CLOSE, b"")] {
        let outcome = Case::new(Start::Closing).check(&answer);
        echoed(&outcome, Sent::close(1000, "bye"), ours.clone());
        // Frames that the peer sent before it received our Close are not a violation.
        let crossed = [text("crossed"), frame(BINARY, "cut off"), answer].concat();
        echoed(&Case::new(Start::Closing).check(&crossed), Sent::close(1000, "bye"), ours.clone());
    }
}

#[test]
fn s7_after_our_close_the_clients_messages_are_checked_but_not_delivered() {
    let case = Case::new(Start::Closing);
    let outcome = case.check(&[text("crossed"), binary([1; 200]), frame(FIN | PONG, "")].concat());
    assert_eq!((outcome.state, outcome.seen), (State::Closing, vec![Seen::pong("")]));
    let table: [(Vec<u8>, ProtocolError); 4] = [
        (frame(FIN | TEXT, b"\xff"), InvalidUtf8),
        (close(1005, ""), InvalidCloseCode(1005)),
        (frame(FIN | CLOSE, b"\x03"), CloseBodyOfOneByte),
        (frame(FIN, b""), ProtocolError::UnexpectedContinuation),
    ];
    for (bytes, error) in table {
        let outcome = case.check(&bytes);
        // "An endpoint MUST NOT send more than one Close", so only the application learns about the
        // violation.
        assert_eq!(outcome.sent, [Sent::close(1000, "bye")]);
        assert_eq!((outcome.state, outcome.reason), (State::Draining, Some(CloseReason::Protocol(error))));
    }
}

#[test]
fn s7_1_1_the_last_frame_is_sent_before_the_end_whichever_side_ends_first() {
    // The client half-closes directly after its Close. Our echo is still sent.
    let mut talk = Talk::with_limits(Limits::default());
    talk.receive(&close(1000, "bye"));
    talk.eof();
    assert_eq!(talk.state(), State::Flushing);
    assert_eq!(talk.flushed(), [Sent::close(1000, "bye")]);
    assert_eq!(talk.state(), State::Closed);
    assert_eq!(talk.end(), Some(peer(1000, "bye")));

    // The client waits until our half is closed, as the RFC recommends.
    let mut talk = Talk::with_limits(Limits::default());
    talk.receive(&close(1000, "bye"));
    assert_eq!(talk.flushed(), [Sent::close(1000, "bye")]);
    assert_eq!((talk.state(), talk.connection.buffered_amount()), (State::Draining, 0));
    talk.eof();
    assert_eq!(talk.state(), State::Closed);
    assert_eq!(talk.end(), Some(peer(1000, "bye")));
}

#[test]
fn s7_1_5_without_a_close_frame_it_is_1006() {
    for half in [&b""[..], b"\x81", b"\x81\x85\0\0\0\0ab", b"\x01\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03"] {
        let mut talk = Talk::with_limits(Limits::default());
        talk.receive(half);
        talk.eof();
        assert_eq!((talk.state(), talk.flushed()), (State::Closed, vec![]));
        let reason = talk.end().unwrap();
        assert_eq!((&reason, u16::from(reason.code()), reason.was_clean()), (&CloseReason::Eof, 1006, false));
    }
}

#[test]
fn s7_an_end_of_stream_instead_of_an_answer_to_our_close_is_not_clean() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.close(CloseCode::Away, "");
    talk.flush();
    talk.eof();
    assert_eq!(talk.state(), State::Closed);
    assert_eq!(talk.end(), Some(CloseReason::Eof));
}

#[test]
fn s7_an_invalid_close_by_the_application_changes_nothing() {
    let mut talk = Talk::with_limits(Limits::default());
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let outcome = talk.connection.close(&mut talk.shared, talk.now, CloseCode::from(code), "");
        assert_eq!(outcome, Err(SendError::InvalidCloseCode), "{code}");
    }
    let too_long = "r".repeat(124);
    let outcome = talk.connection.close(&mut talk.shared, talk.now, CloseCode::Normal, &too_long);
    assert_eq!(outcome, Err(SendError::TooLong));
    assert_eq!((talk.state(), talk.flushed()), (State::Open, vec![]));
    talk.close(CloseCode::Normal, &too_long[1..]);
    assert_eq!((talk.state(), talk.flushed()), (State::Closing, vec![Sent::close(1000, &too_long[1..])]));
}

#[test]
fn s5_5_1_no_data_is_sent_after_our_close_frame() {
    for start in [Start::Open, Start::Closing] {
        let mut talk = Talk::with_limits(Limits::default());
        match start {
            Start::Closing => talk.close(CloseCode::Normal, ""),
            Start::Fresh | Start::Open => talk.receive(&close(1000, "")),
        }
        assert_eq!(talk.connection.send(&mut talk.shared, "late".into()), Err(SendError::NotOpen));
        assert_eq!(talk.connection.ping(&mut talk.shared, b"late"), Err(SendError::NotOpen));
        let again = talk.connection.close(&mut talk.shared, talk.now, CloseCode::Normal, "");
        assert_eq!(again, Err(SendError::NotOpen));
        assert_eq!(talk.flushed(), [Sent::close(1000, "")]);
    }
}

#[test]
fn s5_5_1_queued_messages_are_sent_before_our_close() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.connection.send(&mut talk.shared, "first".into()).unwrap();
    talk.connection.ping(&mut talk.shared, b"second").unwrap();
    talk.close(CloseCode::Normal, "third");
    assert_eq!(talk.flushed(), [Sent::text("first"), Sent::ping("second"), Sent::close(1000, "third")]);
}
