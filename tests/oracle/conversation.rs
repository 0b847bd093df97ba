//! Conversations from a seed: the bytes that a peer sends to a server or a client, and the expected
//! result.

mod violations;

pub use violations::Violation;

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
