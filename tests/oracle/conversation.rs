//! Conversations from a seed: the bytes that a peer sends to a server or a client, and the expected
//! result.

use crate::kit::*;
use lariat::protocol::{ProtocolError, Role};
use rand::RngExt;
use rand::rngs::StdRng;
use std::fmt;

/// The known differences of tungstenite 0.30.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It accepts lengths that are not minimal (§5.2).
    TakesLongLengths,
    /// It accepts a 64-bit length with its top bit set as a length, which is then too large.
    TakesTheTopBit,
    /// It checks a frame, and its UTF-8, when the last byte has arrived. We fail at the first byte
    /// that shows the error.
    LooksAtWholeFrames,
    /// It does not limit the number of fragments.
    CountsNoFragments,
    /// It reports a Close with a forbidden code to the application as 1002 and answers with 1002,
    /// as if the peer had sent 1002. It also forbids 1014.
    AnswersForbiddenCodes,
    /// If a Close has a forbidden code and a reason that is not UTF-8, it reports the reason.
    ReadsTheReasonFirst,
    /// As a client it treats a frame after the server's Close as a violation. We ignore the frame.
    ReadsBehindTheClose,
}

impl Difference {
    /// Returns the differences that are visible if both sides have this role.
    pub fn all(role: Role) -> &'static [Difference] {
        const ALL: [Difference; 7] = [
            Difference::TakesLongLengths,
            Difference::TakesTheTopBit,
            Difference::LooksAtWholeFrames,
            Difference::CountsNoFragments,
            Difference::AnswersForbiddenCodes,
            Difference::ReadsTheReasonFirst,
            Difference::ReadsBehindTheClose,
        ];
        match role {
            Role::Server => &ALL[..6],
            Role::Client => &ALL,
        }
    }
}

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

/// The end of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    HangsUp,
    Closes(Option<(u16, String)>),
    Violates(Violation, ProtocolError),
}

/// A message with more fragments to come.
#[derive(Clone, Debug)]
struct UnderWay {
    opcode: u8,
    /// The payload of the fragments so far, and of the remaining ones.
    sent: Vec<u8>,
    rest: Vec<u8>,
    /// The number of fragments so far, and of the remaining ones.
    fragments: u32,
    left: u32,
}

/// The bytes of a peer and their expected result.
pub struct Conversation {
    /// The role of the receivers.
    pub role: Role,
    /// The name and the bytes of each step.
    steps: Vec<(String, Vec<u8>)>,
    under_way: Option<UnderWay>,
    max_message: usize,
    max_fragments: u32,
    /// The events before the end.
    pub seen: Vec<Seen>,
    pub ending: Ending,
    pub difference: Option<Difference>,
    /// The event that tungstenite delivers in addition, if it accepts the violation.
    pub tolerated: Option<Seen>,
}

/// A violation: its bytes, the number of bytes after which it is visible, and its error.
struct Wrong {
    bytes: Vec<u8>,
    shows: usize,
    error: ProtocolError,
    difference: Option<Difference>,
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

fn pick<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}

fn size(random: &mut StdRng) -> usize {
    match random.random_range(0..100) {
        0..70 => random.random_range(0..20),
        70..90 => random.random_range(120..132),
        90..98 => random.random_range(0..3_000),
        _ => random.random_range(65_530..65_540),
    }
}

/// Returns text of about this many bytes.
fn some_text(random: &mut StdRng, size: usize) -> String {
    let alphabet = ['a', 'Z', ' ', '\0', 'é', 'κ', '€', '\u{ffff}', '😀', '\u{10ffff}'];
    let ascii = random.random_ratio(1, 2);
    let mut text = String::with_capacity(size + 4);
    while text.len() < size {
        text.push(pick(random, if ascii { &alphabet[..3] } else { &alphabet }));
    }
    text
}

fn some_bytes(random: &mut StdRng, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes[..]);
    bytes
}

fn some_payload(random: &mut StdRng, opcode: u8, size: usize) -> Vec<u8> {
    if opcode == TEXT { some_text(random, size).into_bytes() } else { some_bytes(random, size) }
}

fn message(opcode: u8, payload: Vec<u8>) -> Seen {
    match opcode {
        TEXT => Seen::Text(String::from_utf8(payload).expect("the generator's text is valid")),
        _ => Seen::Binary(payload),
    }
}

impl Conversation {
    pub fn new(role: Role, random: &mut StdRng, max_message: usize, max_fragments: u32) -> Conversation {
        let mut conversation = Conversation {
            role,
            steps: vec![],
            under_way: None,
            max_message,
            max_fragments,
            seen: vec![],
            ending: Ending::HangsUp,
            difference: None,
            tolerated: None,
        };
        for _ in 0..random.random_range(0..12) {
            conversation.good_step(random);
        }
        match random.random_range(0..10) {
            0 => conversation.hang_up(random),
            1 | 2 => conversation.close(random),
            _ => conversation.violate(random),
        }
        conversation
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.steps.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }

    /// Returns a frame, with a random key if the role needs one.
    fn frame(&self, first: u8, payload: impl AsRef<[u8]>, random: &mut StdRng) -> Vec<u8> {
        peer_frame(self.role, first, random.random(), payload)
    }

    fn key(&self, random: &mut StdRng) -> Option<[u8; 4]> {
        match self.role {
            Role::Server => Some(random.random()),
            Role::Client => None,
        }
    }

    /// Returns the header length of a valid frame.
    fn header_length(&self, payload: usize) -> usize {
        let mask = if self.role == Role::Server { 4 } else { 0 };
        match payload {
            0..=125 => 2 + mask,
            126..=0xffff => 4 + mask,
            _ => 10 + mask,
        }
    }

    fn say(&mut self, what: impl Into<String>, bytes: Vec<u8>) {
        self.steps.push((what.into(), bytes));
    }

    fn good_step(&mut self, random: &mut StdRng) {
        match random.random_range(0..10) {
            0 | 1 => self.control(random),
            2..=5 => self.fragment(random),
            _ if self.under_way.is_some() => self.fragment(random),
            _ => {
                let (opcode, size) = (pick(random, &[TEXT, BINARY]), size(random));
                let payload = some_payload(random, opcode, size);
                let bytes = self.frame(FIN | opcode, &payload, random);
                self.say("message", bytes);
                self.seen.push(message(opcode, payload));
            }
        }
    }

    fn control(&mut self, random: &mut StdRng) {
        let size = pick(random, &[0, 1, 4, 124, 125]);
        let payload = some_bytes(random, size);
        if random.random_bool(0.6) {
            self.say("ping", self.frame(FIN | PING, &payload, random));
            self.seen.push(Seen::Ping(payload));
        } else {
            self.say("pong", self.frame(FIN | PONG, &payload, random));
            self.seen.push(Seen::Pong(payload));
        }
    }

    /// Adds the next fragment, or the first one of a new message.
    fn fragment(&mut self, random: &mut StdRng) {
        let (first, mut message_under_way) = match self.under_way.take() {
            Some(under_way) => (CONTINUATION, under_way),
            None => {
                let (opcode, size) = (pick(random, &[TEXT, BINARY]), size(random));
                let rest = some_payload(random, opcode, size);
                let left = random.random_range(2..=self.max_fragments);
                (opcode, UnderWay { opcode, sent: vec![], rest, fragments: 0, left })
            }
        };
        message_under_way.left -= 1;
        let last = message_under_way.left == 0;
        let rest = message_under_way.rest.len();
        let count = if last { rest } else { random.random_range(0..=rest) };
        let payload: Vec<u8> = message_under_way.rest.drain(..count).collect();
        message_under_way.sent.extend_from_slice(&payload);
        message_under_way.fragments += 1;
        let fin = if last { FIN } else { 0 };
        self.say("fragment", self.frame(fin | first, payload, random));
        if last {
            self.seen.push(message(message_under_way.opcode, message_under_way.sent));
        } else {
            self.under_way = Some(message_under_way);
        }
    }

    /// Ends the stream between two frames or inside one.
    fn hang_up(&mut self, random: &mut StdRng) {
        let first = match self.under_way {
            Some(_) => FIN | PING,
            None => self.good_first(random),
        };
        let size = size(random).min(110);
        let mut bytes = self.frame(first, some_text(random, size), random);
        bytes.truncate(random.random_range(0..bytes.len()));
        self.say("hangs up", bytes);
    }

    fn close(&mut self, random: &mut StdRng) {
        if random.random_ratio(1, 5) {
            self.say("close without a code", self.frame(FIN | CLOSE, b"", random));
            self.ending = Ending::Closes(None);
        } else {
            let code =
                pick(random, &[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]);
            let size = pick(random, &[0, 0, 5, 119]);
            let reason = some_text(random, size);
            self.say("close", self.frame(FIN | CLOSE, close_body(code, &reason), random));
            self.difference = (code == 1014).then_some(Difference::AnswersForbiddenCodes);
            self.ending = Ending::Closes(Some((code, reason)));
        }
        match self.role {
            Role::Server if random.random_bool(0.5) => self.trail(random),
            Role::Client if self.difference.is_none() && random.random_bool(0.5) => {
                let bytes = self.frame(FIN | TEXT, "one more message", random);
                self.say("message after the end", bytes);
                self.difference = Some(Difference::ReadsBehindTheClose);
            }
            Role::Server | Role::Client => {}
        }
    }

    /// Adds bytes after the end, which nobody may read.
    fn trail(&mut self, random: &mut StdRng) {
        let size = random.random_range(1..50);
        let bytes = some_bytes(random, size);
        self.say("trailing", bytes);
    }

    fn violate(&mut self, random: &mut StdRng) {
        let violation = pick(random, &Violation::ALL);
        let mut wrong = self.wrong(random, violation);
        let says = format!("{violation:?}");
        if wrong.shows < wrong.bytes.len() && random.random_bool(0.4) {
            // The bytes end where the violation is visible.
            wrong.bytes.truncate(wrong.shows);
            self.difference = match wrong.difference {
                // Without a masking key the header ends here, and its length is checked.
                Some(Difference::TakesTheTopBit) if self.role == Role::Client => wrong.difference,
                _ => Some(Difference::LooksAtWholeFrames),
            };
            self.tolerated = None;
            self.say(says + ", cut short", wrong.bytes);
        } else {
            self.difference = wrong.difference;
            self.say(says, wrong.bytes);
            // Where tungstenite continues, no more bytes may follow.
            let goes_on = self.tolerated.is_some()
                || (self.role == Role::Client && self.difference == Some(Difference::AnswersForbiddenCodes));
            if !goes_on && random.random_bool(0.3) {
                self.trail(random);
            }
        }
        self.ending = Ending::Violates(violation, wrong.error);
    }

    /// Returns a first byte that is valid here.
    fn good_first(&self, random: &mut StdRng) -> u8 {
        match self.under_way {
            Some(_) => pick(random, &[FIN, CONTINUATION, FIN | PING, FIN | PONG]),
            None => pick(random, &[FIN | TEXT, FIN | BINARY, TEXT, BINARY, FIN | PING, FIN | PONG]),
        }
    }

    /// Ensures that a text message is in progress or may begin. Returns the opcode of its next
    /// frame.
    fn text_frame(&mut self, random: &mut StdRng) -> u8 {
        match &self.under_way {
            Some(UnderWay { opcode: TEXT, .. }) => CONTINUATION,
            Some(_) => {
                while self.under_way.is_some() {
                    self.fragment(random);
                }
                TEXT
            }
            None => TEXT,
        }
    }

    fn finish_message(&mut self, random: &mut StdRng) {
        while self.under_way.is_some() {
            self.fragment(random);
        }
    }

    fn begin_message(&mut self, random: &mut StdRng) {
        while self.under_way.is_none() {
            self.fragment(random);
        }
    }

    fn wrong(&mut self, random: &mut StdRng, violation: Violation) -> Wrong {
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

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, bytes) in &self.steps {
            let shown = &bytes[..bytes.len().min(60)];
            let more = if shown.len() < bytes.len() { "..." } else { "" };
            writeln!(f, "  {what}, {} bytes: {}{more}", bytes.len(), shown.escape_ascii())?;
        }
        writeln!(f, "  to a {:?}: {:?}, tungstenite differs: {:?}", self.role, self.ending, self.difference)
    }
}
