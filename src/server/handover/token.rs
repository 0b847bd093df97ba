//! The token: who owns the connections.
//!
//! A byte in a pipe that both processes can read. The kernel gives it to one of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub(super) struct Token {
    reader: OwnedFd,
    /// Stays open as long as the reader, so that an empty pipe is not taken for an ended one.
    _writer: Option<OwnedFd>,
}

impl Token {
    pub(super) fn new() -> io::Result<Token> {
        let (reader, writer) = pipe()?;
        rustix::io::write(&writer, &[1])?;
        Ok(Token { reader, _writer: Some(writer) })
    }

    /// The other process's.
    pub(super) const fn received(reader: OwnedFd) -> Token {
        Token { reader, _writer: None }
    }

    /// Takes the token. Returns `false` if the other process has it.
    pub(super) fn take(&self) -> io::Result<bool> {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.reader, &mut byte) {
                Ok(count) => return Ok(count == 1 && byte == [1]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Makes a non-blocking pipe that child processes do not inherit.
#[cfg(not(target_vendor = "apple"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// The same in several steps, because macOS has no pipe2(2).
#[cfg(target_vendor = "apple")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe()?;
    for end in [&reader, &writer] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok((reader, writer))
}

impl AsFd for Token {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_gets_the_token() {
        let token = Token::new().expect("a pipe");
        let other = Token::received(token.as_fd().try_clone_to_owned().expect("a descriptor"));
        assert!(other.take().expect("it can be read"));
        assert!(!token.take().expect("it can be read"));
        assert!(!other.take().expect("it can be read"));

        drop(token);
        assert!(!other.take().expect("a pipe that has ended is empty"));
    }
}
