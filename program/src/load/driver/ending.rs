//! The end of sending, and of the run.

use super::conn::Conn;
use super::machine::{Driver, NEVER, nanos};
use super::states::{Ended, RunState, Sending};
use crate::load::measure::Problem;
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
        (self.pacer, self.churn_pacer) = (None, None);
        self.again.clear();
        let connections = &mut self.measured.connections;
        connections.at_end = self.open.len() as u64;
        let (seconds, opening) = (self.measured.messages.sending_s.max(1e-9), connections.opening_s.max(1e-9));
        connections.opened_per_second = match self.plan.churn {
            Some(_) => connections.churned as f64 / seconds,
            None => connections.opened as f64 / opening,
        };
    }

    /// Ends sending, and waits for what is still under way.
    pub(super) fn await_answers(&mut self, now: u64) {
        self.stop_sending(now);
        self.state = RunState::Awaiting;
        self.state_ends = now + nanos(self.plan.timeout);
    }

    /// Closes all open connections.
    pub(crate) fn close(&mut self, clients: &mut Clients<Conn>) {
        let unanswered = self.pending.len() as u64 + self.publications.missing();
        let messages = &mut self.measured.messages;
        messages.unanswered += unanswered;
        let counted = if self.plan.mode == Mode::Send { messages.sent } else { self.in_time };
        messages.per_second = counted as f64 / messages.sending_s.max(1e-9);
        // An interrupted run does not wait for answers.
        if self.ended != Ended::Interrupted {
            self.measured.problem(Problem::Unanswered, unanswered);
        }
        self.state = RunState::Closing;
        self.state_ends = NEVER;
        self.next_second = NEVER;
        self.measured.end_second(self.clock.nanos(), self.open.len());
        let deadline = self.plan.timeout;
        clients.shutdown(Drain { code: CloseCode::Normal, deadline, ..Drain::default() });
    }
}
