//! The kinds of hostile clients, in the order in which they come. Those that may have to wait come
//! last.

use super::bytes::{
    CLOSE, CONTINUATION, FIN, KEY, PING, RSV1, RSV2, TEXT, close, frame, head, long_form, long_header, request,
};
use crate::load::plan::Target;
use std::fmt;

/// A kind of hostile client.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// What it sends, and the section of RFC 6455.
    pub(super) what: &'static str,
    pub(super) sends: Sends,
    pub(super) then: Then,
    /// What a server that keeps to the RFC does, as a sentence.
    pub(super) expected: &'static str,
    /// The same, as what counts as right.
    pub(super) right: &'static [Right],
}

/// What a client sends.
pub(super) enum Sends {
    /// Frames, after a good handshake.
    Frames(fn() -> Vec<u8>),
    /// Instead of a good request.
    Request(fn(&Target) -> Vec<u8>),
    /// To a port without TLS only, instead of a request.
    Plain(fn(&Target) -> Vec<u8>),
    /// To a port with TLS only, instead of TLS.
    InsteadOfTls(fn(&Target) -> Vec<u8>),
}

/// What a client does once it has sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Sends a ping, in the same write, and waits for what the server does.
    Ping,
    Wait,
    /// Ends its side of the connection, and waits.
    End,
    /// Resets the connection, and tries whether the server serves a good client.
    Reset,
    /// Sends one byte after the other, and waits meanwhile.
    Drip,
}

/// What a server did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It sent a Close frame with a code.
    Closed(u16),
    /// It sent a Close frame without a code.
    ClosedBare,
    /// The connection ended without a Close frame.
    Ended,
    Reset,
    Status(u16),
    /// It answered with neither TLS nor HTTP/1.
    Garbage,
    /// It sent an alert of TLS.
    Alert,
    Nothing,
    /// It answered a ping or upgraded, as if all were well.
    Accepted,
    /// After the client has gone, it serves a good one, or does not.
    Serves,
    Dead,
}

/// What counts as right.
#[derive(Clone, Copy)]
pub(super) enum Right {
    Is(Outcome),
    /// A Close frame with any code or none, or an end or a reset without one.
    AnyEnd,
    /// The connection ends without a Close frame, or with a reset.
    Hangup,
    /// A status in this range.
    Status(u16, u16),
}

impl Kind {
    pub(super) fn is_right(&self, outcome: Outcome) -> bool {
        self.right.iter().any(|right| match *right {
            Right::Is(wanted) => wanted == outcome,
            Right::AnyEnd => {
                matches!(outcome, Outcome::Closed(_) | Outcome::ClosedBare | Outcome::Ended | Outcome::Reset)
            }
            Right::Hangup => matches!(outcome, Outcome::Ended | Outcome::Reset | Outcome::Alert),
            Right::Status(first, last) => {
                matches!(outcome, Outcome::Status(status) if (first..=last).contains(&status))
            }
        })
    }

    /// Whether it can be sent to this server.
    pub(super) fn fits(&self, target: &Target) -> bool {
        match self.sends {
            Sends::Frames(_) | Sends::Request(_) => true,
            Sends::Plain(_) => target.tls.is_none(),
            Sends::InsteadOfTls(_) => target.tls.is_some(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Closed(code) => write!(f, "Close with {code}"),
            Outcome::ClosedBare => f.write_str("Close without a code"),
            Outcome::Ended => f.write_str("closed without a Close frame"),
            Outcome::Reset => f.write_str("reset"),
            Outcome::Status(status) => write!(f, "HTTP status {status}"),
            Outcome::Garbage => f.write_str("an answer that is not HTTP/1"),
            Outcome::Alert => f.write_str("TLS alert"),
            Outcome::Nothing => f.write_str("nothing"),
            Outcome::Accepted => f.write_str("accepted it"),
            Outcome::Serves => f.write_str("serves the next client"),
            Outcome::Dead => f.write_str("does not serve the next client"),
        }
    }
}

const WRONG: &[Right] = &[Right::Is(Outcome::Closed(1002))];
const NOT_UTF8: &[Right] = &[Right::Is(Outcome::Closed(1007))];

/// A client that breaks the rules of frames, for which a server closes with 1002.
const fn breach(name: &'static str, what: &'static str, frames: fn() -> Vec<u8>) -> Kind {
    Kind { name, what, sends: Sends::Frames(frames), then: Then::Ping, expected: "Close with 1002", right: WRONG }
}

/// The same with a Close frame, after which nothing more is sent.
const fn bad_close(name: &'static str, what: &'static str, frames: fn() -> Vec<u8>) -> Kind {
    Kind { then: Then::Wait, ..breach(name, what, frames) }
}

const fn bad_text(name: &'static str, what: &'static str, frames: fn() -> Vec<u8>) -> Kind {
    Kind { expected: "Close with 1007", right: NOT_UTF8, ..breach(name, what, frames) }
}

const fn refused(name: &'static str, what: &'static str, request: fn(&Target) -> Vec<u8>) -> Kind {
    Kind {
        name,
        what,
        sends: Sends::Request(request),
        then: Then::Wait,
        expected: "HTTP status 400, or another one from 400 to 499",
        right: &[Right::Status(400, 499)],
    }
}

const GONE: &[Right] = &[Right::Status(400, 499), Right::Hangup];

/// Fragments of a message that never ends.
const FRAGMENTS: usize = 1_000;
const PINGS: usize = 1_000;
const LONG_HEAD: usize = 1 << 20;

/// All kinds.
pub(super) const KINDS: &[Kind] = &[
    breach("unmasked-frame", "a text without a mask (5.1)", || [&[FIN | TEXT, 5], &b"hello"[..]].concat()),
    breach("reserved-opcode", "a frame with opcode 3 (5.2)", || frame(FIN | 3, b"hello")),
    breach("reserved-control", "a frame with opcode 11 (5.2)", || frame(FIN | 11, b"")),
    breach("rsv1", "RSV1 in a message without an extension (5.2)", || frame(FIN | RSV1 | TEXT, b"hello")),
    breach("rsv2", "RSV2, which no extension uses (5.2)", || frame(FIN | RSV2 | TEXT, b"hello")),
    breach("long-control", "a ping of 126 bytes (5.5)", || frame(FIN | PING, &[b'x'; 126])),
    breach("fragmented-control", "a ping without FIN (5.5)", || frame(PING, b"hello")),
    breach("lone-continuation", "a continuation without a message (5.4)", || frame(FIN | CONTINUATION, b"hello")),
    breach("nested-message", "a new text inside a fragmented one (5.4)", || {
        [frame(TEXT, b"hel"), frame(FIN | TEXT, b"lo")].concat()
    }),
    breach("long-length-form", "a length of 5 written in 16 bits (5.2)", long_form),
    bad_text("invalid-utf8", "a text that is not UTF-8 (8.1)", || frame(FIN | TEXT, b"hell\xff")),
    bad_text("cut-utf8", "a text that ends inside a character (8.1)", || frame(FIN | TEXT, b"hello \xe2\x82")),
    bad_close("close-one-byte", "a Close frame of one byte (5.5.1)", || frame(FIN | CLOSE, &[3])),
    bad_close("close-1005", "a Close frame with code 1005 (7.4.1)", || close(1005, b"")),
    bad_close("close-999", "a Close frame with code 999 (7.4.2)", || close(999, b"")),
    bad_close("close-5000", "a Close frame with code 5000 (7.4.2)", || close(5000, b"")),
    Kind {
        then: Then::Wait,
        ..bad_text("close-invalid-utf8", "a Close frame whose reason is not UTF-8 (5.5.1)", || close(1000, b"\xff\xfe"))
    },
    Kind {
        then: Then::Wait,
        expected: "Close with 1002 or 1009",
        right: &[Right::Is(Outcome::Closed(1002)), Right::Is(Outcome::Closed(1009))],
        ..breach("length-2^63", "a frame of 2^63 bytes (5.2)", || long_header(FIN | TEXT, 1 << 63))
    },
    refused("no-key", "a request without Sec-WebSocket-Key (4.2.1)", |target| request(target, 13, None)),
    refused("short-key", "a key of 5 bytes instead of 16 (4.2.1)", |target| request(target, 13, Some("aGVsbG8="))),
    Kind {
        expected: "HTTP status 426 or 400",
        right: &[Right::Status(426, 426), Right::Status(400, 400)],
        ..refused("version-7", "Sec-WebSocket-Version: 7 (4.4)", |target| request(target, 7, Some(KEY)))
    },
    Kind {
        expected: "HTTP status 431, 400 or another one from 400 to 499; or closed",
        right: GONE,
        ..refused("long-head", "a head of 1 MiB (10.4)", |target| {
            let mut head = head(target, 13, Some(KEY));
            while head.len() < LONG_HEAD {
                head.extend_from_slice(b"X-Filler: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
            }
            [&head[..], b"\r\n"].concat()
        })
    },
    Kind {
        name: "tls-hello",
        what: "the beginning of TLS instead of a request (4.2.1)",
        sends: Sends::Plain(|_| tls_hello()),
        then: Then::Wait,
        expected: "HTTP status 400, or another one from 400 to 499; or closed",
        right: GONE,
    },
    Kind {
        name: "http-on-tls",
        what: "a request without TLS to a port with it (RFC 8446, 5.1)",
        sends: Sends::InsteadOfTls(|target| request(target, 13, Some(KEY))),
        then: Then::Wait,
        expected: "TLS alert, HTTP status 400, or closed",
        right: GONE,
    },
    Kind {
        name: "tls-garbage",
        what: "a TLS record of random bytes (RFC 8446, 6.2)",
        sends: Sends::InsteadOfTls(|_| tls_hello()),
        then: Then::Wait,
        expected: "TLS alert, or closed",
        right: &[Right::Hangup],
    },
    Kind {
        expected: "goes on, or closes",
        right: &[Right::Is(Outcome::Accepted), Right::AnyEnd],
        ..breach("endless-fragments", "1,000 fragments of a message that never ends (10.4)", || {
            let rest = std::iter::repeat_with(|| frame(CONTINUATION, b"x")).take(FRAGMENTS - 1);
            std::iter::once(frame(TEXT, b"x")).chain(rest).flatten().collect()
        })
    },
    Kind {
        expected: "goes on, or closes",
        right: &[Right::Is(Outcome::Accepted), Right::AnyEnd],
        ..breach("ping-flood", "1,000 pings of 125 bytes, without reading the answers (5.5.2)", || {
            frame(FIN | PING, &[b'x'; 125]).repeat(PINGS)
        })
    },
    Kind {
        then: Then::End,
        expected: "closed, with a Close frame or without",
        right: &[Right::AnyEnd, Right::Is(Outcome::Alert)],
        ..breach("half-frame-fin", "half a frame, and the end of the connection (7.1.1)", half_frame)
    },
    Kind {
        then: Then::Reset,
        expected: "serves the next client",
        right: &[Right::Is(Outcome::Serves)],
        ..breach("half-frame-rst", "half a frame, and a reset of the connection (7.1.1)", half_frame)
    },
    Kind {
        then: Then::Wait,
        expected: "Close with 1009, or closed, or nothing",
        right: &[Right::Is(Outcome::Closed(1009)), Right::Hangup, Right::Is(Outcome::Nothing)],
        ..breach("length-2^40", "the header of a frame of 2^40 bytes, and nothing more (10.4)", || {
            long_header(FIN | TEXT, 1 << 40)
        })
    },
    Kind {
        then: Then::Drip,
        expected: "HTTP status 408, or closed; nothing within 2 s is right as well",
        right: &[Right::Status(400, 499), Right::Hangup, Right::Is(Outcome::Nothing)],
        ..refused("slow-head", "a head that comes byte by byte and never ends (10.4)", |target| {
            [&head(target, 13, Some(KEY))[..], b"X-Slow: "].concat()
        })
    },
];

fn half_frame() -> Vec<u8> {
    let mut frame = frame(FIN | TEXT, b"hello, hello");
    frame.truncate(9);
    frame
}

/// Returns a record of TLS that says that it is a ClientHello, and is none.
fn tls_hello() -> Vec<u8> {
    [&[0x16, 3, 1, 0, 64, 1, 0, 0, 60], &[0x5a; 60][..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_a_section() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for Kind { name, what, .. } in KINDS {
            assert!(what.contains('(') && what.ends_with(')'), "{name}: {what}");
        }
    }

    #[test]
    fn what_is_accepted_is_right_only_where_the_rfc_allows_it() {
        let allowing = KINDS.iter().filter(|kind| kind.is_right(Outcome::Accepted)).map(|kind| kind.name);
        assert_eq!(allowing.collect::<Vec<_>>(), ["endless-fragments", "ping-flood"]);
        let silent = KINDS.iter().filter(|kind| kind.is_right(Outcome::Nothing)).map(|kind| kind.name);
        assert_eq!(silent.collect::<Vec<_>>(), ["length-2^40", "slow-head"]);
    }

    #[test]
    fn half_a_frame_is_less_than_it_says() {
        assert_eq!((half_frame().len(), half_frame()[1] & 0x7f), (9, 12));
        assert_eq!(tls_hello().len(), 5 + 64);
    }
}
