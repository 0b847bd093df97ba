//! Does the engine in memory keep the promises of the seam, also with several links that lose their
//! connections?

mod random;

use lariat::OwnedMessage;
use lariat::backplane::{
    Backplane, BackplaneEvent, BackplaneEvents, BackplaneLink, History, Kept, MemoryEngine, NodeId, Publication,
    PublishError, StreamPosition,
};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: History = History { messages: 100, age: Duration::from_secs(60) };
const SHORT: History = History { messages: 2, age: Duration::from_secs(60) };

struct Node {
    id: NodeId,
    link: Box<dyn BackplaneLink>,
    events: Receiver<BackplaneEvent>,
}

fn text_of(message: &OwnedMessage) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

/// An event in short.
fn short(event: BackplaneEvent) -> String {
    match event {
        BackplaneEvent::Up => "up".to_owned(),
        BackplaneEvent::Down(_) => "down".to_owned(),
        BackplaneEvent::Message { message, .. } => text_of(&message),
        BackplaneEvent::Kept { kept, .. } => format!("{}:{}", kept.position.offset, text_of(&kept.message)),
        BackplaneEvent::Caught { position, .. } => format!("caught {}", position.offset),
        BackplaneEvent::Gap { position: None, .. } => "gap".to_owned(),
        BackplaneEvent::Gap { position: Some(position), .. } => format!("gap {}", position.offset),
        BackplaneEvent::Published { ticket, outcome: Ok(position) } => {
            format!("published {ticket} {}", position.map_or(0, |position| position.offset))
        }
        BackplaneEvent::Published { ticket, outcome: Err(error) } => format!("published {ticket} {error:?}"),
        BackplaneEvent::Members { ticket, outcome: Ok(members) } => {
            let members = members.iter().map(|member| format!(" {}{}", member.node.0, member.name));
            format!("members {ticket}{}", members.collect::<String>())
        }
        BackplaneEvent::Members { ticket, outcome: Err(error) } => format!("members {ticket} {error:?}"),
        event => format!("{event:?}"),
    }
}

fn publication(topic: &str, text: &str, history: Option<History>) -> Publication {
    let (topic, message) = (topic.into(), Arc::new(OwnedMessage::text(text)));
    Publication { topic, message, latest: None, history, once: None, ticket: None }
}

impl Node {
    fn start(engine: &MemoryEngine, id: u64) -> Node {
        let (sender, events) = mpsc::channel();
        let report = BackplaneEvents::new(move |event| drop(sender.send(event)));
        let link = Box::new(engine.backplane()).start(NodeId(id), report).expect("a new number");
        Node { id: NodeId(id), link, events }
    }

    /// Starts one that has reported its connection.
    fn up(engine: &MemoryEngine, id: u64) -> Node {
        let node = Node::start(engine, id);
        node.expect(&["up"]);
        node
    }

    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        assert_eq!(self.events.try_iter().map(short).collect::<Vec<_>>(), expected);
    }

    fn keep(&self, text: &str, history: History) -> Result<(), PublishError> {
        self.link.publish(publication("kept", text, Some(history)))
    }

    fn once(&self, text: &str, name: &str, ticket: u64) {
        let publication = publication("kept", text, Some(LONG));
        let publication = Publication { once: Some(name.into()), ticket: Some(ticket), ..publication };
        self.link.publish(publication).expect("a connection");
    }

    fn plain(&self, text: &str) -> Result<(), PublishError> {
        self.link.publish(publication("plain", text, None))
    }

    fn follow(&self, history: History, after: Option<StreamPosition>) {
        self.link.subscribe(&"kept".into(), Some(history), after);
    }

    fn listen(&self) {
        self.link.subscribe(&"plain".into(), None, None);
    }
}

// ---- two and three links ------------------------------------------------------------------------

#[test]
fn plain_messages_reach_the_others_that_have_subscribed() {
    let engine = MemoryEngine::new();
    let [a, b, c] = [1, 2, 3].map(|id| Node::up(&engine, id));
    a.listen();
    b.listen();
    b.listen();
    a.plain("x").expect("a connection");
    a.link.publish(Publication { ticket: Some(7), ..publication("plain", "y", None) }).expect("a connection");
    a.expect(&["published 7 0"]);
    b.expect(&["x", "y"]);
    c.expect(&[]);
    b.link.unsubscribe(&"plain".into());
    c.plain("z").expect("a connection");
    a.expect(&["z"]);
    b.expect(&[]);
}

#[test]
fn kept_messages_reach_all_and_the_history_comes_first() {
    let engine = MemoryEngine::new();
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    a.follow(LONG, None);
    a.expect(&["caught 0"]);
    for text in ["x", "y", "z"] {
        a.keep(text, LONG).expect("a connection");
    }
    a.expect(&["1:x", "2:y", "3:z"]);
    b.follow(LONG, None);
    b.expect(&["1:x", "2:y", "3:z", "caught 3"]);
    b.keep("w", LONG).expect("a connection");
    a.expect(&["4:w"]);
    b.expect(&["4:w"]);
}

#[test]
fn a_link_resumes_after_a_position_and_trimming_is_a_gap() {
    let engine = MemoryEngine::new();
    let a = Node::up(&engine, 1);
    a.follow(SHORT, None);
    a.keep("x", SHORT).expect("a connection");
    let position = a.events.try_iter().find_map(|event| match event {
        BackplaneEvent::Kept { kept, .. } => Some(kept.position),
        _ => None,
    });
    a.keep("y", SHORT).expect("a connection");
    a.keep("z", SHORT).expect("a connection");
    let [b, c, d, e] = [2, 3, 4, 5].map(|id| Node::up(&engine, id));
    b.follow(SHORT, position);
    b.expect(&["2:y", "3:z", "caught 3"]);
    a.keep("w", SHORT).expect("a connection");
    c.follow(SHORT, position);
    c.expect(&["gap 2", "3:z", "4:w", "caught 4"]);
    d.follow(SHORT, None);
    d.expect(&["3:z", "4:w", "caught 4"]);
    e.follow(SHORT, Some(StreamPosition { epoch: 5, offset: 1 }));
    e.expect(&["gap 2", "3:z", "4:w", "caught 4"]);
}

#[test]
fn old_messages_and_names_are_forgotten() {
    let engine = MemoryEngine::new();
    let [a, b, c] = [1, 2, 3].map(|id| Node::up(&engine, id));
    a.once("x", "one", 1);
    engine.set_time(Duration::from_secs(40));
    a.once("y", "one", 2);
    a.once("y", "two", 3);
    a.expect(&["published 1 1", "published 2 1", "published 3 2"]);
    engine.set_time(Duration::from_secs(61));
    engine.set_time(Duration::from_secs(1));
    b.follow(LONG, None);
    b.expect(&["2:y", "caught 2"]);
    a.once("z", "one", 4);
    a.once("z", "two", 5);
    a.expect(&["published 4 3", "published 5 2"]);
    engine.set_time(Duration::from_secs(3600));
    c.follow(LONG, None);
    c.expect(&["caught 3"]);
}

#[test]
fn an_idle_history_is_forgotten_unless_somebody_follows() {
    let engine = MemoryEngine::new();
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    a.follow(LONG, None);
    a.keep("x", LONG).expect("a connection");
    engine.set_time(Duration::from_secs(100 * 3600));
    a.keep("y", LONG).expect("a connection");
    a.expect(&["caught 0", "1:x", "2:y"]);
    a.link.unsubscribe(&"kept".into());
    engine.set_time(Duration::from_secs(200 * 3600));
    b.follow(LONG, None);
    b.expect(&["caught 0"]);
}

// ---- losses -------------------------------------------------------------------------------------

#[test]
fn a_link_without_connection_catches_up() {
    let engine = MemoryEngine::new();
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    b.listen();
    b.follow(LONG, None);
    b.expect(&["caught 0"]);
    a.keep("x", LONG).expect("a connection");
    engine.cut(b.id);
    engine.cut(b.id);
    engine.cut(NodeId(99));
    a.keep("y", LONG).expect("a connection");
    a.plain("lost").expect("a connection");
    assert_eq!(b.plain("lost"), Err(PublishError::Away));
    b.link.ask_members(&"plain".into(), 1);
    engine.restore(b.id);
    engine.restore(b.id);
    a.plain("z").expect("a connection");
    b.expect(&["1:x", "down", "members 1 Away", "up", "gap", "2:y", "z"]);
}

#[test]
fn what_is_on_its_way_is_lost_and_outcomes_are_unknown() {
    let engine = MemoryEngine::new();
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    b.follow(LONG, None);
    b.expect(&["caught 0"]);
    engine.hold();
    a.once("x", "one", 1);
    assert!(engine.deliver_one(0));
    a.once("y", "two", 2);
    a.link.ask_members(&"plain".into(), 3);
    engine.cut(a.id);
    a.expect(&[]);
    engine.restore(a.id);
    engine.cut(b.id);
    engine.restore(b.id);
    engine.release();
    assert!(!engine.deliver_one(0));
    a.expect(&["down", "up", "published 1 Unknown", "published 2 Unknown", "members 3 Unknown"]);
    b.expect(&["down", "up", "1:x"]);
    a.once("x", "one", 4);
    a.once("y", "two", 5);
    a.expect(&["published 4 1", "published 5 2"]);
    b.expect(&["2:y"]);
}

#[test]
fn lost_and_doubled_messages_are_reported_once() {
    let engine = MemoryEngine::new();
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    b.follow(LONG, None);
    engine.lose(b.id);
    a.keep("x", LONG).expect("a connection");
    b.expect(&["caught 0"]);
    engine.double(b.id);
    a.keep("y", LONG).expect("a connection");
    a.keep("z", LONG).expect("a connection");
    b.expect(&["1:x", "2:y", "3:z"]);
}

#[test]
fn an_engine_that_forgets_begins_a_new_epoch() {
    let engine = MemoryEngine::with_seed(1);
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    b.follow(LONG, None);
    a.keep("x", LONG).expect("a connection");
    a.link.enter(&"room".into(), "ann", b"");
    engine.forget();
    a.keep("y", LONG).expect("a connection");
    b.expect(&["caught 0", "1:x", "gap 0", "1:y"]);
    a.link.ask_members(&"room".into(), 1);
    a.expect(&["members 1 1ann"]);
}

#[test]
fn members_stay_until_their_server_ends_or_expires() {
    let engine = MemoryEngine::new();
    let [a, b, c] = [1, 2, 3].map(|id| Node::up(&engine, id));
    let room: Arc<str> = "room".into();
    for name in ["eve", "ann"] {
        b.link.enter(&room, name, b"data");
    }
    a.link.enter(&room, "bob", b"");
    c.link.enter(&room, "cid", b"");
    let ask = |expected| {
        a.link.ask_members(&room, 1);
        a.expect(&[expected]);
    };
    ask("members 1 1bob 2ann 2eve 3cid");
    drop(c);
    engine.expire(b.id);
    ask("members 1 1bob 2ann 2eve");
    engine.cut(b.id);
    b.link.leave(&room, "eve");
    b.link.enter(&room, "fay", b"");
    ask("members 1 1bob 2ann 2eve");
    engine.expire(b.id);
    ask("members 1 1bob");
    engine.restore(b.id);
    ask("members 1 1bob 2ann 2fay");
}

// ---- links --------------------------------------------------------------------------------------

#[test]
fn a_number_is_used_once_at_a_time_and_the_end_publishes_what_waits() {
    let engine = MemoryEngine::new();
    let [a, b] = [1, 2].map(|id| Node::up(&engine, id));
    let again = Box::new(engine.backplane()).start(a.id, BackplaneEvents::new(drop));
    assert!(again.is_err());
    b.listen();
    engine.hold();
    a.plain("x").expect("a connection");
    let id = a.id;
    drop(a);
    engine.release();
    b.expect(&["x"]);
    Node::up(&engine, id.0);
}

#[test]
fn the_function_that_is_reported_to_may_publish() {
    let engine = MemoryEngine::new();
    let (link, texts) = (Arc::new(Mutex::new(None::<Arc<dyn BackplaneLink>>)), Arc::new(Mutex::new(Vec::new())));
    let (own, noted) = (Arc::clone(&link), Arc::clone(&texts));
    let report = BackplaneEvents::new(move |event| {
        if let BackplaneEvent::Kept { kept: Kept { position, message }, .. } = event {
            noted.lock().expect("a lock").push(text_of(&message));
            let link = own.lock().expect("a lock").clone();
            if let Some(link) = link.filter(|_| position.offset < 3) {
                for side in ["l", "r"] {
                    let text = text_of(&message) + side;
                    link.publish(publication("kept", &text, Some(LONG))).expect("a connection");
                }
            }
        }
    });
    let started: Arc<dyn BackplaneLink> =
        Box::new(engine.backplane()).start(NodeId(1), report).expect("a start").into();
    *link.lock().expect("a lock") = Some(Arc::clone(&started));
    started.subscribe(&"kept".into(), Some(LONG), None);
    started.publish(publication("kept", "x", Some(LONG))).expect("a connection");
    assert_eq!(*texts.lock().expect("a lock"), ["x", "xl", "xr", "xll", "xlr"]);
    link.lock().expect("a lock").take();
}

#[test]
fn threads_that_publish_at_once_disturb_no_order() {
    const EACH: u64 = 2000;
    let engine = MemoryEngine::new();
    let history = History { messages: 10, ..LONG };
    let nodes: Vec<Node> = (1..=3).map(|id| Node::up(&engine, id)).collect();
    nodes.iter().for_each(|node| node.follow(history, None));
    std::thread::scope(|scope| {
        for node in &nodes {
            let link = &node.link;
            scope.spawn(move || {
                for number in 0..EACH {
                    link.publish(publication("kept", &number.to_string(), Some(history))).expect("a connection");
                }
            });
        }
    });
    for node in &nodes {
        let offsets = node.events.try_iter().filter_map(|event| match event {
            BackplaneEvent::Kept { kept, .. } => Some(kept.position.offset),
            event => {
                assert!(matches!(event, BackplaneEvent::Caught { .. }), "{event:?}");
                None
            }
        });
        assert!(offsets.eq(1..=3 * EACH));
    }
}
