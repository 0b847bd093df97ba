//! What the driver does when the loop reports an event.

use super::conn::{Conn, Stage};
use super::machine::{Attempt, Driver, micros};
use super::states::RunState;
use crate::load::measure::Problem;
use crate::load::plan::{Churn, Mode};
use lariat::{ClientId, Clients, CloseReason, Excess, Handler, Message, Rates};
use std::cmp::Reverse;

/// After a failure, a connection that is to be opened again waits for so long.
const RETRY: u64 = 200_000_000;

/// The bytes per second of a slow reader.
const SLOW: u32 = 1 << 10;

/// Returns the nanoseconds since a time that was noted in microseconds, less than an hour ago.
fn nanos_since(since: u32, now: u64) -> u64 {
    u64::from(micros(now).wrapping_sub(since)) * 1_000
}

impl Handler for Driver {
    type Data = Conn;

    fn on_connect(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let now = self.clock.nanos();
        let Some(conn) = clients.data_mut(id) else { return };
        self.measured.connect.record(nanos_since(conn.since, now));
        (conn.since, conn.stage) = (micros(now), Stage::Handshaking);
    }

    fn on_secured(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let now = self.clock.nanos();
        let Some(conn) = clients.data_mut(id) else { return };
        self.measured.tls.record(nanos_since(conn.since, now));
        conn.since = micros(now);
    }

    fn on_open(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let now = self.clock.nanos();
        let publications = self.publications.count();
        let Some(conn) = clients.data_mut(id) else { return };
        self.measured.handshake.record(nanos_since(conn.since, now));
        let number = conn.number;
        (conn.stage, conn.received) = (Stage::Open { place: self.open.len() as u32 }, publications);
        self.underway -= 1;
        let connections = &mut self.measured.connections;
        connections.opened += 1;
        let is_again = u64::from(matches!(self.state, RunState::Holding | RunState::Awaiting));
        match self.plan.mode {
            Mode::Follow => connections.reconnected += is_again,
            _ if self.storms.is_returning(number) => connections.reconnected += is_again,
            _ => connections.churned += is_again,
        }
        self.storms.returned(number, now);
        if self.plan.is_slow(number) {
            let mut rates = Rates::default();
            (rates.bytes_per_second, rates.excess) = (Some(SLOW), Excess::Delay);
            clients.set_rates(id, rates);
        }
        let is_late = self.state == RunState::Closing;
        if is_late || self.state == RunState::Holding && self.plan.churn == Some(Churn::Max) {
            return self.churn(clients, id);
        }
        self.open.push(id);
        connections.most = connections.most.max(self.open.len() as u64);
        let may_walk = matches!(self.state, RunState::Opening | RunState::Opened | RunState::Holding);
        if self.plan.mode == Mode::Scenario && may_walk {
            self.begin_walk(clients, id, now);
        } else if self.state == RunState::Holding {
            self.send_first(clients, id, now);
        }
    }

    #[inline]
    fn on_message(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        let messages = &mut self.measured.messages;
        messages.received += 1;
        messages.bytes_received += message.as_bytes().len() as u64;
        match self.plan.mode {
            Mode::Echo => self.echoed(clients, id, message),
            Mode::Subscribe => self.delivered(clients, id, message),
            Mode::Follow => self.followed(clients, id, message),
            Mode::Scenario => self.walk_on(clients, id, message),
            Mode::Hold | Mode::Send => {}
        }
    }

    fn on_pong(&mut self, clients: &mut Clients<Conn>, id: ClientId, payload: &[u8]) {
        if self.plan.mode == Mode::Scenario {
            self.walk_on_pong(clients, id, payload);
        }
    }

    fn on_close(&mut self, clients: &mut Clients<Conn>, id: ClientId, reason: &CloseReason) {
        let Some(conn) = clients.data(id) else { return };
        let (number, stage) = (conn.number, conn.stage);
        let mut is_expected = false;
        match stage {
            Stage::Connecting | Stage::Handshaking => {
                self.underway -= 1;
                // A run that is cut short does not wait for handshakes.
                if self.state != RunState::Closing && !clients.is_shutting_down() {
                    self.measured.connections.failed += 1;
                    let is_connected = stage == Stage::Handshaking;
                    self.measured.ended(Problem::of_opening(reason, is_connected), reason);
                }
            }
            Stage::Open { .. } | Stage::Churning | Stage::Cut => {
                let is_cut = stage == Stage::Cut;
                is_expected = self.end_walk(clients, id, reason, is_cut);
                let is_closing = self.state == RunState::Closing || stage == Stage::Churning || is_cut || is_expected;
                if let Some(problem) = Problem::of_end(reason, is_closing).filter(|_| !is_cut) {
                    self.measured.ended(problem, reason);
                    self.measured.connections.lost += u64::from(!is_closing);
                }
                if let Stage::Open { place } = stage {
                    self.remove_open(clients, place);
                }
                if is_cut {
                    let lost = clients.data_mut(id).map_or(0, |conn| self.pending.clear(&mut conn.pending));
                    self.storms.lost(number, lost);
                } else if self.state != RunState::Closing {
                    self.ended_open(clients, id);
                }
            }
        }
        // The scenario of a connection that ends as it expects is over.
        self.opens_again(number, if is_expected { Stage::Churning } else { stage });
    }
}

impl Driver {
    /// Opens a connection again that has ended, if the plan says so.
    pub(super) fn opens_again(&mut self, number: u32, stage: Stage) {
        let was_open = matches!(stage, Stage::Open { .. } | Stage::Cut);
        let is_returning = self.plan.reconnect.is_some() && (was_open || self.storms.is_returning(number));
        let is_again = match self.state {
            RunState::Holding => self.plan.churn.is_some() || self.plan.mode == Mode::Follow || is_returning,
            // It is opened again once the others are open.
            RunState::Opening | RunState::Opened => (self.plan.mode == Mode::Follow || is_returning) && was_open,
            _ => false,
        };
        if !is_again {
            return;
        }
        let now = self.clock.nanos();
        if is_returning {
            self.come_back(number, now, !was_open);
        } else {
            let wait = if stage == Stage::Churning { 0 } else { RETRY };
            self.again.push(Reverse(Attempt { number, due: now + wait }));
        }
    }
}
