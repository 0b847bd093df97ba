//! The content of messages.

use super::template::{Names, Template, Who};
use lariat::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The content of all messages.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    body: Body,
    is_binary: bool,
}

#[derive(Clone, Debug)]
enum Body {
    Text(Template),
    Bytes(Vec<u8>),
}

impl Payload {
    /// Returns a payload of random letters or bytes.
    pub(crate) fn random(size: usize, is_binary: bool, seed: u64) -> Payload {
        let mut random = StdRng::seed_from_u64(seed);
        let body = if is_binary {
            Body::Bytes((0..size).map(|_| random.random_range(0..=u8::MAX)).collect())
        } else {
            Body::Text(Template::literal((0..size).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()))
        };
        Payload { body, is_binary }
    }

    /// Returns a payload with this content. Bytes that are not UTF-8 can only be sent as binary.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub(crate) fn new(content: Vec<u8>, is_binary: bool, names: Names<'_>) -> Result<Payload, String> {
        let body = match String::from_utf8(content) {
            Ok(text) => Body::Text(Template::new(&text, names)?),
            Err(error) if is_binary => Body::Bytes(error.into_bytes()),
            Err(_) => return Err("the message is not text in UTF-8: add --binary".to_owned()),
        };
        Ok(Payload { body, is_binary })
    }

    pub(crate) const fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// Returns a message. A text that differs is filled in `buffer`.
    #[inline]
    pub(crate) fn message<'a>(&'a self, buffer: &'a mut String, who: &Who<'_>) -> Message<'a> {
        let text = match &self.body {
            Body::Bytes(bytes) => return Message::Binary(bytes),
            Body::Text(template) => template.fill(buffer, who),
        };
        if self.is_binary { Message::Binary(text.as_bytes()) } else { Message::Text(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Rows;
    use super::*;

    fn first(payload: &Payload) -> Vec<u8> {
        let rows = Rows::default();
        let who = Who { id: 0, seq: 0, time: 0, seed: 1, rows: &rows, variables: &[] };
        payload.message(&mut String::new(), &who).as_bytes().to_vec()
    }

    #[test]
    fn random_payloads_follow_from_their_seed() {
        for is_binary in [false, true] {
            let of = |seed| first(&Payload::random(64, is_binary, seed));
            assert!(of(1) == of(1) && of(1) != of(2) && of(1).len() == 64);
        }
    }

    #[test]
    fn bytes_that_are_not_text_must_be_binary() {
        let none = Names::default();
        assert!(Payload::new(vec![0xff], false, none).unwrap_err().contains("--binary"));
        assert_eq!(first(&Payload::new(vec![0xff], true, none).expect("bytes")), [0xff]);
        assert_eq!(first(&Payload::new(b"{id}!".to_vec(), true, none).expect("bytes")), b"0!");
    }
}
