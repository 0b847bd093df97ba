//! §10.4: limits on what a peer can make the server store.

use super::kit::*;
use super::{Case, Start};
use lariat::protocol::ProtocolError::{MessageTooLarge, TooManyFragments};
use lariat::protocol::{Limits, SendError, State};

/// The memory that an inbox needs in addition to the bytes of a message.
const OVERHEAD: usize = 512;

fn limited(max_message: usize, max_fragments: u32) -> Case {
    let mut case = Case::new(Start::Open);
    case.limits.max_message = max_message;
    case.limits.max_fragments = max_fragments;
    case
}

#[test]
fn s10_4_a_message_at_the_limit_is_accepted_and_one_byte_more_fails_with_1009() {
    let (case, error) = (limited(1_000, 10), MessageTooLarge { limit: 1_000 });
    assert_eq!(u16::from(error.close_code()), 1009);
    for first in [TEXT, BINARY] {
        let seen = |payload: &str| if first == TEXT { Seen::text(payload) } else { Seen::binary(payload) };
        let (fits, more) = ("x".repeat(1_000), "x".repeat(1_001));
        case.check(&frame(FIN | first, &fits)).is_open(&[seen(&fits)], &[]);
        case.check(&frame(FIN | first, &more)).failed(error, &[]);
        for cut in [0, 1, 500, 999, 1_000] {
            let fragmented = |payload: &str| [frame(first, &payload[..cut]), frame(FIN, &payload[cut..])].concat();
            case.check(&fragmented(&fits)).is_open(&[seen(&fits)], &[]);
            case.check(&fragmented(&more)).failed(error, &[]);
        }
    }
}

#[test]
fn s10_4_an_announced_length_above_the_limit_fails_before_the_payload() {
    let (case, error) = (limited(1_000, 10), MessageTooLarge { limit: 1_000 });
    for length in [1_001, 65_535, 65_536, 1 << 32, (1 << 63) - 1] {
        for first in [FIN | TEXT, TEXT, FIN | BINARY, BINARY] {
            case.check(&header(first, Some(KEY), LengthForm::Minimal, length)).failed(error, &[]);
        }
        let continuation = header(FIN, Some(KEY), LengthForm::Minimal, length);
        case.check(&[frame(TEXT, ""), continuation].concat()).failed(error, &[]);
    }
    let continuation = header(CONTINUATION, Some(KEY), LengthForm::Minimal, 1);
    case.check(&[frame(TEXT, [b'x'; 1_000]), continuation].concat()).failed(error, &[]);
}

#[test]
fn s10_4_a_limit_of_zero_accepts_empty_messages_and_control_frames() {
    let case = limited(0, 10);
    let bytes = [text(""), frame(FIN | PING, "p")].concat();
    case.check(&bytes).is_open(&[Seen::text(""), Seen::ping("p")], &[Sent::pong("p")]);
    case.check(&binary("x")).failed(MessageTooLarge { limit: 0 }, &[]);
}

#[test]
fn s10_4_a_message_in_too_many_fragments_fails_with_1008() {
    let (case, error) = (limited(1_000, 5), TooManyFragments { limit: 5 });
    assert_eq!(u16::from(error.close_code()), 1008);
    for payload in ["", "x"] {
        let (first, middle, last) = (frame(TEXT, payload), frame(CONTINUATION, payload), frame(FIN, payload));
        let fits = [first.clone(), middle.repeat(3), last.clone()].concat();
        case.check(&fits).is_open(&[Seen::text(&payload.repeat(5))], &[]);
        // The count restarts with each message, and control frames do not count as fragments.
        let with_pings = [first.clone(), frame(FIN | PONG, "").repeat(9), middle.repeat(3), last.clone()].concat();
        let mut seen = vec![Seen::text(&payload.repeat(5))];
        seen.extend(vec![Seen::pong(""); 9]);
        seen.push(Seen::text(&payload.repeat(5)));
        case.check(&[fits, with_pings].concat()).is_open(&seen, &[]);
        case.check(&[first.clone(), middle.repeat(4)].concat()).waits(&[], &[]);
        case.check(&[first.clone(), middle.repeat(5)].concat()).failed(error, &[]);
        case.check(&[first, middle.repeat(4), last].concat()).failed(error, &[]);
    }
}

#[test]
fn s10_4_an_announced_length_reserves_no_memory() {
    for first in [FIN | TEXT, TEXT, FIN | BINARY, BINARY] {
        let mut talk = Talk::with_limits(Limits::default());
        talk.receive(&header(first, Some(KEY), LengthForm::Minimal, 1 << 20));
        assert!(talk.connection.memory() < OVERHEAD, "{} bytes for a header", talk.connection.memory());
        talk.receive(b"\x37");
        assert!(talk.connection.memory() < OVERHEAD, "{} bytes for one byte", talk.connection.memory());
    }
}

#[test]
fn s10_4_memory_is_at_most_twice_the_received_bytes_and_never_more_than_announced() {
    for first in [FIN | TEXT, FIN | BINARY] {
        for (length, piece) in [(100_000, 1_000), (100_000, 1), (1_000_000, 65_536)] {
            let mut talk = Talk::with_limits(Limits::default());
            let bytes = frame(first, vec![b'x'; length]);
            let mut received = 0;
            for piece in bytes.chunks(piece) {
                talk.receive(piece);
                received += piece.len();
                let (memory, most) = (talk.connection.memory(), (2 * received).min(length) + OVERHEAD);
                assert!(memory <= most, "{memory} bytes held after {received} were received");
            }
            assert_eq!((talk.seen.len(), talk.connection.memory()), (1, 0));
        }
    }
}

#[test]
fn s10_4_fragments_need_at_most_twice_their_bytes() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.receive(&frame(BINARY, ""));
    for count in 1..=10_000 {
        talk.receive(&frame(CONTINUATION, b"12345"));
        let (memory, most) = (talk.connection.memory(), 2 * 5 * count + OVERHEAD);
        assert!(memory <= most, "{memory} bytes held after {} were received", 5 * count);
    }
    talk.receive(&frame(FIN, ""));
    assert_eq!((talk.seen.len(), talk.connection.memory()), (1, 0));
}

#[test]
fn s10_4_complete_messages_are_not_stored() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.receive(&[text("a").repeat(100), binary(vec![0; 600])].concat());
    assert_eq!((talk.seen.len(), talk.most_memory), (101, 0));
}

#[test]
fn s10_4_empty_fragments_need_no_memory() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.receive(&frame(TEXT, ""));
    let memory = talk.connection.memory();
    for _ in 1..talk.shared.limits.max_fragments {
        talk.receive(&frame(CONTINUATION, ""));
    }
    assert_eq!((talk.connection.memory(), talk.state()), (memory, State::Open));
    talk.receive(&frame(CONTINUATION, ""));
    assert_eq!(talk.flushed().last().and_then(Sent::code), Some(1008));
}

#[test]
fn s10_4_a_failed_connection_frees_its_memory_at_once() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.receive(&frame(TEXT, "x".repeat(50_000)));
    assert!(talk.connection.memory() > 50_000);
    talk.receive(&unmasked_frame(FIN, "y"));
    talk.flush();
    assert_eq!((talk.state(), talk.connection.memory()), (State::Draining, 0));
}

#[test]
fn s10_4_unsent_bytes_are_limited_and_a_refused_send_changes_nothing() {
    let mut talk = Talk::with_limits(Limits::default());
    talk.shared.limits.max_unsent = 1_000;
    let payload = "x".repeat(300);
    for _ in 0..3 {
        talk.connection.send(&mut talk.shared, payload.as_str().into()).unwrap();
    }
    let buffered = talk.connection.buffered_amount();
    assert_eq!(buffered, 3 * 304);
    assert_eq!(talk.connection.send(&mut talk.shared, payload.as_str().into()), Err(SendError::Full));
    assert_eq!(talk.connection.ping(&mut talk.shared, &[0; 100]), Err(SendError::Full));
    assert_eq!((talk.connection.buffered_amount(), talk.state()), (buffered, State::Open));
    assert_eq!(talk.flushed(), vec![Sent::text(&payload); 3]);
    assert_eq!(talk.connection.send(&mut talk.shared, payload.as_str().into()), Ok(()));
}
