//! What follows from lines of standard input, from its end, and from time.

use super::input::{lines, too_long};
use super::session::Session;
use crate::terminal::units;
use lariat::{ClientId, Clients, CloseCode, Message, TimerId};
use std::time::Duration;

/// The timer for the message of --one.
pub(super) const ANSWER: u64 = 1;
/// The timer for the pong behind the last line.
pub(super) const PATIENCE: u64 = 2;
/// The timer of --wait.
pub(super) const WAIT: u64 = 3;

/// The payload of the ping behind the last line.
const LAST: &[u8] = b"end";

/// After so long without any progress, no pong behind the last line is expected any more. Some
/// servers answer no pings.
const SILENCE: Duration = Duration::from_secs(2);

/// With compression, the server must have been silent for so long before we close: what comes
/// later cannot be taken from the trace.
const QUIET: Duration = Duration::from_millis(500);

/// A server that may still send something.
#[derive(Debug)]
pub(super) struct Watched {
    /// The bytes that were unsent, and the messages that had come, at the last look.
    seen: (usize, u64),
    /// The time between two looks.
    period: Duration,
    timer: Option<TimerId>,
}

impl Session {
    /// Sends the lines of a batch. When the server has read, the next batch may come.
    pub(super) fn send(&mut self, clients: &mut Clients<()>, batch: &[u8]) {
        let Some(id) = self.id.filter(|_| !self.past.is_closing) else { return };
        for line in lines(batch) {
            self.lines += 1;
            if line.len() > self.asked.most {
                return self.give_up(clients, too_long(self.asked.most));
            }
            let message = match std::str::from_utf8(line) {
                _ if self.asked.binary => Message::Binary(line),
                Ok(text) => Message::Text(text),
                Err(_) => {
                    let number = self.lines;
                    let why = format!("line {number} of standard input is not UTF-8: send lines with --binary");
                    return self.give_up(clients, why);
                }
            };
            if clients.send(id, message).is_err() {
                // The connection ends, and `on_close` says why.
                return;
            }
        }
        self.expect_answer(clients);
        if clients.buffered_amount(id) > clients.limits().high_water {
            self.owes_permit = true;
        } else {
            self.read_on();
        }
    }

    /// Permits the next batch of lines.
    pub(super) fn read_on(&self) {
        if let Some(permit) = &self.permit {
            // The thread may have ended.
            let _ = permit.send(());
        }
    }

    /// Standard input has ended: asks the server whether it has read everything.
    pub(super) fn input_ended(&mut self, clients: &mut Clients<()>) {
        let Some(id) = self.id.filter(|_| !self.past.is_closing) else { return };
        if self.asked.one {
            return self.expect_answer(clients);
        }
        if self.asked.no_close {
            return;
        }
        match self.asked.wait {
            Some(wait) => drop(clients.set_client_timer(id, wait, WAIT)),
            None => self.ask_whether_read(clients),
        }
    }

    /// Sends a ping behind the last line.
    pub(super) fn ask_whether_read(&mut self, clients: &mut Clients<()>) {
        let Some(id) = self.id.filter(|_| !self.past.is_closing) else { return };
        match clients.ping(id, LAST) {
            Ok(()) => self.watch(clients, id, SILENCE),
            Err(_) => self.close(clients),
        }
    }

    /// A pong has come. If it is the one behind the last line, closes.
    pub(super) fn ponged(&mut self, clients: &mut Clients<()>, payload: &[u8]) {
        let Some(id) = self.id.filter(|_| self.ending.is_some() && payload == LAST) else { return };
        match self.asked.deflate {
            true => self.watch(clients, id, QUIET),
            false => self.close(clients),
        }
    }

    /// Looks again after this time.
    fn watch(&mut self, clients: &mut Clients<()>, id: ClientId, period: Duration) {
        if let Some(timer) = self.ending.take().and_then(|watched| watched.timer) {
            clients.cancel_timer(timer);
        }
        let timer = clients.set_client_timer(id, period, PATIENCE);
        self.ending = Some(Watched { seen: self.seen(clients, id), period, timer });
    }

    fn seen(&self, clients: &Clients<()>, id: ClientId) -> (usize, u64) {
        (clients.buffered_amount(id), self.received)
    }

    /// Closes if nothing has happened since the last look.
    pub(super) fn watched(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some(Watched { seen, period, .. }) = self.ending else { return };
        // While it is paused, nothing can be heard of the server.
        if clients.is_paused(id) || seen != self.seen(clients, id) {
            self.watch(clients, id, period);
        } else {
            self.close(clients);
        }
    }

    /// With --one, begins to wait for the message, or begins again.
    pub(super) fn expect_answer(&mut self, clients: &mut Clients<()>) {
        let Some(id) = self.id.filter(|_| self.asked.one) else { return };
        if let Some(timer) = self.answer_timer.take() {
            clients.cancel_timer(timer);
        }
        self.answer_timer = clients.set_client_timer(id, self.asked.timeout, ANSWER);
    }

    /// No message has come in time.
    pub(super) fn unanswered(&mut self, clients: &mut Clients<()>) {
        if self.received == 0 {
            let timeout = units::time(self.asked.timeout.as_nanos() as f64);
            self.give_up(clients, format!("no message came within {timeout}: --timeout sets how long to wait"));
        }
    }

    /// Fails for this reason, and closes.
    pub(super) fn give_up(&mut self, clients: &mut Clients<()>, why: String) {
        self.fail(why);
        self.asked.farewell.code = CloseCode::Normal;
        self.asked.farewell.reason.clear();
        self.close(clients);
    }

    /// Closes. What comes nevertheless is taken from the trace.
    pub(super) fn close(&mut self, clients: &mut Clients<()>) {
        let Some(id) = self.id.filter(|_| !self.past.is_closing) else { return };
        self.past.is_closing = true;
        self.permit = None;
        clients.trace(id);
        let farewell = &self.asked.farewell;
        // It may be closing already, and then `on_close` says why.
        let _ = clients.close(id, farewell.code, &farewell.reason);
    }
}
