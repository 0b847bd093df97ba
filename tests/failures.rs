//! `docs/failures-of-others.md` names a source and an existing test for each entry.

use std::path::Path;

/// An entry of the page, as far as it has been read.
#[derive(Debug, Default)]
struct Entry {
    title: String,
    has_source: bool,
    file: Option<String>,
    /// A test function in this file.
    test: Option<String>,
}

/// Returns the entries of the page: each begins with a heading of the third level.
fn entries(page: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            entries.push(Entry { title: title.to_owned(), ..Entry::default() });
        }
        let Some(entry) = entries.last_mut() else { continue };
        if let Some(source) = line.strip_prefix("Source: ") {
            entry.has_source = source.starts_with('[') && source.contains("](https://");
        }
        let quoted = |prefix: &str| Some(line.strip_prefix(prefix)?.strip_suffix('`')?.to_owned());
        entry.file = quoted("* file `").or(entry.file.take());
        entry.test = quoted("* function `").or(entry.test.take());
    }
    entries
}

/// Returns what is wrong with an entry, given how a file of the repository is read.
fn faults(entry: &Entry, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let title = &entry.title;
    if !entry.has_source {
        return Some(format!("{title}: no source with an address"));
    }
    let (Some(file), Some(test)) = (&entry.file, &entry.test) else { return Some(format!("{title}: no test")) };
    let Some(text) = read(file) else { return Some(format!("{title}: there is no file {file}")) };
    let is_test = text.contains(&format!("fn {test}("));
    (!is_test).then(|| format!("{title}: {file} has no test {test}"))
}

fn read(file: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

#[test]
fn every_entry_has_a_source_and_an_existing_test() {
    let page = read("docs/failures-of-others.md").expect("the page exists");
    let entries = entries(&page);
    assert!(entries.len() >= 30, "only {} entries", entries.len());
    let faults: Vec<String> = entries.iter().filter_map(|entry| faults(entry, read)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(page.contains(&format!("lists {} public bugs", entries.len())), "the page states another number");
}

#[test]
fn each_fault_of_an_entry_is_found() {
    let page = "### A\n\nSource: [x](https://a.example/1)\n\nTest:\n\n* file `tests/a.rs`\n* function `b`\n";
    let fault = |page: &str| {
        let entries = entries(page);
        assert_eq!(entries.len(), 1);
        faults(&entries[0], |file| (file == "tests/a.rs").then(|| "fn b() {}".to_owned()))
    };
    assert_eq!(fault(page), None);
    assert_eq!(fault(&page.replace("`b`", "`c`")).as_deref(), Some("A: tests/a.rs has no test c"));
    assert_eq!(fault(&page.replace("a.rs", "z.rs")).as_deref(), Some("A: there is no file tests/z.rs"));
    assert_eq!(fault(&page.replace("https", "x")).as_deref(), Some("A: no source with an address"));
    assert_eq!(fault(&page.replace("function", "")).as_deref(), Some("A: no test"));
}
