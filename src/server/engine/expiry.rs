//! Deadlines and timers that are due.

use super::engine::Engine;
use crate::protocol::CloseReason;
use crate::server::app::Handler;
use crate::server::table::{At, Expired};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The most steps of the timing wheel in one turn, so that a million deadlines at once do not stop
/// the loop.
const EXPIRIES_PER_TURN: usize = 2_048;

impl<H: Handler> Engine<H> {
    /// Handles what is due.
    pub(crate) fn expire(&mut self) {
        for index in self.clients.table.take_looked_at() {
            self.expire_client(index, true);
        }
        for _ in 0..EXPIRIES_PER_TURN {
            match self.clients.table.next_expired() {
                None => break,
                Some(Expired::Nothing) => {}
                Some(Expired::Deadline(index)) => {
                    self.clients.table.counters_mut().deadlines += 1;
                    self.expire_client(index, false);
                }
                Some(Expired::Timer { timer, token, route }) => {
                    let (handler, clients) = (&mut self.handler, &mut self.clients);
                    clients.table.counters_mut().timers += 1;
                    clients.route = route;
                    if catch_unwind(AssertUnwindSafe(|| handler.on_timer(clients, timer, token))).is_err() {
                        log::error!("the handler panicked in on_timer");
                    }
                }
            }
        }
        self.close_due();
        self.clients.relieve();
        self.clients.review_pressure();
    }

    /// Closes the clients that a shutdown has reached.
    fn close_due(&mut self) {
        let now = self.clients.table.now();
        let Some(shutdown) = &mut self.clients.shutdown else { return };
        let due = shutdown.take_due(now);
        let (code, reason) = (shutdown.drain.code, shutdown.drain.reason.clone());
        for id in due {
            // A client that is closing already, or has disconnected, needs no Close frame.
            let _ = self.clients.close(id, code, &reason);
        }
    }

    /// Handles the deadline of a client's connection or gate. With `is_last`, the last look at the
    /// client is over.
    fn expire_client(&mut self, index: usize, is_last: bool) {
        let At { client, now, .. } = self.clients.table.at(index);
        if client.is_closed_for_a_time() || client.is_left_unread() {
            client.connection.excuse(now);
        }
        if client.is_closed_for_a_time() {
            self.clients.end_waits(index);
        }
        let At { client, shared, now, .. } = self.clients.table.at(index);
        if !is_last && client.connection.is_overdue(&shared.limits, now) {
            return self.clients.table.look_once_more(index);
        }
        let connecting_to = self.clients.connecting_to(index);
        let At { client, shared, now, .. } = self.clients.table.at(index);
        match connecting_to {
            Some(address) if client.connection.deadline(&shared.limits, now).is_some_and(|due| due.is_due(now)) => {
                client.connection.end(shared, CloseReason::Unreachable { address, kind: io::ErrorKind::TimedOut });
            }
            _ => client.connection.handle_timeout(shared, now),
        }
        self.clients.table.settle(index);
    }
}
