//! The server speaks first: everybody gets the count of seconds, without asking.
//!
//! ```text
//! cargo run --example push [ADDRESS]
//! ```
//!
//! In a browser's console:
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

/// Comes back in `on_timer`, so that a handler with several timers can tell them apart.
const TICK: u64 = 1;

impl Counter {
    fn text(&self) -> String {
        format!("{} s", self.seconds)
    }
}

impl Handler for Counter {
    type Data = ();

    /// One timer for all clients.
    fn on_start(&mut self, clients: &mut Clients<()>) {
        clients.set_interval(Duration::from_secs(1), TICK);
    }

    /// Whoever comes does not have to wait for the next second.
    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let _ = clients.send(id, &self.text());
    }

    /// This only queues; the loop writes when this has returned, once to each client. Those who
    /// do not read are closed when too much waits for them (`Limits::max_unsent`), so they cannot
    /// fill the memory.
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
