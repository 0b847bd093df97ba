//! Runs Lariat inside a loop of mio, which is edge-triggered: the host is told once that something
//! is ready, and not again until new bytes come.
//!
//! The host's own work is a UDP socket: each datagram goes to all clients.
//!
//! ```text
//! cargo run --example mio_host [ADDRESS] [UDP-ADDRESS]
//! echo hello | nc -u -w1 127.0.0.1 9999
//! ```
//!
//! Type this into a browser's console:
//!
//! ```text
//! new WebSocket("ws://127.0.0.1:9998").onmessage = event => console.log(event.data)
//! ```

use lariat::{ClientId, Clients, Handler, Message, Server};
use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

const LARIAT: Token = Token(0);
const DATAGRAMS: Token = Token(1);

/// The most datagrams that are taken before Lariat has its turn, so that a flood of them does not
/// stop the clients.
const SHARE: usize = 64;

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        // An error says that the client is closing, or reads too slowly and is closed for that.
        let _ = clients.send(id, message);
    }
}

/// Passes datagrams to all clients. Returns whether more may be left.
fn pass_on(socket: &UdpSocket, clients: &mut Clients<()>) -> io::Result<bool> {
    let mut datagram = [0; 1_500];
    for _ in 0..SHARE {
        match socket.recv(&mut datagram) {
            Ok(length) => {
                clients.broadcast(String::from_utf8_lossy(&datagram[..length]).trim_end());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let udp = arguments.next().unwrap_or_else(|| "127.0.0.1:9999".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    let mut event_loop = server.start(Echo)?;
    let datagrams = std::net::UdpSocket::bind(udp)?;
    datagrams.set_nonblocking(true)?;
    let mut datagrams = UdpSocket::from_std(datagrams);
    println!("datagrams to {}", datagrams.local_addr()?);

    // All of Lariat is one descriptor, independent of the number of clients.
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&event_loop.as_raw_fd()), LARIAT, Interest::READABLE)?;
    poll.registry().register(&mut datagrams, DATAGRAMS, Interest::READABLE)?;
    let mut events = Events::with_capacity(16);
    // An edge comes once, so the host remembers that it has not taken everything.
    let mut has_datagrams = false;
    while event_loop.outcome().is_none() {
        // Lariat remembers its own unfinished work: then its timeout is zero. Ask before each wait.
        let timeout = if has_datagrams { Some(Duration::ZERO) } else { event_loop.timeout() };
        match poll.poll(&mut events, timeout) {
            // A signal has interrupted the wait.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        has_datagrams |= events.iter().any(|event| event.token() == DATAGRAMS);
        if has_datagrams {
            // Between two turns, the host can use the clients as a handler can.
            has_datagrams = pass_on(&datagrams, event_loop.clients_mut())?;
        }
        // A turn that has nothing to do costs little. The timeout is zero, because `poll` has
        // already waited.
        event_loop.turn(Some(Duration::ZERO))?;
    }
    Ok(())
}
