//! Compares what both implementations send.
//!
//! An application sends, and a peer pings and closes. Both implementations take the same steps. The
//! output must be the same frame by frame, after unmasking. Each implementation must understand the
//! other's output.

use super::judges::{FirstClose, MAX_MESSAGE};
use super::judges::{Outcome, Stream, Verdict, context, fork, limits, open, oracle, ours, seen};
use super::kit::*;
use super::{ROLES, seeds, with_seed};
use lariat::protocol::{Limits, Message, Position, Role};
use lariat::{CloseCode, CloseFrame, SendError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::WebSocketContext;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Error, Message as Theirs};

const SEEDS: u64 = 200;

/// A step of a conversation.
#[derive(Clone, Debug)]
enum Step {
    Text(String),
    Binary(Vec<u8>),
    /// A text message in pieces.
    Pieces(Vec<String>),
    Ping(Vec<u8>),
    Close(u16, String),
    /// The peer sends a Ping.
    Pinged(Vec<u8>),
    /// The peer closes.
    Closed(u16, String),
}

fn size(random: &mut StdRng) -> usize {
    match random.random_range(0..100) {
        0..60 => random.random_range(0..20),
        60..80 => random.random_range(120..132),
        80..95 => random.random_range(0..3_000),
        _ => random.random_range(65_530..65_540),
    }
}

fn bytes(random: &mut StdRng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes[..]);
    bytes
}

fn text(random: &mut StdRng, size: usize) -> String {
    ["a", "é", "€", "😀"][random.random_range(0..4)].chars().cycle().take(size / 4).collect()
}

impl Step {
    fn any(random: &mut StdRng) -> Step {
        let (size, small) = (size(random), random.random_range(0..=125));
        match random.random_range(0..12) {
            0..3 => Step::Text(text(random, size)),
            3..6 => Step::Binary(bytes(random, size)),
            6 | 7 => Step::Pieces((0..random.random_range(2..6)).map(|_| text(random, size / 4)).collect()),
            8 => Step::Ping(bytes(random, small)),
            9 | 10 => Step::Pinged(bytes(random, small)),
            _ if random.random_ratio(2, 3) => Step::Pinged(vec![]),
            _ => {
                let code = [1000, 1001, 1003, 1007, 1011, 3000, 4999][random.random_range(0..7)];
                let reason = text(random, small.min(120));
                if random.random() { Step::Close(code, reason) } else { Step::Closed(code, reason) }
            }
        }
    }

    fn closes(&self) -> bool {
        matches!(self, Step::Close(..) | Step::Closed(..))
    }

    /// Returns what the peer reads.
    fn read(&self) -> Option<Seen> {
        match self {
            Step::Text(text) => Some(Seen::text(text)),
            Step::Binary(bytes) => Some(Seen::binary(bytes)),
            Step::Pieces(pieces) => Some(Seen::Text(pieces.concat())),
            Step::Ping(payload) => Some(Seen::ping(payload)),
            Step::Pinged(payload) => Some(Seen::pong(payload)),
            Step::Close(..) | Step::Closed(..) => None,
        }
    }

    /// Returns the bytes of the peer in this step, if there are any.
    fn heard(&self, role: Role, random: &mut StdRng) -> Option<Vec<u8>> {
        match self {
            Step::Pinged(payload) => Some(peer_frame(role, FIN | PING, random.random(), payload)),
            Step::Closed(code, reason) => {
                Some(peer_frame(role, FIN | CLOSE, random.random(), close_body(*code, reason)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Text(text) => write!(f, "{} bytes of text", text.len()),
            Step::Binary(bytes) => write!(f, "{} bytes", bytes.len()),
            Step::Pieces(pieces) => {
                write!(f, "text in pieces of {:?}", pieces.iter().map(String::len).collect::<Vec<_>>())
            }
            other => write!(f, "{other:?}"),
        }
    }
}

fn piece_position(at: usize, count: usize) -> Position {
    match at {
        0 => Position::First,
        at if at + 1 == count => Position::Last,
        _ => Position::Middle,
    }
}

/// Takes a step with our implementation.
fn our_step(talk: &mut Talk, step: &Step, heard: Option<&Vec<u8>>) -> Result<(), SendError> {
    let (connection, shared) = (&mut talk.connection, &mut talk.shared);
    match step {
        Step::Text(text) => connection.send(shared, Message::Text(text)),
        Step::Binary(bytes) => connection.send(shared, Message::Binary(bytes)),
        Step::Pieces(pieces) => pieces.iter().enumerate().try_for_each(|(at, piece)| {
            connection.send_piece(shared, Message::Text(piece), piece_position(at, pieces.len()))
        }),
        Step::Ping(payload) => connection.ping(shared, payload),
        Step::Close(code, reason) => connection.close(shared, talk.now, CloseCode::from(*code), reason),
        Step::Pinged(_) | Step::Closed(..) => {
            talk.receive(heard.expect("the peer sends"));
            Ok(())
        }
    }
}

/// Takes a step with tungstenite. Returns its output.
fn their_step(context: &mut WebSocketContext, step: &Step, heard: Option<&Vec<u8>>) -> (Vec<u8>, Result<(), Error>) {
    let mut stream = Stream::new(heard.map_or(&[], Vec::as_slice), StdRng::seed_from_u64(0));
    let frame = |at: usize, count: usize, piece: &String| {
        let opcode = OpCode::Data(if at == 0 { Data::Text } else { Data::Continue });
        Theirs::Frame(Frame::message(piece.clone().into_bytes(), opcode, at + 1 == count))
    };
    let outcome = match step {
        Step::Text(text) => context.write(&mut stream, Theirs::text(text.as_str())),
        Step::Binary(bytes) => context.write(&mut stream, Theirs::binary(bytes.clone())),
        Step::Pieces(pieces) => {
            let mut frames = pieces.iter().enumerate().map(|(at, piece)| frame(at, pieces.len(), piece));
            frames.try_for_each(|frame| context.write(&mut stream, frame))
        }
        Step::Ping(payload) => context.write(&mut stream, Theirs::Ping(payload.clone().into())),
        Step::Close(code, reason) => {
            let frame = CloseFrame { code: CloseCode::from(*code), reason: reason.as_str().into() };
            context.close(&mut stream, Some(frame.into()))
        }
        Step::Pinged(_) | Step::Closed(..) => loop {
            match context.read(&mut stream).map(seen) {
                Ok(_) => break Ok(()),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break Err(error),
            }
        },
    };
    // As a client it is done when the server's Close has arrived, and reports it.
    let flushed = context.flush(&mut stream);
    assert!(matches!(flushed, Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed)), "{flushed:?}");
    (stream.written, outcome)
}

fn steps(random: &mut StdRng) -> Vec<Step> {
    let mut steps = Vec::new();
    while steps.len() < 12 && !steps.last().is_some_and(Step::closes) {
        steps.push(Step::any(random));
    }
    steps
}

fn room() -> Limits {
    let mut limits = limits();
    limits.max_unsent = 1 << 20;
    limits
}

fn compare(role: Role, steps: &[Step], random: &mut StdRng) {
    let (mut talk, mut context) = (open(role, room()), context(role));
    let (mut our_words, mut their_words, mut keys) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut frames = 0;
    for step in steps {
        let heard = step.heard(role, random);
        assert_eq!(our_step(&mut talk, step, heard.as_ref()), Ok(()), "{step}");
        talk.flush();
        let said = std::mem::take(&mut talk.output);
        let (theirs, outcome) = their_step(&mut context, step, heard.as_ref());
        outcome.expect("it takes every step");
        let ((our_frames, our_keys), (their_frames, _)) = (sent_by(role, &said), sent_by(role, &theirs));
        assert_eq!(our_frames, their_frames, "{step}");
        assert!(!our_frames.is_empty(), "{step}");
        if role == Role::Server {
            assert_eq!(said, theirs, "{step}");
        }
        frames += our_keys.len();
        keys.extend(our_keys);
        our_words.extend(said);
        their_words.extend(theirs);
    }
    // "The masking key needs to be unpredictable" (§5.3): no two of these frames have the same key.
    assert_eq!(keys.len(), frames, "{keys:?}");
    agree(role, steps, &our_words, &their_words, random);
}

/// Lets each implementation read the other's output.
fn agree(role: Role, steps: &[Step], our_words: &[u8], their_words: &[u8], random: &mut StdRng) {
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let expected: Vec<Seen> = steps.iter().filter_map(Step::read).collect();
    let ending = match steps.last() {
        Some(Step::Close(code, reason) | Step::Closed(code, reason)) => Verdict::Closed(Some((*code, reason.clone()))),
        _ => Verdict::HungUp,
    };
    let check = |outcome: Outcome, who: &str| {
        assert_eq!(outcome.seen, expected, "{who}");
        assert_eq!(outcome.verdict, ending, "{who}");
    };
    check(oracle(other, our_words, FirstClose::Theirs, fork(random)), "tungstenite reads us");
    check(ours(other, their_words, limits(), FirstClose::Theirs, || usize::MAX), "we read tungstenite");
}

#[test]
fn the_output_is_the_same_as_with_tungstenite() {
    for (role, seed) in ROLES.into_iter().flat_map(|role| seeds(SEEDS).map(move |seed| (role, seed))) {
        let mut random = StdRng::seed_from_u64(seed);
        let steps = steps(&mut random);
        let shown: Vec<String> = steps.iter().map(|step| format!("  a {role:?}: {step}")).collect();
        with_seed(seed, &shown.join("\n"), || compare(role, &steps, &mut random));
    }
}

/// Lengths around each value at which a header grows.
#[test]
fn the_output_is_the_same_where_a_header_grows() {
    for role in ROLES {
        let sizes = [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537, MAX_MESSAGE];
        let steps: Vec<Step> = sizes.iter().map(|size| Step::Binary(vec![b'x'; *size])).collect();
        compare(role, &steps, &mut StdRng::seed_from_u64(1));
    }
}

/// Neither sends anything after a Close frame.
#[test]
fn nothing_is_sent_after_a_close() {
    let closes = [Step::Close(1000, "bye".into()), Step::Closed(1001, String::new())];
    let after =
        [Step::Text("a".into()), Step::Binary(vec![1]), Step::Ping(vec![]), Step::Pieces(vec![String::new(); 2])];
    for (role, close, step) in ROLES
        .into_iter()
        .flat_map(|role| closes.iter().map(move |close| (role, close)))
        .flat_map(|(role, close)| after.iter().map(move |step| (role, close, step)))
    {
        let (mut talk, mut context) = (open(role, room()), context(role));
        let heard = close.heard(role, &mut StdRng::seed_from_u64(0));
        assert_eq!(our_step(&mut talk, close, heard.as_ref()), Ok(()));
        their_step(&mut context, close, heard.as_ref()).1.expect("the first Close");
        talk.flush();
        talk.output.clear();
        assert_eq!(our_step(&mut talk, step, None), Err(SendError::NotOpen), "{close} {step}");
        talk.flush();
        let (said, outcome) = their_step(&mut context, step, None);
        let is_refused =
            matches!(outcome, Err(Error::Protocol(ProtocolError::SendAfterClosing) | Error::AlreadyClosed));
        assert!(is_refused, "{outcome:?}");
        assert_eq!((talk.output, said), (vec![], vec![]), "{close} {step}");
    }
}

/// tungstenite 0.30 sends what we refuse. It leaves these checks to the application.
#[test]
fn the_known_differences_in_sending_exist() {
    let piece = |text: &str| vec![text.to_owned(), String::new()];
    let table = [
        ("a long ping", Step::Ping(vec![7; 126]), SendError::TooLong, Sent::ping([7; 126])),
        ("a long reason", Step::Close(1000, "r".repeat(124)), SendError::TooLong, Sent::close(1000, &"r".repeat(124))),
        ("1005", Step::Close(1005, "".into()), SendError::InvalidCloseCode, Sent::close(1005, "")),
        ("1006", Step::Close(1006, "".into()), SendError::InvalidCloseCode, Sent::close(1006, "")),
        ("1015", Step::Close(1015, "".into()), SendError::InvalidCloseCode, Sent::close(1015, "")),
        ("999", Step::Close(999, "".into()), SendError::InvalidCloseCode, Sent::close(999, "")),
        ("5000", Step::Close(5000, "".into()), SendError::InvalidCloseCode, Sent::close(5000, "")),
    ];
    for (role, (name, step, error, their_frame)) in
        ROLES.into_iter().flat_map(|role| table.clone().map(|row| (role, row)))
    {
        let (mut talk, mut context) = (open(role, room()), context(role));
        assert_eq!(our_step(&mut talk, &step, None), Err(error), "{name}");
        talk.flush();
        assert_eq!(talk.output, b"", "{name}: nothing changes");
        let (said, outcome) = their_step(&mut context, &step, None);
        outcome.expect("it sends everything");
        assert_eq!(sent_by(role, &said).0, [their_frame], "{name}");
    }
    // A message inside a message.
    for role in ROLES {
        let (mut talk, mut context) = (open(role, room()), context(role));
        let (connection, shared) = (&mut talk.connection, &mut talk.shared);
        assert_eq!(connection.send_piece(shared, Message::Text("a"), Position::First), Ok(()));
        let inside = Step::Text("b".into());
        assert_eq!(our_step(&mut talk, &inside, None), Err(SendError::Unfinished));
        let first = Theirs::Frame(Frame::message(piece("a").concat(), OpCode::Data(Data::Text), false));
        context.write(&mut Stream::new(&[], StdRng::seed_from_u64(0)), first).expect("a fragment");
        let (said, outcome) = their_step(&mut context, &inside, None);
        outcome.expect("it sends everything");
        assert_eq!(sent_by(role, &said).0.last(), Some(&Sent::text("b")));
    }
}
