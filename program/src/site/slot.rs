//! `/learn/slot`: an echo that says first in which slot the connection is, so that a page can
//! follow its own connection at `/loop`.

use lariat::{Answer, ClientId, Clients, Handler, Message, Request, Upgrade};

/// The path of this echo.
pub(super) const PATH: &str = "/learn/slot";

/// Says its slot to each client, and sends its messages back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot;

impl Handler for Slot {
    type Data = ();

    /// The loop that `/loop` shows is the first one.
    fn choose_loop(&mut self, _: &mut Clients<()>, _: &Request<'_>) -> Option<usize> {
        Some(0)
    }

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let _ = clients.send(id, &format!("{{\"slot\":{}}}", id.slot()));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let _ = clients.send(id, message);
    }
}
