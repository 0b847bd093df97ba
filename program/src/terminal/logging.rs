//! The log and the status on standard error. A thread writes them, so a reader that has stopped
//! never holds up the event loop.
//!
//! The thread begins with the first line. In a process with one thread, the C library makes a read
//! and a write 50 instructions cheaper each, and most servers have nothing to log.

use super::plain::plain;
use super::screen::{Screen, StatusForm};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The lines and bytes that may wait for the reader. Further lines are dropped and counted.
const LINES: usize = 1_024;
const BYTES: usize = 1 << 20;

/// How long the program waits at its end for the reader.
const FLUSH: Duration = Duration::from_millis(500);

enum Entry {
    Line(Vec<u8>),
    /// A status is to be shown.
    Status,
    /// The status ends, and is erased or stays.
    EndStatus {
        stays: bool,
    },
    /// Lines wait from now on, or come again.
    Hold(bool),
    /// Everything before this has been written.
    Flush(Sender<()>),
}

/// What waits, and what was dropped.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The latest status, and its time. Those before it need not be written.
type Status = Arc<Mutex<Option<(Duration, String)>>>;

/// The end of the log that takes lines. It never blocks.
#[derive(Clone)]
pub(crate) struct Log {
    queue: SyncSender<Entry>,
    counts: Arc<Counts>,
    status: Status,
    form: StatusForm,
    /// The work of the thread, until it has begun.
    writer: Arc<Mutex<Option<Writer>>>,
}

type Writer = Box<dyn FnOnce() + Send>;

impl Log {
    /// Sends the records of the facade `log` to standard error, from the level `warn` on, and the
    /// messages of panics.
    pub(crate) fn start() -> Log {
        let log = Log::to(io::stderr(), StatusForm::of_stderr());
        let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"));
        builder.target(env_logger::Target::Pipe(Box::new(log.clone())));
        let is_automatic = std::env::var_os("RUST_LOG_STYLE").is_none_or(|style| style == "auto");
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if is_automatic && !is_plain && io::stderr().is_terminal() {
            builder.write_style(env_logger::WriteStyle::Always);
        }
        builder.init();
        let of_panics = log.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("unnamed");
            let trace = Backtrace::capture();
            let trace = if trace.status() == BacktraceStatus::Captured { format!("{trace}") } else { String::new() };
            of_panics.say(&format!("thread '{name}' {panic}\n{trace}"));
        }));
        log
    }

    fn to(sink: impl Write + Send + 'static, form: StatusForm) -> Log {
        let (queue, entries) = sync_channel(LINES);
        let (counts, status) = (Arc::new(Counts::default()), Status::default());
        let of_thread = (Arc::clone(&counts), Arc::clone(&status));
        let writer: Writer = Box::new(move || {
            let (counts, status) = of_thread;
            write(Screen::new(sink, form), &entries, &counts, &status);
        });
        Log { queue, counts, status, form, writer: Arc::new(Mutex::new(Some(writer))) }
    }

    /// Writes text that ends with a line. It may have text of strangers.
    pub(crate) fn say(&self, text: &str) {
        // It takes everything.
        let _ = self.clone().write(plain(text).as_bytes());
    }

    /// Returns whether a status is shown.
    pub(crate) fn has_status(&self) -> bool {
        self.form != StatusForm::None
    }

    /// Shows the status of this time.
    pub(crate) fn show(&self, at: Duration, status: String) {
        if self.has_status() {
            self.begin();
            let before = self.status.lock().unwrap_or_else(PoisonError::into_inner).replace((at, status));
            if before.is_none() && self.queue.try_send(Entry::Status).is_err() {
                // The terminal does not read.
                *self.status.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
    }

    /// Erases the status, or ends its row so that it stays. Then standard output may use the
    /// terminal.
    pub(crate) fn end_status(&self, stays: bool) {
        if self.has_status() && self.queue.try_send(Entry::EndStatus { stays }).is_ok() {
            self.flush();
        }
    }

    /// Lets lines wait, since something else is on the terminal; or writes them, and those to come.
    pub(crate) fn hold(&self, holds: bool) {
        self.begin();
        // A full queue is not being read.
        let _ = self.queue.try_send(Entry::Hold(holds));
    }

    /// Begins the thread, if it has not begun. Without it, the queue fills and lines are dropped.
    fn begin(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = std::thread::Builder::new().name("log".to_owned()).spawn(writer);
        }
    }

    /// Waits until everything has been written, for half a second at most.
    pub(crate) fn flush(&self) {
        let (done, written) = channel();
        if self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            // Nothing has been logged.
            return;
        }
        // A full queue is not being read.
        if self.queue.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.begin();
        let Counts { bytes, dropped } = &*self.counts;
        let waiting = bytes.fetch_add(line.len(), Ordering::Relaxed);
        if waiting + line.len() > BYTES || self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            bytes.fetch_sub(line.len(), Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes entries until no `Log` is left.
fn write(mut screen: Screen<impl Write>, entries: &Receiver<Entry>, counts: &Counts, status: &Status) {
    let mut held: Option<Vec<u8>> = None;
    for entry in entries {
        if let Entry::Line(line) = &entry {
            match &mut held {
                Some(held) if held.len() + line.len() <= BYTES => held.extend_from_slice(line),
                Some(_) => _ = counts.dropped.fetch_add(1, Ordering::Relaxed),
                None => screen.write(line),
            }
            counts.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        }
        if let Entry::Hold(holds) = &entry {
            held.take().into_iter().for_each(|held| screen.write(&held));
            held = holds.then(Vec::new);
        }
        let dropped = if held.is_none() { counts.dropped.swap(0, Ordering::Relaxed) } else { 0 };
        if dropped > 0 {
            let line = format!("lariat: dropped from the log because standard error was not read: {dropped}\n");
            screen.write(line.as_bytes());
        }
        match entry {
            Entry::Line(_) | Entry::Hold(_) => {}
            Entry::Status => {
                let latest = status.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some((at, text)) = latest {
                    screen.show(at, text);
                }
            }
            Entry::EndStatus { stays } => screen.end_row(stays),
            Entry::Flush(done) => {
                screen.flush();
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that begins to read once it gets a permit.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().expect("nobody panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let ((permit, permits), written) = (channel(), Arc::default());
        (Log::to(Slow(permits, Arc::clone(&written)), StatusForm::Row), permit, written)
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        for (line, kept) in [(&b"a line\n"[..], LINES), (&[b'x'; 8_192], BYTES / 8_192)] {
            let (mut log, permit, written) = log();
            for _ in 0..3 * LINES {
                log.write_all(line).expect("it takes everything");
            }
            drop(permit);
            // The flush itself needs room, which comes when lines have been written.
            let text = || String::from_utf8(written.lock().expect("nobody panics").clone()).expect("text");
            while !text().contains("not read: ") {
                log.flush();
            }
            log.flush();
            let written = text();
            let (_, count) = written.split_once("not read: ").expect("a count");
            let count: usize = count.split('\n').next().and_then(|count| count.parse().ok()).expect("a number");
            assert!((3 * LINES - kept - 1..=3 * LINES - kept).contains(&count), "{count} of {line:?}");
        }
    }

    #[test]
    fn lines_wait_while_something_else_is_on_the_terminal() {
        let (mut log, permit, written) = log();
        drop(permit);
        let text = || String::from_utf8(written.lock().expect("nobody panics").clone()).expect("text");
        log.hold(true);
        log.write_all(b"a line\n").expect("it takes everything");
        log.flush();
        assert_eq!(text(), "");
        log.hold(false);
        log.write_all(b"another\n").expect("it takes everything");
        log.flush();
        assert_eq!(text(), "a line\nanother\n");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_for_long() {
        let (mut log, permit, _) = log();
        log.write_all(b"a line\n").expect("it takes everything");
        log.flush();
        drop(permit);
    }

    #[test]
    fn a_terminal_that_does_not_read_takes_no_room_in_the_log() {
        let (mut log, permit, written) = log();
        log.write_all(b"a line\n").expect("it takes everything");
        for second in 0..3 * LINES as u64 {
            log.show(Duration::from_secs(second), format!("{second} s"));
        }
        log.write_all(b"another\n").expect("it takes everything");
        drop(permit);
        log.flush();
        let written = String::from_utf8(written.lock().expect("nobody panics").clone()).expect("text");
        assert!(written.contains("another") && !written.contains("dropped"), "{written}");
        assert!(written.contains(&format!("{} s", 3 * LINES - 1)), "the latest status is shown: {written}");
    }
}
