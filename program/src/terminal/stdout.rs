//! Text on standard output.

use std::io::Write as _;

/// Prints to standard output. Errors are ignored: the reader may have gone.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
