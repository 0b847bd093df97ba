//! Links, and files, tests, rooms and types that are named.

use crate::lines::Lines;
use crate::{files, markdown, read, root};

/// Places in the repository in which documents name files.
const PLACES: [&str; 7] = ["src/", "program/", "tests/", "docs/", "benches/", ".ci/", "examples/"];

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
            let wanted = format!("{kind} {name}");
            let mut found = source.match_indices(&wanted);
            found.any(|(at, text)| !source[at + text.len()..].starts_with(char::is_alphanumeric))
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
