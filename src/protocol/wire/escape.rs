//! Text of strangers, made safe to show.

use std::fmt::{self, Display, Write};

/// Displays a value with control and bidirectional characters escaped, as `\u{1b}`. In logs and on
/// terminals, these characters could forge lines, run commands of the terminal, or change the order
/// of what is read.
///
/// They are C0, DEL, C1, U+061C, U+200E, U+200F, U+2028 to U+202E, and U+2066 to U+2069.
///
/// ```
/// let reason = "bye\n\x1b[2J\u{202e}";
/// assert_eq!(lariat::Escaped(reason).to_string(), r"bye\u{a}\u{1b}[2J\u{202e}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'f, 'a>(&'f mut fmt::Formatter<'a>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_hidden) {
            let (shown, hidden) = rest.split_at(at);
            self.0.write_str(shown)?;
            let mut chars = hidden.chars();
            if let Some(hidden) = chars.next() {
                write!(self.0, "{}", hidden.escape_unicode())?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_control_and_bidirectional_characters_are_escaped() {
        let ranges = [0..=0x1f, 0x7f..=0x9f, 0x61c..=0x61c, 0x200e..=0x200f, 0x2028..=0x202e, 0x2066..=0x2069];
        // Miri takes minutes for all of them.
        for code in 0..=if cfg!(miri) { 0xff } else { 0x2_ffff_u32 } {
            let Some(c) = char::from_u32(code) else { continue };
            let is_escaped = ranges.iter().any(|range| range.contains(&code));
            let expected = if is_escaped { format!("a\\u{{{code:x}}}b") } else { format!("a{c}b") };
            assert_eq!(Escaped(format!("a{c}b")).to_string(), expected);
        }
    }
}
