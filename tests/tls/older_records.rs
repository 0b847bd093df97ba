//! The rules of TLS 1.2 (RFC 5246) for records after the handshake, against clients that break
//! them.

use crate::forger::{
    ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, MOST, TLS12, client_hello, handshake, key_update, message,
};
use crate::stage::{
    Attacked, BAD_MAC, Case, DECODE, Either, Ends, GoesOn, NONE, OVERFLOW, Stage, UNEXPECTED, VIOLATION, check_all,
};
use lariat::tls::TlsFailure;

const ALLOWED: &[Case] = &[
    ("no_renegotiation", GoesOn, |peer| peer.seal(ALERT, &[1, 100])),
    ("two warnings", GoesOn, |peer| [peer.seal(ALERT, &[1, 90]), peer.seal(ALERT, &[1, 100])].concat()),
    ("ClientHello", GoesOn, |peer| peer.seal(HANDSHAKE, &client_hello())),
    ("ClientHello in two records", GoesOn, |peer| {
        let (first, second) = (&client_hello()[..10], &client_hello()[10..]);
        [peer.seal(HANDSHAKE, first), peer.seal(HANDSHAKE, second)].concat()
    }),
];

const REFUSED: &[Case] = &[
    // rustls does not excuse a second try.
    ("ClientHello thrice", Either(VIOLATION, &[UNEXPECTED, NONE]), |peer| {
        (0..3).flat_map(|_| peer.seal(HANDSHAKE, &client_hello())).collect()
    }),
    ("data inside a message of the handshake", Ends(VIOLATION, &[UNEXPECTED, NONE]), |peer| {
        [peer.seal(HANDSHAKE, &client_hello()[..20]), peer.seal(DATA, &[])].concat()
    }),
    ("HelloRequest", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::HELLO_REQUEST, &[]))
    }),
    ("Certificate", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::CERTIFICATE, &[0, 0, 0]))
    }),
    ("Finished", Ends(VIOLATION, &[UNEXPECTED]), |peer| peer.seal(HANDSHAKE, &handshake(message::FINISHED, &[7; 12]))),
    ("KeyUpdate", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(HANDSHAKE, &key_update(0))),
    ("an unknown message", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::UNKNOWN, &[7]))
    }),
    ("a message of 64 KiB", Ends(VIOLATION, &[UNEXPECTED, DECODE, NONE]), |peer| {
        handshake(message::CLIENT_HELLO, &[0; 0xffff])
            .chunks(MOST)
            .flat_map(|part| peer.seal(HANDSHAKE, part))
            .collect()
    }),
    ("a message of 16 MiB", Ends(VIOLATION, &[UNEXPECTED, DECODE, NONE]), |peer| {
        peer.seal(HANDSHAKE, &[message::CLIENT_HELLO, 0xff, 0xff, 0xff, 0, 0])
    }),
    // rustls counts it as an empty record (§6.2.1 forbids to send it).
    ("an empty record of the handshake", Either(VIOLATION, &[UNEXPECTED]), |peer| peer.seal(HANDSHAKE, &[])),
    ("ChangeCipherSpec", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(CHANGE_CIPHER_SPEC, &[1])),
    ("ChangeCipherSpec in the clear", Ends(VIOLATION, &[UNEXPECTED, BAD_MAC]), |_| vec![20, 3, 3, 0, 1, 1]),
    ("an unknown type of record", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(99, b"x")),
    ("a length of 2^14 + 2,049", Ends(VIOLATION, &[OVERFLOW, DECODE]), |_| vec![23, 3, 3, 0x48, 1]),
    ("changed content", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        let mut record = peer.text("x");
        record[14] ^= 1;
        record
    }),
    ("another type", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        let mut record = peer.text("x");
        record[0] = ALERT;
        record
    }),
    ("another version", Ends(VIOLATION, &[BAD_MAC, DECODE]), |peer| {
        let mut record = peer.text("x");
        record[2] = 1;
        record
    }),
    ("a record as short as a tag", Ends(VIOLATION, &[BAD_MAC]), |_| [&[23, 3, 3, 0, 16][..], &[7; 16]].concat()),
    ("close_notify in the clear", Ends(VIOLATION, &[BAD_MAC]), |_| vec![21, 3, 3, 0, 2, 1, 0]),
    ("ClientHello in the clear", Ends(VIOLATION, &[BAD_MAC]), |_| {
        [vec![22, 3, 3, 0, client_hello().len() as u8], client_hello()].concat()
    }),
];

const ALERTS: &[Case] = &[
    // It is a warning, which may be fatal here (§7.2.2).
    ("an error as a warning", Either(TlsFailure::Alert, &[NONE]), |peer| peer.seal(ALERT, &[1, 40])),
    // rustls takes one alert in a record (§6.2.1 allows several).
    ("two warnings in a record", Either(VIOLATION, &[DECODE]), |peer| peer.seal(ALERT, &[1, 90, 1, 90])),
];

#[test]
fn what_is_allowed_goes_on() {
    check_all(&[Attacked::Server], &TLS12, ALLOWED);
}

#[test]
fn what_is_not_allowed_ends_the_session() {
    check_all(&[Attacked::Server], &TLS12, REFUSED);
}

#[test]
fn alerts_end_the_session() {
    check_all(&[Attacked::Server], &TLS12, ALERTS);
}

/// A warning answers the first request to negotiate again (RFC 5746 §4.5).
#[test]
fn renegotiation_is_declined() {
    let stage = Stage::new(Attacked::Server);
    let mut peer = stage.peer(TLS12[0]);
    peer.give(HANDSHAKE, &client_hello());
    peer.echo("with the same keys");
    assert_eq!(peer.alerts, [[1, 100]]);
}
