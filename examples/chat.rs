//! A chat: the path is the room, the query is the nickname.
//!
//! ```text
//! cargo run --example chat [ADDRESS]
//! ```
//!
//! In the consoles of two browser windows:
//!
//! ```text
//! ws = new WebSocket("ws://127.0.0.1:9998/kitchen?Ada")
//! ws.onmessage = event => console.log(event.data)
//! ws.send("hello")
//! ```

use lariat::http::StatusCode;
use lariat::{Answer, ClientId, Clients, CloseReason, Handler, Message, Request, Server, Upgrade};

struct Chat;

/// What we know of each client. The server keeps it beside the connection and drops it with it.
#[derive(Clone, Default)]
struct Guest {
    room: String,
    name: String,
}

impl Handler for Chat {
    type Data = Guest;

    /// Who knocks? Nothing has been sent yet, so this is the place to say no.
    fn on_request(&mut self, clients: &mut Clients<Guest>, id: ClientId, request: &Request<'_>) -> Answer {
        let name = request.query().unwrap_or("somebody");
        let is_simple = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_simple || name.is_empty() || name.len() > 20 {
            return StatusCode::BAD_REQUEST.into();
        }
        if let Some(guest) = clients.data_mut(id) {
            *guest = Guest { room: request.path().to_owned(), name: name.to_owned() };
        }
        Upgrade::new().into()
    }

    fn on_open(&mut self, clients: &mut Clients<Guest>, id: ClientId) {
        let Some(Guest { room, name }) = clients.data(id).cloned() else { return };
        // A topic begins with its first member and ends with its last: rooms need no list of their own.
        clients.subscribe(id, &room);
        let present = clients.subscribers(&room);
        clients.publish_except(&room, id, &format!("* {name} comes in"));
        let _ = clients.send(id, &format!("* welcome to {room}, {name}; people here: {present}"));
    }

    fn on_message(&mut self, clients: &mut Clients<Guest>, id: ClientId, message: Message<'_>) {
        let Some(Guest { room, name }) = clients.data(id).cloned() else { return };
        if let Some(text) = message.as_text() {
            // Framed once, however many listen.
            clients.publish(&room, &format!("<{name}> {text}"));
        }
    }

    /// Called once for everybody who came in, whatever the end was: a Close, a lost connection, a
    /// broken rule.
    fn on_close(&mut self, clients: &mut Clients<Guest>, id: ClientId, reason: &CloseReason) {
        let Some(Guest { room, name }) = clients.data(id).cloned() else { return };
        let how = if reason.was_clean() { "leaves" } else { "is gone" };
        clients.publish_except(&room, id, &format!("* {name} {how}"));
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::bind(address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Chat)
}
