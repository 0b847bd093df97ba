//! The options that the documents name, and their defaults, against what the program prints.
//! `tests/documents` checks the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const COMMANDS: [&str; 7] = ["serve", "load", "load merge", "load diff", "doctor", "cert", "connect"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn help(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lariat"))
        .args(command.split(' '))
        .arg("--help")
        .output()
        .expect("the program");
    String::from_utf8(output.stdout).expect("text")
}

/// The options of a help text, each with its default, if it has one.
fn options(help: &str) -> BTreeMap<String, Option<String>> {
    let (mut options, mut last) = (BTreeMap::new(), None);
    for line in help.lines().map(str::trim) {
        let names = line.split_whitespace().map(|word| word.trim_end_matches(','));
        let is_definition = line.starts_with('-');
        for name in names.take(2).filter(|name| is_definition && name.starts_with("--")) {
            options.insert(name.to_owned(), None);
            last = Some(name.to_owned());
        }
        if let Some((_, default)) = line.split_once("[default: ") {
            if let Some(last) = &last {
                options.insert(last.clone(), Some(default.trim_end_matches(']').to_owned()));
            }
        }
    }
    options
}

/// The options of Lariat that a document names in code spans: those that stand alone, and those of
/// commands of the program.
fn named(text: &str) -> BTreeSet<String> {
    let (mut outside, mut is_code) = (String::new(), false);
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence {
            outside = outside + line + "\n";
        }
    }
    let spans = outside.split('`').skip(1).step_by(2);
    let ours = spans.filter(|span| span.starts_with("--") || span.starts_with("lariat "));
    let words = ours.flat_map(str::split_whitespace).map(|word| word.trim_start_matches('['));
    let long = words.filter(|word| word.starts_with("--") && word.len() > 2);
    let name = |word: &str| word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    long.map(name).collect()
}

/// Options of other programs that the documents name alone.
const FOREIGN: [&str; 5] = ["--build-id", "--cfg", "--renew", "--scenarios", "--target"];

fn unknown(text: &str, known: &BTreeSet<String>) -> Vec<String> {
    named(text).into_iter().filter(|name| !known.contains(name) && !FOREIGN.contains(&&**name)).collect()
}

#[test]
fn every_option_that_is_named_exists() {
    let mut known: BTreeSet<String> = ["--help", "--version"].map(str::to_owned).into();
    for command in COMMANDS {
        known.extend(options(&help(command)).into_keys());
    }
    assert!(known.len() > 40, "{known:?}");
    let mut documents: Vec<String> =
        ["README", "ARCHITECTURE", "CHANGELOG", "SECURITY", "CONTRIBUTING"].map(|name| format!("{name}.md")).to_vec();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for folder in ["docs", "docs/decisions"] {
        let entries = std::fs::read_dir(docs.join("..").join(folder)).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        documents.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    for document in documents {
        assert_eq!(unknown(&read(&document), &known), Vec::<String>::new(), "{document}");
    }
}

/// What differs between the table of the program's options in docs/limits.md and the help text.
fn wrong_rows(text: &str, options: &BTreeMap<String, Option<String>>) -> Vec<String> {
    let section = text.split("\n## ").find(|section| section.starts_with("Program")).unwrap_or_default();
    let squeezed = |text: &str| text.replace([' ', ','], "");
    let mut wrong = Vec::new();
    let (mut rows, mut seen) = (0, BTreeSet::new());
    for line in section.lines().filter(|line| line.starts_with("| `--")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, default) = (cells[1].trim_matches('`'), cells[3]);
        rows += 1;
        // Other rows of an option tell what follows from it.
        if !seen.insert(name) {
            continue;
        }
        let said = options.get(name).map(|default| default.as_deref().unwrap_or_default());
        let is_right = match (said, default) {
            (None, _) => false,
            // Without a default, or with one in words.
            (Some(printed), "none" | "off") => !printed.starts_with(|c: char| c.is_ascii_digit()),
            (Some(printed), default) => squeezed(printed) == squeezed(default),
        };
        if !is_right {
            wrong.push(format!("{name}: {default}, and not {said:?}"));
        }
    }
    if rows == 0 {
        wrong.push("no rows".to_owned());
    }
    wrong
}

#[test]
fn the_defaults_of_the_program_are_those_of_its_help() {
    assert_eq!(wrong_rows(&read("docs/limits.md"), &options(&help("serve"))), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_found() {
    let help =
        "Options:\n      --size <SIZE>\n          How large [default: 16MiB]\n  -m, --most <N>\n          No more\n";
    let options = options(help);
    let expected = [("--most".to_owned(), None), ("--size".to_owned(), Some("16MiB".to_owned()))];
    assert_eq!(options.clone().into_iter().collect::<Vec<_>>(), expected);
    let known: BTreeSet<String> = options.keys().cloned().collect();
    let text = "`--size 1`, `lariat serve --most 2 --gone`, `[--lost X]`, `docker --other`\n```\n`--literal`\n```\n`--missing=1`";
    assert_eq!(unknown(text, &known), ["--gone", "--missing"]);
    let table = |size: &str, option: &str| {
        format!(
            "# L\n\n## Program\n\n| option | field | default |\n|---|---|--:|\n| `--size` | `a` | {size} |\n| `{option}` | `b` | none |\n"
        )
    };
    assert_eq!(wrong_rows(&table("16 MiB", "--most"), &options), Vec::<String>::new());
    assert_eq!(wrong_rows(&table("15 MiB", "--gone"), &options).len(), 2);
    assert_eq!(wrong_rows(&table("none", "--most"), &options).len(), 1);
    assert_eq!(wrong_rows("", &options).len(), 1);
}
