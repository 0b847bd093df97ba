//! Checks the documents: their length, the width of prose, links and paths, and figures against the
//! code. `program/tests/documents.rs` checks the options of the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The width of prose and comments.
const WIDTH: usize = 100;

/// Places in the repository in which documents name files.
const PLACES: [&str; 7] = ["src/", "program/", "tests/", "docs/", "benches/", ".ci/", "examples/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns all files of the repository with one of these extensions, by their paths from its root.
fn files(extensions: &[&str]) -> Vec<String> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        let is_built = folder.join("CACHEDIR.TAG").exists() || folder.join("pyvenv.cfg").exists();
        for entry in std::fs::read_dir(folder).expect("a folder").filter(|_| !is_built) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let is_ours = !name.starts_with('.') || name == ".ci";
            if path.is_dir() && is_ours && !matches!(&*name, "target" | "node_modules" | "corpus" | "artifacts") {
                walk(&path, into);
            } else if path.is_file() {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    let relative =
        |path: &PathBuf| path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
    let mut found: Vec<String> = found.iter().map(relative).filter(|path| extensions.contains(&kind(path))).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Returns the extension, or `sh` for the shell files of the gate, which have none.
fn kind(path: &str) -> &str {
    match path {
        ".ci/run" | ".ci/fuzz" => "sh",
        _ => path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, kind)| kind),
    }
}

fn markdown() -> Vec<(String, String)> {
    // The guide has rustdoc's links, which `tests/guide.rs` checks.
    let paths = files(&["md"]).into_iter().filter(|path| !path.starts_with("src/guide/"));
    paths.map(|path| (path.clone(), read(&path))).collect()
}

// ---- length -------------------------------------------------------------------------------------

#[test]
fn the_front_documents_are_short() {
    let words = read("README.md").split_whitespace().count();
    assert!(words <= 900, "README.md has {words} words, of 900");
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 250, "ARCHITECTURE.md has {lines} lines, of 250");
}

// ---- width --------------------------------------------------------------------------------------

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

/// The state of a file before a line.
#[derive(Default)]
struct Lines {
    /// Whether the line is in a code block.
    in_code: bool,
    /// Whether the line is in a comment, a documentation string, or preformatted text.
    is_inside: bool,
    /// The number of columns before the text of a documentation string.
    indent: usize,
}

impl Lines {
    fn rust(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let Some(comment) = line.strip_prefix("//") else {
            self.in_code = false;
            return false;
        };
        let is_fence = comment.trim_start_matches(['/', '!']).trim_start().starts_with("```");
        self.in_code ^= is_fence;
        !self.in_code && !is_fence
    }

    fn markdown(&mut self, line: &str) -> bool {
        let is_fence = line.trim_start().starts_with("```");
        self.in_code ^= is_fence;
        !self.in_code && !is_fence
    }

    /// In documentation strings, indented lines are literal.
    fn python(&mut self, line: &str) -> bool {
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

    fn script(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let is_comment = self.is_inside || line.starts_with("//") || line.starts_with("/*");
        if self.is_inside || line.starts_with("/*") {
            self.is_inside = !line.contains("*/");
        }
        is_comment
    }

    /// A line is prose if it has more than a few words outside tags.
    fn html(&mut self, line: &str) -> bool {
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

// ---- links and paths ----------------------------------------------------------------------------

/// Returns a document without its code blocks.
fn prose(text: &str) -> String {
    let mut state = Lines::default();
    let lines = text.lines().map(|line| if state.markdown(line) { line } else { "" });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the code spans of a document.
fn spans(text: &str) -> Vec<String> {
    let prose = prose(text);
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// Returns the targets of links and images.
fn targets(text: &str) -> Vec<String> {
    // A code span may contain text that looks like a link.
    let prose = prose(text);
    let outside: Vec<&str> = prose.split('`').step_by(2).collect();
    let text = outside.join("code");
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| part.split_once(')')).map(|(target, _)| target.trim().to_owned()).collect()
}

/// Returns the anchors that GitHub creates for a document's headings.
fn anchors(text: &str) -> Vec<String> {
    let prose = prose(text);
    let headings = prose.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_start_matches('#'));
    let slug = |heading: &str| {
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// Returns the broken links of a document. `read` returns the content of a file, `None` if it does
/// not exist, and an empty text for a folder.
fn broken_links(path: &str, text: &str, read: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    let is_broken = |target: &String| {
        if target.contains("://") || target.starts_with("mailto:") {
            return false;
        }
        let (file, anchor) = target.split_once('#').map_or((&**target, None), |(file, anchor)| (file, Some(anchor)));
        let mut place: Vec<&str> = path.split('/').collect();
        place.pop();
        for part in file.split('/').filter(|part| !part.is_empty()) {
            match part {
                "." => {}
                ".." => drop(place.pop()),
                name => place.push(name),
            }
        }
        let linked = if file.is_empty() { Some(text.to_owned()) } else { read(&place.join("/")) };
        match (linked, anchor) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(linked), Some(anchor)) => !anchors(&linked).iter().any(|known| known == anchor),
        }
    };
    targets(text).into_iter().filter(is_broken).map(|target| format!("{path} links to {target}")).collect()
}

fn read_any(path: &str) -> Option<String> {
    let path = root().join(path);
    if path.is_dir() {
        Some(String::new())
    } else {
        std::fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[test]
fn every_link_has_a_target() {
    let documents = markdown();
    let broken: Vec<String> = documents.iter().flat_map(|(path, text)| broken_links(path, text, &read_any)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(documents.iter().map(|(_, text)| targets(text).len()).sum::<usize>() > 60);
}

#[test]
fn a_broken_link_is_found() {
    let read = |path: &str| match path {
        "docs/a.md" => Some("# One two\n\n## It's `code`, a test".to_owned()),
        "b.md" | "docs" => Some(String::new()),
        _ => None,
    };
    let broken = |text: &str| broken_links("docs/c.md", text, &read).len();
    assert_eq!(broken("[a](a.md) [b](../b.md) [c](a.md#one-two) [d](../docs) [e](https://example.org/x)"), 0);
    assert_eq!(broken("[a](a.md#its-code-a-test)\n\n# Here\n\n[h](#here)\n`[x](nowhere)`"), 0);
    assert_eq!(broken("[a](b.md)"), 1);
    assert_eq!(broken("![a](../c.png)"), 1);
    assert_eq!(broken("[a](a.md#three)"), 1);
    assert_eq!(broken("[a](#three)"), 1);
}

/// Returns the files that a document names in code spans and commands and that do not exist.
fn missing_paths(text: &str, exists: &impl Fn(&str) -> bool) -> Vec<String> {
    let mut named: Vec<String> = spans(text);
    let (mut in_shell, mut is_fence) = (false, false);
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            is_fence = !is_fence;
            in_shell = is_fence && line == "```sh";
        } else if in_shell {
            named.push(line.to_owned());
        }
    }
    let words = named.iter().flat_map(|span| span.split_whitespace());
    let is_path = |word: &&str| PLACES.iter().any(|place| word.starts_with(place)) && !word.contains(['*', '<']);
    let paths = words.filter(is_path).map(|word| word.trim_end_matches([',', ':', ';']));
    paths.filter(|path| !exists(path.trim_end_matches('/'))).map(str::to_owned).collect()
}

/// Returns the documentation comments of a source, as Markdown.
fn documentation(source: &str) -> String {
    let comments = source.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
    comments.map(|line| line.trim_start_matches(['/', '!']).trim_start()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_named_file_exists_in_the_repository() {
    let exists = |path: &str| root().join(path).exists();
    let mut missing = Vec::new();
    for (path, text) in markdown() {
        missing.extend(missing_paths(&text, &exists).into_iter().map(|named| format!("{path} names {named}")));
    }
    for path in files(&["rs"]) {
        let comments = documentation(&read(&path));
        missing.extend(missing_paths(&comments, &exists).into_iter().map(|named| format!("{path} names {named}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_missing_file_is_found() {
    let missing = |text: &str| missing_paths(text, &|path| path == "src/here.rs" || path == "benches");
    assert!(missing("`src/here.rs`, `benches/`, `python3 src/here.rs`, src/gone.rs, `other/gone.rs`").is_empty());
    assert_eq!(missing("`src/gone.rs`"), ["src/gone.rs"]);
    assert_eq!(missing("`python3\nbenches/gone.py x`"), ["benches/gone.py"]);
    assert_eq!(missing("```sh\nbash .ci/gone\n```"), [".ci/gone"]);
    assert_eq!(missing("```text\nbash .ci/gone\n```"), Vec::<String>::new());
    assert_eq!(
        missing(&documentation("/// See\n    //! `tests/gone.rs`.\nfn f() { \"`src/gone.rs`\" }")),
        ["tests/gone.rs"]
    );
}

// ---- tests that are named -----------------------------------------------------------------------

/// Returns the tests that [docs/promises.md] names as `file::name` or `file::beginning_...` and
/// that do not exist in `tests/faults`. `read` returns a file of that folder.
fn missing_tests(text: &str, read: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    let is_missing = |span: &&String| {
        let Some((file, name)) = span.split_once("::") else { return false };
        if !file.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return false;
        }
        let source = read(file).unwrap_or_default();
        match name.strip_suffix("...") {
            Some(beginning) => !source.contains(&format!("fn {beginning}")),
            None => !source.contains(&format!("fn {name}(")),
        }
    };
    spans(text).iter().filter(is_missing).cloned().collect()
}

#[test]
fn every_named_test_exists() {
    let in_faults = |file: &str| read_any(&format!("tests/faults/{file}.rs"));
    let text = read("docs/promises.md");
    assert_eq!(missing_tests(&text, &in_faults), Vec::<String>::new());
    assert!(spans(&text).iter().filter(|span| span.contains("::")).count() > 20);
}

#[test]
fn a_missing_test_is_found() {
    let in_faults = |file: &str| (file == "memory").then(|| "fn it_is_here() {}".to_owned());
    let missing = |text: &str| missing_tests(text, &in_faults).len();
    assert_eq!(missing("`memory::it_is_...`, `memory::it_is_here`, `Config::memory_budget`, `memory`"), 0);
    assert_eq!(missing("`memory::it_is_gone`, `memory::it_is`, `memory::was_...`, `other::it_is_here`"), 4);
}

// ---- the map ------------------------------------------------------------------------------------

/// The rows of ARCHITECTURE.md's list of a connection's state whose file does not define their
/// type. `read` returns a file, if it exists.
fn missing_types(text: &str, read: &impl Fn(&str) -> Option<String>) -> Vec<String> {
    let section = text.split("\n## ").find(|section| section.starts_with("One connection's state"));
    let rows: Vec<&str> = section.unwrap_or_default().lines().filter(|line| line.contains("| `")).collect();
    let is_missing = |row: &&&str| {
        let mut spans = row.split('`').skip(1).step_by(2).skip_while(|span| !span.starts_with("src/"));
        let (Some(file), Some(name)) = (spans.next(), spans.next()) else { return true };
        let source = read(file).unwrap_or_default();
        let defines = |kind: &str| {
            let at = source.find(&format!("{kind} {name}"));
            at.is_some_and(|at| !source[at + kind.len() + 1 + name.len()..].starts_with(char::is_alphanumeric))
        };
        !defines("struct") && !defines("enum")
    };
    let missing = rows.iter().filter(is_missing).map(|row| (*row).to_owned()).collect();
    if rows.is_empty() { vec!["no rows".to_owned()] } else { missing }
}

/// The entries of a floor that the tables of rooms do not name.
fn missing_rooms(text: &str, entries: &[String]) -> Vec<String> {
    let section = text.split("\n## ").find(|section| section.starts_with("Rooms")).unwrap_or_default();
    entries.iter().filter(|entry| !section.contains(&format!("`{entry}`"))).cloned().collect()
}

#[test]
fn architecture_names_all_rooms_and_where_a_connection_is() {
    let text = read("ARCHITECTURE.md");
    assert_eq!(missing_types(&text, &read_any), Vec::<String>::new());
    let mut entries = Vec::new();
    for floor in ["src/protocol", "src/server"] {
        for entry in std::fs::read_dir(root().join(floor)).expect("a floor") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(if entry.path().is_dir() { name + "/" } else { name });
        }
    }
    entries.retain(|name| name != "mod.rs");
    assert!(entries.len() > 12, "{entries:?}");
    assert_eq!(missing_rooms(&text, &entries), Vec::<String>::new());
}

#[test]
fn a_hole_in_the_map_is_found() {
    let read = |path: &str| (path == "src/a.rs").then(|| "pub struct Abc;\nstruct Defg<T>(T);\nenum Hi {}".to_owned());
    let table = |rows: &str| format!("# A\n\n## One connection's state\n\n| what | file | type |\n{rows}\n\n## B\n");
    let of = |name: &str| table(&format!("| x | `src/a.rs` | `{name}` |"));
    for name in ["Abc", "Defg", "Hi"] {
        assert_eq!(missing_types(&of(name), &read), Vec::<String>::new(), "{name}");
    }
    for name in ["Ab", "Def", "T"] {
        assert_eq!(missing_types(&of(name), &read).len(), 1, "{name}");
    }
    assert_eq!(missing_types(&table("| x | `src/b.rs` | `Abc` |"), &read).len(), 1);
    assert_eq!(missing_types("", &read), ["no rows"]);
    let entries = ["wire/".to_owned(), "time.rs".to_owned()];
    assert_eq!(missing_rooms("# A\n\n## Rooms\n\n| `wire/` | `time.rs` |\n", &entries), Vec::<String>::new());
    assert_eq!(missing_rooms("# A\n\n## Rooms\n\n| `wire/` |\n\n## B `time.rs`", &entries), ["time.rs"]);
}

// ---- defaults -----------------------------------------------------------------------------------

/// Returns the fields of a value that was printed with `{:#?}`, with their paths:
/// `limits.max_message`. The content of a `Some` or another tuple counts as the field itself.
fn fields(printed: &str) -> BTreeMap<String, String> {
    let (mut path, mut fields) = (Vec::new(), BTreeMap::new());
    for line in printed.lines().map(|line| line.trim().trim_end_matches(',')) {
        let (name, value) = line.split_once(": ").unwrap_or(("", line));
        if line.ends_with(['{', '(', '[']) {
            path.push(name);
        } else if matches!(line, "}" | ")" | "]") {
            path.pop();
        } else {
            let names = path.iter().copied().chain([name]).filter(|name| !name.is_empty());
            fields.insert(names.collect::<Vec<_>>().join("."), value.to_owned());
        }
    }
    fields
}

/// Parses a value as a document or `Debug` writes it, in bytes, items or milliseconds. Returns
/// `None` for a word.
fn number(text: &str) -> Option<u64> {
    let text = text.trim().replace(',', "");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text[..split].parse().ok()?;
    let factor = match text[split..].trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "ms" => 1,
        "s" => 1_000,
        _ => return None,
    };
    Some(count * factor)
}

/// Returns the rows of a table whose first cell is a code span: its content and the other cells.
fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let rows = text.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        Some((name.to_owned(), rest.split('|').map(|cell| cell.trim().to_owned()).collect()))
    });
    rows.collect()
}

/// Returns the differences between the fields of `Config` and the first table of docs/limits.md.
fn wrong_defaults(text: &str, fields: &BTreeMap<String, String>) -> Vec<String> {
    let section = text.split("\n## ").find(|section| section.starts_with("Library")).unwrap_or_default();
    let rows: BTreeMap<String, Vec<String>> = rows(section).into_iter().collect();
    let mut wrong = Vec::new();
    for (name, value) in fields {
        let Some(said) = rows.get(name).and_then(|cells| cells.get(1)) else {
            wrong.push(format!("{name} is missing"));
            continue;
        };
        let is_right = match number(value) {
            Some(number_of_code) => number(said) == Some(number_of_code),
            None => match &**value {
                "None" | "TrustedProxies([])" | "[]" => said == "none",
                word => said.trim_matches('`') == word,
            },
        };
        if !is_right {
            wrong.push(format!("{name} is {value}, not {said}"));
        }
    }
    wrong
}

#[test]
fn the_defaults_in_docs_limits_are_those_of_the_code() {
    let mut printed = fields(&format!("{:#?}", lariat::Config::default()));
    if !cfg!(feature = "deflate") {
        printed.remove("deflate");
    }
    assert!(printed.len() > 25, "{printed:#?}");
    assert_eq!(wrong_defaults(&read("docs/limits.md"), &printed), Vec::<String>::new());
}

#[test]
fn a_wrong_default_is_found() {
    let printed = fields(
        "Config {\n    limits: Limits {\n        max: 65536,\n        time: Some(\n            50s,\n        ),\n    },\n    most: None,\n    list: List(\n        [],\n    ),\n    word: Never,\n}",
    );
    let expected =
        [("limits.max", "65536"), ("limits.time", "50s"), ("list", "[]"), ("most", "None"), ("word", "Never")];
    assert_eq!(printed.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), expected);
    let table = |max: &str, time: &str, word: &str| {
        format!(
            "# T\n\n## Library\n\n| `limits.max` | a | {max} | b |\n| `limits.time` | a | {time} | |\n| `most` | a | none | |\n| `list` | a | none | |\n| `word` | a | {word} | |\n\n## Other\n"
        )
    };
    assert_eq!(wrong_defaults(&table("64 KiB", "50 s", "`Never`"), &printed), Vec::<String>::new());
    assert_eq!(wrong_defaults(&table("63 KiB", "5 s", "`Both`"), &printed).len(), 3);
    assert_eq!(wrong_defaults("", &printed).len(), 5);
    assert_eq!(
        (number("1,024"), number("20 MiB"), number("120s"), number("none")),
        (Some(1_024), Some(20 << 20), Some(120_000), None)
    );
}

// ---- figures ------------------------------------------------------------------------------------

/// Returns the number in `text` at the `#` of a pattern. The rest of the pattern is literal text.
fn figure(text: &str, pattern: &str) -> Option<u64> {
    let (before, after) = pattern.split_once('#').expect("a pattern has a #");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.match_indices(before).find_map(|(at, _)| {
        let rest = &text[at + before.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(rest.len());
        let digits = rest[..end].trim_end_matches(',');
        rest[digits.len()..].starts_with(after).then(|| digits.replace(',', "").parse().ok()).flatten()
    })
}

/// Returns the figures of documents that are not `expected`.
fn wrong_figures(expected: u64, places: &[(&str, &str)], read: &impl Fn(&str) -> String) -> Vec<String> {
    let wrong = places.iter().filter_map(|(path, pattern)| {
        let found = figure(&read(path), pattern);
        (found != Some(expected)).then(|| format!("{path} has {found:?} at {pattern:?}, and not {expected}"))
    });
    wrong.collect()
}

#[track_caller]
fn assert_figures(expected: u64, places: &[(&str, &str)]) {
    assert_eq!(wrong_figures(expected, places, &|path: &str| read(path)), Vec::<String>::new());
}

#[test]
fn a_wrong_figure_is_found() {
    let read = |_: &str| "It takes **1,058\nbytes** each, 3 of 7 crates.".to_owned();
    assert_eq!(wrong_figures(1_058, &[("a", "takes **# bytes**")], &read), Vec::<String>::new());
    assert_eq!(wrong_figures(7, &[("a", "of # crates")], &read), Vec::<String>::new());
    assert_eq!(wrong_figures(7, &[("a", "# crates"), ("a", "**# bytes"), ("a", "# boxes")], &read).len(), 2);
}

/// The code asserts the bytes of an entry at compile time.
#[test]
fn the_bytes_of_an_entry_are_those_of_the_code() {
    let source = files(&["rs"]).into_iter().map(|path| read(&path));
    let entry =
        source.filter_map(|text| figure(&text, "size_of::<Entry<Client<()>>>() <= #,")).min().expect("the assertion");
    assert_figures(
        entry,
        &[
            ("README.md", "# for its entry in the table of clients"),
            ("ARCHITECTURE.md", "It costs its slab entry, # bytes"),
            ("Cargo.toml", "no runtime, # bytes for an idle connection"),
            ("SECURITY.md", "the slab (# bytes per connection)"),
            ("docs/costs.md", "# of the bytes are its slab entry"),
            ("docs/decisions/0002-idle-connections.md", "An idle connection is # bytes"),
            ("docs/deployment.md", "The budget does not include # bytes per connection"),
            ("docs/limits.md", "the slab (# bytes per connection)"),
            ("src/lib.rs", "epoll or kqueue loop, # bytes for an //! idle connection"),
        ],
    );
    let parts = read("docs/decisions/0002-idle-connections.md");
    let sum: u64 =
        parts.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |")?.0.parse::<u64>().ok()).sum();
    assert_eq!(sum, entry, "the parts of an entry in docs/decisions/0002-idle-connections.md");
}

/// The README has the measured figure for real connections, and names its source.
#[test]
fn the_bytes_of_a_connection_agree() {
    let measured = figure(&read("README.md"), "costs at most **# bytes**").expect("the figure");
    assert_figures(
        measured,
        &[
            ("README.md", "**Small.** # bytes per idle connection"),
            ("ARCHITECTURE.md", "The # bytes that README.md gives"),
            ("docs/costs.md", "fixed costs included; 56 of the bytes are its slab entry | 56 to # bytes"),
            ("benches/results/README.md", "| idle | # |"),
        ],
    );
    let other = figure(&read("README.md"), "uWebSockets takes # and").expect("the figure");
    assert_figures(other, &[("benches/results/README.md", &format!("| idle | {measured} | # |"))]);
    let most = figure(&read(".ci/clients/idle.py"), "ALLOWED = #").expect("what the gate allows");
    assert!(measured <= most, "the gate allows {most} bytes");
}

/// The crates that the library builds without its default features.
#[test]
fn crates_are_counted() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    let arguments = ["tree", "-p", "lariat", "-e", "normal", "--no-default-features", "--prefix", "none", "--offline"];
    let output = command.args(arguments).current_dir(root()).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let crates: std::collections::BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert_figures(
        crates.len() as u64,
        &[("README.md", "message. # crates, and an echo server"), ("docs/costs.md", "build-time ones included | # |")],
    );
}

/// The sizes that the gate allows the smallest server.
#[test]
fn the_sizes_are_those_of_the_gate() {
    let gate = read(".ci/run");
    let bar = |pattern: &str| figure(&gate, pattern).expect("a bar");
    assert_figures(
        bar("size.py --max-3 #"),
        &[
            ("README.md", "and an echo server of # KiB at most"),
            ("docs/costs.md", "at `opt-level = 3` | 483 KiB; the gate allows # KiB"),
        ],
    );
    assert_figures(bar("--max-s #"), &[("docs/costs.md", "`opt-level = \"s\"` | 434 KiB; the gate allows # KiB")]);
}

#[test]
fn cases_of_autobahn_are_counted() {
    let count = |path: &str| read(path).lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
    let cases = count("tests/autobahn/server.tsv");
    assert_eq!(count("tests/autobahn/client.tsv"), cases);
    assert_figures(
        cases as u64,
        &[
            ("README.md", "All # cases of the Autobahn"),
            ("docs/conformance.md", "All # cases of the Autobahn"),
            ("docs/conformance.md", "| all | # |"),
            ("tests/autobahn/README.md", "All # cases"),
        ],
    );
}
