//! What a handler saves goes along.

use crate::common::{Folder, Wire, text};
use crate::kit::serve;
use lariat::{ClientId, Clients, CloseReason, Handler, Message, RestoreError};

/// Counts messages: of each client, and of all.
#[derive(Default)]
struct Count {
    all: u32,
}

impl Handler for Count {
    type Data = u32;

    fn on_open(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        clients.subscribe(id, "all");
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        self.all += 1;
        let Some(count) = clients.data_mut(id) else { return };
        *count += 1;
        let answer = format!("{} {count} {}", message.as_text().expect("text"), self.all);
        let _ = match message.as_text() {
            Some(text) if text.starts_with("all") => clients.publish("all", &answer),
            _ => usize::from(clients.send(id, &answer).is_ok()),
        };
    }

    fn on_close(&mut self, _: &mut Clients<u32>, _: ClientId, _: &CloseReason) {}

    fn save(&mut self, _: &mut Clients<u32>) -> Option<Vec<u8>> {
        Some(self.all.to_be_bytes().to_vec())
    }

    fn save_client(&mut self, clients: &mut Clients<u32>, id: ClientId) -> Option<Vec<u8>> {
        Some(clients.data(id)?.to_be_bytes().to_vec())
    }

    fn restore(&mut self, _: &mut Clients<u32>, saved: &[u8]) -> Result<(), RestoreError> {
        self.all = u32::from_be_bytes(saved.try_into()?);
        Ok(())
    }

    fn restore_client(&mut self, clients: &mut Clients<u32>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        *clients.data_mut(id).ok_or("no client")? = u32::from_be_bytes(saved.try_into()?);
        Ok(())
    }
}

#[test]
fn clients_and_what_the_handler_keeps_go_on() {
    let folder = Folder::new();
    let path = folder.path("handover");
    let mut server = serve(&path, Count::default);
    let addr = server.addr;
    let mut clients: Vec<Wire> = (0..3).map(|_| Wire::open(addr)).collect();
    clients[1].send(&text("a"));
    clients[1].expect_text("a 1 1");
    for round in 0..5 {
        let next = serve(&path, Count::default);
        assert_eq!(next.addr, addr, "the listening socket is the same");
        assert_eq!(std::mem::replace(&mut server, next).handed_over(), 3 + round);
        clients[1].send(&text("b"));
        clients[1].expect_text(&format!("b {} {}", 2 + round, 2 + 2 * round));
        clients[2].send(&text("all"));
        for client in &mut clients {
            client.expect_text(&format!("all {} {}", 1 + round, 3 + 2 * round));
        }
        clients.push(Wire::open(addr));
    }
}
