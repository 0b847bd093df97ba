//! Counting, and the snapshot of all counters.

use super::clients::Clients;
use crate::protocol::{Message, Position, State};
use crate::server::data::ClientData;
#[cfg(feature = "handover")]
use crate::server::observe::Handovers;
use crate::server::observe::{Connections, Stats};
use std::time::Duration;

impl<D: ClientData> Clients<D> {
    /// Counts a received message.
    #[inline]
    pub(crate) const fn count_received(&mut self, message: Message<'_>) {
        self.table.shared_mut().counters.received.add(message.opcode(), message.as_bytes().len());
    }

    /// Counts a piece of a received message. The message counts when it ends.
    pub(crate) const fn count_piece(&mut self, piece: Message<'_>, position: Position) {
        self.table.shared_mut().counters.received.add_piece(piece.opcode(), piece.as_bytes().len(), position.ends());
    }

    /// Returns what the server has done so far, and what it holds now.
    pub fn stats(&self) -> Stats {
        let (counters, counts) = (self.table.counters(), &self.table.shared().counters);
        Stats {
            connections: Connections {
                handshaking: counts.in_state(State::Handshaking),
                deciding: counts.in_state(State::Deciding),
                open: counts.in_state(State::Open),
                closing: counts.in_state(State::Closing),
                draining: counts.in_state(State::Draining),
                flushing: counts.in_state(State::Flushing),
                responding: counts.in_state(State::Responding),
            },
            accepted: counters.accepted,
            connected: counters.connected,
            opened: counters.opened,
            refused: counters.refused.iter().copied().collect(),
            cut_off: counters.cut_off,
            closed: counters.closed.iter().copied().collect(),
            received: counts.received(),
            sent: counts.sent(),
            bytes_read: counters.bytes_read,
            bytes_written: counters.bytes_written,
            reads: counters.reads,
            writes: counters.writes,
            buffered: self.table.shared().held(),
            memory_budget: self.memory_budget,
            budget_exhaustions: self.pressure.exhaustions,
            pauses: self.pressure.pauses,
            evictions: self.pressure.evictions,
            dropped: counters.dropped,
            conflated: counters.conflated,
            throttled: counters.throttled,
            accept_errors: counters.accept_errors,
            turned_away: counters.turned_away,
            turn_micros: counters.turn_micros,
            turn_events: counters.turn_events,
            waited: Duration::from_nanos(counters.waited),
            #[cfg(feature = "handover")]
            handovers: Handovers {
                count: counters.handovers,
                failures: counters.handover_failures,
                moved: counters.handover_moved,
                left: counters.handover_left,
                frozen: Duration::from_micros(counters.handover_micros),
            },
            #[cfg(feature = "tls")]
            tls_sessions: self.table.sessions().len(),
            #[cfg(feature = "tls")]
            tls_handshakes: counters.tls_handshakes.iter().copied().collect(),
        }
    }

    /// Returns the duration of the slowest turn since the last call, without its wait.
    pub fn take_slowest_turn(&mut self) -> Duration {
        Duration::from_micros(std::mem::take(&mut self.table.counters_mut().slowest))
    }
}
