//! From phase to phase: what is due while connections are opened and held, and what ends it?

use super::super::latency::Latency;
use super::super::pacer::Pacer;
use super::super::plan::{Churn, Mode, Opening, Pace};
use super::super::problems::Problem;
use super::super::report::Step;
use super::super::search::Search;
use super::{Attempt, Conn, Driver, Ended, Phase, SHARE, micros, nanos};
use lariat::{Clients, CloseCode, Drain, OpeningError};
use rand::RngExt;

impl Driver {
    pub(super) fn open_due(&mut self, clients: &mut Clients<Conn>, now: u64) -> Result<(), OpeningError> {
        for _ in 0..SHARE {
            if self.begun == self.plan.connections {
                break;
            }
            let due = match (self.plan.opening, &mut self.opening_pacer) {
                (Opening::AtOnce(most), _) if self.underway < most => now,
                (Opening::Rate(_), Some(pacer)) => match pacer.take(now) {
                    Some(due) => due,
                    None => break,
                },
                _ => break,
            };
            let attempt = Attempt { number: self.plan.first_number + self.begun, due };
            self.begun += 1;
            self.begin(clients, attempt)?;
        }
        if self.begun == self.plan.connections && self.underway == 0 {
            self.tally.connections.opening_s = now as f64 / 1e9;
            self.phase = Phase::Opened;
            self.phase_ends = now;
            if self.open.is_empty() && self.plan.churn.is_none() {
                self.ended = Ended::NoneOpened;
                self.stop_sending(now);
                self.phase = Phase::Held;
            }
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, clients: &mut Clients<Conn>, attempt: Attempt) -> Result<(), OpeningError> {
        let routes = &self.plan.routes;
        let route = &routes[attempt.number as usize % routes.len()];
        let id = clients.connect(&route.url, &route.options)?;
        if let Some(conn) = clients.data_mut(id) {
            (conn.number, conn.since) = (attempt.number, micros(attempt.due));
        }
        self.underway += 1;
        self.tally.connections.begun += 1;
        Ok(())
    }

    /// All processes have opened what they could: on.
    pub(in super::super) fn hold(&mut self, clients: &mut Clients<Conn>) {
        let now = self.clock.nanos();
        self.phase = Phase::Holding;
        self.hold_began = now;
        self.phase_ends = now + nanos(self.plan.hold);
        if let Some(Churn::Rate(rate)) = self.plan.churn {
            self.churn_pacer = Some(Pacer::new(now, rate));
        }
        if self.plan.churn == Some(Churn::Max) {
            for id in std::mem::take(&mut self.open) {
                self.churn(clients, id);
            }
        }
        if self.plan.mode == Mode::Subscribe {
            let number = |id| clients.data(id).map_or(0, |conn| conn.number);
            self.publisher = self.open.first().map(|id| (*id, number(*id)));
        }
        match self.plan.pace {
            _ if self.plan.mode == Mode::Hold => {}
            Pace::Rate(rate) => {
                if self.plan.until.is_some() {
                    self.search = Some(Search::new(rate));
                }
                self.start_pace(now, rate);
            }
            Pace::Depth(_) if self.plan.mode == Mode::Subscribe => self.publish_burst(clients, now),
            Pace::Depth(_) => {
                for place in 0..self.open.len() {
                    self.send_first(clients, self.open[place], now);
                }
            }
        }
    }

    /// Messages are due at this rate from now on.
    pub(super) fn start_pace(&mut self, now: u64, rate: f64) {
        self.pacer = Some(Pacer::new(now, rate));
        (self.first_answer, self.in_time_until) = (None, u64::MAX);
        if self.search.is_some() {
            self.tally.step = Some(Latency::new());
            self.hold_began = now;
            self.phase_ends = now + nanos(self.plan.hold);
        }
    }

    pub(super) fn hold_due(&mut self, clients: &mut Clients<Conn>, now: u64) -> Result<(), OpeningError> {
        while self.again.front().is_some_and(|attempt| attempt.due <= now) {
            if let Some(attempt) = self.again.pop_front() {
                self.begin(clients, attempt)?;
            }
        }
        while let Some(pacer) = self.churn_pacer.as_mut().filter(|_| !self.open.is_empty()) {
            if pacer.take(now).is_none() {
                break;
            }
            let place = self.random.random_range(0..self.open.len());
            let id = self.open[place];
            self.leave(clients, id);
            self.churn(clients, id);
        }
        self.send_due(clients, now);
        if self.plan.churn.is_none() && self.open.is_empty() {
            self.ended = Ended::AllLost;
            self.await_answers(now);
        } else if now >= self.phase_ends {
            self.end_hold(now);
        }
        Ok(())
    }

    /// Sends what is due at a rate.
    pub(super) fn send_due(&mut self, clients: &mut Clients<Conn>, now: u64) {
        for _ in 0..SHARE {
            let Some(intended) = self.pacer.as_mut().and_then(|pacer| pacer.take(now)) else { break };
            self.tally.delay.record(now - intended);
            if self.plan.mode == Mode::Subscribe {
                self.publish(clients, intended);
            } else if !self.open.is_empty() {
                self.cursor = (self.cursor + 1) % self.open.len();
                self.send(clients, self.open[self.cursor], intended);
            }
        }
    }

    /// The hold is over, or a step of the search is.
    pub(super) fn end_hold(&mut self, now: u64) {
        if self.search.is_none() {
            return self.await_answers(now);
        }
        if self.pacer.take().is_some() {
            self.end_sending(now);
        }
        // What is on the way belongs to this step.
        let (underway, limit) = (self.awaited(), self.sending_ended.unwrap_or(now) + nanos(self.plan.timeout));
        if underway > 0 && now < limit {
            self.phase_ends = (now + 1_000_000).min(limit);
        } else {
            self.judge_step(now, underway);
        }
    }

    pub(super) fn judge_step(&mut self, now: u64, unanswered: usize) {
        let (Some(search), Some(bound), Some(latency)) = (&mut self.search, self.plan.until, self.tally.step.take())
        else {
            return self.await_answers(now);
        };
        let rate = search.rate();
        let seconds = self.sending_ended.unwrap_or(now).saturating_sub(self.hold_began) as f64 / 1e9;
        let reached = latency.len() as f64 / seconds.max(1e-9);
        let step = Step {
            rate,
            reached,
            latency_us: bound.of(&latency) as f64 / 1e3,
            holds: unanswered == 0 && bound.holds(&latency) && reached > rate * 0.95,
        };
        if search.judge(step) && unanswered == 0 {
            let rate = search.rate();
            self.sending_ended = None;
            self.start_pace(now, rate);
        } else {
            self.await_answers(now);
        }
    }

    /// How much is still to come.
    pub(super) fn awaited(&self) -> usize {
        self.pending.len() + self.publications.underway() + self.underway as usize
    }

    /// Sending has ended, for this step of a search or for good.
    pub(super) fn end_sending(&mut self, now: u64) {
        if self.hold_began > 0 && self.sending_ended.is_none() {
            self.sending_ended = Some(now);
            self.tally.messages.sending_s += now.saturating_sub(self.hold_began) as f64 / 1e9;
            let took = self.first_answer.map_or(0, |first| first.saturating_sub(self.hold_began));
            self.in_time_until = now + took.min(nanos(self.plan.hold) / 10);
        }
    }

    pub(super) fn stop_sending(&mut self, now: u64) {
        self.end_sending(now);
        (self.pacer, self.churn_pacer) = (None, None);
        self.again.clear();
        let connections = &mut self.tally.connections;
        connections.at_end = self.open.len() as u64;
        let (seconds, opening) = (self.tally.messages.sending_s.max(1e-9), connections.opening_s.max(1e-9));
        connections.opened_per_second = match self.plan.churn {
            Some(_) => connections.churned as f64 / seconds,
            None => connections.opened as f64 / opening,
        };
    }

    pub(super) fn await_answers(&mut self, now: u64) {
        self.stop_sending(now);
        self.phase = Phase::Awaiting;
        self.phase_ends = now + nanos(self.plan.timeout);
    }

    /// Closes all that are open.
    pub(in super::super) fn close(&mut self, clients: &mut Clients<Conn>) {
        let unanswered = self.pending.len() as u64 + self.publications.missing();
        let messages = &mut self.tally.messages;
        messages.unanswered += unanswered;
        let counted = if self.plan.mode == Mode::Send { messages.sent } else { self.in_time };
        messages.per_second = counted as f64 / messages.sending_s.max(1e-9);
        // Whoever interrupts does not wait for answers.
        if self.ended != Ended::Interrupted {
            self.tally.problem(Problem::Unanswered, unanswered);
        }
        self.phase = Phase::Closing;
        self.phase_ends = u64::MAX;
        self.next_second = u64::MAX;
        self.tally.end_second(self.clock.nanos(), self.open.len());
        let deadline = self.plan.timeout;
        clients.shutdown(Drain { code: CloseCode::Normal, deadline, ..Drain::default() });
    }
}
