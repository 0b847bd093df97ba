//! Tests the memory that hostile peers of TLS sessions need: that of what they have not finished to
//! send, and of what they do not read.
//!
//! The test runs in a process of its own, because it counts every allocation.

use crate::common::{Running, WAIT, alone, run};
use crate::forger::{ALERT, DATA, Forger, HANDSHAKE, MOST, TLS12, TLS13, handshake, message};
use crate::kit;
use lariat::tls::rustls::SupportedCipherSuite;
use lariat::{ClientId, Clients, Config, ConnectOptions, Handler, Message};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::TcpListener;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}

/// Returns the growth of the allocated bytes since the region began.
fn growth(region: &Region<'_, System>) -> isize {
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize + change.bytes_reallocated
}

/// Sends bytes of a peer that reads nothing. Returns how much more memory than before was held at
/// most.
fn held(server: &Running, mut peer: Forger, make: fn(&mut Forger) -> Vec<u8>) -> isize {
    // The buffers that all sessions share grow only once.
    peer.echo(&"x".repeat(100));
    let bytes = make(&mut peer);
    let read = || server.ask(|clients| clients.stats()).bytes_read;
    let (before, start) = (read(), Instant::now());
    let region = Region::new(ALLOCATOR);
    let mut most = 0;
    for part in bytes.chunks(100_000) {
        peer.send(part);
        most = most.max(growth(&region));
    }
    while read() < before + bytes.len() as u64 {
        assert!(start.elapsed() < WAIT, "not read");
        most = most.max(growth(&region));
    }
    most.max(growth(&region))
}

fn times(count: usize, peer: &mut Forger, make: fn(&mut Forger) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|_| make(peer)).collect()
}

/// A message of 60,000 bytes without its end, in records of this size.
fn most_of_a_message(peer: &mut Forger, size: usize) -> Vec<u8> {
    let message = peer.frame(0x82, &[7; 60_000]);
    message[..message.len() - 1].chunks(size).flat_map(|part| peer.seal(DATA, part)).collect()
}

/// What is sent, the most bytes that may be held because of it, and how it is made.
type Case = (&'static str, isize, SupportedCipherSuite, fn(&mut Forger) -> Vec<u8>);

/// What one client holds anyway: a table's growth, a log's line.
const LITTLE: isize = 16 << 10;

const CASES: &[Case] = &[
    ("nothing", LITTLE, TLS13[0], |_| Vec::new()),
    ("empty records", LITTLE, TLS13[0], |peer| {
        times(2_000, peer, |peer| [times(16, peer, |peer| peer.seal(DATA, &[])), pong(peer)].concat())
    }),
    // With fewer pongs between them, they would be too many for one read.
    ("KeyUpdate that asks for one, and pongs", LITTLE, TLS13[0], |peer| {
        times(500, peer, |peer| [peer.update(1), times(40, peer, pong)].concat())
    }),
    // The answers to the pings are held, and not one KeyUpdate with each.
    ("KeyUpdate that asks for one, and pings", LITTLE + 500 * 40 * 6, TLS13[0], |peer| {
        times(500, peer, |peer| [peer.update(1), times(40, peer, ping)].concat())
    }),
    ("a part of a record", LITTLE + MOST as isize, TLS13[0], |peer| peer.seal(DATA, &[7; MOST])[..MOST].to_vec()),
    ("a part of a message of the handshake", LITTLE + 3 * MOST as isize, TLS13[0], |peer| {
        handshake(message::KEY_UPDATE, &[0; 60_000])[..1_200]
            .chunks(1)
            .flat_map(|byte| peer.seal(HANDSHAKE, byte))
            .collect()
    }),
    ("most of a message in large records", LITTLE + 2 * 65_536, TLS13[0], |peer| most_of_a_message(peer, MOST)),
    ("most of a message in records of one byte", LITTLE + 2 * 65_536, TLS13[0], |peer| most_of_a_message(peer, 1)),
    ("the same with TLS 1.2", LITTLE + 2 * 65_536, TLS12[0], |peer| most_of_a_message(peer, 1)),
    ("warnings of TLS 1.2", LITTLE, TLS12[0], |peer| times(4, peer, |peer| peer.seal(ALERT, &[1, 100]))),
];

/// A pong that nobody has asked for, which is ignored.
fn pong(peer: &mut Forger) -> Vec<u8> {
    let pong = peer.pongs(6);
    peer.seal(DATA, &pong)
}

fn ping(peer: &mut Forger) -> Vec<u8> {
    let ping = peer.frame(0x89, b"?");
    peer.seal(DATA, &ping)
}

#[test]
fn a_hostile_peer_holds_what_it_has_not_finished() {
    alone("memory::a_hostile_peer_holds_what_it_has_not_finished", hold_what_is_not_finished);
}

fn hold_what_is_not_finished() {
    let mut config = Config::default();
    config.deflate = None;
    let server = run(kit::server(config, kit::server_tls()), Echo);
    for (what, most, suite, make) in CASES {
        // Once for what grows only once.
        held(&server, Forger::open(server.addr, *suite), *make);
        let held = held(&server, Forger::open(server.addr, *suite), *make);
        println!("{what}: {held} bytes");
        assert!(held < *most, "{what}: {held} bytes are held, and {most} are too many");
    }
    // Some tickets are kept for the next connection to the same server.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("wss://{}/", listener.local_addr().expect("an address"));
    let options = ConnectOptions::new().tls(kit::client_tls(&kit::VERSIONS));
    server.ask(move |clients| clients.connect(&url, &options)).expect("a URL");
    let held = held(&server, Forger::accept(&listener, TLS13[0]), |peer| {
        let content = [&[0, 0, 0x1c, 0x20, 1, 2, 3, 4, 1, 5, 3, 232][..], &[7; 1_000], &[0, 0]].concat();
        let ticket = handshake(message::NEW_SESSION_TICKET, &content);
        (0..5_000).flat_map(|_| peer.seal(HANDSHAKE, &ticket)).collect()
    });
    println!("tickets: {held} bytes");
    assert!(held < LITTLE + (32 << 10), "tickets: {held} bytes");
}
