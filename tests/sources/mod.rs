//! Reads the sources of a package, for tests that check which file may name what.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A source file as words and punctuation, without comments, literals and unit tests.
#[derive(Debug)]
pub struct Source {
    /// The path below `src`, with `/` between folders.
    pub path: String,
    pub text: String,
    pub tokens: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let production = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
        Source { path: path.to_owned(), text: text.to_owned(), tokens: tokens(production) }
    }

    /// Returns the room of the file: the first folder, or the file itself.
    pub fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Returns the path of its module: `["server", "engine"]`.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|name| !matches!(*name, "lib" | "main")).map(str::to_owned).collect()
    }

    pub fn has_word(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token == word)
    }
}

/// Returns all files below `src` of a package.
pub fn sources(package: &str) -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, into: &mut Vec<Source>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, root, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
                into.push(Source::new(&relative, &std::fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    let (root, mut sources) = (Path::new(package).join("src"), Vec::new());
    walk(&root, &root, &mut sources);
    assert!(sources.len() > 30, "only {} sources were found", sources.len());
    sources
}

/// Splits a text into words, `::` and single characters, without comments, strings and character
/// literals.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    while at < chars.len() {
        let start = at;
        if starts(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            while at < chars.len() && !starts(at, "*/") {
                at += 1;
            }
            at += 2;
        } else if starts(at, "r\"") || starts(at, "r#") && chars.get(at + 2).is_some_and(|c| matches!(c, '"' | '#')) {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += 2 + hashes;
            while at < chars.len() && !starts(at, &end) {
                at += 1;
            }
            at += end.len();
        } else if chars[at] == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if chars[at] == '\'' {
            // A lifetime has no closing quote.
            let closing = if chars.get(at + 1) == Some(&'\\') {
                (at + 3..chars.len()).find(|i| chars[*i] == '\'')
            } else {
                Some(at + 2).filter(|i| chars.get(*i) == Some(&'\''))
            };
            at = closing.map_or(at + 1, |closing| closing + 1);
        } else if chars[at].is_alphanumeric() || chars[at] == '_' {
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            tokens.push(chars[start..at].iter().collect());
        } else if starts(at, "::") {
            at += 2;
            tokens.push("::".to_owned());
        } else {
            at += 1;
            if !chars[start].is_whitespace() {
                tokens.push(chars[start].to_string());
            }
        }
    }
    tokens
}

/// Returns all paths that a source names, from the root of this crate or another one. `use` trees
/// are expanded, and imported names are replaced where they are used.
pub fn paths(source: &Source) -> Vec<String> {
    let (mut found, mut names, mut rest) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut tokens = source.tokens.iter().map(String::as_str).peekable();
    while let Some(token) = tokens.next() {
        if token != "use" {
            rest.push(token);
            continue;
        }
        let tree: Vec<&str> = tokens.by_ref().take_while(|token| *token != ";").collect();
        spread(&tree, &[], &mut |path, name| {
            let path = absolute(source, path);
            names.insert(name.to_owned(), path.clone());
            found.push(path.join("::"));
        });
    }
    let is_name = |token: &str| token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let mut at = 0;
    while at < rest.len() {
        let mut path = vec![rest[at].to_owned()];
        let is_start = is_name(rest[at]);
        at += 1;
        while is_start && rest.get(at) == Some(&"::") && rest.get(at + 1).is_some_and(|token| is_name(token)) {
            path.push(rest[at + 1].to_owned());
            at += 2;
        }
        if let Some(brought_in) = names.get(&path[0]) {
            path.splice(..1, brought_in.iter().cloned());
        } else if path.len() > 1 {
            path = absolute(source, &path);
        } else {
            continue;
        }
        found.push(path.join("::"));
    }
    found
}

/// Calls `each` for each leaf of a `use` tree, with its path and the name that it imports.
pub fn spread(tree: &[&str], prefix: &[String], each: &mut impl FnMut(&[String], &str)) {
    let (mut path, mut at) = (prefix.to_vec(), 0);
    while at < tree.len() {
        match tree[at] {
            "::" => {}
            "{" => {
                let (mut depth, mut start) = (0, at + 1);
                for (index, token) in tree.iter().enumerate().skip(at) {
                    depth += i32::from(*token == "{") - i32::from(*token == "}");
                    if (*token == "," && depth == 1) || (*token == "}" && depth == 0) {
                        if start < index {
                            spread(&tree[start..index], &path, each);
                        }
                        start = index + 1;
                    }
                }
                return;
            }
            "as" => return each(&path, tree[at + 1]),
            "self" if !path.is_empty() => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    let name = path.last().cloned().unwrap_or_default();
    each(&path, &name);
}

/// Returns a path from the root of this crate or of another one.
fn absolute(source: &Source, path: &[String]) -> Vec<String> {
    let mut module = source.module();
    let mut rest = path;
    match rest.first().map(String::as_str) {
        Some("self") => rest = &rest[1..],
        Some("super") => {}
        Some(_) | None => return path.to_vec(),
    }
    while rest.first().is_some_and(|name| name == "super") {
        module.pop();
        rest = &rest[1..];
    }
    [vec!["crate".to_owned()], module, rest.to_vec()].concat()
}

/// Returns the number of lines that are neither empty nor comments, outside unit tests.
pub fn code_lines(source: &Source) -> usize {
    let production = source.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    production.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// A file with more lines of code than this should be two files.
pub const MOST_LINES: usize = 700;

/// Returns the files with too many lines of code, and the number of these.
pub fn large(sources: &[Source]) -> Vec<(&str, usize)> {
    let lines = sources.iter().map(|source| (source.path.as_str(), code_lines(source)));
    lines.filter(|(_, lines)| *lines > MOST_LINES).collect()
}

/// Returns the paths of the files for which this is true, in order.
fn paths_where(sources: &[Source], is_meant: impl Fn(&Source) -> bool) -> Vec<&str> {
    let mut paths: Vec<&str> = sources.iter().filter(|source| is_meant(source)).map(|s| s.path.as_str()).collect();
    paths.sort_unstable();
    paths
}

/// Returns the paths of the files that name a word.
pub fn with_word<'a>(sources: &'a [Source], word: &str) -> Vec<&'a str> {
    paths_where(sources, |source| source.has_word(word))
}

/// Returns the paths of the files that read the clock.
pub fn clock_readers(sources: &[Source]) -> Vec<&str> {
    let is_clock = |path: &String| path.ends_with("Instant::now") || path.ends_with("SystemTime::now");
    paths_where(sources, |source| paths(source).iter().any(is_clock))
}

/// Returns the paths of the files that wait for time to pass.
pub fn waiters(sources: &[Source]) -> Vec<&str> {
    paths_where(sources, |source| source.has_word("sleep") || source.has_word("park_timeout"))
}

// ---- maps: the tables in `mod.rs` ---------------------------------------------------------------

/// The table in the doc comment of a `mod.rs` or `lib.rs`. The heading of its first column is
/// `room` or `file`. Each name in it stands in backticks.
#[derive(Debug, PartialEq, Eq)]
pub struct Map {
    /// The names in the first column, without `/` and `.rs`.
    pub names: Vec<String>,
    /// Whether the heading is `room`: the lowest room comes first, and each imports only from those
    /// above it in the table. With the heading `file` there is no order, and circles are allowed.
    pub is_ordered: bool,
}

impl Source {
    /// Whether this is the `mod.rs` of a folder, or the root.
    pub fn is_map(&self) -> bool {
        self.path == "lib.rs" || self.path.ends_with("/mod.rs")
    }

    /// Returns the table of rooms or files, if there is one.
    pub fn map(&self) -> Option<Map> {
        let rows = self.text.lines().filter_map(|line| line.strip_prefix("//! | "));
        let cells: Vec<&str> = rows.filter_map(|row| row.split(" | ").next()).map(str::trim).collect();
        let start = cells.iter().position(|cell| matches!(*cell, "room" | "file"))?;
        let names = cells[start + 1..].iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let names = names.map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned()).collect();
        Some(Map { names, is_ordered: cells[start] == "room" })
    }

    /// Returns the code of the file other than `mod` and `use` lines and their attributes.
    pub fn code(&self) -> Vec<&str> {
        let tokens: Vec<&str> = self.tokens.iter().map(String::as_str).collect();
        let (mut at, mut code) = (0, Vec::new());
        let closing = |from: usize, open: &str, close: &str| {
            let mut depth = 0;
            let is_end = |token: &&str| {
                depth += i32::from(*token == open) - i32::from(*token == close);
                depth == 0
            };
            tokens[from..].iter().position(is_end).map_or(tokens.len(), |end| from + end + 1)
        };
        while at < tokens.len() {
            match tokens[at..] {
                ["#", "[", ..] => at = closing(at + 1, "[", "]"),
                ["#", "!", "[", ..] => at = closing(at + 2, "[", "]"),
                ["pub", "(", ..] => at = closing(at + 1, "(", ")"),
                ["pub", ..] => at += 1,
                ["mod", _, ";", ..] => at += 3,
                ["use", ..] => at += tokens[at..].iter().take_while(|token| **token != ";").count() + 1,
                _ => {
                    code.push(tokens[at]);
                    at += 1;
                }
            }
        }
        code
    }
}

/// Returns the names of the files and folders beside a `mod.rs` or `lib.rs`, without itself and
/// without unit tests.
fn children(map: &Source, sources: &[Source]) -> BTreeSet<String> {
    let folder = map.path.trim_end_matches("lib.rs").trim_end_matches("mod.rs");
    let below = sources.iter().filter_map(|source| source.path.strip_prefix(folder));
    let names = below.map(|path| path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned());
    names.filter(|name| !matches!(name.as_str(), "lib" | "main" | "mod") && !name.ends_with("_tests")).collect()
}

/// Returns the maps that are wrong, or that contain code.
pub fn wrong_maps(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.is_map()) {
        let Some(map) = source.map() else {
            wrong.push(format!("{} has no table of rooms or files", source.path));
            continue;
        };
        let (named, found) = (map.names.iter().cloned().collect(), children(source, sources));
        for name in found.difference(&named) {
            wrong.push(format!("{} does not name {name}", source.path));
        }
        for name in named.difference(&found) {
            wrong.push(format!("{} names {name}, which does not exist", source.path));
        }
        if let [first, ..] = source.code()[..] {
            wrong.push(format!("{} is more than a map: {first}", source.path));
        }
    }
    wrong
}

/// Returns the imports from a room to one that comes later in the table of the `mod.rs` or `lib.rs`
/// above both. A re-export of a map counts as the item that it re-exports.
pub fn upward_imports(sources: &[Source]) -> Vec<String> {
    let mut maps = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_map()) {
        let Some(map) = source.map().filter(|map| map.is_ordered) else { continue };
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        spread_uses(source, &mut |path, name| {
            let child = path.iter().find(|part| map.names.contains(part));
            if let Some(place) = child.and_then(|child| map.names.iter().position(|name| name == child)) {
                places.insert(name.to_owned(), place);
            }
        });
        places.extend(map.names.iter().enumerate().map(|(place, name)| (name.clone(), place)));
        maps.insert(source.module(), places);
    }
    let mut wrong = Vec::new();
    for source in sources {
        let module = source.module();
        for path in paths(source) {
            let Some(named) = path.strip_prefix("crate::") else { continue };
            let named: Vec<&str> = named.split("::").collect();
            for depth in 0..module.len().min(named.len()) {
                let Some(places) = maps.get(&module[..depth]) else { continue };
                let (from, to) = (places.get(&module[depth]), places.get(named[depth]));
                if from.zip(to).is_some_and(|(from, to)| to > from) {
                    wrong.push(format!("{} names {path}", source.path));
                }
                if module[depth] != named[depth] {
                    break;
                }
            }
        }
    }
    wrong
}

/// Calls `each` for each leaf of the `use` trees of a source.
fn spread_uses(source: &Source, each: &mut impl FnMut(&[String], &str)) {
    let mut tokens = source.tokens.iter().map(String::as_str);
    while let Some(token) = tokens.next() {
        if token == "use" {
            let tree: Vec<&str> = tokens.by_ref().take_while(|token| *token != ";").collect();
            spread(&tree, &[], each);
        }
    }
}
