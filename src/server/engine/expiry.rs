//! What happens when something is due?

use super::engine::Engine;
use crate::protocol::CloseReason;
use crate::server::app::Handler;
use crate::server::clients::Expired;
use crate::server::table::Flags;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many entries of the timing wheel are looked at in one turn, so that a million deadlines at
/// once do not stop the loop.
const EXPIRIES_PER_TURN: usize = 2_048;

impl<H: Handler> Engine<H> {
    /// Does what is due.
    pub(crate) fn expire(&mut self) {
        for _ in 0..EXPIRIES_PER_TURN {
            match self.clients.next_expired() {
                None => break,
                Some(Expired::Nothing) => {}
                Some(Expired::Deadline(index)) => {
                    self.clients.tally.deadlines += 1;
                    let client = &mut self.clients.slab[index];
                    if client.flags.has(Flags::WAITS) {
                        client.connection.excuse_silence(self.clients.now);
                        self.clients.end_waits(index);
                    }
                    self.handle_timeout(index);
                    self.clients.settle(index);
                }
                Some(Expired::Timer { timer, token, route }) => {
                    let (handler, clients) = (&mut self.handler, &mut self.clients);
                    clients.tally.timers += 1;
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

    /// Does what is due for a client.
    fn handle_timeout(&mut self, index: usize) {
        let (address, now) = (self.clients.connecting_to(index), self.clients.now);
        let (connection, shared) = (&mut self.clients.slab[index].connection, &mut self.clients.shared);
        if let Some(address) = address {
            if connection.deadline(&shared.limits, now).is_some_and(|deadline| deadline.is_due(now)) {
                connection.end(shared, CloseReason::Unreachable { address, kind: io::ErrorKind::TimedOut });
            }
            return;
        }
        connection.handle_timeout(shared, now);
    }

    /// While the server stops: closes those whose turn has come.
    fn close_due(&mut self) {
        let now = self.clients.now;
        let Some(shutdown) = &mut self.clients.shutdown else { return };
        let due = shutdown.take_due(now);
        let (code, reason) = (shutdown.drain.code, shutdown.drain.reason.clone());
        for id in due {
            // Whoever is closing or gone already needs no Close.
            let _ = self.clients.close(id, code, &reason);
        }
    }
}
