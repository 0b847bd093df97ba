//! How connections end.

use crate::common::{
    Call, Calls, Running, WAIT, Wire, binary, close, echo_script, frame, ping, request, script, serve, serve_with, text,
};
use lariat::{CloseCode, CloseFrame, CloseReason, Config};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame { code: CloseCode::from(code), reason: reason.into() }
}

#[test]
fn when_the_peer_closes_messages_before_its_close_are_delivered() {
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    wire.send(&[text("last words"), close(4321, "bye"), text("too late")].concat());
    wire.expect_text("last words");
    assert_eq!(wire.expect_close(4321), "bye");
    wire.expect_end();
    drop(wire);
    let id = calls.open();
    assert_eq!(calls.next(), Call::Message(id, b"last words".to_vec()));
    assert_eq!(calls.next(), Call::Close(id, CloseReason::Peer(Some(close_frame(4321, "bye")))));
}

#[test]
fn a_close_of_the_peer_without_a_code_is_echoed_empty() {
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    wire.send(&frame(0x88, b""));
    wire.expect(0x88, b"");
    wire.expect_end();
    drop(wire);
    assert_eq!(calls.close().1, CloseReason::Peer(None));
}

#[test]
fn when_we_close_the_connection_ends_after_the_peers_close() {
    let (script, calls) = script();
    let server = serve(script.on_message(|clients, id, _| {
        clients.send(id, "last words").expect("it is open");
        clients.close(id, CloseCode::from(4000), "enough").expect("it is open");
    }));
    let mut wire = Wire::open(server.addr);
    wire.send(&[text("talk"), text("nobody hears this")].concat());
    wire.expect_text("last words");
    assert_eq!(wire.expect_close(4000), "enough");
    // Until the peer's Close, its pings are answered and its messages are dropped.
    wire.send(&[text("nor this"), ping(b"?"), close(4000, "enough")].concat());
    wire.expect(0x8a, b"?");
    wire.expect_end();
    drop(wire);
    let id = calls.open();
    assert_eq!(calls.next(), Call::Message(id, b"talk".to_vec()));
    assert_eq!(calls.next(), Call::Ping(id, b"?".to_vec()));
    assert_eq!(calls.next(), Call::Close(id, CloseReason::Local(close_frame(4000, "enough"))));
}

#[test]
fn a_disconnect_without_a_close_ends_with_eof() {
    let (script, calls) = echo_script();
    let server = serve(script);
    drop(Wire::open(server.addr));
    assert_eq!(calls.close().1, CloseReason::Eof);
}

#[test]
fn a_half_closed_client_gets_all_its_echoes() {
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut wire = Wire::open(server.addr);
    let large = vec![5; 300_000];
    wire.send(&[text("one"), binary(&large), text("three")].concat());
    wire.shutdown_write();
    wire.expect_text("one");
    wire.expect(0x82, &large);
    wire.expect_text("three");
    wire.expect_end();
    assert_eq!(calls.close().1, CloseReason::Eof);
}

#[test]
fn a_half_closed_client_gets_the_page_it_requested() {
    let (script, _calls) = script();
    let server = serve(script);
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    wire.shutdown_write();
    assert_eq!(wire.response().status(), 426);
    wire.expect_end();
}

/// Returns the bytes of a connection that uses every feature.
fn conversation() -> Vec<u8> {
    [
        request("/").into_bytes(),
        text("whole"),
        frame(0x01, b"frag"),
        ping(b"ping"),
        frame(0x80, b"ments"),
        binary(&[1; 130]),
        close(1000, "bye"),
    ]
    .concat()
}

/// Checks that `on_open` ran at least `opened` times, each time followed by one `on_close`.
fn assert_paired(server: Running, calls: Calls, opened: usize) {
    let mut seen = Vec::new();
    while seen.iter().filter(|call| matches!(call, Call::Open(_))).count() < opened {
        seen.push(calls.next());
    }
    drop(server);
    seen.extend(calls.rest());
    let mut balance = BTreeMap::new();
    for call in seen {
        match call {
            Call::Open(id) => assert_eq!(balance.insert(id, 0), None, "{id} opened twice"),
            Call::Close(id, _) => *balance.get_mut(&id).expect("the client was open") += 1,
            Call::Message(id, _) | Call::Ping(id, _) | Call::Pong(id, _) | Call::Drain(id) => {
                assert_eq!(balance.get(&id), Some(&0), "{id} is not open");
            }
            Call::Timer(_) => {}
        }
    }
    assert!(balance.values().all(|closes| *closes == 1), "{balance:?}");
}

#[test]
fn a_reset_at_any_byte_does_not_affect_other_clients() {
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut bystander = Wire::open(server.addr);
    let (bytes, request) = (conversation(), request("/").len());
    for cut in 0..=bytes.len() {
        let mut wire = Wire::connect(server.addr);
        wire.send(&bytes[..cut]);
        wire.reset();
        if cut >= request {
            let mut wire = Wire::connect(server.addr);
            wire.send(&bytes[..request]);
            assert_eq!(wire.response().status(), 101);
            wire.send(&bytes[request..cut]);
            wire.reset();
        }
        if cut % 16 == 0 {
            bystander.echo("still here");
        }
    }
    bystander.echo("to the end");
    assert_paired(server, calls, bytes.len() - request + 2);
}

#[test]
fn a_disconnect_at_any_byte_does_not_affect_other_clients() {
    let (script, calls) = echo_script();
    let server = serve(script);
    let mut bystander = Wire::open(server.addr);
    let (bytes, request) = (conversation(), request("/").len());
    for cut in 0..=bytes.len() {
        let mut wire = Wire::connect(server.addr);
        wire.send(&bytes[..cut]);
        drop(wire);
        if cut % 16 == 0 {
            bystander.echo("still here");
        }
    }
    bystander.echo("to the end");
    assert_paired(server, calls, bytes.len() - request + 2);
}

/// A FIN would let a proxy or a client without `Content-Length` take the beginning for the whole.
#[test]
fn a_response_that_was_not_written_whole_ends_with_a_reset() {
    let mut config = Config::default();
    config.limits.close_timeout = Duration::from_millis(50);
    let (script, _) = script();
    let large = script.on_request(|_, _, _| lariat::http::Response::new(vec![b'x'; 40 << 20]).into());
    let server = serve_with(config, large);
    let mut wire = Wire::connect(server.addr);
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // It reads nothing until the server has given up.
    let end = Instant::now() + WAIT;
    while server.ask(|clients| clients.stats().cut_off) == 0 {
        assert!(Instant::now() < end, "the server does not give up");
    }
    let mut received = Vec::new();
    let error = wire.stream.read_to_end(&mut received).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(received.len() < 40 << 20);
}
