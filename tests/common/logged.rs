//! What a thread has logged.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Stores the log of each thread separately. A simulation runs in the thread of its test.
struct ByThread;

impl Log for ByThread {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LOGGED.with_borrow_mut(|logged| logged.push(format!("{} {}", record.level(), record.args())));
        }
    }

    fn flush(&self) {}
}

/// Starts to record what this thread logs, for [`logged`].
pub fn listen_to_log() {
    // Another test may have set the logger already.
    let _ = log::set_logger(&ByThread);
    log::set_max_level(LevelFilter::Info);
}

/// Returns what this thread has logged at level info or above since the last call.
pub fn logged() -> Vec<String> {
    LOGGED.take()
}
