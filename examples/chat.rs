//! A chat: the path is the room, and `name` in the query is the nickname.
//!
//! ```text
//! cargo run --example chat [ADDRESS]
//! ```
//!
//! Type this into the consoles of two browser windows:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998/kitchen?name=Ada")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("hello")
//! ```
//!
//! `query_value` needs Lariat's feature `urlencoded`.

use lariat::http::StatusCode;
use lariat::{Answer, ClientId, Clients, CloseReason, Handler, Message, Request, Server, Upgrade};

struct Chat;

/// The data of each client. Lariat stores it with the connection and drops it with the connection.
#[derive(Clone, Default)]
struct Guest {
    room: String,
    name: String,
}

impl Handler for Chat {
    type Data = Guest;

    /// Checks the name. No byte has been sent yet, so this is the place to refuse a client.
    fn on_request(&mut self, clients: &mut Clients<Guest>, id: ClientId, request: &Request<'_>) -> Answer {
        let name = request.query_value("name").unwrap_or("somebody".into());
        let is_simple = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_simple || name.is_empty() || name.len() > 20 {
            return StatusCode::BAD_REQUEST.into();
        }
        if let Some(guest) = clients.data_mut(id) {
            *guest = Guest { room: request.path().to_owned(), name: name.into_owned() };
        }
        Upgrade::new().into()
    }

    fn on_open(&mut self, clients: &mut Clients<Guest>, id: ClientId) {
        let Some(Guest { room, name }) = clients.data(id).cloned() else { return };
        // A topic exists as long as it has subscribers, so the chat needs no list of rooms.
        clients.subscribe(id, &room);
        let present = clients.subscribers(&room);
        clients.publish_except(&room, id, &format!("* {name} joins"));
        // An error says that the client is closing. `on_close` follows.
        let _ = clients.send(id, &format!("* welcome to {room}, {name}; people here: {present}"));
    }

    fn on_message(&mut self, clients: &mut Clients<Guest>, id: ClientId, message: Message<'_>) {
        let Some(Guest { room, name }) = clients.data(id).cloned() else { return };
        if let Some(text) = message.as_text() {
            // The frame is encoded once for all subscribers.
            clients.publish(&room, &format!("<{name}> {text}"));
        }
    }

    /// Reports that a client has left. This is called once for each client that had `on_open`,
    /// however the connection ended: a Close, a lost connection, a violation of the protocol.
    fn on_close(&mut self, clients: &mut Clients<Guest>, id: ClientId, reason: &CloseReason) {
        let Some(Guest { room, name }) = clients.data(id).cloned() else { return };
        let how = if reason.was_clean() { "has left" } else { "has disconnected" };
        clients.publish_except(&room, id, &format!("* {name} {how}"));
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Chat)
}
