//! The topics of this server that others share: what its loops ask of the backplane, and what the
//! backplane tells its loops.
//!
//! A server has one hub, whatever the number of its loops. Any thread may use it.

use super::event::Event;
use super::log::Log;
use super::peers::{Peers, Published, Topic};
use super::queue::{Act, Route, lock};
use crate::parts::BACKPLANE;
use crate::server::backplane::{
    Backplane, BackplaneEvent, BackplaneEvents, BackplaneLink, History, Kept, Member, NodeId, Publication,
    PublishError, StreamPosition,
};
use crate::server::data::ClientData;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, TryLockError, Weak};

/// The hub of a server.
pub(super) struct Hub {
    topics: Mutex<Topics>,
    /// What the backplane is to be told, in order. The lock of `topics` is held while something is
    /// added, and that of `telling` while it is told.
    orders: Mutex<VecDeque<Order>>,
    telling: Mutex<()>,
    link: OnceLock<Box<dyn BackplaneLink>>,
    is_up: AtomicBool,
    losses: AtomicU64,
    refused: AtomicU64,
    gaps: AtomicU64,
}

/// How a server's connection to its backplane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackplaneStatus {
    /// Whether the backplane can be reached now.
    pub is_up: bool,
    /// How often it could no longer be reached.
    pub losses: u64,
    /// Messages that it did not take: it could not be reached, too many waited, it refused one with
    /// a history, or the connection was lost before it confirmed one.
    pub refused: u64,
    /// How often messages of a topic may have been lost.
    pub gaps: u64,
    /// Bytes of messages that this server keeps, because its clients follow topics with a
    /// [history](History). They do not count against the memory budget.
    pub kept_bytes: usize,
}

/// The topics that loops follow, and their names on the backplane.
#[derive(Default)]
struct Topics {
    plain: HashMap<Arc<str>, Followed>,
    kept: HashMap<Arc<str>, KeptTopic>,
}

/// A topic that loops follow.
struct Followed {
    topic: Topic,
    /// A bit for each loop.
    loops: u64,
}

/// A topic with a history that loops follow, with what is known of it.
struct KeptTopic {
    followed: Followed,
    full: Arc<str>,
    name: Arc<str>,
    history: History,
    log: Log,
    /// The last place of which the loops were told. When the history is read again, messages may be
    /// missing behind it.
    told: Option<StreamPosition>,
    /// Loops for which messages were dropped, because too many waited. It is set if more were
    /// dropped since the loop was told.
    behind: Vec<(usize, bool)>,
}

/// What a loop hears of its topics with a history, and of what it has asked.
pub(crate) enum Heard {
    /// It follows a topic now, of which this is known.
    Log {
        topic: Arc<str>,
        log: Log,
    },
    Kept {
        topic: Arc<str>,
        kept: Kept,
    },
    Caught {
        topic: Arc<str>,
        position: StreamPosition,
    },
    Gap {
        topic: Arc<str>,
        has_history: bool,
        position: Option<StreamPosition>,
    },
    Published {
        token: u64,
        outcome: Result<StreamPosition, PublishError>,
    },
    Members {
        token: u64,
        outcome: Result<Vec<Member>, PublishError>,
    },
}

/// What the backplane is to be told.
enum Order {
    Subscribe(Arc<str>, Option<History>),
    Unsubscribe(Arc<str>),
}

/// What keeps the loops of a server together. A trait object, so that programs without a backplane
/// do not contain what drops one.
pub(crate) type KeepAlive = Box<dyn Send>;

impl<D: ClientData + 'static> Peers<D> {
    /// Starts a backplane, for a server with this number.
    ///
    /// # Errors
    ///
    /// There is one already, or it cannot be started.
    pub(crate) fn start_backplane(self: &Arc<Self>, backplane: Box<dyn Backplane>, node: NodeId) -> io::Result<()> {
        BACKPLANE.use_it();
        let weak = Arc::downgrade(self);
        let hub = self.hub.get_or_init(Hub::new);
        if hub.link.get().is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the server has a backplane already"));
        }
        let events = BackplaneEvents::new(move |event| heard(&weak, event));
        let link = backplane.start(node, events)?;
        // Nobody else has set it.
        let _ = hub.link.set(link);
        hub.tell();
        Ok(())
    }
}

/// The backplane reports something.
fn heard<D: ClientData>(peers: &Weak<Peers<D>>, event: BackplaneEvent) {
    // The server may have ended.
    let Some(peers) = peers.upgrade() else { return };
    let Some(hub) = peers.hub.get() else { return };
    match event {
        BackplaneEvent::Up => hub.came_up(),
        BackplaneEvent::Down(why) => hub.went_down(&why),
        BackplaneEvent::Message { topic, message, latest } => {
            let topics = lock(&hub.topics);
            if let Some(Followed { topic, loops }) = topics.plain.get(&topic) {
                let published = Arc::new(Published { topic: topic.clone(), key: latest, message });
                each(*loops).for_each(|number| peers.publish(number, &published));
            }
        }
        BackplaneEvent::Kept { topic, kept } => hub.with_kept(&topic, |topic| {
            let before = kept.position.before();
            // What is read again begins with messages that the loops know.
            let is_known = topic.told.is_some_and(|told| told.epoch == before.epoch && before.offset < told.offset);
            if topic.told.is_some_and(|told| told != before) && !is_known {
                hub.gaps.fetch_add(1, Ordering::Relaxed);
                topic.gap(&peers, Some(before));
            }
            topic.told = topic.told.filter(|_| is_known).or(Some(kept.position));
            topic.log.push(kept.clone(), topic.history);
            topic.tell_kept(&peers, &kept);
        }),
        BackplaneEvent::Caught { topic, position } => hub.with_kept(&topic, |topic| {
            topic.log.caught(position);
            if topic.told.replace(position).is_some_and(|told| told != position) {
                hub.gaps.fetch_add(1, Ordering::Relaxed);
                let tell = |number| topic.tell_gap(&peers, number, position, topic.log.clone());
                each(topic.followed.loops).for_each(tell);
            }
            topic.tell(&peers, |name| Heard::Caught { topic: name, position });
        }),
        BackplaneEvent::Gap { topic, position } => gap(&peers, hub, &topic, position),
        BackplaneEvent::Published { ticket, outcome } => {
            let asker = Asker::of(ticket);
            let outcome = outcome.and_then(|position| position.ok_or(PublishError::Refused));
            if outcome.is_err() {
                hub.refused.fetch_add(1, Ordering::Relaxed);
            }
            peers.tell(asker.number, 0, Heard::Published { token: asker.token, outcome });
        }
        BackplaneEvent::Members { ticket, outcome } => {
            let asker = Asker::of(ticket);
            peers.tell(asker.number, 0, Heard::Members { token: asker.token, outcome });
        }
    }
}

/// Messages of a topic may have been lost.
fn gap<D: ClientData>(peers: &Peers<D>, hub: &Hub, full: &Arc<str>, position: Option<StreamPosition>) {
    hub.with_kept(full, |topic| {
        hub.gaps.fetch_add(1, Ordering::Relaxed);
        topic.gap(peers, position);
        // The history may still have messages from before.
        hub.read_again(topic);
    });
    hub.tell();
    let topics = lock(&hub.topics);
    let Some(Followed { topic: (route, Some(name)), loops }) = topics.plain.get(full) else { return };
    hub.gaps.fetch_add(1, Ordering::Relaxed);
    let name: Arc<str> = Arc::from(&**name);
    for number in each(*loops) {
        let heard = Heard::Gap { topic: Arc::clone(&name), has_history: false, position: None };
        peers.tell(number, *route, heard);
    }
}

/// The loop that has asked, and its number for that. Both are in a ticket.
pub(super) struct Asker {
    pub(super) number: usize,
    pub(super) token: u64,
}

impl Asker {
    fn of(ticket: u64) -> Asker {
        Asker { number: (ticket % 64) as usize, token: ticket / 64 }
    }

    pub(super) const fn ticket(&self) -> u64 {
        self.token * 64 + self.number as u64
    }
}

/// Returns the numbers of the bits that are set.
fn each(loops: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |number| loops & (1 << number) != 0)
}

impl KeptTopic {
    /// Tells the loops that messages are missing before a place.
    fn gap<D: ClientData>(&mut self, peers: &Peers<D>, position: Option<StreamPosition>) {
        self.log.gap(position);
        self.told = position.or(self.told);
        self.tell(peers, |name| Heard::Gap { topic: name, has_history: true, position });
    }

    fn tell<D: ClientData>(&self, peers: &Peers<D>, heard: impl Fn(Arc<str>) -> Heard) {
        for number in each(self.followed.loops) {
            peers.tell(number, self.followed.topic.0, heard(Arc::clone(&self.name)));
        }
    }

    /// Gives the message that was added last to the loops. A loop for which too much waits is told
    /// of a gap instead.
    fn tell_kept<D: ClientData>(&mut self, peers: &Peers<D>, kept: &Kept) {
        for number in each(self.followed.loops) {
            let heard = Heard::Kept { topic: Arc::clone(&self.name), kept: kept.clone() };
            let place = self.behind.iter().position(|(other, _)| *other == number);
            match (peers.has_room(number, heard.memory()), place) {
                (true, place) => {
                    if place.is_some_and(|place| self.behind.swap_remove(place).1) {
                        let mut log = self.log.clone();
                        log.messages.pop_back();
                        self.tell_gap(peers, number, kept.position.before(), log);
                    }
                    peers.tell(number, self.followed.topic.0, heard);
                }
                (false, Some(place)) => self.behind[place].1 = true,
                (false, None) => {
                    log::warn!("loop {number} is behind: messages of the topic {:?} were dropped", self.name);
                    self.behind.push((number, false));
                    self.tell_gap(peers, number, kept.position, self.log.clone());
                }
            }
        }
    }

    /// Tells a loop of a gap up to a place. Its clients that come later get what is in the log.
    fn tell_gap<D: ClientData>(&self, peers: &Peers<D>, number: usize, position: StreamPosition, log: Log) {
        let (route, name) = (self.followed.topic.0, &self.name);
        let position = Some(position);
        peers.tell(number, route, Heard::Gap { topic: Arc::clone(name), has_history: true, position });
        peers.tell(number, route, Heard::Log { topic: Arc::clone(name), log });
    }
}

impl Heard {
    /// Returns the memory that counts while it waits.
    fn memory(&self) -> usize {
        match self {
            Heard::Kept { kept, .. } => size_of::<Kept>() + kept.message.as_bytes().len(),
            _ => 0,
        }
    }
}

impl<D: ClientData> Peers<D> {
    /// Returns whether so much more may wait for a loop.
    fn has_room(&self, number: usize, memory: usize) -> bool {
        let waiting = self.loops.get(number).map_or(0, |peer| peer.waiting.load(Ordering::Relaxed));
        waiting.saturating_add(memory) <= self.most_waiting
    }

    /// A loop handles what it was told.
    pub(super) fn note_heard(&self, number: usize, heard: &Heard) {
        if let Some(peer) = self.loops.get(number) {
            peer.waiting.fetch_sub(heard.memory(), Ordering::Relaxed);
        }
    }

    /// Tells a loop what the backplane has reported.
    fn tell(&self, number: usize, route: u16, heard: Heard) {
        if let Some(peer) = self.loops.get(number) {
            peer.waiting.fetch_add(heard.memory(), Ordering::Relaxed);
            peer.queue.push_always(Route::Number(route), Act::Tell(Event::new(heard)));
        }
    }

    /// A loop begins to follow a topic with a history.
    pub(super) fn follow_kept(&self, number: usize, route: u16, full: Arc<str>, name: Arc<str>, history: History) {
        let Some(hub) = self.hub.get() else { return };
        let mut topics = lock(&hub.topics);
        let topic = topics.kept.entry(Arc::clone(&full)).or_insert_with(|| {
            lock(&hub.orders).push_back(Order::Subscribe(Arc::clone(&full), Some(history)));
            let followed = Followed { topic: (route, Some(Box::from(&*name))), loops: 0 };
            KeptTopic {
                followed,
                full,
                name: Arc::clone(&name),
                history,
                log: Log::default(),
                told: None,
                behind: Vec::new(),
            }
        });
        topic.followed.loops |= 1 << number;
        // It gets the whole log now.
        topic.behind.retain(|(other, _)| *other != number);
        // What is reported from now on comes behind this.
        self.tell(number, route, Heard::Log { topic: name, log: topic.log.clone() });
        drop(topics);
        hub.tell();
    }

    /// Reads all that is kept of a topic once more, for all loops: a client may know more than they
    /// do.
    pub(super) fn read_kept_again(&self, full: &Arc<str>) {
        let Some(hub) = self.hub.get() else { return };
        hub.with_kept(full, |topic| {
            // Else it is being read.
            if topic.log.is_caught {
                hub.read_again(topic);
                topic.tell(self, |name| Heard::Log { topic: name, log: Log::default() });
            }
        });
        hub.tell();
    }
}

impl Hub {
    fn new() -> Hub {
        Hub {
            topics: Mutex::default(),
            orders: Mutex::default(),
            telling: Mutex::default(),
            link: OnceLock::new(),
            is_up: AtomicBool::new(false),
            losses: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self) -> BackplaneStatus {
        BackplaneStatus {
            is_up: self.is_up.load(Ordering::Relaxed),
            losses: self.losses.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            gaps: self.gaps.load(Ordering::Relaxed),
            kept_bytes: lock(&self.topics).kept.values().map(|topic| topic.log.bytes).sum(),
        }
    }

    fn came_up(&self) {
        // Whoever has read that it cannot be reached wants to know.
        let level = if self.losses.load(Ordering::Relaxed) > 0 { log::Level::Warn } else { log::Level::Info };
        log::log!(level, "the backplane can be reached");
        self.is_up.store(true, Ordering::Relaxed);
    }

    fn went_down(&self, why: &str) {
        log::warn!("the backplane cannot be reached: {why}");
        self.is_up.store(false, Ordering::Relaxed);
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    fn with_kept(&self, topic: &Arc<str>, then: impl FnOnce(&mut KeptTopic)) {
        if let Some(topic) = lock(&self.topics).kept.get_mut(topic) {
            then(topic);
        }
    }

    /// Tells the backplane what it is to be told. It may report something at once, so no other lock
    /// is held meanwhile. If this is called while something is told, whoever tells it goes on.
    fn tell(&self) {
        let Some(link) = self.link.get() else { return };
        while !lock(&self.orders).is_empty() {
            let _telling = match self.telling.try_lock() {
                Ok(telling) => telling,
                // A link has panicked. Its state is its own.
                Err(TryLockError::Poisoned(telling)) => telling.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            loop {
                let order = lock(&self.orders).pop_front();
                match order {
                    Some(Order::Subscribe(topic, history)) => link.subscribe(&topic, history, None),
                    Some(Order::Unsubscribe(topic)) => link.unsubscribe(&topic),
                    None => break,
                }
            }
        }
    }

    /// Reads all that is kept of a topic once more.
    fn read_again(&self, topic: &mut KeptTopic) {
        topic.log = Log { start: topic.log.start, ..Log::default() };
        let mut orders = lock(&self.orders);
        orders.push_back(Order::Unsubscribe(Arc::clone(&topic.full)));
        orders.push_back(Order::Subscribe(Arc::clone(&topic.full), Some(topic.history)));
    }

    /// A loop has the first member of a topic without a history. Without a name, it is the route
    /// itself, whose broadcasts the loop gets.
    pub(super) fn follow(&self, number: usize, route: u16, full: Arc<str>, name: Option<&str>) {
        let mut topics = lock(&self.topics);
        let followed = topics.plain.entry(Arc::clone(&full)).or_insert_with(|| {
            lock(&self.orders).push_back(Order::Subscribe(full, None));
            Followed { topic: (route, name.map(Box::from)), loops: 0 }
        });
        followed.loops |= 1 << number;
        drop(topics);
        self.tell();
    }

    /// A loop no longer follows a topic.
    pub(super) fn unfollow(&self, number: usize, full: &Arc<str>, has_history: bool) {
        let mut topics = lock(&self.topics);
        let Topics { plain, kept } = &mut *topics;
        let is_last = |followed: &mut Followed| {
            followed.loops &= !(1 << number);
            followed.loops == 0
        };
        let is_over = match has_history {
            true => kept.get_mut(full).is_some_and(|topic| is_last(&mut topic.followed)) && kept.remove(full).is_some(),
            false => plain.get_mut(full).is_some_and(is_last) && plain.remove(full).is_some(),
        };
        if is_over {
            lock(&self.orders).push_back(Order::Unsubscribe(Arc::clone(full)));
        }
        drop(topics);
        self.tell();
    }

    /// Publishes a message.
    pub(super) fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        let outcome = self.link.get().ok_or(PublishError::Away).and_then(|link| link.publish(publication));
        if outcome.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Returns the link, for what needs no order.
    pub(super) fn link(&self) -> Option<&dyn BackplaneLink> {
        self.link.get().map(|link| &**link)
    }
}
