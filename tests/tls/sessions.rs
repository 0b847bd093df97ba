//! Sessions without sockets: bytes in, bytes out.

use crate::kit::{VERSIONS, client_config, client_tls, server_config, server_tls};
use lariat::protocol::tls::{Output, Session};
use lariat::tls::rustls::SupportedProtocolVersion;
use lariat::tls::rustls::pki_types::ServerName;
use lariat::tls::{ClientTls, ServerTls, TlsError, TlsFailure};
use std::sync::Arc;

/// One side, and what has become of what it has received.
struct End {
    session: Session,
    plain: Vec<u8>,
    closed: bool,
}

impl End {
    fn new(session: Session) -> End {
        End { session, plain: Vec::new(), closed: false }
    }

    /// Receives ciphertext, as the loop does: behind what was kept.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        let mut input = vec![0; bytes.len() + (64 << 10)];
        let kept = self.session.copy_kept(&mut input);
        input[kept..kept + bytes.len()].copy_from_slice(bytes);
        let mut output = Output::default();
        let outcome = self.session.receive(&mut input[..kept + bytes.len()], &mut self.plain, &mut output);
        self.session.keep_unsent(&output, 0);
        let closed = outcome?;
        self.closed |= closed;
        Ok(())
    }

    /// Takes all ciphertext for the peer.
    fn take(&mut self) -> Vec<u8> {
        let bytes = self.session.unsent().to_vec();
        self.session.delivered(bytes.len().max(1), bytes.len().max(1));
        self.session.advance(bytes.len());
        bytes
    }

    fn encrypt(&mut self, plain: &[u8]) {
        let mut output = Output::default();
        self.session.encrypt(plain, &mut output).expect("an open session");
        self.session.keep_unsent(&output, 0);
    }

    fn close(&mut self) {
        let mut output = Output::default();
        self.session.close(&mut output).expect("an open session");
        self.session.keep_unsent(&output, 0);
    }
}

fn pair_with(server: &ServerTls, client: &ClientTls) -> (End, End) {
    let name = ServerName::try_from("localhost").expect("a name");
    let client = Session::connect(client, name, &mut Output::default()).expect("a client");
    (End::new(Session::accept(server).expect("a server")), End::new(client))
}

fn pair(version: &'static SupportedProtocolVersion) -> (End, End) {
    pair_with(&server_tls(), &client_tls(&[version]))
}

/// Passes ciphertext to and fro, in pieces of this size, until nobody has any.
fn exchange(server: &mut End, client: &mut End, piece: usize) -> Result<(), TlsError> {
    loop {
        let (to_server, to_client) = (client.take(), server.take());
        if to_server.is_empty() && to_client.is_empty() {
            return Ok(());
        }
        to_server.chunks(piece).try_for_each(|bytes| server.receive(bytes))?;
        to_client.chunks(piece).try_for_each(|bytes| client.receive(bytes))?;
    }
}

#[test]
fn a_handshake_and_messages_survive_every_size_of_piece() {
    for version in VERSIONS {
        for piece in [1, 2, 3, 5, 7, 100, 1 << 20] {
            let (mut server, mut client) = pair(version);
            exchange(&mut server, &mut client, piece).expect("a handshake");
            assert!(server.session.info().is_some() && client.session.info().is_some());
            for size in [1, 20, 16_383, 16_384, 16_385, 65_536] {
                let message: Vec<u8> = (0..size).map(|n| n as u8).collect();
                client.encrypt(&message);
                server.encrypt(&message);
                exchange(&mut server, &mut client, piece).expect("messages");
                assert_eq!(std::mem::take(&mut server.plain), message);
                assert_eq!(std::mem::take(&mut client.plain), message);
            }
            client.close();
            exchange(&mut server, &mut client, piece).expect("the client's end");
            server.close();
            exchange(&mut server, &mut client, piece).expect("the server's end");
            assert!(server.closed && server.session.may_end());
            // Nothing is kept at the end, whatever the pieces were.
            assert_eq!((server.session.holds(), client.session.holds()), (0, 0));
        }
    }
}

#[test]
fn an_idle_session_holds_nothing() {
    let (mut server, mut client) = pair(VERSIONS[1]);
    exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
    assert_eq!(server.session.holds(), 0);
    client.encrypt(&[7; 1_000]);
    let bytes = client.take();
    let (most, rest) = bytes.split_at(bytes.len() - 1);
    server.receive(most).expect("a part of a record");
    assert_eq!((server.session.holds(), server.plain.len()), (most.len(), 0));
    assert!(server.session.has_kept());
    server.receive(rest).expect("the rest");
    assert_eq!((server.session.holds(), server.plain.len()), (0, 1_000));
}

#[test]
fn what_was_agreed_is_known() {
    for (version, name) in VERSIONS.into_iter().zip(["TLS 1.2", "TLS 1.3"]) {
        let (mut server, mut client) = pair(version);
        assert_eq!(server.session.info(), None);
        exchange(&mut server, &mut client, 7).expect("a handshake");
        let info = server.session.info().expect("it is open");
        assert_eq!((info.version, info.server_name.as_deref(), info.resumed), (name, Some("localhost"), false));
        assert!(info.cipher.contains("_WITH_AES_") || info.cipher.starts_with("TLS13_AES_"), "{}", info.cipher);
        let info = client.session.info().expect("it is open");
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
        assert_eq!((info.version, info.peer_certificates.as_ref().map(|chain| chain.len())), (name, Some(1)));
    }
}

#[test]
fn a_second_session_is_resumed() {
    let (server_tls, client_tls) = (server_tls(), client_tls(&VERSIONS));
    for expected in [false, true] {
        let (mut server, mut client) = pair_with(&server_tls, &client_tls);
        exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
        assert_eq!(server.session.info().map(|info| info.resumed), Some(expected));
    }
}

/// Names of several sessions whose handshakes overlap are not confused.
#[test]
fn the_name_belongs_to_its_session() {
    let (server_tls, client_tls) = (server_tls(), client_tls(&VERSIONS));
    let begin = |name: &'static str| {
        let name = ServerName::try_from(name).expect("a name");
        let client = Session::connect(&client_tls, name, &mut Output::default()).expect("a client");
        (End::new(Session::accept(&server_tls).expect("a server")), End::new(client))
    };
    let mut pairs = [begin("localhost"), begin("127.0.0.1"), begin("localhost")];
    for (server, client) in &mut pairs {
        server.receive(&client.take()).expect("a hello");
    }
    for (server, client) in &mut pairs {
        exchange(server, client, 1 << 20).expect("a handshake");
    }
    let names = pairs.map(|(server, _)| server.session.info().and_then(|info| info.server_name.clone()));
    // An address is no name (RFC 6066 §3).
    assert_eq!(names.each_ref().map(Option::as_deref), [Some("localhost"), None, Some("localhost")]);
}

#[test]
fn first_bytes_that_are_not_tls_fail_at_once() {
    for (bytes, is_http) in [
        (&b"GET / HTTP/1.1\r\n"[..], true),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true),
        (b"G", true),
        (b"OPTIONS * HTTP/1.1\r\n", true),
        (b"SSH-2.0-OpenSSH\r\n", false),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n", false),
        (b"\x80\x2e\x01\x00\x02", false),
        (b"\x00", false),
        (b"\xff\xff\xff", false),
    ] {
        let (mut server, _) = pair(VERSIONS[1]);
        let error = server.receive(bytes).expect_err("no TLS");
        assert_eq!((error.kind(), error.is_http()), (TlsFailure::NotTls, is_http), "{}", bytes.escape_ascii());
        // Nothing more is said or heard.
        assert!(server.session.unsent().is_empty() && server.session.may_end());
        assert_eq!(server.receive(&[0x16; 100]), Ok(()));
    }
}

/// A client of TLS 1.0 offers no signature algorithms (RFC 5246 §7.4.1.4.1).
#[test]
fn a_client_with_an_old_version_is_told_apart() {
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let mut hello = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0xc0, 0x09, 1, 0, 0, groups.len() as u8], &groups].concat();
    hello = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    let record = [&[22, 3, 1, 0, hello.len() as u8][..], &hello].concat();
    let (mut server, _) = pair(VERSIONS[1]);
    let error = server.receive(&record).expect_err("an old version");
    assert_eq!(error.kind(), TlsFailure::NothingInCommon);
    assert_eq!(error.to_string(), "TLS: the peer's version of TLS is too old: 1.2 is needed at least");
}

#[test]
fn protocols_without_one_in_common_are_named() {
    let (mut server, mut client) = (server_config(), client_config(&VERSIONS));
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    client.alpn_protocols = vec![b"h2".to_vec()];
    let (mut server, mut client) = pair_with(&ServerTls::new(Arc::new(server)), &ClientTls::new(Arc::new(client)));
    let error = server.receive(&client.take()).expect_err("no protocol in common");
    assert_eq!(error.kind(), TlsFailure::NothingInCommon);
    assert_eq!(error.to_string(), "TLS: no common ALPN protocol; this server speaks http/1.1");
    let error = client.receive(&server.take()).expect_err("an alert");
    assert!(error.to_string().ends_with("it does not speak http/1.1"), "{error}");
}

/// rustls must not find an error then: in a build with debug assertions, it would panic.
#[test]
fn nothing_is_heard_after_our_own_end() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version);
        exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
        client.encrypt(&[1; 100]);
        let mut bytes = client.take();
        let (most, last) = bytes.split_at_mut(100);
        server.receive(most).expect("a part of a record");
        server.close();
        last[0] ^= 1;
        assert_eq!(server.receive(last), Ok(()));
        assert_eq!((server.session.holds(), server.plain.len()), (server.session.unsent().len(), 0));
    }
}

/// The client's last flight and a record that was changed come at once.
#[test]
fn a_handshake_is_over_although_an_error_follows_it() {
    for version in VERSIONS {
        let (mut server, mut client) = pair(version);
        while client.session.is_handshaking() {
            server.receive(&client.take()).expect("a flight");
            client.receive(&server.take()).expect("a flight");
        }
        let mut bytes = client.take();
        client.encrypt(&[1; 100]);
        bytes.extend(client.take());
        *bytes.last_mut().expect("a record") ^= 1;
        server.receive(&bytes).expect_err("it was changed");
        assert!(server.session.info().is_some() && !server.session.is_handshaking());
    }
}

#[test]
fn records_may_be_as_small_as_the_configuration_wants() {
    let mut config = server_config();
    config.max_fragment_size = Some(64);
    let (mut server, mut client) = pair_with(&ServerTls::new(Arc::new(config)), &client_tls(&VERSIONS));
    exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
    server.encrypt(&[7; 40_000]);
    exchange(&mut server, &mut client, 1 << 20).expect("small records");
    assert_eq!(client.plain, [7; 40_000]);
}

/// The ciphertext of a whole conversation, from both sides, for hostile changes.
fn conversation(version: &'static SupportedProtocolVersion) -> Vec<Vec<u8>> {
    let (mut server, mut client) = pair(version);
    let mut flights = Vec::new();
    loop {
        let (to_server, to_client) = (client.take(), server.take());
        if to_server.is_empty() && to_client.is_empty() {
            break;
        }
        server.receive(&to_server).expect("a handshake");
        client.receive(&to_client).expect("a handshake");
        flights.push(to_server);
    }
    flights.retain(|flight| !flight.is_empty());
    flights
}

/// Any change of any byte of a handshake ends the session with an error, and never with a panic.
#[test]
fn a_changed_byte_ends_the_session() {
    for version in VERSIONS {
        let hello = conversation(version).swap_remove(0);
        for at in 0..hello.len() {
            for change in [1, 0x80, 0xff] {
                let mut bytes = hello.clone();
                bytes[at] ^= change;
                let (mut server, _) = pair(version);
                let _ =
                    server.receive(&bytes).and_then(|()| server.receive(&bytes)).and_then(|()| server.receive(&bytes));
            }
        }
        // In an open session, each record is authenticated.
        for at in [0, 1, 3, 4, 5, 30] {
            let (mut server, mut client) = pair(version);
            exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
            client.encrypt(&[1; 100]);
            let mut bytes = client.take();
            bytes[at] ^= 0x55;
            let length = bytes.len();
            let outcome = server.receive(&bytes).and_then(|()| server.receive(&vec![0; 40_000]));
            let error = outcome.expect_err("it was changed");
            assert!(server.plain.is_empty(), "byte {at} of {length}");
            assert!(matches!(error.kind(), TlsFailure::Violation | TlsFailure::NotTls), "{error}");
        }
    }
}

/// Cut at every byte, the rest never comes: nothing is delivered, and what is kept is bounded.
#[test]
fn a_handshake_that_is_cut_anywhere_waits() {
    for version in VERSIONS {
        let hello = conversation(version).swap_remove(0);
        for end in 0..hello.len() {
            let (mut server, _) = pair(version);
            server.receive(&hello[..end]).expect("a part");
            assert!(server.session.is_handshaking() && server.session.holds() <= end);
        }
    }
}

/// 64 KiB of a handshake in records of one byte, and a record of more than the greatest length.
#[test]
fn what_is_kept_is_bounded() {
    let (mut server, _) = pair(VERSIONS[1]);
    // A client hello of 65,535 bytes.
    let mut bytes = vec![0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    let mut outcome = server.receive(&bytes);
    bytes = vec![0x16, 3, 1, 0, 1, 0];
    for _ in 0..70_000 {
        if outcome.is_err() {
            break;
        }
        outcome = server.receive(&bytes);
        assert!(server.session.holds() <= 100 << 10, "{}", server.session.holds());
    }
    let error = outcome.expect_err("it is too long");
    assert_eq!(error.kind(), TlsFailure::Violation, "{error}");

    let (mut server, mut client) = pair(VERSIONS[1]);
    exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
    let error = server.receive(&[23, 3, 3, 0xff, 0xff]).expect_err("a record has at most 16,640 bytes");
    assert_eq!(error.kind(), TlsFailure::Violation, "{error}");
    // The peer is told.
    assert!(!server.session.unsent().is_empty());
    let error = client.receive(&server.take()).expect_err("an alert");
    assert_eq!(error.kind(), TlsFailure::Alert, "{error}");
}

/// A session that fails between two fragments of a handshake's message.
#[test]
fn an_error_behind_half_a_message_is_an_error() {
    for version in VERSIONS {
        let hello = conversation(version).swap_remove(0);
        let (record, rest) = hello.split_at(5);
        assert_eq!(record[0], 22);
        for cut in [1, 3, 4, 5, 50] {
            let (mut server, _) = pair(version);
            let mut bytes = vec![22, 3, 1, 0, cut as u8];
            bytes.extend_from_slice(&rest[..cut]);
            server.receive(&bytes).expect("a fragment");
            // An alert in between, application data in between, a wrong type.
            for wrong in [&[23, 3, 3, 0, 1, 0][..], &[99, 3, 3, 0, 1, 0], &[22, 9, 9, 0, 1, 0]] {
                let (mut server, _) = pair(version);
                server.receive(&bytes).expect("a fragment");
                let error = server.receive(wrong).expect_err("out of order");
                assert!(!error.to_string().is_empty());
                assert!(server.session.may_end());
            }
        }
    }
}

/// The parts of output that are reported as sent add up to the whole.
#[test]
fn partial_writes_add_up() {
    let (mut server, mut client) = pair(VERSIONS[1]);
    exchange(&mut server, &mut client, 1 << 20).expect("a handshake");
    let message = vec![9; 65_536];
    server.encrypt(&message);
    let (mut sent, mut length) = (0, server.session.unsent().len());
    let mut received = Vec::new();
    while length > 0 {
        assert!(server.session.is_ahead() && !server.session.may_encrypt());
        let taken = length.min(1_000);
        received.extend_from_slice(&server.session.unsent()[..taken]);
        sent += server.session.delivered(taken, length);
        server.session.advance(taken);
        assert!(sent <= message.len());
        length = server.session.unsent().len();
    }
    assert_eq!(sent, message.len());
    assert!(server.session.may_encrypt() && !server.session.is_ahead());
    client.receive(&received).expect("records");
    assert_eq!(client.plain, message);
}
