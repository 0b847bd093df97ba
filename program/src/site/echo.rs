//! `/echo`: sends every message back.

use lariat::{ClientId, Clients, Handler, Message};

/// Sends every message back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        // If this fails, the client is closed, and `on_close` gets the reason.
        let _ = clients.send(id, message);
    }
}
