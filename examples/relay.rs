//! A relay: whoever connects here is connected to another server, and messages go both ways.
//!
//! cargo run --example relay -- 127.0.0.1:9999 ws://127.0.0.1:9998/echo
//!
//! Both connections live in the same loop: the one that came in and the one that goes out are
//! clients like any other, and each knows its partner by its id.

use lariat::{ClientId, Clients, CloseCode, CloseReason, ConnectOptions, Handler, Message, Server};

struct Relay {
    upstream: String,
}

/// What we know of each client: who is at the other end, and what has come before that one was
/// open.
#[derive(Default)]
struct End {
    partner: Option<ClientId>,
    early: Vec<lariat::OwnedMessage>,
}

impl Handler for Relay {
    type Data = End;

    fn on_open(&mut self, clients: &mut Clients<End>, id: ClientId) {
        if clients.is_outgoing(id) {
            // The other server has accepted: what has come meanwhile goes out now.
            let Some(partner) = partner(clients, id) else { return };
            let early = clients.data_mut(partner).map(|end| std::mem::take(&mut end.early)).unwrap_or_default();
            for message in &early {
                let _ = clients.send(id, message);
            }
            return;
        }
        match clients.connect(&self.upstream, &ConnectOptions::new()) {
            Ok(upstream) => {
                pair(clients, id, upstream);
                pair(clients, upstream, id);
            }
            Err(error) => {
                eprintln!("{}: {error}", self.upstream);
                let _ = clients.close(id, CloseCode::Error, "no upstream");
            }
        }
    }

    fn on_message(&mut self, clients: &mut Clients<End>, id: ClientId, message: Message<'_>) {
        let Some(partner) = partner(clients, id) else { return };
        if clients.send(partner, message) == Err(lariat::SendError::NotOpen) {
            if let Some(end) = clients.data_mut(id) {
                end.early.push(message.into());
            }
        }
    }

    fn on_close(&mut self, clients: &mut Clients<End>, id: ClientId, reason: &CloseReason) {
        let Some(partner) = partner(clients, id) else { return };
        // A code that must not travel (1005, 1006) becomes one that may.
        let code = reason.code();
        if clients.close(partner, code, "") == Err(lariat::SendError::InvalidCloseCode) {
            let _ = clients.close(partner, CloseCode::Away, "the other end is gone");
        }
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
