//! `/loop`: the event loop, as it turns.
//!
//! A few times a second, and only while somebody watches, each page is told what the loop did
//! since, and of the grid of connections what has changed. A page can follow one connection. A
//! server that teaches lets pages on its own host also slow it down, hold it, and read what those
//! whom they follow say.
//!
//! | from the page | |
//! |---|---|
//! | `{"follow":12}`, `"unfollow"` | the connection in this slot |
//! | `"free"`, `{"slow":500}`, `"hold"`, `"step"` | the pace: as there is work; so many milliseconds a turn; no turn but by steps |
//!
//! | to the page | |
//! |---|---|
//! | `{"hello":{"slot":3,"teaches":true}}` | which slot is the page's own |
//! | `{"turns":{}}` | what the loop did |
//! | binary | how many slots, then what has changed of them: `skip, run, cell` again and again; all but cells are LEB128 |
//! | `{"follows":{"slot":12,"id":"12.7","route":"/echo"}}` | whom it follows now |
//! | `{"line":"< TEXT \"hi\" [2 bytes, masked]"}` | what happens there |
//! | `{"missed":12}` | lines of which the page was not told, because it reads too slowly |
//! | `{"gone":"12.7"}`, `{"refused":"why"}` | it is over; it cannot be |

use lariat::http::uri::{Authority, Uri};
use lariat::observe::{Pace, Turn, Turns};
use lariat::{
    Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, ReadyState, Request, State, Trace, Upgrade,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

/// How often pages are told.
const PERIOD: Duration = Duration::from_millis(250);

/// So many pages watch at a time.
const MAX_WATCHERS: usize = 32;

/// So many slots are shown.
const MAX_CELLS: usize = 1 << 16;

/// With more bytes than this waiting for a page, it is told only of what changes later.
const TOO_MUCH: usize = 256 << 10;

/// The slowest pace, in milliseconds a turn.
const SLOWEST: u32 = 5_000;

/// Characters of the longest line.
const LONGEST_LINE: usize = 160;

/// What is known of a cell, beside its state in the lower three bits: 0 is a free slot.
const HEARD: u8 = 8;
const TO_READ: u8 = 16;
const TO_WRITE: u8 = 32;
const BLOCKED: u8 = 64;

/// What a page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Follow(usize),
    Unfollow,
    Free,
    Slow(u32),
    Hold,
    Step,
}

/// What a page is told.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Hello { slot: usize, teaches: bool },
    Turns(Box<Report>),
    Follows { slot: usize, id: String, route: Option<&'a str> },
    Line(&'a str),
    Missed(u32),
    Gone(String),
    Refused(&'a str),
}

impl Told<'_> {
    fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // Whoever cannot be sent to comes back and begins anew.
        let _ = clients.send(to, &serde_json::to_string(self).unwrap_or_default());
    }
}

/// Many turns, the last of them and the slowest. Times are in microseconds.
#[derive(Serialize)]
struct Report {
    turns: u64,
    busy: f64,
    busiest: f64,
    /// Of those whose phases were timed.
    timed: u64,
    phases: [[f64; 7]; 3],
    counts: Vec<(&'static str, u64, u64)>,
    telling: f64,
    listeners: usize,
    reads: usize,
    writes: usize,
    /// Connections by state, as cells number them.
    states: [usize; 8],
    pace: String,
}

/// A page.
#[derive(Default)]
struct Watcher {
    may_teach: bool,
    follows: Option<ClientId>,
    missed: u32,
    /// The cells as the page knows them.
    known: Vec<u8>,
}

/// Shows pages what the loop does.
#[derive(Default)]
pub struct Loop {
    teaches: bool,
    /// Who is about to open, and whether it may do more than watch.
    newcomer: Option<(ClientId, bool)>,
    watchers: HashMap<ClientId, Watcher>,
    /// Who follows whom.
    followers: HashMap<ClientId, Vec<ClientId>>,
    cells: Vec<u8>,
}

impl Loop {
    /// For watching; and, if it `teaches`, for holding, from this host.
    pub fn new(teaches: bool) -> Loop {
        Loop { teaches, ..Loop::default() }
    }

    fn follow(&mut self, clients: &mut Clients<()>, by: ClientId, slot: usize) {
        self.unfollow(clients, by);
        let glance = clients.glances().find(|glance| glance.id.slot() == slot);
        let Some(id) = glance.map(|glance| glance.id).filter(|id| clients.trace(*id)) else {
            return Told::Refused("This slot is free.").send(clients, by);
        };
        if self.watchers.contains_key(&id) {
            clients.untrace(id);
            let why = "This is a page like yours. Telling you what it is told would have to be told, too.";
            return Told::Refused(why).send(clients, by);
        }
        if let Some(watcher) = self.watchers.get_mut(&by) {
            watcher.follows = Some(id);
            self.followers.entry(id).or_default().push(by);
        }
        let route = clients.route_of(id).map(str::to_owned);
        Told::Follows { slot, id: id.to_string(), route: route.as_deref() }.send(clients, by);
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

    /// Looks at all connections, and counts them by state.
    fn look(&mut self, clients: &Clients<()>) -> [usize; 8] {
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
            let why = "Only a page on the server's own host may, and only if the server was started with --teach.";
            return Told::Refused(why).send(clients, by);
        }
        clients.set_pace(pace);
    }
}

/// As it is in a cell.
const fn number(state: State) -> u8 {
    match state {
        State::Handshaking => 1,
        State::Deciding => 2,
        State::Open => 3,
        State::Closing => 4,
        State::Draining => 5,
        State::Flushing => 6,
        State::Closed => 7,
    }
}

/// What has changed of the cells.
fn changes(known: &[u8], cells: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    leb128(&mut out, cells.len());
    let (mut at, mut told) = (0, 0);
    while at < cells.len() {
        if known.get(at) == Some(&cells[at]) {
            at += 1;
            continue;
        }
        let run = cells[at..].iter().take_while(|cell| **cell == cells[at]).count();
        leb128(&mut out, at - told);
        leb128(&mut out, run);
        out.push(cells[at]);
        at += run;
        told = at;
    }
    out
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
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
            Pace::Free => "free".to_owned(),
            Pace::Every(period) => period.as_millis().to_string(),
            Pace::Held => "held".to_owned(),
        },
    }
}

/// A line for those who may not read what others say: who sent what, and how much.
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

/// Whether whoever asks is on this host: the connection comes from here, no proxy says that it
/// speaks for another, and the page came from a name of this host, so that no page of another site
/// has only made its name point here.
fn is_local(clients: &Clients<()>, id: ClientId, request: &Request<'_>) -> bool {
    let is_loopback = |text: &str| {
        let host = text.parse::<Authority>().ok().map(|authority| authority.host().to_ascii_lowercase());
        host.is_some_and(|host| matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]"))
    };
    let addresses = [clients.direct_addr(id), clients.peer_addr(id)];
    let comes_from_here = addresses.iter().all(|addr| addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback()));
    let is_forwarded = ["forwarded", "x-forwarded-for", "via"].iter().any(|name| request.values(name).next().is_some());
    let origin = request.origin().and_then(|origin| origin.parse::<Uri>().ok()?.into_parts().authority);
    let origin_is_here = origin.is_some_and(|origin| is_loopback(origin.as_str()));
    comes_from_here && !is_forwarded && origin_is_here && request.host().is_some_and(is_loopback)
}

impl Handler for Loop {
    type Data = ();

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        self.newcomer = Some((id, self.teaches && is_local(clients, id, request)));
        // To compress what changes four times a second would cost the loop more than to look at it.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
        if self.watchers.len() >= MAX_WATCHERS {
            let _ = clients.close(id, CloseCode::Again, "too many watch already");
            return;
        }
        let may_teach = self.newcomer.take().is_some_and(|(newcomer, may_teach)| newcomer == id && may_teach);
        clients.watch_turns(PERIOD);
        if may_teach {
            clients.exempt(id);
        }
        self.watchers.insert(id, Watcher { may_teach, ..Watcher::default() });
        Told::Hello { slot: id.slot(), teaches: may_teach }.send(clients, id);
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(Asked::Follow(slot)) => self.follow(clients, id, slot),
            Some(Asked::Unfollow) => self.unfollow(clients, id),
            Some(Asked::Free) => self.set_pace(clients, id, Pace::Free),
            Some(Asked::Slow(ms)) => {
                let period = Duration::from_millis(ms.clamp(1, SLOWEST).into());
                self.set_pace(clients, id, Pace::Every(period));
            }
            Some(Asked::Hold) => self.set_pace(clients, id, Pace::Held),
            Some(Asked::Step)
                if clients.pace() == Pace::Held && self.watchers.get(&id).is_some_and(|w| w.may_teach) =>
            {
                clients.step();
            }
            Some(Asked::Step) => Told::Refused("The loop is not held.").send(clients, id),
            None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_turns(&mut self, clients: &mut Clients<()>, turns: &Turns) {
        let states = self.look(clients);
        let report = Told::Turns(Box::new(report(turns, states, clients.pace())));
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
                Told::Missed(missed).send(clients, follower);
            }
            let line = if watcher.may_teach { trace.to_string() } else { without_content(trace) };
            Told::Line(&line.chars().take(LONGEST_LINE).collect::<String>()).send(clients, follower);
            if is_gone {
                watcher.follows = None;
                Told::Gone(id.to_string()).send(clients, follower);
            }
        }
        if is_gone {
            self.followers.remove(&id);
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.unfollow(clients, id);
        self.watchers.remove(&id);
        if self.watchers.is_empty() {
            clients.unwatch_turns();
        }
    }
}
