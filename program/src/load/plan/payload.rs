//! The content of messages.

use lariat::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt::Write as _;

/// The content of all messages.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    body: Body,
    is_binary: bool,
}

#[derive(Clone, Debug)]
enum Body {
    Text(String),
    Bytes(Vec<u8>),
    /// Different for each message.
    Template(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The number of the connection.
    Id,
    /// The number of messages that the connection has sent before.
    Seq,
    /// The intended time of the message, in microseconds since the run began.
    Time,
}

/// A message: the number of its connection, its number there, and its intended time in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which {
    pub(crate) id: u32,
    pub(crate) seq: u32,
    pub(crate) time: u64,
}

impl Payload {
    /// Returns a payload of random letters or bytes.
    pub(crate) fn random(size: usize, is_binary: bool, seed: u64) -> Payload {
        let mut random = StdRng::seed_from_u64(seed);
        let body = if is_binary {
            Body::Bytes((0..size).map(|_| random.random_range(0..=u8::MAX)).collect())
        } else {
            Body::Text((0..size).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect())
        };
        Payload { body, is_binary }
    }

    /// Returns a payload with this content. Bytes that are not UTF-8 can only be sent as binary.
    pub(crate) fn new(content: Vec<u8>, is_binary: bool) -> Result<Payload, String> {
        let body = match String::from_utf8(content) {
            Ok(text) => match parts(&text) {
                parts if parts.iter().any(|part| !matches!(part, Part::Literal(_))) => Body::Template(parts),
                _ => Body::Text(text),
            },
            Err(error) if is_binary => Body::Bytes(error.into_bytes()),
            Err(_) => return Err("the message is not text in UTF-8: add --binary".to_owned()),
        };
        Ok(Payload { body, is_binary })
    }

    /// Returns the length of the first message in bytes.
    pub(crate) fn len(&self) -> usize {
        self.message(&mut String::new(), Which { id: 0, seq: 0, time: 0 }).as_bytes().len()
    }

    pub(crate) const fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// Returns a message. A template is filled in `buffer`.
    #[inline]
    pub(crate) fn message<'a>(&'a self, buffer: &'a mut String, which: Which) -> Message<'a> {
        let text: &str = match &self.body {
            Body::Bytes(bytes) => return Message::Binary(bytes),
            Body::Text(text) => text,
            Body::Template(parts) => {
                fill(parts, buffer, which);
                buffer
            }
        };
        if self.is_binary { Message::Binary(text.as_bytes()) } else { Message::Text(text) }
    }
}

fn fill(parts: &[Part], buffer: &mut String, which: Which) {
    buffer.clear();
    for part in parts {
        // Writing to a String cannot fail.
        let _ = match part {
            Part::Literal(text) => buffer.write_str(text),
            Part::Id => write!(buffer, "{}", which.id),
            Part::Seq => write!(buffer, "{}", which.seq),
            Part::Time => write!(buffer, "{}", which.time / 1_000),
        };
    }
}

/// Splits a template into its parts. Unknown names in braces stay as they are.
fn parts(text: &str) -> Vec<Part> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(open) = rest.find('{') {
        let named = [("{id}", Part::Id), ("{seq}", Part::Seq), ("{time}", Part::Time)];
        let found = named.into_iter().find(|(name, _)| rest[open..].starts_with(name));
        let end = open + found.as_ref().map_or(1, |(name, _)| name.len());
        let Some((_, part)) = found else {
            literal.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        };
        literal.push_str(&rest[..open]);
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(part);
        rest = &rest[end..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, is_binary: bool) -> Vec<u8> {
        let payload = Payload::new(text.as_bytes().to_vec(), is_binary).expect("it is text");
        let which = Which { id: 7, seq: 3, time: 12_345_678 };
        payload.message(&mut String::from("old"), which).as_bytes().to_vec()
    }

    #[test]
    fn templates_are_filled_in() {
        for (template, expected) in [
            ("plain", "plain"),
            ("{id}", "7"),
            ("{\"id\":{id},\"n\":{seq},\"t\":{time}}", "{\"id\":7,\"n\":3,\"t\":12345}"),
            ("{{id}{}{other}{seq", "{7{}{other}{seq"),
        ] {
            assert_eq!(filled(template, false), expected.as_bytes());
            assert_eq!(filled(template, true), expected.as_bytes());
        }
    }

    #[test]
    fn random_payloads_follow_from_their_seed() {
        for is_binary in [false, true] {
            let of = |seed| {
                let payload = Payload::random(64, is_binary, seed);
                assert_eq!(payload.len(), 64);
                payload.message(&mut String::new(), Which { id: 0, seq: 0, time: 0 }).as_bytes().to_vec()
            };
            assert!(of(1) == of(1) && of(1) != of(2));
        }
    }

    #[test]
    fn bytes_that_are_not_text_must_be_binary() {
        assert!(Payload::new(vec![0xff], false).unwrap_err().contains("--binary"));
        assert_eq!(Payload::new(vec![0xff], true).expect("bytes").len(), 1);
    }
}
