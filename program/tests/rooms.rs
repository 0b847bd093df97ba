//! The order of the program's rooms, read from its sources: `main -> cli -> site`, and the library
//! only by its public root.

#[path = "../../tests/sources/mod.rs"]
mod sources;

use sources::{Source, code_lines, paths};

/// All files below `program/src`.
fn sources() -> Vec<Source> {
    sources::sources(env!("CARGO_MANIFEST_DIR"))
}

/// The paths that `source` names although it must not.
fn violations(source: &Source) -> Vec<String> {
    let forbidden: &[&str] = match source.room() {
        "site" => &["mio", "socket2", "lariat::protocol", "crate::cli", "std::net", "std::os"],
        "cli" => &["mio", "socket2", "lariat::protocol"],
        "lib.rs" => &["lariat"],
        "main.rs" => &["lariat", "mio", "socket2"],
        room => return vec![format!("{room} is a room without rules")],
    };
    let lies_in = |path: &str, place: &str| path == place || path.starts_with(&format!("{place}::"));
    let is_wrong = |path: &String| forbidden.iter().any(|place| lies_in(path, place));
    paths(source).into_iter().filter(is_wrong).map(|path| format!("{} names {path}", source.path)).collect()
}

#[test]
fn rooms_import_downwards_only() {
    let wrong: Vec<String> = sources().iter().flat_map(violations).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_load_driver_reads_the_clock() {
    let sources = sources();
    let readers = |source: &&Source| paths(source).iter().any(|path| path.ends_with("Instant::now"));
    let readers: Vec<&str> = sources.iter().filter(readers).map(|source| source.path.as_str()).collect();
    // Round trips are measured with a finer clock than the loop's ticks.
    assert_eq!(readers, ["cli/load/clock.rs"]);
    let waiters = |source: &&Source| source.has_word("sleep") || source.has_word("park_timeout");
    assert_eq!(sources.iter().filter(waiters).count(), 0);
}

#[test]
fn nothing_is_unsafe_and_nothing_is_shared_behind_a_cell() {
    let sources = sources();
    for path in ["lib.rs", "main.rs"] {
        let source = sources.iter().find(|source| source.path == path).expect("it is there");
        assert!(source.text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{path}");
    }
    for word in ["unsafe", "RefCell", "transmute"] {
        let users: Vec<&str> = sources.iter().filter(|s| s.has_word(word)).map(|s| s.path.as_str()).collect();
        assert_eq!(users, Vec::<&str>::new(), "{word}");
    }
}

#[test]
fn files_are_small() {
    let large: Vec<(String, usize)> = sources()
        .iter()
        .map(|source| (source.path.clone(), code_lines(source)))
        .filter(|(_, lines)| *lines > 700)
        .collect();
    assert!(large.is_empty(), "more than 700 lines of code: {large:?}");
}

#[test]
fn a_forbidden_import_is_found() {
    for (path, text, named) in [
        ("site/a.rs", "use lariat::protocol::Connection;", "lariat::protocol::Connection"),
        ("site/b/mod.rs", "fn f() { super::super::cli::run(); }", "crate::cli::run"),
        ("cli/a.rs", "use mio::Poll;", "mio::Poll"),
        ("main.rs", "fn main() { lariat::Server::bind(0); }", "lariat::Server::bind"),
        ("attic/a.rs", "", "attic is a room without rules"),
    ] {
        let wrong = violations(&Source::new(path, text));
        assert!(wrong.iter().any(|wrong| wrong.ends_with(named)), "{text:?} in {path}: {wrong:?}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (path, text) in [
        ("site/a.rs", "use lariat::{Clients, Handler};\nuse super::page::Page;\nuse lariat::http::Response;"),
        ("cli/a.rs", "use crate::site::Site;\nuse std::net::SocketAddr;"),
        ("main.rs", "fn main() -> std::process::ExitCode { lariat_cli::cli::run() }"),
    ] {
        assert_eq!(violations(&Source::new(path, text)), Vec::<String>::new(), "{text:?} in {path}");
    }
}
