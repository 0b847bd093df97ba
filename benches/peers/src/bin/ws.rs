//! ws (ws-rs). Its permessage-deflate aborts with today's Rust: it zeroes a structure that contains
//! function pointers.

use peers::{BROADCAST, MAX_MESSAGE};
use ws::{Builder, Handler, Handshake, Message, Sender, Settings};

struct Client {
    sender: Sender,
    is_broadcast: bool,
}

impl Handler for Client {
    fn on_open(&mut self, handshake: Handshake) -> ws::Result<()> {
        self.is_broadcast = handshake.request.resource() == BROADCAST;
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> ws::Result<()> {
        if self.is_broadcast { self.sender.broadcast(message) } else { self.sender.send(message) }
    }
}

fn main() -> ws::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let settings = Settings {
        max_connections: 20_000,
        fragments_capacity: 1,
        max_fragment_size: MAX_MESSAGE,
        tcp_nodelay: true,
        ..Settings::default()
    };
    let factory = |sender| Client { sender, is_broadcast: false };
    let server = Builder::new().with_settings(settings).build(factory)?.bind(format!("127.0.0.1:{port}"))?;
    println!("listens on {}", server.local_addr()?);
    server.run().map(drop)
}
