//! Lines of JSON over TCP. A line is never longer than its reader allows, and a silent peer is
//! noticed.

use super::protocol::SILENCE;
use crate::clock::Clock;
use crate::terminal::quoted_bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The end of a connection that takes lines.
pub(super) struct Wire {
    stream: TcpStream,
    /// Held while a line is written, so that two lines do not mix.
    writing: Mutex<()>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        // Who does not read is lost as well.
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Wire { stream, writing: Mutex::new(()) })
    }

    pub(super) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.send_line(serde_json::to_string(message)?)
    }

    pub(super) fn send_line(&self, mut line: String) -> io::Result<()> {
        line.push('\n');
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = (&self.stream).write_all(line.as_bytes());
        if sent.is_err() {
            // A part of the line may have been written.
            self.end();
        }
        sent
    }

    /// Ends the connection: what reads or writes now, fails.
    pub(super) fn end(&self) {
        // It may have ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Returns the end that gives lines. All of them together may take `patience`.
    pub(super) fn lines(&self, patience: Duration) -> io::Result<Lines> {
        let timed = Timed { stream: self.stream.try_clone()?, clock: Clock::start(), patience: Some(patience) };
        Ok(Lines(BufReader::new(timed)))
    }
}

/// The end of a connection that gives lines.
pub(super) struct Lines(BufReader<Timed>);

/// A stream on which each read may take [`SILENCE`], or all reads together as long as `patience`
/// says.
struct Timed {
    stream: TcpStream,
    clock: Clock,
    patience: Option<Duration>,
}

impl Timed {
    fn passed(&self) -> Duration {
        Duration::from_nanos(self.clock.nanos())
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.patience.map_or(SILENCE, |patience| patience.saturating_sub(self.passed()));
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

impl Lines {
    /// From now on, all lines together may take so long.
    pub(super) fn hurry(&mut self, patience: Duration) {
        let timed = self.0.get_mut();
        (timed.clock, timed.patience) = (Clock::start(), Some(patience));
    }

    /// From now on, a silence may be as long as [`SILENCE`].
    pub(super) fn stay(&mut self) {
        self.0.get_mut().patience = None;
    }

    /// Returns the next message. Says why there is none.
    pub(super) fn next<T: DeserializeOwned>(&mut self, longest: u64) -> Result<T, String> {
        let line = self.next_line(longest)?;
        serde_json::from_slice(&line).map_err(|_| format!("it says {}, which is no message", quoted_bytes(&line)))
    }

    /// Returns the next line without its end.
    pub(super) fn next_line(&mut self, longest: u64) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        match self.0.by_ref().take(longest + 1).read_until(b'\n', &mut line) {
            Ok(_) if line.last() == Some(&b'\n') => {}
            Ok(length) if length as u64 > longest => {
                return Err(format!("it says {}, which is too long", quoted_bytes(&line)));
            }
            Ok(_) => return Err("the connection has ended".to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(self.too_slow());
            }
            Err(error) => return Err(format!("the connection is broken: {error}")),
        }
        line.pop();
        Ok(line)
    }

    fn too_slow(&self) -> String {
        let seconds = self.0.get_ref().patience.unwrap_or(SILENCE).as_secs();
        format!("nothing that it says has come for {seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Returns what the other end of a connection reads, if these bytes are all that is sent.
    fn read(bytes: &[u8], longest: u64, patience: Duration, closes: bool) -> Vec<Result<u32, String>> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut sender = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        let wire = Wire::new(listener.accept().expect("a connection").0).expect("options");
        sender.write_all(bytes).expect("there is room");
        let sender = (!closes).then_some(sender);
        let mut lines = wire.lines(patience).expect("a second handle");
        let mut read = Vec::new();
        while read.last().is_none_or(Result::is_ok) {
            read.push(lines.next(longest));
        }
        drop(sender);
        read
    }

    #[test]
    fn lines_have_an_end_a_length_and_a_time() {
        let long = Duration::from_secs(60);
        let why = |read: Vec<Result<u32, String>>| read.last().and_then(|last| last.clone().err()).unwrap_or_default();
        let both = read(b"1\n22\n", 3, long, true);
        assert_eq!((&both[0], &both[1], both.len()), (&Ok(1), &Ok(22), 3));
        assert_eq!(why(both), "the connection has ended");
        assert_eq!(why(read(b"22", 3, long, true)), "the connection has ended", "its end is missing");
        assert_eq!(read(b"123\n", 3, long, true)[0], Ok(123), "the longest line");
        assert!(why(read(b"1234\n", 3, long, true)).contains("too long"));
        assert!(why(read(&[b'1'; 9_000], 3, long, false)).contains("too long"));
        assert!(why(read(b"\xff\x00{\n", 9, long, true)).contains("no message"));
        assert!(why(read(b"1\n2", 9, Duration::from_millis(50), false)).contains("nothing that it says has come"));
    }
}
