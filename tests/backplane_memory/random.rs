//! Many links, at random: connections, messages and the engine itself are lost.

use crate::{Node, publication, text_of};
use lariat::backplane::{BackplaneEvent, History, Kept, MemoryEngine, Publication, PublishError, StreamPosition};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// What a link has been told of a topic with a history.
#[derive(Default)]
struct Follower {
    last: Option<StreamPosition>,
    seen: HashSet<StreamPosition>,
    is_caught: bool,
}

/// What a link has been told of the topic without one.
#[derive(Default)]
struct Listener {
    /// The last number of each publisher, unless a gap came after it.
    last: HashMap<u64, u64>,
    newest: HashMap<u64, u64>,
    count: usize,
    /// Numbers that have not come, and no gap.
    missing: Vec<(u64, u64)>,
    gaps: u32,
}

struct Watched {
    node: Node,
    is_up: bool,
    /// Whether the connection was lost since everything was quiet.
    was_cut: bool,
    /// How many gaps of the plain topic there were then.
    gaps_before: u32,
    followers: [Follower; 2],
    listener: Listener,
    /// The number of the last plain message.
    number: u64,
    /// Publications whose outcome is awaited.
    tickets: HashMap<u64, Sent>,
}

#[derive(Clone, Debug)]
enum Sent {
    Plain(u64),
    Kept { topic: usize, text: String },
}

const TOPICS: [&str; 2] = ["first", "second"];

struct World {
    rng: StdRng,
    engine: MemoryEngine,
    nodes: Vec<Watched>,
    history: History,
    forgets: bool,
    has_forgotten: bool,
    truth: [HashMap<StreamPosition, String>; 2],
    places: [HashMap<String, StreamPosition>; 2],
    /// Plain messages that the engine may not have.
    unknown: BTreeSet<(u64, u64)>,
    tickets: u64,
    kept: usize,
    gaps: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let engine = MemoryEngine::with_seed(seed);
        let messages = if rng.random() { 1000 } else { rng.random_range(1..6) };
        let history = History { messages, age: Duration::from_secs(1000) };
        let mut nodes = Vec::new();
        for id in 1..=rng.random_range(2..=3) {
            let node = Node::up(&engine, id);
            node.listen();
            for topic in TOPICS {
                node.link.subscribe(&topic.into(), Some(history), None);
            }
            nodes.push(Watched {
                node,
                is_up: true,
                was_cut: false,
                gaps_before: 0,
                followers: Default::default(),
                listener: Listener::default(),
                number: 0,
                tickets: HashMap::new(),
            });
        }
        World {
            forgets: rng.random(),
            rng,
            engine,
            nodes,
            history,
            has_forgotten: false,
            truth: Default::default(),
            places: Default::default(),
            unknown: BTreeSet::new(),
            tickets: 0,
            kept: 0,
            gaps: 0,
        }
    }

    fn turn(&mut self) {
        let index = self.rng.random_range(0..self.nodes.len());
        let id = self.nodes[index].node.id;
        match self.rng.random_range(0..200) {
            0..20 => self.publish_plain(index),
            20..40 => {
                let topic = self.rng.random_range(0..TOPICS.len());
                self.tickets += 1;
                self.publish_kept(index, topic, format!("t{}", self.tickets));
            }
            40..170 => drop(self.engine.deliver_one(self.rng.random())),
            170..174 => {
                self.engine.cut(id);
                self.nodes[index].was_cut = true;
            }
            174..184 => self.engine.restore(id),
            184..188 => self.engine.lose(id),
            188..192 => self.engine.double(id),
            192..194 => self.resume(index),
            194 if self.forgets => {
                self.engine.forget();
                self.has_forgotten = true;
            }
            _ => {}
        }
        self.take();
    }

    fn publish_plain(&mut self, index: usize) {
        self.tickets += 1;
        let watched = &mut self.nodes[index];
        let number = watched.number + 1;
        let publication = publication("plain", &format!("{} {number}", watched.node.id.0), None);
        if watched.node.link.publish(Publication { ticket: Some(self.tickets), ..publication }).is_ok() {
            watched.number = number;
            watched.tickets.insert(self.tickets, Sent::Plain(number));
        }
    }

    fn publish_kept(&mut self, index: usize, topic: usize, text: String) {
        self.tickets += 1;
        let watched = &mut self.nodes[index];
        let publication = publication(TOPICS[topic], &text, Some(self.history));
        let publication = Publication { ticket: Some(self.tickets), once: Some((*text).into()), ..publication };
        if watched.node.link.publish(publication).is_ok() {
            watched.tickets.insert(self.tickets, Sent::Kept { topic, text });
        }
    }

    /// Subscribes anew, after the last position.
    fn resume(&mut self, index: usize) {
        let topic = self.rng.random_range(0..TOPICS.len());
        let Watched { node, followers, .. } = &mut self.nodes[index];
        let name = TOPICS[topic].into();
        node.link.unsubscribe(&name);
        node.link.subscribe(&name, Some(self.history), followers[topic].last);
        followers[topic].is_caught = false;
    }

    fn take(&mut self) {
        for index in 0..self.nodes.len() {
            let events: Vec<_> = self.nodes[index].node.events.try_iter().collect();
            events.into_iter().for_each(|event| self.event(index, event));
        }
    }

    fn event(&mut self, index: usize, event: BackplaneEvent) {
        let watched = &mut self.nodes[index];
        let is_change = matches!(event, BackplaneEvent::Up | BackplaneEvent::Published { .. });
        assert!(watched.is_up || is_change, "{event:?} without a connection");
        match event {
            BackplaneEvent::Up => assert!(!std::mem::replace(&mut watched.is_up, true)),
            BackplaneEvent::Down(_) => assert!(std::mem::replace(&mut watched.is_up, false)),
            BackplaneEvent::Message { message, .. } => watched.plain(&text_of(&message)),
            BackplaneEvent::Gap { position: None, .. } => {
                watched.listener.gaps += 1;
                watched.listener.last.clear();
            }
            BackplaneEvent::Gap { topic, position: Some(position) } => {
                self.gaps += 1;
                let last = watched.followers[place(&topic)].last.replace(position).expect("a position before a gap");
                assert!(last.epoch != position.epoch || last.offset < position.offset);
                assert!(last.epoch == position.epoch || self.has_forgotten, "a new epoch without a reason");
            }
            BackplaneEvent::Caught { topic, position } => {
                let follower = &mut watched.followers[place(&topic)];
                assert!(!std::mem::replace(&mut follower.is_caught, true));
                assert_eq!(*follower.last.get_or_insert(position), position);
            }
            BackplaneEvent::Kept { topic, kept: Kept { position, message } } => {
                self.kept += 1;
                let follower = &mut watched.followers[place(&topic)];
                let expected = follower.last.map(|last| StreamPosition { offset: last.offset + 1, ..last });
                assert_eq!(position, expected.unwrap_or(position));
                follower.last = Some(position);
                assert!(follower.seen.insert(position));
                self.stands(place(&topic), position, &text_of(&message));
            }
            BackplaneEvent::Published { ticket, outcome } => self.published(index, ticket, outcome),
            event => panic!("{event:?}"),
        }
    }

    /// A message stands at one position only, and is alone there.
    fn stands(&mut self, topic: usize, position: StreamPosition, text: &str) {
        let known = self.truth[topic].entry(position).or_insert_with(|| text.to_owned());
        assert_eq!(known, text);
        let place = *self.places[topic].entry(text.to_owned()).or_insert(position);
        assert!(place == position || self.has_forgotten, "{text} at {place} and at {position}");
    }

    fn published(&mut self, index: usize, ticket: u64, outcome: Result<Option<StreamPosition>, PublishError>) {
        let sent = self.nodes[index].tickets.remove(&ticket).expect("one outcome of each publication");
        match (sent, outcome) {
            (Sent::Plain(_), Ok(None)) => {}
            (Sent::Plain(number), Err(PublishError::Unknown)) => {
                self.unknown.insert((self.nodes[index].node.id.0, number));
            }
            (Sent::Kept { topic, text }, Ok(Some(position))) => self.stands(topic, position, &text),
            (Sent::Kept { topic, text }, Err(PublishError::Unknown)) => self.publish_kept(index, topic, text),
            (sent, outcome) => panic!("{sent:?}: {outcome:?}"),
        }
    }

    /// Lets everything arrive, over connections that work.
    fn settle(&mut self) {
        self.nodes.iter().for_each(|watched| self.engine.restore(watched.node.id));
        self.engine.release();
        self.take();
        // Uses up what is still to be lost, and shows a hole at the end.
        let mut ends = [None; 2];
        for round in 0..200 {
            for (topic, end) in ends.iter_mut().enumerate() {
                self.publish_kept(0, topic, format!("s{}", self.tickets));
                self.take();
                *end = self.nodes[0].followers[topic].last;
            }
            let is_level = |watched: &Watched| (0..2).all(|topic| watched.followers[topic].last == ends[topic]);
            if self.nodes.iter().all(is_level) && round > 0 {
                break;
            }
        }
        self.engine.hold();
        for watched in &mut self.nodes {
            assert!(watched.tickets.is_empty() && watched.is_up);
            for (follower, end) in watched.followers.iter().zip(ends) {
                assert!(follower.is_caught && follower.last == end);
            }
            let before = std::mem::replace(&mut watched.gaps_before, watched.listener.gaps);
            assert_eq!(watched.listener.gaps > before, std::mem::take(&mut watched.was_cut), "a gap for each cut");
            let missing = watched.listener.missing.drain(..).find(|missing| !self.unknown.contains(missing));
            assert_eq!(missing, None, "a plain message was lost without a gap");
        }
        if self.history.messages == 1000 && !self.has_forgotten {
            assert_eq!(self.gaps, 0, "a gap without a reason");
        }
    }
}

impl Watched {
    fn plain(&mut self, text: &str) {
        let (publisher, number) = text.split_once(' ').expect("a publisher and a number");
        let (publisher, number) = (publisher.parse().expect("a publisher"), number.parse().expect("a number"));
        assert_ne!(publisher, self.node.id.0);
        let newest = self.listener.newest.insert(publisher, number);
        assert!(newest.is_none_or(|newest| newest < number), "{text} twice, or not in the publisher's order");
        self.listener.count += 1;
        if let Some(last) = self.listener.last.insert(publisher, number) {
            self.listener.missing.extend((last + 1..number).map(|number| (publisher, number)));
        }
    }
}

fn place(topic: &str) -> usize {
    TOPICS.iter().position(|other| *other == topic).expect("a topic with a history")
}

#[test]
fn whatever_happens_each_message_comes_once_and_in_order_or_a_gap_does() {
    let (mut kept, mut gaps, mut plain, mut plain_gaps) = (0, 0, 0, 0);
    for seed in 0..3000 {
        let mut world = World::new(seed);
        world.take();
        world.engine.hold();
        for turn in 0..world.rng.random_range(10..400) {
            world.turn();
            if turn % 100 == 99 && world.rng.random() {
                world.settle();
            }
        }
        world.settle();
        (kept, gaps) = (kept + world.kept, gaps + world.gaps);
        plain += world.nodes.iter().map(|watched| watched.listener.count).sum::<usize>();
        plain_gaps += world.nodes.iter().map(|watched| watched.listener.gaps).sum::<u32>();
    }
    assert!(kept > 100_000 && gaps > 1000, "{kept} messages, {gaps} gaps");
    assert!(plain > 10_000 && plain_gaps > 1000, "{plain} plain messages, {plain_gaps} gaps");
}
