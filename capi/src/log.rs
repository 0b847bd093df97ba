//! Where the log goes: to one function of the host, for the whole process.

use crate::abi::lariat_level::*;
use crate::abi::lariat_log_fn;
use crate::abi::lariat_status::LARIAT_WRONG_STATE;
use crate::boundary::{Failure, discard, status};
use crate::pointers::User;
use log::{LevelFilter, Log, Metadata, Record};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, PoisonError, RwLock};

static SINK: RwLock<(lariat_log_fn, User)> = RwLock::new((None, User(std::ptr::null_mut())));

/// Whether this logger is that of the process, once somebody has asked.
static IS_OURS: OnceLock<bool> = OnceLock::new();

thread_local! {
    /// Whether the log callback runs on this thread.
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the log callback runs on this thread. No call is allowed then: the library may be in the
/// middle of anything.
pub fn is_logging() -> bool {
    IS_LOGGING.try_with(Cell::get).unwrap_or(false)
}

#[derive(Debug)]
struct ToHost;

impl Log for ToHost {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || IS_LOGGING.try_with(|is| is.replace(true)).unwrap_or(true) {
            return;
        }
        let text = record.args().to_string();
        // The lock is held meanwhile, so that the old function no longer runs once it is replaced.
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
        if let (Some(callback), User(user)) = *sink {
            // SAFETY: the function and its user pointer were given together by `lariat_set_log`,
            // and the text is there until the call returns.
            let call = || unsafe { callback(user, record.level() as c_int, text.as_ptr().cast(), text.len()) };
            // The library has to go on, wherever it is.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
                discard(panic);
            }
        }
        drop(sink);
        let _ = IS_LOGGING.try_with(|is| is.set(false));
    }

    fn flush(&self) {}
}

/// Sets what is called for each line of the log of the whole process, up to a level of
/// lariat_level. NULL turns the log off. The callback can run on any thread, and on several at
/// once. lariat_set_log waits for calls of the previous callback that are in progress, so hold no
/// lock that it takes. It is not called again after that. LARIAT_WRONG_STATE: a Rust program has a
/// logger already. Can be called on any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lariat_set_log(level: c_int, callback: lariat_log_fn, user: *mut c_void) -> c_int {
    status(|| {
        let level = match (callback, level) {
            (None, _) => LevelFilter::Off,
            (Some(_), level) => level_of(level).ok_or_else(|| Failure::invalid(format!("{level} is no level")))?,
        };
        let is_ours = *IS_OURS.get_or_init(|| log::set_logger(&ToHost).is_ok());
        if !is_ours {
            let text = "this process has a logger already: a Rust program sets its own, not this one";
            return Err(Failure::new(LARIAT_WRONG_STATE, text));
        }
        *SINK.write().unwrap_or_else(PoisonError::into_inner) = (callback, User(user));
        log::set_max_level(level);
        Ok(())
    })
}

fn level_of(level: c_int) -> Option<LevelFilter> {
    let levels = [
        (LARIAT_LOG_OFF, LevelFilter::Off),
        (LARIAT_LOG_ERROR, LevelFilter::Error),
        (LARIAT_LOG_WARN, LevelFilter::Warn),
        (LARIAT_LOG_INFO, LevelFilter::Info),
        (LARIAT_LOG_DEBUG, LevelFilter::Debug),
        (LARIAT_LOG_TRACE, LevelFilter::Trace),
    ];
    levels.into_iter().find(|(known, _)| *known as c_int == level).map(|(_, level)| level)
}
