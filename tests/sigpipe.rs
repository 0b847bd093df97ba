//! A host that kept SIGPIPE at its default, as C programs do, survives its clients.
#![cfg(unix)]
#![allow(unsafe_code, reason = "only signal(2) brings the default back that Rust's runtime has changed")]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::{Wire, request, script};
use lariat::{Config, Server};
use std::os::unix::net::UnixStream;

#[test]
fn writing_to_those_who_have_gone_raises_no_signal() {
    // SAFETY: no handler is installed, the default disposition is set.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let path = std::env::temp_dir().join(format!("lariat-sigpipe-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let (script, ears) = script();
    let server = Server::new(Config::default())
        .and_then(|server| server.listen("127.0.0.1:0"))
        .and_then(|server| server.listen_unix(&path))
        .expect("free addresses");
    let server = common::run(server, script);
    for round in 0..20 {
        let id = if round % 2 == 0 {
            let wire = Wire::open(server.addr);
            let id = ears.open();
            wire.reset();
            id
        } else {
            let mut wire = Wire::new(UnixStream::connect(&path).expect("the server listens"));
            wire.send(request("/").as_bytes());
            let id = ears.open();
            drop(wire);
            id
        };
        // In the same turn, before the loop has read of the end: the write meets a closed stream.
        server.ask(move |clients| {
            let _ = clients.send(id, "is anybody there?");
        });
        server.ask(move |clients| {
            let _ = clients.send(id, "still?");
        });
        assert_eq!(ears.close().0, id);
    }
}
