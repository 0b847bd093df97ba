//! Chapter 1, purpose.

use std::io::{self, ErrorKind, Read};

/// Exercise 1: most of the exchanges bring nothing.
pub fn polled(exchange: u64, one_in: u64) -> u64 {
    exchange * one_in
}

/// Exercise 1, second half: the header and the news.
pub fn pushed(news: u64) -> u64 {
    let header = match news {
        0..=125 => 2,
        126..=65_535 => right!(4, not 2),
        _ => 10,
    };
    header + news
}

/// Exercise 2: a loop around `read`.
///
/// # Errors
///
/// Those of the reads, except interruptions.
pub fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while right!(filled < buffer.len(), not filled == 0 && !buffer.is_empty()) {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Exercise 3: keeps what is incomplete.
#[derive(Debug, Default)]
pub struct Receiver {
    kept: Vec<u8>,
}

impl Receiver {
    /// Returns the messages that are complete.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.kept.extend_from_slice(bytes);
        let (mut messages, mut rest) = (Vec::new(), self.kept.as_slice());
        while let Some((length, after)) = rest.split_first() {
            let Some((message, after)) = after.split_at_checked(usize::from(*length)) else { break };
            messages.push(message.to_vec());
            rest = after;
        }
        self.kept = right!(rest.to_vec(), not Vec::new());
        messages
    }

    /// Returns the number of bytes that are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }
}
