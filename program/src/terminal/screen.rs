//! Standard error as a reader sees it: lines, and below them on a terminal a row that changes.
//!
//! Only the thread of the log writes here. So a line never lands in the row.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;
use unicode_width::UnicodeWidthChar as _;

/// Goes to the first column, and erases the row.
const ERASE: &str = "\r\x1b[K";

/// The time between two lines on a terminal without a row.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The columns of a terminal that does not tell.
const COLUMNS: usize = 80;

/// How the status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusForm {
    /// Standard error is not a terminal: not at all.
    None,
    /// The terminal only appends: as a line, now and then.
    Lines,
    /// As a row that is overwritten.
    Row,
}

impl StatusForm {
    /// Returns the form for standard error.
    pub(crate) fn of_stderr() -> StatusForm {
        if !io::stderr().is_terminal() {
            return StatusForm::None;
        }
        match std::env::var_os("TERM") {
            None if cfg!(unix) => StatusForm::Lines,
            Some(term) if term.is_empty() || term == "dumb" => StatusForm::Lines,
            _ => StatusForm::Row,
        }
    }
}

/// Writes lines and the status.
pub(super) struct Screen<W> {
    sink: W,
    form: StatusForm,
    columns: fn() -> usize,
    /// The status that is shown in the row. Empty: none.
    row: String,
    /// When the next line with a status may come.
    next: Duration,
}

/// Returns the columns of the terminal on standard error.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(COLUMNS, |(terminal_size::Width(columns), _)| columns.into())
}

/// Errors are ignored: the reader may have gone.
impl<W: Write> Screen<W> {
    pub(super) fn new(sink: W, form: StatusForm) -> Screen<W> {
        Screen { sink, form, columns, row: String::new(), next: Duration::ZERO }
    }

    /// Writes lines, above the row if there is one.
    pub(super) fn write(&mut self, lines: &[u8]) {
        if self.row.is_empty() {
            let _ = self.sink.write_all(lines);
            return;
        }
        let mut bytes = ERASE.as_bytes().to_vec();
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(self.cut(&self.row).as_bytes());
        let _ = self.sink.write_all(&bytes);
    }

    /// Shows the status of this time.
    pub(super) fn show(&mut self, at: Duration, status: String) {
        match self.form {
            StatusForm::None => {}
            StatusForm::Lines if at < self.next => {}
            StatusForm::Lines => {
                self.next = at + BETWEEN_LINES;
                let _ = self.sink.write_all(format!("{}\n", self.cut(&status)).as_bytes());
            }
            StatusForm::Row => {
                let _ = self.sink.write_all(format!("{ERASE}{}", self.cut(&status)).as_bytes());
                self.row = status;
            }
        }
    }

    /// Erases the row, or ends it so that it stays.
    pub(super) fn end_row(&mut self, stays: bool) {
        if !std::mem::take(&mut self.row).is_empty() {
            let _ = self.sink.write_all(if stays { b"\n" } else { ERASE.as_bytes() });
        }
    }

    pub(super) fn flush(&mut self) {
        let _ = self.sink.flush();
    }

    /// Returns what fits the row. The last column stays empty: some terminals begin a new row once
    /// it is written.
    fn cut(&self, status: &str) -> String {
        let mut left = match (self.columns)() {
            0 => COLUMNS,
            columns => columns,
        } - 1;
        let fits = |c: &char| {
            let width = c.width().unwrap_or(0);
            let fits = width <= left;
            left = if fits { left - width } else { 0 };
            fits
        };
        status.chars().filter(|c| !c.is_control()).take_while(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(form: StatusForm) -> Screen<Vec<u8>> {
        Screen { columns: || 12, ..Screen::new(Vec::new(), form) }
    }

    fn written(screen: Screen<Vec<u8>>) -> String {
        String::from_utf8(screen.sink).expect("text")
    }

    #[test]
    fn a_line_erases_the_row_and_the_row_follows_it() {
        let mut screen = screen(StatusForm::Row);
        screen.write(b"early\n");
        screen.show(Duration::ZERO, "1 open".to_owned());
        screen.write(b"a line that is longer\n");
        screen.show(Duration::ZERO, "2 open".to_owned());
        screen.end_row(false);
        screen.end_row(false);
        screen.write(b"late\n");
        let expected = "early\n\r\x1b[K1 open\r\x1b[Ka line that is longer\n1 open\r\x1b[K2 open\r\x1b[Klate\n";
        assert_eq!(written(screen), expected);
    }

    #[test]
    fn the_row_takes_fewer_columns_than_the_terminal_has() {
        for (status, shown) in [
            ("12345678901", "12345678901"),
            ("123456789012", "12345678901"),
            // These take two columns each; the accent takes none.
            ("宽宽宽宽宽宽", "宽宽宽宽宽"),
            ("e\u{301}2345678901µ", "e\u{301}2345678901"),
            ("\x1b[2J\n\u{9b}x", "[2Jx"),
        ] {
            let mut screen = screen(StatusForm::Row);
            screen.show(Duration::ZERO, status.to_owned());
            assert_eq!(written(screen), format!("{ERASE}{shown}"));
        }
        let mut unknown = Screen { columns: || 0, ..Screen::new(Vec::new(), StatusForm::Row) };
        unknown.show(Duration::ZERO, "x".repeat(100));
        assert_eq!(written(unknown).len(), ERASE.len() + 79);
    }

    #[test]
    fn a_terminal_that_only_appends_gets_plain_lines_now_and_then() {
        let mut screen = screen(StatusForm::Lines);
        for seconds in [0, 1, 9, 10, 19, 21] {
            screen.show(Duration::from_secs(seconds), format!("{seconds} s"));
        }
        screen.write(b"a line\n");
        screen.end_row(true);
        assert_eq!(written(screen), "0 s\n10 s\n21 s\na line\n");
    }

    #[test]
    fn no_terminal_gets_no_status() {
        let mut screen = screen(StatusForm::None);
        screen.show(Duration::ZERO, "1 open".to_owned());
        screen.write(b"a line\n");
        screen.end_row(true);
        assert_eq!(written(screen), "a line\n");
    }
}
