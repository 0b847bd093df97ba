//! A stream to a server whose reads and writes end at a deadline, or when the run does.

use crate::clock::Clock;
use crate::load::plan::Target;
use lariat::tls::rustls::{ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A read or a write waits for so long before it looks whether the run has ended.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// When to give up.
#[derive(Clone, Copy)]
pub(super) struct Until<'a> {
    pub(super) clock: Clock,
    /// In nanoseconds of the clock.
    pub(super) deadline: u64,
    pub(super) stopped: &'a AtomicBool,
}

impl<'a> Until<'a> {
    pub(super) fn after(time: Duration, clock: Clock, stopped: &'a AtomicBool) -> Until<'a> {
        Until { clock, deadline: clock.nanos().saturating_add(time.as_nanos() as u64), stopped }
    }

    fn left(&self) -> Duration {
        Duration::from_nanos(self.deadline.saturating_sub(self.clock.nanos()))
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_stopped() || self.left().is_zero()
    }
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Bytes,
    End,
    Reset,
    /// A TLS alert, or what is no TLS.
    NoTls,
    /// Nothing until the deadline.
    Late,
}

enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A stream, and what has come on it.
pub(super) struct Stream {
    wire: Wire,
    pub(super) input: Vec<u8>,
}

impl Stream {
    /// Connects. The TLS handshake comes with the first bytes.
    pub(super) fn connect(target: &Target, with_tls: bool, until: Until<'_>) -> io::Result<Stream> {
        let socket = TcpStream::connect_timeout(&target.address, until.left().max(Duration::from_millis(1)))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(LOOK))?;
        socket.set_write_timeout(Some(LOOK))?;
        let wire = match target.tls.as_ref().filter(|_| with_tls) {
            None => Wire::Plain(socket),
            Some((name, config)) => {
                let connection =
                    ClientConnection::new(std::sync::Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                Wire::Secure(Box::new(StreamOwned::new(connection, socket)))
            }
        };
        Ok(Stream { wire, input: Vec::new() })
    }

    const fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Secure(stream) => &stream.sock,
        }
    }

    /// Sends as much as the server takes. If it takes no more, a read tells why.
    pub(super) fn send(&mut self, mut bytes: &[u8], until: Until<'_>) {
        while !bytes.is_empty() && !until.is_over() {
            let sent = match &mut self.wire {
                Wire::Plain(socket) => socket.write(bytes),
                Wire::Secure(stream) => stream.write(bytes),
            };
            match sent {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if is_early(&error) => {}
                Err(_) => return,
            }
        }
        // Ciphertext may wait. If the server takes no more, a read tells why.
        while let Wire::Secure(stream) = &mut self.wire {
            match stream.flush() {
                Err(error) if is_early(&error) && !until.is_over() => {}
                _ => return,
            }
        }
    }

    /// Reads once something has come. A server that never falls silent does not delay the deadline.
    pub(super) fn read(&mut self, until: Until<'_>) -> Heard {
        while !until.is_over() {
            if let Some(heard) = self.read_once() {
                return heard;
            }
        }
        Heard::Late
    }

    /// Reads what comes within a moment.
    pub(super) fn read_once(&mut self) -> Option<Heard> {
        let mut buffer = [0; 16_384];
        let read = match &mut self.wire {
            Wire::Plain(socket) => socket.read(&mut buffer),
            Wire::Secure(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(0) => Some(Heard::End),
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Some(Heard::Bytes)
            }
            Err(error) if is_early(&error) => None,
            Err(error) => Some(match error.kind() {
                ErrorKind::UnexpectedEof => Heard::End,
                ErrorKind::InvalidData => Heard::NoTls,
                _ => Heard::Reset,
            }),
        }
    }

    /// Ends this side of the connection, without a word of TLS.
    pub(super) fn end(&self) {
        // The server may have reset it.
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub(super) fn reset(self) {
        #[cfg(unix)]
        let _ = rustix::net::sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO));
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_that_always_sends_does_not_delay_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let socket = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        let (mut server, _) = listener.accept().expect("it connects");
        server.write_all(b"a pushed message").expect("it is open");
        let mut stream = Stream { wire: Wire::Plain(socket), input: Vec::new() };
        let stopped = AtomicBool::new(false);
        assert_eq!(stream.read(Until::after(Duration::ZERO, Clock::start(), &stopped)), Heard::Late);
        assert_eq!(stream.read(Until::after(Duration::from_secs(60), Clock::start(), &stopped)), Heard::Bytes);
    }
}
