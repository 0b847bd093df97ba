//! Chapter 6, readiness.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. Read everything that a non-blocking socket has.
///
/// Append the bytes to `into`. Return true if the stream is still open, and false if it has ended.
/// An edge comes only once, so do not return before the socket is empty (`WouldBlock`) or at its
/// end. Repeat a read that was interrupted.
///
/// # Errors
///
/// Every other error of a read.
pub fn read_all(socket: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Bytes that wait to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    // Your fields.
}

impl Outbox {
    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        todo!()
    }

    /// Writes as much as the socket takes. Returns true if nothing is left.
    ///
    /// A write takes some of the bytes. Go on until all are written or the socket is full
    /// (`WouldBlock`), and keep the rest. Repeat a write that was interrupted.
    ///
    /// # Errors
    ///
    /// Every other error of a write.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        todo!()
    }
}

// ---- 3 ------------------------------------------------------------------------------------------

/// A client of [`Echo`].
#[derive(Debug)]
pub struct Client {
    /// Its socket, which is registered for reading and writing.
    pub socket: TcpStream,
    /// The bytes that it has sent and that were not sent back yet.
    pub unsent: Vec<u8>,
    /// Whether it may still send something.
    pub is_open: bool,
}

/// A server that sends every byte back.
#[derive(Debug)]
pub struct Echo {
    /// Waits for all sockets.
    pub poll: Poll,
    /// What the last wait has reported.
    pub events: Events,
    /// Registered with [`LISTENER`].
    pub listener: TcpListener,
    /// The clients by their tokens.
    pub clients: BTreeMap<Token, Client>,
    /// The token of the next client.
    pub next: usize,
}

/// The token of the listener.
pub const LISTENER: Token = Token(0);

impl Echo {
    /// Listens on a free port.
    ///
    /// # Errors
    ///
    /// There is none, or the poller cannot be made.
    pub fn new() -> io::Result<Echo> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Echo { poll, events: Events::with_capacity(64), listener, clients: BTreeMap::new(), next: 1 })
    }
}

/// Exercise 3. One turn of an event loop.
///
/// Wait for events, at most for `timeout`. Accept all connections that wait, register each of them
/// for reading and writing, and give it a token. Read from the clients that are readable, and write
/// what they have sent back to them. A client that has ended its stream gets what is left, and is
/// removed. So is a client whose socket fails.
///
/// # Errors
///
/// The wait or the registration of a socket fails.
pub fn turn(echo: &mut Echo, timeout: Duration) -> io::Result<()> {
    todo!()
}

#[cfg(test)]
mod tests {
    answers!(ch06: read_all, Outbox, turn);
    use super::Echo;
    use std::collections::VecDeque;
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    /// A socket that does what a script says: a number of bytes, or an error.
    struct Script {
        steps: VecDeque<Result<usize, ErrorKind>>,
        written: Vec<u8>,
        next: u8,
    }

    impl Script {
        fn new(steps: &[Result<usize, ErrorKind>]) -> Script {
            Script { steps: steps.iter().copied().collect(), written: Vec::new(), next: 0 }
        }

        fn step(&mut self) -> io::Result<usize> {
            Ok(self.steps.pop_front().expect("a call after the end of the script")?)
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.step()?;
            assert!(count <= buffer.len(), "the script needs a larger buffer");
            for byte in &mut buffer[..count] {
                self.next = self.next.wrapping_add(1);
                *byte = self.next;
            }
            Ok(count)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.step()?.min(bytes.len());
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        let (server, _) = listener.accept().expect("the connection");
        server.set_nonblocking(true).expect("a socket that does not block");
        (client, server)
    }

    #[test]
    fn ex1_a_socket_is_read_until_it_is_empty() {
        let block = Err(ErrorKind::WouldBlock);
        for (steps, bytes, outcome) in [
            (&[block][..], 0, Ok(true)),
            (&[Ok(3), block], 3, Ok(true)),
            (&[Ok(3), Ok(64), Ok(1), block], 68, Ok(true)),
            (&[Ok(3), Err(ErrorKind::Interrupted), Ok(2), block], 5, Ok(true)),
            (&[Ok(3), Ok(0)], 3, Ok(false)),
            (&[Ok(0)], 0, Ok(false)),
            (&[Ok(3), Err(ErrorKind::ConnectionReset)], 3, Err(ErrorKind::ConnectionReset)),
        ] {
            let (mut socket, mut into) = (Script::new(steps), vec![0]);
            assert_eq!(read_all(&mut socket, &mut into).map_err(|error| error.kind()), outcome, "{steps:?}");
            assert_eq!(into, (0..=bytes).collect::<Vec<u8>>(), "{steps:?}");
            assert!(socket.steps.is_empty(), "not read: {:?}", socket.steps);
        }

        let (mut client, mut server) = connection();
        client.write_all(&[7; 10_000]).expect("a write");
        client.shutdown(Shutdown::Write).expect("an end");
        let mut into = Vec::new();
        while read_all(&mut server, &mut into).expect("no error") {}
        assert_eq!(into, [7; 10_000]);
    }

    #[test]
    fn ex2_what_is_not_written_is_kept() {
        let block = Err(ErrorKind::WouldBlock);
        let (mut outbox, mut socket) = (Outbox::default(), Script::new(&[]));
        assert!(outbox.flush(&mut socket).expect("no error"), "there is nothing to write");

        outbox.push(b"good ");
        socket.steps.extend([Ok(2), block]);
        assert!(!outbox.flush(&mut socket).expect("no error"));
        outbox.push(b"morning");
        socket.steps.extend([Ok(1), Err(ErrorKind::Interrupted), Ok(4), block]);
        assert!(!outbox.flush(&mut socket).expect("no error"));
        assert_eq!(socket.written, b"good mo");
        socket.steps.extend([Ok(100)]);
        assert!(outbox.flush(&mut socket).expect("no error"));
        assert_eq!(socket.written, b"good morning");
        assert!(socket.steps.is_empty(), "not used: {:?}", socket.steps);

        outbox.push(b"again");
        socket.steps.extend([Err(ErrorKind::BrokenPipe)]);
        assert_eq!(outbox.flush(&mut socket).map_err(|error| error.kind()), Err(ErrorKind::BrokenPipe));

        // A real socket, whose peer does not read at first.
        let sent: Vec<u8> = (0..8 << 20).map(|number: u32| number as u8 ^ (number >> 8) as u8).collect();
        let (mut client, mut server) = connection();
        client.set_nonblocking(true).expect("a socket that does not block");
        let mut outbox = Outbox::default();
        sent.chunks(1 << 20).for_each(|piece| outbox.push(piece));
        assert!(!outbox.flush(&mut server).expect("no error"), "8 MiB fit into no socket");
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let mut piece = [0; 64 << 10];
            match client.read(&mut piece) {
                Ok(count) => received.extend_from_slice(&piece[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            outbox.flush(&mut server).expect("no error");
        }
        assert!(received == sent, "the bytes arrive in order");
    }

    /// A client of the test, which neither blocks nor knows when the server turns.
    struct Peer {
        socket: TcpStream,
        sent: usize,
        received: Vec<u8>,
        has_ended: bool,
    }

    impl Peer {
        fn connect(echo: &Echo) -> Peer {
            let socket = TcpStream::connect(echo.listener.local_addr().expect("its address")).expect("a connection");
            socket.set_nonblocking(true).expect("a socket that does not block");
            Peer { socket, sent: 0, received: Vec::new(), has_ended: false }
        }

        /// Sends at most `most` of the bytes that are not sent, and reads at most `most` bytes.
        fn step(&mut self, bytes: &[u8], most: usize) {
            let rest = &bytes[self.sent..];
            if !rest.is_empty() {
                match self.socket.write(&rest[..rest.len().min(most)]) {
                    Ok(count) => self.sent += count,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            let mut buffer = vec![0; most];
            match self.socket.read(&mut buffer) {
                Ok(0) => self.has_ended = true,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn ex3_three_clients_share_one_thread() {
        let mut echo = Echo::new().expect("a server");
        // All of them wait before the first turn.
        let mut peers = [Peer::connect(&echo), Peer::connect(&echo), Peer::connect(&echo)];
        let long: Vec<u8> = (0..1 << 20).map(|number: u32| (number / 3) as u8).collect();
        let texts = [b"slow, but steady".as_slice(), &long, b"quick"];
        for count in 0.. {
            assert!(count < 100_000, "the clients have received {:?}", peers.map(|peer| peer.received.len()));
            turn(&mut echo, Duration::from_millis(1)).expect("a turn");
            for (peer, (text, most)) in peers.iter_mut().zip(texts.into_iter().zip([1, 16 << 10, 64])) {
                peer.step(text, most);
            }
            if peers.iter().zip(texts).all(|(peer, text)| peer.received.len() >= text.len()) {
                break;
            }
        }
        for (peer, text) in peers.iter().zip(texts) {
            assert!(peer.received == text, "{} bytes came back changed", text.len());
        }
        assert_eq!(echo.clients.len(), 3);

        // One ends its half after some bytes. It still gets them.
        peers[0].socket.write_all(b"!").expect("room");
        peers[0].socket.shutdown(Shutdown::Write).expect("an end");
        peers[2].socket.shutdown(Shutdown::Both).expect("an end");
        for count in 0.. {
            assert!(count < 10_000, "{} clients are left", echo.clients.len());
            turn(&mut echo, Duration::from_millis(1)).expect("a turn");
            peers[0].step(b"slow, but steady", 64);
            if peers[0].has_ended && echo.clients.len() == 1 {
                break;
            }
        }
        assert_eq!(peers[0].received, b"slow, but steady!");
    }
}
