//! Which thread is this? Not `std::thread::current`, which allocates for each thread of C and, for
//! the first one, never frees.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of a thread that has called Lariat. It is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadNumber(usize);

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: ThreadNumber = ThreadNumber(NEXT.fetch_add(1, Ordering::Relaxed));
}

impl ThreadNumber {
    /// The one of the calling thread.
    pub fn own() -> ThreadNumber {
        OWN.with(|own| *own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_number_and_has_it_alone() {
        let own = ThreadNumber::own();
        assert_eq!(own, ThreadNumber::own());
        assert_ne!(own, std::thread::spawn(ThreadNumber::own).join().unwrap());
    }
}
