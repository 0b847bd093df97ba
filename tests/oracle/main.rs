//! Is our judgement that of tungstenite?
//!
//! A seed makes a conversation: messages, fragments, control frames, and most often a violation at its end. The same
//! bytes, cut at random, go through tungstenite's `WebSocketContext` and through our `Connection`. What comes out before
//! the end must be what the generator put in, and the failure must be the same too, by [`code_of`]. Where the two differ
//! they must differ in exactly the way that [`Difference`] says.
//!
//! `LARIAT_SEED=7 cargo test --test oracle -- --nocapture` replays one conversation and prints it.

mod conversation;
#[path = "../kit/mod.rs"]
mod kit;

use conversation::{Conversation, Difference, Ending, Violation};
use kit::{CLOSE, CONTINUATION, FIN, Seen, Sent, Talk, frame, keyed_frame, sent, unmasked_frame};
use lariat::protocol::Limits;
use lariat::{CloseCode, CloseReason};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tungstenite::error::CapacityError;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, error::ProtocolError};

const SEEDS: u64 = 3_000;
const MAX_MESSAGE: usize = 70_000;
const MAX_FRAGMENTS: u32 = 8;

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The stream ended without a Close frame.
    HungUp,
    /// The client's Close came.
    Closed(Option<(u16, String)>),
    /// The connection failed with this code.
    Failed(u16),
}

/// What came out of one side.
#[derive(Debug)]
struct Outcome {
    seen: Vec<Seen>,
    sent: Vec<Sent>,
    verdict: Verdict,
}

/// Which of the two sends the first Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstClose {
    Theirs,
    /// We send 1000 "bye" before anything arrives.
    Ours,
}

/// The close code for an error of tungstenite; `None`: the stream ended or the closing handshake is done, which is no
/// failure.
fn code_of(error: &Error) -> Option<u16> {
    match error {
        Error::ConnectionClosed | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(
            ProtocolError::NonZeroReservedBits
            | ProtocolError::UnmaskedFrameFromClient
            | ProtocolError::FragmentedControlFrame
            | ProtocolError::ControlFrameTooBig
            | ProtocolError::InvalidOpcode(_)
            | ProtocolError::UnexpectedContinueFrame
            | ProtocolError::ExpectedFragment(_)
            | ProtocolError::InvalidCloseSequence,
        ) => Some(1002),
        Error::Utf8(_) => Some(1007),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(1009),
        unforeseen => panic!("tungstenite says {unforeseen:?}"),
    }
}

/// Bytes that arrive in pieces, now and then none, and a place for those that leave.
struct Stream<'b> {
    rest: &'b [u8],
    random: StdRng,
    written: Vec<u8>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.random.random_ratio(1, 8) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = piece(&mut self.random).min(self.rest.len()).min(buffer.len());
        let (head, rest) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(head);
        self.rest = rest;
        Ok(count)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many bytes arrive together.
fn piece(random: &mut StdRng) -> usize {
    let most = [1, 3, 20, 200, 5_000, 100_000][random.random_range(0..6)];
    random.random_range(1..=most)
}

/// The bytes through tungstenite.
fn oracle(bytes: &[u8], first_close: FirstClose, random: StdRng) -> Outcome {
    let config = WebSocketConfig::default()
        .read_buffer_size(4_096)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut stream = Stream { rest: bytes, random, written: vec![] };
    if first_close == FirstClose::Ours {
        let frame = lariat::CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        context.close(&mut stream, Some(frame)).expect("the stream takes every write");
    }
    let (mut seen, mut closed) = (vec![], None);
    let error = loop {
        match context.read(&mut stream) {
            Ok(Message::Text(text)) => seen.push(Seen::text(&text)),
            Ok(Message::Binary(bytes)) => seen.push(Seen::binary(bytes)),
            Ok(Message::Ping(bytes)) => seen.push(Seen::ping(bytes)),
            Ok(Message::Pong(bytes)) => seen.push(Seen::pong(bytes)),
            Ok(Message::Close(frame)) => {
                closed = Some(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
            }
            Ok(Message::Frame(_)) => panic!("read does not give raw frames"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => break error,
        }
    };
    let verdict = match (code_of(&error), closed) {
        (Some(code), _) => Verdict::Failed(code),
        (None, Some(frame)) => Verdict::Closed(frame),
        (None, None) => Verdict::HungUp,
    };
    Outcome { seen, sent: sent(&stream.written), verdict }
}

/// The bytes through our `Connection`.
fn ours(bytes: &[u8], limits: Limits, first_close: FirstClose, mut pieces: impl FnMut() -> usize) -> Outcome {
    let mut talk = Talk::with_limits(limits);
    if first_close == FirstClose::Ours {
        talk.close(CloseCode::Normal, "bye");
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = pieces();
        let (head, tail) = rest.split_at(count.min(rest.len()));
        talk.receive(head);
        if count % 2 == 0 {
            talk.flush();
        }
        rest = tail;
    }
    talk.flush();
    talk.eof();
    let (seen, sent) = (std::mem::take(&mut talk.seen), sent(&talk.output));
    let verdict = match talk.end() {
        Some(CloseReason::Peer(frame)) => {
            Verdict::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string())))
        }
        // It was ours that counted; what the client's said is not kept.
        Some(CloseReason::Local(_)) => Verdict::Closed(None),
        Some(CloseReason::Eof) => Verdict::HungUp,
        Some(CloseReason::Protocol(error)) => Verdict::Failed(error.close_code().into()),
        reason => panic!("{reason:?}"),
    };
    Outcome { seen, sent, verdict }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_message = MAX_MESSAGE;
    limits.max_fragments = MAX_FRAGMENTS;
    limits
}

/// Whether this is about the connection more than about a message.
fn is_control(seen: &&Seen) -> bool {
    matches!(seen, Seen::Ping(_) | Seen::Pong(_))
}

/// The pongs for these events.
fn pongs(seen: &[Seen]) -> Vec<Sent> {
    let payload = |seen: &Seen| if let Seen::Ping(payload) = seen { Some(Sent::pong(payload)) } else { None };
    seen.iter().filter_map(payload).collect()
}

/// Both sides' judgement of one conversation.
fn compare(conversation: &Conversation, random: &mut StdRng) {
    let bytes = conversation.bytes();
    let expected = &conversation.seen;
    let theirs = oracle(&bytes, FirstClose::Theirs, StdRng::seed_from_u64(random.random()));
    for whole in [false, true] {
        let ours = ours(&bytes, limits(), FirstClose::Theirs, || if whole { usize::MAX } else { piece(random) });
        assert_eq!(ours.seen, *expected, "what we saw");
        let mut sent = pongs(expected);
        match &conversation.ending {
            Ending::HangsUp => assert_eq!(ours.verdict, Verdict::HungUp),
            Ending::Closes(frame) => {
                assert_eq!(ours.verdict, Verdict::Closed(frame.clone()));
                let body = frame.as_ref().map_or(vec![], |(code, reason)| kit::close_body(*code, reason));
                sent.push(Sent::Frame(FIN | CLOSE, body));
            }
            Ending::Violates(_, error) => {
                assert_eq!(ours.verdict, Verdict::Failed(error.close_code().into()));
                sent.push(Sent::close(error.close_code().into(), &error.to_string()));
            }
        }
        assert_eq!(ours.sent, sent, "what we sent");
    }

    let mut seen = expected.clone();
    let mut sent = pongs(expected);
    let verdict = match (&conversation.ending, conversation.difference) {
        (Ending::HangsUp, None) => Verdict::HungUp,
        (Ending::Closes(frame), None) => {
            let body = frame.as_ref().map_or(vec![], |(code, reason)| kit::close_body(*code, reason));
            sent.push(Sent::Frame(FIN | CLOSE, body));
            Verdict::Closed(frame.clone())
        }
        // It sends no Close frame.
        (Ending::Violates(_, error), None) => Verdict::Failed(error.close_code().into()),
        (Ending::Violates(_, _), Some(Difference::LooksAtWholeFrames)) => Verdict::HungUp,
        (Ending::Violates(_, _), Some(Difference::TakesLongLengths | Difference::CountsNoFragments)) => {
            seen.extend(conversation.tolerated.clone());
            sent = pongs(&seen);
            Verdict::HungUp
        }
        (Ending::Violates(_, _), Some(Difference::TakesTheTopBit)) => Verdict::Failed(1009),
        (Ending::Violates(_, _), Some(Difference::ReadsTheReasonFirst)) => Verdict::Failed(1007),
        (Ending::Violates(_, _) | Ending::Closes(_), Some(Difference::AnswersForbiddenCodes)) => {
            sent.push(Sent::close(1002, "Protocol violation"));
            Verdict::Closed(Some((1002, "Protocol violation".into())))
        }
        (ending, difference) => panic!("{ending:?} cannot differ by {difference:?}"),
    };
    assert_eq!(theirs.seen, seen, "what tungstenite saw");
    assert_eq!(theirs.verdict, verdict, "what tungstenite says");
    assert_eq!(theirs.sent, sent, "what tungstenite sent");
}

/// Both sides' judgement when we have sent Close already. It differs in three ways: tungstenite still delivers messages,
/// no longer answers pings, and takes any code in the client's Close.
fn compare_after_our_close(conversation: &Conversation, random: &mut StdRng) {
    let bytes = conversation.bytes();
    let theirs = oracle(&bytes, FirstClose::Ours, StdRng::seed_from_u64(random.random()));
    let ours = ours(&bytes, limits(), FirstClose::Ours, || piece(random));
    assert_eq!(ours.seen.iter().collect::<Vec<_>>(), conversation.seen.iter().filter(is_control).collect::<Vec<_>>());
    let mut sent = vec![Sent::close(1000, "bye")];
    assert_eq!(theirs.sent, sent, "what tungstenite sent");
    sent.extend(pongs(&conversation.seen));
    assert_eq!(ours.sent, sent, "a second Close must not be sent");

    let mut seen = conversation.seen.clone();
    let (our_verdict, their_verdict) = match (&conversation.ending, conversation.difference) {
        (Ending::HangsUp, _) => (Verdict::HungUp, Verdict::HungUp),
        (Ending::Closes(frame), _) => (Verdict::Closed(None), Verdict::Closed(frame.clone())),
        (Ending::Violates(_, error), difference) => {
            let ours = Verdict::Failed(error.close_code().into());
            let theirs = match difference {
                None => ours.clone(),
                Some(Difference::LooksAtWholeFrames) => Verdict::HungUp,
                Some(Difference::TakesLongLengths | Difference::CountsNoFragments) => {
                    seen.extend(conversation.tolerated.clone());
                    Verdict::HungUp
                }
                Some(Difference::TakesTheTopBit) => Verdict::Failed(1009),
                Some(Difference::ReadsTheReasonFirst) => Verdict::Failed(1007),
                Some(Difference::AnswersForbiddenCodes) => {
                    assert!(matches!(theirs.verdict, Verdict::Closed(Some(_))), "{:?}", theirs.verdict);
                    theirs.verdict.clone()
                }
            };
            (ours, theirs)
        }
    };
    assert_eq!(ours.verdict, our_verdict);
    assert_eq!(theirs.verdict, their_verdict, "what tungstenite says");
    assert_eq!(theirs.seen, seen, "what tungstenite saw");
}

/// The seeds to run: one, if the environment names it.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("LARIAT_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("LARIAT_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    }
}

/// Runs a test with a seed, and prints what replays it if it fails.
fn with_seed(seed: u64, conversation: &dyn std::fmt::Display, test: impl FnOnce()) {
    if seeds().end - seeds().start == 1 {
        println!("{conversation}");
    }
    if let Err(panic) = catch_unwind(AssertUnwindSafe(test)) {
        eprintln!("LARIAT_SEED={seed} replays this conversation:\n{conversation}");
        resume_unwind(panic);
    }
}

#[test]
fn conversations_are_judged_as_tungstenite_judges_them() {
    let mut endings: BTreeMap<String, u32> = BTreeMap::new();
    for seed in seeds() {
        let mut random = StdRng::seed_from_u64(seed);
        let conversation = Conversation::new(&mut random, MAX_MESSAGE, MAX_FRAGMENTS);
        with_seed(seed, &conversation, || compare(&conversation, &mut random));
        let ending = match &conversation.ending {
            Ending::Violates(violation, _) => format!("{violation:?}"),
            Ending::HangsUp => "HangsUp".into(),
            Ending::Closes(_) => "Closes".into(),
        };
        *endings.entry(ending).or_default() += 1;
        if let Some(difference) = conversation.difference {
            *endings.entry(format!("{difference:?}")).or_default() += 1;
        }
    }
    if seeds() == (0..SEEDS) {
        let kinds = ["HangsUp".to_owned(), "Closes".to_owned()].into_iter();
        let kinds = kinds.chain(Violation::ALL.iter().map(|violation| format!("{violation:?}")));
        for kind in kinds.chain(Difference::ALL.iter().map(|difference| format!("{difference:?}"))) {
            let count = endings.get(&kind).copied().unwrap_or_default();
            assert!(count >= 20, "{kind} came {count} times only: {endings:#?}");
        }
    }
}

#[test]
fn after_our_close_too() {
    for seed in seeds().take(SEEDS as usize / 3) {
        let mut random = StdRng::seed_from_u64(seed);
        let conversation = Conversation::new(&mut random, MAX_MESSAGE, MAX_FRAGMENTS);
        with_seed(seed, &conversation, || compare_after_our_close(&conversation, &mut random));
    }
}

/// Frames with any first byte.
fn any_frames(random: &mut StdRng) -> Vec<Vec<u8>> {
    let good = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a];
    let count = random.random_range(1..20);
    let frames = (0..count).map(|_| {
        let any = random.random_ratio(1, 8);
        let first = if any { random.random() } else { good[random.random_range(0..good.len())] };
        let length = random.random_range(0..=10);
        let payload: Vec<u8> = if first & 0x0f == CLOSE {
            let code = [999, 1000, 1001, 1004, 1005, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000];
            kit::close_body(code[random.random_range(0..code.len())], "é".repeat(length))
        } else if random.random_ratio(1, 8) {
            (0..length).map(|_| random.random()).collect()
        } else {
            "é€😀a".repeat(3).as_bytes()[..length].to_vec()
        };
        match random.random_ratio(1, 30) {
            true => unmasked_frame(first, payload),
            false => keyed_frame(first, random.random(), payload),
        }
    });
    frames.collect()
}

#[test]
fn frames_with_any_first_byte_are_judged_as_tungstenite_judges_them() {
    for seed in seeds() {
        let mut random = StdRng::seed_from_u64(seed);
        let bytes = any_frames(&mut random).concat();
        with_seed(seed, &bytes.escape_ascii(), || {
            let theirs = oracle(&bytes, FirstClose::Theirs, StdRng::seed_from_u64(seed));
            let ours = ours(&bytes, Limits::default(), FirstClose::Theirs, || piece(&mut random));
            assert_eq!(ours.seen, theirs.seen);
            match (&theirs.verdict, &ours.verdict) {
                // The difference `AnswersForbiddenCodes`: 1014 is not forbidden any more, the others are.
                (Verdict::Closed(Some((1002, text))), verdict) if text == "Protocol violation" => {
                    let is_1014 = matches!(verdict, Verdict::Closed(Some((1014, _))));
                    assert!(is_1014 || *verdict == Verdict::Failed(1002), "{verdict:?}");
                }
                (theirs, ours) => assert_eq!(ours, theirs),
            }
        });
    }
}

/// Each difference by itself, in bytes that anyone can check by hand.
#[test]
fn the_known_differences_are_these() {
    let text = |first: u8, payload: &[u8]| frame(first, payload);
    let table: [(&str, Vec<u8>, Verdict, Verdict); 8] = [
        ("a length that is not minimal", b"\x81\xfe\x00\x01\0\0\0\0a".into(), Verdict::Failed(1002), Verdict::HungUp),
        ("the top bit", b"\x82\xff\x80\0\0\0\0\0\0\x01\0\0\0\0a".into(), Verdict::Failed(1002), Verdict::Failed(1009)),
        (
            "UTF-8 in a frame that is not whole",
            text(0x81, b"\xff...")[..7].into(),
            Verdict::Failed(1007),
            Verdict::HungUp,
        ),
        ("a header without its payload", b"\x80\x81\0\0\0\0".into(), Verdict::Failed(1002), Verdict::HungUp),
        (
            "a ninth fragment",
            [frame(1, "a"), frame(CONTINUATION, "").repeat(7), frame(FIN, "b")].concat(),
            Verdict::Failed(1008),
            Verdict::HungUp,
        ),
        (
            "a forbidden code",
            kit::close(1005, ""),
            Verdict::Failed(1002),
            Verdict::Closed(Some((1002, "Protocol violation".into()))),
        ),
        (
            "1014, which IANA has registered",
            kit::close(1014, "why"),
            Verdict::Closed(Some((1014, "why".into()))),
            Verdict::Closed(Some((1002, "Protocol violation".into()))),
        ),
        ("a forbidden code and a reason", kit::close(1005, b"\xff"), Verdict::Failed(1002), Verdict::Failed(1007)),
    ];
    for (name, bytes, our_verdict, their_verdict) in table {
        let theirs = oracle(&bytes, FirstClose::Theirs, StdRng::seed_from_u64(0));
        let ours = ours(&bytes, limits(), FirstClose::Theirs, || 1);
        assert_eq!((ours.verdict, theirs.verdict), (our_verdict, their_verdict), "{name}");
    }
}
