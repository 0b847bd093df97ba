//! What happens on the command connection?

use super::batch::{Batch, Expect};
use super::clock::{self, Limited};
use super::commands::{Packed, bytes, explain};
use super::link::{Control, FAREWELL, Queue, Shared, cost};
use super::members::{Ask, field};
use super::presence::Presence;
use super::publishing::{self, Loaded};
use super::scripts::{Script, millis};
use super::topics::ReadJob;
use crate::server::backplane::Publication;
use redis::Connection;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// At most so many publications are sent together, and no more after so many bytes.
const MOST_PUBLICATIONS: usize = 1000;
const MOST_BYTES: usize = 1 << 20;
/// At most so many pages are read together: each may have a megabyte, or one larger message.
const MOST_READS: usize = 16;
const MOST_ASKS: usize = 64;
const MOST_CHANGES: usize = 1000;
/// How often keys that outlive messages and members are prolonged, and for how long the latter are.
const UPKEEP: Duration = Duration::from_secs(3600);
const MEMBERS: &[u8] = b"14400000";

/// What the writer knows, across sessions.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) presence: Presence,
    pub(super) asks: VecDeque<Ask>,
    /// Pages that could not be read. They are tried again with the next beat.
    pub(super) later: Vec<ReadJob>,
    /// What goes out first.
    pub(super) first: Batch,
    warnings: Limited,
    pub(super) foreign: Limited,
}

impl Memory {
    /// Carries out what does not need Redis, and notes the rest.
    pub(super) fn apply(&mut self, shared: &Shared, controls: VecDeque<Control>) {
        for control in controls {
            match control {
                Control::Subscribe { topic, history, after } => {
                    shared.with_topics(|topics| topics.subscribe(topic, history, after));
                }
                Control::Unsubscribe(topic) => shared.with_topics(|topics| topics.unsubscribe(&topic)),
                Control::Enter { topic, name, data } => self.presence.enter(topic, name, data),
                Control::Leave { topic, name } => self.presence.leave(topic, name),
                Control::Ask { topic, ticket } => self.asks.push_back(Ask::new(topic, ticket)),
            }
        }
    }

    /// A session has ended. What it was about to send is void.
    pub(super) fn forget_session(&mut self) {
        self.later.clear();
        self.first = Batch::default();
    }

    /// Warns of what Redis refuses.
    pub(super) fn warn(&mut self, what: &str, why: &str) {
        if let Some(count) = self.warnings.count() {
            log::warn!("Redis has refused {what}: {why} ({count} refusals since the last report)");
        }
    }
}

/// How a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The link was dropped.
    Finished,
    /// A connection was lost, and why.
    Lost(String),
}

/// The command connection of a session.
pub(super) struct Session<'a> {
    pub(super) shared: &'a Shared,
    pub(super) memory: &'a mut Memory,
    pub(super) number: u64,
    pub(super) connection: Connection,
    pub(super) loaded: Loaded,
    /// What publications have taken in the queue that are done, and have not been freed yet.
    pub(super) done: usize,
}

/// What was taken from the queue.
struct Work {
    controls: VecDeque<Control>,
    reads: Vec<ReadJob>,
    publications: Vec<Publication>,
    is_ending: bool,
}

impl Session<'_> {
    /// Serves until the end.
    pub(super) fn serve(&mut self) -> End {
        let settings = &self.shared.settings;
        let interval = settings.presence_ttl.min(settings.silence_timeout) / 3;
        let (mut next_beat, mut next_upkeep, mut deadline) = (clock::now(), clock::now() + UPKEEP, None::<Instant>);
        loop {
            let work = match self.take(next_beat) {
                Ok(work) => work,
                Err(reason) => return End::Lost(reason),
            };
            self.memory.apply(self.shared, work.controls);
            let (now, mut batch) = (clock::now(), std::mem::take(&mut self.memory.first));
            if now >= next_beat {
                next_beat = now + interval;
                self.beat(&mut batch);
            }
            if now >= next_upkeep {
                next_upkeep = now + UPKEEP;
                self.upkeep(&mut batch);
            }
            self.fill(work.reads, work.publications, &mut batch);
            if work.is_ending {
                let is_late = now >= *deadline.get_or_insert(now + FAREWELL);
                if batch.expects.is_empty() || is_late {
                    self.farewell(&mut batch);
                    let _ = self.exchange(batch);
                    return End::Finished;
                }
            }
            if let Err(reason) = self.exchange(batch).and_then(|()| self.load()) {
                return End::Lost(reason);
            }
        }
    }

    /// Waits for work until then, and takes it out. Fails if the other connection is lost.
    fn take(&mut self, until: Instant) -> Result<Work, String> {
        let number = self.number;
        let is_lost = |queue: &Queue| queue.lost.as_ref().is_some_and(|(lost, _)| *lost == number);
        let is_work = |queue: &Queue| {
            let has_publication = queue.is_connected && !queue.publications.is_empty();
            has_publication || !queue.controls.is_empty() || !queue.reads.is_empty() || queue.is_ending
        };
        let memory = &self.memory;
        let has_own_work = !memory.asks.is_empty() || memory.presence.has_changes() || !memory.first.expects.is_empty();
        let until = if has_own_work { clock::now() } else { until };
        let mut queue = self.shared.wait(until, clock::now, |queue| is_lost(queue) || is_work(queue));
        if is_lost(&queue) {
            return Err(queue.lost.take().map(|(_, reason)| reason).unwrap_or_default());
        }
        let mut bytes = 0;
        let is_within = |publication: &Publication| {
            bytes += cost(publication);
            bytes - cost(publication) < MOST_BYTES
        };
        let most = if queue.is_connected { MOST_PUBLICATIONS } else { 0 };
        let count = queue.publications.iter().take(most).map(is_within).take_while(|is_within| *is_within).count();
        let read_count = queue.reads.len().min(MOST_READS);
        Ok(Work {
            controls: std::mem::take(&mut queue.controls),
            reads: queue.reads.drain(..read_count).collect(),
            publications: queue.publications.drain(..count).collect(),
            is_ending: queue.is_ending,
        })
    }

    /// Tells the other servers that this one is there, and its own reader that it is connected.
    fn beat(&mut self, batch: &mut Batch) {
        let (key, ttl) = (self.shared.names.alive(self.shared.names.node), millis(self.shared.settings.presence_ttl));
        batch.command(&[b"SET", key.as_bytes(), b"1", b"XX", b"PX", ttl.to_string().as_bytes()], Expect::Alive);
        let own = self.shared.names.own_channel();
        batch.command(&[b"PUBLISH", own.as_bytes(), b""], Expect::Nothing);
        for job in self.memory.later.drain(..) {
            self.loaded.read(job, &self.shared.names, batch);
        }
    }

    /// Prolongs what is in use, though nothing happens to it.
    fn upkeep(&mut self, batch: &mut Batch) {
        let names = &self.shared.names;
        self.shared.with_topics(|topics| {
            for (topic, history) in topics.histories() {
                publishing::prolong(topic, history, names, batch);
            }
        });
        for topic in self.memory.presence.topics() {
            batch.command(&[b"PEXPIRE", names.members(topic).as_bytes(), MEMBERS], Expect::Nothing);
        }
    }

    /// Appends the commands for work.
    fn fill(&mut self, reads: Vec<ReadJob>, publications: Vec<Publication>, batch: &mut Batch) {
        let names = &self.shared.names;
        if self.shared.with_topics(super::topics::Topics::must_wake) {
            batch.command(&[b"PUBLISH", names.own_channel().as_bytes(), b""], Expect::Nothing);
        }
        for change in self.memory.presence.take(MOST_CHANGES) {
            let (key, field) = (names.members(&change.topic), field(names.node, &change.name));
            match self.memory.presence.data(&change) {
                Some(data) => {
                    batch.command(&[b"HSET", key.as_bytes(), field.as_bytes(), data], Expect::Change(change));
                    batch.command(&[b"PEXPIRE", key.as_bytes(), MEMBERS], Expect::Nothing);
                }
                None => batch.command(&[b"HDEL", key.as_bytes(), field.as_bytes()], Expect::Change(change)),
            }
        }
        let asks = self.memory.asks.len().min(MOST_ASKS);
        for ask in self.memory.asks.drain(..asks) {
            ask.send(names, batch);
        }
        for job in reads {
            self.loaded.read(job, names, batch);
        }
        for publication in publications {
            self.loaded.publish(publication, names, batch);
        }
    }

    /// Nobody is present here any more, and the reader ends.
    fn farewell(&mut self, batch: &mut Batch) {
        let (own, alive) = (self.shared.names.own_channel(), self.shared.names.alive(self.shared.names.node));
        batch.command(&[b"DEL", alive.as_bytes()], Expect::Nothing);
        batch.command(&[b"PUBLISH", own.as_bytes(), b""], Expect::Nothing);
    }

    /// Gives Redis the scripts, if it does not have them. Where that is forbidden, they are sent
    /// with each use.
    pub(super) fn load(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.loaded.is_stale) {
            return Ok(());
        }
        for (script, hash) in [(Script::Publish, &mut self.loaded.publish), (Script::Read, &mut self.loaded.read)] {
            let mut packed = Packed::default();
            packed.command(&[b"SCRIPT", b"LOAD", script.source().as_bytes()]);
            let sent = self.connection.send_packed_command(&packed.bytes);
            let reply = sent.and_then(|()| self.connection.recv_response()).map_err(|error| explain(&error))?;
            *hash = bytes(&reply).map(<[u8]>::to_vec);
        }
        Ok(())
    }
}
