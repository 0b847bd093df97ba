//! Tests an application in the simulator: without sockets, without sleeping, with many seeds.
//!
//! ```text
//! cargo run --example simulated
//! ```
//!
//! In your own program, put such tests into `tests/`, and add `lariat` with the feature `sim` to
//! the dev-dependencies.

use lariat::sim::{Faults, Simulation};
use lariat::{ClientId, Clients, Config, Handler, Message, TimerId};
use std::time::Duration;

/// A chat that asks "is anybody there?" when there was no message for a minute.
#[derive(Default)]
struct Chat {
    silence: Option<TimerId>,
}

impl Handler for Chat {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe(id, "room");
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        clients.publish_except("room", id, message);
        let last = self.silence.replace(clients.set_timer(Duration::from_secs(60), 0));
        if let Some(timer) = last {
            clients.cancel_timer(timer);
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        clients.publish("room", "is anybody there?");
    }
}

fn main() {
    let mut sim = Simulation::new(1, Config::default(), Chat::default());
    let (ada, ben) = (sim.connect("/"), sim.connect("/"));
    ada.send("hello");
    sim.run_until_idle();
    assert_eq!(ben.received_text(), ["hello"]);

    // An hour takes no time. During this hour, both clients answer the server's pings.
    sim.run_for(Duration::from_secs(3_600));
    assert_eq!(ada.received_text(), ["is anybody there?"]);

    // A client that resets its connection is removed. The other one stays connected.
    ben.reset();
    ada.send("still here");
    sim.run_until_idle();
    assert_eq!(sim.clients().len(), 1);

    // On a bad network, all messages arrive in order, or the connection ends. Each seed gives other
    // faults.
    for seed in 0..1_000 {
        let mut sim = Simulation::new(seed, Config::default(), Chat::default());
        sim.set_faults(Faults::rough());
        let (ada, ben) = (sim.connect("/"), sim.connect("/"));
        sim.run_for(Duration::from_secs(1));
        (0..10).for_each(|number| ada.send(&number.to_string()));
        sim.run_for(Duration::from_secs(1));
        let (received, all) = (ben.received_text(), (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(all.starts_with(&received), "seed {seed}: {received:?}");
        assert!(received == all || !(ada.is_open() && ben.is_open()), "seed {seed}: {received:?}");
    }
    println!("the chat works, on good networks and bad ones");
}
