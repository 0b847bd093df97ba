//! How a session ended.

use crate::load::Problem;
use crate::terminal::quoted;
use lariat::{CloseCode, CloseFrame, CloseReason};

/// How far a connection had come, and what was known about its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    /// The request has been written.
    pub(super) is_connected: bool,
    pub(super) is_open: bool,
    /// We have sent Close.
    pub(super) is_closing: bool,
    /// A signal has come.
    pub(super) is_stopped: bool,
    /// The code of the server's Close that came after ours.
    pub(super) late_code: Option<u16>,
}

/// Whether a server that closes with this code ends a conversation as it should.
const fn is_normal(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 1005)
}

/// Returns what happened, or why that is a failure.
pub(super) fn judge(reason: &CloseReason, past: Past) -> Result<String, String> {
    if !past.is_open {
        return Err(match past.is_stopped {
            true => "a signal came before the connection was open".to_owned(),
            false => explained(Problem::of_opening(reason, past.is_connected), reason),
        });
    }
    match (reason, past.late_code) {
        // Two Close frames have crossed.
        (CloseReason::Local(frame), Some(code)) if !is_normal(code) && code != frame.code.number() => {
            Err(Problem::Closed(code).explanation())
        }
        (CloseReason::Local(frame), _) => Ok(format!("closed with code {}", with_reason(frame))),
        (CloseReason::Peer(frame), _) => {
            let code = frame.as_ref().map_or(1005, |frame| frame.code.number());
            let sentence = explained(Problem::Closed(code), reason);
            if is_normal(code) { Ok(sentence) } else { Err(sentence) }
        }
        _ if past.is_stopped => Err(Problem::CloseUnanswered.explanation()),
        _ => Err(explained(Problem::of_end(reason, past.is_closing).unwrap_or(Problem::HungUp), reason)),
    }
}

fn with_reason(frame: &CloseFrame) -> String {
    let code = CloseCode::number(frame.code);
    if frame.reason.is_empty() { code.to_string() } else { format!("{code}: {}", quoted(&frame.reason)) }
}

fn explained(problem: Problem, reason: &CloseReason) -> String {
    let sentence = problem.explanation();
    Problem::detail(reason).map_or_else(|| sentence.clone(), |detail| format!("{sentence}: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lariat::Timeout;
    use std::io::ErrorKind;

    const OPEN: Past =
        Past { is_connected: true, is_open: true, is_closing: false, is_stopped: false, late_code: None };
    const CLOSING: Past = Past { is_closing: true, ..OPEN };

    fn frame(code: u16, reason: &str) -> CloseFrame {
        CloseFrame { code: code.into(), reason: reason.into() }
    }

    #[test]
    fn an_end_is_good_only_if_one_side_closed_normally() {
        let peer = |code| CloseReason::Peer(Some(frame(code, "")));
        let local = CloseReason::Local(frame(1000, ""));
        let crossed = |code| Past { late_code: Some(code), ..CLOSING };
        for (reason, past, is_good) in [
            (peer(1000), OPEN, true),
            (peer(1001), OPEN, true),
            (CloseReason::Peer(None), OPEN, true),
            (peer(1011), OPEN, false),
            (peer(4000), CLOSING, false),
            (local.clone(), CLOSING, true),
            (local.clone(), crossed(1000), true),
            (local.clone(), crossed(1005), true),
            (local, crossed(4000), false),
            (CloseReason::Local(frame(4000, "")), crossed(4000), true),
            (CloseReason::Eof, OPEN, false),
            (CloseReason::Eof, CLOSING, false),
            (CloseReason::Timeout(Timeout::Idle), OPEN, false),
            (CloseReason::Timeout(Timeout::Close), CLOSING, false),
            (CloseReason::Io(ErrorKind::ConnectionReset), OPEN, false),
            (CloseReason::Terminated, Past { is_stopped: true, ..OPEN }, false),
        ] {
            assert_eq!(judge(&reason, past).is_ok(), is_good, "{reason:?} {past:?}");
        }
    }

    #[test]
    fn what_the_server_said_is_quoted() {
        let reason = CloseReason::Peer(Some(frame(4000, "over\x1b[2J")));
        let sentence = judge(&reason, OPEN).expect_err("it is not normal");
        assert_eq!(sentence, r#"the server closed with code 4000: "over\u{1b}[2J""#);
    }

    #[test]
    fn a_connection_that_never_opened_is_a_failure() {
        let refused =
            CloseReason::Unreachable { address: ([127, 0, 0, 1], 9).into(), kind: ErrorKind::ConnectionRefused };
        let sentence = judge(&refused, Past::default()).expect_err("it is refused");
        assert_eq!(sentence, "the connection was refused: nobody listens at 127.0.0.1:9");
        let late = CloseReason::Timeout(Timeout::Handshake);
        let stopped = Past { is_stopped: true, ..Past::default() };
        assert!(judge(&late, stopped).expect_err("it is not open").contains("a signal came"));
    }
}
