//! What the unit tests of all that is saved have in common.

use lariat::RestoreError;
use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the panics of each thread: the loop catches those of handlers.
fn count_panics() {
    static COUNTS: Once = Once::new();
    COUNTS.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            hook(info);
        }));
    });
}

/// Checks that a new handler which has restored `bytes` saves the same, and that no part of it can
/// be restored. Returns that handler.
pub(super) fn check<H>(
    bytes: &[u8],
    make: impl Fn() -> H,
    restore: impl Fn(&mut H, &[u8]) -> Result<(), RestoreError>,
    save: impl Fn(&H) -> Option<Vec<u8>>,
) -> H {
    let restored = |bytes: &[u8]| {
        let mut handler = make();
        restore(&mut handler, bytes).map(|()| handler)
    };
    for end in 0..bytes.len() {
        assert!(restored(&bytes[..end]).is_err(), "the first {end} of {} bytes", bytes.len());
    }
    assert!(restored(&[bytes, &[0]].concat()).is_err(), "a byte follows");
    let handler = restored(bytes).expect("it was saved");
    assert!(save(&handler).expect("it can be saved") == bytes, "it saves something else");
    handler
}

/// Restores what differs in one byte, and lets `use_it` use what could be restored. Nothing must
/// panic.
pub(super) fn damage<H>(
    bytes: &[u8],
    make: impl Fn() -> H,
    restore: impl Fn(&mut H, &[u8]) -> Result<(), RestoreError>,
    use_it: impl Fn(H),
) {
    count_panics();
    for at in 0..bytes.len() {
        for byte in [0, 0x1b, 0x7f, 0xff, bytes[at] ^ 1, bytes[at] ^ 0x80] {
            let (mut damaged, mut handler) = (bytes.to_vec(), make());
            damaged[at] = byte;
            if restore(&mut handler, &damaged).is_ok() {
                use_it(handler);
            }
            assert_eq!(PANICS.get(), 0, "byte {at} of {} is {byte}", bytes.len());
        }
    }
}
