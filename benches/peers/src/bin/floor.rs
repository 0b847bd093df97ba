//! The floor: `epoll_wait`, `read`, `write`, and no protocol.
//!
//! A client gets a 101 for its request. The server decodes its first frame once and stores the
//! echo, because the driver sends the same message repeatedly. After that it only counts bytes. For
//! each frame's worth of bytes it writes the stored echo. On `/broadcast` it writes to all clients.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use peers::BROADCAST;
use slab::Slab;
use std::io::{self, ErrorKind, Read, Write};

const LISTENER: Token = Token(usize::MAX);
const MASKING_KEY: usize = 4;
/// The number of echoes in one write.
const AT_ONCE: usize = 64;

struct Client {
    stream: TcpStream,
    is_open: bool,
    is_broadcast: bool,
    /// The number of received bytes of an incomplete frame.
    received: usize,
    /// The number of unsent bytes of echoes.
    unsent: usize,
}

#[derive(Default)]
struct Echo {
    /// The frame, repeated, so that one write can send several.
    frames: Vec<u8>,
    /// The length of one frame.
    length: usize,
}

impl Echo {
    /// Returns the echo of the frame at the beginning of these bytes, if it is complete.
    fn learn(bytes: &[u8]) -> Option<Echo> {
        let (extended, length) = match bytes.get(1)? & 0x7F {
            126 => (2, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (8, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
            short => (0, usize::from(short)),
        };
        let header = 2 + extended;
        let key = bytes.get(header..header + MASKING_KEY)?;
        let payload = bytes.get(header + MASKING_KEY..header + MASKING_KEY + length)?;
        let mut frame = bytes[..header].to_vec();
        frame[1] &= 0x7F;
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        let length = frame.len();
        Some(Echo { frames: frame.repeat(if length > 64 << 10 { 1 } else { AT_ONCE }), length })
    }
}

impl Client {
    /// Writes unsent bytes until the socket is full.
    fn flush(&mut self, echo: &Echo) -> io::Result<()> {
        while self.unsent > 0 {
            let start = (echo.length - self.unsent % echo.length) % echo.length;
            let end = echo.frames.len().min(start + self.unsent);
            match self.stream.write(&echo.frames[start..end]) {
                Ok(count) => self.unsent -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Client>,
    buffer: Vec<u8>,
    /// The client whose first frame is still to be decoded, and its bytes so far.
    first: Option<(usize, Vec<u8>)>,
    echo: Echo,
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let entry = self.clients.vacant_entry();
            self.poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE | Interest::WRITABLE)?;
            entry.insert(Client { stream, is_open: false, is_broadcast: false, received: 0, unsent: 0 });
        }
    }

    fn step(&mut self, key: usize) -> io::Result<()> {
        loop {
            let client = &mut self.clients[key];
            client.flush(&self.echo)?;
            let count = match client.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if client.is_open {
                self.received(key, count)?;
            } else {
                self.open(key, count)?;
            }
            // A short read has emptied the socket.
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }

    fn open(&mut self, key: usize, count: usize) -> io::Result<()> {
        let request = String::from_utf8_lossy(&self.buffer[..count]).into_owned();
        let key_header = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = tungstenite::handshake::derive_accept_key(key_header.unwrap_or_default().trim().as_bytes());
        let client = &mut self.clients[key];
        client.is_broadcast = request.starts_with(&format!("GET {BROADCAST} "));
        client.is_open = true;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
        client.stream.write_all(format!("{head}{accept}\r\n\r\n").as_bytes())
    }

    fn received(&mut self, key: usize, count: usize) -> io::Result<()> {
        // A Close that arrives alone is recognised by its opcode.
        if self.buffer[0] == 0x88 && self.clients[key].received == 0 {
            let _ = self.clients[key].stream.write(&[0x88, 0]);
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.clients[key].received += count;
        if self.echo.length > 0 {
            return self.answer(key);
        }
        let (learnt_from, bytes) = self.first.get_or_insert_with(|| (key, Vec::new()));
        if *learnt_from != key {
            return Ok(());
        }
        bytes.extend_from_slice(&self.buffer[..count]);
        let Some(echo) = Echo::learn(bytes) else { return Ok(()) };
        self.echo = echo;
        let waiting: Vec<usize> = self.clients.iter().map(|(key, _)| key).collect();
        waiting.into_iter().try_for_each(|key| self.answer(key))
    }

    /// Answers the complete frames of a client.
    fn answer(&mut self, key: usize) -> io::Result<()> {
        let (client, length) = (&mut self.clients[key], self.echo.length + MASKING_KEY);
        let frames = client.received / length;
        client.received %= length;
        if !client.is_broadcast {
            client.unsent += frames * self.echo.length;
            return client.flush(&self.echo);
        }
        for (_, client) in self.clients.iter_mut().filter(|(_, client)| client.is_broadcast) {
            client.unsent += frames * self.echo.length;
            client.flush(&self.echo)?;
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::from_std(peers::listen()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let buffer = vec![0; 64 << 10];
    let mut server = Server { poll, listener, clients: Slab::new(), buffer, first: None, echo: Echo::default() };
    let mut events = Events::with_capacity(1_024);
    loop {
        server.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept()?,
                Token(key) if server.clients.contains(key) => {
                    if server.step(key).is_err() {
                        server.clients.remove(key);
                    }
                    if server.clients.is_empty() {
                        // The next run sends another message.
                        (server.echo, server.first) = (Echo::default(), None);
                    }
                }
                Token(_) => {}
            }
        }
    }
}
