//! Figures and defaults are those of the code.

use crate::{files, read, root};
use std::collections::BTreeMap;
use std::process::Command;

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

/// The table of docs/limits.md has the fields in which `Config::small` differs, and no others.
#[test]
fn what_is_small_in_docs_limits_is_what_the_code_says() {
    let [small, default] =
        [lariat::Config::small(), lariat::Config::default()].map(|config| fields(&format!("{config:#?}")));
    let differs = |(name, value): &(&String, &String)| default.get(*name) != Some(*value);
    let text = |value: &str| if value == "None" { "none".to_owned() } else { value.to_owned() };
    let wanted = small.iter().filter(differs).map(|(name, value)| (name.clone(), text(value)));
    let mut wanted: BTreeMap<String, String> = wanted.collect();
    // In a build without the feature, it is off by default as well.
    wanted.entry("deflate".to_owned()).or_insert_with(|| "none".to_owned());
    let page = read("docs/limits.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Small hosts")).expect("the section");
    let said: BTreeMap<String, String> =
        rows(section).into_iter().map(|(name, cells)| (name, cells[0].clone())).collect();
    assert_eq!(said.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, value) in wanted {
        assert_eq!(number(&said[&name]), number(&value), "{name}");
    }
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
    let entry = source
        .filter_map(|text| figure(&text, "target_pointer_width = \"64\") { # } else"))
        .min()
        .expect("the assertion");
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
            ("docs/costs.md", "beside a first one; 56 of the bytes are its slab entry | 56 to # bytes"),
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
            ("docs/costs.md", "at `opt-level = 3` | 507 KiB; the gate allows # KiB"),
        ],
    );
    assert_figures(bar("--max-s #"), &[("docs/costs.md", "`opt-level = \"s\"` | 454 KiB; the gate allows # KiB")]);
    assert_figures(
        bar("--max-small #"),
        &[
            ("README.md", "KiB at most ([# when small]"),
            ("docs/costs.md", "relocation-model=static` | 446 KiB; the gate allows # KiB"),
            ("docs/embedding.md", "at most # KiB of program"),
        ],
    );
    assert_figures(
        bar("--max-start #"),
        &[
            ("docs/costs.md", "120 to 124 KiB; the gate allows # KiB"),
            ("docs/embedding.md", "of program, # KiB of `RssAnon` at its start"),
        ],
    );
    assert_figures(
        bar("--max-idle #"),
        &[
            ("docs/costs.md", "12 to 16 KiB; the gate allows # KiB"),
            ("docs/embedding.md", "and # KiB more with 100 idle connections"),
        ],
    );
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
