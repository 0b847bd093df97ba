//! Open sessions whose keys were taken out of rustls: TLS 1.3, in a server's role.
//!
//! The peer is rustls' own client.

use crate::common::{echo_script, run};
use crate::kit::{VERSIONS, client_config_with, open, server, server_config, server_config_with};
use lariat::Config;
use lariat::protocol::tls::{Output, Session};
use lariat::tls::rustls::crypto::ring;
use lariat::tls::rustls::pki_types::ServerName;
use lariat::tls::rustls::{
    CipherSuite, CipherSuiteCommon, ClientConfig, ClientConnection, SupportedCipherSuite, Tls13CipherSuite,
};
use lariat::tls::{ServerTls, TlsError};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

/// The suites of TLS 1.3, and whether their sessions can rest.
const SUITES: [(CipherSuite, bool); 3] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, true),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, true),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, false),
];

/// A session of Lariat's, and a client of rustls' that has buffers.
struct Pair {
    server: Session,
    client: ClientConnection,
    received: Vec<u8>,
    answered: Vec<u8>,
}

impl Pair {
    fn new(server: &ServerTls, client: ClientConfig) -> Pair {
        Pair::with_early_updates(server, client, 0)
    }

    /// KeyUpdates follow the last flight of the client's handshake in the same read.
    fn with_early_updates(server: &ServerTls, client: ClientConfig, updates: usize) -> Pair {
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let server = Session::accept(server).expect("a server");
        let mut pair = Pair { server, client, received: Vec::new(), answered: Vec::new() };
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).expect("a buffer");
        pair.receive(&hello).expect("a ClientHello");
        let flight = pair.server.unsent().to_vec();
        pair.server.advance(flight.len());
        pair.client.read_tls(&mut &flight[..]).expect("a buffer");
        pair.client.process_new_packets().expect("the server speaks TLS");
        (0..updates).for_each(|_| pair.client.refresh_traffic_keys().expect("TLS 1.3"));
        pair.exchange(1 << 20).expect("a handshake");
        assert!(pair.server.info().is_some() && !pair.client.is_handshaking());
        pair
    }

    /// A pair that has talked, so that rustls' state is dropped.
    fn of(suite: CipherSuite) -> Pair {
        let mut pair = Pair::new(&ServerTls::new(Arc::new(server_config())), client_of(suite));
        pair.talk(b"the first message", 1 << 20);
        pair
    }

    /// The server receives bytes of the client.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        let mut input = vec![0; bytes.len() + (64 << 10)];
        let kept = self.server.copy_kept(&mut input);
        input[kept..kept + bytes.len()].copy_from_slice(bytes);
        let mut output = Output::default();
        let outcome = self.server.receive(&mut input[..kept + bytes.len()], &mut self.received, &mut output);
        self.server.keep_unsent(&output, 0);
        outcome.map(drop)
    }

    /// Passes ciphertext to and fro, in pieces of this size, until nobody has any.
    fn exchange(&mut self, piece: usize) -> Result<(), TlsError> {
        loop {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).expect("a buffer");
            }
            let to_client = self.server.unsent().to_vec();
            if bytes.is_empty() && to_client.is_empty() {
                return Ok(());
            }
            self.server.advance(to_client.len());
            bytes.chunks(piece).try_for_each(|bytes| self.receive(bytes))?;
            let mut to_client = &to_client[..];
            while !to_client.is_empty() {
                self.client.read_tls(&mut to_client).expect("a buffer");
                let state = self.client.process_new_packets().expect("the server speaks TLS");
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                self.client.reader().read_exact(&mut plain).expect("plaintext");
                self.answered.append(&mut plain);
            }
        }
    }

    fn encrypt(&mut self, plain: &[u8]) {
        let mut output = Output::default();
        self.server.encrypt(plain, &mut output).expect("an open session");
        self.server.keep_unsent(&output, 0);
        self.server.delivered(1, 1);
    }

    /// Sends a message both ways.
    fn talk(&mut self, message: &[u8], piece: usize) {
        self.client.writer().write_all(message).expect("a buffer");
        self.exchange(piece).expect("messages");
        assert_eq!(std::mem::take(&mut self.received), message);
        self.encrypt(message);
        self.exchange(piece).expect("messages");
        assert_eq!(std::mem::take(&mut self.answered), message);
    }
}

fn client_of(suite: CipherSuite) -> ClientConfig {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|other| other.suite() == suite);
    client_config_with(provider, &[VERSIONS[1]])
}

#[test]
fn all_suites_survive_every_size_of_piece() {
    for (suite, can_rest) in SUITES {
        for piece in [1, 2, 5, 7, 100, 1 << 20] {
            let mut pair = Pair::of(suite);
            assert_eq!(pair.server.info().map(|info| info.cipher), suite.as_str());
            for size in [1, 20, 16_383, 16_384, 16_385, 60_000] {
                let message: Vec<u8> = (0..size).map(|n| n as u8).collect();
                pair.talk(&message, piece);
                assert_eq!(pair.server.has_woken(), can_rest, "{suite:?}");
                assert!(!pair.server.has_woken());
                pair.server.rest();
            }
            assert_eq!(pair.server.holds(), 0);
        }
    }
}

#[test]
fn an_end_is_announced_both_ways() {
    for (suite, _) in SUITES {
        let mut pair = Pair::of(suite);
        pair.client.send_close_notify();
        pair.exchange(1).expect("an end");
        assert!(pair.server.may_end());
        pair.encrypt(b"the last word");
        let mut output = Output::default();
        pair.server.close(&mut output).expect("an end");
        pair.server.keep_unsent(&output, 0);
        pair.exchange(1).expect("an end");
        assert_eq!(pair.answered, b"the last word");
        assert_eq!(pair.client.reader().read(&mut [0]).expect("close_notify"), 0);
    }
}

/// Asked for by the peer, a KeyUpdate is answered with the next output, or without any (RFC 8446
/// §4.6.3).
#[test]
fn keys_change_when_the_peer_asks() {
    for (suite, _) in SUITES {
        let mut pair = Pair::of(suite);
        for turn in 0..100 {
            pair.client.refresh_traffic_keys().expect("TLS 1.3");
            if turn % 3 == 0 {
                // Several requests before one answer.
                pair.client.refresh_traffic_keys().expect("TLS 1.3");
            }
            pair.exchange(1 + turn).expect("a KeyUpdate");
            assert!(pair.server.has_answer());
            if turn % 2 == 0 {
                let mut output = Output::default();
                pair.server.answer(&mut output).expect("an open session");
                // A header, a message of five bytes, its type, and a tag.
                assert_eq!(output.bytes().len(), 5 + 5 + 1 + 16);
                pair.server.keep_unsent(&output, 0);
                assert!(!pair.server.has_answer());
            }
            pair.talk(b"a message under a new key", 1 + turn);
            assert!(!pair.server.has_answer());
            pair.server.rest();
        }
    }
}

/// The peer asks before there was any output. rustls has the answer then, and it is not lost.
#[test]
fn keys_change_when_the_peer_asks_early() {
    for (suite, _) in SUITES {
        for asks in 0..4 {
            let server = ServerTls::new(Arc::new(server_config()));
            let mut pair = Pair::with_early_updates(&server, client_of(suite), asks);
            for number in 0..5_u8 {
                pair.talk(&[number], 1 << 20);
                pair.client.refresh_traffic_keys().expect("TLS 1.3");
            }
        }
    }
}

/// A key is good for so many records (RFC 8446 §5.5). The peer's key has the same limit.
#[test]
fn keys_change_before_their_limit() {
    for (suite, _) in SUITES {
        let mut pair = Pair::new(&with_limit(suite, 10), client_of(suite));
        // A record each, and many at once.
        for number in 0..50_u8 {
            pair.talk(&[number], 1 << 20);
        }
        for _ in 0..20 {
            pair.talk(&[7; 60_000], 1 << 20);
        }
        let mut pair = Pair::new(&with_limit(suite, 10), client_of(suite));
        let mut lengths = Vec::new();
        for _ in 0..30 {
            let mut output = Output::default();
            pair.server.encrypt(b"x", &mut output).expect("an open session");
            lengths.push(output.bytes().len());
        }
        let one = 5 + 1 + 1 + 16;
        let with_update = one + 5 + 5 + 1 + 16;
        let updates: Vec<usize> = (0..30).filter(|place| lengths[*place] == with_update).collect();
        // A ticket was the first record. KeyUpdate is the last under each key.
        assert!(updates.windows(2).all(|pair| pair[1] - pair[0] == 9) && updates.len() == 3, "{lengths:?}");
    }
}

/// A server whose key of this suite is good for so many records.
fn with_limit(suite: CipherSuite, limit: u64) -> ServerTls {
    let mut provider = ring::default_provider();
    for other in provider.cipher_suites.iter_mut().filter(|other| other.suite() == suite) {
        if let SupportedCipherSuite::Tls13(found) = *other {
            let common = CipherSuiteCommon { confidentiality_limit: limit, ..found.common };
            let limited = Tls13CipherSuite { common, ..*found };
            *other = SupportedCipherSuite::Tls13(Box::leak(Box::new(limited)));
        }
    }
    ServerTls::new(Arc::new(server_config_with(provider)))
}

/// More clients than may be awake at once speak in turn, some of them in pieces of records.
#[test]
fn sessions_of_a_loop_rest_and_wake() {
    let (handler, _calls) = echo_script();
    let server = run(server(Config::default(), ServerTls::new(Arc::new(server_config()))), handler);
    let mut clients: Vec<_> = (0..300).map(|_| open(server.addr)).collect();
    for turn in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.echo(&format!("{turn} of {number}").repeat(1 + number * 10));
        }
    }
    // In the place of one that is noted as awake, another client.
    clients.drain(..150);
    clients.extend((0..150).map(|_| open(server.addr)));
    for client in &mut clients {
        client.echo("after others");
    }
}
