//! What closed connections leave behind. The test measures the private dirty pages and descriptors
//! of the program after some connections, and after many more.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests have deadlines of their own")]

mod common;

use common::program::{Program, metrics};
use common::{WAIT, Wire, binary, close, request, request_with, text};
use std::net::SocketAddr;
use std::time::Instant;

const CONNECTIONS: usize = if cfg!(debug_assertions) { 5_000 } else { 100_000 };

/// The bytes that all further connections together may add: memory that the allocator keeps, which
/// varies. (`tests/leaks` counts allocations to the byte.)
const LEFT: usize = 1 << 20;

/// How often the further connections may come. The allocator may once need more memory than ever
/// before, but a leak adds more each time.
const ATTEMPTS: usize = 4;

/// Opens a hundred connections, and ends them in ten ways.
fn come_and_go(addr: SocketAddr) {
    let mut wires: Vec<Wire> = (0..100).map(|_| Wire::connect(addr)).collect();
    let large = binary(&[7; 20_000]);
    let offer = request_with("/echo", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    for (index, wire) in wires.iter_mut().enumerate() {
        match index % 10 {
            0 => wire.send(&request("/echo").as_bytes()[..50]),
            1 => wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            2 => wire.send(b"EHLO localhost\r\n\r\n"),
            3 => wire.send(offer.as_bytes()),
            4 => wire.send(request("/broadcast").as_bytes()),
            _ => wire.send(request("/echo").as_bytes()),
        }
    }
    for (index, mut wire) in wires.into_iter().enumerate() {
        if index % 10 > 0 {
            let status = wire.response().status();
            assert_eq!(status, [200, 400, 101][(index % 10 - 1).min(2)]);
        }
        match index % 10 {
            0 => wire.reset(),
            1 | 2 => wire.expect_end(),
            3 | 4 => {
                wire.send(&text("hello"));
                wire.reset();
            }
            5 => wire.reset(),
            6 => {
                wire.send(&large[..10_000]);
                wire.shutdown_write();
                wire.expect_end();
            }
            7 => {
                wire.send(&large);
                wire.expect(0x82, &[7; 20_000]);
                wire.reset();
            }
            8 => {
                wire.send(&common::frame(0x81, b"\xff"));
                wire.expect_close(1007);
                wire.expect_end();
            }
            _ => {
                wire.send(&close(1000, "bye"));
                wire.expect_close(1000);
                wire.expect_end();
            }
        }
    }
}

/// The bytes that the server counts against its budget at rest: its compressor and decompressor,
/// and spare buffers.
const AT_REST: usize = 1_300_000;

/// Returns the private dirty bytes once only the earlier connections are open and the buffers of a
/// busy moment are freed.
fn settled(program: &Program, addr: SocketAddr, descriptors: usize) -> usize {
    let deadline = Instant::now() + WAIT;
    while program.descriptors() != descriptors || held(addr) > AT_REST {
        let count = program.descriptors();
        assert!(Instant::now() < deadline, "{count} descriptors, not {descriptors}; {} bytes held", held(addr));
        std::thread::yield_now();
    }
    program.private_dirty()
}

/// Returns the bytes that the server counts against its budget.
fn held(addr: SocketAddr) -> usize {
    metrics(addr)["lariat_buffered_bytes"].one() as usize
}

#[test]
fn closed_connections_cost_nothing() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--deflate-contexts", "64MiB"]);
    let addr = program.ready();
    let mut stays = Wire::open_at(addr, "/echo");
    let descriptors = program.descriptors();
    (0..CONNECTIONS / 1_000).for_each(|_| come_and_go(addr));
    let mut before = settled(&program, addr, descriptors);
    let added = (0..ATTEMPTS).map(|_| {
        (CONNECTIONS / 1_000..CONNECTIONS / 100).for_each(|_| come_and_go(addr));
        let now = settled(&program, addr, descriptors);
        now.saturating_sub(std::mem::replace(&mut before, now))
    });
    let mut seen = Vec::new();
    let is_steady = added.inspect(|added| seen.push(*added)).any(|added| added <= LEFT);
    assert!(is_steady, "each time, {} connections left behind bytes: {seen:?}", CONNECTIONS * 9 / 10);
    stays.echo("still here");
}
