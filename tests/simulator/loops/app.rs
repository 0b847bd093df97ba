//! The application of each loop: it does what its clients say, and all loops write one log.

use lariat::http::Response;
use lariat::{Answer, ClientId, Clients, CloseReason, Event, Handler, Message, Request, SlowConsumer, Upgrade};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub const TOPICS: [&str; 2] = ["news", "gossip"];

/// A message to several. Its number is its place in the log.
pub struct Published {
    /// The loop that has published it.
    pub origin: usize,
    /// Without one, it is for all.
    pub topic: Option<usize>,
    /// The connection that must not get it.
    pub except: Option<u32>,
}

/// What has become of a request.
#[derive(Default)]
pub struct Asked {
    /// Which loop has accepted it, and which one it has named.
    pub chosen: Vec<(usize, Option<usize>)>,
    /// Which loop has answered it.
    pub answered: Vec<usize>,
}

/// What all loops have done, in order. The number of published messages is its clock.
#[derive(Default)]
pub struct Log {
    pub published: Vec<Published>,
    /// By connection and number.
    pub asked: BTreeMap<(u32, u32), Asked>,
    pub open: Vec<(ClientId, u32)>,
    /// By connection: the topics of which it is a member, and since when.
    pub members: BTreeMap<u32, Vec<(usize, usize)>>,
    /// To which connection a letter goes.
    pub letters: Vec<u32>,
    /// How many messages a connection was told that it has missed.
    pub missed: BTreeMap<u32, u64>,
    pub counts: BTreeMap<&'static str, u64>,
    pub wrongs: Vec<String>,
}

impl Log {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.wrongs.push(wrong());
        }
    }
}

/// | a client says, behind a number | and hears `ok NUMBER LOOP`, and |
/// |---|---|
/// | `join TOPIC`, `leave TOPIC` | `joined TOPIC TIME`, `left TOPIC TIME`, if that is new |
/// | `publish TOPIC SIZE`, `except TOPIC SIZE`, `all SIZE` | `m NUMBER`, if it is meant |
/// | `letter N` | (the client at place N hears `letter NUMBER`) |
///
/// At first, it hears `open LOOP TIME`.
pub struct App {
    pub log: Rc<RefCell<Log>>,
    /// Half of the clients lose messages instead of their connection.
    pub loses: bool,
}

impl App {
    fn publish(&self, clients: &mut Clients<u32>, topic: Option<usize>, except: Option<ClientId>, size: usize) {
        let except_connection = except.and_then(|id| clients.data(id).copied());
        let published = Published { origin: clients.loop_number(), topic, except: except_connection };
        let mut log = self.log.borrow_mut();
        log.published.push(published);
        let message = format!("m {} {}", log.published.len() - 1, "x".repeat(size));
        drop(log);
        match (topic, except) {
            (None, _) => clients.broadcast(&message),
            (Some(topic), None) => clients.publish(TOPICS[topic], &message),
            (Some(topic), Some(id)) => clients.publish_except(TOPICS[topic], id, &message),
        };
    }

    fn members(&self, clients: &Clients<u32>, id: ClientId, change: impl FnOnce(&mut Vec<(usize, usize)>)) {
        let connection = clients.data(id).copied().unwrap_or_default();
        change(self.log.borrow_mut().members.entry(connection).or_default());
    }

    fn time(&self) -> usize {
        self.log.borrow().published.len()
    }
}

/// The words of a path: `/NAMED/CONNECTION/NUMBER`.
fn parse(request: &Request<'_>) -> (String, (u32, u32)) {
    let words: Vec<&str> = request.path()[1..].split('/').collect();
    (words[0].to_owned(), (number(words[1]), number(words[2])))
}

pub fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word} is no number"))
}

impl Handler for App {
    type Data = u32;

    fn choose_loop(&mut self, clients: &mut Clients<u32>, request: &Request<'_>) -> Option<usize> {
        let (name, what) = parse(request);
        let here = clients.loop_number();
        let named = match name.as_str() {
            "any" => None,
            // It would go on and on, if it were asked there again.
            "next" => Some(here + 1),
            name => Some(number(name)),
        };
        let reduced = named.map(|named| named % clients.loops());
        self.log.borrow_mut().asked.entry(what).or_default().chosen.push((here, reduced));
        named
    }

    fn on_request(&mut self, clients: &mut Clients<u32>, _: ClientId, request: &Request<'_>) -> Answer {
        let (_, what) = parse(request);
        self.log.borrow_mut().asked.entry(what).or_default().answered.push(clients.loop_number());
        if request.is_upgrade() {
            return Upgrade::new().with_data(what.0).into();
        }
        let body = format!("{} on {}, {}", what.1, clients.loop_number(), request.body().len());
        Response::new(body.into_bytes()).into()
    }

    fn on_open(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let connection = clients.data(id).copied().unwrap_or_default();
        if self.loses && connection % 2 == 0 {
            clients.set_slow_consumer(id, SlowConsumer::DropNewest);
        }
        let mut log = self.log.borrow_mut();
        let is_new = !log.open.iter().any(|(other, number)| *other == id || *number == connection);
        log.check(is_new, || format!("{connection} opens as {id}, which is open"));
        log.open.push((id, connection));
        drop(log);
        let _ = clients.send(id, &format!("open {} {}", clients.loop_number(), self.time()));
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        let words: Vec<&str> = message.as_text().unwrap_or_default().split(' ').collect();
        let _ = clients.send(id, &format!("ok {} {}", words[0], clients.loop_number()));
        match words[1..] {
            ["join", topic] => {
                if clients.subscribe(id, TOPICS[number::<usize>(topic)]) {
                    let time = self.time();
                    let _ = clients.send(id, &format!("joined {topic} {time}"));
                    self.members(clients, id, |topics| topics.push((number(topic), time)));
                }
            }
            ["leave", topic] => {
                if clients.unsubscribe(id, TOPICS[number::<usize>(topic)]) {
                    let _ = clients.send(id, &format!("left {topic} {}", self.time()));
                    self.members(clients, id, |topics| topics.retain(|(other, _)| *other != number::<usize>(topic)));
                }
            }
            ["publish", topic, size] => self.publish(clients, Some(number(topic)), None, number(size)),
            ["except", topic, size] => self.publish(clients, Some(number(topic)), Some(id), number(size)),
            ["all", size] => self.publish(clients, None, None, number(size)),
            ["letter", place] => {
                let mut log = self.log.borrow_mut();
                let (to, connection) = log.open[number::<usize>(place) % log.open.len()];
                let _ = clients.remote().send(to, &format!("letter {}", log.letters.len()));
                log.letters.push(connection);
            }
            _ => panic!("{words:?}"),
        }
    }

    fn on_event(&mut self, clients: &mut Clients<u32>, event: Event) {
        let (topic, size) = event.downcast::<(Option<usize>, usize)>().expect("what the test posts");
        self.publish(clients, topic, None, size);
    }

    fn on_drain(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let connection = clients.data(id).copied().unwrap_or_default();
        *self.log.borrow_mut().missed.entry(connection).or_default() += clients.take_dropped(id);
    }

    fn on_close(&mut self, _: &mut Clients<u32>, id: ClientId, reason: &CloseReason) {
        let mut log = self.log.borrow_mut();
        let place = log.open.iter().position(|(other, _)| *other == id);
        log.check(place.is_some(), || format!("{id} closes, and is not open"));
        if let Some(place) = place {
            log.open.remove(place);
        }
        if matches!(reason, CloseReason::SlowConsumer) {
            log.count("slow consumers");
        }
    }
}
