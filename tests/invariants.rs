//! The invariants of the crate's front page that live in no single place: who may name what. Read
//! from the sources.
//!
//! 1. The protocol never sees a socket, a poller or a clock.
//! 2. The loop never sees a frame.
//! 3. Handlers only queue: in `server`, sockets are written and slots freed in the loop's own
//!    files.
//! 4. An idle connection owns no buffer: see `memory.rs`, and the assertion beside the slab entry.

mod sources;

use sources::{Source, code_lines, paths, spread};

/// All files below `src`.
fn sources() -> Vec<Source> {
    sources::sources(env!("CARGO_MANIFEST_DIR"))
}

// ---- the rules
// -----------------------------------------------------------------------------------

/// What `source` names although it must not; nothing if it is in order.
fn violations(source: &Source, root: &Source) -> Vec<String> {
    let named = paths(source);
    let lies_in = |path: &str, place: &str| path == place || path.starts_with(&format!("{place}::"));
    let mut wrong: Vec<String> = Vec::new();
    let mut forbid = |places: &[&str], except: &[&str]| {
        let is_wrong = |path: &&String| {
            places.iter().any(|place| lies_in(path, place)) && !except.iter().any(|place| lies_in(path, place))
        };
        wrong.extend(named.iter().filter(is_wrong).map(|path| format!("{} names {path}", source.path)));
    };
    const CLOCKS: [&str; 3] = ["std::time::Instant::now", "std::time::SystemTime", "std::thread"];
    match source.room() {
        "protocol" => {
            let addresses = ["SocketAddr", "SocketAddrV4", "SocketAddrV6", "IpAddr", "Ipv4Addr", "Ipv6Addr"];
            let addresses = addresses.map(|name| format!("std::net::{name}"));
            let except: Vec<&str> = addresses.iter().map(String::as_str).collect();
            forbid(&["mio", "socket2", "libc", "slab", "std::net", "std::os", "std::fs"], &except);
            forbid(&["crate::server"], &[]);
            let root_names = root_names(root, "server");
            forbid(&root_names.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
            forbid(&CLOCKS, &[]);
            if source.path != "protocol/time.rs" {
                forbid(&["std::time::Instant"], &[]);
            }
        }
        "server" => {}
        "guide" => wrong.extend(named.iter().map(|path| format!("{} names {path}", source.path))),
        // Below all rooms.
        "parts.rs" => forbid(&["crate"], &[]),
        "lib.rs" => {}
        room => wrong.push(format!("{room} is a room without rules")),
    }
    wrong
}

/// What `lib.rs` re-exports from a room, as paths from the root.
fn root_names(root: &Source, room: &str) -> Vec<String> {
    let mut names = Vec::new();
    let tokens: Vec<&str> = root.tokens.iter().map(String::as_str).collect();
    for (at, token) in tokens.iter().enumerate() {
        if *token == "use" && tokens[at + 1] == room {
            let end = tokens[at..].iter().position(|token| *token == ";").expect("a semicolon") + at;
            spread(&tokens[at + 1..end], &[], &mut |_, name| names.push(format!("crate::{name}")));
        }
    }
    names
}

/// Files that must not know what a frame is.
const FRAMELESS: [&str; 4] =
    ["server/event_loop.rs", "server/engine.rs", "server/engine/reading.rs", "server/engine/writing.rs"];

/// Words of RFC 6455 §5 that the loop has no use for. Where tungstenite keeps its close codes is
/// not one of them.
fn frame_words(source: &Source) -> Vec<String> {
    let text = source.tokens.join(" ").replace("tungstenite :: protocol :: frame :: coding :: CloseCode", "");
    let is_frame_word = |token: &&str| {
        let lower = token.to_lowercase();
        ["frame", "opcode", "mask"].iter().any(|word| lower.contains(word)) || lower == "header"
    };
    text.split(' ').filter(is_frame_word).map(str::to_owned).collect()
}

/// Where something is called that only some files may call: `.name(` or `::name(`.
fn callers<'s>(sources: &'s [Source], owner: &str, method: &str) -> Vec<&'s str> {
    let calls = |source: &Source| {
        source.tokens.windows(4).any(|window| {
            let [first, dot, name, paren] = window else { return false };
            first == owner && (dot == "." || dot == "::") && name == method && paren == "("
        })
    };
    sources.iter().filter(|source| calls(source)).map(|source| source.path.as_str()).collect()
}

fn root(sources: &[Source]) -> &Source {
    sources.iter().find(|source| source.path == "lib.rs").expect("lib.rs")
}

#[test]
fn rooms_import_downwards_only() {
    let sources = sources();
    let wrong: Vec<String> = sources.iter().flat_map(|source| violations(source, root(&sources))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_poller_reads_the_clock() {
    let sources = sources();
    let readers = |source: &&Source| paths(source).iter().any(|path| path.ends_with("Instant::now"));
    let mut readers: Vec<&str> = sources.iter().filter(readers).map(|source| source.path.as_str()).collect();
    readers.sort_unstable();
    assert_eq!(readers, ["server/poller.rs"]);
    let waiters = |source: &&Source| source.has_word("sleep") || source.has_word("park_timeout");
    assert_eq!(sources.iter().filter(waiters).count(), 0);
}

#[test]
fn the_loop_never_sees_a_frame() {
    let sources = sources();
    for path in FRAMELESS {
        let source = sources.iter().find(|source| source.path == path).expect("it is there");
        assert_eq!(frame_words(source), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn only_the_end_of_a_turn_writes_and_removes() {
    let sources = sources();
    let writers = callers(&sources, "socket", "write");
    assert_eq!(
        writers,
        ["server/listener.rs", "server/engine/writing.rs"],
        "and to those who are turned away before they are clients"
    );
    assert_eq!(callers(&sources, "slab", "remove"), ["server/clients/mod.rs"], "`Clients::remove`, which `reap` calls");
}

#[test]
fn nothing_is_unsafe_and_nothing_is_shared_behind_a_cell() {
    let sources = sources();
    assert!(root(&sources).text.lines().any(|line| line == "#![forbid(unsafe_code)]"));
    // A simulated network is found by the sockets of its thread, whose real ones know nothing of it.
    for (word, expected) in [("unsafe", &[][..]), ("RefCell", &["server/sim/network.rs"]), ("transmute", &[])] {
        let users: Vec<&str> = sources.iter().filter(|s| s.has_word(word)).map(|s| s.path.as_str()).collect();
        assert_eq!(users, expected, "{word}");
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

// ---- the rules can be broken
// ---------------------------------------------------------------------

fn lib() -> Source {
    Source::new("lib.rs", "pub use protocol::Message;\npub use server::{Clients, Handler as H};\n")
}

#[track_caller]
fn assert_wrong(path: &str, text: &str, named: &str) {
    let wrong = violations(&Source::new(path, text), &lib());
    assert!(wrong.iter().any(|wrong| wrong.ends_with(&format!(" {named}"))), "{text:?} in {path}: {wrong:?}");
}

#[track_caller]
fn assert_fine(path: &str, text: &str) {
    assert_eq!(violations(&Source::new(path, text), &lib()), Vec::<String>::new(), "{text:?} in {path}");
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    assert_wrong("protocol/a.rs", "use mio::Poll;", "names mio::Poll");
    assert_wrong("protocol/a.rs", "use std::{io, net::{IpAddr, TcpStream as S}};", "names std::net::TcpStream");
    assert_wrong("protocol/a.rs", "use std::net;\nfn f(_: net::UdpSocket) {}", "names std::net::UdpSocket");
    assert_wrong("protocol/a.rs", "fn f(_: std::os::fd::OwnedFd) {}", "names std::os::fd::OwnedFd");
    assert_wrong("protocol/a.rs", "use std::time::Instant;", "names std::time::Instant");
    assert_wrong(
        "protocol/time.rs",
        "use std::time::Instant;\nfn f() { Instant::now(); }",
        "names std::time::Instant::now",
    );
    assert_wrong("protocol/a.rs", "use super::super::server::Config;", "names crate::server::Config");
    assert_wrong("protocol/b/c.rs", "use super::super::super::server;", "names crate::server");
    assert_wrong("protocol/a.rs", "use crate::Clients;", "names crate::Clients");
    assert_wrong("protocol/a.rs", "use crate::{Message, H};", "names crate::H");
    assert_wrong("guide/mod.rs", "use crate::Clients;", "names crate::Clients");
    assert_wrong("attic/a.rs", "", "a room without rules");
}

#[test]
fn what_is_allowed_is_not_reported() {
    assert_fine("protocol/a.rs", "use std::net::{IpAddr, SocketAddr};\nuse super::frame::Header;\nuse crate::Message;");
    assert_fine("protocol/time.rs", "use std::time::{Duration, Instant};\nfn f(_: Instant) {}");
    assert_fine("protocol/a.rs", "//! [`mio::Poll`]\n/* use mio::Poll; */ const S: &str = \"use mio::Poll;\";");
    assert_fine(
        "protocol/a.rs",
        "fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\nconst S: &str = r#\"\"mio::Poll\"#;",
    );
    assert_fine("protocol/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use std::net::TcpStream; }");
    assert_fine("server/a.rs", "use mio::Poll;\nuse crate::protocol::Tick;\nuse std::net::TcpListener;");
}

#[test]
fn a_frame_in_the_loop_is_found() {
    for text in ["fn f(_: Header) {}", "let opcode = 1;", "mask::apply();", "fn queue_frame() {}", "use x::CloseFrame;"]
    {
        assert!(!frame_words(&Source::new(FRAMELESS[0], text)).is_empty(), "{text}");
    }
    let comment = "use tungstenite::protocol::frame::coding::CloseCode;\n// a frame\nlet headers = \"opcode\";";
    assert_eq!(frame_words(&Source::new(FRAMELESS[0], comment)), Vec::<String>::new());
}

#[test]
fn a_write_or_a_removal_elsewhere_is_found() {
    let sources = [
        Source::new("server/a.rs", "fn f() { client.socket.write(b); }"),
        Source::new("server/b.rs", "fn f() { self.slab.remove(index); }"),
        Source::new("server/c.rs", "fn f() { file.write(b); other.remove(index); // slab.remove(index)\n }"),
    ];
    assert_eq!(callers(&sources, "socket", "write"), ["server/a.rs"]);
    assert_eq!(callers(&sources, "slab", "remove"), ["server/b.rs"]);
}

#[test]
fn forbidden_words_and_long_files_are_found() {
    let source = Source::new(
        "server/a.rs",
        "fn f() { unsafe { g() } }\n// RefCell\nuse std::time::Instant as Clock;\nfn c() { Clock::now(); }",
    );
    assert!(source.has_word("unsafe") && !source.has_word("RefCell"));
    assert!(paths(&source).contains(&"std::time::Instant::now".to_owned()));
    let long = "fn f() {}\n\n// comment\n".repeat(701) + "\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(code_lines(&Source::new("server/a.rs", &long)), 701);
}
