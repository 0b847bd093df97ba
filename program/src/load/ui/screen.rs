//! The terminal: a thread draws, and hears keys. So a terminal that does not read never holds up
//! the run.

use super::draw::draw;
use super::view::{Facts, View};
use crate::load::measure::Second;
use crate::load::run::{Progress, interrupt};
use crate::terminal::{Failure, Log};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{self, BufWriter, IsTerminal as _, Stderr, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time between two drawings.
const PERIOD: Duration = Duration::from_millis(100);

/// How long the end waits for a terminal that does not read.
const PATIENCE: Duration = Duration::from_millis(500);

/// The columns and rows of a terminal that does not tell.
const SIZE: (u16, u16) = (80, 24);

/// The view of a run on standard error. It ends when this is dropped; then lines of the log come
/// again.
pub(crate) struct Ui {
    view: Arc<Mutex<View>>,
    /// The thread ends when this is dropped.
    alive: Option<Sender<()>>,
    /// Ends when the terminal is as before.
    restored: Receiver<()>,
    log: Log,
}

impl Ui {
    /// Begins to draw. Until the end, lines of the log wait.
    pub(crate) fn begin(facts: Facts, log: &Log) -> Result<Ui, Failure> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term.is_empty() || term == "dumb");
        if !stderr().is_terminal() || is_dumb {
            let why = "--ui needs a terminal on standard error: run it there, or leave out --ui";
            return Err(Failure(why.to_owned()));
        }
        let failed = |error| Failure(format!("cannot show the run: {error}"));
        let signals = Signals::register().map_err(failed)?;
        let view = Arc::new(Mutex::new(View::new(facts)));
        let (alive, ended) = channel();
        let (is_restored, restored) = channel();
        let of_thread = Arc::clone(&view);
        log.hold(true);
        // A loop itself ends with these signals.
        let signals = if facts.has_loop { Signals::default() } else { signals };
        let log_of_thread = log.clone();
        let thread = std::thread::Builder::new().name("ui".to_owned()).spawn(move || {
            let _is_restored: Sender<()> = is_restored;
            if show(&of_thread, &ended, &signals) == Shown::Early {
                log_of_thread.hold(false);
                log_of_thread.flush();
                end_at_once();
            }
        });
        let ui = Ui { view, alive: Some(alive), restored, log: log.clone() };
        // On an error, the drop lets the log go on.
        thread.map(|_| ui).map_err(failed)
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        lock(&self.view).progress = progress.clone();
    }

    pub(crate) fn second(&self, second: &Second, server_cpu: Option<f64>) {
        let mut view = lock(&self.view);
        view.second(second);
        view.server_cpu = server_cpu;
    }
}

impl Drop for Ui {
    fn drop(&mut self) {
        drop(self.alive.take());
        // A thread that still writes to the terminal is left behind.
        let _ = self.restored.recv_timeout(PATIENCE);
        self.log.hold(false);
        self.log.flush();
    }
}

fn lock(view: &Arc<Mutex<View>>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signals that would end the program, and leave the terminal as it is.
#[derive(Default)]
struct Signals {
    /// SIGINT. It ends the run by other ways, once these are in place.
    interrupted: Arc<AtomicBool>,
    /// SIGHUP and SIGTERM.
    ended: Arc<AtomicBool>,
}

impl Signals {
    fn register() -> io::Result<Signals> {
        let signals = Signals::default();
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
            signal_hook::flag::register(SIGINT, Arc::clone(&signals.interrupted))?;
            for signal in [SIGHUP, SIGTERM] {
                signal_hook::flag::register(signal, Arc::clone(&signals.ended))?;
            }
        }
        Ok(signals)
    }
}

/// Ends the program as SIGINT does by default.
fn end_at_once() {
    #[cfg(unix)]
    let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGINT);
    #[cfg(not(unix))]
    std::process::exit(130);
}

/// The terminal as it was, when this is dropped.
struct Restored {
    /// Whether keys come one by one.
    is_raw: bool,
}

impl Restored {
    fn begin() -> Restored {
        // Without a terminal to read from, there are no keys.
        let is_raw = enable_raw_mode().is_ok();
        let _ = execute!(stderr(), EnterAlternateScreen, Hide);
        Restored { is_raw }
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
        if self.is_raw {
            let _ = disable_raw_mode();
        }
    }
}

/// How the view has ended.
#[derive(PartialEq, Eq)]
enum Shown {
    /// With the run.
    All,
    /// By a key or a signal, before workers had begun. Nobody hears SIGINT yet.
    Early,
}

/// Draws until the run ends. Asks it to end early after a key or a signal.
fn show(view: &Arc<Mutex<View>>, ended: &Receiver<()>, signals: &Signals) -> Shown {
    let restored = Restored::begin();
    let mut area = size();
    let options = TerminalOptions { viewport: Viewport::Fixed(area) };
    let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, stderr()));
    let Ok(mut terminal) = Terminal::with_options(backend, options) else { return Shown::All };
    let mut has_keys = restored.is_raw;
    while ended.try_recv() != Err(TryRecvError::Disconnected) {
        if std::mem::replace(&mut area, size()) != area {
            let _ = terminal.resize(area);
        }
        draw_once(&mut terminal, view);
        let ends = if has_keys {
            hear(&mut has_keys)
        } else {
            ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Disconnected)
        };
        let is_asked = (has_keys && ends) || signals.ended.swap(false, Ordering::Relaxed);
        let is_interrupted = signals.interrupted.swap(false, Ordering::Relaxed);
        let has_begun = lock(view).has_begun();
        if (is_asked || is_interrupted) && !has_begun {
            return Shown::Early;
        }
        if is_asked {
            lock(view).is_ending = true;
            interrupt(std::process::id());
        }
    }
    Shown::All
}

fn draw_once(terminal: &mut Terminal<CrosstermBackend<BufWriter<Stderr>>>, view: &Arc<Mutex<View>>) {
    // A copy: the run must not wait for the terminal.
    let view = lock(view).clone();
    // The terminal may have gone.
    let _ = terminal.draw(|frame| draw(frame, &view));
}

/// Waits for a key, and returns whether it ends the run.
fn hear(has_keys: &mut bool) -> bool {
    match event::poll(PERIOD).and_then(|is_there| is_there.then(event::read).transpose()) {
        Ok(Some(Event::Key(key))) => is_end(key),
        Ok(_) => false,
        Err(_) => {
            *has_keys = false;
            false
        }
    }
}

fn is_end(key: KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && matches!((key.code, is_control), (KeyCode::Char('q'), false) | (KeyCode::Char('c'), true))
}

fn size() -> Rect {
    let size = terminal_size::terminal_size_of(stderr()).map(|(columns, rows)| (columns.0, rows.0));
    let (columns, rows) = size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(SIZE);
    Rect::new(0, 0, columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_ctrl_c_end_the_run_and_other_keys_do_not() {
        let key = |letter, modifiers| is_end(KeyEvent::new(KeyCode::Char(letter), modifiers));
        assert!(key('q', KeyModifiers::NONE) && key('c', KeyModifiers::CONTROL));
        assert!(!key('c', KeyModifiers::NONE) && !key('q', KeyModifiers::CONTROL) && !key('x', KeyModifiers::NONE));
    }
}
