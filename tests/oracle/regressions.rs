//! Bugs that these tests found: one small test for each.

use super::answers::Verdict;
use super::kit::*;
use super::opening::{ask, ours};
use lariat::protocol::{Answer, Request, State, Upgrade};

/// Returns a client's result for a response with these lines. `ACCEPT` stands for the value that
/// matches the key.
fn judged(lines: &[&str]) -> Verdict {
    judged_bytes(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>())
}

fn judged_bytes(lines: &[&[u8]]) -> Verdict {
    let (talk, request) = ask("ws://localhost/", true, 0);
    let accept = format!("Sec-WebSocket-Accept: {}", accept(&request)).into_bytes();
    let line = |line: &&[u8]| [if *line == b"ACCEPT" { &accept } else { *line }, b"\r\n"].concat();
    let bytes = [lines.iter().map(line).collect::<Vec<_>>().concat(), b"\r\n".into()].concat();
    ours(talk, &bytes, || usize::MAX).0
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";

#[test]
fn a_valid_response_opens_the_connection() {
    assert_eq!(judged(&[SWITCHING, UPGRADE, CONNECTION, "ACCEPT"]), Verdict::Open(None));
    let chosen = judged(&[SWITCHING, UPGRADE, CONNECTION, "ACCEPT", "Sec-WebSocket-Protocol: chat \t"]);
    assert_eq!(chosen, Verdict::Open(Some("chat".into())));
}

/// HTTP/1.0 has neither 101 nor `Upgrade`.
#[test]
fn a_response_in_http_1_0_is_refused() {
    assert_eq!(judged(&["HTTP/1.0 101 Switching Protocols", UPGRADE, CONNECTION, "ACCEPT"]), Verdict::Refused);
    assert_eq!(judged(&["HTTP/1.0 404 Not Found"]), Verdict::Status(404));
}

/// tungstenite takes the first response as the final one, so the random answers have no 1xx.
#[test]
fn interim_responses_before_the_final_one_are_skipped() {
    let interim = ["HTTP/1.1 103 Early Hints", "Link: </style.css>", ""];
    let last = [SWITCHING, UPGRADE, CONNECTION, "ACCEPT"];
    for (count, expected) in [(1, Verdict::Open(None)), (4, Verdict::Open(None)), (5, Verdict::Status(103))] {
        let lines: Vec<&str> = [interim.repeat(count), last.to_vec()].concat();
        assert_eq!(judged(&lines), expected, "{count} interim responses");
    }
    let refused = judged(&["HTTP/1.1 100 Continue", "", "HTTP/1.1 404 Not Found"]);
    assert_eq!(refused, Verdict::Status(404));
}

/// The bug: Unicode whitespace around values was ignored, such as no-break spaces, ideographic
/// spaces and line separators.
#[test]
fn unicode_spaces_are_not_whitespace_in_a_response() {
    for space in ["\u{85}", "\u{a0}", "\u{2028}", "\u{3000}"] {
        let upgrade = format!("Upgrade: {space}websocket");
        assert_eq!(judged(&[SWITCHING, &upgrade, CONNECTION, "ACCEPT"]), Verdict::Refused);
        let connection = format!("Connection: keep-alive, Upgrade{space}");
        assert_eq!(judged(&[SWITCHING, UPGRADE, &connection, "ACCEPT"]), Verdict::Refused);
        let chosen = format!("Sec-WebSocket-Protocol: chat{space}");
        assert_eq!(judged(&[SWITCHING, UPGRADE, CONNECTION, "ACCEPT", &chosen]), Verdict::Refused);
    }
}

/// The same bug in a request. For other servers, this request asks for no upgrade.
#[test]
fn unicode_spaces_are_not_whitespace_in_a_request() {
    let text = std::str::from_utf8(REQUEST).expect("the example is text");
    for (plain, spaced) in [("websocket", "websocket\u{a0}"), ("Connection: Upgrade", "Connection: \u{3000}Upgrade")] {
        let request = text.replacen(plain, spaced, 1);
        let is_upgrade = Request::parse(request.as_bytes()).map(|request| request.is_upgrade());
        assert_ne!(is_upgrade, Ok(true), "{request:?}");
    }
    let offer = text.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\u{a0}\r\n\r\n");
    let mut talk = Talk::fresh(lariat::protocol::Shared::with_seed(Default::default(), 0), Default::default());
    talk.decide = |_| Answer::from(Upgrade::new().subprotocol("chat"));
    talk.receive(offer.as_bytes());
    assert_ne!(talk.state(), State::Open, "a subprotocol that was not offered");
}

/// The bug: extensions that are not UTF-8 were ignored.
#[test]
fn extensions_that_are_not_text_are_refused() {
    let lines = [SWITCHING, UPGRADE, CONNECTION, "ACCEPT"].map(str::as_bytes);
    let response = [&lines[..], &[b"Sec-WebSocket-Extensions: \xff"]].concat();
    assert_eq!(judged_bytes(&response), Verdict::Refused);
}
