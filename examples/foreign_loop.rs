//! Runs Lariat inside another event loop: here poll(2), which also waits for standard input.
//!
//! Each line that you type goes to every client. The end of the input (Ctrl-D) stops the server.
//!
//! ```text
//! cargo run --example foreign_loop [ADDRESS]
//! ```
//!
//! Type this into a browser's console:
//!
//! ```text
//! new WebSocket("ws://127.0.0.1:9998").onmessage = event => console.log(event.data)
//! ```

use lariat::{ClientId, Clients, Drain, Handler, Message, Server};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        // An error says that the client is closing, or reads too slowly and is closed for that.
        let _ = clients.send(id, message);
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    let mut event_loop = server.start(Echo)?;

    // A `File` has no buffer. With the buffer of `io::stdin()`, `poll` would not see bytes that are
    // already in the buffer.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut buffer = [0; 4096];
    while event_loop.outcome().is_none() {
        // `poll` may sleep until Lariat's next deadline, or for ever if there is none. The timeout
        // is zero while Lariat has work to do.
        let timeout = event_loop.timeout().and_then(|left| Timespec::try_from(left).ok());

        // All of Lariat is one descriptor, independent of the number of clients. It is readable
        // when `turn` has something to do.
        let is_stopping = event_loop.clients_mut().is_shutting_down();
        let mut watched = [PollFd::new(&event_loop, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
        let watched = if is_stopping { &mut watched[..1] } else { &mut watched[..] };
        match poll(watched, timeout.as_ref()) {
            // A signal has interrupted `poll`.
            Err(Errno::INTR) => continue,
            outcome => outcome?,
        };
        let is_typed = watched.get(1).is_some_and(|input| !input.revents().is_empty());

        if is_typed {
            // Between two turns, the host can use the clients as a handler can.
            match input.read(&mut buffer)? {
                0 => event_loop.clients_mut().shutdown(Drain::default()),
                length => {
                    event_loop.clients_mut().broadcast(String::from_utf8_lossy(&buffer[..length]).trim_end());
                }
            }
        }
        // The timeout is zero, because `poll` has already waited.
        event_loop.turn(Some(Duration::ZERO))?;
    }
    Ok(())
}
