//! `/loop`: shows pages what the event loop does.
//!
//! While pages are open, each one gets a report a few times per second: what the loop did, and what
//! has changed in the grid of connections. A page can follow one connection. With `--teach`, pages
//! on the server's own host can also slow the loop down, hold it, and read the messages of the
//! connection that they follow. If the server has several loops, `/loop?loop=1` shows the second
//! one: its pages are on that loop.
//!
//! | from the page | meaning |
//! |---|---|
//! | `{"follow":12}`, `"unfollow"` | follow the connection in this slot, or stop following it |
//! | `"free"` | turn as needed |
//! | `{"slow":500}` | turn once in so many milliseconds |
//! | `"hold"` | do not turn, except by `"step"` |
//! | `"step"` | turn once |
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"hello":{"slot":3,"teaches":true,"number":0,"loops":2}}` | slot, rights, loop |
//! | `{"turns":{}}` | what the loop did |
//! | binary | the number of slots, then the changes: `skip, run, cell`, repeated |
//! | `{"follows":{"slot":12,"id":"12.7","route":"/echo","state":"Open"}}` | whom it follows |
//! | `{"tls":{}}` | its TLS, once the handshake is over; `secured` lists the fields |
//! | `{"line":{"text":"< TEXT [2 bytes, masked]","step":{}}}` | a step of its trace, see `told` |
//! | `{"missed":12}` | the number of lines that were skipped, because the page reads too slowly |
//! | `{"gone":"12.7"}` | the connection has ended |
//! | `{"refused":"free"}` | why it was refused: `free`, `watcher`, `rights` or `running` |
//!
//! All numbers of a binary message except the cells are LEB128.

use crate::site::local::is_local;
use crate::site::secured::Secured;
use crate::site::told::Step;
#[cfg(unix)]
use lariat::RestoreError;
use lariat::observe::{Pace, Turn, Turns};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, ReadyState, Request, State, Trace, Upgrade,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// How often pages get a report.
const PERIOD: Duration = Duration::from_millis(250);

/// The most pages that watch at a time.
const MAX_WATCHERS: usize = 32;

/// The most slots that are shown.
const MAX_CELLS: usize = 1 << 16;

/// While more bytes than this wait for a page, it gets no reports.
const TOO_MUCH: usize = 256 << 10;

/// The slowest pace, in milliseconds per turn.
const SLOWEST: u32 = 5_000;

/// The most characters of a line.
const LONGEST_LINE: usize = 160;

/// The flags of a cell. The lower three bits are the state; 0 is a free slot.
const HEARD: u8 = 8;
const TO_READ: u8 = 16;
const TO_WRITE: u8 = 32;
const BLOCKED: u8 = 64;

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FromPage {
    Follow(usize),
    Unfollow,
    Free,
    Slow(u32),
    Hold,
    Step,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ToPage<'a> {
    Hello { slot: usize, teaches: bool, number: usize, loops: usize },
    Turns(Box<Report>),
    Follows { slot: usize, id: String, route: Option<&'a str>, state: String },
    Tls(Secured<'a>),
    Line { text: &'a str, step: Option<Step> },
    Missed(u32),
    Gone(String),
    Refused(&'a str),
}

impl ToPage<'_> {
    fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // If this fails, the client is closed. Its page comes back and starts again.
        let _ = clients.send(to, &serde_json::to_string(self).unwrap_or_default());
    }
}

/// A report on many turns, the last one and the slowest one. Times are in microseconds.
#[derive(Serialize)]
struct Report {
    turns: u64,
    busy: f64,
    busiest: f64,
    /// The number of turns whose phases were timed.
    timed: u64,
    phases: [[f64; 7]; 3],
    counts: Vec<(&'static str, u64, u64)>,
    telling: f64,
    listeners: usize,
    reads: usize,
    writes: usize,
    /// The number of connections in each state, numbered as in cells.
    states: [usize; 8],
    pace: String,
}

/// A page that watches.
#[derive(Default)]
pub(super) struct Watcher {
    pub(super) may_teach: bool,
    pub(super) follows: Option<ClientId>,
    pub(super) missed: u32,
    /// The cells as the page knows them.
    pub(super) known: Vec<u8>,
}

/// The handler of `/loop`: shows pages what the loop does.
#[derive(Default)]
pub struct Loop {
    pub(super) teaches: bool,
    /// The client that is about to open, and whether it may change the pace.
    pub(super) opening: Option<(ClientId, bool)>,
    pub(super) watchers: HashMap<ClientId, Watcher>,
    /// The followers of each client.
    pub(super) followers: HashMap<ClientId, Vec<ClientId>>,
    pub(super) cells: Vec<u8>,
}

impl Loop {
    /// Returns a handler for watching. With `teaches`, pages on this host may also change the pace.
    pub fn new(teaches: bool) -> Loop {
        Loop { teaches, ..Loop::default() }
    }

    fn follow(&mut self, clients: &mut Clients<()>, by: ClientId, slot: usize) {
        self.unfollow(clients, by);
        let glance = clients.glances().find(|glance| glance.id.slot() == slot);
        let Some((id, state)) = glance.map(|glance| (glance.id, glance.state)).filter(|(id, _)| clients.trace(*id))
        else {
            return ToPage::Refused("free").send(clients, by);
        };
        if self.watchers.contains_key(&id) {
            clients.untrace(id);
            // Its trace would include the trace that this page gets.
            return ToPage::Refused("watcher").send(clients, by);
        }
        if let Some(watcher) = self.watchers.get_mut(&by) {
            watcher.follows = Some(id);
            self.followers.entry(id).or_default().push(by);
        }
        let route = clients.route_of(id).map(str::to_owned);
        ToPage::Follows { slot, id: id.to_string(), route: route.as_deref(), state: format!("{state:?}") }
            .send(clients, by);
        if let Some(info) = clients.tls(id).cloned() {
            ToPage::Tls(Secured::from(&info)).send(clients, by);
        }
    }

    fn unfollow(&mut self, clients: &mut Clients<()>, by: ClientId) {
        let Some(id) = self.watchers.get_mut(&by).and_then(|watcher| watcher.follows.take()) else { return };
        let Some(followers) = self.followers.get_mut(&id) else { return };
        followers.retain(|follower| *follower != by);
        if followers.is_empty() {
            self.followers.remove(&id);
            clients.untrace(id);
        }
    }

    /// Reads the state of all connections, and returns the number of connections in each state.
    fn read_cells(&mut self, clients: &Clients<()>) -> [usize; 8] {
        let mut states = [0; 8];
        self.cells.clear();
        for glance in clients.glances() {
            let state = number(glance.state);
            states[usize::from(state)] += 1;
            let slot = glance.id.slot();
            if slot < MAX_CELLS {
                let mark = |is_so: bool, bit: u8| if is_so { bit } else { 0 };
                self.cells.resize(slot, 0);
                self.cells.push(
                    state
                        | mark(glance.quiet <= PERIOD, HEARD)
                        | mark(glance.waits_to_be_read, TO_READ)
                        | mark(glance.waits_to_be_written, TO_WRITE)
                        | mark(glance.is_blocked, BLOCKED),
                );
            }
        }
        states
    }

    fn set_pace(&self, clients: &mut Clients<()>, by: ClientId, pace: Pace) {
        if !self.watchers.get(&by).is_some_and(|watcher| watcher.may_teach) {
            return ToPage::Refused("rights").send(clients, by);
        }
        clients.set_pace(pace);
    }
}

/// Returns the number of a state in a cell.
const fn number(state: State) -> u8 {
    match state {
        State::Handshaking => 1,
        State::Deciding | State::Responding => 2,
        State::Open => 3,
        State::Closing => 4,
        State::Draining => 5,
        State::Flushing => 6,
        State::Closed => 7,
    }
}

/// Returns the changes of the cells, as pages get them.
fn changes(known: &[u8], cells: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    leb128(&mut out, cells.len());
    let (mut at, mut end) = (0, 0);
    while at < cells.len() {
        if known.get(at) == Some(&cells[at]) {
            at += 1;
            continue;
        }
        let run = cells[at..].iter().take_while(|cell| **cell == cells[at]).count();
        leb128(&mut out, at - end);
        leb128(&mut out, run);
        out.push(cells[at]);
        at += run;
        end = at;
    }
    out
}

/// Writes a number with seven bits per byte, the lowest first. The eighth bit says that more bytes
/// follow.
fn leb128(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn report(turns: &Turns, states: [usize; 8], pace: Pace) -> Report {
    let micros = |time: Duration| time.as_nanos() as f64 / 1_000.0;
    let phases = |turn: &Turn| turn.phases.map(micros);
    let counts = turns.sum.counts().into_iter().zip(turns.last.counts());
    Report {
        turns: turns.count,
        busy: micros(turns.busy),
        busiest: micros(turns.busiest),
        timed: turns.timed,
        phases: [phases(&turns.sum), phases(&turns.last), phases(&turns.slowest)],
        counts: counts.map(|((name, sum), (_, last))| (name, sum, last)).collect(),
        telling: micros(turns.telling),
        listeners: turns.waiting.listeners,
        reads: turns.waiting.reads,
        writes: turns.waiting.writes,
        states,
        pace: match pace {
            Pace::Every(period) => period.as_millis().to_string(),
            Pace::Held => "held".to_owned(),
            _ => "free".to_owned(),
        },
    }
}

/// Returns a line without the content of messages: who sent which kind of frame, and how long.
fn without_content(trace: &Trace) -> String {
    let text = trace.to_string();
    match trace {
        Trace::Handshake { .. } => text.chars().take(1).chain(" handshake".chars()).collect(),
        Trace::Frame { .. } => match (text.find(" \""), text.rfind(" [")) {
            (Some(begin), Some(end)) => format!("{}{}", &text[..begin], &text[end..]),
            _ => text,
        },
        _ => text,
    }
}

impl Handler for Loop {
    type Data = ();

    fn choose_loop(&mut self, _: &mut Clients<()>, request: &Request<'_>) -> Option<usize> {
        Some(request.query_value("loop").and_then(|number| number.parse().ok()).unwrap_or_default())
    }

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        self.opening = Some((id, self.teaches && is_local(clients, id, request)));
        // Compressing four reports per second would cost the loop more than making them.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        if self.watchers.len() >= MAX_WATCHERS {
            let _ = clients.close(id, CloseCode::Again, "too many pages watch already");
            return;
        }
        let may_teach = self.opening.take().is_some_and(|(opening, may_teach)| opening == id && may_teach);
        clients.watch_turns(PERIOD);
        if may_teach {
            clients.exempt(id);
        }
        self.watchers.insert(id, Watcher { may_teach, ..Watcher::default() });
        let (number, loops) = (clients.loop_number(), clients.loops());
        ToPage::Hello { slot: id.slot(), teaches: may_teach, number, loops }.send(clients, id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromPage::Follow(slot)) => self.follow(clients, id, slot),
            Some(FromPage::Unfollow) => self.unfollow(clients, id),
            Some(FromPage::Free) => self.set_pace(clients, id, Pace::Free),
            Some(FromPage::Slow(ms)) => {
                let period = Duration::from_millis(ms.clamp(1, SLOWEST).into());
                self.set_pace(clients, id, Pace::Every(period));
            }
            Some(FromPage::Hold) => self.set_pace(clients, id, Pace::Held),
            Some(FromPage::Step)
                if clients.pace() == Pace::Held && self.watchers.get(&id).is_some_and(|w| w.may_teach) =>
            {
                clients.step();
            }
            Some(FromPage::Step) => ToPage::Refused("running").send(clients, id),
            None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_turns(&mut self, clients: &mut Clients<()>, turns: &Turns) {
        let states = self.read_cells(clients);
        let report = ToPage::Turns(Box::new(report(turns, states, clients.pace())));
        for (id, watcher) in &mut self.watchers {
            if clients.buffered_amount(*id) > TOO_MUCH {
                continue;
            }
            let changes = changes(&watcher.known, &self.cells);
            watcher.known.clone_from(&self.cells);
            report.send(clients, *id);
            let _ = clients.send(*id, &changes[..]);
        }
    }

    fn on_trace(&mut self, clients: &mut Clients<()>, id: ClientId, trace: &Trace) {
        let is_gone = matches!(trace, Trace::State { to, .. } if to.ready_state() == ReadyState::Closed);
        for follower in self.followers.get(&id).cloned().unwrap_or_default() {
            let Some(watcher) = self.watchers.get_mut(&follower) else { continue };
            if clients.buffered_amount(follower) > TOO_MUCH {
                watcher.missed += 1;
                continue;
            }
            let missed = std::mem::take(&mut watcher.missed);
            if missed > 0 {
                ToPage::Missed(missed).send(clients, follower);
            }
            if let Trace::Secured(info) = trace {
                ToPage::Tls(Secured::from(&**info)).send(clients, follower);
                continue;
            }
            let line = if watcher.may_teach { trace.to_string() } else { without_content(trace) };
            let text: String = line.chars().take(LONGEST_LINE).collect();
            let step = Step::of(trace, watcher.may_teach);
            ToPage::Line { text: &text, step }.send(clients, follower);
            if is_gone {
                watcher.follows = None;
                ToPage::Gone(id.to_string()).send(clients, follower);
            }
        }
        if is_gone {
            self.followers.remove(&id);
        }
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, clients: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.restore_saved(saved)?;
        if !self.watchers.is_empty() {
            clients.watch_turns(PERIOD);
        }
        Ok(())
    }

    /// The clients of this route keep nothing else.
    #[cfg(unix)]
    fn restore_client(&mut self, clients: &mut Clients<()>, id: ClientId, _: &[u8]) -> Result<(), RestoreError> {
        if self.watchers.get(&id).is_some_and(|watcher| watcher.may_teach) {
            clients.exempt(id);
        }
        Ok(())
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.unfollow(clients, id);
        self.watchers.remove(&id);
        if self.watchers.is_empty() {
            clients.unwatch_turns();
        }
    }
}
