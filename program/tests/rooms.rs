//! The order of the program's rooms, read from its sources. The table in each `mod.rs` names its
//! rooms, the lowest first; the program names the library only by its public root.

#[path = "../../tests/sources/mod.rs"]
mod sources;

use sources::{MOST_LINES, Source, clock_readers, large, paths, upward_imports, waiters, with_word, wrong_maps};

/// All files below `program/src`.
fn sources() -> Vec<Source> {
    sources::sources(env!("CARGO_MANIFEST_DIR"))
}

/// The paths outside the program that `source` names although it must not.
fn violations(source: &Source) -> Vec<String> {
    let forbidden: &[&str] = match source.room() {
        "site" => &["mio", "socket2", "lariat::protocol", "std::net", "std::os"],
        "main.rs" => &["lariat", "mio", "socket2"],
        _ => &["mio", "socket2", "lariat::protocol"],
    };
    let lies_in = |path: &str, place: &str| path == place || path.starts_with(&format!("{place}::"));
    let is_wrong = |path: &String| forbidden.iter().any(|place| lies_in(path, place));
    paths(source).into_iter().filter(is_wrong).map(|path| format!("{} names {path}", source.path)).collect()
}

#[test]
fn rooms_import_downwards_only() {
    let sources = sources();
    let wrong: Vec<String> = sources.iter().flat_map(violations).chain(upward_imports(&sources)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_map_names_every_file_and_holds_no_code() {
    let wrong = wrong_maps(&sources());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_three_files_read_a_clock() {
    // Certificates have dates. Round trips are measured with a finer clock than the loop's ticks.
    // The age of a message from another server needs a clock that both have.
    assert_eq!(clock_readers(&sources()), ["cert/dates.rs", "clock.rs", "site/chat/shared.rs"]);
    assert_eq!(waiters(&sources()), Vec::<&str>::new());
}

#[test]
fn nothing_is_unsafe_and_nothing_is_shared_behind_a_cell() {
    let sources = sources();
    for path in ["lib.rs", "main.rs"] {
        let source = sources.iter().find(|source| source.path == path).expect("it is there");
        assert!(source.text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{path}");
    }
    for word in ["unsafe", "RefCell", "transmute"] {
        assert_eq!(with_word(&sources, word), Vec::<&str>::new(), "{word}");
    }
}

#[test]
fn files_are_small() {
    let sources = sources();
    let large = large(&sources);
    assert!(large.is_empty(), "more than {MOST_LINES} lines of code: {large:?}");
}

#[test]
fn a_forbidden_import_is_found() {
    for (path, text, named) in [
        ("site/a.rs", "use lariat::protocol::Connection;", "lariat::protocol::Connection"),
        ("site/a.rs", "use std::net::TcpStream;", "std::net::TcpStream"),
        ("cli/a.rs", "use mio::Poll;", "mio::Poll"),
        ("main.rs", "fn main() { lariat::Server::bind(0); }", "lariat::Server::bind"),
    ] {
        let wrong = violations(&Source::new(path, text));
        assert!(wrong.iter().any(|wrong| wrong.ends_with(named)), "{text:?} in {path}: {wrong:?}");
    }
    for (path, text) in [
        ("site/a.rs", "use lariat::{Clients, Handler};\nuse super::page::Page;\nuse lariat::http::Response;"),
        ("cli/a.rs", "use crate::site::Site;\nuse std::net::SocketAddr;"),
        ("main.rs", "fn main() -> std::process::ExitCode { lariat_cli::cli::run() }"),
    ] {
        assert_eq!(violations(&Source::new(path, text)), Vec::<String>::new(), "{text:?} in {path}");
    }
}

/// Two rooms with a circle inside the upper one, and `text` in a file of the lower one.
fn house(text: &str) -> [Source; 6] {
    [
        Source::new(
            "lib.rs",
            "//! | room | question |\n//! |---|---|\n//! | `low/` | a? |\n//! | `high` | b? |\nmod low;",
        ),
        Source::new("low/mod.rs", "//! | file | question |\n//! |---|---|\n//! | `a.rs`, `b` | a? |\nmod a;\nmod b;"),
        Source::new("low/a.rs", text),
        Source::new("low/b.rs", "use super::a::A;"),
        Source::new("high/mod.rs", "//! | file | question |\n//! |---|---|\n//! | `c` | c? |\nmod c;\npub use c::C;"),
        Source::new("high/c.rs", "use crate::low::A;"),
    ]
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    for text in ["use crate::high::C;", "fn f() { super::super::high::f(); }", "use {std::io, crate::{high as h}};"] {
        assert_eq!(upward_imports(&house(text)).len(), 1, "{text}");
    }
    for text in ["use super::b::B;", "use std::high::C;", "// use crate::high::C;"] {
        assert_eq!(upward_imports(&house(text)), Vec::<String>::new(), "{text}");
    }
    let mut house = house("use crate::C;");
    house[0] = Source::new("lib.rs", &format!("{}\npub use high::{{C}};", house[0].text));
    assert_eq!(upward_imports(&house), ["low/a.rs names crate::C"], "what a map re-exports");
}

#[test]
fn a_map_that_is_not_true_is_found() {
    assert_eq!(wrong_maps(&house("")), Vec::<String>::new());
    let table = "//! | file | question |\n//! |---|---|\n";
    for (map, wrong) in [
        ("mod a;".to_owned(), "low/mod.rs has no table of rooms or files"),
        (format!("{table}//! | `a` | a? |\nmod a;"), "low/mod.rs does not name b"),
        (format!("{table}//! | `a` `b` `c` | a? |\nmod a;"), "low/mod.rs names c, which does not exist"),
        (format!("{table}//! | `a` `b` | a? |\nmod a;\nfn f() {{}}"), "low/mod.rs is more than a map: fn"),
    ] {
        let mut house = house("");
        house[1] = Source::new("low/mod.rs", &map);
        assert_eq!(wrong_maps(&house), [wrong]);
    }
}
