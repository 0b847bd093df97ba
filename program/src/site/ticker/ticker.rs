//! `/ticker`: random prices, which pages get by push or by poll, and the cost of both.
//!
//! Prices are sent with [`publish_latest`](Clients::publish_latest): if a page does not read fast
//! enough, the next price replaces one that still waits. Ticks are numbered, so a gap shows a page
//! how many were replaced.
//!
//! | from the page | meaning |
//! |---|---|
//! | `{"watch":["ROPE","KNOT"]}` | send these prices, and no others |
//! | `"books"` | send the fast feed: whole order books, one per symbol every [`BOOK_PERIOD`] |
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"symbols":{"names":["ROPE"],"period":100,"token":"..."}}` | all symbols |
//! | `{"past":["ROPE",17,[10412,10409]]}` | the number of the last tick, and prices up to it |
//! | `{"tick":["ROPE",18,10411]}` | the next price |
//! | `{"book":["ROPE",7,[[10410,300]],[[10412,150]]]}` | prices and sizes of bids and asks |
//! | `{"saw":{"pushed":{},"polled":{}}}` | what the server has read and written for this page |
//!
//! Prices are in cents. `period` is the number of milliseconds between two ticks. A page that is
//! measured counts its polls under the `token`.
//!
//! A page that is opened with `?measure` is traced, and so are its polls (`GET
//! /ticker/latest?symbols=ROPE,KNOT&for=TOKEN`). Every byte on the wire is counted.

#[cfg(unix)]
use lariat::RestoreError;
use lariat::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use lariat::http::{HeaderValue, Response};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, Side, TimerId, Trace, Upgrade,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The symbols, and the price at which each begins, in cents.
const SYMBOLS: [(&str, u32); 6] =
    [("ROPE", 10_400), ("KNOT", 5_230), ("HERD", 23_810), ("SPUR", 8_170), ("CORN", 3_990), ("DUST", 14_620)];

/// The time between two ticks.
const TICK_PERIOD: Duration = Duration::from_millis(100);

/// The time between two order books.
const BOOK_PERIOD: Duration = Duration::from_millis(4);

/// How often a page gets the counts of the server.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// The past prices of each symbol that are kept.
pub(super) const PAST: usize = 300;

/// What a price can be.
pub(super) const PRICES: RangeInclusive<u32> = 100..=10_000_000;

/// The prices on each side of an order book.
const DEPTH: usize = 50;

/// Prices stop after so many ticks without a subscriber.
const LINGER: u32 = 50;

/// The most pages that are measured at a time.
const MAX_MEASURED: usize = 64;

/// The topic of the fast feed. The topics of prices are the symbols.
const BOOKS: &str = "books";

/// The beginnings of messages that are not counted.
const UNCOUNTED: [&[u8]; 2] = [br#"{"saw""#, br#"{"past""#];

/// The tokens of the timers.
const TICK: u64 = 0;
const BOOK: u64 = 1;
const REPORT: u64 = 2;

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FromPage {
    Watch(Vec<String>),
    Books,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ToPage<'a> {
    Symbols { names: Vec<&'a str>, period: u128, token: &'a str },
    Past(&'a str, u64, Vec<u32>),
    Tick(&'a str, u64, u32),
    Book(&'a str, u64, Vec<(u32, u32)>, Vec<(u32, u32)>),
    Saw { pushed: Cost, polled: Cost },
}

impl ToPage<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The bytes that the server has read and written for a page.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// The frames to the page, or its requests.
    pub(super) count: u64,
    pub(super) read: u64,
    pub(super) written: u64,
}

/// A measured page.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) token: String,
    pub(super) pushed: Cost,
    pub(super) polled: Cost,
}

/// A symbol with its price and its past prices.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) name: &'static str,
    pub(super) price: u32,
    pub(super) past: VecDeque<u32>,
}

/// The handler of `/ticker`: prices, and the measured pages.
#[derive(Debug)]
pub struct Ticker {
    pub(super) random: StdRng,
    pub(super) walks: Vec<Walk>,
    /// The number of ticks so far.
    pub(super) ticks: u64,
    /// The number of ticks since the last one with a subscriber.
    pub(super) idle: u32,
    pub(super) books: u64,
    pub(super) tick_timer: Option<TimerId>,
    pub(super) book_timer: Option<TimerId>,
    pub(super) report_timer: Option<TimerId>,
    pub(super) meters: HashMap<ClientId, Meter>,
    /// The polls in progress, and the page of each.
    pub(super) polls: HashMap<ClientId, ClientId>,
}

impl Default for Ticker {
    fn default() -> Ticker {
        Ticker::new(rand::random())
    }
}

impl Ticker {
    /// Returns a ticker whose random prices depend on this seed.
    pub fn new(seed: u64) -> Ticker {
        let mut random = StdRng::seed_from_u64(seed);
        let walks = SYMBOLS.map(|(name, start)| {
            let mut walk = Walk { name, price: start, past: VecDeque::with_capacity(PAST) };
            (0..PAST).for_each(|_| walk.step(start, &mut random));
            walk
        });
        Ticker {
            random,
            walks: walks.into(),
            ticks: 0,
            idle: 0,
            books: 0,
            tick_timer: None,
            book_timer: None,
            report_timer: None,
            meters: HashMap::new(),
            polls: HashMap::new(),
        }
    }

    /// Starts the ticks, if they have stopped.
    fn wake(&mut self, clients: &mut Clients<()>) {
        self.idle = 0;
        if self.tick_timer.is_none() {
            self.tick_timer = Some(clients.set_interval(TICK_PERIOD, TICK));
        }
    }

    fn watch(&mut self, clients: &mut Clients<()>, id: ClientId, wanted: &[String]) {
        for walk in &self.walks {
            if !wanted.iter().any(|name| name == walk.name) {
                clients.unsubscribe(id, walk.name);
            } else if clients.subscribe(id, walk.name) {
                let past = ToPage::Past(walk.name, self.ticks, walk.past.iter().copied().collect());
                let _ = clients.send(id, &past.to_json());
            }
        }
        self.wake(clients);
    }

    /// Answers a poll with the last prices: `{"ROPE":[17,10412]}`.
    fn latest(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        let token = request.query_value("for");
        let page =
            self.meters.iter().find(|(_, meter)| Some(meter.token.as_str()) == token.as_deref()).map(|(page, _)| *page);
        if let Some(page) = page.filter(|_| clients.trace(id)) {
            self.polls.insert(id, page);
        }
        let is_wanted = |walk: &&Walk| {
            let mut lists = request.query_pairs().filter(|(name, _)| name == "symbols").map(|(_, symbols)| symbols);
            lists.any(|symbols| symbols.split(',').any(|name| name == walk.name))
        };
        let prices: BTreeMap<&str, (u64, u32)> =
            self.walks.iter().filter(is_wanted).map(|walk| (walk.name, (self.ticks, walk.price))).collect();
        self.wake(clients);
        let mut response = Response::new(serde_json::to_vec(&prices).unwrap_or_default());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.into()
    }

    fn tick(&mut self, clients: &mut Clients<()>, timer: TimerId) {
        self.ticks += 1;
        self.idle += 1;
        for (key, (walk, (_, start))) in self.walks.iter_mut().zip(SYMBOLS).enumerate() {
            walk.step(start, &mut self.random);
            if clients.subscribers(walk.name) > 0 {
                self.idle = 0;
                let tick = ToPage::Tick(walk.name, self.ticks, walk.price);
                clients.publish_latest(walk.name, key as u64, &tick.to_json());
            }
        }
        if self.idle > LINGER {
            clients.cancel_timer(timer);
            self.tick_timer = None;
        }
    }

    fn send_books(&mut self, clients: &mut Clients<()>, timer: TimerId) {
        if clients.subscribers(BOOKS) == 0 {
            clients.cancel_timer(timer);
            self.book_timer = None;
            return;
        }
        self.books += 1;
        for (key, walk) in self.walks.iter().enumerate() {
            let mut side = |sign: i64| {
                let level = |at: usize| (i64::from(walk.price) + sign * (at as i64 + 1)) as u32;
                (0..DEPTH).map(|at| (level(at), self.random.random_range(1..100) * 10)).collect()
            };
            let book = ToPage::Book(walk.name, self.books, side(-1), side(1));
            clients.publish_latest(BOOKS, (SYMBOLS.len() + key) as u64, &book.to_json());
        }
    }

    fn report(&mut self, clients: &mut Clients<()>, timer: TimerId) {
        for (id, meter) in &self.meters {
            let saw = ToPage::Saw { pushed: meter.pushed, polled: meter.polled };
            // A slow page gets the last one.
            let _ = clients.send_latest(*id, u64::MAX, &saw.to_json());
        }
        if self.meters.is_empty() {
            clients.cancel_timer(timer);
            self.report_timer = None;
        }
    }
}

impl Walk {
    /// Moves the price at random, with a slight pull towards its first value.
    pub(super) fn step(&mut self, start: u32, random: &mut StdRng) {
        let price = f64::from(self.price);
        let noise = (0..4).map(|_| random.random_range(-1.0..1.0)).sum::<f64>();
        let moved = price * (1.0 + noise * 0.0007) + (f64::from(start) - price) * 0.002;
        self.price = (moved.round() as u32).clamp(*PRICES.start(), *PRICES.end());
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back(self.price);
    }
}

impl Meter {
    /// Counts the bytes of a trace of the page's connection. Reports are not counted, and past
    /// prices neither, since polls do not get them.
    fn count(&mut self, trace: &Trace) {
        let pushed = &mut self.pushed;
        match trace {
            Trace::Handshake { side: Side::Peer, text } => pushed.read += text.len() as u64,
            Trace::Handshake { side: Side::Us, text } => pushed.written += text.len() as u64,
            Trace::Frame { side: Side::Peer, header, payload } => {
                pushed.read += (header.to_bytes().len() + payload.len()) as u64;
            }
            Trace::Frame { side: Side::Us, payload, .. }
                if UNCOUNTED.iter().any(|begin| payload.starts_with(begin)) => {}
            Trace::Frame { side: Side::Us, header, payload } => {
                pushed.count += 1;
                pushed.written += (header.to_bytes().len() + payload.len()) as u64;
            }
            Trace::Payload { payload } => pushed.read += payload.len() as u64,
            _ => {}
        }
    }
}

impl Handler for Ticker {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        if !request.is_upgrade() {
            return self.latest(clients, id, request);
        }
        let is_measured = request.query_value("measure").is_some();
        if is_measured && self.meters.len() < MAX_MEASURED && clients.trace(id) {
            self.meters.insert(id, Meter { token: format!("{:016x}", rand::random::<u64>()), ..Meter::default() });
        }
        // The counted bytes should be those of the messages.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let meter = self.meters.get(&id);
        if meter.is_some() && self.report_timer.is_none() {
            self.report_timer = Some(clients.set_interval(REPORT_PERIOD, REPORT));
        }
        let names = SYMBOLS.map(|(name, _)| name).into();
        let token = meter.map_or("", |meter| &meter.token);
        let _ = clients.send(id, &ToPage::Symbols { names, period: TICK_PERIOD.as_millis(), token }.to_json());
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromPage::Watch(wanted)) => self.watch(clients, id, &wanted),
            Some(FromPage::Books) => {
                clients.subscribe(id, BOOKS);
                if self.book_timer.is_none() {
                    self.book_timer = Some(clients.set_interval(BOOK_PERIOD, BOOK));
                }
            }
            None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, token: u64) {
        match token {
            TICK => self.tick(clients, timer),
            BOOK => self.send_books(clients, timer),
            _ => self.report(clients, timer),
        }
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        if let Some(meter) = self.meters.get_mut(&id) {
            return meter.count(trace);
        }
        let Some(meter) = self.polls.get(&id).and_then(|page| self.meters.get_mut(page)) else {
            clients.untrace(id);
            return;
        };
        match trace {
            Trace::Handshake { side: Side::Peer, text } => meter.polled.read += text.len() as u64,
            Trace::Handshake { side: Side::Us, text } => {
                meter.polled.count += 1;
                meter.polled.written += text.len() as u64;
                self.polls.remove(&id);
            }
            _ => {}
        }
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.restore_saved(saved)
    }

    fn on_close(&mut self, _: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.meters.remove(&id);
    }
}
