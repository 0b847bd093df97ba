//! Topics with a history.

use crate::common::{Wire, text};
use crate::kit::{Running, serve, serve_with};
use lariat::backplane::{History, Kept, Member, MemoryEngine, PublishError, StreamPosition};
use lariat::{Audience, ClientId, Clients, Config, Handler, Message, Since};
use std::collections::HashMap;
use std::time::Duration;

const HISTORY: History = History { messages: 20, age: Duration::from_secs(600) };

/// `since now|oldest|last N|after POSITION`, `say TEXT`, `once NAME TEXT`, `here NAME`, `gone
/// NAME`, `who`. Messages come as `POSITION TEXT`.
#[derive(Default)]
struct Room {
    askers: HashMap<u64, ClientId>,
    next: u64,
}

impl Room {
    fn token(&mut self, id: ClientId) -> u64 {
        self.next += 1;
        self.askers.insert(self.next, id);
        self.next
    }
}

impl Handler for Room {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let words: Vec<&str> = message.as_text().unwrap_or_default().splitn(3, ' ').collect();
        let mut subscribe = |since| {
            let is_new = clients.subscribe_from(id, "room", HISTORY, since);
            let _ = clients.send(id, if is_new { "waits" } else { "knows" });
        };
        match words[..] {
            ["since", "now"] => subscribe(Since::Now),
            ["since", "oldest"] => subscribe(Since::Oldest),
            ["since", "last", count] => subscribe(Since::Last(count.parse().expect("a number"))),
            ["since", "after", place] => subscribe(Since::After(place.parse().expect("a position"))),
            ["say", text] => {
                let token = self.token(id);
                if let Err(error) = clients.publish_kept("room", text, HISTORY, None, token) {
                    let _ = clients.send(id, &format!("refused: {error}"));
                }
            }
            ["once", name, text] => {
                let token = self.token(id);
                clients.publish_kept("room", text, HISTORY, Some(name), token).expect("it is up");
            }
            ["here", name] => clients.enter_presence("room", name, b"data"),
            ["gone", name] => clients.leave_presence("room", name),
            ["who"] => {
                let token = self.token(id);
                assert!(clients.ask_members("room", token));
            }
            _ => panic!("{words:?}"),
        }
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, topic: &str, kept: &Kept, to: Audience<'_>) {
        assert_eq!(topic, "room");
        let text = String::from_utf8_lossy(kept.message.as_bytes()).into_owned();
        to.send(clients, &format!("{} {text}", kept.position));
    }

    fn on_gap(&mut self, clients: &mut Clients<()>, _: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        to.send(clients, &format!("gap until {}", position.expect("it has a history").offset));
    }

    fn on_published(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<StreamPosition, PublishError>) {
        let Some(asker) = self.askers.remove(&token) else { return };
        let _ = match outcome {
            Ok(position) => clients.send(asker, &format!("said at {}", position.offset)),
            Err(error) => clients.send(asker, &format!("not said: {error}")),
        };
    }

    fn on_members(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<Vec<Member>, PublishError>) {
        let asker = self.askers.remove(&token).expect("it has asked");
        let mut names: Vec<String> = outcome.expect("it is up").into_iter().map(|member| member.name).collect();
        names.sort();
        let _ = clients.send(asker, &names.join(","));
    }
}

struct Person {
    wire: Wire,
    /// The position of the last message.
    last: Option<StreamPosition>,
}

impl Person {
    fn open(server: &Running) -> Person {
        Person { wire: Wire::open(server.addr), last: None }
    }

    /// Subscribes from there on.
    fn since(server: &Running, since: &str) -> Person {
        let mut person = Person::open(server);
        person.tell(&format!("since {since}"));
        person.wire.expect_text("waits");
        person
    }

    fn tell(&mut self, what: &str) {
        self.wire.send(&text(what));
    }

    fn hear(&mut self) -> String {
        String::from_utf8(self.wire.frame().payload).expect("text")
    }

    /// Says something, and returns its offset.
    fn say(&mut self, what: &str) -> u64 {
        self.tell(&format!("say {what}"));
        let said = self.hear();
        said.strip_prefix("said at ").unwrap_or_else(|| panic!("{said}")).parse().expect("an offset")
    }

    /// Expects the next message.
    #[track_caller]
    fn expect(&mut self, offset: u64, what: &str) {
        let heard = self.hear();
        let (position, text) = heard.split_once(' ').expect("a position and a text");
        let position: StreamPosition = position.parse().unwrap_or_else(|_| panic!("{heard}"));
        assert_eq!((position.offset, text), (offset, what));
        self.last = Some(position);
    }

    fn after(&self) -> String {
        format!("after {}", self.last.expect("it has heard something"))
    }
}

#[test]
fn a_client_that_comes_back_gets_exactly_what_it_has_missed_on_any_server() {
    for loops in [1, 2] {
        let engine = MemoryEngine::new();
        let servers: Vec<Running> = (0..2).map(|_| serve(&engine, loops, Room::default)).collect();
        let mut speaker = Person::open(&servers[0]);
        for number in 1..=5 {
            assert_eq!(speaker.say(&format!("{number}")), number);
        }
        let mut old = Person::since(&servers[1], "oldest");
        (1..=5).for_each(|number| old.expect(number, &number.to_string()));
        let mut few = Person::since(&servers[0], "last 2");
        (4..=5).for_each(|number| few.expect(number, &number.to_string()));
        let mut new = Person::since(&servers[1], "now");
        let place = old.after();
        drop(old);
        for number in 6..=9 {
            speaker.say(&format!("{number}"));
        }
        for server in servers.iter().chain(&servers) {
            let mut back = Person::since(server, &place);
            (6..=9).for_each(|number| back.expect(number, &number.to_string()));
        }
        (6..=9).for_each(|number| new.expect(number, &number.to_string()));
        (6..=9).for_each(|number| few.expect(number, &number.to_string()));
        new.tell("since oldest");
        new.wire.expect_text("knows");
        // Nothing comes twice.
        speaker.say("10");
        new.expect(10, "10");
        few.expect(10, "10");
    }
}

#[test]
fn the_bytes_of_histories_are_those_of_the_messages_that_are_kept() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 2, Room::default);
    let kept = |clients: &mut Clients<()>| clients.backplane_status().expect("a backplane").kept_bytes;
    let mut listener = Person::since(&server, "oldest");
    let mut speaker = Person::open(&server);
    for number in 1..=30 {
        speaker.say(&"x".repeat(number));
        listener.expect(number as u64, &"x".repeat(number));
    }
    assert_eq!(server.ask(0, kept), (11..=30).sum::<usize>(), "the last 20");
    drop(listener);
    server.ask_until(0, move |clients| kept(clients) == 0);
}

#[test]
fn what_is_no_longer_kept_is_a_gap() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 2, Room::default), serve(&engine, 1, Room::default)];
    let mut speaker = Person::open(&servers[0]);
    let mut early = Person::since(&servers[1], "now");
    speaker.say("1");
    early.expect(1, "1");
    let place = early.after();
    for number in 2..=30 {
        speaker.say(&format!("{number}"));
        early.expect(number, &number.to_string());
    }
    // 20 are kept.
    for server in &servers {
        let mut back = Person::since(server, &place);
        back.wire.expect_text("gap until 10");
        (11..=30).for_each(|number| back.expect(number, &number.to_string()));
    }
    // A position of another life of the history is one as well.
    let mut strange = Person::since(&servers[0], "after 1234-7");
    strange.wire.expect_text("gap until 10");
}

#[test]
fn an_engine_that_forgets_is_a_gap_for_all() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 2, Room::default);
    let mut people: Vec<Person> = (0..3).map(|_| Person::since(&server, "now")).collect();
    let mut speaker = Person::open(&server);
    speaker.say("1");
    people.iter_mut().for_each(|person| person.expect(1, "1"));
    let place = people[0].after();
    engine.forget();
    assert_eq!(speaker.say("new"), 1);
    for person in &mut people {
        person.wire.expect_text("gap until 0");
        person.expect(1, "new");
    }
    let mut back = Person::since(&server, &place);
    back.wire.expect_text("gap until 0");
    back.expect(1, "new");
}

#[test]
fn a_server_that_was_cut_off_catches_up_without_a_gap() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 2, Room::default), serve(&engine, 1, Room::default)];
    let mut people: Vec<Person> = (0..3).map(|_| Person::since(&servers[0], "now")).collect();
    let mut speaker = Person::open(&servers[1]);
    speaker.say("1");
    people.iter_mut().for_each(|person| person.expect(1, "1"));
    engine.cut(servers[0].node);
    people[0].tell("say lost");
    people[0].wire.expect_text("refused: the backplane cannot be reached");
    for number in 2..=4 {
        speaker.say(&number.to_string());
    }
    // Clients that come meanwhile to a topic that is followed get what is known.
    let mut meanwhile = Person::since(&servers[0], "oldest");
    meanwhile.expect(1, "1");
    people.push(meanwhile);
    engine.restore(servers[0].node);
    for person in &mut people {
        (2..=4).for_each(|number| person.expect(number, &number.to_string()));
    }
    // A message that was lost or doubled on the way changes nothing.
    engine.lose(servers[0].node);
    speaker.say("5");
    engine.double(servers[0].node);
    speaker.say("6");
    speaker.say("7");
    for person in &mut people {
        (5..=7).for_each(|number| person.expect(number, &number.to_string()));
    }
}

/// A client that knows more than the server waits until the server knows it too.
#[test]
fn a_server_that_is_behind_repeats_nothing() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 1, Room::default), serve(&engine, 1, Room::default)];
    let mut here = Person::since(&servers[0], "now");
    let mut there = Person::since(&servers[1], "now");
    let mut speaker = Person::open(&servers[1]);
    speaker.say("1");
    here.expect(1, "1");
    there.expect(1, "1");
    engine.cut(servers[0].node);
    speaker.say("2");
    speaker.say("3");
    (2..=3).for_each(|number| there.expect(number, &number.to_string()));
    let place = there.after();
    let mut moved = Person::since(&servers[0], &place);
    engine.restore(servers[0].node);
    (2..=3).for_each(|number| here.expect(number, &number.to_string()));
    speaker.say("4");
    moved.expect(4, "4");
}

/// Positions come from clients, so they may be anything.
#[test]
fn a_place_that_does_not_exist_is_a_gap() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 2, Room::default), serve(&engine, 1, Room::default)];
    let mut member = Person::since(&servers[0], "now");
    let mut speaker = Person::open(&servers[1]);
    speaker.say("1");
    speaker.say("2");
    member.expect(1, "1");
    member.expect(2, "2");
    let epoch = member.last.expect("a position").epoch;
    for server in &servers {
        let mut liars: Vec<Person> = (0..3).map(|_| Person::since(server, &format!("after {epoch:x}-50"))).collect();
        for liar in &mut liars {
            liar.wire.expect_text("gap until 0");
            liar.expect(1, "1");
            liar.expect(2, "2");
        }
    }
    // Members have noticed nothing.
    speaker.say("3");
    member.expect(3, "3");
}

/// The history has a new epoch, but the engine still has the messages from before.
#[test]
fn after_a_gap_those_who_come_get_all_that_is_kept() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 2, Room::default);
    let mut member = Person::since(&server, "now");
    let mut speaker = Person::open(&server);
    for number in 1..=30 {
        speaker.say(&number.to_string());
        member.expect(number, &number.to_string());
    }
    let old = StreamPosition { epoch: 1, offset: 3 };
    let mut back = Person::since(&server, &format!("after {old}"));
    back.wire.expect_text("gap until 10");
    (11..=30).for_each(|number| back.expect(number, &number.to_string()));
    // A server that was away for more than is kept has a gap, and then all that is kept.
    let other = serve(&engine, 1, Room::default);
    let mut far = Person::since(&other, "last 1");
    far.expect(30, "30");
    engine.cut(other.node);
    for number in 31..=60 {
        speaker.say(&number.to_string());
        member.expect(number, &number.to_string());
    }
    engine.restore(other.node);
    far.wire.expect_text("gap until 40");
    (41..=60).for_each(|number| far.expect(number, &number.to_string()));
    let mut new = Person::since(&other, "oldest");
    (41..=60).for_each(|number| new.expect(number, &number.to_string()));
    speaker.say("61");
    far.expect(61, "61");
    new.expect(61, "61");
}

/// A loop that does not run for a while drops what is beyond its bound. Its members are told, and
/// those who come later get all that is kept.
#[test]
fn a_loop_that_is_behind_has_a_gap_and_then_all_that_is_kept() {
    let mut config = Config::default();
    config.memory_budget = config.least_memory_budget_of_loops(2);
    let bound = config.memory_budget / 16;
    let engine = MemoryEngine::new();
    let server = serve_with(config, &engine, 2, Room::default);
    let mut people: Vec<Person> = (0..4).map(|_| Person::since(&server, "now")).collect();
    server.ask_until(1, |clients| clients.members("room").count() == 2);
    let held: Vec<ClientId> = server.ask(1, |clients| clients.members("room").collect());
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let hold = move |_: &mut Clients<()>| {
        let _ = wait.recv();
    };
    server.remote.on_loop(1).run(hold).expect("it runs");
    let text = "x".repeat(50_000);
    let count = (bound / text.len()) as u64 + 30;
    for _ in 0..count {
        let text = text.clone();
        server.ask(0, move |clients| clients.publish_kept("room", &text, HISTORY, None, u64::MAX).expect("it is up"));
    }
    go_on.send(()).expect("it is held");
    assert_eq!(held.len(), 2);
    let mut speaker = Person::open(&server);
    let (mut whole, mut with_gap) = (0, 0);
    speaker.tell("say end");
    for person in &mut people {
        let (mut last, mut gaps) = (0, 0);
        while last <= count {
            let heard = person.hear();
            match heard.strip_prefix("gap until ") {
                Some(place) => (last, gaps) = (place.parse().expect("an offset"), gaps + 1),
                None => {
                    let position: StreamPosition = heard.split_once(' ').expect("a position").0.parse().expect("one");
                    assert_eq!(position.offset, last + 1, "in order, and nothing without a gap");
                    last = position.offset;
                }
            }
        }
        (whole, with_gap) = if gaps == 0 { (whole + 1, with_gap) } else { (whole, with_gap + 1) };
    }
    assert_eq!((whole, with_gap), (2, 2));
    for _ in 0..4 {
        let mut new = Person::since(&server, "oldest");
        for offset in count + 1 - 19..=count + 1 {
            let heard = new.hear();
            assert!(heard.contains(&format!("-{offset} ")), "{offset}: {}", &heard[..40]);
        }
    }
}

#[test]
fn a_name_is_published_once() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 1, Room::default), serve(&engine, 2, Room::default)];
    let mut listener = Person::since(&servers[0], "now");
    let mut speakers: Vec<Person> = servers.iter().map(Person::open).collect();
    for _ in 0..3 {
        for speaker in &mut speakers {
            speaker.tell("once name hello");
            speaker.wire.expect_text("said at 1");
        }
    }
    speakers[0].say("end");
    listener.expect(1, "hello");
    listener.expect(2, "end");
}

#[test]
fn topics_that_nobody_needs_are_no_longer_followed() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 2, Room::default);
    let mut speaker = Person::open(&server);
    for round in 0..5 {
        let people: Vec<Person> = (0..4).map(|_| Person::since(&server, "oldest")).collect();
        drop(people);
        server.ask_until(0, |clients| clients.connections_of_all_loops() == 1);
        assert_eq!(speaker.say("x"), round + 1);
    }
    let mut back = Person::since(&server, "last 1");
    back.expect(5, "x");
}

/// Three hundred clients come back at once: one history serves them all.
#[test]
fn a_mass_reconnect_is_served_from_one_history() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 2, Room::default);
    let mut speaker = Person::open(&server);
    for number in 1..=20 {
        speaker.say(&number.to_string());
    }
    let mut people: Vec<Person> = (0..300).map(|_| Person::open(&server)).collect();
    people.iter_mut().for_each(|person| person.tell("since oldest"));
    for person in &mut people {
        person.wire.expect_text("waits");
        (1..=20).for_each(|number| person.expect(number, &number.to_string()));
    }
}

#[test]
fn presence_is_that_of_all_servers() {
    let engine = MemoryEngine::new();
    let servers = [serve(&engine, 2, Room::default), serve(&engine, 1, Room::default)];
    let mut people: Vec<Person> = servers.iter().map(Person::open).collect();
    people[0].tell("here anna");
    people[0].tell("who");
    people[0].wire.expect_text("anna");
    people[1].tell("here bert");
    people[1].tell("here cora");
    people[1].tell("who");
    people[1].wire.expect_text("anna,bert,cora");
    people[1].tell("gone cora");
    people[1].tell("who");
    people[1].wire.expect_text("anna,bert");
    // A server that is dead is forgotten with its members.
    engine.cut(servers[1].node);
    engine.expire(servers[1].node);
    people[0].tell("who");
    people[0].wire.expect_text("anna");
}

#[test]
fn without_a_backplane_there_is_no_history() {
    let server = lariat::Server::<()>::bind("127.0.0.1:0").expect("a free port");
    let mut event_loop = server.start(Room::default()).expect("it starts");
    let clients = event_loop.clients_mut();
    assert_eq!(clients.publish_kept("room", "x", HISTORY, None, 1), Err(PublishError::Away));
    assert!(!clients.ask_members("room", 1));
}
