//! An echo server: sends every message back to its sender.
//!
//! ```text
//! cargo run --example echo [ADDRESS]
//! ```
//!
//! Type this into a browser's console:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("hi")
//! ```

use lariat::Server;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server
        .on_message(|clients, id, message| {
            // An error says that the client is closing, or reads too slowly and is closed for that.
            let _ = clients.send(id, message);
        })
        .run()
}
