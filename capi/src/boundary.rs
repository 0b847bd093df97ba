//! How a call of C ends: with a code, and a text for `lariat_last_error`. No panic leaves it.

use crate::abi::lariat_status::{self, *};
use crate::log::is_logging;
use lariat::{OpeningError, RemoteError, SendError};
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// What went wrong last on this thread.
    static LAST: RefCell<CString> = RefCell::default();
}

/// Why a call has failed.
#[derive(Debug)]
pub struct Failure {
    status: lariat_status,
    text: String,
}

/// What the inside of a call returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn new(status: lariat_status, text: impl Into<String>) -> Failure {
        Failure { status, text: text.into() }
    }

    pub fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(LARIAT_INVALID, text)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Failure {
        match error {
            SendError::Gone => Failure::new(LARIAT_GONE, "the client has disconnected, or never was"),
            SendError::Full => {
                let text =
                    "too many bytes would be unsent, so the client is closed: send less, or raise LARIAT_MAX_UNSENT";
                Failure::new(LARIAT_FULL, text)
            }
            SendError::Dropped => Failure::new(LARIAT_FULL, error.to_string()),
            SendError::TooLong | SendError::InvalidCloseCode => Failure::invalid(error.to_string()),
            _ => Failure::new(LARIAT_NOT_OPEN, "the connection is not open yet, or is closing"),
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Failure {
        match error {
            RemoteError::Full => {
                Failure::new(LARIAT_FULL, "too many calls wait: try again later, or raise LARIAT_MAX_POSTED")
            }
            _ => Failure::new(LARIAT_WRONG_STATE, "the server has stopped: no call reaches it any more"),
        }
    }
}

impl From<OpeningError> for Failure {
    fn from(error: OpeningError) -> Failure {
        match error {
            OpeningError::NoTrust => {
                let text = "the certificates that this host trusts cannot be read: install them, or call lariat_trust";
                Failure::new(LARIAT_IO, text)
            }
            OpeningError::BadHeader => Failure::invalid("a header of the handshake itself cannot be set: leave it out"),
            _ => Failure::invalid(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        let is_invalid = error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none();
        Failure::new(if is_invalid { LARIAT_INVALID } else { LARIAT_IO }, error.to_string())
    }
}

/// Runs the inside of a call. Returns what it returns, or the code of its failure.
pub fn number(call: impl FnOnce() -> Outcome<c_int>) -> c_int {
    value_or(call, |status| status as c_int)
}

/// As [`number`], with any value, and one of the caller for a failure.
pub fn value_or<T>(call: impl FnOnce() -> Outcome<T>, failed: impl FnOnce(lariat_status) -> T) -> T {
    let call = || {
        may_panic(Place::Entry);
        if is_logging() { Err(Failure::new(LARIAT_BUSY, FROM_LOG)) } else { call() }
    };
    let outcome = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|text| &**text));
        let text = format!("Lariat has panicked, which is a bug: {}", what.unwrap_or("without a text"));
        discard(panic);
        Err(Failure::new(LARIAT_PANIC, text))
    });
    outcome.unwrap_or_else(|failure| {
        remember(failure.text);
        failed(failure.status)
    })
}

/// A place at which a bug could panic. The tests let it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A call has begun.
    Entry,
    /// The server is borrowed.
    Inside,
}

/// Panics here if a test has asked for it.
#[inline]
pub fn may_panic(place: Place) {
    #[cfg(test)]
    assert!(INJECTED.get() != Some(place), "injected at {place:?}");
    let _ = place;
}

#[cfg(test)]
thread_local! {
    /// Where the calls of this thread panic.
    pub static INJECTED: std::cell::Cell<Option<Place>> = const { std::cell::Cell::new(None) };
}

/// Drops what was thrown, which may throw again. What still does after a while is leaked.
pub fn discard(mut panic: Box<dyn Any + Send>) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            Ok(()) => return,
            Err(another) => panic = another,
        }
    }
    std::mem::forget(panic);
}

const FROM_LOG: &str = "a log callback must not call Lariat: note the line, and act on it later";

/// Runs the inside of a call that returns nothing but a code.
pub fn status(call: impl FnOnce() -> Outcome) -> c_int {
    number(|| call().map(|()| LARIAT_OK as c_int))
}

fn remember(text: String) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // The thread may be ending, or may be about to panic: then nobody asks.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| *last = text));
}

/// Returns what went wrong last on this thread, in English, for people. A call that succeeds does
/// not clear it. The text is valid until the next call on this thread that fails, or the thread
/// ends. Never NULL; empty if nothing has failed.
#[unsafe(no_mangle)]
pub extern "C" fn lariat_last_error() -> *const c_char {
    let text = LAST.try_with(|last| last.try_borrow().map_or(c"".as_ptr(), |last| last.as_ptr()));
    text.unwrap_or(c"".as_ptr())
}

/// Returns the name of a status, such as "LARIAT_GONE". Never NULL; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn lariat_strerror(status: c_int) -> *const c_char {
    name(status).as_ptr()
}

/// Returns the version of the library, such as "0.2.0". Never NULL; valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn lariat_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

fn name(status: c_int) -> &'static CStr {
    const NAMES: [(lariat_status, &CStr); 15] = [
        (LARIAT_OK, c"LARIAT_OK"),
        (LARIAT_STOPPED, c"LARIAT_STOPPED"),
        (LARIAT_INVALID, c"LARIAT_INVALID"),
        (LARIAT_GONE, c"LARIAT_GONE"),
        (LARIAT_NOT_OPEN, c"LARIAT_NOT_OPEN"),
        (LARIAT_FULL, c"LARIAT_FULL"),
        (LARIAT_NOT_UTF8, c"LARIAT_NOT_UTF8"),
        (LARIAT_BUSY, c"LARIAT_BUSY"),
        (LARIAT_WRONG_STATE, c"LARIAT_WRONG_STATE"),
        (LARIAT_WRONG_THREAD, c"LARIAT_WRONG_THREAD"),
        (LARIAT_IO, c"LARIAT_IO"),
        (LARIAT_UNSUPPORTED, c"LARIAT_UNSUPPORTED"),
        (LARIAT_NOT_FOUND, c"LARIAT_NOT_FOUND"),
        (LARIAT_TOO_SMALL, c"LARIAT_TOO_SMALL"),
        (LARIAT_PANIC, c"LARIAT_PANIC"),
    ];
    let found = NAMES.iter().find(|(known, _)| *known as c_int == status);
    found.map_or(c"unknown status", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the text is valid until the next failure on this thread.
        unsafe { CStr::from_ptr(lariat_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_ends_as_a_code_with_its_text() {
        assert_eq!(status(|| panic!("a {}", "bug")), LARIAT_PANIC as c_int);
        assert!(last().contains("a bug"), "{}", last());
        struct Worse;
        impl Drop for Worse {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        assert_eq!(status(|| std::panic::panic_any(Worse)), LARIAT_PANIC as c_int);
    }

    #[test]
    fn the_last_error_belongs_to_its_thread_and_has_no_nul_inside() {
        assert_eq!(status(|| Err(Failure::invalid("one\0two"))), LARIAT_INVALID as c_int);
        assert_eq!(last(), "one two");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }

    #[test]
    fn each_status_has_its_name() {
        for number in -13..=1 {
            assert_ne!(name(number), c"unknown status", "{number}");
        }
        assert_eq!(name(LARIAT_GONE as c_int), c"LARIAT_GONE");
        assert_eq!((name(2), name(c_int::MIN)), (c"unknown status", c"unknown status"));
    }
}
