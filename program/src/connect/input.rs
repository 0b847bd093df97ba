//! Standard input, which a thread reads.
//!
//! The thread gives the loop whole lines, those of one read at a time, and reads on when the loop
//! permits it. So never more than one batch waits for the server, however slowly that reads.

use lariat::Remote;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};

/// The most bytes of one read.
const CHUNK: usize = 64 << 10;

/// What the thread tells the loop.
#[derive(Debug)]
pub(super) enum FromInput {
    /// Whole lines with their ends. The last line of the input may have none.
    Lines(Vec<u8>),
    End,
    /// Why nothing more can be read.
    Failed(String),
}

/// Returns why a line is not sent.
pub(super) fn too_long(most: usize) -> String {
    format!("a line of standard input is longer than {most} bytes: raise --max-message")
}

/// Starts to read standard input. Each message on the channel permits a further batch of lines.
pub(super) fn start(remote: Remote<()>, most: usize) -> io::Result<Sender<()>> {
    let (permit, permits) = channel();
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        let give = |lines| remote.post(FromInput::Lines(lines)).is_ok() && is_permitted(&permits);
        let end = match read(io::stdin().lock(), most, give) {
            Ok(()) => FromInput::End,
            Err(why) => FromInput::Failed(why),
        };
        // The loop may have ended.
        let _ = remote.post(end);
    })?;
    Ok(permit)
}

fn is_permitted(permits: &Receiver<()>) -> bool {
    permits.recv().is_ok()
}

/// Gives the lines of a source until its end, or until they are refused. Returns why it stopped
/// before.
fn read(mut source: impl Read, most: usize, mut give: impl FnMut(Vec<u8>) -> bool) -> Result<(), String> {
    let (mut buffer, mut pending) = (vec![0; CHUNK], Vec::new());
    loop {
        let chunk = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("cannot read standard input: {error}")),
        };
        let whole = chunk.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole > 0 {
            pending.extend_from_slice(&chunk[..whole]);
            if !give(std::mem::take(&mut pending)) {
                return Ok(());
            }
        }
        pending.extend_from_slice(&chunk[whole..]);
        // With room for its end.
        if pending.len() > most.saturating_add(2) {
            return Err(too_long(most));
        }
    }
    if !pending.is_empty() {
        give(pending);
    }
    Ok(())
}

/// Returns the lines of a batch, without their ends.
pub(super) fn lines(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    batch.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives these pieces, one with each read.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn batches(pieces: &[&'static [u8]], most: usize) -> (Vec<Vec<u8>>, Result<(), String>) {
        let mut batches = Vec::new();
        let outcome = read(Pieces(pieces.to_vec()), most, |lines| {
            batches.push(lines);
            true
        });
        (batches, outcome)
    }

    #[test]
    fn only_whole_lines_are_given_and_the_rest_at_the_end() {
        let (batches, outcome) = batches(&[b"a\nb\nc", b"d", b"e\r\n\n", b"f"], 10);
        assert_eq!(batches, [&b"a\nb\n"[..], b"cde\r\n\n", b"f"]);
        assert!(outcome.is_ok());
        let all = batches.concat();
        assert_eq!(lines(&all).collect::<Vec<_>>(), [&b"a"[..], b"b", b"cde", b"", b"f"]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"\n").collect::<Vec<_>>(), [b""]);
        assert_eq!(lines(b"a\rb\r\n").collect::<Vec<_>>(), [b"a\rb"]);
    }

    #[test]
    fn a_line_without_an_end_is_not_read_into_memory() {
        let (batches, outcome) = batches(&[b"short\n", b"12345", b"67890", b"123"], 10);
        assert_eq!(batches, [b"short\n"]);
        assert!(outcome.is_err_and(|why| why.contains("longer than 10 bytes")));
    }

    #[test]
    fn reading_stops_when_nobody_wants_lines() {
        struct Endless;
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer[..2].copy_from_slice(b"y\n");
                Ok(2)
            }
        }
        let mut left = 3;
        let outcome = read(Endless, 10, |_| {
            left -= 1;
            left > 0
        });
        assert!(outcome.is_ok() && left == 0);
    }
}
