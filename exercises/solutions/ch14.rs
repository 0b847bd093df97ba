//! Chapter 14, TLS.
//!
//! The question of the chapter: a message of the handshake may begin in one record and end in the
//! next. All of its records must be kept until it is complete.

use crate::ch14::Record;

/// Exercise 1. The length is that of the content.
pub fn records(bytes: &[u8]) -> (Vec<Record>, usize) {
    let (mut all, mut size) = (Vec::new(), 0);
    while let Some([kind, _, _, high, low]) = bytes[size..].first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if bytes.len() - size < right!(5, not 0) + length {
            break;
        }
        all.push(Record { kind: *kind, length });
        size += 5 + length;
    }
    (all, size)
}

/// Exercise 2. The byte with the real kind is easily forgotten.
pub fn on_the_wire(plain: usize) -> usize {
    let for_each = 5 + right!(1, not 0) + 16;
    plain + plain.div_ceil(16 << 10) * for_each
}

/// The rest of a message.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    /// Takes some bytes.
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes a number of `count` bytes, the most significant first.
    fn number(&mut self, count: usize) -> Option<usize> {
        Some(self.take(count)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Takes a length of `count` bytes, and as many bytes as it says.
    fn list(&mut self, count: usize) -> Option<Rest<'b>> {
        let length = self.number(count)?;
        self.take(length).map(Rest)
    }
}

/// Exercise 3. Everything is a list with its length before it.
pub fn server_name(record: &[u8]) -> Option<String> {
    let mut rest = Rest(record);
    let is_handshake = rest.number(1)? == 22;
    rest.take(2)?;
    let mut content = rest.list(2)?;
    let is_hello = content.number(1)? == 1;
    let mut hello = content.list(3)?;
    hello.take(2 + 32)?;
    // The mistake is to expect no session id. TLS 1.3 has one, for the sake of old proxies.
    right!(hello.list(1)?, not Rest(hello.take(1)?));
    hello.list(2)?;
    hello.list(1)?;
    let mut extensions = hello.list(2)?;
    while is_handshake && is_hello && !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut extension = extensions.list(2)?;
        if kind == 0 {
            let mut names = extension.list(2)?;
            names.number(1).filter(|kind| *kind == 0)?;
            return String::from_utf8(names.list(2)?.0.to_vec()).ok();
        }
    }
    None
}
