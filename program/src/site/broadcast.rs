//! `/broadcast`: sends every message to everybody there, including its sender.

use lariat::{ClientId, Clients, Handler, Message};

/// Sends every message to all clients on this route. It is framed once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broadcast;

impl Handler for Broadcast {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, message: Message<'_>) {
        clients.broadcast(message);
    }
}
