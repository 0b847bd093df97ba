//! Tests the server against RFC 6455. There is one module per section, and every case runs in every
//! chunking.

#[path = "../kit/mod.rs"]
mod kit;

mod closing;
mod control;
mod fragments;
mod framing;
mod http;
mod limits;
mod opening;
mod text;

use kit::{Decide, Seen, Sent, Talk, sent, upgrade};
use lariat::protocol::time::Tick;
use lariat::protocol::{Limits, ProtocolError, Shared, State};
use lariat::{CloseCode, CloseReason};

/// Inputs of at most this many bytes are also cut in two at every position.
const SHORT: usize = 300;

/// The state in which a case begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Before the opening handshake.
    Fresh,
    /// After it.
    Open,
    /// The server has sent Close 1000 "bye".
    Closing,
}

/// The result of a case.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    sent: Vec<Sent>,
    state: State,
    /// The reason that the application gets if the stream then breaks.
    reason: Option<CloseReason>,
    /// Whether the connection holds nothing.
    is_idle: bool,
}

/// A case: only the client's bytes vary.
#[derive(Clone, Debug)]
struct Case {
    start: Start,
    limits: Limits,
    decide: Decide,
}

impl Case {
    fn new(start: Start) -> Case {
        Case { start, limits: Limits::default(), decide: upgrade }
    }

    /// Receives the client's bytes in one piece, in equal pieces, in two halves cut at every
    /// position, with more bytes after them, and with messages delivered in pieces. The result must
    /// always be the same.
    #[track_caller]
    fn check(&self, bytes: &[u8]) -> Outcome {
        // The connections use the same loop, one after another. Each finds the buffers that the
        // last one left.
        let mut shared = Shared::with_seed(self.limits.clone(), 0);
        let outcome = self.run(&mut shared, [bytes], Flush::AtTheEnd);
        for (size, flush) in [
            (1, Flush::EachTime),
            (2, Flush::AtTheEnd),
            (3, Flush::EachTime),
            (7, Flush::AtTheEnd),
            (64, Flush::EachTime),
            (1_000, Flush::EachTime),
        ] {
            let again = self.run(&mut shared, bytes.chunks(size), flush);
            assert_eq!(again, outcome, "in pieces of {size}: {}", bytes.escape_ascii());
        }
        if bytes.len() <= SHORT {
            for cut in 1..bytes.len() {
                let (head, tail) = bytes.split_at(cut);
                let again = self.run(&mut shared, [head, tail], Flush::EachTime);
                assert_eq!(again, outcome, "cut at {cut}: {}", bytes.escape_ascii());
            }
        }
        for trailing in trailing(&outcome) {
            let all = [bytes, trailing].concat();
            for size in [all.len(), 1, 3] {
                let again =
                    Outcome { is_idle: outcome.is_idle, ..self.run(&mut shared, all.chunks(size), Flush::EachTime) };
                assert_eq!(again, outcome, "with {} trailing: {}", trailing.escape_ascii(), bytes.escape_ascii());
            }
        }
        if !outcome.is_over_a_limit() {
            for size in [bytes.len().max(1), 1, 3] {
                let again = self.run_in_mode(&mut shared, bytes.chunks(size), Flush::EachTime, Messages::InPieces);
                assert_eq!(again, outcome, "delivered in pieces of {size}: {}", bytes.escape_ascii());
            }
        }
        outcome
    }

    fn run<'b>(&self, shared: &mut Shared, pieces: impl IntoIterator<Item = &'b [u8]>, flush: Flush) -> Outcome {
        self.run_in_mode(shared, pieces, flush, Messages::Whole)
    }

    fn run_in_mode<'b>(
        &self,
        shared: &mut Shared,
        pieces: impl IntoIterator<Item = &'b [u8]>,
        flush: Flush,
        messages: Messages,
    ) -> Outcome {
        let taken = std::mem::replace(shared, Shared::with_seed(self.limits.clone(), 0));
        let mut talk = match self.start {
            Start::Fresh => Talk::fresh(taken, Tick::default()),
            Start::Open | Start::Closing => Talk::open(taken, Tick::default()),
        };
        talk.decide = self.decide;
        talk.connection.receive_in_pieces(messages == Messages::InPieces);
        if self.start == Start::Closing {
            talk.close(CloseCode::Normal, "bye");
        }
        for piece in pieces {
            talk.receive(piece);
            if flush == Flush::EachTime {
                talk.flush();
            }
        }
        talk.flush();
        let (seen, sent, state) = (std::mem::take(&mut talk.seen), sent(&talk.output), talk.state());
        let is_idle = talk.connection.memory() == 0;
        *shared = std::mem::replace(&mut talk.shared, Shared::with_seed(self.limits.clone(), 0));
        Outcome { seen, sent, state, reason: talk.end(), is_idle }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    EachTime,
    AtTheEnd,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Messages {
    Whole,
    InPieces,
}

/// Returns bytes that change nothing when they follow.
fn trailing(outcome: &Outcome) -> &'static [&'static [u8]] {
    match outcome.state {
        State::Draining => &[b"\xff", b"\x00\x00\x00", b"\x88\x80\x00\x00\x00\x00\x88\x80", b"GET / HTTP/1.1\r\n\r\n"],
        // The first bytes of another frame.
        State::Open | State::Closing if outcome.is_idle => &[b"\x81", b"\x82\xff\x00\x00\x00"],
        State::Open
        | State::Closing
        | State::Handshaking
        | State::Deciding
        | State::Flushing
        | State::Responding
        | State::Closed => &[],
    }
}

impl Outcome {
    /// Whether a message was too large. In pieces, a message is never too large.
    fn is_over_a_limit(&self) -> bool {
        let Some(CloseReason::Protocol(error)) = self.reason else { return false };
        matches!(error, ProtocolError::MessageTooLarge { .. } | ProtocolError::TooManyFragments { .. })
    }

    /// Checks that the connection stays open and holds nothing.
    #[track_caller]
    fn is_open(&self, seen: &[Seen], sent: &[Sent]) {
        assert_eq!((self.seen.as_slice(), self.sent.as_slice(), self.state), (seen, sent, State::Open));
        assert!(self.is_idle, "the connection must not hold anything");
    }

    /// Checks that the connection stays open and something is incomplete.
    #[track_caller]
    fn waits(&self, seen: &[Seen], sent: &[Sent]) {
        assert_eq!((self.seen.as_slice(), self.sent.as_slice(), self.state), (seen, sent, State::Open));
        assert!(!self.is_idle, "something must be incomplete");
    }

    /// Checks that the connection failed after these events and their Pongs, and that the Close
    /// frame has the right code.
    #[track_caller]
    fn failed(&self, error: ProtocolError, seen: &[Seen]) {
        assert_eq!(self.seen, seen);
        assert_eq!(self.reason, Some(CloseReason::Protocol(error)));
        assert_eq!(self.state, State::Draining);
        let pongs = seen.iter().filter_map(|seen| if let Seen::Ping(payload) = seen { Some(payload) } else { None });
        let mut expected: Vec<Sent> = pongs.map(Sent::pong).collect();
        expected.push(Sent::close(error.close_code().into(), &error.to_string()));
        assert_eq!(self.sent, expected);
        assert!(self.is_idle, "a failed connection must not hold anything");
    }
}

/// Receives a client's bytes on an open connection and returns the result.
#[track_caller]
fn check(bytes: impl AsRef<[u8]>) -> Outcome {
    Case::new(Start::Open).check(bytes.as_ref())
}
