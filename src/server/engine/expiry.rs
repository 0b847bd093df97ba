//! Deadlines and timers that are due.

use super::engine::Engine;
use crate::parts::CLIENT_TIMERS;
use crate::protocol::{CloseReason, Timeout};
use crate::server::app::Handler;
use crate::server::id::{ClientId, TimerId};
use crate::server::table::{At, Expired, LastLook};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most steps of the timing wheel in one turn, so that a million deadlines at once do not stop
/// the loop.
const EXPIRIES_PER_TURN: usize = 2_048;

impl<H: Handler> Engine<H> {
    /// Handles what is due.
    pub(crate) fn expire(&mut self) {
        if let Some(first) = self.clients.table.next_expired() {
            self.expire_all(first);
        }
        self.close_due();
        self.clients.relieve();
        self.clients.review_pressure();
    }

    /// Handles the first thing that is due, and what follows, up to the limit of a turn.
    #[inline(never)]
    fn expire_all(&mut self, first: Expired) {
        let mut looked_at = std::mem::take(&mut self.looked_at);
        let (mut expired, mut steps) = (first, 1);
        loop {
            match expired {
                Expired::Nothing => {}
                Expired::Deadline(index) => {
                    self.clients.table.counters_mut().deadlines += 1;
                    if !self.expire_client(index) {
                        looked_at.push(index);
                    }
                }
                Expired::Timer { timer, token, client: Some(client), .. } if CLIENT_TIMERS.is_used() => {
                    self.call_client_timer(client, timer, token);
                }
                Expired::Timer { timer, token, route, .. } => self.call_timer(timer, token, route),
            }
            if steps == EXPIRIES_PER_TURN {
                break;
            }
            steps += 1;
            expired = match self.clients.table.next_expired() {
                Some(next) => next,
                None => break,
            };
        }
        looked_at.drain(..).for_each(|index| self.clients.table.make_due(index));
        self.looked_at = looked_at;
    }

    fn call_timer(&mut self, timer: TimerId, token: u64, route: u16) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.table.counters_mut().timers += 1;
        clients.route = route;
        if catch_unwind(AssertUnwindSafe(|| handler.on_timer(clients, timer, token))).is_err() {
            log::error!("the handler panicked in on_timer");
        }
    }

    fn call_client_timer(&mut self, client: ClientId, timer: TimerId, token: u64) {
        self.clients.table.counters_mut().timers += 1;
        if let Some(index) = self.clients.find(client) {
            self.call(index, |handler, clients, id| handler.on_client_timer(clients, id, timer, token));
        }
    }

    /// Closes the clients that a shutdown has reached.
    fn close_due(&mut self) {
        let now = self.clients.table.now();
        let Some(shutdown) = &mut self.clients.shutdown else { return };
        let due = shutdown.take_due(now);
        let (code, reason) = (shutdown.drain.code, shutdown.drain.reason.clone());
        for id in due {
            // A client that is closing already, or has disconnected, needs no Close frame.
            if self.clients.close(id, code, &reason).is_err() {
                self.clients.break_off_body(id);
            }
        }
    }

    /// Handles the deadline of a client's connection or gate. Returns `false` if the client first
    /// gets its [last look](LastLook). Then its deadline must be made due again.
    fn expire_client(&mut self, index: usize) -> bool {
        let At { client, now, .. } = self.clients.table.at(index);
        if client.is_closed_for_a_time() || client.is_left_unread() {
            client.connection.excuse(now);
        }
        if client.is_closed_for_a_time() {
            self.clients.end_waits(index);
        }
        let last_look = self.clients.table.last_look(index);
        let connecting_to = self.clients.connecting_to(index);
        // An answer cannot be sent before the TLS handshake is over.
        let is_securing = self.clients.table.sessions().is_handshaking(index);
        let At { client, shared, now, .. } = self.clients.table.at(index);
        match last_look {
            LastLook::NotBegun if client.connection.is_overdue(&shared.limits, now) => {
                self.clients.table.look_once_more(index);
                return false;
            }
            LastLook::UnderWay => return false,
            LastLook::NotBegun | LastLook::Over => {}
        }
        match connecting_to {
            Some(address) if client.connection.deadline(&shared.limits, now).is_some_and(|due| due.is_due(now)) => {
                client.connection.end(shared, CloseReason::Unreachable { address, kind: io::ErrorKind::TimedOut });
            }
            _ if is_securing && client.connection.is_overdue(&shared.limits, now) => {
                client.connection.end(shared, CloseReason::Timeout(Timeout::Handshake));
            }
            _ => client.connection.handle_timeout(shared, now),
        }
        self.report_refusal(index);
        self.clients.table.settle(index);
        true
    }
}
