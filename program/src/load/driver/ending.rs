//! The end of sending, and of the run.

use super::conn::Conn;
use super::machine::{Driver, NEVER, nanos};
use super::states::{Ended, RunState, Sending};
use crate::load::measure::{Compression, Problem};
use crate::load::plan::Mode;
use lariat::{Clients, CloseCode, Drain};

impl Driver {
    /// Returns how many messages, publications and handshakes are still under way.
    pub(super) fn awaited(&self) -> usize {
        self.pending.len() + self.publications.underway() + self.underway as usize
    }

    /// Ends sending, for this step of a search or for good. Does nothing if messages are not being
    /// sent.
    pub(super) fn end_sending(&mut self, now: u64) {
        let Sending::Since(began) = self.sending else { return };
        self.sending = Sending::Ended { began, ended: now };
        self.measured.messages.sending_s += now.saturating_sub(began) as f64 / 1e9;
        let took = self.first_answer.map_or(0, |first| first.saturating_sub(began));
        self.in_time_until = now + took.min(nanos(self.plan.hold) / 10);
    }

    /// Ends sending and churning for good, and notes what had been reached.
    pub(super) fn stop_sending(&mut self, now: u64) {
        self.end_sending(now);
        self.unfinished += self.walks.stop();
        (self.pacer, self.churn_pacer) = (None, None);
        self.again.clear();
        let connections = &mut self.measured.connections;
        connections.at_end = self.open.len() as u64;
        if self.state == RunState::Opening {
            connections.opening_s = now as f64 / 1e9;
        }
        connections.opened_per_second = match self.plan.churn {
            Some(_) => per_second(connections.churned, self.measured.messages.sending_s),
            None => per_second(connections.opened - connections.reconnected, connections.opening_s),
        };
    }

    /// Ends sending, and waits for what is still under way.
    pub(super) fn await_answers(&mut self, now: u64) {
        self.stop_sending(now);
        self.state = RunState::Awaiting;
        self.state_ends = now + nanos(self.plan.timeout);
    }

    /// Notes that the loop has stopped. If no connection was open when a signal came, it stops
    /// before the next [`step`](Driver::step).
    pub(crate) fn stopped(&mut self) {
        if self.state != RunState::Closing {
            let now = self.clock.nanos();
            self.ended = Ended::Interrupted;
            self.stop_sending(now);
            self.measured.messages.unanswered += self.pending.len() as u64 + self.publications.missing();
            self.measured.problem(Problem::Missed, self.measured.messages.missed);
            self.measured.end_second(now, self.open.len());
            self.state = RunState::Closing;
        }
    }

    /// Returns how many bytes were sent on the wire and in payloads, and how many were received.
    pub(super) fn bytes(&self, clients: &Clients<Conn>) -> [u64; 4] {
        let (stats, messages) = (clients.stats(), &self.measured.messages);
        [stats.bytes_written, messages.bytes_sent, stats.bytes_read, messages.bytes_received]
    }

    /// Notes what compression has saved.
    fn compare_bytes(&mut self, clients: &Clients<Conn>) {
        if self.plan.deflate && self.held_since > 0 {
            let bytes = self.bytes(clients);
            let [sent_wire, sent_payload, received_wire, received_payload] =
                std::array::from_fn(|which| bytes[which] - self.bytes_before[which]);
            self.compression = Some(Compression { sent_payload, sent_wire, received_payload, received_wire });
        }
    }

    /// Closes all open connections.
    pub(crate) fn close(&mut self, clients: &mut Clients<Conn>) {
        self.compare_bytes(clients);
        let unanswered = self.pending.len() as u64 + self.publications.missing();
        let messages = &mut self.measured.messages;
        messages.unanswered += unanswered;
        let counted = match self.plan.mode {
            Mode::Send => messages.sent,
            Mode::Scenario => messages.right,
            _ => self.in_time,
        };
        messages.per_second = per_second(counted, messages.sending_s);
        // An interrupted run does not wait for answers.
        if self.ended != Ended::Interrupted {
            self.measured.problem(Problem::Unanswered, unanswered);
        }
        self.measured.problem(Problem::Missed, self.measured.messages.missed);
        self.state = RunState::Closing;
        self.state_ends = NEVER;
        self.next_second = NEVER;
        self.measured.end_second(self.clock.nanos(), self.open.len());
        let deadline = self.plan.timeout;
        clients.shutdown(Drain::default().code(CloseCode::Normal).deadline(deadline));
    }
}

/// Returns a rate. It is 0 if no time has passed.
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
