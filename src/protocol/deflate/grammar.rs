//! Parses the `Sec-WebSocket-Extensions` header (RFC 6455 §9.1).

use super::extension::{NAME, Parameters};
use crate::protocol::wire::token::is_tchar;

/// The reason why an element of the header is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Useless {
    /// It breaks the grammar.
    Malformed,
    /// It names another extension, or a parameter is unknown, repeated, or has an invalid value.
    Unknown,
}

/// Iterates over the elements of one header line. Each byte is read once.
pub(super) struct Elements<'v> {
    rest: &'v [u8],
}

/// A parameter's value. No valid value has more than two characters, so only these are kept.
#[derive(Clone, Copy)]
pub(super) struct Value {
    start: [u8; 2],
    length: usize,
}

impl Value {
    const fn empty() -> Value {
        Value { start: [0; 2], length: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.start.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    /// Returns the value as a window size: "a decimal integer value without leading zeroes between
    /// 8 to 15, inclusive."
    pub(super) const fn window_bits(self) -> Option<u8> {
        match (self.length, self.start) {
            (1, [digit @ (b'8' | b'9'), _]) => Some(digit - b'0'),
            (2, [b'1', digit @ b'0'..=b'5']) => Some(10 + digit - b'0'),
            _ => None,
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = Result<Parameters, Useless>;

    fn next(&mut self) -> Option<Result<Parameters, Useless>> {
        // A list may have empty elements (RFC 9110 §5.6.1).
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b','));
        if self.rest.is_empty() {
            return None;
        }
        let element = self.extension();
        self.skip_to_comma();
        Some(element)
    }
}

impl<'v> Elements<'v> {
    pub(super) const fn new(line: &'v [u8]) -> Elements<'v> {
        Elements { rest: line }
    }

    /// Parses an element: `extension-token *( ";" extension-param )`.
    fn extension(&mut self) -> Result<Parameters, Useless> {
        let mut is_known = self.token()? == NAME.as_bytes();
        let mut parameters = Parameters::default();
        loop {
            self.skip_space();
            match self.rest.first() {
                None | Some(b',') => break,
                Some(b';') => self.rest = &self.rest[1..],
                Some(_) => return Err(Useless::Malformed),
            }
            self.skip_space();
            let name = self.token()?;
            let value = self.value()?;
            is_known = is_known && parameters.set(name, value);
        }
        if is_known { Ok(parameters) } else { Err(Useless::Unknown) }
    }

    /// Parses a parameter's value: `[ "=" (token | quoted-string) ]`.
    fn value(&mut self) -> Result<Option<Value>, Useless> {
        let Some(rest) = self.rest.strip_prefix(b"=") else { return Ok(None) };
        self.rest = rest;
        if rest.first() == Some(&b'"') {
            return self.quoted().map(Some);
        }
        let mut value = Value::empty();
        self.token()?.iter().for_each(|byte| value.push(*byte));
        Ok(Some(value))
    }

    /// Parses a quoted string. "When using the quoted-string syntax variant, the value after
    /// quoted-string unescaping MUST conform to the 'token' ABNF." An invalid string is still read
    /// to its end.
    fn quoted(&mut self) -> Result<Value, Useless> {
        let (mut value, mut is_token, mut is_escaped) = (Value::empty(), true, false);
        for (index, byte) in self.rest.iter().enumerate().skip(1) {
            match byte {
                b'\\' if !is_escaped => is_escaped = true,
                b'"' if !is_escaped => {
                    self.rest = &self.rest[index + 1..];
                    return if is_token && value.length > 0 { Ok(value) } else { Err(Useless::Malformed) };
                }
                byte => {
                    is_escaped = false;
                    is_token &= is_tchar(*byte);
                    value.push(*byte);
                }
            }
        }
        self.rest = &[];
        Err(Useless::Malformed)
    }

    fn token(&mut self) -> Result<&'v [u8], Useless> {
        let length = self.rest.iter().position(|byte| !is_tchar(*byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        if token.is_empty() { Err(Useless::Malformed) } else { Ok(token) }
    }

    fn skip_while(&mut self, skip: impl Fn(&u8) -> bool) {
        let length = self.rest.iter().position(|byte| !skip(byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[length..];
    }

    fn skip_space(&mut self) {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Skips to the next comma outside a quoted string.
    fn skip_to_comma(&mut self) {
        while let Some(byte) = self.rest.first() {
            match byte {
                b',' => return,
                b'"' => drop(self.quoted()),
                _ => self.rest = &self.rest[1..],
            }
        }
    }
}
