//! Text of strangers on terminals.

use lariat::Escaped;

/// Returns the text with control and bidirectional characters escaped, except the ends of lines.
pub(crate) fn plain(text: &str) -> String {
    text.split('\n').map(|line| Escaped(line).to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn only_the_ends_of_lines_are_left() {
        assert_eq!(plain("a\nb\u{1b}[2J\r\n\u{202e}c\n"), "a\nb\\u{1b}[2J\\u{d}\n\\u{202e}c\n");
    }
}
