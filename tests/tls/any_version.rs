//! Rules for records after the handshake that both versions have, against clients that break them.

use crate::forger::{ALERT, DATA, MOST, TLS12, TLS13};
use crate::stage::{
    Attacked, BAD_MAC, Case, Closes, DECODE, Ends, GoesOn, NONE, OVERFLOW, SERVERS, UNEXPECTED, VIOLATION, check_all,
};
use lariat::tls::TlsFailure;

const ALLOWED: &[Case] = &[
    ("an empty record", GoesOn, |peer| peer.seal(DATA, &[])),
    ("eight empty records", GoesOn, |peer| (0..8).flat_map(|_| peer.seal(DATA, &[])).collect()),
    ("the most content", GoesOn, |peer| {
        let content = peer.pongs(MOST);
        peer.seal(DATA, &content)
    }),
    ("user_canceled", GoesOn, |peer| peer.seal(ALERT, &[1, 90])),
];

const REFUSED: &[Case] = &[
    ("a heartbeat", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(24, &[1, 0, 0])),
    ("too much content", Ends(VIOLATION, &[OVERFLOW]), |peer| {
        let content = peer.pongs(MOST + 1);
        peer.seal(DATA, &content)
    }),
    ("a length of 2^16 - 1", Ends(VIOLATION, &[OVERFLOW, DECODE]), |_| vec![23, 3, 3, 0xff, 0xff]),
    ("a wrong tag", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        let mut record = peer.seal(DATA, &[]);
        *record.last_mut().expect("a tag") ^= 1;
        record
    }),
    ("a record twice", Ends(VIOLATION, &[BAD_MAC]), |peer| peer.seal(DATA, &[]).repeat(2)),
    ("a record that is missing", Ends(VIOLATION, &[BAD_MAC]), |peer| {
        peer.seal(DATA, &[]);
        peer.seal(DATA, &[])
    }),
    ("a record without content", Ends(VIOLATION, &[BAD_MAC]), |_| vec![23, 3, 3, 0, 0]),
    ("a record shorter than a tag", Ends(VIOLATION, &[BAD_MAC]), |_| vec![23, 3, 3, 0, 4, 1, 2, 3, 4]),
];

const ALERTS: &[Case] = &[
    ("handshake_failure", Ends(TlsFailure::Alert, &[NONE]), |peer| peer.seal(ALERT, &[2, 40])),
    ("an unknown alert", Ends(TlsFailure::Alert, &[NONE]), |peer| peer.seal(ALERT, &[2, 200])),
    ("half of an alert", Ends(VIOLATION, &[DECODE]), |peer| peer.seal(ALERT, &[2])),
    ("an alert without content", Ends(VIOLATION, &[UNEXPECTED, DECODE]), |peer| peer.seal(ALERT, &[])),
    ("close_notify", Closes, |peer| peer.seal(ALERT, &[1, 0])),
    ("close_notify and garbage", Closes, |peer| [&peer.seal(ALERT, &[1, 0])[..], &[7; 300]].concat()),
];

fn check(cases: &[Case]) {
    check_all(&[Attacked::Server], &TLS12, cases);
    check_all(&SERVERS, &TLS13, cases);
}

#[test]
fn what_is_allowed_goes_on() {
    check(ALLOWED);
}

#[test]
fn what_is_not_allowed_ends_the_session() {
    check(REFUSED);
}

#[test]
fn alerts_end_the_session() {
    check(ALERTS);
}
