//! The seconds of a run, one per line, for spreadsheets. Each line is written when its second ends,
//! so the lines survive a run that is killed.
//!
//! A thread writes them: a reader or a disk that is slow does not hold up the run.

use super::write::unwritten;
use crate::load::measure::Second;
use crate::terminal::Failure;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

const NAMES: &str = "at_s,length_s,open,opened,sent,received,errors,p50_us,p99_us,max_us,client_cpu\n";

/// The table that is being written.
pub(crate) struct Table {
    path: PathBuf,
    lines: Sender<String>,
    writer: JoinHandle<io::Result<()>>,
}

impl Table {
    /// Creates the file and writes the names of the columns. `-` is standard output.
    pub(crate) fn begin(path: &Path) -> Result<Table, Failure> {
        let begun = || {
            let mut sink: Box<dyn Write + Send> =
                if path == Path::new("-") { Box::new(io::stdout()) } else { Box::new(File::create(path)?) };
            put(&mut *sink, NAMES)?;
            let (lines, received) = channel();
            let writer = std::thread::Builder::new().name("csv".to_owned()).spawn(move || write(sink, &received))?;
            Ok(Table { path: path.to_owned(), lines, writer })
        };
        begun().map_err(|error| unwritten(path, &error))
    }

    /// Writes a second.
    pub(crate) fn second(&self, second: &Second) {
        // After an error, nothing receives the lines; `end` reports it.
        let _ = self.lines.send(line(second));
    }

    /// Waits until everything has been written.
    pub(crate) fn end(self) -> Result<(), Failure> {
        drop(self.lines);
        match self.writer.join() {
            // The reader has what it wanted.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Ok(outcome) => outcome.map_err(|error| unwritten(&self.path, &error)),
            Err(_) => Err(Failure(format!("cannot write {}: its thread has panicked", self.path.display()))),
        }
    }
}

fn write(mut sink: Box<dyn Write + Send>, lines: &Receiver<String>) -> io::Result<()> {
    lines.iter().try_for_each(|line| put(&mut *sink, &line))
}

fn put(sink: &mut dyn Write, line: &str) -> io::Result<()> {
    sink.write_all(line.as_bytes()).and_then(|()| sink.flush())
}

fn line(second: &Second) -> String {
    let Second { at_s, length_s, open, opened, sent, received, errors, p50_us, p99_us, max_us, client_cpu } = second;
    format!("{at_s},{length_s},{open},{opened},{sent},{received},{errors},{p50_us},{p99_us},{max_us},{client_cpu}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_is_a_line() {
        let second = Second { at_s: 1.0, length_s: 1.0, open: 3, p99_us: 1.5, ..Second::default() };
        assert_eq!(line(&second), "1,1,3,0,0,0,0,0,1.5,0,0\n");
        assert_eq!(NAMES.split(',').count(), line(&second).split(',').count());
    }
}
