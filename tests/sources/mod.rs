//! Reads the sources of a package, for tests of what may name what.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;

/// A source file without comments, literals and unit tests, as words and punctuation.
#[derive(Debug)]
pub struct Source {
    /// Below `src`, with `/` between folders.
    pub path: String,
    pub text: String,
    pub tokens: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let production = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
        Source { path: path.to_owned(), text: text.to_owned(), tokens: tokens(production) }
    }

    /// The room that it belongs to: the first folder, or the file.
    pub fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The place of its module: `["server", "engine"]`.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|name| !matches!(*name, "lib" | "main")).map(str::to_owned).collect()
    }

    pub fn has_word(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token == word)
    }
}

/// All files below `src` of a package.
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

/// Words, `::`, and single characters; no comments, strings or characters.
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

/// All paths that a source names, from the crate or another one on: `use` trees are spread out, and
/// what they bring in is replaced where it is used.
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

/// Calls `each` for each leaf of a `use` tree, with its path and the name that it brings in.
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

/// A path from the crate's root or from another crate on.
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

/// Lines that are neither empty nor comments, outside unit tests.
pub fn code_lines(source: &Source) -> usize {
    let production = source.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    production.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}
