//! One server on several cores: a loop for each, and a topic that spans all of them.
//!
//! ```text
//! cargo run --release --example cores [ADDRESS] [LOOPS]
//! ```
//!
//! Without LOOPS, there is a loop for each core. A client that sends `loops` is told how many
//! clients each loop has. Any other message goes to all clients, whichever loop they are on.

use lariat::{ClientId, Clients, Config, Handler, Message, Server};
use std::io;
use std::thread::available_parallelism;

/// Each loop has one of its own, so it needs no lock.
#[derive(Default)]
struct Room {
    messages: u64,
}

impl Handler for Room {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "room");
        let _ = clients.send(id, &format!("* you are on loop {} of {}", clients.loop_number(), clients.loops()));
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        self.messages += 1;
        if message.as_text() != Some("loops") {
            clients.publish("room", message);
            return;
        }
        // The loops answer one by one. When the last one has, this loop sends the result.
        clients.ask_loops(
            |clients| clients.len(),
            move |clients, counts| {
                let _ = clients.send(id, &format!("* clients of each loop: {counts:?}"));
            },
        );
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9998".to_owned());
    let loops = match arguments.next() {
        Some(number) => number.parse().map_err(|_| io::Error::other(format!("{number} is no number of loops")))?,
        None => available_parallelism().map_or(1, usize::from),
    };
    let mut config = Config::default();
    // Each loop has an equal share of the memory budget.
    config.memory_budget = config.memory_budget.max(config.least_memory_budget_of_loops(loops));
    let server = Server::new(config)?.listen(address)?.loops(loops)?;
    for addr in server.local_addrs() {
        println!("listening on {addr}");
    }
    // Each loop makes its handler in its own thread.
    server.run(Room::default)?;
    Ok(())
}
