//! Chapter 4, messages.

use lariat::ProtocolError;
use lariat::protocol::Opcode;

/// A frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The type of the frame.
    pub opcode: Opcode,
    /// The payload.
    pub payload: Vec<u8>,
}

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. Cut a text into fragments of `most` bytes, and the last one of what is left.
///
/// A fragment may end inside a character. An empty text is one frame without payload.
pub fn fragments(text: &str, most: usize) -> Vec<Frame> {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Put messages together.
///
/// The messages are binary, so no text needs to be checked. Control frames (see
/// [`Opcode::is_control`]) may come between the fragments. They are valid and have nothing to do
/// with the message.
#[derive(Debug, Default)]
pub struct Assembler {
    // Your fields.
}

impl Assembler {
    /// Accepts the next frame. Returns the message that it completes, if it completes one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::UnexpectedContinuation`] for a continuation without a message, and
    /// [`ProtocolError::UnfinishedMessage`] for a new message before the end of the last one.
    pub fn push(&mut self, frame: &Frame) -> Result<Option<Vec<u8>>, ProtocolError> {
        todo!()
    }
}

// ---- 3 ------------------------------------------------------------------------------------------

/// Exercise 3. Check text that arrives in pieces.
///
/// A piece may end inside a character. Keep no more than the three bytes that may begin one.
/// (`std::str::from_utf8` returns an error that tells both cases apart: see
/// [`Utf8Error::error_len`](std::str::Utf8Error::error_len).)
#[derive(Debug, Default)]
pub struct Checker {
    // Your fields.
}

impl Checker {
    /// Accepts the next piece. Returns false as soon as the text cannot become valid any more,
    /// whatever follows.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        todo!()
    }

    /// Returns whether the text may end here.
    pub fn may_end(&self) -> bool {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch04: fragments, Assembler, Checker);
    use super::Frame;
    use crate::kit::{Seen, Talk};
    use lariat::CloseReason;
    use lariat::protocol::{Header, Limits, Opcode, State};

    /// Returns a frame as a client sends it.
    fn masked(frame: &Frame) -> Vec<u8> {
        let (key, length) = ([1, 2, 3, 4], frame.payload.len() as u64);
        let header = Header { fin: frame.fin, rsv1: false, opcode: frame.opcode, mask: Some(key), length };
        let payload = frame.payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]);
        header.to_bytes().into_iter().chain(payload).collect()
    }

    #[test]
    fn ex1_a_text_is_cut() {
        for text in ["", "a", "Hello, world", "née à Zürich", "日本語のテキスト", "𝄞𝄞𝄞"] {
            for most in 1..=20 {
                let frames = fragments(text, most);
                assert_eq!(frames.len(), text.len().div_ceil(most).max(1), "{text:?}, {most} bytes each");
                assert!(frames.iter().rev().skip(1).all(|frame| frame.payload.len() == most), "{frames:?}");

                let mut server = Talk::with_limits(Limits::default());
                for frame in &frames {
                    assert_eq!((server.state(), &*server.seen), (State::Open, &[][..]), "before {frame:?} of {text:?}");
                    server.receive(&masked(frame));
                }
                assert_eq!(server.seen, [Seen::text(text)], "{frames:?}");
            }
        }
    }

    /// A number that looks random, below `below`.
    fn random(state: &mut u64, below: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    }

    #[test]
    fn ex2_messages_are_put_together_as_the_library_does() {
        let (mut complete, mut errors) = (0, 0);
        for seed in 0..500 {
            let (mut state, mut server, mut assembler) =
                (seed, Talk::with_limits(Limits::default()), Assembler::default());
            let mut is_inside = false;
            for step in 0..20 {
                let opcode = match random(&mut state, 20) {
                    0 => Opcode::Binary,
                    1 => Opcode::Continuation,
                    2..=5 => Opcode::Ping,
                    6 => Opcode::Pong,
                    _ if is_inside => Opcode::Continuation,
                    _ => Opcode::Binary,
                };
                let fin = opcode.is_control() || random(&mut state, 2) == 0;
                is_inside = if opcode.is_control() { is_inside } else { !fin };
                let frame = Frame { fin, opcode, payload: vec![step; random(&mut state, 4) as usize] };

                server.seen.clear();
                server.receive(&masked(&frame));
                let expected = server.seen.iter().find_map(|seen| match seen {
                    Seen::Binary(bytes) => Some(bytes.clone()),
                    _ => None,
                });
                complete += u32::from(expected.is_some());
                let outcome = assembler.push(&frame);
                if server.state() == State::Open {
                    assert_eq!(outcome, Ok(expected), "seed {seed}, {frame:?}");
                } else {
                    let error = outcome.expect_err("the library has found an error");
                    assert_eq!(server.end(), Some(CloseReason::Protocol(error)), "seed {seed}, {frame:?}");
                    errors += 1;
                    break;
                }
            }
        }
        assert!(complete > 500 && errors > 100, "{complete} messages, {errors} errors");
    }

    #[test]
    fn ex3_text_is_checked_as_it_arrives() {
        let samples: [&[u8]; 16] = [
            "né €".as_bytes(),
            "a𝄞b".as_bytes(),
            &[0x6e, 0xc3, 0x28],
            &[0x80],
            &[0xc0, 0x80],
            &[0xc1, 0xbf],
            &[0xe0, 0x80, 0x80],
            &[0xe0, 0xa0, 0x80],
            &[0xed, 0x9f, 0xbf],
            &[0xed, 0xa0, 0x80],
            &[0xf0, 0x8f, 0xbf, 0xbf],
            &[0xf0, 0x90, 0x80, 0x80],
            &[0xf4, 0x8f, 0xbf, 0xbf],
            &[0xf4, 0x90, 0x80, 0x80],
            &[0xf5, 0x80],
            &[0xe2, 0x82, 0xc3, 0xa9],
        ];
        for bytes in samples {
            for piece in 1..=bytes.len() {
                let (mut server, mut checker) = (Talk::with_limits(Limits::default()), Checker::default());
                let mut opcode = Opcode::Text;
                for (at, piece) in bytes.chunks(piece).enumerate() {
                    server.receive(&masked(&Frame { fin: false, opcode, payload: piece.to_vec() }));
                    opcode = Opcode::Continuation;
                    let goes_on = server.state() == State::Open;
                    assert_eq!(checker.push(piece), goes_on, "{bytes:x?}, piece {at} of {} bytes", piece.len());
                    if !goes_on {
                        break;
                    }
                }
                if server.state() == State::Open {
                    let may_end = checker.may_end();
                    server.receive(&masked(&Frame { fin: true, opcode, payload: Vec::new() }));
                    assert_eq!(may_end, server.state() == State::Open, "the end of {bytes:x?}");
                }
            }
        }
    }
}
