//! `/echo`: every message goes back to its sender.

use lariat::{ClientId, Clients, Handler, Message};

/// Sends every message back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        // Whoever cannot be sent to is closed, and `on_close` would tell why.
        let _ = clients.send(id, message);
    }
}
