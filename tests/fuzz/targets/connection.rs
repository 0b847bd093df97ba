//! A complete connection in either role: bytes arrive in pieces, time passes, the application acts,
//! and the peer reads slowly, in any order. It must never panic, use no more memory than its input
//! justifies, end once with one reason, and send nothing that violates the protocol.

#![no_main]

use lariat_fuzz::{Plan, Side, agrees};
use libfuzzer_sys::fuzz_target;

const WAITS: [u32; 8] = [0, 1, 999, 5_000, 10_000, 29_999, 50_000, 120_000];

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    let (mut side, other) = Side::new(plan, &[]);
    let mut rest = plan.bytes;
    let mut said = Vec::new();
    for step in plan.steps {
        let argument = step >> 3;
        match step & 7 {
            0 => receive(&mut side, &mut rest, usize::from(argument) + 1),
            1 => receive(&mut side, &mut rest, usize::from(argument) * 37),
            2 | 3 => side.act(step >> 3 | (step & 1) << 5),
            4 => side.wait(WAITS[usize::from(argument & 7)]),
            5 => side.flush(usize::from(argument)),
            6 => side.flush(usize::MAX),
            _ => match argument {
                0 => side.eof(),
                1 => side.end(),
                _ => side.settle(),
            },
        }
        said.append(&mut side.take_unread());
    }
    side.settle();
    side.receive(rest);
    side.settle();
    side.flush(usize::MAX);
    said.append(&mut side.take_unread());
    side.eof();
    // Only deadlines bring it to its end.
    for _ in 0..8 {
        side.wait(120_000);
    }
    assert!(side.reason.is_some(), "{:?} without end", side.connection.state());
    side.end();
    if let Some(other) = other {
        agrees(other, &said);
    }
});

fn receive(side: &mut Side<'_>, rest: &mut &[u8], count: usize) {
    let (piece, left) = rest.split_at(count.min(rest.len()));
    *rest = left;
    side.receive(piece);
}
