//! Compares what both implementations receive.

use super::conversation::{Conversation, Difference, Ending, Violation};
use super::judges::{FirstClose, MAX_FRAGMENTS, MAX_MESSAGE, Verdict, fork, limits, oracle, ours, piece};
use super::kit::{self, *};
use super::{ROLES, replayed, seeds, with_seed};
use lariat::protocol::{Limits, Role};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

/// The number of conversations for each role.
const SEEDS: u64 = 1_000;

/// Whether this event concerns the connection and not a message.
fn is_control(seen: &&Seen) -> bool {
    matches!(seen, Seen::Ping(_) | Seen::Pong(_))
}

/// Returns the Pongs for these events.
fn pongs(seen: &[Seen]) -> Vec<Sent> {
    let payload = |seen: &Seen| if let Seen::Ping(payload) = seen { Some(Sent::pong(payload)) } else { None };
    seen.iter().filter_map(payload).collect()
}

/// Compares the results of one conversation.
fn compare(conversation: &Conversation, random: &mut StdRng) {
    let (role, bytes) = (conversation.role, conversation.bytes());
    let expected = &conversation.seen;
    let theirs = oracle(role, &bytes, FirstClose::Theirs, fork(random));
    for whole in [false, true] {
        let ours = ours(role, &bytes, limits(), FirstClose::Theirs, || if whole { usize::MAX } else { piece(random) });
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
        (Ending::Closes(frame), None | Some(Difference::ReadsBehindTheClose)) => {
            let body = frame.as_ref().map_or(vec![], |(code, reason)| kit::close_body(*code, reason));
            sent.push(Sent::Frame(FIN | CLOSE, body));
            Verdict::Closed(frame.clone())
        }
        // tungstenite sends no Close frame.
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
    assert_eq!(theirs.behind_the_close, behind_the_close(conversation));
}

/// Returns tungstenite's error for the bytes after the Close.
fn behind_the_close(conversation: &Conversation) -> Option<u16> {
    (conversation.difference == Some(Difference::ReadsBehindTheClose)).then_some(1002)
}

/// Compares the results after we have sent a Close. There are three differences: tungstenite still
/// delivers messages, no longer answers Pings, and accepts any code in the peer's Close.
fn compare_after_our_close(conversation: &Conversation, random: &mut StdRng) {
    let (role, bytes) = (conversation.role, conversation.bytes());
    let theirs = oracle(role, &bytes, FirstClose::Ours, fork(random));
    let ours = ours(role, &bytes, limits(), FirstClose::Ours, || piece(random));
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
                Some(Difference::ReadsBehindTheClose) => panic!("nothing was closed"),
            };
            (ours, theirs)
        }
    };
    assert_eq!(ours.verdict, our_verdict);
    assert_eq!(theirs.verdict, their_verdict, "what tungstenite says");
    assert_eq!(theirs.seen, seen, "what tungstenite saw");
    assert_eq!(theirs.behind_the_close, behind_the_close(conversation));
}

#[test]
fn conversations_have_the_same_result_as_with_tungstenite() {
    for role in ROLES {
        let mut count: BTreeMap<String, u32> = BTreeMap::new();
        for seed in seeds(SEEDS) {
            let mut random = StdRng::seed_from_u64(seed);
            let conversation = Conversation::new(role, &mut random, MAX_MESSAGE, MAX_FRAGMENTS);
            with_seed(seed, &conversation, || compare(&conversation, &mut random));
            *count.entry(ending(&conversation.ending)).or_default() += 1;
            if let Some(difference) = conversation.difference {
                *count.entry(format!("{difference:?}")).or_default() += 1;
            }
        }
        if replayed().is_none() {
            let kinds = ["HangsUp".to_owned(), "Closes".to_owned()].into_iter();
            let kinds = kinds.chain(Violation::ALL.iter().map(|violation| format!("{violation:?}")));
            for kind in kinds.chain(Difference::all(role).iter().map(|difference| format!("{difference:?}"))) {
                let times = count.get(&kind).copied().unwrap_or_default();
                assert!(times >= 10, "{kind} was sent only {times} times to a {role:?}: {count:#?}");
            }
        }
    }
}

fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Violates(violation, _) => format!("{violation:?}"),
        Ending::HangsUp => "HangsUp".into(),
        Ending::Closes(_) => "Closes".into(),
    }
}

#[test]
fn conversations_after_our_close_have_the_same_result_as_with_tungstenite() {
    for role in ROLES {
        for seed in seeds(SEEDS / 3) {
            let mut random = StdRng::seed_from_u64(seed);
            let conversation = Conversation::new(role, &mut random, MAX_MESSAGE, MAX_FRAGMENTS);
            with_seed(seed, &conversation, || compare_after_our_close(&conversation, &mut random));
        }
    }
}

/// Returns frames with any first byte.
fn any_frames(role: Role, random: &mut StdRng) -> Vec<Vec<u8>> {
    let good = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a];
    let other = if role == Role::Server { Role::Client } else { Role::Server };
    let count = random.random_range(1..20);
    let frames = (0..count).map(|_| {
        let any = random.random_ratio(1, 8);
        let first = if any { random.random() } else { good[random.random_range(0..good.len())] };
        let length = random.random_range(0..=10);
        let payload: Vec<u8> = if first & 0x0f == CLOSE {
            let code = [999, 1000, 1001, 1004, 1005, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000];
            close_body(code[random.random_range(0..code.len())], "é".repeat(length))
        } else if random.random_ratio(1, 8) {
            (0..length).map(|_| random.random()).collect()
        } else {
            "é€😀a".repeat(3).as_bytes()[..length].to_vec()
        };
        let masked_for = if random.random_ratio(1, 30) { other } else { role };
        peer_frame(masked_for, first, random.random(), payload)
    });
    frames.collect()
}

#[test]
fn frames_with_any_first_byte_have_the_same_result_as_with_tungstenite() {
    for (role, seed) in ROLES.into_iter().flat_map(|role| seeds(SEEDS).map(move |seed| (role, seed))) {
        let mut random = StdRng::seed_from_u64(seed);
        let frames = any_frames(role, &mut random);
        let bytes = frames.concat();
        with_seed(seed, &format!("  to a {role:?}: {}", bytes.escape_ascii()), || {
            let theirs = oracle(role, &bytes, FirstClose::Theirs, fork(&mut random));
            let ours = ours(role, &bytes, Limits::default(), FirstClose::Theirs, || piece(&mut random));
            assert_eq!(ours.seen, theirs.seen);
            match (&theirs.verdict, &ours.verdict) {
                // The difference `AnswersForbiddenCodes`: 1014 is valid now, the others are
                // forbidden.
                (Verdict::Closed(Some((1002, text))), verdict) if text == "Protocol violation" => {
                    let is_1014 = matches!(verdict, Verdict::Closed(Some((1014, _))));
                    assert!(is_1014 || *verdict == Verdict::Failed(1002), "{verdict:?}");
                }
                (theirs, ours) => assert_eq!(ours, theirs),
            }
            let close = frames.iter().position(|frame| frame[0] & 0x0f == CLOSE);
            let is_last = close.is_none_or(|close| close == frames.len() - 1);
            let reads_on = role == Role::Client && matches!(theirs.verdict, Verdict::Closed(_)) && !is_last;
            assert_eq!(theirs.behind_the_close, reads_on.then_some(1002), "the difference `ReadsBehindTheClose`");
        });
    }
}

/// Each difference alone, in bytes that a reader can check by hand.
#[test]
fn the_known_differences_in_receiving_exist() {
    for role in ROLES {
        let key = (role == Role::Server).then_some(KEY);
        let frame = |first: u8, payload: &[u8]| peer_frame(role, first, KEY, payload);
        let mask = if role == Role::Server { 4 } else { 0 };
        let violation = || Verdict::Closed(Some((1002, "Protocol violation".into())));
        let table: [(&str, Vec<u8>, Verdict, Verdict); 8] = [
            (
                "a length that is not minimal",
                header(0x81, key, LengthForm::Bits16, 1),
                Verdict::Failed(1002),
                Verdict::HungUp,
            ),
            (
                "the top bit",
                header(0x82, key, LengthForm::Bits64, 1 << 63),
                Verdict::Failed(1002),
                Verdict::Failed(1009),
            ),
            (
                "UTF-8 in an incomplete frame",
                frame(0x81, b"\xff...")[..3 + mask].into(),
                Verdict::Failed(1007),
                Verdict::HungUp,
            ),
            (
                "a header without its payload",
                frame(FIN, b"a")[..2 + mask].into(),
                Verdict::Failed(1002),
                Verdict::HungUp,
            ),
            (
                "a ninth fragment",
                [frame(TEXT, b"a"), frame(CONTINUATION, b"").repeat(7), frame(FIN, b"b")].concat(),
                Verdict::Failed(1008),
                Verdict::HungUp,
            ),
            ("a forbidden code", frame(0x88, &close_body(1005, "")), Verdict::Failed(1002), violation()),
            (
                "1014, which IANA has registered",
                frame(0x88, &close_body(1014, "why")),
                Verdict::Closed(Some((1014, "why".into()))),
                violation(),
            ),
            (
                "a forbidden code and a reason",
                frame(0x88, &close_body(1005, b"\xff")),
                Verdict::Failed(1002),
                Verdict::Failed(1007),
            ),
        ];
        for (name, bytes, our_verdict, their_verdict) in table {
            let theirs = oracle(role, &bytes, FirstClose::Theirs, StdRng::seed_from_u64(0));
            let ours = ours(role, &bytes, limits(), FirstClose::Theirs, || 1);
            assert_eq!((ours.verdict, theirs.verdict), (our_verdict, their_verdict), "{name}, to a {role:?}");
        }
        let bytes = [frame(0x88, b""), frame(0x81, b"more")].concat();
        let theirs = oracle(role, &bytes, FirstClose::Theirs, StdRng::seed_from_u64(0));
        assert_eq!(theirs.verdict, Verdict::Closed(None));
        assert_eq!(theirs.behind_the_close, (role == Role::Client).then_some(1002), "a frame after the Close");
    }
}
