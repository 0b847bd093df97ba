//! What do the replies of Redis change?

use super::batch::{Batch, Expect};
use super::commands::{Refusal, bytes, explain, refusal};
use super::link::cost;
use super::members::Ask;
use super::publishing;
use super::scripts::millis;
use super::session::Session;
use super::topics::ReadJob;
use super::wire;
use crate::server::backplane::{BackplaneEvent, Publication, PublishError, StreamPosition};
use redis::Value;

impl Session<'_> {
    /// Sends commands and takes their replies. Fails if the connection is lost, or if this server
    /// is unfit.
    pub(super) fn exchange(&mut self, batch: Batch) -> Result<(), String> {
        if batch.expects.is_empty() {
            return Ok(());
        }
        let (mut expects, mut returned) = (batch.expects.into_iter(), Vec::new());
        let mut outcome = self.connection.send_packed_command(&batch.packed.bytes).map_err(|error| explain(&error));
        drop(batch.packed);
        let mut unfit = None;
        while outcome.is_ok() {
            let Some(expect) = expects.next() else { break };
            match self.connection.recv_response() {
                Ok(reply) => {
                    if let Some(Refusal::Unfit(reason)) = self.reply(expect, &reply, &mut returned) {
                        unfit.get_or_insert(reason);
                    }
                }
                Err(error) => {
                    self.unanswered(expect);
                    outcome = Err(explain(&error));
                }
            }
        }
        expects.for_each(|expect| self.unanswered(expect));
        self.free();
        self.shared.queue().publications_again(returned);
        outcome.and(unfit.map_or(Ok(()), Err))
    }

    /// Takes a reply. Publications that have to be sent again are returned.
    fn reply(&mut self, expect: Expect, reply: &Value, returned: &mut Vec<Publication>) -> Option<Refusal> {
        let refusal = refusal(reply);
        let why = match &refusal {
            Some(Refusal::Refused(why) | Refusal::Unfit(why)) => why.as_str(),
            _ => "",
        };
        match (expect, &refusal) {
            (Expect::Alive, None) if *reply == Value::Nil => self.revive(),
            (Expect::Plain(ticket, cost), None) => self.published(cost, ticket, Ok(None)),
            (Expect::Plain(ticket, cost), Some(refusal)) => {
                let error =
                    if matches!(refusal, Refusal::Unfit(_)) { PublishError::Away } else { PublishError::Refused };
                self.memory.warn("a message", why);
                self.published(cost, ticket, Err(error));
            }
            (Expect::Kept(publication), None) => match bytes(reply).and_then(wire::position) {
                Some(position) => self.published(cost(&publication), publication.ticket, Ok(Some(position))),
                None => self.refuse(&publication, "the reply of its script is foreign"),
            },
            (Expect::Kept(publication), Some(Refusal::Refused(why))) => self.refuse(&publication, why),
            (Expect::Kept(publication), Some(refusal)) => {
                self.loaded.is_stale |= *refusal == Refusal::NoScript;
                returned.push(*publication);
            }
            (Expect::Read(job), None) => self.page(*job, reply),
            (Expect::Read(job), Some(refusal)) => {
                if *refusal == Refusal::NoScript {
                    self.loaded.is_stale = true;
                    self.shared.tell(|queue| queue.reads.push_back(*job));
                } else {
                    self.memory.warn("to read a history", why);
                    self.memory.later.push(*job);
                }
            }
            (Expect::Change(_), Some(Refusal::Refused(why))) => self.memory.warn("a note of who is present", why),
            (Expect::Change(change), Some(_)) => self.memory.presence.put_back(change),
            (Expect::Ask(ask), None) => self.members(ask, reply),
            (Expect::Ask(ask), Some(_)) => self.no_members(&ask, PublishError::Refused),
            (Expect::Nothing | Expect::Alive, Some(Refusal::Refused(why))) => self.memory.warn("a command", why),
            (Expect::Nothing | Expect::Alive | Expect::Change(_), _) => {}
        }
        refusal
    }

    /// A publication is done. Its room is free before its publisher hears of it.
    fn published(&mut self, cost: usize, ticket: Option<u64>, outcome: Result<Option<StreamPosition>, PublishError>) {
        self.done += cost;
        if ticket.is_some() {
            self.free();
            self.shared.published(ticket, outcome);
        }
    }

    fn free(&mut self) {
        let done = std::mem::take(&mut self.done);
        let mut queue = self.shared.queue();
        queue.bytes = queue.bytes.saturating_sub(done);
    }

    fn refuse(&mut self, publication: &Publication, why: &str) {
        self.memory.warn("a message with a history", why);
        self.published(cost(publication), publication.ticket, Err(PublishError::Refused));
    }

    /// Others may have forgotten who is present here.
    fn revive(&mut self) {
        self.memory.presence.repeat();
        let (key, ttl) = (self.shared.names.alive(self.shared.names.node), millis(self.shared.settings.presence_ttl));
        let ttl = ttl.to_string();
        let set: [&[u8]; 5] = [b"SET", key.as_bytes(), b"1", b"PX", ttl.as_bytes()];
        self.memory.first.command(&set, Expect::Nothing);
    }

    fn page(&mut self, job: ReadJob, reply: &Value) {
        let mut foreign = 0;
        match publishing::page(reply, &mut foreign) {
            Some(page) => self.shared.with_topics(|topics| topics.page(&job, page)),
            None => self.memory.later.push(job),
        }
        if foreign > 0 && self.memory.foreign.count().is_some() {
            log::warn!("Foreign entries in streams of Redis were skipped");
        }
    }

    fn members(&mut self, mut ask: Ask, reply: &Value) {
        match ask.take(reply, &self.shared.names, &mut self.memory.first) {
            Some(true) => {
                let ticket = ask.ticket;
                self.shared.events.report(BackplaneEvent::Members { ticket, outcome: Ok(ask.answer()) });
            }
            Some(false) => self.memory.asks.push_front(ask),
            None => self.no_members(&ask, PublishError::Refused),
        }
    }

    pub(super) fn no_members(&self, ask: &Ask, error: PublishError) {
        self.shared.events.report(BackplaneEvent::Members { ticket: ask.ticket, outcome: Err(error) });
    }

    /// The connection was lost before the reply.
    fn unanswered(&mut self, expect: Expect) {
        match expect {
            Expect::Plain(ticket, cost) => self.published(cost, ticket, Err(PublishError::Unknown)),
            Expect::Kept(publication) => {
                self.published(cost(&publication), publication.ticket, Err(PublishError::Unknown));
            }
            Expect::Change(change) => self.memory.presence.put_back(change),
            Expect::Ask(ask) => self.no_members(&ask, PublishError::Unknown),
            Expect::Nothing | Expect::Alive | Expect::Read(_) => {}
        }
    }
}
