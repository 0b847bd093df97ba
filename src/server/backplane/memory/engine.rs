//! What can a program do with an engine in memory?

use super::link::{Link, Request};
use super::state::State;
use crate::server::backplane::{
    Backplane, BackplaneEvents, BackplaneLink, History, NodeId, Publication, PublishError, StreamPosition,
};
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An engine in memory. It joins servers of one process, or keeps the histories of one server.
///
/// A clone is a handle of the same engine. Events are reported in the call that causes them. If
/// another thread reports events of the same link at that moment, or the call comes from the
/// function that is reported to, they are reported after those. Their order is always that of the
/// engine.
///
/// The engine has no clock. Its time begins at 0, and [`set_time`](Self::set_time) advances it.
/// Without that, no message gets old.
///
/// ```
/// use lariat::backplane::{
///     Backplane, BackplaneEvent, BackplaneEvents, MemoryEngine, NodeId, Publication,
/// };
/// use std::sync::{Arc, mpsc};
///
/// let engine = MemoryEngine::new();
/// let (sender, events) = mpsc::channel();
/// let report = BackplaneEvents::new(move |event| drop(sender.send(event)));
/// let listener = Box::new(engine.backplane()).start(NodeId(1), report)?;
/// let publisher = Box::new(engine.backplane()).start(NodeId(2), BackplaneEvents::new(drop))?;
/// assert!(matches!(events.try_recv(), Ok(BackplaneEvent::Up)));
///
/// listener.subscribe(&"news".into(), None, None);
/// publisher.publish(Publication {
///     topic: "news".into(),
///     message: Arc::new("hello".to_owned().into()),
///     latest: None,
///     history: None,
///     once: None,
///     ticket: None,
/// })?;
/// assert!(matches!(events.try_recv(), Ok(BackplaneEvent::Message { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Simulations
///
/// After [`hold`](Self::hold), requests, messages and answers wait in queues of their links, and
/// [`deliver_one`](Self::deliver_one) does a step at a time. [`cut`](Self::cut),
/// [`restore`](Self::restore), [`lose`](Self::lose), [`double`](Self::double),
/// [`forget`](Self::forget) and [`expire`](Self::expire) are what goes wrong in a network. They
/// ignore a server that is unknown.
#[derive(Clone, Debug)]
pub struct MemoryEngine(Arc<Mutex<State>>);

impl Default for MemoryEngine {
    fn default() -> MemoryEngine {
        MemoryEngine::new()
    }
}

impl MemoryEngine {
    /// Makes an engine without messages. Its epochs are random.
    pub fn new() -> MemoryEngine {
        MemoryEngine::with_seed(rand::random())
    }

    /// Makes an engine whose epochs follow from a seed.
    pub fn with_seed(seed: u64) -> MemoryEngine {
        MemoryEngine(Arc::new(Mutex::new(State::new(seed))))
    }

    /// Returns what a server starts. Each server needs one of its own.
    pub fn backplane(&self) -> MemoryBackplane {
        MemoryBackplane(self.clone())
    }

    /// Advances the engine's time. Messages that are older than their history's age are no longer
    /// kept. Time never goes back.
    pub fn set_time(&self, now: Duration) {
        self.with(|state| state.set_time(now));
    }

    /// Lets everything wait from now on, until [`release`](Self::release).
    pub fn hold(&self) {
        self.with(|state| state.is_held = true);
    }

    /// Delivers all that waits, and what comes later at once.
    pub fn release(&self) {
        self.with(|state| state.is_held = false);
    }

    /// Does the next step of one link, which the random number chooses: a request reaches the
    /// engine, or what the engine has sent reaches the link, which may report it. Returns whether
    /// there was one.
    ///
    /// Each link has a queue of requests, one of messages and one of answers. They keep their own
    /// order, but not that among each other.
    pub fn deliver_one(&self, random: u64) -> bool {
        self.with(|state| state.step_one(random))
    }

    /// Takes the connection of a server away. What is on its way from and to it is lost.
    pub fn cut(&self, node: NodeId) {
        self.with_link(node, Link::cut);
    }

    /// Gives a server its connection back.
    pub fn restore(&self, node: NodeId) {
        self.with_link(node, Link::restore);
    }

    /// Loses all messages and members. Histories get new epochs. Servers that are connected note
    /// their members again.
    pub fn forget(&self) {
        self.with(State::forget);
    }

    /// Forgets the members of a server that has no connection, as after a long silence.
    pub fn expire(&self, node: NodeId) {
        self.with(|state| state.expire(node.0));
    }

    /// Does not send a server the next message of a topic with a history.
    pub fn lose(&self, node: NodeId) {
        self.with_link(node, |link| link.loses = link.loses.saturating_add(1));
    }

    /// Sends a server the next message of a topic with a history twice.
    pub fn double(&self, node: NodeId) {
        self.with_link(node, |link| link.doubles = link.doubles.saturating_add(1));
    }

    /// Uses what the lock guards, then reports what has come of it, without the lock.
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = use_it(&mut state);
        if !state.is_held {
            state.step_all();
        }
        let reporting = std::mem::take(&mut state.reporting);
        drop(state);
        reporting.iter().for_each(|outbox| outbox.report());
        result
    }

    fn with_link<T>(&self, node: NodeId, use_it: impl FnOnce(&mut Link) -> T) -> Option<T> {
        self.with(|state| state.links.get_mut(&node.0).map(use_it))
    }
}

/// What a server starts to be joined to others by a [`MemoryEngine`].
#[derive(Clone, Debug)]
pub struct MemoryBackplane(MemoryEngine);

impl Backplane for MemoryBackplane {
    /// # Errors
    ///
    /// A server of this number is joined already.
    fn start(self: Box<Self>, node: NodeId, events: BackplaneEvents) -> io::Result<Box<dyn BackplaneLink>> {
        let link = Link::new(events);
        // A link that is refused comes back, to be dropped without the lock.
        let refused = self.0.with(|state| match state.links.entry(node.0) {
            Entry::Occupied(_) => Some(link),
            Entry::Vacant(place) => {
                place.insert(link);
                None
            }
        });
        if refused.is_some() {
            let reason = "a server of this number uses the engine";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
        }
        Ok(Box::new(MemoryLink { engine: self.0, node }))
    }
}

/// The link of a server.
#[derive(Debug)]
struct MemoryLink {
    engine: MemoryEngine,
    node: NodeId,
}

impl BackplaneLink for MemoryLink {
    fn subscribe(&self, topic: &Arc<str>, history: Option<History>, after: Option<StreamPosition>) {
        self.engine.with_link(self.node, |link| link.subscribe(topic, history, after));
    }

    fn unsubscribe(&self, topic: &Arc<str>) {
        self.engine.with_link(self.node, |link| link.unsubscribe(topic));
    }

    fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        let taken = self.engine.with_link(self.node, |link| {
            link.ask(Request::Publish(publication));
            link.is_connected
        });
        if taken == Some(true) { Ok(()) } else { Err(PublishError::Away) }
    }

    fn enter(&self, topic: &Arc<str>, name: &str, data: &[u8]) {
        self.engine.with_link(self.node, |link| {
            link.present.insert((Arc::clone(topic), name.to_owned()), data.to_vec());
            link.ask(Request::Enter { topic: Arc::clone(topic), name: name.to_owned(), data: data.to_vec() });
        });
    }

    fn leave(&self, topic: &Arc<str>, name: &str) {
        self.engine.with_link(self.node, |link| {
            link.present.remove(&(Arc::clone(topic), name.to_owned()));
            link.ask(Request::Leave { topic: Arc::clone(topic), name: name.to_owned() });
        });
    }

    fn ask_members(&self, topic: &Arc<str>, ticket: u64) {
        self.engine.with_link(self.node, |link| {
            if link.is_connected {
                link.ask(Request::Ask { topic: Arc::clone(topic), ticket });
            } else {
                link.members(ticket, Err(PublishError::Away));
            }
        });
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        drop(self.engine.with(|state| state.end(self.node.0)));
    }
}
