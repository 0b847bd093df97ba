//! What do loops and threads share? The queue between them, and the topics.

use super::commands::Names;
use super::options::Settings;
use super::topics::{ReadJob, Topics};
use crate::server::backplane::{
    BackplaneEvent, BackplaneEvents, BackplaneLink, History, Publication, PublishError, StreamPosition,
};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long the end of a link may take, to send what waits.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// What an application asks for, except for publications.
#[derive(Debug)]
pub(super) enum Control {
    Subscribe { topic: Arc<str>, history: Option<History>, after: Option<StreamPosition> },
    Unsubscribe(Arc<str>),
    Enter { topic: Arc<str>, name: String, data: Vec<u8> },
    Leave { topic: Arc<str>, name: String },
    Ask { topic: Arc<str>, ticket: u64 },
}

/// What waits for the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) controls: VecDeque<Control>,
    pub(super) reads: VecDeque<ReadJob>,
    pub(super) publications: VecDeque<Publication>,
    /// What publications take that wait, or that Redis has not confirmed.
    pub(super) bytes: usize,
    /// Whether both connections work.
    pub(super) is_connected: bool,
    /// The session that has been lost, and why.
    pub(super) lost: Option<(u64, String)>,
    /// Whether the link has been dropped.
    pub(super) is_ending: bool,
    /// Whether the writer has ended.
    pub(super) has_ended: bool,
}

impl Queue {
    /// These wait again, before all others. What they take was not freed.
    pub(super) fn publications_again(&mut self, publications: Vec<Publication>) {
        publications.into_iter().rev().for_each(|publication| self.publications.push_front(publication));
    }
}

/// Returns what a publication costs in the queue.
pub(super) fn cost(publication: &Publication) -> usize {
    const OVERHEAD: usize = 128;
    OVERHEAD + publication.topic.len() + publication.message.as_bytes().len()
}

/// What the link and both threads share.
///
/// Whoever holds the topics may lock the queue, but not the other way round. Methods of the link
/// lock only the queue. So the function behind the events, which is called with the topics locked,
/// may call the link.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) names: Names,
    pub(super) events: BackplaneEvents,
    queue: Mutex<Queue>,
    changed: Condvar,
    topics: Mutex<Topics>,
}

impl Shared {
    pub(super) fn new(settings: Settings, names: Names, events: BackplaneEvents) -> Shared {
        let (queue, topics) = (Mutex::default(), Mutex::new(Topics::new(names.clone(), events.clone())));
        Shared { settings, names, events, queue, changed: Condvar::new(), topics }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue and wakes the writer.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let result = change(&mut self.queue());
        self.changed.notify_all();
        result
    }

    /// Waits until the queue is as wished, at most until then.
    pub(super) fn wait(
        &self,
        until: Instant,
        now: impl Fn() -> Instant,
        is_wished: impl Fn(&Queue) -> bool,
    ) -> MutexGuard<'_, Queue> {
        let mut queue = self.queue();
        while !is_wished(&queue) {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
        }
        queue
    }

    /// Uses the topics, and queues the reads that they ask for.
    pub(super) fn with_topics<T>(&self, use_them: impl FnOnce(&mut Topics) -> T) -> T {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let result = use_them(&mut topics);
        if !topics.reads.is_empty() {
            self.tell(|queue| queue.reads.extend(topics.reads.drain(..)));
        }
        result
    }

    /// A session is lost.
    pub(super) fn lost(&self, session: u64, reason: String) {
        self.tell(|queue| {
            if queue.lost.as_ref().is_none_or(|(known, _)| *known < session) {
                queue.lost = Some((session, reason));
            }
        });
    }

    /// Whether a session has been lost, or the link dropped.
    pub(super) fn is_over(&self, session: u64) -> bool {
        let queue = self.queue();
        queue.is_ending || queue.lost.as_ref().is_some_and(|(lost, _)| *lost >= session)
    }

    /// Reports what has come of a publication, if that was asked for.
    pub(super) fn published(&self, ticket: Option<u64>, outcome: Result<Option<StreamPosition>, PublishError>) {
        if let Some(ticket) = ticket {
            self.events.report(BackplaneEvent::Published { ticket, outcome });
        }
    }
}

/// The link of a server.
#[derive(Debug)]
pub(super) struct RedisLink(pub(super) Arc<Shared>);

impl RedisLink {
    fn control(&self, control: Control) {
        self.0.tell(|queue| queue.controls.push_back(control));
    }
}

impl BackplaneLink for RedisLink {
    fn subscribe(&self, topic: &Arc<str>, history: Option<History>, after: Option<StreamPosition>) {
        self.control(Control::Subscribe { topic: Arc::clone(topic), history, after });
    }

    fn unsubscribe(&self, topic: &Arc<str>) {
        self.control(Control::Unsubscribe(Arc::clone(topic)));
    }

    fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        let (cost, settings) = (cost(&publication), &self.0.settings);
        let mut queue = self.0.queue();
        if queue.is_connected {
            // A message that is larger than the limit must be alone.
            if queue.bytes > 0 && queue.bytes + cost > settings.queue {
                return Err(PublishError::Full);
            }
        } else if settings.buffer == 0 {
            return Err(PublishError::Away);
        } else if queue.bytes + cost > settings.buffer {
            return Err(PublishError::Full);
        }
        queue.bytes += cost;
        queue.publications.push_back(publication);
        let is_first = queue.publications.len() == 1;
        drop(queue);
        if is_first {
            self.0.changed.notify_all();
        }
        Ok(())
    }

    fn enter(&self, topic: &Arc<str>, name: &str, data: &[u8]) {
        self.control(Control::Enter { topic: Arc::clone(topic), name: name.to_owned(), data: data.to_vec() });
    }

    fn leave(&self, topic: &Arc<str>, name: &str) {
        self.control(Control::Leave { topic: Arc::clone(topic), name: name.to_owned() });
    }

    fn ask_members(&self, topic: &Arc<str>, ticket: u64) {
        self.control(Control::Ask { topic: Arc::clone(topic), ticket });
    }
}

impl Drop for RedisLink {
    /// Waits for a second at most, if the connection works, and else not at all.
    fn drop(&mut self) {
        let is_connected = self.0.tell(|queue| {
            queue.is_ending = true;
            queue.is_connected
        });
        if is_connected {
            drop(self.0.wait(super::clock::now() + FAREWELL, super::clock::now, |queue| queue.has_ended));
        }
    }
}
