//! The deadlines of a connection, and what happens when they come.

use super::error::{CloseReason, Timeout};
use super::shared::Shared;
use super::{Connection, State};
use crate::protocol::limits::Limits;
use crate::protocol::opening::{Rejection, Ticket};
use crate::protocol::time::Tick;
use crate::protocol::wire::{CloseCode, Opcode, Role};
use std::time::Duration;

impl<X: Default> Connection<X> {
    /// Returns the next time at which [`handle_timeout`](Self::handle_timeout) has something to do.
    /// Each byte can move it further away, so a driver may ask again only when the time that it
    /// knows has come.
    pub fn deadline(&self, limits: &Limits, now: Tick) -> Option<Tick> {
        match self.state() {
            State::Handshaking => Some(self.since.after(self.patience(limits))),
            State::Deciding => Some(self.since.after(limits.handshake_timeout)),
            State::Responding if self.is_streaming() => self.write_deadline(limits),
            State::Responding => Some(self.since.after(limits.close_timeout)),
            State::Closing | State::Draining | State::Flushing => Some(self.since.after(limits.close_timeout)),
            State::Closed => None,
            State::Open => {
                let [ping, idle] = [self.ping_deadline(limits, now), self.idle_deadline(limits)];
                let [message, write] = [self.message_deadline(limits), self.write_deadline(limits)];
                let lifetime = self.lifetime_deadline(limits);
                [ping, idle, lifetime, message, write].into_iter().flatten().reduce(Tick::earlier)
            }
        }
    }

    /// Returns how long the connection waits for a request.
    fn patience(&self, limits: &Limits) -> Duration {
        match &limits.http {
            Some(http) if self.waits_for_another() => http.keep_alive,
            Some(_) | None => limits.handshake_timeout,
        }
    }

    /// Whether the connection has answered a request, and no other one has begun.
    fn waits_for_another(&self) -> bool {
        self.requests() > 0 && self.inbox.is_none()
    }

    /// Whether the connection is open, nothing is incomplete, and the peer takes what is sent. No
    /// deadline can then come before the one that was known when this was last true.
    #[inline]
    pub fn is_flowing(&self) -> bool {
        let is_stalled = self.outbox.as_ref().is_some_and(|outbox| outbox.stalled.is_some());
        self.state() == State::Open && self.inbox.is_none() && !is_stalled
    }

    /// Returns when the next ping is due: once at each whole interval of the peer's silence; `now`
    /// if it is overdue.
    fn ping_deadline(&self, limits: &Limits, now: Tick) -> Option<Tick> {
        let interval = limits.ping_interval?;
        if now.since(self.since) < interval {
            return Some(self.since.after(interval));
        }
        let (intervals, next) = self.silence(interval, now);
        Some(if intervals == self.pinged { now.after(next) } else { now })
    }

    /// Returns the number of whole intervals that the peer has been silent, modulo 256, and the
    /// time until the next one ends.
    fn silence(&self, interval: Duration, now: Tick) -> (u8, Duration) {
        let (silent, interval) = (now.since(self.since).as_nanos(), interval.as_nanos().max(1));
        ((silent / interval) as u8, Duration::from_nanos((interval - silent % interval) as u64))
    }

    fn idle_deadline(&self, limits: &Limits) -> Option<Tick> {
        let timeout = limits.idle_timeout.filter(|_| !self.is_paused())?;
        Some(self.since.after(timeout))
    }

    /// Sends the last ping that was due before the idle timeout, if the driver called too late for
    /// it. Returns whether it did. The peer then has as much time to answer as it would have had.
    fn ping_late(&mut self, shared: &mut Shared, now: Tick) -> bool {
        let (Some(interval), Some(timeout)) = (shared.limits.ping_interval, shared.limits.idle_timeout) else {
            return false;
        };
        // No ping is due at the end of the timeout or later.
        let pings = timeout.as_nanos().saturating_sub(1) / interval.as_nanos().max(1);
        if self.pinged == pings as u8 {
            return false;
        }
        self.pinged = pings as u8;
        self.since = now.before(Duration::from_nanos((pings * interval.as_nanos()) as u64));
        self.queue(shared, Opcode::Ping, b"");
        true
    }

    fn message_deadline(&self, limits: &Limits) -> Option<Tick> {
        let inbox = self.inbox.as_ref().filter(|inbox| inbox.has_partial_message() && !self.is_paused())?;
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

    /// Returns whether [`handle_timeout`](Self::handle_timeout) would end the connection at `now`
    /// because the peer has not done something. The driver should read and write once more first.
    pub fn is_overdue(&self, limits: &Limits, now: Tick) -> bool {
        let is_due = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline.is_due(now));
        match self.state() {
            State::Open => {
                is_due(self.write_deadline(limits))
                    || is_due(self.message_deadline(limits))
                    || is_due(self.idle_deadline(limits))
            }
            State::Handshaking | State::Closing | State::Draining | State::Flushing | State::Responding => {
                is_due(self.deadline(limits, now))
            }
            // The application has not answered.
            State::Deciding | State::Closed => false,
        }
    }

    /// Restarts the timeouts for silence and for an unfinished message: the driver has not read, so
    /// they say nothing about the peer.
    pub fn excuse(&mut self, now: Tick) {
        if self.state() == State::Open {
            self.heard(now);
            if let Some(inbox) = &mut self.inbox {
                inbox.since = now;
            }
        }
    }

    /// Gives a message that has begun to arrive this much more time: the driver does not read for
    /// so long.
    pub fn excuse_message(&mut self, pause: Duration) {
        if let Some(inbox) = &mut self.inbox {
            inbox.since = inbox.since.after(pause);
        }
    }

    /// Does what is due at `now`: sends a ping, or ends the connection. Does nothing if nothing is
    /// due.
    pub fn handle_timeout(&mut self, shared: &mut Shared, now: Tick) {
        let limits = &shared.limits;
        let is_due = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline.is_due(now));
        match self.state() {
            State::Open => {
                if is_due(self.write_deadline(limits)) {
                    self.end(shared, CloseReason::Timeout(Timeout::Write));
                } else if is_due(self.message_deadline(limits)) {
                    let reason = CloseReason::Timeout(Timeout::Message);
                    self.close_and_drain(shared, now, CloseCode::Policy, "message not completed in time", reason);
                } else if is_due(self.idle_deadline(limits)) {
                    if self.ping_late(shared, now) {
                        return;
                    }
                    let reason = CloseReason::Timeout(Timeout::Idle);
                    self.close_and_drain(shared, now, CloseCode::Away, "silent for too long", reason);
                } else if is_due(self.lifetime_deadline(limits)) {
                    self.close_and_drain(
                        shared,
                        now,
                        CloseCode::Away,
                        "maximum lifetime reached",
                        CloseReason::Lifetime,
                    );
                } else if let Some(interval) = limits.ping_interval.filter(|_| is_due(self.ping_deadline(limits, now)))
                {
                    self.pinged = self.silence(interval, now).0;
                    self.queue(shared, Opcode::Ping, b"");
                }
            }
            _ if !is_due(self.deadline(limits, now)) => {}
            State::Handshaking if self.role() == Role::Server && self.inbox.is_some() => {
                self.reject(shared, now, &Ticket::unreadable(), Rejection::Timeout);
            }
            State::Deciding => {
                let ticket = self.take_ticket().unwrap_or(Ticket::unreadable());
                self.reject(shared, now, &ticket, Rejection::Unavailable);
            }
            State::Handshaking if self.waits_for_another() => {
                self.drain(shared, now, CloseReason::Timeout(Timeout::Idle));
            }
            State::Handshaking => self.end(shared, CloseReason::Timeout(Timeout::Handshake)),
            State::Responding => self.end(shared, CloseReason::Timeout(Timeout::Write)),
            State::Closing => self.end(shared, CloseReason::Timeout(Timeout::Close)),
            State::Draining | State::Flushing => self.end(shared, CloseReason::Timeout(Timeout::Close)),
            State::Closed => {}
        }
    }
}
