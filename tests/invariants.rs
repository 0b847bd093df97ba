//! Checks the invariants that concern several files, by reading the sources: which file may name
//! what.
//!
//! 1. The protocol never sees a socket, a poller or a clock.
//! 2. The loop never sees a frame.
//! 3. Handlers only queue: in `server`, only the loop's own files write to sockets and free slots.
//! 4. An idle connection owns no buffer: see `memory.rs`, and the assertion beside the slab entry.
//!
//! It also checks the rooms: each imports only from those below it, and each `mod.rs` is a map of
//! its room.

mod sources;

use sources::{MOST_LINES, Source, clock_readers, code_lines, large, paths, spread, waiters, with_word};
use std::collections::BTreeSet;

/// The rooms of both parts, the lowest first. A room imports from itself and from those before it.
/// So circles exist only inside a room.
const ROOMS: [(&str, &[&str]); 2] = [
    ("protocol", &["time", "limits", "wire", "deflate", "tls", "opening", "proxy", "connection", "foreign"]),
    (
        "server",
        &[
            "reserve",
            "config",
            "id",
            "data",
            "backplane",
            "handover",
            "net",
            "observe",
            "table",
            "clients",
            "app",
            "engine",
            "event_loop",
            "sim",
            "loops",
            "server",
        ],
    ),
];

/// Returns all files below `src`.
fn sources() -> Vec<Source> {
    sources::sources(env!("CARGO_MANIFEST_DIR"))
}

// ---- the rules ----------------------------------------------------------------------------------

/// Returns the names that `source` must not use, or nothing.
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
            forbid(&["crate::server", "crate::observe"], &[]);
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

/// Returns the names that `lib.rs` re-exports from a room, as paths from the root.
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

/// Returns the names that the `pub use` lines of a map export, with their paths below it.
fn exports(map: &Source) -> Vec<(String, Vec<String>)> {
    let mut names = Vec::new();
    let tokens: Vec<&str> = map.tokens.iter().map(String::as_str).collect();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| **token == "use") {
        let end = tokens[at..].iter().position(|token| *token == ";").expect("a semicolon") + at;
        debug_assert_eq!(*token, "use");
        spread(&tokens[at + 1..end], &[], &mut |path, name| names.push((name.to_owned(), path.to_vec())));
    }
    names
}

/// Returns the part and the room of a path from the crate's root, if it leads into one. It follows
/// the re-exports of `lib.rs` and of the maps.
fn room_of(path: &[&str], maps: &[Source]) -> Option<(String, String)> {
    let (first, rest) = path.split_first()?;
    let follow = |map: &str, rest: &[&str]| {
        let map = maps.iter().find(|source| source.path == map)?;
        let (_, target) = exports(map).into_iter().find(|(name, _)| Some(&name.as_str()) == rest.first())?;
        Some(target)
    };
    match ROOMS.iter().find(|(part, _)| part == first) {
        None => {
            let target = follow("lib.rs", path)?;
            let is_known = ROOMS.iter().any(|(part, _)| *part == target[0]);
            is_known.then(|| room_of(&target.iter().map(String::as_str).collect::<Vec<_>>(), maps)).flatten()
        }
        Some((part, rooms)) => {
            let name = rest.first()?;
            if rooms.contains(name) {
                return Some(((*part).to_owned(), (*name).to_owned()));
            }
            let target = follow(&format!("{part}/mod.rs"), rest)?;
            Some(((*part).to_owned(), target[0].clone()))
        }
    }
}

/// Returns the imports of `source` from a room above its own, or from an unknown one.
fn upward(source: &Source, maps: &[Source]) -> Vec<String> {
    let module: Vec<&str> = source.path.trim_end_matches(".rs").split('/').collect();
    let [part, own, ..] = module[..] else { return Vec::new() };
    let Some((_, rooms)) = ROOMS.iter().find(|(known, _)| *known == part).filter(|_| own != "mod") else {
        return Vec::new();
    };
    let place = |room: &str| rooms.iter().position(|known| *known == room);
    let Some(height) = place(own) else { return vec![format!("{} is in no room", source.path)] };
    let mut wrong = Vec::new();
    for path in paths(source) {
        let Some(below) = path.strip_prefix("crate::") else { continue };
        let below: Vec<&str> = below.split("::").collect();
        // A file below all rooms.
        if below[0] == "parts" {
            continue;
        }
        match room_of(&below, maps) {
            // `violations` checks imports from another part.
            Some((other, _)) if other != part => {}
            Some((_, room)) if place(&room).is_some_and(|other| other <= height) => {}
            Some(_) => wrong.push(format!("{} names {path}", source.path)),
            None => wrong.push(format!("{} names {path}, which is in no room", source.path)),
        }
    }
    wrong
}

/// Returns the maps: `lib.rs` and each `mod.rs` of a part or a room.
fn maps(sources: Vec<Source>) -> Vec<Source> {
    let is_map = |source: &Source| {
        source.path == "lib.rs"
            || source.path.ends_with("/mod.rs") && ROOMS.iter().any(|(part, _)| *part == source.room())
    };
    sources.into_iter().filter(is_map).collect()
}

/// Returns the errors of a map whose folder contains these files and folders.
fn map_faults(map: &Source, entries: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let named: BTreeSet<String> = table_names(&map.text).into_iter().collect();
    for missing in entries.difference(&named) {
        faults.push(format!("{} does not name {missing}", map.path));
    }
    for extra in named.difference(entries) {
        faults.push(format!("{} names {extra}, which does not exist", map.path));
    }
    const CODE: [&str; 9] = ["fn", "struct", "enum", "trait", "impl", "const", "static", "type", "macro_rules"];
    faults.extend(CODE.iter().filter(|word| map.has_word(word)).map(|word| format!("{} has a {word}", map.path)));
    faults
}

/// Returns the names in backticks in the first column of a table in a file's documentation.
fn table_names(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Returns the files and folders beside a map, without `.rs`. Files of unit tests do not count.
fn entries(map: &Source) -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&map.path);
    let entries = std::fs::read_dir(folder.parent().expect("a folder")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let names = names.map(|name| name.trim_end_matches(".rs").to_owned());
    names.filter(|name| name != "mod" && !name.ends_with("_tests")).collect()
}

/// Whether a file must not know what a frame is: the rooms `engine` and `event_loop`, except for
/// proxy headers.
fn is_frameless(source: &Source) -> bool {
    let is_in = |room: &str| source.path.starts_with(&format!("server/{room}/"));
    (is_in("engine") || is_in("event_loop")) && source.path != "server/engine/proxied.rs"
}

/// Returns the words of RFC 6455 §5 that the loop must not use.
fn frame_words(source: &Source) -> Vec<String> {
    let is_frame_word = |token: &&str| {
        let lower = token.to_lowercase();
        ["frame", "opcode", "mask"].iter().any(|word| lower.contains(word)) || lower == "header"
    };
    source.tokens.iter().map(String::as_str).filter(is_frame_word).map(str::to_owned).collect()
}

/// Returns the files that contain these words one after another.
fn users<'s>(sources: &'s [Source], words: &str) -> Vec<&'s str> {
    let words: Vec<&str> = words.split(' ').collect();
    let has = |source: &&Source| source.tokens.windows(words.len()).any(|window| window == words);
    let mut users: Vec<&str> = sources.iter().filter(has).map(|source| source.path.as_str()).collect();
    users.sort_unstable();
    users
}

fn root(sources: &[Source]) -> &Source {
    sources.iter().find(|source| source.path == "lib.rs").expect("lib.rs")
}

#[test]
fn rooms_import_only_from_lower_rooms() {
    let sources = sources();
    let wrong: Vec<String> = sources.iter().flat_map(|source| violations(source, root(&sources))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let maps = maps(self::sources());
    let wrong: Vec<String> = sources.iter().flat_map(|source| upward(source, &maps)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_map_names_every_file_of_its_room_and_has_no_code() {
    let rooms = maps(sources()).into_iter().filter(|map| map.path != "lib.rs");
    let faults: Vec<String> = rooms.flat_map(|map| map_faults(&map, &entries(&map))).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn only_the_poller_reads_the_clock() {
    // The threads of a backplane have a clock of their own.
    assert_eq!(clock_readers(&sources()), ["server/backplane/redis/clock.rs", "server/net/poller.rs"]);
    assert_eq!(waiters(&sources()), Vec::<&str>::new());
}

#[test]
fn the_loop_never_sees_a_frame() {
    let sources = sources();
    for source in sources.iter().filter(|source| is_frameless(source)) {
        assert_eq!(frame_words(source), Vec::<String>::new(), "{}", source.path);
    }
}

/// Reading, writing and freeing need the `LoopKey`. The compiler enforces this, and the examples of
/// `LoopKey` show it. This test checks that each table has one key, and that the engine keeps it.
#[test]
fn only_the_engine_has_the_key() {
    let sources = sources();
    assert_eq!(users(&sources, "LoopKey :: new"), ["server/table/table.rs"]);
    assert_eq!(users(&sources, "LoopKey ( ("), ["server/table/key.rs"]);
    assert_eq!(users(&sources, "Table :: new"), ["server/clients/clients.rs"]);
    assert_eq!(users(&sources, "Clients :: new"), ["server/engine/engine.rs"]);
    assert_eq!(users(&sources, ": LoopKey"), ["server/engine/engine.rs"], "the only field of this type");
    assert_eq!(users(&sources, "& mut LoopKey"), Vec::<&str>::new());
    let lent = users(&sources, "& LoopKey");
    assert_eq!(lent, ["server/clients/clients.rs", "server/table/key.rs", "server/table/table.rs"]);
}

#[test]
fn there_is_no_unsafe_code_and_no_shared_cell() {
    let sources = sources();
    assert!(root(&sources).text.lines().any(|line| line == "#![forbid(unsafe_code)]"));
    // A simulated network is found through a thread-local variable by the sockets of its thread.
    for (word, expected) in [("unsafe", &[][..]), ("RefCell", &["server/net/memory/handles.rs"]), ("transmute", &[])] {
        assert_eq!(with_word(&sources, word), expected, "{word}");
    }
}

#[test]
fn files_are_small() {
    let sources = sources();
    let large = large(&sources);
    assert!(large.is_empty(), "more than {MOST_LINES} lines of code: {large:?}");
}

// ---- the rules can be broken --------------------------------------------------------------------

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
fn a_forbidden_import_is_found_in_every_form() {
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
fn allowed_imports_are_not_reported() {
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
fn an_import_from_a_higher_room_is_found_in_every_form() {
    let maps = [
        lib(),
        Source::new("server/mod.rs", "pub use app::Handler;\npub use clients::Clients;\n"),
        Source::new("protocol/mod.rs", "pub use connection::{Message, State as S};\npub use wire::Role;\n"),
    ];
    let found = |path: &str, text: &str| upward(&Source::new(path, text), &maps);
    for (path, text) in [
        ("server/table/a.rs", "use crate::server::clients::Clients;"),
        ("server/table/a.rs", "use super::super::clients::Clients;"),
        ("server/table/a.rs", "use crate::server::{config::Config, clients};"),
        ("server/table/a.rs", "fn f(_: crate::server::clients::Clients) {}"),
        ("server/table/a/b.rs", "use super::super::super::engine::Engine;"),
        ("server/table/a.rs", "use crate::server::Clients;"),
        ("server/table/a.rs", "use crate::Clients;"),
        ("server/config.rs", "use super::id::ClientId;"),
        ("server/clients/a.rs", "use crate::server::Handler;"),
        ("server/clients/a.rs", "use crate::server::attic::Handler;"),
        ("server/attic.rs", ""),
        ("protocol/wire/a.rs", "use crate::protocol::connection::Message;"),
        ("protocol/wire/a.rs", "use crate::protocol::S;"),
        ("protocol/wire/a.rs", "use crate::Message;"),
    ] {
        assert_eq!(found(path, text).len(), 1, "{text:?} in {path}: {:?}", found(path, text));
    }
    for (path, text) in [
        ("server/clients/a.rs", "use super::b::B;\nuse crate::server::table::Table;\nuse crate::protocol::S;"),
        ("server/clients/a.rs", "use crate::server::Clients;\nuse crate::Clients as C;"),
        ("server/clients/a.rs", "//! [`Handler`](crate::Handler)\n#[cfg(test)]\nfn f() {}"),
        ("protocol/connection/a.rs", "use super::b;\nuse crate::protocol::Role;"),
        ("server/mod.rs", "pub use server::Server;"),
    ] {
        assert_eq!(found(path, text), Vec::<String>::new(), "{text:?} in {path}");
    }
}

#[test]
fn a_map_with_gaps_or_code_is_found() {
    let text = "//! | file | question |\n//! |---|---|\n//! | `a` | what? |\n//! | [`b`] | `x`? |\n\nmod a;\n";
    let entries = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let faults = |text: &str, names: &[&str]| map_faults(&Source::new("server/net/mod.rs", text), &entries(names));
    assert_eq!(faults(text, &["a", "b"]), Vec::<String>::new());
    assert_eq!(faults(text, &["a", "b", "c"]), ["server/net/mod.rs does not name c"]);
    assert_eq!(faults(text, &["a"]), ["server/net/mod.rs names b, which does not exist"]);
    assert_eq!(faults(&format!("{text}fn f() {{}}"), &["a", "b"]), ["server/net/mod.rs has a fn"]);
}

#[test]
fn a_frame_in_the_loop_is_found() {
    for text in ["fn f(_: Header) {}", "let opcode = 1;", "mask::apply();", "fn queue_frame() {}", "use x::CloseFrame;"]
    {
        assert!(!frame_words(&Source::new("server/engine/reading.rs", text)).is_empty(), "{text}");
    }
    let comment = "use crate::protocol::CloseCode;\n// a frame\nlet headers = \"opcode\";";
    assert_eq!(frame_words(&Source::new("server/engine/reading.rs", comment)), Vec::<String>::new());
}

#[test]
fn a_key_elsewhere_is_found() {
    let sources = [
        Source::new("server/clients/a.rs", "struct A { key: LoopKey }"),
        Source::new("server/b.rs", "fn f() { let key = LoopKey::new(); }"),
        Source::new("server/c.rs", "fn f(key: &LoopKey) {} // LoopKey::new()"),
    ];
    assert_eq!(users(&sources, ": LoopKey"), ["server/clients/a.rs"]);
    assert_eq!(users(&sources, "LoopKey :: new"), ["server/b.rs"]);
    assert_eq!(users(&sources, "& LoopKey"), ["server/c.rs"]);
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
