//! Rust code with colours.

/// The keywords that the examples use, and a few more.
const KEYWORDS: [&str; 30] = [
    "as", "async", "await", "break", "const", "continue", "dyn", "else", "enum", "false", "fn", "for", "if", "impl",
    "in", "let", "loop", "match", "mod", "move", "mut", "pub", "return", "self", "static", "struct", "true", "type",
    "use", "while",
];

/// Returns code as HTML: comments, strings, numbers and keywords have classes.
pub(super) fn colored(code: &str) -> String {
    let (mut html, mut rest, mut plain) = (String::new(), code, String::new());
    while let Some(first) = rest.chars().next() {
        let (class, length) = token(rest, first);
        let (taken, after) = rest.split_at(length);
        if class.is_empty() {
            plain.push_str(taken);
        } else {
            html.push_str(&escaped(&std::mem::take(&mut plain)));
            html.push_str(&format!("<i class=\"{class}\">{}</i>", escaped(taken)));
        }
        rest = after;
    }
    html + &escaped(&plain)
}

/// Returns the class and the length of the token at the beginning of `code`, whose first character
/// is `first`.
fn token(code: &str, first: char) -> (&'static str, usize) {
    let until = |is_end: &dyn Fn(char) -> bool| code.find(is_end).unwrap_or(code.len());
    match first {
        '/' if code.starts_with("//") => ("c", until(&|c| c == '\n')),
        '"' => ("s", string(code, 1)),
        'b' if code.starts_with("b\"") => ("s", string(code, 2)),
        'r' if code.starts_with("r\"") || code.starts_with("r#") => ("s", raw_string(code)),
        '\'' | 'b' if character(code).is_some() => ("s", character(code).unwrap_or(1)),
        '0'..='9' => ("n", until(&|c| !c.is_ascii_alphanumeric() && c != '_')),
        'a'..='z' | 'A'..='Z' | '_' => {
            let length = until(&|c| !c.is_ascii_alphanumeric() && c != '_');
            (if KEYWORDS.contains(&&code[..length]) { "k" } else { "" }, length)
        }
        _ => ("", first.len_utf8()),
    }
}

/// Returns the length of a string whose content begins at `start`.
fn string(code: &str, start: usize) -> usize {
    let mut escapes = false;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'"' if !escapes => return at + 1,
            b'\\' => escapes = !escapes,
            _ => escapes = false,
        }
    }
    code.len()
}

/// Returns the length of a raw string: `r"..."` or `r#"..."#`.
fn raw_string(code: &str) -> usize {
    let hashes = code[1..].bytes().take_while(|byte| *byte == b'#').count();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    code.get(start..).and_then(|rest| rest.find(&end)).map_or(code.len(), |at| start + at + end.len())
}

/// Returns the length of a character or byte, `'x'` or `b'x'`, and `None` for a lifetime.
fn character(code: &str) -> Option<usize> {
    let start = if code.starts_with('b') { 2 } else { 1 };
    let content = code.strip_prefix('b').unwrap_or(code).strip_prefix('\'')?;
    let length = match content.strip_prefix('\\') {
        Some(rest) => 1 + rest.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(at, _)| at)?,
        None => content.chars().next()?.len_utf8(),
    };
    content.get(length..)?.starts_with('\'').then_some(start + length + 1)
}

/// Returns a text as HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_classes() {
        for (code, expected) in [
            ("let x = 5;", "<i class=\"k\">let</i> x = <i class=\"n\">5</i>;"),
            ("letter // let \"x\"\n2", "letter <i class=\"c\">// let &quot;x&quot;</i>\n<i class=\"n\">2</i>"),
            (
                r#"f("a \" b", 'c', '\'', b'"', b"\\") 'a"#,
                concat!(
                    "f(<i class=\"s\">&quot;a \\&quot; b&quot;</i>, <i class=\"s\">'c'</i>, <i class=\"s\">'\\''</i>, ",
                    "<i class=\"s\">b'&quot;'</i>, <i class=\"s\">b&quot;\\\\&quot;</i>) 'a"
                ),
            ),
            ("Message<'_>", "Message&lt;'_&gt;"),
            (
                "r#\"a \"b\" c\"# 0x81_u8",
                "<i class=\"s\">r#&quot;a &quot;b&quot; c&quot;#</i> <i class=\"n\">0x81_u8</i>",
            ),
            ("\"é\" 'é' é", "<i class=\"s\">&quot;é&quot;</i> <i class=\"s\">'é'</i> é"),
            ("\"no end", "<i class=\"s\">&quot;no end</i>"),
        ] {
            assert_eq!(colored(code), expected);
        }
    }

    /// Whatever the code is, nothing of it is lost, and no markup comes in.
    #[test]
    fn only_colours_are_added() {
        let tag = regex_lite::Regex::new("</?i[^>]*>").expect("a pattern");
        for chapter in lariat::guide::texts::CHAPTERS {
            for end in (0..chapter.english.len()).step_by(997) {
                let Some(code) = chapter.english.get(end..) else { continue };
                assert_eq!(tag.replace_all(&colored(code), ""), escaped(code));
            }
        }
    }
}
