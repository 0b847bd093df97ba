//! The length of documents, and the width of prose and comments.

use crate::lines::Lines;
use crate::{files, kind, read};

/// The width of prose and comments.
const WIDTH: usize = 100;

#[test]
fn the_front_documents_are_short() {
    let words = read("README.md").split_whitespace().count();
    assert!(words <= 900, "README.md has {words} words, of 900");
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 250, "ARCHITECTURE.md has {lines} lines, of 250");
}

/// Returns the line numbers of prose and comments that are too wide. Exempt are the tables of
/// Markdown files, lines with a URL, and code blocks in Markdown and documentation.
fn wide(kind: &str, text: &str) -> Vec<usize> {
    let mut state = Lines::default();
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_prose = match kind {
            "rs" => state.rust(line),
            "md" => state.markdown(line),
            "py" => state.python(line),
            "toml" | "sh" => line.trim_start().starts_with('#'),
            "js" | "mjs" | "css" => state.script(line),
            "html" => state.html(line),
            _ => panic!("no rule for {kind}"),
        };
        let content = line.trim_start().trim_start_matches(['/', '!', '#', '*']).trim_start();
        let cannot_break = content.split_whitespace().count() <= 1 || line.trim_start().starts_with("![");
        let is_exempt = (kind == "md" && content.starts_with('|')) || line.contains("://") || cannot_break;
        if is_prose && !is_exempt && without_targets(line).chars().count() > WIDTH {
            found.push(index + 1);
        }
    }
    found
}

/// Returns a line without the targets of its links.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "](" + part.split_once(')').map_or(part, |(_, rest)| rest))
}

#[test]
fn prose_and_comments_wrap() {
    let mut wrong = Vec::new();
    for path in files(&["rs", "md", "py", "mjs", "js", "css", "html", "toml", "sh"]) {
        for line in wide(kind(&path), &read(&path)) {
            wrong.push(format!("{path}:{line}"));
        }
    }
    assert!(wrong.is_empty(), "{} lines of prose are wider than {WIDTH} columns:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn wide_prose_is_found() {
    let long = "word ".repeat(21);
    let wide_lines = |kind: &str, text: &str| wide(kind, &text.replace("LONG", &long));
    assert_eq!(wide_lines("rs", "//! LONG\n/// LONG\nfn f() {} // LONG\n    // LONG"), [1, 2, 4]);
    assert_eq!(wide_lines("rs", "/// ```\n/// LONG\n/// ```\n/// | LONG |\n/// https://LONG\n/// LONG"), [4, 6]);
    assert_eq!(wide_lines("md", &format!("* [a]({0}), a word\n![LONG](a.png)\n[LONG]({0})", "x".repeat(200))), [3]);
    assert_eq!(wide_lines("md", "LONG\n\n| LONG |\n\n```sh\nLONG\n```\n* LONG\n# LONG"), [1, 8, 9]);
    assert_eq!(wide_lines("py", "\"\"\"LONG\n\nLONG\n\n    LONG\n\"\"\"\nx = \"LONG\"\n# LONG"), [1, 3, 8]);
    assert_eq!(wide_lines("js", "// LONG\nf(LONG);\n/* a\n LONG */\nf(LONG);"), [1, 4]);
    assert_eq!(wide_lines("css", "/* LONG */\n.a { LONG }"), [1]);
    assert_eq!(wide_lines("html", "<p>LONG</p>\n<input aria-label=\"LONG\">\n<pre>\nLONG\n</pre>\nLONG"), [1, 6]);
    assert_eq!(wide_lines("toml", "# LONG\na = \"LONG\""), [1]);
    assert_eq!(wide_lines("sh", "# LONG\necho LONG"), [1]);
}
