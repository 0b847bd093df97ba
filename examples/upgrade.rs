//! Replaces itself without losing a connection.
//!
//! ```sh
//! cargo run --release --features handover --example upgrade -- /tmp/upgrade.sock 127.0.0.1:9998
//! ```
//!
//! Connect, then start the same command a second time: the new process goes on with all
//! connections, and with the count of messages. The first one ends.

use lariat::{ClientId, Clients, Config, Handler, Message, RestoreError, Server};
use std::env;

/// Echoes, and counts.
#[derive(Default)]
struct Echo {
    messages: u64,
}

impl Handler for Echo {
    /// How many messages the client has sent.
    type Data = u64;

    fn on_message(&mut self, clients: &mut Clients<u64>, id: ClientId, message: Message<'_>) {
        self.messages += 1;
        if let Some(count) = clients.data_mut(id) {
            *count += 1;
        }
        let _ = match message {
            Message::Text("count") => {
                let own = clients.data(id).copied().unwrap_or_default();
                clients.send(id, &format!("{own} of {}", self.messages))
            }
            message => clients.send(id, message),
        };
    }

    fn save(&mut self, _: &mut Clients<u64>) -> Option<Vec<u8>> {
        Some(self.messages.to_be_bytes().to_vec())
    }

    fn save_client(&mut self, clients: &mut Clients<u64>, id: ClientId) -> Option<Vec<u8>> {
        Some(clients.data(id)?.to_be_bytes().to_vec())
    }

    fn restore(&mut self, _: &mut Clients<u64>, saved: &[u8]) -> Result<(), RestoreError> {
        self.messages = u64::from_be_bytes(saved.try_into()?);
        Ok(())
    }

    fn restore_client(&mut self, clients: &mut Clients<u64>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        *clients.data_mut(id).ok_or("there is no such client")? = u64::from_be_bytes(saved.try_into()?);
        Ok(())
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "/tmp/upgrade.sock".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let server = Server::new(Config::default())?.take_over(&path)?.listen(address)?;
    match server.predecessor() {
        Some(old) => println!("taking over {} connections from process {}", old.connections, old.process),
        None => println!("nobody to take over from"),
    }
    let mut event_loop = server.start(Echo::default())?;
    println!("process {} serves {} clients", std::process::id(), event_loop.clients_mut().len());
    let outcome = event_loop.run()?;
    println!("process {} ends, and has handed over {} connections", std::process::id(), outcome.handed_over);
    Ok(())
}
