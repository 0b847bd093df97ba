//! Messages as standard output shows them.

use crate::terminal::plain;
use data_encoding::HEXLOWER;
use lariat::Message;

/// How messages are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Standard output is a terminal, which would obey control characters.
    pub(super) is_terminal: bool,
    /// The payloads of binary messages are written as they are.
    pub(super) is_raw: bool,
}

impl Form {
    /// Returns what is written for a message.
    pub(super) fn bytes(self, message: Message<'_>) -> Vec<u8> {
        let mut line = match message.as_text() {
            Some(text) if self.is_terminal => plain(text).into_bytes(),
            Some(text) => text.as_bytes().to_vec(),
            None if self.is_raw && !self.is_terminal => return message.as_bytes().to_vec(),
            None => format!("binary: {}", HEXLOWER.encode(message.as_bytes())).into_bytes(),
        };
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_except_on_a_terminal_and_binary_is_marked() {
        let written = |is_terminal, is_raw, message| Form { is_terminal, is_raw }.bytes(message);
        let (text, binary) = (Message::Text("a\x1b[2J\tb\n"), Message::Binary(b"\0\x1b\xff\n"));
        assert_eq!(written(false, false, text), b"a\x1b[2J\tb\n\n");
        assert_eq!(written(false, true, text), b"a\x1b[2J\tb\n\n");
        assert!(!written(true, false, text).contains(&0x1b));
        for (is_terminal, is_raw) in [(false, false), (true, false), (true, true)] {
            assert_eq!(written(is_terminal, is_raw, binary), b"binary: 001bff0a\n");
        }
        assert_eq!(written(false, true, binary), b"\0\x1b\xff\n");
        assert_eq!(written(false, true, Message::Binary(b"")), b"");
        assert_eq!(written(false, false, Message::Binary(b"")), b"binary: \n");
    }
}
