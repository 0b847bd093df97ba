//! The violations of a peer: their bytes, and the error that each must cause.

use super::{Conversation, Difference, message, pick, size, some_bytes, some_payload, some_text};
use crate::kit::*;
use lariat::protocol::{ProtocolError, Role};
use rand::RngExt;
use rand::rngs::StdRng;

/// A violation by a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A client does not mask, or a server does.
    WrongMask,
    Rsv1,
    Rsv2Or3,
    ReservedOpcode,
    FragmentedControl,
    LongControl,
    LongFormControl,
    Continuation,
    MessageInMessage,
    NotMinimal,
    TopBit,
    CloseOfOneByte,
    CloseCode,
    CloseReason,
    CloseCodeAndReason,
    NotUtf8,
    HalfACharacter,
    TooLarge,
    TooLargeInAll,
    TooManyFragments,
}

impl Violation {
    pub const ALL: [Violation; 20] = [
        Violation::WrongMask,
        Violation::Rsv1,
        Violation::Rsv2Or3,
        Violation::ReservedOpcode,
        Violation::FragmentedControl,
        Violation::LongControl,
        Violation::LongFormControl,
        Violation::Continuation,
        Violation::MessageInMessage,
        Violation::NotMinimal,
        Violation::TopBit,
        Violation::CloseOfOneByte,
        Violation::CloseCode,
        Violation::CloseReason,
        Violation::CloseCodeAndReason,
        Violation::NotUtf8,
        Violation::HalfACharacter,
        Violation::TooLarge,
        Violation::TooLargeInAll,
        Violation::TooManyFragments,
    ];
}

/// A violation: its bytes, the number of bytes after which it is visible, and its error.
pub(super) struct Wrong {
    pub(super) bytes: Vec<u8>,
    pub(super) shows: usize,
    pub(super) error: ProtocolError,
    pub(super) difference: Option<Difference>,
}

impl Wrong {
    /// A violation that is visible at its last byte.
    fn whole(bytes: Vec<u8>, error: ProtocolError) -> Wrong {
        Wrong { shows: bytes.len(), bytes, error, difference: None }
    }

    fn differs(self, difference: Difference) -> Wrong {
        Wrong { difference: Some(difference), ..self }
    }

    fn shows_after(self, shows: usize) -> Wrong {
        Wrong { shows, ..self }
    }
}

impl Conversation {
    pub(super) fn wrong(&mut self, random: &mut StdRng, violation: Violation) -> Wrong {
        let small = random.random_range(0..=125);
        match violation {
            Violation::WrongMask => {
                let first = self.good_first(random);
                let payload = some_text(random, small.min(110));
                match self.role {
                    Role::Server => {
                        let bytes = unmasked_frame(first, payload);
                        Wrong::whole(bytes, ProtocolError::UnmaskedFrame).shows_after(2)
                    }
                    Role::Client => {
                        let bytes = keyed_frame(first, random.random(), payload);
                        Wrong::whole(bytes, ProtocolError::MaskedFrame).shows_after(6)
                    }
                }
            }
            Violation::Rsv1 => {
                let first = self.good_first(random);
                let bytes = self.frame(RSV1 | first, some_text(random, small.min(110)), random);
                Wrong::whole(bytes, ProtocolError::ReservedBits).shows_after(self.header_length(0))
            }
            Violation::Rsv2Or3 => {
                let bits = pick(random, &[RSV2, RSV3, RSV2 | RSV3, RSV1 | RSV2, RSV1 | RSV2 | RSV3]);
                let first = self.good_first(random);
                let bytes = self.frame(bits | first, some_bytes(random, small), random);
                Wrong::whole(bytes, ProtocolError::ReservedBits).shows_after(1)
            }
            Violation::ReservedOpcode => {
                let opcode = pick(random, &[3, 4, 5, 6, 7, 11, 12, 13, 14, 15]);
                let fin = pick(random, &[0, FIN]);
                let bytes = self.frame(fin | opcode, some_bytes(random, small), random);
                Wrong::whole(bytes, ProtocolError::ReservedOpcode(opcode)).shows_after(1)
            }
            Violation::FragmentedControl => {
                let opcode = pick(random, &[CLOSE, PING, PONG]);
                let bytes = self.frame(opcode, some_bytes(random, small), random);
                Wrong::whole(bytes, ProtocolError::FragmentedControl).shows_after(1)
            }
            Violation::LongControl => {
                let opcode = pick(random, &[CLOSE, PING, PONG]);
                let size = random.random_range(126..400);
                let bytes = self.frame(FIN | opcode, some_bytes(random, size), random);
                Wrong::whole(bytes, ProtocolError::ControlTooLong).shows_after(2)
            }
            Violation::LongFormControl => {
                let payload = some_bytes(random, small);
                let bytes = self.in_long_form(random, FIN | PING, &payload);
                self.tolerated = Some(Seen::Ping(payload));
                Wrong::whole(bytes, ProtocolError::ControlTooLong).shows_after(2).differs(Difference::TakesLongLengths)
            }
            Violation::Continuation => {
                self.finish_message(random);
                let fin = pick(random, &[0, FIN]);
                let bytes = self.frame(fin, some_bytes(random, small), random);
                Wrong::whole(bytes, ProtocolError::UnexpectedContinuation).shows_after(self.header_length(0))
            }
            Violation::MessageInMessage => {
                self.begin_message(random);
                let first = pick(random, &[TEXT, BINARY, FIN | TEXT, FIN | BINARY]);
                let bytes = self.frame(first, some_bytes(random, small), random);
                Wrong::whole(bytes, ProtocolError::UnfinishedMessage).shows_after(self.header_length(0))
            }
            Violation::NotMinimal => self.not_minimal(random, small),
            Violation::TopBit => {
                let opcode = self.under_way.as_ref().map_or(BINARY, |_| CONTINUATION);
                let length = 1 << 63 | random.random_range(0..=u64::MAX >> 1);
                let mut bytes = header(FIN | opcode, self.key(random), LengthForm::Bits64, length);
                bytes.extend(some_bytes(random, small));
                let error = ProtocolError::LengthTopBit;
                Wrong::whole(bytes, error).shows_after(10).differs(Difference::TakesTheTopBit)
            }
            Violation::CloseOfOneByte => {
                let bytes = self.frame(FIN | CLOSE, [3], random);
                Wrong::whole(bytes, ProtocolError::CloseBodyOfOneByte)
            }
            Violation::CloseCode => {
                let code = pick(random, &[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]);
                let bytes = self.frame(FIN | CLOSE, close_body(code, some_text(random, small.min(119))), random);
                Wrong::whole(bytes, ProtocolError::InvalidCloseCode(code)).differs(Difference::AnswersForbiddenCodes)
            }
            Violation::CloseReason => {
                let bytes = self.frame(FIN | CLOSE, close_body(1000, b"why\xff"), random);
                Wrong::whole(bytes, ProtocolError::InvalidUtf8)
            }
            Violation::CloseCodeAndReason => {
                let bytes = self.frame(FIN | CLOSE, close_body(1005, b"why\xc0\x80"), random);
                Wrong::whole(bytes, ProtocolError::InvalidCloseCode(1005)).differs(Difference::ReadsTheReasonFirst)
            }
            Violation::NotUtf8 => {
                let opcode = self.text_frame(random);
                let fin = pick(random, &[0, FIN]);
                // The previous frame may have ended inside a character. This frame then completes
                // it.
                let mut payload = self.under_way.as_ref().map_or(vec![], |under_way| under_way.rest.clone());
                let size = size(random).min(3_000);
                payload.extend(some_text(random, size).into_bytes());
                let shows = payload.len() + 1;
                let bad: &[u8] = pick(random, &[&b"\xff"[..], b"\x80\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"]);
                payload.extend_from_slice(bad);
                payload.extend(some_text(random, 30).into_bytes());
                let shows = self.header_length(payload.len()) + shows;
                Wrong::whole(self.frame(fin | opcode, payload, random), ProtocolError::InvalidUtf8).shows_after(shows)
            }
            Violation::HalfACharacter => {
                let opcode = self.text_frame(random);
                let mut payload = self.under_way.as_ref().map_or(vec![], |under_way| under_way.rest.clone());
                payload.extend_from_slice(pick(random, &[&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"\xf4"]));
                Wrong::whole(self.frame(FIN | opcode, payload, random), ProtocolError::InvalidUtf8)
            }
            Violation::TooLarge => {
                let opcode = self.under_way.as_ref().map_or(pick(random, &[TEXT, BINARY]), |_| CONTINUATION);
                let more = pick(random, &[1, 2, 1_000, 1 << 40]);
                let fin = pick(random, &[0, FIN]);
                let length = self.max_message as u64 + more;
                let mut bytes = header(fin | opcode, self.key(random), LengthForm::Minimal, length);
                bytes.extend(some_bytes(random, small));
                Wrong::whole(bytes, ProtocolError::MessageTooLarge { limit: self.max_message })
            }
            Violation::TooLargeInAll => {
                while self.under_way.as_ref().is_none_or(|under_way| under_way.sent.is_empty()) {
                    self.fragment(random);
                }
                let sent = self.under_way.as_ref().map_or(0, |under_way| under_way.sent.len());
                let payload = vec![b'a'; self.max_message - sent + 1];
                let shows = self.header_length(payload.len());
                let error = ProtocolError::MessageTooLarge { limit: self.max_message };
                Wrong::whole(self.frame(FIN, payload, random), error).shows_after(shows)
            }
            Violation::TooManyFragments => {
                self.begin_message(random);
                let under_way = self.under_way.take().expect("a message has begun");
                for _ in under_way.fragments..self.max_fragments {
                    self.say("empty fragment", self.frame(CONTINUATION, b"", random));
                }
                let bytes = self.frame(FIN, &under_way.rest, random);
                self.tolerated = Some(message(under_way.opcode, [under_way.sent, under_way.rest.clone()].concat()));
                let error = ProtocolError::TooManyFragments { limit: self.max_fragments };
                let shows = self.header_length(under_way.rest.len());
                Wrong::whole(bytes, error).shows_after(shows).differs(Difference::CountsNoFragments)
            }
        }
    }

    /// Returns a complete message, or the end of the current one, with a length that is not
    /// minimal.
    fn not_minimal(&mut self, random: &mut StdRng, small: usize) -> Wrong {
        let (first, message, payload) = match self.under_way.take() {
            Some(under_way) if under_way.rest.len() < 126 => {
                let seen = message(under_way.opcode, [under_way.sent, under_way.rest.clone()].concat());
                (FIN, seen, under_way.rest)
            }
            under_way => {
                self.under_way = under_way;
                self.finish_message(random);
                let opcode = pick(random, &[TEXT, BINARY]);
                let payload = some_payload(random, opcode, small.min(110));
                (FIN | opcode, message(opcode, payload.clone()), payload)
            }
        };
        let bytes = self.in_long_form(random, first, &payload);
        self.tolerated = Some(message);
        let shows = if bytes[1] & 0x7f == 126 { 4 } else { 10 };
        let error = ProtocolError::NonMinimalLength;
        Wrong::whole(bytes, error).shows_after(shows).differs(Difference::TakesLongLengths)
    }

    /// Returns a frame of at most 125 bytes whose length is encoded in 16 or 64 bits.
    fn in_long_form(&self, random: &mut StdRng, first: u8, payload: &[u8]) -> Vec<u8> {
        let key = self.key(random);
        let form = pick(random, &[LengthForm::Bits16, LengthForm::Bits64]);
        let mut bytes = header(first, key, form, payload.len() as u64);
        let key = key.unwrap_or_default();
        bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]));
        bytes
    }
}
