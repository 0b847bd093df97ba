//! The rules of RFC 8446 for records after the handshake, against clients that break them.

use crate::forger::{
    ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, MOST, TLS13, client_hello, handshake, key_update, message,
};
use crate::kit::{client_config_with, open_with};
use crate::stage::{
    Attacked, BAD_MAC, Case, Closes, DECODE, Either, Ends, GoesOn, ILLEGAL, NONE, OVERFLOW, SERVERS, Stage, UNEXPECTED,
    VIOLATION, check_all,
};
use lariat::CloseReason;
use lariat::tls::TlsFailure;
use lariat::tls::rustls::crypto::CryptoProvider;
use lariat::tls::rustls::crypto::ring::default_provider;
use lariat::tls::rustls::{SignatureAlgorithm, SupportedCipherSuite};
use std::net::Shutdown;

const ALLOWED: &[Case] = &[
    ("padding", GoesOn, |peer| {
        let content = peer.pongs(50);
        peer.seal_padded(DATA, &content, 500)
    }),
    ("nothing but padding behind the type", GoesOn, |peer| peer.seal_padded(DATA, &[], MOST)),
    ("the most padding", GoesOn, |peer| {
        let content = peer.pongs(50);
        peer.seal_padded(DATA, &content, MOST - 50)
    }),
    ("KeyUpdate", GoesOn, |peer| peer.update(0)),
    ("KeyUpdate that asks for one", GoesOn, |peer| peer.update(1)),
    ("KeyUpdates", GoesOn, |peer| [0, 1, 1, 0, 1].into_iter().flat_map(|asks| peer.update(asks)).collect()),
    ("KeyUpdate in two records", GoesOn, |peer| {
        let mut bytes = peer.seal(HANDSHAKE, &key_update(1)[..2]);
        bytes.append(&mut peer.seal(HANDSHAKE, &key_update(1)[2..]));
        peer.take_next_keys();
        bytes
    }),
    ("KeyUpdate in five records", GoesOn, |peer| {
        let bytes = key_update(0).chunks(1).flat_map(|byte| peer.seal(HANDSHAKE, byte)).collect();
        peer.take_next_keys();
        bytes
    }),
    ("KeyUpdate with padding", GoesOn, |peer| {
        let bytes = peer.seal_padded(HANDSHAKE, &key_update(0), 1_000);
        peer.take_next_keys();
        bytes
    }),
];

const REFUSED: &[Case] = &[
    ("two KeyUpdates in a record", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        peer.seal(HANDSHAKE, &key_update(0).repeat(2))
    }),
    ("KeyUpdate and the beginning of something in a record", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        let content = [key_update(1), vec![20]].concat();
        peer.seal(HANDSHAKE, &content)
    }),
    ("a part, and KeyUpdate with its rest", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        let mut bytes = peer.seal(HANDSHAKE, &key_update(0)[..3]);
        let content = [&key_update(0)[3..], &key_update(0)].concat();
        bytes.append(&mut peer.seal(HANDSHAKE, &content));
        bytes
    }),
    ("the old keys after KeyUpdate", Ends(VIOLATION, &[BAD_MAC]), |peer| peer.seal(HANDSHAKE, &key_update(0))),
    ("the next keys too early", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        peer.take_next_keys();
        peer.seal(DATA, &[])
    }),
    ("KeyUpdate that asks for nothing known", Ends(VIOLATION, &[ILLEGAL]), |peer| peer.seal(HANDSHAKE, &key_update(2))),
    ("KeyUpdate without content", Ends(VIOLATION, &[DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::KEY_UPDATE, &[]))
    }),
    ("KeyUpdate with more", Ends(VIOLATION, &[DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::KEY_UPDATE, &[0, 0]))
    }),
    ("data inside a message of the handshake", Ends(VIOLATION, &[UNEXPECTED, NONE]), |peer| {
        [peer.seal(HANDSHAKE, &key_update(0)[..2]), peer.seal(DATA, &[])].concat()
    }),
    ("an alert inside a message of the handshake", Ends(VIOLATION, &[UNEXPECTED, NONE]), |peer| {
        [peer.seal(HANDSHAKE, &key_update(0)[..2]), peer.seal(ALERT, &[1, 0])].concat()
    }),
    ("HelloRequest", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::HELLO_REQUEST, &[]))
    }),
    ("ClientHello", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(HANDSHAKE, &client_hello())),
    ("NewSessionTicket", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::NEW_SESSION_TICKET, &[0, 0, 0, 9, 0, 0, 0, 1, 1, 7, 0, 1, 1, 0, 0]))
    }),
    ("EndOfEarlyData", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::END_OF_EARLY_DATA, &[]))
    }),
    ("Certificate", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::CERTIFICATE, &[0, 0, 0, 0]))
    }),
    ("Finished", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::FINISHED, &[7; 48]))
    }),
    ("an unknown message", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::UNKNOWN, &[7; 48]))
    }),
    ("a message of 64 KiB", Ends(VIOLATION, &[UNEXPECTED, DECODE, NONE]), |peer| {
        handshake(message::KEY_UPDATE, &[0; 0xffff]).chunks(MOST).flat_map(|part| peer.seal(HANDSHAKE, part)).collect()
    }),
    ("a message of 16 MiB", Ends(VIOLATION, &[UNEXPECTED, DECODE, NONE]), |peer| {
        peer.seal(HANDSHAKE, &[message::KEY_UPDATE, 0xff, 0xff, 0xff, 0, 0])
    }),
    // rustls counts it as an empty record (§5.1 wants the end).
    ("an empty record of the handshake", Either(VIOLATION, &[UNEXPECTED]), |peer| peer.seal(HANDSHAKE, &[])),
    ("ChangeCipherSpec", Ends(VIOLATION, &[UNEXPECTED]), |_| vec![20, 3, 3, 0, 1, 1]),
    ("ChangeCipherSpec, encrypted", Ends(VIOLATION, &[UNEXPECTED]), |peer| peer.seal(CHANGE_CIPHER_SPEC, &[1])),
    ("an unknown type of content", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(99, b"x")),
    ("an unknown type of record", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |_| vec![99, 3, 3, 0, 1, 0]),
    ("another version", Ends(VIOLATION, &[DECODE, BAD_MAC]), |_| vec![23, 2, 3, 0, 1, 0]),
    ("zeros", Ends(VIOLATION, &[UNEXPECTED, NONE]), |peer| peer.seal(0, &[0; 20])),
    ("a zero", Ends(VIOLATION, &[UNEXPECTED, NONE]), |peer| peer.seal(0, &[])),
    ("too much padding", Ends(VIOLATION, &[OVERFLOW]), |peer| {
        let content = peer.pongs(MOST);
        peer.seal_padded(DATA, &content, 1)
    }),
    ("a length of 2^14 + 257", Ends(VIOLATION, &[OVERFLOW, BAD_MAC]), |_| {
        [&[23, 3, 3, 0x41, 1], &[7; MOST + 257][..]].concat()
    }),
    ("changed content", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        let mut record = peer.text("x");
        record[5] ^= 1;
        record
    }),
    ("data in the clear", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        let content = peer.pongs(60);
        [vec![23, 3, 3, 0, 60], content].concat()
    }),
    ("close_notify in the clear", Ends(VIOLATION, &[UNEXPECTED, BAD_MAC]), |_| vec![21, 3, 3, 0, 2, 1, 0]),
    ("an alert in the clear", Ends(VIOLATION, &[UNEXPECTED, BAD_MAC]), |_| vec![21, 3, 3, 0, 2, 2, 40]),
    ("KeyUpdate in the clear", Ends(VIOLATION, &[UNEXPECTED, BAD_MAC]), |_| {
        [vec![22, 3, 3, 0, 5], key_update(0)].concat()
    }),
    // rustls reads it as what is encrypted in it.
    ("a record with the type of an alert", Either(VIOLATION, &[UNEXPECTED, BAD_MAC]), |peer| {
        let mut record = peer.seal(DATA, &[]);
        record[0] = ALERT;
        record
    }),
];

const ALERTS: &[Case] = &[
    ("an error as a warning", Ends(TlsFailure::Alert, &[NONE, DECODE]), |peer| peer.seal(ALERT, &[1, 40])),
    ("no_renegotiation", Ends(TlsFailure::Alert, &[NONE, DECODE]), |peer| peer.seal(ALERT, &[1, 100])),
    ("an alert of an unknown level", Ends(TlsFailure::Alert, &[NONE, ILLEGAL]), |peer| peer.seal(ALERT, &[3, 40])),
    ("two alerts in a record", Ends(VIOLATION, &[DECODE]), |peer| peer.seal(ALERT, &[1, 90, 1, 90])),
    ("close_notify that is called fatal", Closes, |peer| peer.seal(ALERT, &[2, 0])),
    ("close_notify and an alert", Closes, |peer| [peer.seal(ALERT, &[1, 0]), peer.seal(ALERT, &[2, 40])].concat()),
];

#[test]
fn what_is_allowed_goes_on() {
    check_all(&SERVERS, &TLS13, ALLOWED);
}

#[test]
fn what_is_not_allowed_ends_the_session() {
    check_all(&SERVERS, &TLS13, REFUSED);
}

#[test]
fn alerts_end_the_session() {
    check_all(&SERVERS, &TLS13, ALERTS);
}

/// With keys of every length, and with keys that a client of rustls' own changes.
#[test]
fn every_suite_carries_messages() {
    let mut stage = Stage::new(Attacked::Server);
    let provider = default_provider();
    let key = |suite: &SupportedCipherSuite| suite.usable_for_signature_algorithm(SignatureAlgorithm::ECDSA);
    let suites: Vec<_> = provider.cipher_suites.iter().copied().filter(key).collect();
    assert_eq!(suites.len(), 6);
    for suite in suites {
        let only = CryptoProvider { cipher_suites: vec![suite], ..provider.clone() };
        let mut client = open_with(stage.server.addr, client_config_with(only, &[suite.version()]));
        for size in [0, 1, 125, MOST - 8, MOST, 60_000] {
            client.echo(&"x".repeat(size));
            if suite.tls13().is_some() {
                client.stream.get_mut().conn.refresh_traffic_keys().expect("TLS 1.3");
            }
        }
        stage.other.echo("the other");
    }
}

/// §4.6.3: the answer comes before the next data, and all data follows the order of keys.
#[test]
fn key_updates_are_answered() {
    let stage = Stage::new(Attacked::Server);
    for suite in TLS13 {
        let mut peer = stage.peer(suite);
        for (asks, answers) in [(0, 0), (1, 1), (0, 1), (1, 2)] {
            let update = peer.update(asks);
            peer.send(&update);
            peer.echo("with other keys");
            assert_eq!(peer.updates, answers);
        }
    }
}

/// The peer reads late, so its requests meet output that is encrypted already.
#[test]
fn key_updates_meet_unsent_output() {
    let stage = Stage::new(Attacked::Server);
    let mut peer = stage.peer(TLS13[0]);
    let length = 60_000;
    for _ in 0..50 {
        let message = peer.frame(0x82, &vec![7; length]);
        let records: Vec<u8> = message.chunks(MOST).flat_map(|part| peer.seal(DATA, part)).collect();
        peer.send(&records);
        let update = peer.update(1);
        peer.send(&update);
    }
    for _ in 0..50 {
        assert_eq!(peer.receive_frame(), (0x82, vec![7; length]));
    }
    assert!((1..=50).contains(&peer.updates), "{} answers", peer.updates);
    peer.echo("and it goes on");
}

/// §6.1: an end in the middle of something is a truncation.
#[test]
fn an_end_inside_a_handshake_message_is_a_truncation() {
    let stage = Stage::new(Attacked::Server);
    let mut peer = stage.peer(TLS13[0]);
    peer.give(HANDSHAKE, &key_update(0)[..3]);
    peer.stream.get_ref().shutdown(Shutdown::Write).expect("it is connected");
    let (reason, _) = stage.end();
    assert!(matches!(&reason, CloseReason::Tls(error) if error.kind() == TlsFailure::Truncated), "{reason}");
}
