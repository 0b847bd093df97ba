//! When does a conversation have to do something, and what?

use super::super::error::{CloseReason, Rejection, Timeout};
use super::super::frame::Opcode;
use super::super::limits::Limits;
use super::super::request::Ticket;
use super::super::shared::Shared;
use super::super::time::Tick;
use super::{Connection, Role, State};
use std::time::Duration;
use tungstenite::protocol::frame::coding::CloseCode;

impl<X: Default> Connection<X> {
    /// The next point in time at which [`handle_timeout`](Self::handle_timeout) has something to do. It can
    /// move further away with each byte, so a driver may look lazily: when the time that it knew has
    /// come.
    pub fn deadline(&self, limits: &Limits, now: Tick) -> Option<Tick> {
        match self.state {
            State::Handshaking | State::Deciding => Some(self.since.after(limits.handshake_timeout)),
            State::Closing | State::Draining | State::Flushing => Some(self.since.after(limits.close_timeout)),
            State::Closed => None,
            State::Open => {
                let ping = limits.ping_interval.map(|interval| self.next_ping(interval, now));
                let [idle, lifetime] = [self.idle_deadline(limits), self.lifetime_deadline(limits)];
                let [message, write] = [self.message_deadline(limits), self.write_deadline(limits)];
                [ping, idle, lifetime, message, write].into_iter().flatten().reduce(Tick::earlier)
            }
        }
    }

    /// The next whole multiple of `interval` in the peer's silence.
    fn next_ping(&self, interval: Duration, now: Tick) -> Tick {
        let silent = now.since(self.since);
        if silent < interval {
            return self.since.after(interval);
        }
        let intervals = silent.as_millis() / interval.as_millis().max(1) + 1;
        self.since.after(interval.saturating_mul(u32::try_from(intervals).unwrap_or(u32::MAX)))
    }

    fn idle_deadline(&self, limits: &Limits) -> Option<Tick> {
        limits.idle_timeout.map(|timeout| self.since.after(timeout))
    }

    fn message_deadline(&self, limits: &Limits) -> Option<Tick> {
        let inbox = self.inbox.as_ref().filter(|inbox| inbox.has_partial_message())?;
        limits.message_timeout.map(|timeout| inbox.since.after(timeout))
    }

    fn lifetime_deadline(&self, limits: &Limits) -> Option<Tick> {
        let lifetime = limits.max_lifetime?;
        Some(self.rare.as_ref()?.opened?.after(lifetime))
    }

    fn write_deadline(&self, limits: &Limits) -> Option<Tick> {
        let stalled = self.outbox.as_ref()?.stalled?;
        limits.write_timeout.map(|timeout| stalled.after(timeout))
    }

    /// Does what is due at `now`: a ping, or the end that a deadline brings. Does nothing if nothing is due.
    pub fn handle_timeout(&mut self, shared: &mut Shared, now: Tick) {
        let limits = &shared.limits;
        let is_due = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline.is_due(now));
        match self.state {
            State::Open => {
                if is_due(self.write_deadline(limits)) {
                    self.end(shared, CloseReason::Timeout(Timeout::Write));
                } else if is_due(self.message_deadline(limits)) {
                    let reason = CloseReason::Timeout(Timeout::Message);
                    self.close_and_drain(shared, now, CloseCode::Policy, "message did not end in time", reason);
                } else if is_due(self.idle_deadline(limits)) {
                    let reason = CloseReason::Timeout(Timeout::Idle);
                    self.close_and_drain(shared, now, CloseCode::Away, "silent for too long", reason);
                } else if is_due(self.lifetime_deadline(limits)) {
                    self.close_and_drain(shared, now, CloseCode::Away, "lifetime is over", CloseReason::Lifetime);
                } else if limits.ping_interval.is_some_and(|interval| now.since(self.since) >= interval) {
                    self.queue(shared, Opcode::Ping, b"");
                }
            }
            _ if !is_due(self.deadline(limits, now)) => {}
            State::Handshaking if self.role == Role::Server && self.inbox.is_some() => {
                self.reject(shared, now, &Ticket::unreadable(), Rejection::Timeout);
            }
            State::Deciding => {
                let ticket = self.take_ticket().unwrap_or(Ticket::unreadable());
                self.reject(shared, now, &ticket, Rejection::Unavailable);
            }
            State::Handshaking => self.end(shared, CloseReason::Timeout(Timeout::Handshake)),
            State::Closing => self.end(shared, CloseReason::Timeout(Timeout::Close)),
            State::Draining | State::Flushing => self.end(shared, CloseReason::Timeout(Timeout::Close)),
            State::Closed => {}
        }
    }
}
