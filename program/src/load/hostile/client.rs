//! One hostile client: what it does, and what the server does.

use super::bytes::{CLOSE, FIN, KEY, PING, PONG, PROBE, frame, request};
use super::list::{Kind, Outcome, Sends, Then};
use super::stream::{Heard, Stream, Until};
use crate::clock::Clock;
use crate::load::plan::Target;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a server has to react.
const REACTION: Duration = Duration::from_secs(2);

/// How long a server that has answered a ping may still close.
const AFTERTHOUGHT: Duration = Duration::from_millis(250);

/// The most bytes of a response that are looked at.
const MOST_HEAD: usize = 64 << 10;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Attempt {
    Did(Outcome),
    /// The server did not take the good part.
    NotTried(String),
    /// The run has ended.
    Stopped,
}

/// What all attempts have in common.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) clock: Clock,
    pub(super) stopped: &'a AtomicBool,
    /// The most time to connect and to open.
    pub(super) timeout: Duration,
}

impl<'a> Client<'a> {
    fn after(&self, time: Duration) -> Until<'a> {
        Until::after(time.min(self.timeout), self.clock, self.stopped)
    }

    /// Does what its kind does.
    pub(super) fn attempt(&self, kind: &Kind, target: &Target) -> Attempt {
        let attempt = match self.begin(kind, target) {
            Ok(outcome) => Attempt::Did(outcome),
            Err(why) => Attempt::NotTried(why),
        };
        // What has been cut short says nothing of the server.
        if self.after(REACTION).is_stopped() { Attempt::Stopped } else { attempt }
    }

    fn begin(&self, kind: &Kind, target: &Target) -> Result<Outcome, String> {
        let (mut stream, bytes) = match kind.sends {
            Sends::Frames(frames) => (self.open(target)?, frames()),
            Sends::Request(bytes) | Sends::Plain(bytes) => (self.connect(target, true)?, bytes(target)),
            Sends::InsteadOfTls(bytes) => (self.connect(target, false)?, bytes(target)),
        };
        let has_opened = matches!(kind.sends, Sends::Frames(_));
        let until = self.after(REACTION);
        if kind.then == Then::Drip {
            return Ok(drip(&mut stream, &bytes, until));
        }
        let probe = if kind.then == Then::Ping { frame(FIN | PING, PROBE) } else { Vec::new() };
        // In one write: a server that closes has read all of it, and so does not reset.
        stream.send(&[bytes, probe].concat(), until);
        match kind.then {
            Then::End => stream.end(),
            Then::Reset => {
                stream.reset();
                return Ok(self.next(target));
            }
            Then::Ping | Then::Wait | Then::Drip => {}
        }
        let until = self.after(REACTION);
        if !has_opened {
            return Ok(of_response(&mut stream, until));
        }
        match of_frames(&mut stream, until) {
            // Some servers answer a ping before they look at the text that came with it.
            Outcome::Accepted => match of_frames(&mut stream, self.after(AFTERTHOUGHT)) {
                Outcome::Nothing => Ok(Outcome::Accepted),
                later => Ok(later),
            },
            outcome => Ok(outcome),
        }
    }

    fn connect(&self, target: &Target, with_tls: bool) -> Result<Stream, String> {
        let connected = Stream::connect(target, with_tls, self.after(self.timeout));
        connected.map_err(|error| format!("not tried: cannot connect: {error}"))
    }

    /// Connects, and opens as a good client does.
    fn open(&self, target: &Target) -> Result<Stream, String> {
        let mut stream = self.connect(target, true)?;
        let until = self.after(self.timeout);
        stream.send(&request(target, 13, Some(KEY)), until);
        match of_response(&mut stream, until) {
            Outcome::Accepted => Ok(stream),
            refused => Err(format!("not tried: the good request got {refused}")),
        }
    }

    /// Tries whether the server serves a good client.
    fn next(&self, target: &Target) -> Outcome {
        let Ok(mut stream) = self.open(target) else { return Outcome::Dead };
        let until = self.after(REACTION);
        stream.send(&frame(FIN | PING, PROBE), until);
        match of_frames(&mut stream, until) {
            Outcome::Accepted => Outcome::Serves,
            _ => Outcome::Dead,
        }
    }
}

/// Sends one byte after the other, and the last one again and again.
fn drip(stream: &mut Stream, bytes: &[u8], until: Until<'_>) -> Outcome {
    for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
        if until.is_over() {
            break;
        }
        stream.send(&[*byte], until);
        // This waits for a moment.
        match stream.read_once() {
            None => {}
            Some(Heard::Bytes) => return of_response(stream, until),
            Some(heard) => return of_end(heard),
        }
    }
    Outcome::Nothing
}

/// Returns what a connection that says nothing more means.
const fn of_end(heard: Heard) -> Outcome {
    match heard {
        Heard::End => Outcome::Ended,
        Heard::Reset => Outcome::Reset,
        Heard::NoTls => Outcome::Alert,
        Heard::Bytes | Heard::Late => Outcome::Nothing,
    }
}

/// Reads a response, and takes its head off the input.
fn of_response(stream: &mut Stream, until: Until<'_>) -> Outcome {
    loop {
        match response(&stream.input) {
            Response::Incomplete => {}
            Response::Is(outcome, length) => {
                stream.input.drain(..length);
                return outcome;
            }
        }
        match stream.read(until) {
            Heard::Bytes => {}
            heard => return of_end(heard),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Response {
    Incomplete,
    /// With the length of the head.
    Is(Outcome, usize),
}

fn response(input: &[u8]) -> Response {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let known = input.len().min(BEGINNING.len());
    if input[..known] != BEGINNING[..known] {
        // The content type of an alert.
        let outcome = if input[0] == 0x15 { Outcome::Alert } else { Outcome::Garbage };
        return Response::Is(outcome, input.len());
    }
    let end = input.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        let is_long = input.len() > MOST_HEAD;
        return if is_long { Response::Is(Outcome::Garbage, input.len()) } else { Response::Incomplete };
    };
    let status = input.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let outcome = match status {
        Some(101) => Outcome::Accepted,
        Some(status) => Outcome::Status(status),
        None => Outcome::Garbage,
    };
    Response::Is(outcome, end + 4)
}

/// Reads frames until one tells what the server thinks of this client.
fn of_frames(stream: &mut Stream, until: Until<'_>) -> Outcome {
    // Bytes of a message that are still to come.
    let mut skipped = 0_u64;
    loop {
        let here = skipped.min(stream.input.len() as u64);
        stream.input.drain(..here as usize);
        skipped -= here;
        while let (0, Some((told, length))) = (skipped, parse(&stream.input)) {
            let here = length.min(stream.input.len() as u64);
            stream.input.drain(..here as usize);
            if let Some(outcome) = told {
                return outcome;
            }
            skipped = length - here;
        }
        match stream.read(until) {
            Heard::Bytes => {}
            heard => return of_end(heard),
        }
    }
}

/// Parses a frame of a server, of which at least the header is there, or all of a control frame.
/// Returns what it tells, and its length.
fn parse(input: &[u8]) -> Option<(Option<Outcome>, u64)> {
    let [first, second, rest @ ..] = input else { return None };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let (header, length) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let (header, whole) = (header + mask, length.saturating_add(header as u64 + mask as u64));
    if first & 0x08 == 0 || length > 125 {
        return Some((None, whole));
    }
    let payload = input.get(header..header + length as usize)?;
    let told = match first & 0x0f {
        CLOSE => {
            Some(payload.first_chunk().map_or(Outcome::ClosedBare, |code| Outcome::Closed(u16::from_be_bytes(*code))))
        }
        PONG if payload == PROBE => Some(Outcome::Accepted),
        _ => None,
    };
    Some((told, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_told_apart_at_every_cut() {
        let cases: [(&[u8], Outcome); 5] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", Outcome::Status(400)),
            (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", Outcome::Accepted),
            (b"HTTP/1.1 nothing\r\n\r\n", Outcome::Garbage),
            (b"SSH-2.0", Outcome::Garbage),
            (b"\x15\x03\x03\x00\x02\x02\x32", Outcome::Alert),
        ];
        for (bytes, outcome) in cases {
            assert_eq!(response(bytes), Response::Is(outcome, bytes.len()));
            let first = (1..=bytes.len()).find(|cut| response(&bytes[..*cut]) != Response::Incomplete);
            let first = first.expect("it ends");
            assert_eq!(response(&bytes[..first]), Response::Is(outcome, first), "{outcome}");
        }
        assert_eq!(response(b""), Response::Incomplete);
        assert_eq!(response(&[&b"HTTP/1.1 "[..], &[b'x'; MOST_HEAD]].concat()).clone_outcome(), Some(Outcome::Garbage));
    }

    impl Response {
        fn clone_outcome(&self) -> Option<Outcome> {
            if let Response::Is(outcome, _) = self { Some(*outcome) } else { None }
        }
    }

    #[test]
    fn frames_are_parsed_at_every_cut() {
        let pong = [&[0x8a, PROBE.len() as u8][..], PROBE].concat();
        for (bytes, told) in [
            (&[0x88, 2, 0x03, 0xea][..], Some(Outcome::Closed(1002))),
            (&[0x88, 0], Some(Outcome::ClosedBare)),
            (&[0x88, 1, 3], Some(Outcome::ClosedBare)),
            (&[0x8a, 2, b'h', b'i'], None),
            (&[0x89, 1, b'x'], None),
            (&pong, Some(Outcome::Accepted)),
        ] {
            assert!((0..bytes.len()).all(|cut| parse(&bytes[..cut]).is_none()), "{bytes:?}");
            assert_eq!(parse(bytes), Some((told, bytes.len() as u64)));
        }
        assert_eq!(parse(&[0x81, 126, 0x01, 0x00]), Some((None, 260)));
        assert_eq!(parse(&[0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]), Some((None, (1 << 40) + 10)));
        assert_eq!(parse(&[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255]), Some((None, u64::MAX)));
    }
}
