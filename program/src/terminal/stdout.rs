//! Text on standard output.

use super::failure::Failure;
use std::io::{self, Write as _};

/// Prints to standard output. A reader that has gone has what it wanted, and is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| Failure(format!("cannot write to standard output: {error}"))),
    }
}
