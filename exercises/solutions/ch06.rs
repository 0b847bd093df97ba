//! Chapter 6, readiness.
//!
//! The question of the chapter: there is an event, because new bytes are an edge. It only comes
//! because Ben sends something. If he waits for an answer to "hello" first, no event ever comes.

use crate::ch06::{Client, Echo, LISTENER};
use mio::{Interest, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

/// Exercise 1. A read that returns less than it could is no sign that the socket is empty.
///
/// # Errors
///
/// Those of the reads.
pub fn read_all(socket: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4_096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == right!(ErrorKind::Interrupted, not ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Exercise 2: bytes in order. `VecDeque` would save the copy of the rest.
#[derive(Debug, Default)]
pub struct Outbox {
    unsent: Vec<u8>,
}

impl Outbox {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Writes as much as the socket takes.
    ///
    /// # Errors
    ///
    /// Those of the writes.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        write_all(socket, &mut self.unsent)
    }
}

/// Writes what the socket takes, and removes it. Returns whether nothing is left.
fn write_all(socket: &mut impl Write, unsent: &mut Vec<u8>) -> io::Result<bool> {
    let mut written = 0;
    let outcome = loop {
        if written == unsent.len() {
            break Ok(true);
        }
        match socket.write(&unsent[written..]) {
            Ok(0) => break Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += right!(count, not { let _ = count; unsent.len() - written }),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    unsent.drain(..written);
    outcome
}

/// Exercise 3. The order is that of a turn: accept, read, write, remove.
///
/// # Errors
///
/// The wait or the registration of a socket fails.
pub fn turn(echo: &mut Echo, timeout: Duration) -> io::Result<()> {
    match echo.poll.poll(&mut echo.events, Some(timeout)) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
        outcome => outcome?,
    }
    let tokens: Vec<Token> = echo.events.iter().map(|event| event.token()).collect();
    for token in tokens {
        if token == LISTENER {
            accept(echo)?;
        } else if let Some(client) = echo.clients.get_mut(&token) {
            if serve(client).is_err() || (!client.is_open && client.unsent.is_empty()) {
                echo.clients.remove(&token);
            }
        }
    }
    Ok(())
}

/// Accepts all connections that wait. One edge may stand for many.
fn accept(echo: &mut Echo) -> io::Result<()> {
    while let Ok((mut socket, _)) = echo.listener.accept() {
        let token = Token(echo.next);
        echo.next += 1;
        echo.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        echo.clients.insert(token, Client { socket, unsent: Vec::new(), is_open: true });
        if right!(false, not true) {
            break;
        }
    }
    Ok(())
}

/// Reads all, and writes what the client takes.
fn serve(client: &mut Client) -> io::Result<()> {
    if client.is_open {
        client.is_open = read_all(&mut client.socket, &mut client.unsent)?;
    }
    write_all(&mut client.socket, &mut client.unsent)?;
    Ok(())
}
