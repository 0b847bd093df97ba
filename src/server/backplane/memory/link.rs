//! What lies between the engine and a link, and what does the link report?

use super::history::Entry;
use super::outbox::Outbox;
use crate::protocol::OwnedMessage;
use crate::server::backplane::follow::{Kind, OVERHEAD, Page, Read, Step, Subscription};
use crate::server::backplane::{
    BackplaneEvent, BackplaneEvents, History, Kept, Member, Publication, PublishError, StreamPosition,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What goes to the engine.
#[derive(Debug)]
pub(super) enum Request {
    Publish(Publication),
    Subscribe {
        topic: Arc<str>,
        number: u64,
    },
    Unsubscribe(Arc<str>),
    Read {
        topic: Arc<str>,
        number: u64,
        history: History,
        read: Read,
    },
    Enter {
        topic: Arc<str>,
        name: String,
        data: Vec<u8>,
    },
    Leave {
        topic: Arc<str>,
        name: String,
    },
    /// All who are present, instead of those that the engine knows.
    Present,
    Ask {
        topic: Arc<str>,
        ticket: u64,
    },
}

/// What the engine sends because of a subscription.
#[derive(Clone, Debug)]
pub(super) enum Live {
    /// The subscription begins.
    Confirmed,
    Plain {
        message: Arc<OwnedMessage>,
        latest: Option<u64>,
    },
    Kept {
        epoch: u64,
        entry: Entry,
    },
}

/// What the engine sends because of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Page { topic: Arc<str>, number: u64, read: u64, page: Page<Arc<OwnedMessage>> },
    Published { ticket: u64, outcome: Result<Option<StreamPosition>, PublishError> },
    Members { ticket: u64, outcome: Result<Vec<Member>, PublishError> },
}

/// One of the queues of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Changes of the connection. They come before all else.
    Changes,
    Requests,
    Live,
    Answers,
}

type Topic = Subscription<Arc<OwnedMessage>>;

/// A link, and what is on its way from and to it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) outbox: Arc<Outbox>,
    pub(super) is_connected: bool,
    /// What the engine sends it, and the numbers of the subscriptions.
    pub(super) subscribed: BTreeMap<Arc<str>, u64>,
    /// Who is present on its server.
    pub(super) present: BTreeMap<(Arc<str>, String), Vec<u8>>,
    pub(super) requests: VecDeque<Request>,
    pub(super) answers: VecDeque<Answer>,
    /// How many live messages are to be dropped, and to be doubled.
    pub(super) loses: u32,
    pub(super) doubles: u32,
    changes: VecDeque<BackplaneEvent>,
    live: VecDeque<(Arc<str>, u64, Live)>,
    topics: BTreeMap<Arc<str>, Topic>,
    numbers: u64,
}

impl Link {
    pub(super) fn new(events: BackplaneEvents) -> Link {
        Link {
            outbox: Arc::new(Outbox::new(events)),
            is_connected: true,
            subscribed: BTreeMap::new(),
            present: BTreeMap::new(),
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            loses: 0,
            doubles: 0,
            changes: VecDeque::from([BackplaneEvent::Up]),
            live: VecDeque::new(),
            topics: BTreeMap::new(),
            numbers: 0,
        }
    }

    // ---- the connection -------------------------------------------------------------------------

    pub(super) fn cut(&mut self) {
        if !std::mem::replace(&mut self.is_connected, false) {
            return;
        }
        self.changes.push_back(BackplaneEvent::Down("the connection was cut".to_owned()));
        self.subscribed.clear();
        self.live.clear();
        self.answers.retain(|answer| !matches!(answer, Answer::Page { .. }));
        for answer in &mut self.answers {
            match answer {
                Answer::Published { outcome, .. } if outcome.is_ok() => *outcome = Err(PublishError::Unknown),
                Answer::Members { outcome, .. } if outcome.is_ok() => *outcome = Err(PublishError::Unknown),
                _ => {}
            }
        }
        for request in std::mem::take(&mut self.requests) {
            match request {
                Request::Publish(publication) => self.published(publication.ticket, Err(PublishError::Unknown)),
                Request::Ask { ticket, .. } => self.members(ticket, Err(PublishError::Unknown)),
                _ => {}
            }
        }
        for topic in self.topics.values_mut() {
            if let Kind::Kept { follow, .. } = &mut topic.kind {
                follow.lost();
            }
        }
    }

    pub(super) fn restore(&mut self) {
        if std::mem::replace(&mut self.is_connected, true) {
            return;
        }
        self.changes.push_back(BackplaneEvent::Up);
        self.requests.push_back(Request::Present);
        for (topic, state) in &self.topics {
            self.requests.push_back(Request::Subscribe { topic: Arc::clone(topic), number: state.number });
        }
    }

    /// Sends a request, if there is a connection.
    pub(super) fn ask(&mut self, request: Request) {
        if self.is_connected {
            self.requests.push_back(request);
        }
    }

    // ---- what the application wants -------------------------------------------------------------

    pub(super) fn subscribe(&mut self, topic: &Arc<str>, history: Option<History>, after: Option<StreamPosition>) {
        if self.topics.contains_key(topic) {
            return;
        }
        self.numbers += 1;
        self.topics.insert(Arc::clone(topic), Topic::new(self.numbers, history, after));
        self.ask(Request::Subscribe { topic: Arc::clone(topic), number: self.numbers });
    }

    pub(super) fn unsubscribe(&mut self, topic: &Arc<str>) {
        if self.topics.remove(topic).is_some() {
            self.ask(Request::Unsubscribe(Arc::clone(topic)));
        }
    }

    // ---- what the engine sends ------------------------------------------------------------------

    /// Sends what belongs to a topic, if the engine has a subscription for it.
    pub(super) fn send(&mut self, topic: &Arc<str>, live: Live) {
        let Some(number) = self.subscribed.get(topic) else { return };
        let mut count = 1;
        if matches!(live, Live::Kept { .. }) {
            if self.loses > 0 {
                self.loses -= 1;
                return;
            }
            if self.doubles > 0 {
                self.doubles -= 1;
                count = 2;
            }
        }
        self.live.extend(std::iter::repeat_n((Arc::clone(topic), *number, live), count));
    }

    pub(super) fn published(&mut self, ticket: Option<u64>, outcome: Result<Option<StreamPosition>, PublishError>) {
        if let Some(ticket) = ticket {
            self.answers.push_back(Answer::Published { ticket, outcome });
        }
    }

    pub(super) fn members(&mut self, ticket: u64, outcome: Result<Vec<Member>, PublishError>) {
        self.answers.push_back(Answer::Members { ticket, outcome });
    }

    // ---- what arrives ---------------------------------------------------------------------------

    /// The queues whose next element may be taken now.
    pub(super) fn lanes(&self) -> impl Iterator<Item = Lane> + use<> {
        let has_change = !self.changes.is_empty();
        let lanes = [
            (Lane::Changes, has_change),
            (Lane::Requests, !has_change && !self.requests.is_empty()),
            (Lane::Live, !has_change && !self.live.is_empty()),
            (Lane::Answers, !has_change && !self.answers.is_empty()),
        ];
        lanes.into_iter().filter_map(|(lane, has_element)| has_element.then_some(lane))
    }

    /// The next element of a queue arrives at the link.
    pub(super) fn arrive(&mut self, lane: Lane) {
        match lane {
            Lane::Changes => self.changes.pop_front().into_iter().for_each(|event| self.outbox.push(event)),
            Lane::Live => {
                if let Some((topic, number, live)) = self.live.pop_front() {
                    self.arrive_live(topic, number, live);
                }
            }
            Lane::Answers => {
                if let Some(answer) = self.answers.pop_front() {
                    self.arrive_answer(answer);
                }
            }
            Lane::Requests => {}
        }
    }

    fn arrive_live(&mut self, topic: Arc<str>, number: u64, live: Live) {
        // Otherwise it was unsubscribed just now.
        let Some(state) = self.topics.get_mut(&topic).filter(|state| state.number == number) else { return };
        let mut steps = Vec::new();
        match (live, &mut state.kind) {
            (Live::Confirmed, Kind::Plain { was_confirmed }) => {
                if std::mem::replace(was_confirmed, true) {
                    self.outbox.push(BackplaneEvent::Gap { topic, position: None });
                }
                return;
            }
            (Live::Plain { message, latest }, Kind::Plain { .. }) => {
                self.outbox.push(BackplaneEvent::Message { topic, message, latest });
                return;
            }
            (Live::Confirmed, Kind::Kept { follow, .. }) => follow.connected(&mut steps),
            (Live::Kept { epoch, entry }, Kind::Kept { follow, .. }) => {
                let cost = entry.message.as_bytes().len() + OVERHEAD;
                follow.live(epoch, entry, cost, &mut steps);
            }
            // It is of a server for which the topic has another history.
            _ => return,
        }
        self.take(&topic, steps);
    }

    fn arrive_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Published { ticket, outcome } => self.outbox.push(BackplaneEvent::Published { ticket, outcome }),
            Answer::Members { ticket, outcome } => self.outbox.push(BackplaneEvent::Members { ticket, outcome }),
            Answer::Page { topic, number, read, page } => {
                let Some(state) = self.topics.get_mut(&topic).filter(|state| state.number == number) else { return };
                let Kind::Kept { follow, .. } = &mut state.kind else { return };
                let mut steps = Vec::new();
                follow.page(read, page, &mut steps);
                self.take(&topic, steps);
            }
        }
    }

    /// Reports and asks what a topic needs.
    fn take(&mut self, topic: &Arc<str>, steps: Vec<Step<Arc<OwnedMessage>>>) {
        let Some(Topic { number, kind: Kind::Kept { history, .. } }) = self.topics.get(topic) else { return };
        for step in steps {
            let topic = Arc::clone(topic);
            self.outbox.push(match step {
                Step::Read(read) => {
                    let request = Request::Read { topic, number: *number, history: *history, read };
                    self.requests.push_back(request);
                    continue;
                }
                Step::Kept(position, message) => BackplaneEvent::Kept { topic, kept: Kept { position, message } },
                Step::Caught(position) => BackplaneEvent::Caught { topic, position },
                Step::Gap(position) => BackplaneEvent::Gap { topic, position: Some(position) },
            });
        }
    }
}
