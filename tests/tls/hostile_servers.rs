//! The rules for records after the handshake, against servers that break them.

use crate::forger::{ALERT, CHANGE_CIPHER_SPEC, DATA, Forger, HANDSHAKE, TLS12, TLS13, handshake, key_update, message};
use crate::stage::{
    Attacked, BAD_MAC, Case, Closes, DECODE, Either, Ends, GoesOn, ILLEGAL, NONE, Stage, UNEXPECTED, VIOLATION,
    check_all,
};
use lariat::tls::TlsFailure;

/// A ticket of TLS 1.3 (RFC 8446 §4.6.1).
fn ticket(length: u16) -> Vec<u8> {
    let lifetime_and_age = [0, 0, 0x1c, 0x20, 1, 2, 3, 4];
    let content = [&lifetime_and_age[..], &[2, 5, 6], &length.to_be_bytes(), &vec![7; length.into()], &[0, 0]].concat();
    handshake(message::NEW_SESSION_TICKET, &content)
}

const ALLOWED: &[Case] = &[
    ("a ticket", GoesOn, |peer| peer.seal(HANDSHAKE, &ticket(100))),
    ("tickets in a record", GoesOn, |peer| peer.seal(HANDSHAKE, &ticket(100).repeat(10))),
    ("tickets in many records", GoesOn, |peer| {
        ticket(100).repeat(3).chunks(50).flat_map(|part| peer.seal(HANDSHAKE, part)).collect()
    }),
    ("a ticket in two records with much padding", GoesOn, |peer| {
        let (first, second) = (&ticket(9)[..5], &ticket(9)[5..]);
        [peer.seal_padded(HANDSHAKE, first, 9_000), peer.seal_padded(HANDSHAKE, second, 9_000)].concat()
    }),
    ("a ticket and KeyUpdate in a record", GoesOn, |peer| {
        let content = [ticket(30), key_update(1)].concat();
        let record = peer.seal(HANDSHAKE, &content);
        peer.take_next_keys();
        record
    }),
    ("KeyUpdates", GoesOn, |peer| [0, 1, 1, 0, 1].into_iter().flat_map(|asks| peer.update(asks)).collect()),
    ("an empty record", GoesOn, |peer| peer.seal(DATA, &[])),
    ("user_canceled", GoesOn, |peer| peer.seal(ALERT, &[1, 90])),
];

const REFUSED: &[Case] = &[
    ("KeyUpdate and a ticket in a record", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        let content = [key_update(1), ticket(30)].concat();
        peer.seal(HANDSHAKE, &content)
    }),
    ("data inside a ticket", Ends(VIOLATION, &[UNEXPECTED, NONE]), |peer| {
        [peer.seal(HANDSHAKE, &ticket(100)[..90]), peer.seal(DATA, &[])].concat()
    }),
    ("a ticket that ends early", Ends(VIOLATION, &[DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::NEW_SESSION_TICKET, &ticket(100)[4..60]))
    }),
    ("a ticket that ends late", Ends(VIOLATION, &[DECODE]), |peer| {
        let content = [&ticket(10)[4..], &[0]].concat();
        peer.seal(HANDSHAKE, &handshake(message::NEW_SESSION_TICKET, &content))
    }),
    // It is read if it comes at once.
    ("a ticket of 60 KiB", Either(VIOLATION, &[UNEXPECTED, DECODE, NONE]), |peer| {
        ticket(60_000).chunks(1 << 14).flat_map(|part| peer.seal(HANDSHAKE, part)).collect()
    }),
    ("a message of 16 MiB", Ends(VIOLATION, &[UNEXPECTED, DECODE, NONE]), |peer| {
        peer.seal(HANDSHAKE, &[message::NEW_SESSION_TICKET, 0xff, 0xff, 0xff, 0, 0])
    }),
    ("KeyUpdate that asks for nothing known", Ends(VIOLATION, &[ILLEGAL]), |peer| peer.seal(HANDSHAKE, &key_update(2))),
    // No configuration here offers authentication after the handshake (RFC 8446 §4.6.2).
    ("CertificateRequest", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::CERTIFICATE_REQUEST, &[0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]))
    }),
    ("HelloRequest", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::HELLO_REQUEST, &[]))
    }),
    ("EncryptedExtensions", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::ENCRYPTED_EXTENSIONS, &[0, 0]))
    }),
    ("Finished", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::FINISHED, &[7; 48]))
    }),
    ("ChangeCipherSpec", Ends(VIOLATION, &[UNEXPECTED]), |_| vec![20, 3, 3, 0, 1, 1]),
    ("a wrong tag", Ends(VIOLATION, &[BAD_MAC]), wrong_tag),
    ("close_notify in the clear", Ends(VIOLATION, &[UNEXPECTED, BAD_MAC]), |_| vec![21, 3, 3, 0, 2, 1, 0]),
    ("internal_error", Ends(TlsFailure::Alert, &[NONE]), |peer| peer.seal(ALERT, &[2, 80])),
    ("close_notify", Closes, |peer| peer.seal(ALERT, &[1, 0])),
];

const OLDER_ALLOWED: &[Case] = &[
    ("HelloRequest", GoesOn, |peer| peer.seal(HANDSHAKE, &handshake(message::HELLO_REQUEST, &[]))),
    ("an empty record", GoesOn, |peer| peer.seal(DATA, &[])),
    ("user_canceled", GoesOn, |peer| peer.seal(ALERT, &[1, 90])),
];

const OLDER_REFUSED: &[Case] = &[
    // In TLS 1.2 it is a part of the handshake (RFC 5077 §3.3).
    ("a ticket", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::NEW_SESSION_TICKET, &[0, 0, 0, 9, 0, 2, 7, 7]))
    }),
    ("KeyUpdate", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(HANDSHAKE, &key_update(0))),
    ("ServerHelloDone", Ends(VIOLATION, &[UNEXPECTED]), |peer| {
        peer.seal(HANDSHAKE, &handshake(message::SERVER_HELLO_DONE, &[]))
    }),
    ("Finished", Ends(VIOLATION, &[UNEXPECTED]), |peer| peer.seal(HANDSHAKE, &handshake(message::FINISHED, &[7; 12]))),
    ("ChangeCipherSpec", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(CHANGE_CIPHER_SPEC, &[1])),
    ("a wrong tag", Ends(VIOLATION, &[BAD_MAC]), wrong_tag),
    ("internal_error", Ends(TlsFailure::Alert, &[NONE]), |peer| peer.seal(ALERT, &[2, 80])),
    ("close_notify", Closes, |peer| peer.seal(ALERT, &[1, 0])),
];

fn wrong_tag(peer: &mut Forger) -> Vec<u8> {
    let mut record = peer.seal(DATA, &[]);
    *record.last_mut().expect("a tag") ^= 1;
    record
}

#[test]
fn what_is_allowed_goes_on() {
    check_all(&[Attacked::Client], &TLS13, ALLOWED);
    check_all(&[Attacked::Client], &TLS12, OLDER_ALLOWED);
}

#[test]
fn what_is_not_allowed_ends_the_session() {
    check_all(&[Attacked::Client], &TLS13, REFUSED);
    check_all(&[Attacked::Client], &TLS12, OLDER_REFUSED);
}

#[test]
fn renegotiation_is_declined() {
    let stage = Stage::new(Attacked::Client);
    let mut peer = stage.peer(TLS12[0]);
    peer.give(HANDSHAKE, &handshake(message::HELLO_REQUEST, &[]));
    peer.echo("with the same keys");
    assert_eq!(peer.alerts, [[1, 100]]);
}
