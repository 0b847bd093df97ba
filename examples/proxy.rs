//! A reverse proxy: connects each client to another server and passes messages both ways.
//!
//! ```text
//! cargo run --example proxy -- 127.0.0.1:9999 ws://127.0.0.1:9998/echo
//! ```
//!
//! Both connections live in the same loop, and a [`Pipe`] joins them: if one side reads slowly, the
//! other one is paused, so memory stays bounded for messages of any size.
//!
//! The proxy answers a client only when the other server has accepted, with the subprotocol that
//! this server chose. Until then Lariat reads nothing from the client.

use lariat::http::{StatusCode, header};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, ConnectOptions, Handler, Message, Pipe, Position, Request,
    Server, Upgrade,
};

struct Proxy {
    upstream: String,
    pipe: Pipe,
}

impl Handler for Proxy {
    type Data = ();

    /// Connects to the other server. The client gets its answer when that server has answered.
    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
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
                self.pipe.join(clients, id, upstream);
                Answer::Later
            }
            Err(error) => {
                eprintln!("{}: {error}", self.upstream);
                StatusCode::BAD_GATEWAY.into()
            }
        }
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.pipe.on_open(clients, id);
        if !clients.is_outgoing(id) {
            return;
        }
        let mut upgrade = Upgrade::new();
        if let Some(chosen) = clients.subprotocol(id) {
            upgrade = upgrade.subprotocol(chosen);
        }
        let is_waiting = self.pipe.partner(id).is_some_and(|client| clients.answer(client, upgrade).is_ok());
        if !is_waiting {
            // An error says that this connection is closing already.
            let _ = clients.close(id, CloseCode::Away, "the client has disconnected");
        }
    }

    fn on_piece(&mut self, clients: &mut Clients<()>, id: ClientId, piece: Message<'_>, position: Position) {
        self.pipe.on_piece(clients, id, piece, position);
    }

    fn on_drain(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.pipe.on_drain(clients, id);
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, reason: &CloseReason) {
        if let Some(waiting) = self.pipe.on_close(clients, id, reason) {
            // The other server has not accepted, and the client still waits for its answer.
            eprintln!("{}: {reason}", self.upstream);
            let _ = clients.answer(waiting, StatusCode::BAD_GATEWAY);
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9999".to_owned());
    let upstream = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:9998/echo".to_owned());
    let server = Server::bind(&address)?;
    println!("listening on {}", server.local_addrs()[0]);
    server.run(Proxy { upstream, pipe: Pipe::new() })
}
