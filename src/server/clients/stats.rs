//! What has the server done so far?

use super::clients::Clients;
use crate::protocol::{Message, Position, Run, State};
use crate::server::observe::{Connections, Stats};
use std::time::Duration;

impl<D> Clients<D> {
    /// A message has come.
    #[inline]
    pub(crate) const fn count_received(&mut self, message: Message<'_>) {
        self.shared.counters.received.add(message.opcode(), message.as_bytes().len());
    }

    /// So many messages of a run have come.
    pub(crate) const fn count_run(&mut self, run: &Run<'_>, messages: usize, bytes: usize) {
        self.shared.counters.received.add_many(run.opcode(), messages, bytes);
    }

    /// A piece of a message has come; the message counts when it ends.
    pub(crate) const fn count_piece(&mut self, piece: Message<'_>, position: Position) {
        self.shared.counters.received.add_piece(piece.opcode(), piece.as_bytes().len(), position.ends());
    }

    /// What the server has done so far, and what it holds now.
    pub fn stats(&self) -> Stats {
        let (tally, counts) = (&self.tally, &self.shared.counters);
        Stats {
            connections: Connections {
                handshaking: counts.in_state(State::Handshaking),
                deciding: counts.in_state(State::Deciding),
                open: counts.in_state(State::Open),
                closing: counts.in_state(State::Closing),
                draining: counts.in_state(State::Draining),
                flushing: counts.in_state(State::Flushing),
            },
            accepted: tally.accepted,
            connected: tally.connected,
            opened: tally.opened,
            refused: tally.refused.clone(),
            closed: tally.closed.clone(),
            received: counts.received(),
            sent: counts.sent(),
            bytes_read: tally.bytes_read,
            bytes_written: tally.bytes_written,
            reads: tally.reads,
            writes: tally.writes,
            buffered: self.shared.held(),
            memory_budget: self.memory_budget,
            budget_exhaustions: self.pressure.exhaustions,
            pauses: self.pressure.pauses,
            evictions: self.pressure.evictions,
            dropped: tally.dropped,
            conflated: tally.conflated,
            throttled: tally.throttled,
            accept_errors: tally.accept_errors,
            turned_away: tally.turned_away,
            turn_micros: tally.turn_micros,
            turn_events: tally.turn_events,
            waited: Duration::from_nanos(tally.waited),
        }
    }

    /// The slowest turn since this was asked last, without the time that it waited.
    pub fn take_slowest_turn(&mut self) -> Duration {
        Duration::from_micros(std::mem::take(&mut self.tally.slowest))
    }
}
