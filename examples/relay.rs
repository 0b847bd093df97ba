//! A relay: connects each client to another server and passes messages both ways.
//!
//! ```text
//! cargo run --example relay -- 127.0.0.1:9999 ws://127.0.0.1:9998/echo
//! ```
//!
//! The incoming and the outgoing connection live in the same loop. Each stores the id of the other
//! one, its partner.
//!
//! The relay answers a client only when the other server has accepted. Until then Lariat reads
//! nothing from this client, so no message has to be stored. After that, Lariat limits the unsent
//! bytes of each connection: see `Limits::max_unsent`.

use lariat::http::{StatusCode, header};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, ConnectOptions, Handler, Message, ReadyState, Request, Server,
    Upgrade,
};

struct Relay {
    upstream: String,
}

/// The data of each connection, in either direction.
#[derive(Default)]
struct End {
    partner: Option<ClientId>,
}

impl Handler for Relay {
    type Data = End;

    /// Connects to the other server. The client gets its answer when that server has answered.
    fn on_request(&mut self, clients: &mut Clients<End>, id: ClientId, request: &Request<'_>) -> Answer {
        if !request.is_upgrade() {
            return StatusCode::UPGRADE_REQUIRED.into();
        }
        let mut options = request.subprotocols().fold(ConnectOptions::new(), ConnectOptions::subprotocol);
        // The other server decides which origins may connect.
        if let Some(origin) = request.origin().and_then(|origin| origin.parse().ok()) {
            options = options.header(header::ORIGIN, origin);
        }
        match clients.connect(&self.upstream, &options) {
            Ok(upstream) => {
                pair(clients, id, upstream);
                pair(clients, upstream, id);
                Answer::Later
            }
            Err(error) => {
                eprintln!("{}: {error}", self.upstream);
                StatusCode::BAD_GATEWAY.into()
            }
        }
    }

    fn on_open(&mut self, clients: &mut Clients<End>, id: ClientId) {
        if !clients.is_outgoing(id) {
            return;
        }
        let mut upgrade = Upgrade::new();
        if let Some(chosen) = clients.subprotocol(id) {
            upgrade = upgrade.subprotocol(chosen);
        }
        let is_waiting = partner(clients, id).is_some_and(|client| clients.answer(client, upgrade).is_ok());
        if !is_waiting {
            // An error says that this connection is closing already.
            let _ = clients.close(id, CloseCode::Away, "the client has disconnected");
        }
    }

    fn on_message(&mut self, clients: &mut Clients<End>, id: ClientId, message: Message<'_>) {
        let Some(partner) = partner(clients, id) else { return };
        // An error says that the partner is closing, or reads too slowly and is closed for that.
        // In both cases `on_close` of the partner follows, and closes this connection.
        let _ = clients.send(partner, message);
    }

    /// Closes the partner with the same code and reason, if that code may be sent.
    fn on_close(&mut self, clients: &mut Clients<End>, id: ClientId, reason: &CloseReason) {
        let Some(partner) = partner(clients, id) else { return };
        if clients.ready_state(partner) == ReadyState::Connecting {
            // The other server has not accepted, and the client still waits for its answer.
            eprintln!("{}: {reason}", self.upstream);
            let _ = clients.answer(partner, StatusCode::BAD_GATEWAY);
            return;
        }
        let (code, text) = match reason {
            CloseReason::Peer(Some(frame)) => (frame.code, frame.reason.as_str()),
            CloseReason::Peer(None) => (CloseCode::Normal, ""),
            CloseReason::SlowConsumer => (CloseCode::Again, "the other side reads too slowly"),
            // A code like 1006 must not be sent.
            _ => (CloseCode::Away, "the other side has disconnected"),
        };
        // An error says that the partner is closing already.
        let _ = clients.close(partner, code, text);
    }
}

fn pair(clients: &mut Clients<End>, id: ClientId, partner: ClientId) {
    if let Some(end) = clients.data_mut(id) {
        end.partner = Some(partner);
    }
}

fn partner(clients: &Clients<End>, id: ClientId) -> Option<ClientId> {
    clients.data(id)?.partner
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9999".to_owned());
    let upstream = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9998/echo".to_owned());
    let server = Server::bind(&address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Relay { upstream })
}
