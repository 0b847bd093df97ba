//! An application that uses every method at random and remembers what it did. It is the model with
//! which the server is compared.

use lariat::sim::Clock;
use lariat::tls::ClientTls;
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Config, ConnectOptions, Handler, Message, OwnedMessage,
    Position, ReadyState, Request, RestoreError, SendError, SlowConsumer, TimerId, Upgrade,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The model of a client.
#[derive(Debug, Default)]
pub struct Known {
    pub addr: Option<SocketAddr>,
    pub is_outgoing: bool,
    pub opened: bool,
    /// The messages that the server accepted for the client, by number.
    pub accepted: Vec<u32>,
    /// Conflated messages, by number, with their keys. Only the last of each key must arrive.
    pub conflated: BTreeMap<u32, u64>,
    /// Messages for the client are dropped when it does not read.
    drops: bool,
    /// The application has paused the client, so nothing must arrive from it.
    is_paused: bool,
    /// The number of dropped messages that were not asked for yet.
    dropped: u64,
    /// The messages that arrived from the client.
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
    high_water: usize,
    /// Memory may run out at any time, so clients may be closed for it.
    is_short: bool,
    /// The TLS of outgoing connections. With it, all others have TLS as well.
    pub tls: Option<ClientTls>,
    /// The longest delay of a timer.
    pub patience: Duration,
    /// The application only receives from now on.
    pub is_quiet: bool,
    pub known: BTreeMap<ClientId, Known>,
    topics: BTreeMap<u32, BTreeSet<ClientId>>,
    timers: BTreeMap<u64, Timer>,
    later: Vec<ClientId>,
    next: u32,
    /// The handler must not panic now, or the model would be wrong.
    must_end: bool,
    /// The server's errors. They are collected, because the server would catch a panic.
    pub wrongs: Vec<String>,
}

/// Returns a message with this number.
pub fn numbered(number: u32, padding: usize) -> String {
    format!("{number} {}", "x".repeat(padding))
}

/// Returns the number of a message.
pub fn number_of(message: Message<'_>) -> Option<u32> {
    std::str::from_utf8(message.as_bytes()).ok()?.split(' ').next()?.parse().ok()
}

pub fn number_of_owned(message: &OwnedMessage) -> Option<u32> {
    number_of(message.as_message())
}

impl Application {
    pub fn new(seed: u64, config: &Config, is_short: bool) -> Application {
        Application {
            random: StdRng::seed_from_u64(seed),
            clock: None,
            max_unsent: config.limits.max_unsent,
            high_water: config.limits.high_water,
            is_short,
            tls: None,
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

    /// Moves everything into the handler of the next server.
    pub fn take(&mut self) -> Application {
        let emptied = Application::new(0, &Config::default(), false);
        std::mem::replace(self, emptied)
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

    /// Cancels the timers that repeat, and answers waiting requests.
    pub fn settle(&mut self, clients: &mut Clients<u32>) {
        self.is_quiet = true;
        for timer in std::mem::take(&mut self.timers).into_values() {
            let cancelled = clients.cancel_timer(timer.id);
            self.check(cancelled, || format!("{:?} had disappeared before it fired", timer.id));
        }
        for id in std::mem::take(&mut self.later) {
            let _ = clients.answer(id, Upgrade::new());
        }
        let ids: Vec<ClientId> = self.known.keys().copied().collect();
        ids.into_iter().for_each(|id| self.resume(clients, id));
    }

    fn pause(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let paused = clients.pause(id);
        let may_be_paused = (clients.ready_state(id) as u8) < ReadyState::Closing as u8;
        self.check(paused == may_be_paused && clients.is_paused(id) >= paused, || format!("{id} pauses: {paused}"));
        self.known.entry(id).or_default().is_paused |= paused;
    }

    fn resume(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let was_paused = clients.resume(id);
        let known = self.known.entry(id).or_default();
        let expected = std::mem::take(&mut known.is_paused);
        // A client that is closing is resumed by the server.
        let is_right = was_paused == expected || clients.ready_state(id) as u8 >= ReadyState::Closing as u8;
        self.check(is_right, || format!("{id} was paused: {was_paused}, not {expected}"));
    }

    /// Returns a client that is connected. Nobody knows when a client ends that is not open yet.
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

    fn short_message(&mut self) -> (u32, String) {
        self.next += 1;
        (self.next, numbered(self.next, self.next as usize % 30))
    }

    fn send(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let (number, text) = self.message();
        let (state, takes) = (clients.ready_state(id), self.takes(clients, id, text.len()));
        let drops = self.known.get(&id).is_some_and(|known| known.drops);
        let outcome = match self.random.random_range(0..10) {
            0..=4 => clients.send(id, &text),
            5..=7 => clients.send(id, text.as_bytes()),
            _ => {
                // In pieces: the client gets all of them, or it is closed.
                let (first, rest) = text.as_bytes().split_at(text.len() / 3);
                let (middle, last) = rest.split_at(rest.len() / 2);
                clients
                    .send_piece(id, first, Position::First)
                    .and_then(|()| clients.send_piece(id, middle, Position::Middle))
                    .and_then(|()| clients.send_piece(id, last, Position::Last))
            }
        };
        match outcome {
            Ok(()) => self.accepted(id, number),
            Err(SendError::Dropped) => self.dropped(id),
            Err(_) => {}
        }
        let is_closed = clients.ready_state(id) == ReadyState::Closed;
        let is_right = match outcome {
            Ok(()) => state == ReadyState::Open && takes,
            Err(SendError::Full) => state == ReadyState::Open && is_closed,
            Err(SendError::Dropped) => state == ReadyState::Open && drops && !takes,
            Err(SendError::NotOpen) => state != ReadyState::Open || (self.is_short && clients.ready_state(id) != state),
            Err(SendError::Gone) => state == ReadyState::Closed,
            Err(_) => false,
        };
        self.check(is_right, || format!("a send to {id}, which was {state:?}: {outcome:?}"));
    }

    /// Sends a message with a key: only the last one of each key matters.
    fn send_latest(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let (number, text) = self.short_message();
        let (key, state) = (u64::from(number % 3), clients.ready_state(id));
        let outcome = clients.send_latest(id, key, &text);
        if outcome.is_ok() {
            self.conflated(id, key, number);
        }
        let is_right = outcome.is_ok() == (state == ReadyState::Open);
        self.check(is_right, || format!("the latest for {id}, which was {state:?}: {outcome:?}"));
    }

    /// Whether a message of this length is queued for an open client.
    fn takes(&self, clients: &Clients<u32>, id: ClientId, length: usize) -> bool {
        let buffered = clients.buffered_amount(id);
        let drops = self.known.get(&id).is_some_and(|known| known.drops);
        buffered + length <= self.max_unsent && !(drops && buffered > self.high_water)
    }

    fn dropped(&mut self, id: ClientId) {
        self.known.entry(id).or_default().dropped += 1;
    }

    fn conflated(&mut self, id: ClientId, key: u64, number: u32) {
        self.known.entry(id).or_default().conflated.insert(number, key);
    }

    fn accepted(&mut self, id: ClientId, number: u32) {
        match self.known.get_mut(&id) {
            Some(known) => known.accepted.push(number),
            None => self.wrongs.push(format!("{id} is unknown and was sent to")),
        }
    }

    /// Sends to many clients, and checks that they are those of the model.
    fn send_to_many(
        &mut self,
        clients: &mut Clients<u32>,
        meant: Vec<ClientId>,
        send: impl FnOnce(&mut Clients<u32>, &str) -> usize,
    ) {
        let (number, text) = self.message();
        let is_open = |id: &ClientId| clients.ready_state(*id) == ReadyState::Open;
        let open: Vec<ClientId> = meant.into_iter().filter(is_open).collect();
        let (meant, behind): (Vec<_>, Vec<_>) = open.into_iter().partition(|id| self.takes(clients, *id, text.len()));
        let evicted = clients.stats().evictions;
        let count = send(clients, &text);
        let is_right = count == meant.len() || (count < meant.len() && clients.stats().evictions > evicted);
        self.check(is_right, || format!("{count} accepted {number}, not {meant:?}"));
        for id in meant {
            self.accepted(id, number);
        }
        for id in behind.into_iter().filter(|id| clients.ready_state(*id) == ReadyState::Open) {
            self.dropped(id);
        }
    }

    /// Publishes a message with a key to all members of a topic: only the last one of each key
    /// matters.
    fn publish_latest(&mut self, clients: &mut Clients<u32>, topic: u32) {
        let members = self.topics.get(&topic).cloned().unwrap_or_default();
        let is_open = |id: &ClientId| clients.ready_state(*id) == ReadyState::Open;
        let meant: Vec<ClientId> = members.into_iter().filter(is_open).collect();
        let ((number, text), evicted) = (self.short_message(), clients.stats().evictions);
        let key = u64::from(number % 3);
        let count = clients.publish_latest(&topic.to_string(), key, &text);
        let is_right = count == meant.len() || (count < meant.len() && clients.stats().evictions > evicted);
        self.check(is_right, || format!("{count} accepted {number} as the latest, not {meant:?}"));
        for id in meant {
            self.conflated(id, key, number);
        }
    }

    /// Checks the number of dropped messages.
    fn ask_dropped(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        let Some(known) = self.known.get_mut(&id).filter(|known| known.reason.is_none()) else { return };
        let (expected, told) = (std::mem::take(&mut known.dropped), clients.take_dropped(id));
        self.check(told == expected, || format!("{told} dropped for {id}, expected {expected}"));
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
            40..=45 => {
                let topic = self.random.random_range(0..4_u32);
                let joined = clients.subscribe(id, &topic.to_string());
                let is_here = self.known.get(&id).is_some_and(|known| known.reason.is_none());
                let is_new = is_here && self.topics.entry(topic).or_default().insert(id);
                self.check(joined == is_new, || format!("{id} joins {topic}: {joined}"));
            }
            46..=47 => {
                let policy = [SlowConsumer::Close, SlowConsumer::DropNewest][self.random.random_range(0..2)];
                let is_here = clients.set_slow_consumer(id, policy);
                self.ask_dropped(clients, id);
                if is_here {
                    self.known.entry(id).or_default().drops = policy == SlowConsumer::DropNewest;
                }
            }
            48..=51 => {
                let id = self.any().unwrap_or(id);
                (0..self.random.random_range(1..6)).for_each(|_| self.send_latest(clients, id));
            }
            52..=53 => {
                let topic = self.random.random_range(0..4_u32);
                self.publish_latest(clients, topic);
            }
            54 => {
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
                let opened = self.known.iter().filter(|(_, known)| known.opened);
                let all = opened.map(|(id, _)| *id).collect();
                self.send_to_many(clients, all, |clients, text| clients.broadcast(text));
            }
            72..=79 => {
                let after = Duration::from_micros(self.random.random_range(0..3_000_000));
                let period = self.random.random_bool(0.2).then_some(after.max(Duration::from_millis(1)));
                let token = u64::from(self.next) << 32 | self.timers.len() as u64;
                self.next += 1;
                let first = period.unwrap_or(after);
                let timer = match period {
                    Some(period) => clients.set_interval(period, token),
                    None => clients.set_timer(after, token),
                };
                self.timers.insert(token, Timer { id: timer, due: self.elapsed() + first, period });
            }
            80..=82 => {
                if let Some((_, timer)) = self.timers.pop_first() {
                    let cancelled = clients.cancel_timer(timer.id);
                    self.check(cancelled, || "a timer had disappeared before it fired".to_owned());
                }
            }
            83..=85 => self.close(clients, id),
            86 => {
                if let Some(other) = self.any() {
                    self.close(clients, other);
                }
            }
            87..=88 => {
                let _ = clients.ping(id, b"are you there?");
            }
            89 => self.pause(clients, id),
            90 => {
                let is_paused = |(_, known): &(&ClientId, &Known)| known.is_paused;
                if let Some(id) = self.known.iter().find(is_paused).map(|(id, _)| *id) {
                    self.resume(clients, id);
                }
            }
            91..=93 if self.known.len() < 40 => {
                let hosts = ["203.0.113.1", "somewhere.test", "nowhere.test", "203.0.113.9"];
                let host = hosts[self.random.random_range(0..hosts.len())];
                let (scheme, mut options) = (if self.tls.is_some() { "wss" } else { "ws" }, ConnectOptions::new());
                options.tls = self.tls.clone();
                if let Ok(id) = clients.connect(&format!("{scheme}://{host}/"), &options) {
                    self.known.insert(id, Known { is_outgoing: true, ..Known::default() });
                }
            }
            94 if !self.must_end && self.random.random_bool(0.2) => {
                // This avoids the panic hook, which would print a page each time.
                std::panic::resume_unwind(Box::new("the application is broken"));
            }
            95..=97 => {
                if let Some(waiting) = self.later.pop() {
                    let _ = clients.answer(waiting, Upgrade::new());
                }
            }
            _ => {
                let (mine, all) = (clients.iter().count(), clients.iter_all().count());
                self.check(mine == all, || format!("{mine} of {all} clients on the only route"));
                let counts = (clients.len(), clients.len_all());
                self.check(counts == (mine, all), || format!("{mine} and {all} clients, counted as {counts:?}"));
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
        let is_secured = clients.tls(id).is_some() == self.tls.is_some();
        let is_right = !known.opened && known.reason.is_none() && clients.data(id) == Some(&0);
        known.opened = true;
        self.check(is_right, || format!("{id} opened, again or after its end"));
        self.check(is_secured, || format!("{id} opened, with TLS or without, and not as it should"));
        if let Some(data) = clients.data_mut(id) {
            *data = 1;
        }
        if self.known[&id].is_outgoing {
            // The first message tells the peer its number.
            self.send(clients, id);
        }
        self.act(clients, id);
    }

    fn on_message(&mut self, clients: &mut Clients<u32>, id: ClientId, message: Message<'_>) {
        let known = self.known.entry(id).or_default();
        let is_right = known.opened && known.reason.is_none() && !known.is_paused;
        // Hostile peers may send anything.
        known.heard.extend(number_of(message));
        let state = clients.ready_state(id);
        self.check(is_right && state == ReadyState::Open, || format!("a message from {id}, which is {state:?}"));
        self.act(clients, id);
    }

    fn on_drain(&mut self, clients: &mut Clients<u32>, id: ClientId) {
        self.ask_dropped(clients, id);
        self.act(clients, id);
    }

    fn on_ping(&mut self, clients: &mut Clients<u32>, id: ClientId, _: &[u8]) {
        // Closing ends a pause.
        let is_open = clients.ready_state(id) == ReadyState::Open;
        let is_paused = is_open && self.known.get(&id).is_some_and(|known| known.is_paused);
        self.check(!is_paused, || format!("a ping from {id}, which is paused"));
        self.act(clients, id);
    }

    fn on_timer(&mut self, clients: &mut Clients<u32>, id: TimerId, token: u64) {
        let now = self.elapsed();
        let Some(timer) = self.timers.get_mut(&token) else {
            self.wrongs.push(format!("{id:?} fired, but it was over or cancelled"));
            return;
        };
        let due = timer.due;
        let is_right = timer.id == id && now >= due && now - due <= self.patience;
        match timer.period {
            // A loop that is late by more than 20 ms skips calls.
            Some(period) => {
                let late = now.saturating_sub(due);
                let is_late = late > Duration::from_millis(20);
                let periods = if is_late { late.as_nanos() / period.as_nanos() + 1 } else { 1 };
                timer.due = due + period * u32::try_from(periods).expect("a few");
            }
            None => {
                self.timers.remove(&token);
            }
        }
        self.check(is_right, || format!("a timer for {due:?} fired at {now:?}"));
        if let Some(id) = self.any() {
            self.act(clients, id);
        }
    }

    fn save(&mut self, _: &mut Clients<u32>) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn save_client(&mut self, clients: &mut Clients<u32>, id: ClientId) -> Option<Vec<u8>> {
        Some(clients.data(id)?.to_be_bytes().to_vec())
    }

    fn restore_client(&mut self, clients: &mut Clients<u32>, id: ClientId, saved: &[u8]) -> Result<(), RestoreError> {
        *clients.data_mut(id).ok_or("no client")? = u32::from_be_bytes(saved.try_into()?);
        Ok(())
    }

    fn on_close(&mut self, clients: &mut Clients<u32>, id: ClientId, reason: &CloseReason) {
        let known = self.known.entry(id).or_default();
        let is_right = (known.opened || known.is_outgoing) && known.reason.is_none();
        (known.reason, known.is_paused) = (Some(reason.clone()), false);
        let state = clients.ready_state(id);
        self.check(is_right && state == ReadyState::Closed, || format!("{id} closed, {state:?}: {reason}"));
        let has_data = clients.data(id).is_some();
        self.check(has_data, || format!("the data of {id} was removed before its end"));
        self.must_end = true;
        if let Some(other) = self.any() {
            self.act(clients, other);
        }
        self.must_end = false;
        // The client was a member for the last time.
        for members in self.topics.values_mut() {
            members.remove(&id);
        }
    }
}
