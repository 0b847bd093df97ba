//! A server that pushes data: every client gets the count of seconds, once a second.
//!
//! ```text
//! cargo run --example push [ADDRESS]
//! ```
//!
//! Type this into a browser's console:
//!
//! ```text
//! new WebSocket("ws://127.0.0.1:9998").onmessage = event => console.log(event.data)
//! ```

use lariat::{ClientId, Clients, Handler, Server, TimerId};
use std::time::Duration;

/// Counts the seconds since the start.
struct Counter {
    seconds: u64,
}

/// The number that `on_timer` gets. A handler with several timers needs it to distinguish them.
const TICK: u64 = 1;

impl Counter {
    fn text(&self) -> String {
        format!("{} s", self.seconds)
    }
}

impl Handler for Counter {
    type Data = ();

    /// Starts one timer for all clients.
    fn on_start(&mut self, clients: &mut Clients<()>) {
        clients.set_interval(Duration::from_secs(1), TICK);
    }

    /// Sends the count at once, so that a new client does not wait for the next second.
    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        // An error says that the client is closing. `on_close` follows.
        let _ = clients.send(id, &self.text());
    }

    /// Sends the new count to all clients. `broadcast` only queues. The loop writes after this
    /// method returns, once to each client. Lariat closes a client that does not read when too many
    /// bytes wait for it (`Limits::max_unsent`), so slow clients cannot fill the memory.
    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, token: u64) {
        if token == TICK {
            self.seconds += 1;
            clients.broadcast(&self.text());
        }
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Counter { seconds: 0 })
}
