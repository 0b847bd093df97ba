//! The client's side of all connections: opens them, holds them, sends, and counts what comes back.
//!
//! ```text
//!  Opening ─► Opened ─► Holding ─► Awaiting ─► Held ─► Closing
//!     all      (others   sends,     what is     (read    closes
//!   attempts    start    churns     still on     what     all
//!   settled    as well)             the way      was used)
//! ```
//!
//! A [`Handler`] like any other, whose clients are connections to servers. What is due,
//! [`Driver::step`] does between two turns of the loop.

mod messages;
mod phases;

use super::clock::Clock;
use super::pacer::Pacer;
use super::pending::{List, Pending};
use super::plan::{Churn, Mode, Opening, Pace, Plan};
use super::problems::Problem;
use super::publications::Publications;
use super::search::Search;
use super::tally::Tally;
use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message, OpeningError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::time::Duration;

/// What is remembered of a connection.
#[derive(Debug)]
pub(super) struct Conn {
    /// Messages that have not come back.
    pending: List,
    /// When it was meant to begin; then, when its request was written: in microseconds, modulo 2³².
    since: u32,
    number: u32,
    /// Its place among those that are open.
    place: u32,
    sent: u32,
    /// Messages that have come back, or the number of the next publication.
    received: u32,
    is_connected: bool,
    /// We close it, to open it again.
    churns: bool,
}

const NOWHERE: u32 = u32::MAX;

impl Default for Conn {
    fn default() -> Conn {
        Conn {
            pending: List::default(),
            since: 0,
            number: 0,
            place: NOWHERE,
            sent: 0,
            received: 0,
            is_connected: false,
            churns: false,
        }
    }
}

/// With the slab entry of an outgoing connection (64 bytes) and its id, a connection takes 104
/// bytes.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Conn>() + 64 + size_of::<ClientId>() <= 104);

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    /// All attempts are settled; [`Driver::hold`] goes on.
    Opened,
    Holding,
    /// Nothing is sent any more, but something is still to come.
    Awaiting,
    /// [`Driver::close`] goes on.
    Held,
    Closing,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Complete,
    Interrupted,
    Duration,
    NoneOpened,
    AllLost,
    PublisherLost,
}

impl Ended {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Ended::Complete => "complete",
            Ended::Interrupted => "interrupted by a signal",
            Ended::Duration => "cut short by --duration",
            Ended::NoneOpened => "no connection could be opened",
            Ended::AllLost => "cut short: all connections were lost",
            Ended::PublisherLost => "cut short: the connection that published was lost",
        }
    }
}

/// One that is to be opened.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    number: u32,
    /// When it is meant to begin.
    due: u64,
}

/// After a failure, a connection that is to come back waits.
const RETRY: u64 = 200_000_000;

/// Bytes that may wait for a server that does not read, at least.
const STALLED: usize = 4 << 20;

/// Messages sent, or connections begun, before the loop turns.
const SHARE: usize = 4_096;

/// The handler.
pub(super) struct Driver {
    plan: Plan,
    clock: Clock,
    phase: Phase,
    ended: Ended,
    pub(super) tally: Tally,
    open: Vec<ClientId>,
    /// Handshakes under way.
    underway: u32,
    /// First attempts begun.
    begun: u32,
    opening_pacer: Option<Pacer>,
    again: VecDeque<Attempt>,
    pending: Pending,
    pacer: Option<Pacer>,
    churn_pacer: Option<Pacer>,
    search: Option<Search>,
    publications: Publications,
    /// The one that publishes, with its number.
    publisher: Option<(ClientId, u32)>,
    /// Whose turn it is to send.
    cursor: usize,
    hold_began: u64,
    /// When the present phase, or the present step of a search, ends.
    phase_ends: u64,
    /// When sending ended, and what had come back by then.
    sending_ended: Option<u64>,
    /// When the first message came back.
    first_answer: Option<u64>,
    /// Messages that came back while others were sent, and until when that counts: as much longer
    /// as the first one took.
    in_time: u64,
    in_time_until: u64,
    next_second: u64,
    /// The time at which the present client was read.
    read_at: u64,
    reading: Option<ClientId>,
    stalled_from: usize,
    buffer: String,
    random: StdRng,
}

const SECOND: u64 = 1_000_000_000;

impl Driver {
    pub(super) fn new(plan: Plan, clock: Clock) -> Driver {
        let opening_pacer = match plan.opening {
            Opening::AtOnce(_) => None,
            Opening::Rate(rate) => Some(Pacer::new(clock.nanos(), rate)),
        };
        let depth = match plan.pace {
            Pace::Depth(depth) => depth as usize,
            Pace::Rate(_) => 1,
        };
        Driver {
            tally: Tally::new(plan.mode == Mode::Subscribe),
            phase: Phase::Opening,
            ended: Ended::Complete,
            open: Vec::new(),
            underway: 0,
            begun: 0,
            opening_pacer,
            again: VecDeque::new(),
            pending: Pending::new(),
            pacer: None,
            churn_pacer: None,
            search: None,
            publications: Publications::default(),
            publisher: None,
            cursor: 0,
            hold_began: 0,
            phase_ends: u64::MAX,
            sending_ended: None,
            first_answer: None,
            in_time: 0,
            in_time_until: u64::MAX,
            next_second: clock.nanos() + SECOND,
            read_at: 0,
            reading: None,
            stalled_from: STALLED.max(plan.payload.len().saturating_mul(2 * depth)),
            buffer: String::new(),
            random: StdRng::seed_from_u64(plan.seed),
            plan,
            clock,
        }
    }

    // ---- what the run asks ---------------------------------------------------------------------

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) const fn ended(&self) -> Ended {
        self.ended
    }

    /// Messages that have come back, or were sent if none is to.
    pub(super) const fn counted(&self) -> u64 {
        if matches!(self.plan.mode, Mode::Send) { self.tally.messages.sent } else { self.tally.messages.right }
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) const fn search(&self) -> Option<&Search> {
        self.search.as_ref()
    }

    /// When there is something to do, at the latest.
    pub(super) fn next_due(&self) -> u64 {
        let mut due = self.next_second.min(self.phase_ends);
        let pacers = match self.phase {
            Phase::Opening => [self.opening_pacer.filter(|_| self.begun < self.plan.connections), None],
            Phase::Holding => [self.pacer, self.churn_pacer],
            _ => [None, None],
        };
        for pacer in pacers.iter().flatten() {
            due = due.min(pacer.due());
        }
        if let (Phase::Holding, Some(attempt)) = (self.phase, self.again.front()) {
            due = due.min(attempt.due);
        }
        if let (Some(duration), Phase::Opening | Phase::Holding) = (self.plan.duration, self.phase) {
            due = due.min(nanos(duration));
        }
        due
    }

    /// Does what is due.
    pub(super) fn step(&mut self, clients: &mut Clients<Conn>) -> Result<(), OpeningError> {
        let now = self.clock.nanos();
        self.reading = None;
        let is_early = matches!(self.phase, Phase::Opening | Phase::Opened | Phase::Holding | Phase::Awaiting);
        if is_early && clients.is_shutting_down() {
            self.ended = Ended::Interrupted;
            self.stop_sending(now);
            self.phase = Phase::Held;
        } else if is_early && self.phase != Phase::Awaiting && self.is_over(now) {
            self.ended = Ended::Duration;
            self.await_answers(now);
        }
        match self.phase {
            Phase::Opening => self.open_due(clients, now)?,
            Phase::Holding => self.hold_due(clients, now)?,
            Phase::Awaiting if self.awaited() == 0 || now >= self.phase_ends => self.phase = Phase::Held,
            Phase::Awaiting | Phase::Opened | Phase::Held | Phase::Closing => {}
        }
        if now >= self.next_second {
            self.tally.end_second(now, self.open.len());
            self.next_second = (now / SECOND + 1) * SECOND;
        }
        Ok(())
    }

    fn is_over(&self, now: u64) -> bool {
        self.plan.duration.is_some_and(|duration| now >= nanos(duration))
    }

    // ---- one connection ------------------------------------------------------------------------

    /// Takes one off the list of those that are open.
    fn leave(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let Some(conn) = clients.data_mut(id) else { return };
        let place = std::mem::replace(&mut conn.place, NOWHERE) as usize;
        if place >= self.open.len() {
            return;
        }
        self.open.swap_remove(place);
        if let Some(moved) = self.open.get(place).and_then(|moved| clients.data_mut(*moved)) {
            moved.place = place as u32;
        }
    }

    /// Closes one that is to come back.
    fn churn(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        if let Some(conn) = clients.data_mut(id) {
            (conn.churns, conn.place) = (true, NOWHERE);
        }
        // It may be closing already.
        let _ = clients.close(id, CloseCode::Normal, "");
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

const fn micros(nanos: u64) -> u32 {
    (nanos / 1_000) as u32
}

/// What has passed since then: less than an hour.
fn nanos_since(since: u32, now: u64) -> u64 {
    u64::from(micros(now).wrapping_sub(since)) * 1_000
}

impl Handler for Driver {
    type Data = Conn;

    fn on_connect(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let now = self.clock.nanos();
        let Some(conn) = clients.data_mut(id) else { return };
        self.tally.connect.record(nanos_since(conn.since, now));
        (conn.since, conn.is_connected) = (micros(now), true);
    }

    fn on_open(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let now = self.clock.nanos();
        let publications = self.publications.count();
        let Some(conn) = clients.data_mut(id) else { return };
        self.tally.handshake.record(nanos_since(conn.since, now));
        (conn.place, conn.received) = (self.open.len() as u32, publications);
        self.underway -= 1;
        let connections = &mut self.tally.connections;
        connections.opened += 1;
        connections.churned += u64::from(self.phase == Phase::Holding);
        let is_late = self.phase == Phase::Closing;
        if is_late || self.phase == Phase::Holding && self.plan.churn == Some(Churn::Max) {
            return self.churn(clients, id);
        }
        self.open.push(id);
        connections.most = connections.most.max(self.open.len() as u64);
        if self.phase == Phase::Holding {
            self.send_first(clients, id, now);
        }
    }

    #[inline]
    fn on_message(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        let messages = &mut self.tally.messages;
        messages.received += 1;
        messages.bytes_received += message.as_bytes().len() as u64;
        match self.plan.mode {
            Mode::Echo => self.echoed(clients, id, message),
            Mode::Subscribe => self.delivered(clients, id, message),
            Mode::Hold | Mode::Send => {}
        }
    }

    fn on_close(&mut self, clients: &mut Clients<Conn>, id: ClientId, reason: &CloseReason) {
        let Some(conn) = clients.data(id) else { return };
        let (number, place, churns, is_connected) = (conn.number, conn.place, conn.churns, conn.is_connected);
        let is_closing = self.phase == Phase::Closing || churns;
        if place == NOWHERE && !churns {
            self.underway -= 1;
            // A run that is cut short does not wait for handshakes.
            if self.phase != Phase::Closing {
                self.tally.connections.failed += 1;
                self.tally.problem(Problem::of_opening(reason, is_connected), 1);
            }
        } else {
            if let Some(problem) = Problem::of_end(reason, is_closing) {
                self.tally.problem(problem, 1);
                self.tally.connections.lost += u64::from(!is_closing);
            }
            self.leave(clients, id);
            if self.phase != Phase::Closing {
                self.ended_open(clients, id);
            }
        }
        if self.plan.churn.is_some() && self.phase == Phase::Holding {
            let now = self.clock.nanos();
            if churns {
                self.again.push_front(Attempt { number, due: now });
            } else {
                self.again.push_back(Attempt { number, due: now + RETRY });
            }
        }
    }
}
