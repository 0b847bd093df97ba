//! Text that strangers wrote, quoted in a sentence.

use lariat::Escaped;
use std::fmt::Write as _;

/// Characters that are kept of a text, at most.
const LONGEST: usize = 200;

/// Returns the beginning of the text in quotation marks. Control and bidirectional characters are
/// escaped, and quotation marks.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for c in text.chars().take(LONGEST) {
        match c {
            '"' | '\\' | '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
            // Writing to a String cannot fail.
            c => drop(write!(shown, "{}", Escaped(c))),
        }
    }
    shown + if text.chars().nth(LONGEST).is_some() { "...\"" } else { "\"" }
}

/// Returns bytes in quotation marks: as text, if they are text.
pub(crate) fn quoted_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => quoted(text),
        // The last character may have been cut.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            quoted(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]))
        }
        Err(_) => format!("\"{}\"", bytes[..bytes.len().min(LONGEST)].escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, shown) in [
            ("token missing", "\"token missing\""),
            ("größer 宽", "\"größer 宽\""),
            ("a\r\n\"b\"\\", r#""a\r\n\"b\"\\""#),
            ("\x1b[2J\0\u{9b}", r#""\u{1b}[2J\u{0}\u{9b}""#),
            ("\u{202e}exe.\u{2066}x\u{2028}", r#""\u{202e}exe.\u{2066}x\u{2028}""#),
        ] {
            assert_eq!(quoted(text), shown);
        }
        assert_eq!(quoted(&"x".repeat(201)), format!("\"{}...\"", "x".repeat(200)));
        assert_eq!(quoted(&"x".repeat(200)), format!("\"{}\"", "x".repeat(200)));
    }

    #[test]
    fn bytes_are_text_if_they_can_be() {
        assert_eq!(quoted_bytes(b"SSH-2.0-x\r\n"), r#""SSH-2.0-x\r\n""#);
        assert_eq!(quoted_bytes(b"\x15\x03\x01\x00\xff"), r#""\x15\x03\x01\x00\xff""#);
        assert_eq!(quoted_bytes("größer".as_bytes().split_at(3).0), "\"gr\"");
    }
}
