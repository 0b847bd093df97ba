//! Chapter 8, one turn of the loop.

use lariat::{ClientId, Clients, Handler, Message, TimerId};

// ---- 1 ------------------------------------------------------------------------------------------

/// Some clients of a server send messages, all before its next turn.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Clients that are connected.
    pub clients: u64,
    /// How many of them send something.
    pub senders: u64,
    /// How many short messages each of them sends.
    pub messages: u64,
    /// What the server does with a message: send it to all clients, or back to the sender only.
    pub to_all: bool,
}

/// Exercise 1. How many reads and how many writes does the turn make?
///
/// All messages of a client fit into one read.
pub fn reads_and_writes(load: Load) -> (u64, u64) {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// Exercise 2. Write to the oldest.
///
/// Each message goes to the client that has been connected for the longest time, but never to its
/// sender. (If the sender is the oldest, the message goes to the second oldest.) Do not implement
/// `on_close`: let the ids of those who are gone tell you so.
#[derive(Debug, Default)]
pub struct Elders {
    // Your fields.
}

impl Handler for Elders {
    type Data = ();

    fn on_open(&mut self, _: &mut Clients<()>, id: ClientId) {
        todo!()
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        todo!()
    }
}

// ---- 3 ------------------------------------------------------------------------------------------

/// A calculation that takes many steps.
#[derive(Debug)]
pub struct Job {
    left: u64,
    sum: u64,
}

/// The most steps that a callback may make.
pub const SHARE: u64 = 1_000;

impl Job {
    /// Begins a calculation with so many steps.
    pub fn new(steps: u64) -> Job {
        Job { left: steps, sum: 0 }
    }

    /// Makes one step. Returns the result after the last one. A job has at least one step.
    pub fn step(&mut self) -> Option<u64> {
        STEPS.set(STEPS.get() + 1);
        self.sum += self.left;
        self.left -= 1;
        (self.left == 0).then_some(self.sum)
    }
}

std::thread_local! {
    /// The steps of all jobs in this thread.
    static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Exercise 3. Long work, divided over many turns.
///
/// A client sends the number of steps, as text, and gets the result of such a [`Job`] as text. A
/// callback may make at most [`SHARE`] steps for all jobs together, so that a turn stays short.
/// Jobs take turns, so that a short one does not wait for the end of a long one. A timer of a
/// millisecond (`clients.set_timer(Duration::from_millis(1), 0)`) gets you called again in a later
/// turn.
#[derive(Debug, Default)]
pub struct Calculator {
    // Your fields.
}

impl Handler for Calculator {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        todo!()
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, _: u64) {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch08: reads_and_writes, Elders, Calculator);
    use super::{Load, SHARE, STEPS};
    use lariat::sim::Simulation;
    use lariat::{ClientId, Clients, Config, Handler, Message};

    struct Relay {
        to_all: bool,
    }

    impl Handler for Relay {
        type Data = ();

        fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
            if self.to_all {
                clients.broadcast(message);
            } else {
                clients.send(id, message).expect("room for it");
            }
        }
    }

    #[test]
    fn ex1_reads_and_writes_are_predicted() {
        for clients in 1..6 {
            for senders in 0..=clients {
                for messages in [1, 2, 7] {
                    for to_all in [false, true] {
                        let load = Load { clients, senders, messages, to_all };
                        let mut sim = Simulation::new(1, Config::default(), Relay { to_all });
                        let peers: Vec<_> = (0..clients).map(|_| sim.connect("/")).collect();
                        sim.run_until_idle();
                        let before = sim.clients().stats();
                        for peer in &peers[..senders as usize] {
                            (0..messages).for_each(|_| peer.send("hello"));
                        }
                        sim.run_until_idle();
                        let after = sim.clients().stats();
                        let measured = (after.reads - before.reads, after.writes - before.writes);
                        assert_eq!(reads_and_writes(load), measured, "for {load:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn ex2_ids_are_not_those_of_later_clients() {
        let mut sim = Simulation::new(1, Config::default(), Elders::default());
        let connect = |sim: &mut Simulation<Elders>| {
            let peer = sim.connect("/");
            sim.run_until_idle();
            peer
        };
        let (ada, ben, cleo) = (connect(&mut sim), connect(&mut sim), connect(&mut sim));
        cleo.send("to ada");
        ada.send("to ben");
        sim.run_until_idle();
        assert_eq!((ada.received_text(), ben.received_text()), (vec!["to ada".to_owned()], vec!["to ben".to_owned()]));

        ada.hang_up();
        sim.run_until_idle();
        let dora = connect(&mut sim); // in Ada's slot
        dora.send("to ben, too");
        sim.run_until_idle();
        assert_eq!(ben.received_text(), ["to ben, too"]);

        ben.reset();
        sim.run_until_idle();
        dora.send("to cleo");
        cleo.send("to dora");
        sim.run_until_idle();
        assert_eq!(cleo.received_text(), ["to cleo"]);
        assert_eq!(dora.received_text(), ["to dora"]);

        cleo.hang_up();
        sim.run_until_idle();
        dora.send("to nobody");
        sim.run_until_idle();
        assert_eq!(dora.received_text(), Vec::<String>::new());
    }

    #[test]
    fn ex3_long_work_does_not_stop_the_loop() {
        let mut sim = Simulation::new(1, Config::default(), Calculator::default());
        let (long, longer, short) = (sim.connect("/"), sim.connect("/"), sim.connect("/"));
        sim.run_until_idle();
        long.send("100000");
        longer.send("200000");
        let (mut answers, mut sent) = (Vec::new(), false);
        for _ in 0..10_000 {
            let before = STEPS.get();
            sim.step();
            assert!(STEPS.get() - before <= 3 * SHARE, "{} steps in one turn", STEPS.get() - before);
            if !sent && STEPS.get() > 10_000 {
                short.send("10");
                sent = true;
            }
            for (name, peer) in [("long", &long), ("longer", &longer), ("short", &short)] {
                answers.extend(peer.received_text().into_iter().map(|text| (name, text)));
            }
            if answers.len() == 3 {
                break;
            }
        }
        let expected = [("short", 55), ("long", 5_000_050_000_u64), ("longer", 20_000_100_000)];
        assert_eq!(answers, expected.map(|(name, sum)| (name, sum.to_string())));
        assert_eq!(STEPS.get(), 300_010);
    }
}
