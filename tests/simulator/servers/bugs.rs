//! Bugs that several servers in the simulator have found: one test for each.

use super::room::Room;
use lariat::backplane::{History, Kept, MemoryEngine, NodeId, StreamPosition};
use lariat::sim::{Peer, Simulation};
use lariat::{Audience, ClientId, Clients, Config, Handler, Message, Since};
use std::time::Duration;

const HISTORY: History = History { messages: 2, age: Duration::from_secs(60) };

/// Two servers: those of the seeds 1 and 2.
struct Pair {
    engine: MemoryEngine,
    servers: [Simulation<Room>; 2],
}

impl Pair {
    fn new() -> Pair {
        let engine = MemoryEngine::with_seed(1);
        let server = |seed| Simulation::with_backplane(seed, Config::default(), engine.backplane(), Room::new(HISTORY));
        Pair { servers: [server(1), server(2)], engine }
    }

    fn connect(&mut self, server: usize) -> Peer {
        self.servers[server].connect("/")
    }

    fn cut(&self, server: usize) {
        self.engine.cut(NodeId(1 + server as u64));
    }

    fn restore(&mut self, server: usize) {
        self.engine.restore(NodeId(1 + server as u64));
        self.run();
    }

    fn run(&mut self) {
        while self.servers.iter().any(|server| !server.is_idle()) {
            self.servers.iter_mut().for_each(Simulation::run_until_idle);
        }
    }

    /// Says something. Returns what is heard then.
    fn say(&mut self, peer: &Peer, what: &str) -> Vec<String> {
        peer.send(what);
        self.run();
        peer.received_text()
    }

    /// Publishes a message. Returns its place.
    fn keep(&mut self, peer: &Peer, name: &str) -> StreamPosition {
        let heard = self.say(peer, &format!("keep first {name}"));
        let place = heard.iter().find_map(|line| line.strip_prefix(&format!("at first {name} ")));
        place.unwrap_or_else(|| panic!("{heard:?}")).parse().expect("a position")
    }
}

/// The bug: it became a member when the engine answered.
#[test]
fn a_client_that_leaves_while_it_waits_does_not_become_a_member() {
    let mut pair = Pair::new();
    let (peer, speaker) = (pair.connect(0), pair.connect(1));
    pair.cut(0);
    assert_eq!(pair.say(&peer, "since first oldest"), ["begun first"]);
    assert_eq!(pair.say(&peer, "until first"), ["ended first"]);
    pair.restore(0);
    pair.keep(&speaker, "a");
    assert_eq!(peer.received_text(), [""; 0]);
    // It may come again.
    let again = pair.say(&peer, "since first oldest");
    assert_eq!((again.len(), again[0].as_str()), (2, "begun first"), "{again:?}");
}

/// Leaves as soon as it gets something that it has missed.
#[derive(Default)]
struct Leaver {
    /// Whether it could leave.
    left: Vec<bool>,
}

impl Handler for Leaver {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        clients.subscribe_from(id, "first", HISTORY, Since::Oldest);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, message: Message<'_>) {
        clients.publish_kept("first", message, HISTORY, None, 0).expect("it is up");
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, topic: &str, kept: &Kept, to: Audience<'_>) {
        to.send(clients, &*kept.message);
        if let Some(id) = to.client() {
            self.left.extend([clients.unsubscribe(id, topic), clients.unsubscribe(id, topic)]);
        }
    }
}

/// The bug: it became a member behind its last message.
#[test]
fn a_client_that_leaves_while_it_gets_what_it_has_missed_does_not_become_a_member() {
    let engine = MemoryEngine::with_seed(1);
    let mut server = Simulation::with_backplane(1, Config::default(), engine.backplane(), Leaver::default());
    let speaker = server.connect("/");
    speaker.send("a");
    server.run_until_idle();
    let peer = server.connect("/");
    server.run_until_idle();
    assert_eq!(peer.received_text(), ["a"]);
    speaker.send("b");
    server.run_until_idle();
    assert_eq!(peer.received_text(), [""; 0]);
    assert_eq!(speaker.received_text(), ["a", "b"]);
    assert_eq!(server.handler().left, [true, false]);
}

/// The bug: the history was read again from its beginning. What it had lost meanwhile was skipped
/// without a word.
#[test]
fn members_hear_of_what_was_lost_while_the_history_is_read_again() {
    // What is lost: the first messages, all of them, because they are too old, or the history.
    for (loss, lost) in [(0, 3), (1, 4), (2, 0)] {
        let mut pair = Pair::new();
        let (member, speaker) = (pair.connect(0), pair.connect(1));
        pair.say(&member, "since first oldest");
        pair.keep(&speaker, "a");
        assert_eq!(member.received_text().len(), 1);
        pair.cut(0);
        let place = pair.keep(&speaker, "b");
        // This client knows more than the server, which reads the history again.
        let moved = pair.connect(0);
        pair.say(&moved, &format!("since first after {place}"));
        pair.keep(&speaker, "c");
        let mut end = pair.keep(&speaker, "d");
        match loss {
            0 => end = pair.keep(&speaker, "e"),
            1 => pair.engine.set_time(2 * HISTORY.age),
            _ => {
                pair.engine.forget();
                end = pair.keep(&speaker, "e");
            }
        }
        pair.restore(0);
        let heard = member.received_text();
        let gap = StreamPosition { offset: lost, ..end };
        assert_eq!(heard.first(), Some(&format!("gap first {gap}")), "{heard:?}");
        assert_eq!(heard.len() as u64, 1 + end.offset - lost, "{heard:?}");
        // Both go on together.
        moved.received_text();
        pair.keep(&speaker, "f");
        let heard = [member.received_text(), moved.received_text()];
        assert!(heard.iter().all(|heard| heard.len() == 1 && heard[0].ends_with(" f")), "{heard:?}");
    }
}

/// The bug: this server was behind, and thought that the client came from the past. The client got
/// a gap, what it had got long ago, another gap, and what it had just got.
#[test]
fn a_client_of_a_later_epoch_waits_until_the_server_knows_it() {
    let mut pair = Pair::new();
    let (member, speaker) = (pair.connect(0), pair.connect(1));
    pair.say(&member, "since first oldest");
    let old = pair.keep(&speaker, "a");
    pair.cut(0);
    pair.engine.forget();
    let place = pair.keep(&speaker, "b");
    assert_ne!(old.epoch, place.epoch);
    let moved = pair.connect(0);
    assert_eq!(pair.say(&moved, &format!("since first after {place}")), ["begun first"]);
    pair.restore(0);
    assert_eq!(moved.received_text(), [""; 0]);
    let next = pair.keep(&speaker, "c");
    assert_eq!(moved.received_text(), [format!("kept first {next} c")]);
    // A client of the past does not wait, whatever the state of the engine.
    pair.cut(0);
    let late = pair.connect(0);
    let heard = pair.say(&late, &format!("since first after {old}"));
    let begin = StreamPosition { offset: 0, ..place };
    let expected = [
        "begun first".to_owned(),
        format!("gap first {begin}"),
        format!("kept first {place} b"),
        format!("kept first {next} c"),
    ];
    assert_eq!(heard, expected);
}

/// Clients get the histories of these topics.
struct Reader;

const TOPICS: [&str; 3] = ["a", "b", "c"];
const LONG: History = History { messages: 3_000, age: Duration::from_secs(600) };

impl Handler for Reader {
    type Data = ();

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        for topic in TOPICS {
            clients.subscribe_from(id, topic, LONG, Since::Oldest);
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, _: Message<'_>) {
        for topic in TOPICS {
            for _ in 0..LONG.messages {
                clients.publish_kept(topic, "x", LONG, None, 0).expect("it is up");
            }
        }
    }
}

/// The bug: each topic had the whole share of a turn.
#[test]
fn a_turn_serves_a_share_of_all_histories() {
    let engine = MemoryEngine::with_seed(1);
    let mut server = Simulation::with_backplane(1, Config::default(), engine.backplane(), Reader);
    let speaker = server.connect("/");
    server.run_until_idle();
    speaker.send("fill");
    server.run_until_idle();
    assert_eq!(speaker.received_text().len(), 9_000);
    let reader = server.connect("/");
    let mut heard = Vec::new();
    while heard.iter().sum::<usize>() < 9_000 {
        server.step();
        heard.extend(Some(reader.received_text().len()).filter(|count| *count > 0));
        assert!(heard.len() < 100, "{heard:?}");
    }
    // A client is served as a whole: the one that begins below the share may go beyond it.
    assert!(heard[0] <= 6_000 && heard.iter().sum::<usize>() == 9_000, "{heard:?}");
}
