//! What is due while connections are held: messages, churn, steps of a search.

use super::conn::Conn;
use super::machine::{Driver, NEVER, SHARE, nanos};
use super::pacer::Pacer;
use super::search::Search;
use super::states::{Ended, RunState, Sending};
use crate::load::measure::{Latency, Step};
use crate::load::plan::{Churn, Mode, Pace};
use lariat::{Clients, OpeningError};
use rand::RngExt;
use std::cmp::Reverse;

impl Driver {
    /// Begins to hold and to send. The run calls it once all processes have opened what they could.
    pub(crate) fn hold(&mut self, clients: &mut Clients<Conn>) {
        let now = self.clock.nanos();
        self.state = RunState::Holding;
        self.held_since = now;
        self.bytes_before = self.bytes(clients);
        if self.plan.mode != Mode::Scenario || self.sending == Sending::NotBegun {
            self.sending = Sending::Since(now);
        }
        self.state_ends = now.saturating_add(nanos(self.plan.hold));
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
            _ if matches!(self.plan.mode, Mode::Hold | Mode::Follow | Mode::Scenario) => {}
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

    /// Sends messages at this rate from now on. In a search, a step begins.
    fn start_pace(&mut self, now: u64, rate: f64) {
        self.pacer = Some(Pacer::new(now, rate));
        (self.first_answer, self.in_time_until) = (None, NEVER);
        if self.search.is_some() {
            self.measured.step = Some(Latency::new());
            self.sending = Sending::Since(now);
            self.state_ends = now + nanos(self.plan.hold);
        }
    }

    /// Does what is due while connections are held.
    pub(super) fn hold_due(&mut self, clients: &mut Clients<Conn>, now: u64) -> Result<(), OpeningError> {
        self.storm_due(clients, now);
        for _ in 0..SHARE {
            let Some(Reverse(attempt)) = self.again.peek().copied().filter(|Reverse(next)| next.due <= now) else {
                break;
            };
            self.again.pop();
            self.begin(clients, attempt)?;
        }
        while let Some(pacer) = self.churn_pacer.as_mut().filter(|_| !self.open.is_empty()) {
            if pacer.take(now).is_none() {
                break;
            }
            let place = self.random.random_range(0..self.open.len());
            let id = self.open[place];
            self.remove_open(clients, place as u32);
            self.churn(clients, id);
        }
        self.send_due(clients, now);
        let opens_again = self.plan.opens_again();
        if self.plan.mode == Mode::Scenario {
            let is_over =
                self.walks.walking() == 0 && self.again.is_empty() && self.underway == 0 && self.next_storm().is_none();
            if now >= self.state_ends || is_over {
                self.await_answers(now);
            }
        } else if !opens_again && self.open.is_empty() {
            self.ended = Ended::AllLost;
            self.await_answers(now);
        } else if now >= self.state_ends {
            self.end_hold(now);
        }
        Ok(())
    }

    /// Sends the messages that are due at a rate.
    fn send_due(&mut self, clients: &mut Clients<Conn>, now: u64) {
        for _ in 0..SHARE {
            let Some(intended) = self.pacer.as_mut().and_then(|pacer| pacer.take(now)) else { break };
            self.measured.delay.record(now - intended);
            if self.plan.mode == Mode::Subscribe {
                self.publish(clients, intended);
            } else if !self.open.is_empty() {
                self.cursor = (self.cursor + 1) % self.open.len();
                self.send(clients, self.open[self.cursor], intended);
            }
        }
    }

    /// Ends the hold, or one step of a search.
    fn end_hold(&mut self, now: u64) {
        if self.search.is_none() {
            return self.await_answers(now);
        }
        if self.pacer.take().is_some() {
            self.end_sending(now);
        }
        // What is on the way belongs to this step.
        let ended = if let Sending::Ended { ended, .. } = self.sending { ended } else { now };
        let (underway, limit) = (self.awaited(), ended + nanos(self.plan.timeout));
        if underway > 0 && now < limit {
            self.state_ends = (now + 1_000_000).min(limit);
        } else {
            self.judge_step(now, underway);
        }
    }

    /// Judges one step of a search, and begins the next one or ends the search.
    fn judge_step(&mut self, now: u64, unanswered: usize) {
        let (Some(search), Some(bound), Some(latency)) = (&mut self.search, self.plan.until, self.measured.step.take())
        else {
            return self.await_answers(now);
        };
        let rate = search.rate();
        let sent_for = match self.sending {
            Sending::NotBegun => 0,
            Sending::Since(began) => now.saturating_sub(began),
            Sending::Ended { began, ended } => ended.saturating_sub(began),
        };
        let reached = latency.len() as f64 / (sent_for as f64 / 1e9).max(1e-9);
        let step = Step {
            rate,
            reached,
            latency_us: bound.of(&latency) as f64 / 1e3,
            holds: unanswered == 0 && bound.holds(&latency) && reached > rate * 0.95,
        };
        if search.judge(step) && unanswered == 0 {
            let rate = search.rate();
            self.start_pace(now, rate);
        } else {
            self.await_answers(now);
        }
    }
}
