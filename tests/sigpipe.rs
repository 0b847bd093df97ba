//! Tests that a host that leaves SIGPIPE at its default, as C programs do, survives its clients.
#![cfg(unix)]
#![allow(unsafe_code, reason = "only signal(2) brings the default back that Rust's runtime has changed")]
#![allow(clippy::disallowed_methods, reason = "tests have their own deadlines")]

mod common;

use common::{Call, Folder, Wire, request, script};
use lariat::{LocalAddr, Server};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn writing_to_a_closed_connection_raises_no_signal() {
    // SAFETY: no handler is installed, the default disposition is set.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let folder = Folder::new();
    let path = folder.path("socket");
    let (script, calls) = script();
    let server = Server::bind("127.0.0.1:0").and_then(|server| server.listen_unix(&path)).expect("free addresses");
    let LocalAddr::Tcp(addr) = server.local_addrs()[0].clone() else { panic!("TCP comes first") };
    let mut event_loop = server.start(script).expect("a loop");
    for is_tcp in [true, false] {
        let (tcp, unix) = if is_tcp {
            let mut wire = Wire::connect(addr);
            wire.send(request("/").as_bytes());
            (Some(wire), None)
        } else {
            let mut stream = UnixStream::connect(&path).expect("the server listens");
            stream.write_all(request("/").as_bytes()).expect("the server reads");
            (None, Some(stream))
        };
        let id = loop {
            event_loop.turn(Some(Duration::from_secs(1))).expect("a turn");
            if let Some(Call::Open(id)) = calls.so_far().into_iter().find(|call| matches!(call, Call::Open(_))) {
                break id;
            }
        };
        event_loop.turn(Some(Duration::ZERO)).expect("a turn");
        if let Some(stream) = &unix {
            // With nothing unread, the client's socket closes with FIN and not with a reset. So the
            // server will write what is queued.
            assert!((&mut &*stream).read(&mut [0; 1_024]).expect("an answer") > 100);
        }
        // These messages are queued before the loop sees the end. So the write of this turn meets a
        // closed stream.
        if let Some(wire) = tcp {
            wire.reset();
        }
        drop(unix);
        event_loop.clients_mut().send(id, "is anybody there?").expect("the loop has not seen the end yet");
        while !calls.so_far().iter().any(|call| matches!(call, Call::Close(closed, _) if *closed == id)) {
            event_loop.turn(Some(Duration::from_secs(1))).expect("a turn");
        }
    }
}
