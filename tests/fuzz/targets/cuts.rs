//! The same bytes, whole and in pieces, in either role: the same events, the same answers, the same
//! end.

#![no_main]

use lariat::CloseReason;
use lariat_fuzz::{Plan, Seen, Side, agrees};
use libfuzzer_sys::fuzz_target;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    said: Vec<u8>,
    reason: Option<CloseReason>,
}

fn converse(plan: Plan<'_>, reactions: &[u8], cuts: &[u8]) -> Outcome {
    let (mut side, other) = Side::new(plan, reactions);
    // A client's request has been read when it is answered.
    side.flush(usize::MAX);
    let mut rest = plan.bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let count = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
        let (piece, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        side.receive(piece);
        // A late answer comes when all has arrived: what has been held is then received as one.
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
    Outcome { seen: side.seen.clone(), said, reason: side.reason.clone() }
}

fuzz_target!(|data: &[u8]| {
    // How much waits unsent depends on the cuts.
    let Some(plan) = Plan::new(data).map(Plan::with_room) else { return };
    let (reactions, cuts) = plan.steps.split_at(plan.steps.len() / 2);
    let whole = converse(plan, reactions, &[]);
    let cuts = if cuts.is_empty() { &[0][..] } else { cuts };
    assert_eq!(converse(plan, reactions, cuts), whole);
});
