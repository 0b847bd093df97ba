//! Tests that the files, chapters and page labels that the guide names exist. The examples of the
//! guide are doctests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names and texts of the chapters, in order.
fn chapters() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join("src/guide")).expect("the guide");
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let is_chapter = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.into_iter().filter(is_chapter).map(|path| (name(&path), read(&path))).collect()
}

/// Returns all parts of `text` between `start` and the next `end`.
fn between<'t>(text: &'t str, start: &str, end: char) -> Vec<&'t str> {
    let parts = text.split(start).skip(1);
    parts.map(|part| part.split(end).next().unwrap_or_default()).collect()
}

#[test]
fn every_named_file_exists() {
    let mut named = 0;
    for (chapter, text) in chapters() {
        for folder in ["src/", "tests/", "examples/", "benches/", "program/"] {
            for path in between(&text, &format!("`{folder}"), '`') {
                assert!(root().join(folder).join(path).exists(), "{chapter} names {folder}{path}");
                named += 1;
            }
        }
        // Links to the source pages of rustdoc.
        for page in between(&text, "(../../../src/lariat/", ')') {
            let source = page.strip_suffix(".html").expect("a page");
            assert!(root().join("src").join(source).exists(), "{chapter} links to {page}");
            assert!(text.contains(&format!("[`src/{source}`](../../../src/lariat/{page})")), "{chapter}: {page}");
        }
    }
    assert!(named > 40, "only {named} files are named");
}

/// All texts of the site: its pages, and what their handlers send to them.
fn site() -> String {
    let mut folders = vec![root().join("program/src/site")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            match entry.extension().and_then(|extension| extension.to_str()) {
                _ if entry.is_dir() => folders.push(entry),
                Some("html" | "js") => all += &read(&entry),
                _ => {}
            }
        }
    }
    all
}

#[test]
fn every_named_label_is_on_the_pages() {
    let (site, mut named) = (site(), 0);
    for (chapter, text) in chapters() {
        let part = text.split("# Try it").nth(1).and_then(|rest| rest.split("# ").next()).expect("a part to try");
        let prose: String = part.split("```").step_by(2).collect::<Vec<_>>().join("");
        for label in prose.split('"').skip(1).step_by(2) {
            let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(site.contains(&label), "{chapter} names the label {label:?}");
            named += 1;
        }
    }
    assert!(named > 15, "only {named} labels are named");
}

#[test]
fn every_chapter_is_listed_and_leads_to_the_next() {
    let (index, chapters) = (read(&root().join("src/guide/mod.rs")), chapters());
    assert_eq!(between(&index, "include_str!(\"", '"').len(), chapters.len());
    for (at, (name, text)) in chapters.iter().enumerate() {
        assert!(index.contains(&format!("//! | {} | [", at + 1)), "{name} is not in the table");
        assert!(index.contains(&format!("]({name}) |")), "{name} is not in the table");
        assert!(index.contains(&format!("#[doc = include_str!(\"{name}.md\")]\npub mod {name} {{}}")), "{name}");
        if let Some((next, _)) = chapters.get(at + 1) {
            assert!(text.contains(&format!("(crate::guide::{next})")), "{name} does not lead to {next}");
        }
        for part in ["# In the source", "# Try it", "# Exercises"] {
            assert!(text.contains(part), "{name} has no {part:?}");
        }
    }
}

#[test]
fn every_rust_example_is_a_test() {
    for (chapter, text) in chapters() {
        let fences: Vec<&str> = text.lines().filter(|line| line.starts_with("```")).collect();
        for fence in fences.chunks(2) {
            assert!(matches!(fence, ["```" | "```text" | "```toml", "```"]), "{chapter}: {fence:?}");
        }
    }
}
