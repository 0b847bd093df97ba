//! What is sent, and what comes back of it?

use super::super::message::Which;
use super::super::plan::{Mode, Pace};
use super::super::problems::Problem;
use super::{Conn, Driver, Ended, Phase};
use lariat::{ClientId, Clients, Message};

impl Driver {
    /// What a connection sends as soon as it may.
    pub(super) fn send_first(&mut self, clients: &mut Clients<Conn>, id: ClientId, now: u64) {
        if let (Mode::Echo, Pace::Depth(depth)) = (self.plan.mode, self.plan.pace) {
            for _ in 0..depth {
                self.send(clients, id, now);
            }
        }
    }

    /// Sends one message that was meant to go out at `intended`.
    #[inline]
    pub(super) fn send(&mut self, clients: &mut Clients<Conn>, id: ClientId, intended: u64) {
        let Some(conn) = clients.data_mut(id) else { return };
        let which = Which { id: conn.number, seq: conn.sent, time: intended };
        let message = self.plan.payload.message(&mut self.buffer, which);
        let length = message.as_bytes().len();
        // Without a rate, no more waits than is on the way.
        let is_stalled = self.pacer.is_some() && clients.buffered_amount(id) > self.stalled_from;
        if is_stalled || clients.send(id, message).is_err() {
            return self.tally.problem(Problem::Stalled, 1);
        }
        self.tally.messages.sent += 1;
        self.tally.messages.bytes_sent += length as u64;
        if let Some(conn) = clients.data_mut(id) {
            conn.sent = conn.sent.wrapping_add(1);
            if self.plan.mode == Mode::Echo {
                self.pending.push(&mut conn.pending, intended);
            }
        }
    }

    pub(super) fn publish(&mut self, clients: &mut Clients<Conn>, intended: u64) {
        let Some((publisher, _)) = self.publisher else { return };
        let sent = self.tally.messages.sent;
        self.send(clients, publisher, intended);
        if self.tally.messages.sent > sent {
            self.tally.messages.published += 1;
            self.publications.publish(intended, self.open.len().saturating_sub(1) as u32);
        }
    }

    /// Publishes as many as may be on the way at a time.
    pub(super) fn publish_burst(&mut self, clients: &mut Clients<Conn>, now: u64) {
        if let Pace::Depth(depth) = self.plan.pace {
            for _ in 0..depth {
                self.publish(clients, now);
            }
        }
    }

    /// The time at which what is being handled has arrived: the clock is read once for all that one
    /// read brought.
    #[inline]
    pub(super) fn arrival(&mut self, id: ClientId) -> u64 {
        if self.reading != Some(id) {
            self.reading = Some(id);
            self.read_at = self.clock.nanos();
        }
        self.read_at
    }

    /// What came is what was sent.
    #[inline]
    fn came_right(&mut self, now: u64) {
        self.tally.messages.right += 1;
        self.first_answer.get_or_insert(now);
        self.in_time += u64::from(now <= self.in_time_until);
    }

    /// A message has come back, perhaps as it was sent.
    #[inline]
    pub(super) fn echoed(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        let now = self.arrival(id);
        let Some(conn) = clients.data_mut(id) else { return };
        let Some(intended) = self.pending.pop(&mut conn.pending) else {
            self.tally.messages.unexpected += 1;
            return self.tally.problem(Problem::Unexpected, 1);
        };
        let which = Which { id: conn.number, seq: conn.received, time: intended };
        conn.received = conn.received.wrapping_add(1);
        if message == self.plan.payload.message(&mut self.buffer, which) {
            self.came_right(now);
            self.tally.trip(now.saturating_sub(intended));
        } else {
            self.tally.messages.wrong += 1;
            self.tally.problem(Problem::WrongEcho, 1);
        }
        if self.phase == Phase::Holding && matches!(self.plan.pace, Pace::Depth(_)) {
            self.send(clients, id, now);
        }
    }

    /// A published message has reached somebody.
    pub(super) fn delivered(&mut self, clients: &mut Clients<Conn>, id: ClientId, message: Message<'_>) {
        let now = self.arrival(id);
        let Some((publisher, publisher_number)) = self.publisher else { return };
        let Some(conn) = clients.data_mut(id).filter(|_| id != publisher) else { return };
        let number = conn.received;
        let Some(delivery) = self.publications.deliver(number) else {
            self.tally.messages.unexpected += 1;
            return self.tally.problem(Problem::Unexpected, 1);
        };
        conn.received += 1;
        let which = Which { id: publisher_number, seq: number, time: delivery.time };
        let took = now.saturating_sub(delivery.time);
        if message == self.plan.payload.message(&mut self.buffer, which) {
            self.came_right(now);
            self.tally.trips.record(took);
        } else {
            self.tally.messages.wrong += 1;
            self.tally.problem(Problem::WrongEcho, 1);
        }
        if delivery.is_last {
            self.tally.messages.complete += 1;
            self.tally.trip(took);
            self.publish_again(clients, now);
        }
    }

    pub(super) fn publish_again(&mut self, clients: &mut Clients<Conn>, now: u64) {
        if self.phase == Phase::Holding && self.publications.underway() == 0 {
            self.publish_burst(clients, now);
        }
    }

    /// An open connection has ended: what it had not received will not come.
    pub(super) fn ended_open(&mut self, clients: &mut Clients<Conn>, id: ClientId) {
        let publications = self.publications.count();
        let Some(conn) = clients.data_mut(id) else { return };
        let mut lost = self.pending.clear(&mut conn.pending);
        let is_publisher = self.publisher.is_some_and(|(publisher, _)| publisher == id);
        if self.publisher.is_some() && !is_publisher && conn.received < publications {
            lost += self.publications.leave(conn.received);
        }
        self.tally.messages.unanswered += lost;
        self.tally.problem(Problem::Lost, lost);
        if is_publisher && self.phase == Phase::Holding {
            self.ended = Ended::PublisherLost;
            self.publisher = None;
            self.await_answers(self.clock.nanos());
        } else if lost > 0 {
            self.publish_again(clients, self.clock.nanos());
        }
    }
}
