//! Messages that are sent, and those that come back.

use super::conn::Conn;
use super::follower::Arrival;
use super::machine::Driver;
use super::states::{Ended, RunState};
use crate::load::measure::Problem;
use crate::load::plan::{Mode, Pace};
use lariat::{ClientId, Clients, Message};

impl Driver {
    /// Sends the messages with which a connection begins: as many as may be on the way at a time.
    pub(super) fn send_first(&mut self, clients: &mut Clients<Conn>, id: ClientId, now: u64) {
        if let (Mode::Echo, Pace::Depth(depth)) = (self.plan.mode, self.plan.pace) {
            for _ in 0..depth {
                self.send(clients, id, now);
            }
        }
    }

    /// Sends one message whose intended time is `intended`.
    #[inline]
    pub(super) fn send(&mut self, clients: &mut Clients<Conn>, id: ClientId, intended: u64) {
        let Some(conn) = clients.data_mut(id) else { return };
        let who = self.plan.who(conn.number, conn.sent, intended);
        let message = self.plan.payload.message(&mut self.buffer, &who);
        let length = message.as_bytes().len();
        // Without a rate, no more waits than is on the way.
        let is_stalled = self.pacer.is_some() && clients.buffered_amount(id) > self.stalled_from;
        if is_stalled || clients.send(id, message).is_err() {
            return self.measured.problem(Problem::Stalled, 1);
        }
        self.measured.messages.sent += 1;
        self.measured.messages.bytes_sent += length as u64;
        if let Some(conn) = clients.data_mut(id) {
            conn.sent = conn.sent.wrapping_add(1);
            if self.plan.mode == Mode::Echo {
                self.pending.push(&mut conn.pending, intended);
            }
        }
    }

    /// Publishes one message whose intended time is `intended`.
    pub(super) fn publish(&mut self, clients: &mut Clients<Conn>, intended: u64) {
        let Some((publisher, _)) = self.publisher else { return };
        let sent = self.measured.messages.sent;
        self.send(clients, publisher, intended);
        if self.measured.messages.sent > sent {
            self.measured.messages.published += 1;
            self.publications.publish(intended, self.open.len().saturating_sub(1) as u32);
        }
    }

    /// Publishes as many messages as may be on the way at a time.
    pub(super) fn publish_burst(&mut self, clients: &mut Clients<Conn>, now: u64) {
        if let Pace::Depth(depth) = self.plan.pace {
            for _ in 0..depth {
                self.publish(clients, now);
            }
        }
    }

    /// Returns the arrival time of the message that is being handled. The clock is read once for
    /// all messages of one read.
    #[inline]
    pub(super) fn arrival(&mut self, id: ClientId) -> u64 {
        match self.reading {
            Some((reading, at)) if reading == id => at,
            _ => {
                let now = self.clock.nanos();
                self.reading = Some((id, now));
                now
            }
        }
    }

    /// Counts a message that came as it was sent.
    #[inline]
    fn came_right(&mut self, now: u64) {
        self.measured.messages.right += 1;
        self.first_answer.get_or_insert(now);
        self.in_time += u64::from(now <= self.in_time_until);
    }

    /// Compares a message that came back with the one that was sent.
    #[inline]
    pub(super) fn echoed(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        let now = self.arrival(id);
        let Some(conn) = clients.data_mut(id) else { return };
        let Some(intended) = self.pending.pop(&mut conn.pending) else {
            self.measured.messages.unexpected += 1;
            return self.measured.problem(Problem::Unexpected, 1);
        };
        let who = self.plan.who(conn.number, conn.received, intended);
        conn.received = conn.received.wrapping_add(1);
        if message == self.plan.payload.message(&mut self.buffer, &who) {
            let is_slow =
                self.plan.slow_readers > 0.0 && clients.data(id).is_some_and(|conn| self.plan.is_slow(conn.number));
            self.came_right(now);
            if !is_slow {
                self.measured.trip(now.saturating_sub(intended));
            }
        } else {
            self.measured.messages.wrong += 1;
            self.measured.problem(Problem::WrongEcho, 1);
        }
        if self.state == RunState::Holding && matches!(self.plan.pace, Pace::Depth(_)) {
            self.send(clients, id, now);
        }
    }

    /// Compares a published message that a subscriber has received with the one that was sent.
    pub(super) fn delivered(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        let now = self.arrival(id);
        let Some((publisher, publisher_number)) = self.publisher else { return };
        let Some(conn) = clients.data_mut(id).filter(|_| id != publisher) else { return };
        let number = conn.received;
        let Some(delivery) = self.publications.deliver(number) else {
            self.measured.messages.unexpected += 1;
            return self.measured.problem(Problem::Unexpected, 1);
        };
        conn.received += 1;
        let who = self.plan.who(publisher_number, number, delivery.time);
        let took = now.saturating_sub(delivery.time);
        if message == self.plan.payload.message(&mut self.buffer, &who) {
            self.came_right(now);
            self.measured.trips.record(took);
        } else {
            self.measured.messages.wrong += 1;
            self.measured.problem(Problem::WrongEcho, 1);
        }
        if delivery.is_last {
            self.measured.messages.complete += 1;
            self.measured.trip(took);
            self.publish_again(clients, now);
        }
    }

    /// Compares the position of a message with those that its subscriber has.
    pub(super) fn followed(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        if self.state == RunState::Closing {
            return;
        }
        let now = self.arrival(id);
        let Some(number) = clients.data(id).map(|conn| conn.number - self.plan.first_number) else { return };
        let Some(follower) = self.followers.get_mut(number as usize) else { return };
        let arrival = follower.receive(message.as_bytes());
        let messages = &mut self.measured.messages;
        let problem = match arrival {
            Arrival::Next => return self.came_right(now),
            Arrival::After(missing) => {
                messages.missed += missing;
                return self.came_right(now);
            }
            Arrival::Doubled => {
                messages.doubled += 1;
                Problem::Doubled
            }
            Arrival::Late { was_missing } => {
                messages.out_of_order += 1;
                messages.missed -= u64::from(was_missing);
                Problem::OutOfOrder
            }
            Arrival::Restarted => {
                messages.restarted += 1;
                Problem::Restarted
            }
            Arrival::Unnumbered => {
                messages.wrong += 1;
                Problem::Unnumbered
            }
        };
        self.measured.problem(problem, 1);
    }

    /// Publishes the next burst, if the last one has reached all.
    fn publish_again(&mut self, clients: &mut Clients<Conn>, now: u64) {
        if self.state == RunState::Holding && self.publications.underway() == 0 {
            self.publish_burst(clients, now);
        }
    }

    /// Counts what an open connection that has ended will not receive any more.
    pub(super) fn ended_open(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let publications = self.publications.count();
        let Some(conn) = clients.data_mut(id) else { return };
        let mut lost = self.pending.clear(&mut conn.pending);
        let is_publisher = self.publisher.is_some_and(|(publisher, _)| publisher == id);
        if self.publisher.is_some() && !is_publisher && conn.received < publications {
            lost += self.publications.leave(conn.received);
        }
        self.measured.messages.unanswered += lost;
        self.measured.problem(Problem::Lost, lost);
        if is_publisher && self.state == RunState::Holding {
            self.ended = Ended::PublisherLost;
            self.publisher = None;
            self.await_answers(self.clock.nanos());
        } else if lost > 0 {
            self.publish_again(clients, self.clock.nanos());
        }
    }
}
