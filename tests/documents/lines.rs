//! Which lines of a file are prose.

/// The state of a file before a line.
#[derive(Default)]
pub struct Lines {
    /// Whether the line is in a code block.
    in_code: bool,
    /// Whether the line is in a comment, a documentation string, or preformatted text.
    is_inside: bool,
    /// The number of columns before the text of a documentation string.
    indent: usize,
}

impl Lines {
    pub fn rust(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let Some(comment) = line.strip_prefix("//") else {
            self.in_code = false;
            return false;
        };
        let is_fence = comment.trim_start_matches(['/', '!']).trim_start().starts_with("```");
        self.in_code ^= is_fence;
        !self.in_code && !is_fence
    }

    pub fn markdown(&mut self, line: &str) -> bool {
        let is_fence = line.trim_start().starts_with("```");
        self.in_code ^= is_fence;
        !self.in_code && !is_fence
    }

    /// In documentation strings, indented lines are literal.
    pub fn python(&mut self, line: &str) -> bool {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if self.is_inside {
            self.is_inside = !text.contains("\"\"\"");
            return indent < self.indent + 4;
        }
        if let Some(rest) = text.strip_prefix("\"\"\"") {
            self.is_inside = !rest.contains("\"\"\"");
            self.indent = indent;
            return true;
        }
        text.starts_with('#')
    }

    pub fn script(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let is_comment = self.is_inside || line.starts_with("//") || line.starts_with("/*");
        if self.is_inside || line.starts_with("/*") {
            self.is_inside = !line.contains("*/");
        }
        is_comment
    }

    /// A line is prose if it has more than a few words outside tags.
    pub fn html(&mut self, line: &str) -> bool {
        let was_inside = self.is_inside;
        if line.contains("<pre") {
            self.is_inside = true;
        }
        if line.contains("</pre>") {
            self.is_inside = false;
        }
        let mut text = String::new();
        for (index, part) in line.split('<').enumerate() {
            let outside = if index == 0 { part } else { part.split_once('>').map_or("", |(_, rest)| rest) };
            text = text + " " + outside;
        }
        !was_inside && !line.contains("<pre") && text.split_whitespace().count() >= 8
    }
}
