//! Chapter 10, slow readers.

use lariat::{ClientId, Clients, Event, Handler, Message};
use std::collections::VecDeque;

// ---- 1 ------------------------------------------------------------------------------------------

/// Exercise 1. Of a price, only the last one matters.
///
/// The clients have subscribed to the topic "prices". Tell them the price of a share, as the text
/// "SHARE PRICE". A client that reads too slowly may miss old prices of a share, but it gets the
/// last price of each.
pub fn tell(clients: &mut Clients<()>, share: u64, price: u64) {
    todo!()
}

// ---- 2 ------------------------------------------------------------------------------------------

/// The largest part of a download.
pub const PART: usize = 16 << 10;

/// What is left of a client's download.
#[derive(Debug, Default)]
pub struct Download {
    /// The number of the next byte.
    pub next: usize,
    /// The number of bytes of the whole download.
    pub size: usize,
}

/// Exercise 2. A download that does not fill the memory.
///
/// A client sends a number as text, and gets so many bytes, in binary messages of at most [`PART`]
/// bytes. Byte number `n` of the download has the value `n % 251`. (No second request comes before
/// the end of the first.)
///
/// Never queue a part if more than `clients.limits().high_water` bytes wait for this client
/// already. [`Handler::on_drain`] is called when fewer wait again.
#[derive(Debug, Default)]
pub struct Downloads;

impl Handler for Downloads {
    type Data = Download;

    fn on_message(&mut self, clients: &mut Clients<Download>, id: ClientId, message: Message<'_>) {
        todo!()
    }

    fn on_drain(&mut self, clients: &mut Clients<Download>, id: ClientId) {
        todo!()
    }
}

// ---- 3 ------------------------------------------------------------------------------------------

/// The most jobs of one client that wait.
pub const MOST_WAITING: usize = 3;

/// The event that the first job of all is done.
#[derive(Debug)]
pub struct Done;

/// Exercise 3. The application itself is the slow reader.
///
/// Each message is a job. It waits in the queue until the event [`Done`] says that the first job in
/// the queue is done. Then its client gets the text "done: JOB".
///
/// At most [`MOST_WAITING`] jobs of one client may wait, so hold back a client that sends more. Its
/// other jobs wait at the client then, and none is lost. One client must not hold back another.
#[derive(Debug, Default)]
pub struct Workshop {
    /// The jobs that wait, the first one first.
    pub waiting: VecDeque<(ClientId, String)>,
}

impl Handler for Workshop {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        todo!()
    }

    fn on_event(&mut self, clients: &mut Clients<()>, event: Event) {
        todo!()
    }
}

#[cfg(test)]
mod tests {
    answers!(ch10: tell, Downloads, Workshop);
    use super::{Done, MOST_WAITING, PART};
    use lariat::sim::Simulation;
    use lariat::{ClientId, Clients, Config, Handler, OwnedMessage};

    struct Prices;

    impl Handler for Prices {
        type Data = ();

        fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
            clients.subscribe(id, "prices");
        }
    }

    #[test]
    fn ex1_a_slow_reader_gets_the_last_prices() {
        let mut sim = Simulation::new(1, Config::default(), Prices);
        let (fast, slow) = (sim.connect("/"), sim.connect("/"));
        sim.run_until_idle();
        slow.stop_reading();
        for price in 1..=100_000 {
            tell(sim.clients(), price % 3, price);
            if price % 100 == 0 {
                sim.run_until_idle();
            }
        }
        sim.run_until_idle();
        slow.resume_reading();
        sim.run_until_idle();

        let received = fast.received_text();
        assert_eq!(received.len(), 100_000, "one that reads gets all of them");
        assert_eq!(received[..3], ["1 1", "2 2", "0 3"]);
        assert!(slow.is_open());
        let received = slow.received_text();
        assert!(received.len() < 60_000, "it got {} prices", received.len());
        for share in 0..3 {
            let last = received.iter().rfind(|text| text.starts_with(&format!("{share} "))).expect("a price");
            let expected = (99_998..=100_000).find(|price| price % 3 == share).expect("one of three");
            assert_eq!(*last, format!("{share} {expected}"));
        }
    }

    #[test]
    fn ex2_a_download_waits_for_its_reader() {
        let config = Config::default();
        let high_water = config.limits.high_water;
        let mut sim = Simulation::new(1, config, Downloads);
        let sizes = [0, 1, PART, PART + 1, 3_000_000, 10_000_000];
        let peers = sizes.map(|_| sim.connect("/"));
        sim.run_until_idle();
        let ids: Vec<ClientId> = sim.clients().iter().collect();
        let mut received = sizes.map(|_| Vec::new());
        for (peer, size) in peers.iter().zip(sizes) {
            peer.stop_reading();
            peer.send(&size.to_string());
        }
        for round in 0..2_000 {
            for _ in 0..4 {
                sim.step_at_once();
                for id in &ids {
                    let unsent = sim.clients().buffered_amount(*id);
                    // Each part has a header.
                    assert!(unsent <= high_water + PART + 4, "{unsent} bytes wait for {id}");
                }
            }
            let complete = received.iter().zip(sizes).all(|(bytes, size)| bytes.len() >= size);
            if complete {
                break;
            }
            for (peer, bytes) in peers.iter().zip(&mut received) {
                if round % 3 == 2 {
                    peer.resume_reading();
                }
                for message in peer.received() {
                    let OwnedMessage::Binary(part) = message else { panic!("{message:?}") };
                    assert!(part.len() <= PART, "a part of {} bytes", part.len());
                    bytes.extend_from_slice(&part);
                }
                if round % 3 == 0 {
                    peer.stop_reading();
                }
            }
        }
        for (bytes, size) in received.iter().zip(sizes) {
            assert_eq!(bytes.len(), size, "a download of {size} bytes");
            assert!(
                bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251),
                "other bytes than expected"
            );
        }
    }

    #[test]
    fn ex3_clients_wait_for_the_workshop() {
        let mut sim = Simulation::new(1, Config::default(), Workshop::default());
        let peers = [sim.connect("/"), sim.connect("/")];
        sim.run_until_idle();
        let counts = [50, 7];
        for (peer, count) in peers.iter().zip(counts) {
            (0..count).for_each(|number| peer.send(&number.to_string()));
        }
        let mut received = [Vec::new(), Vec::new()];
        for done in 0..=counts.iter().sum() {
            sim.run_until_idle();
            let waiting: Vec<ClientId> = sim.handler().waiting.iter().map(|(id, _)| *id).collect();
            for id in &waiting {
                let own = waiting.iter().filter(|other| *other == id).count();
                assert!(own <= MOST_WAITING, "{own} jobs of {id} wait");
            }
            for (peer, texts) in peers.iter().zip(&mut received) {
                texts.extend(peer.received_text());
            }
            let left: Vec<usize> = received.iter().zip(counts).map(|(texts, count)| count - texts.len()).collect();
            let expected: usize = left.iter().map(|left| *left.min(&MOST_WAITING)).sum();
            assert_eq!(waiting.len(), expected, "after {done} jobs");
            sim.remote().post(Done).expect("room in the queue");
        }
        for (texts, count) in received.iter().zip(counts) {
            assert_eq!(*texts, (0..count).map(|number| format!("done: {number}")).collect::<Vec<_>>());
        }
    }
}
