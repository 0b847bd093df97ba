//! Which topics are followed, and what is reported of them?
//!
//! Both threads use this behind one lock: the reader brings live messages, the writer brings pages.
//! Events are reported with the lock held, so those of a topic keep their order.

use super::clock::Limited;
use super::commands::Names;
use super::wire::{self, Arrived};
use crate::protocol::OwnedMessage;
use crate::server::backplane::follow::{Kind, OVERHEAD, Page, Read, Step, Subscription};
use crate::server::backplane::{BackplaneEvent, BackplaneEvents, History, Kept, StreamPosition};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

type Topic = Subscription<OwnedMessage>;

/// A change that the reader has to make on its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) topic: Arc<str>,
    pub(super) number: u64,
    pub(super) is_subscribe: bool,
}

/// A part of a history that the writer has to read.
#[derive(Clone, Debug)]
pub(super) struct ReadJob {
    pub(super) topic: Arc<str>,
    pub(super) number: u64,
    pub(super) session: u64,
    pub(super) history: History,
    pub(super) read: Read,
}

/// So many reasons of one loss are in the log.
const MOST_REASONS: usize = 16;

/// The topics of a server.
#[derive(Debug)]
pub(super) struct Topics {
    names: Names,
    events: BackplaneEvents,
    /// The session whose reader may report. Those of earlier sessions may still run.
    session: u64,
    has_session: bool,
    /// Why Redis has not been reached since the present loss, each reason once. The first one has
    /// been reported, the others are in the log.
    reasons: Vec<String>,
    topics: HashMap<Arc<str>, Topic>,
    numbers: u64,
    orders: VecDeque<Order>,
    /// Whether the reader has been told of its orders.
    is_woken: bool,
    /// What the writer has to read. `Shared::with_topics` takes it.
    pub(super) reads: Vec<ReadJob>,
    foreign: Limited,
}

impl Topics {
    pub(super) fn new(names: Names, events: BackplaneEvents) -> Topics {
        Topics {
            names,
            events,
            session: 0,
            has_session: false,
            reasons: Vec::new(),
            topics: HashMap::new(),
            numbers: 0,
            orders: VecDeque::new(),
            is_woken: false,
            reads: Vec::new(),
            foreign: Limited::default(),
        }
    }

    // ---- sessions -------------------------------------------------------------------------------

    /// Begins a session: everything has to be subscribed. Returns its number.
    pub(super) fn begin(&mut self) -> u64 {
        self.session += 1;
        let subscribe = |(topic, state): (&Arc<str>, &Topic)| Order {
            topic: Arc::clone(topic),
            number: state.number,
            is_subscribe: true,
        };
        self.orders = self.topics.iter().map(subscribe).collect();
        (self.is_woken, self.has_session) = (false, true);
        self.session
    }

    /// Whether this session is the present one.
    pub(super) fn is_present(&self, session: u64) -> bool {
        session == self.session
    }

    /// The present session, with the Redis at this address, works.
    pub(super) fn up(&mut self, address: &str) {
        // Whoever has read that it cannot be reached wants to know.
        let level = if self.reasons.is_empty() { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "connected to Redis at {address}");
        self.reasons.clear();
        self.events.report(BackplaneEvent::Up);
    }

    /// The session is lost, or could not begin, for this reason. Or the link was dropped, without
    /// one. Its reader is not heard any more.
    pub(super) fn down(&mut self, reason: Option<&str>) {
        self.session += 1;
        self.has_session = false;
        for topic in self.topics.values_mut() {
            if let Kind::Kept { follow, .. } = &mut topic.kind {
                follow.lost();
            }
        }
        self.orders.clear();
        let Some(reason) = reason else { return };
        if self.reasons.is_empty() {
            self.events.report(BackplaneEvent::Down(reason.to_owned()));
        } else if self.reasons.len() < MOST_REASONS && !self.reasons.iter().any(|known| known == reason) {
            log::warn!("Redis still cannot be reached: {reason}");
        } else {
            return;
        }
        self.reasons.push(reason.to_owned());
    }

    // ---- what the application wants -------------------------------------------------------------

    pub(super) fn subscribe(&mut self, topic: Arc<str>, history: Option<History>, after: Option<StreamPosition>) {
        if self.topics.contains_key(&topic) {
            return;
        }
        self.numbers += 1;
        self.order(&topic, self.numbers, true);
        self.topics.insert(topic, Topic::new(self.numbers, history, after));
    }

    pub(super) fn unsubscribe(&mut self, topic: &Arc<str>) {
        if let Some(state) = self.topics.remove(topic) {
            self.order(topic, state.number, false);
        }
    }

    /// Orders something of the reader. Without one, the next session begins with everything.
    fn order(&mut self, topic: &Arc<str>, number: u64, is_subscribe: bool) {
        if self.has_session {
            self.orders.push_back(Order { topic: Arc::clone(topic), number, is_subscribe });
        }
    }

    /// Whether the reader has to be woken, because it has orders and does not know. It counts as
    /// woken then.
    pub(super) fn must_wake(&mut self) -> bool {
        !self.orders.is_empty() && !std::mem::replace(&mut self.is_woken, true)
    }

    /// Takes the first orders of one kind out, at most so many.
    pub(super) fn orders(&mut self, session: u64, most: usize) -> Vec<Order> {
        if session != self.session {
            return Vec::new();
        }
        let first = self.orders.front().is_some_and(|order| order.is_subscribe);
        let count = self.orders.iter().take(most).take_while(|order| order.is_subscribe == first).count();
        let orders = self.orders.drain(..count).collect();
        // The reader returns for the rest without being told.
        self.is_woken = !self.orders.is_empty();
        orders
    }

    /// The topics that have histories.
    pub(super) fn histories(&self) -> impl Iterator<Item = (&Arc<str>, History)> {
        self.topics.iter().filter_map(|(topic, state)| match &state.kind {
            Kind::Kept { history, .. } => Some((topic, *history)),
            Kind::Plain { .. } => None,
        })
    }

    // ---- what Redis says ------------------------------------------------------------------------

    /// Redis has confirmed a subscription.
    pub(super) fn confirmed(&mut self, session: u64, order: &Order) {
        let Some(topic) = self.topics.get_mut(&order.topic) else { return };
        if session != self.session || topic.number != order.number {
            return;
        }
        match &mut topic.kind {
            Kind::Plain { was_confirmed } => {
                if std::mem::replace(was_confirmed, true) {
                    self.events.report(BackplaneEvent::Gap { topic: Arc::clone(&order.topic), position: None });
                }
            }
            Kind::Kept { follow, .. } => {
                let mut steps = Vec::new();
                follow.connected(&mut steps);
                self.take(&order.topic, steps);
            }
        }
    }

    /// A message has come on a channel. Returns whether the session still is the present one.
    pub(super) fn message(&mut self, session: u64, channel: &[u8], payload: &[u8]) -> bool {
        if session != self.session {
            return false;
        }
        let name = std::str::from_utf8(channel).ok().and_then(|channel| self.names.topic(channel));
        let known = name.and_then(|name| self.topics.get_key_value(name)).map(|(topic, _)| Arc::clone(topic));
        // Otherwise it was unsubscribed just now.
        let Some(topic) = known else { return true };
        let Some(state) = self.topics.get_mut(&topic) else { return true };
        match (wire::arrived(payload), &mut state.kind) {
            (Some(Arrived::Plain { node, message, latest }), Kind::Plain { .. }) => {
                if node != self.names.node {
                    let message = Arc::new(message);
                    self.events.report(BackplaneEvent::Message { topic, message, latest });
                }
            }
            (Some(Arrived::Kept { epoch, item }), Kind::Kept { follow, .. }) => {
                let (cost, mut steps) = (item.message.as_bytes().len() + OVERHEAD, Vec::new());
                follow.live(epoch, item, cost, &mut steps);
                self.take(&topic, steps);
            }
            (arrived, _) => self.is_foreign(&topic, arrived.is_some()),
        }
        true
    }

    fn is_foreign(&mut self, topic: &str, is_ours: bool) {
        if let Some(count) = self.foreign.count() {
            let what = match is_ours {
                true => "is of a server for which the topic has another history",
                false => "is not of this program",
            };
            log::warn!("{count} messages on channels of Redis were skipped. The last one, on {topic:?}, {what}");
        }
    }

    /// A page has been read.
    pub(super) fn page(&mut self, job: &ReadJob, page: Page<OwnedMessage>) {
        let Some(topic) = self.topics.get_mut(&job.topic) else { return };
        if job.session != self.session || topic.number != job.number {
            return;
        }
        let Kind::Kept { follow, .. } = &mut topic.kind else { return };
        let mut steps = Vec::new();
        follow.page(job.read.number, page, &mut steps);
        self.take(&job.topic, steps);
    }

    /// Reports and queues what a topic asks for.
    fn take(&mut self, topic: &Arc<str>, steps: Vec<Step<OwnedMessage>>) {
        let Some(Topic { number, kind: Kind::Kept { history, .. } }) = self.topics.get(topic) else { return };
        let (number, history) = (*number, *history);
        for step in steps {
            let topic = Arc::clone(topic);
            self.events.report(match step {
                Step::Read(read) => {
                    self.reads.push(ReadJob { topic, number, session: self.session, history, read });
                    continue;
                }
                Step::Kept(position, message) => {
                    BackplaneEvent::Kept { topic, kept: Kept { position, message: Arc::new(message) } }
                }
                Step::Caught(position) => BackplaneEvent::Caught { topic, position },
                Step::Gap(position) => BackplaneEvent::Gap { topic, position: Some(position) },
            });
        }
    }
}
