//! The same bytes in one piece and in several, in either role: the events, the output and the end
//! must be the same.

#![no_main]

use lariat::{CloseReason, Unaccepted};
use lariat_fuzz::{Plan, Seen, Side, agrees};
use libfuzzer_sys::fuzz_target;

/// The result.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    said: Vec<u8>,
    reason: Option<CloseReason>,
}

fn converse(plan: Plan<'_>, reactions: &[u8], cuts: &[u8]) -> Outcome {
    let (mut side, other) = Side::new(plan, reactions);
    // The request of a client has been read when it is answered.
    side.flush(usize::MAX);
    let mut rest = plan.bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let count = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
        let (piece, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        side.receive(piece);
        // A late answer comes after all bytes have arrived. The bytes that were stored are then
        // received as one piece.
        if !rest.is_empty() && count % 2 == 0 {
            side.flush(usize::MAX);
        }
    }
    side.settle();
    side.flush(usize::MAX);
    let said = side.take_unread();
    side.eof();
    side.end();
    if let Some(other) = other {
        agrees(other, &said);
    }
    // How many bytes of a foreign protocol had arrived depends on the cuts.
    let reason = match side.reason.clone() {
        Some(CloseReason::Unaccepted(Unaccepted::NotHttp(_))) => {
            Some(CloseReason::Unaccepted(Unaccepted::NotHttp(Default::default())))
        }
        reason => reason,
    };
    Outcome { seen: side.seen.clone(), said, reason }
}

fuzz_target!(|data: &[u8]| {
    // The number of unsent bytes depends on the cuts.
    let Some(plan) = Plan::new(data).map(Plan::with_room) else { return };
    let (reactions, cuts) = plan.steps.split_at(plan.steps.len() / 2);
    let whole = converse(plan, reactions, &[]);
    let cuts = if cuts.is_empty() { &[0][..] } else { cuts };
    assert_eq!(converse(plan, reactions, cuts), whole);
});
