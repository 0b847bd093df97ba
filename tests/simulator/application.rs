//! An application that does everything that an application can do, at random, and remembers what it has done: the
//! model against which the server is judged.

use lariat::sim::Clock;
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, ConnectOptions, Handler, Message, OwnedMessage, Position,
    ReadyState, Request, SendError, TimerId, Upgrade,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// What the model knows of a client.
#[derive(Debug, Default)]
pub struct Known {
    pub addr: Option<SocketAddr>,
    pub is_outgoing: bool,
    pub opened: bool,
    /// The messages that the server has accepted for it, by number.
    pub accepted: Vec<u32>,
    /// The messages that have come from it.
    pub heard: Vec<u32>,
    pub closed_by_us: bool,
    pub reason: Option<CloseReason>,
}

#[derive(Debug)]
struct Timer {
    id: TimerId,
    due: Duration,
    period: Option<Duration>,
}

pub struct Application {
    random: StdRng,
    clock: Option<Clock>,
    max_unsent: usize,
    /// How much later than asked a timer may come.
    pub patience: Duration,
    /// From now on it only listens.
    pub is_quiet: bool,
    pub known: BTreeMap<ClientId, Known>,
    topics: BTreeMap<u32, BTreeSet<ClientId>>,
    timers: BTreeMap<u64, Timer>,
    later: Vec<ClientId>,
    next: u32,
    /// It must not panic now, or the model would be wrong.
    must_end: bool,
    /// What the server has done wrong. A panic would be caught, and be the server's to handle.
    pub wrongs: Vec<String>,
}

/// A message with this number.
pub fn numbered(number: u32, padding: usize) -> String {
    format!("{number} {}", "x".repeat(padding))
}

/// The number of a message.
pub fn number_of(message: Message<'_>) -> Option<u32> {
    std::str::from_utf8(message.as_bytes()).ok()?.split(' ').next()?.parse().ok()
}

pub fn number_of_owned(message: &OwnedMessage) -> Option<u32> {
    number_of(Message::from(message))
}

impl Application {
    pub fn new(seed: u64, max_unsent: usize) -> Application {
        Application {
            random: StdRng::seed_from_u64(seed),
            clock: None,
            max_unsent,
            patience: Duration::MAX,
            is_quiet: false,
            known: BTreeMap::new(),
            topics: BTreeMap::new(),
            timers: BTreeMap::new(),
            later: Vec::new(),
            next: 0,
            must_end: false,
            wrongs: Vec::new(),
        }
    }

    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = Some(clock);
    }

    fn elapsed(&self) -> Duration {
        self.clock.map(Clock::elapsed).unwrap_or_default()
    }

    fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.wrongs.push(wrong());
        }
    }

    pub fn has_timers(&self) -> bool {
        !self.timers.is_empty()
    }

    /// Cancels what would go on for ever, and answers whoever waits.
    pub fn settle(&mut self, clients: &mut Clients<u32>) {
        self.is_quiet = true;
        for timer in std::mem::take(&mut self.timers).into_values() {
            let cancelled = clients.cancel_timer(timer.id);
            self.check(cancelled, || format!("{:?} was gone before it came", timer.id));
        }
        for id in std::mem::take(&mut self.later) {
            let _ = clients.answer(id, Upgrade::new());
        }
    }

    /// Somebody who is not gone. Of those who have not got as far as to be open, nobody says when they are.
    fn any(&mut self) -> Option<ClientId> {
        let lives = |known: &Known| known.opened && known.reason.is_none();
        let living: Vec<ClientId> = self.known.iter().filter(|(_, known)| lives(known)).map(|(id, _)| *id).collect();
        (!living.is_empty()).then(|| living[self.random.random_range(0..living.len())])
    }

    fn message(&mut self) -> (u32, String) {
        self.next += 1;
        let padding = match self.random.random_range(0..20) {
            0 => self.random.random_range(0..6_000),
            1..=4 => self.random.random_range(0..600),
            _ => self.random.random_range(0..20),
        };
        (self.next, numbered(self.next, padding))
    }

    fn send(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let (number, text) = self.message();
        let state = clients.ready_state(id);
        let has_room = clients.buffered_amount(id) + text.len() <= self.max_unsent;
        let outcome = match self.random.random_range(0..10) {
            0..=4 => clients.send(id, &text),
            5..=7 => clients.send(id, text.as_bytes()),
            _ => {
                // In pieces: all of them, or the client is closed.
                let (first, rest) = text.as_bytes().split_at(text.len() / 3);
                let (middle, last) = rest.split_at(rest.len() / 2);
                clients
                    .send_piece(id, first, Position::First)
                    .and_then(|()| clients.send_piece(id, middle, Position::Middle))
                    .and_then(|()| clients.send_piece(id, last, Position::Last))
            }
        };
        if outcome.is_ok() {
            self.accepted(id, number);
        }
        let is_right = match outcome {
            Ok(()) => state == ReadyState::Open && has_room,
            Err(SendError::Full) => state == ReadyState::Open && clients.ready_state(id) == ReadyState::Closed,
            Err(SendError::NotOpen) => state != ReadyState::Open,
            Err(SendError::Gone) => state == ReadyState::Closed,
            Err(_) => false,
        };
        self.check(is_right, || format!("a send to {id}, which was {state:?}: {outcome:?}"));
    }

    fn accepted(&mut self, id: ClientId, number: u32) {
        match self.known.get_mut(&id) {
            Some(known) => known.accepted.push(number),
            None => self.wrongs.push(format!("{id} is unknown and was sent to")),
        }
    }

    /// Sends to many, and checks that it is those that the model has.
    fn send_to_many(
        &mut self,
        clients: &mut Clients<u32>,
        meant: Vec<ClientId>,
        send: impl FnOnce(&mut Clients<u32>, &str) -> usize,
    ) {
        let (number, text) = self.message();
        let takes = |id: &ClientId| {
            clients.ready_state(*id) == ReadyState::Open && clients.buffered_amount(*id) + text.len() <= self.max_unsent
        };
        let meant: Vec<ClientId> = meant.into_iter().filter(takes).collect();
        let count = send(clients, &text);
        self.check(count == meant.len(), || format!("{count} accepted {number}, not {meant:?}"));
        for id in meant {
            self.accepted(id, number);
        }
    }

    fn close(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let state = clients.ready_state(id);
        let outcome = clients.close(id, CloseCode::Normal, "enough");
        self.check(outcome.is_ok() == (state == ReadyState::Open), || format!("a close of {id}: {outcome:?}"));
        if outcome.is_ok() {
            self.known.entry(id).or_default().closed_by_us = true;
        }
    }

    fn act(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        if self.is_quiet {
            return;
        }
        for _ in 0..self.random.random_range(0..4) {
            self.act_once(clients, id);
        }
    }

    fn act_once(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        match self.random.random_range(0..100) {
            0..=24 => self.send(clients, id),
            25..=39 => {
                if let Some(other) = self.any() {
                    self.send(clients, other);
                }
            }
            40..=49 => {
                let topic = self.random.random_range(0..4_u32);
                let joined = clients.subscribe(id, &topic.to_string());
                let is_here = self.known.get(&id).is_some_and(|known| known.reason.is_none());
                let is_new = is_here && self.topics.entry(topic).or_default().insert(id);
                self.check(joined == is_new, || format!("{id} joins {topic}: {joined}"));
            }
            50..=54 => {
                let topic = self.random.random_range(0..4_u32);
                let left = clients.unsubscribe(id, &topic.to_string());
                let was_there = self.topics.entry(topic).or_default().remove(&id);
                self.check(left == was_there, || format!("{id} leaves {topic}: {left}"));
            }
            55..=69 => {
                let topic = self.random.random_range(0..4_u32);
                let mut members = self.topics.get(&topic).cloned().unwrap_or_default();
                let (count, name) = (clients.subscribers(&topic.to_string()), topic.to_string());
                self.check(count == members.len(), || format!("{count} in {topic}, not {members:?}"));
                if self.random.random_bool(0.5) {
                    members.remove(&id);
                    let members = members.into_iter().collect();
                    self.send_to_many(clients, members, |clients, text| clients.publish_except(&name, id, text));
                } else {
                    let members = members.into_iter().collect();
                    self.send_to_many(clients, members, |clients, text| clients.publish(&name, text));
                }
            }
            70..=71 => {
                let all = self.known.keys().copied().collect();
                self.send_to_many(clients, all, |clients, text| clients.broadcast(text));
            }
            72..=79 => {
                let after = Duration::from_micros(self.random.random_range(0..3_000_000));
                let period = self.random.random_bool(0.2).then_some(after.max(Duration::from_millis(1)));
                let token = u64::from(self.next) << 32 | self.timers.len() as u64;
                self.next += 1;
                let timer = match period {
                    Some(period) => clients.set_interval(period, token),
                    None => clients.set_timer(after, token),
                };
                self.timers.insert(token, Timer { id: timer, due: self.elapsed() + after, period });
            }
            80..=82 => {
                if let Some((_, timer)) = self.timers.pop_first() {
                    let cancelled = clients.cancel_timer(timer.id);
                    self.check(cancelled, || "a timer was gone before it came".to_owned());
                }
            }
            83..=85 => self.close(clients, id),
            86 => {
                if let Some(other) = self.any() {
                    self.close(clients, other);
                }
            }
            87..=90 => {
                let _ = clients.ping(id, b"are you there?");
            }
            91..=93 if self.known.len() < 40 => {
                let url = ["ws://203.0.113.1/", "ws://somewhere.test/", "ws://nowhere.test/", "ws://203.0.113.9/"];
                let url = url[self.random.random_range(0..url.len())];
                if let Ok(id) = clients.connect(url, &ConnectOptions::new()) {
                    self.known.insert(id, Known { is_outgoing: true, ..Known::default() });
                }
            }
            94 if !self.must_end && self.random.random_bool(0.2) => {
                // Without the panic hook, which would print a page each time.
                std::panic::resume_unwind(Box::new("the application is broken"));
            }
            95..=97 => {
                if let Some(waiting) = self.later.pop() {
                    let _ = clients.answer(waiting, Upgrade::new());
                }
            }
            _ => {
                let (mine, all) = (clients.iter().count(), clients.iter_all().count());
                self.check(mine == all, || format!("{mine} of {all} on the only route"));
            }
        }
    }
}

impl Handler for Application {
    type Data = u32;

    fn on_request(&mut self, clients: &mut Clients<u32>, id: ClientId, request: &Request<'_>) -> Answer {
        let addr = clients.peer_addr(id);
        self.known.insert(id, Known { addr, ..Known::default() });
        let answer = match self.random.random_range(0..20) {
            0 => Answer::from(lariat::http::StatusCode::NOT_FOUND),
            1 | 2 if !self.is_quiet => {
                self.later.push(id);
                return Answer::Later;
            }
            _ => Answer::Upgrade(Upgrade::new()),
        };
        self.check(request.path() == "/", || format!("asked for {:?}", request.path()));
        answer
    }

    fn on_open(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let known = self.known.entry(id).or_default();
        let is_right = !known.opened && known.reason.is_none() && clients.data(id) == Some(&0);
        known.opened = true;
        self.check(is_right, || format!("{id} opened, again or after its end"));
        if let Some(data) = clients.data_mut(id) {
            *data = 1;
        }
        if self.known[&id].is_outgoing {
            // So that the peer can say whose it is.
            self.send(clients, id);
        }
        self.act(clients, id);
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        let known = self.known.entry(id).or_default();
        let is_right = known.opened && known.reason.is_none();
        // Hostile peers may say anything.
        known.heard.extend(number_of(message));
        let state = clients.ready_state(id);
        self.check(is_right && state == ReadyState::Open, || format!("a message from {id}, which is {state:?}"));
        self.act(clients, id);
    }

    fn on_drain(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        self.act(clients, id);
    }

    fn on_ping(&mut self, clients: &mut Clients<u32>, id: ClientId, _: &[u8]) {
        self.act(clients, id);
    }

    fn on_timer(&mut self, clients: &mut Clients<u32>, id: TimerId, token: u64) {
        let now = self.elapsed();
        let Some(timer) = self.timers.get_mut(&token) else {
            self.wrongs.push(format!("{id:?} came, and was over or cancelled"));
            return;
        };
        let due = timer.due;
        let is_right = timer.id == id && now >= due && now - due <= self.patience;
        match timer.period {
            Some(period) => timer.due = now + period - Duration::from_millis(1).min(period),
            None => {
                self.timers.remove(&token);
            }
        }
        self.check(is_right, || format!("a timer for {due:?} came at {now:?}"));
        if let Some(id) = self.any() {
            self.act(clients, id);
        }
    }

    fn on_close(&mut self, clients: &mut Clients<u32>, id: ClientId, reason: &CloseReason) {
        let known = self.known.entry(id).or_default();
        let is_right = (known.opened || known.is_outgoing) && known.reason.is_none();
        known.reason = Some(reason.clone());
        let state = clients.ready_state(id);
        self.check(is_right && state == ReadyState::Closed, || format!("{id} closed, {state:?}: {reason}"));
        let has_data = clients.data(id).is_some();
        self.check(has_data, || format!("the data of {id} is gone before its end"));
        self.must_end = true;
        if let Some(other) = self.any() {
            self.act(clients, other);
        }
        self.must_end = false;
        // It has been there for the last time.
        for members in self.topics.values_mut() {
            members.remove(&id);
        }
    }
}
