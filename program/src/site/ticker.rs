//! `/ticker`: prices that walk at random, pushed to those who watch them, and told to those who ask
//! again and again.
//!
//! Prices go out as [`publish_latest`](Clients::publish_latest): for a page that does not read fast
//! enough, a price that still waits is replaced by the next one. Ticks are numbered, so a page sees
//! from the gap how many it was spared.
//!
//! | from the page | |
//! |---|---|
//! | `{"watch":["ROPE","KNOT"]}` | these prices, and no others |
//! | `"books"` | from now on the fast feed: whole order books, [`BOOK_PERIOD`] apart |
//!
//! | to the page | |
//! |---|---|
//! | `{"symbols":{"names":[["ROPE","Rope and Twine"]],"period":100,"token":"..."}}` | what there is, how many milliseconds apart, and a name under which its polls are counted, if it is measured |
//! | `{"past":["ROPE",17,[10412,10409]]}` | the number of the last tick, and the prices up to it, in cents |
//! | `{"tick":["ROPE",18,10411]}` | the next |
//! | `{"book":["ROPE",7,[[10410,300]],[[10412,150]]]}` | prices and sizes of bids and asks |
//! | `{"saw":{"pushed":{},"polled":{}}}` | what the server has read and written for this page |
//!
//! A page that is opened as `?measure` is traced, and its polls (`GET
//! /ticker/latest?symbols=ROPE,KNOT&for=TOKEN`) are, too: every byte is counted where it goes over
//! the wire.

use super::query::parameter;
use lariat::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use lariat::http::{HeaderValue, Response};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, Side, TimerId, Trace, Upgrade,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// What can be watched, and at what price each begins, in cents.
const SYMBOLS: [(&str, &str, u32); 6] = [
    ("ROPE", "Rope and Twine", 10_400),
    ("KNOT", "Knot Holdings", 5_230),
    ("HERD", "Herd Logistics", 23_810),
    ("SPUR", "Spur Motors", 8_170),
    ("CORN", "Corn Exchange", 3_990),
    ("DUST", "Dust Bowl Energy", 14_620),
];

/// How far ticks are apart.
const TICK_PERIOD: Duration = Duration::from_millis(100);

/// How far order books are apart.
const BOOK_PERIOD: Duration = Duration::from_millis(4);

/// How often a page is told what the server saw.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// So many prices of each symbol are remembered.
const PAST: usize = 300;

/// Prices on each side of an order book.
const DEPTH: usize = 50;

/// After so many ticks for nobody, there are no more.
const LINGER: u32 = 50;

/// So many pages are measured at a time.
const MAX_MEASURED: usize = 64;

/// The topic of the fast feed; those of prices are the symbols.
const BOOKS: &str = "books";

/// How that begins which is not counted.
const UNCOUNTED: [&[u8]; 2] = [br#"{"saw""#, br#"{"past""#];

/// Which timer.
const TICK: u64 = 0;
const BOOK: u64 = 1;
const REPORT: u64 = 2;

/// What a page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Watch(Vec<String>),
    Books,
}

/// What a page is told.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Symbols { names: Vec<(&'a str, &'a str)>, period: u128, token: &'a str },
    Past(&'a str, u64, Vec<u32>),
    Tick(&'a str, u64, u32),
    Book(&'a str, u64, Vec<(u32, u32)>, Vec<(u32, u32)>),
    Saw { pushed: Traffic, polled: Traffic },
}

impl Told<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the server has read and written for a page, every byte of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Traffic {
    /// Frames to it, or requests of it.
    count: u64,
    read: u64,
    written: u64,
}

/// A page for which the server counts.
#[derive(Debug, Default)]
struct Meter {
    token: String,
    pushed: Traffic,
    polled: Traffic,
}

/// A price and where it was.
#[derive(Debug)]
struct Walk {
    name: &'static str,
    price: u32,
    past: VecDeque<u32>,
}

/// Prices, and who is told of them.
#[derive(Debug)]
pub struct Ticker {
    random: StdRng,
    walks: Vec<Walk>,
    /// How many ticks there have been, and how many of them were for nobody lately.
    ticks: u64,
    idle: u32,
    books: u64,
    tick_timer: Option<TimerId>,
    book_timer: Option<TimerId>,
    report_timer: Option<TimerId>,
    meters: HashMap<ClientId, Meter>,
    /// Requests that are answered just now, and for which page.
    polls: HashMap<ClientId, ClientId>,
}

impl Default for Ticker {
    fn default() -> Ticker {
        Ticker::new(rand::random())
    }
}

impl Ticker {
    /// With prices that walk as this seed has it.
    pub fn new(seed: u64) -> Ticker {
        let mut random = StdRng::seed_from_u64(seed);
        let walks = SYMBOLS.map(|(name, _, start)| {
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

    /// Prices move from now on.
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
                let past = Told::Past(walk.name, self.ticks, walk.past.iter().copied().collect());
                let _ = clients.send(id, &past.to_json());
            }
        }
        self.wake(clients);
    }

    /// The last prices, for those who poll: `{"ROPE":[17,10412]}`.
    fn latest(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        let token = parameter(request.query(), "for").next();
        let page = self.meters.iter().find(|(_, meter)| Some(meter.token.as_str()) == token).map(|(page, _)| *page);
        if let Some(page) = page.filter(|_| clients.trace(id)) {
            self.polls.insert(id, page);
        }
        let is_wanted = |walk: &&Walk| {
            parameter(request.query(), "symbols").flat_map(|symbols| symbols.split(',')).any(|name| name == walk.name)
        };
        let prices: BTreeMap<&str, (u64, u32)> =
            self.walks.iter().filter(is_wanted).map(|walk| (walk.name, (self.ticks, walk.price))).collect();
        self.wake(clients);
        let mut response = Response::new(serde_json::to_vec(&prices).unwrap_or_default());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Answer::Respond(response)
    }

    fn tick(&mut self, clients: &mut Clients<()>, timer: TimerId) {
        self.ticks += 1;
        self.idle += 1;
        for (key, (walk, (_, _, start))) in self.walks.iter_mut().zip(SYMBOLS).enumerate() {
            walk.step(start, &mut self.random);
            if clients.subscribers(walk.name) > 0 {
                self.idle = 0;
                let tick = Told::Tick(walk.name, self.ticks, walk.price);
                clients.publish_latest(walk.name, key as u64, &tick.to_json());
            }
        }
        if self.idle > LINGER {
            clients.cancel_timer(timer);
            self.tick_timer = None;
        }
    }

    fn tell_books(&mut self, clients: &mut Clients<()>, timer: TimerId) {
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
            let book = Told::Book(walk.name, self.books, side(-1), side(1));
            clients.publish_latest(BOOKS, (SYMBOLS.len() + key) as u64, &book.to_json());
        }
    }

    fn report(&mut self, clients: &mut Clients<()>, timer: TimerId) {
        for (id, meter) in &self.meters {
            let saw = Told::Saw { pushed: meter.pushed, polled: meter.polled };
            // Whoever reads slowly gets the last one in time.
            let _ = clients.send_latest(*id, u64::MAX, &saw.to_json());
        }
        if self.meters.is_empty() {
            clients.cancel_timer(timer);
            self.report_timer = None;
        }
    }
}

impl Walk {
    /// One step at random, drawn a little towards where it began.
    fn step(&mut self, start: u32, random: &mut StdRng) {
        let price = f64::from(self.price);
        let noise = (0..4).map(|_| random.random_range(-1.0..1.0)).sum::<f64>();
        let moved = price * (1.0 + noise * 0.0007) + (f64::from(start) - price) * 0.002;
        self.price = moved.round().clamp(100.0, 10_000_000.0) as u32;
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back(self.price);
    }
}

impl Meter {
    /// Something has gone over the page's own connection. Reports do not count themselves, nor the
    /// past, which polls do not get.
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
        let is_measured = parameter(request.query(), "measure").next().is_some();
        if is_measured && self.meters.len() < MAX_MEASURED && clients.trace(id) {
            self.meters.insert(id, Meter { token: format!("{:016x}", rand::random::<u64>()), ..Meter::default() });
        }
        // What is counted is to be what was said.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let meter = self.meters.get(&id);
        if meter.is_some() && self.report_timer.is_none() {
            self.report_timer = Some(clients.set_interval(REPORT_PERIOD, REPORT));
        }
        let names = SYMBOLS.map(|(name, title, _)| (name, title)).into();
        let token = meter.map_or("", |meter| &meter.token);
        let _ = clients.send(id, &Told::Symbols { names, period: TICK_PERIOD.as_millis(), token }.to_json());
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(Asked::Watch(wanted)) => self.watch(clients, id, &wanted),
            Some(Asked::Books) => {
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
            BOOK => self.tell_books(clients, timer),
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

    fn on_close(&mut self, _: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.meters.remove(&id);
    }
}
