//! Topics of several servers, and topics with a history, as a loop sees them.

use super::clients::Clients;
use super::hub::Heard;
use super::log::Log;
use crate::parts::BACKPLANE;
use crate::protocol::Message;
use crate::protocol::time::Tick;
use crate::server::backplane::{History, Kept, StreamPosition};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many epochs that have ended a loop remembers of a topic.
const MOST_ENDED: usize = 8;

/// From where on a client gets the messages of a topic with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Since {
    /// Those that are published from now on. If this server does not follow the topic yet, what is
    /// published before the engine has answered may be missing.
    Now,
    /// First the last few that are kept.
    Last(u32),
    /// First all that are kept.
    Oldest,
    /// First all after this place. If one of them is no longer kept, or the place is beyond the
    /// end or of another epoch, there is a gap, and then all that are kept. If the engine cannot be
    /// reached, a client waits that may know more than this server: its place is beyond the end
    /// here, or of an epoch that this server does not know.
    ///
    /// An engine that has lost its last messages while no server followed the topic gives their
    /// places to others. To notice that too, give the place before the client's last message, and
    /// compare the first message that comes with it.
    After(StreamPosition),
}

/// For whom a message of a topic with a history is: all members on this loop, or a client that has
/// come back.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    pub(crate) topic: &'a str,
    pub(crate) client: Option<ClientId>,
}

impl Audience<'_> {
    /// Returns the client, if it is for one.
    pub const fn client(&self) -> Option<ClientId> {
        self.client
    }

    /// Queues a message for all of them. Returns for how many it was queued.
    pub fn send<'m, D: ClientData>(&self, clients: &mut Clients<D>, message: impl Into<Message<'m>>) -> usize {
        match self.client {
            Some(id) => usize::from(clients.send(id, message).is_ok()),
            None => clients.publish_to(self.topic, None, message.into()),
        }
    }
}

/// The topics with a history that a loop follows, and what it waits for.
#[derive(Default)]
pub(crate) struct KeptTopics {
    pub(super) topics: HashMap<(u16, Arc<str>), KeptTopic>,
    /// The topics with clients that may be served.
    pub(super) due: VecDeque<(u16, Arc<str>)>,
    /// The routes and tokens of publications without an outcome, and of questions without an
    /// answer.
    pub(super) asked: HashMap<u64, (u16, u64)>,
    next_ticket: u64,
}

pub(super) struct KeptTopic {
    full: Arc<str>,
    history: History,
    log: Log,
    /// When each message of the log has arrived.
    arrived: VecDeque<Tick>,
    /// The place up to which members know the topic. `None` until its history has been read.
    told: Option<StreamPosition>,
    /// The epochs that have ended last, as far as this loop knows.
    ended: VecDeque<u64>,
    /// Clients that are no members yet.
    waiting: Vec<Waiting>,
    /// Those of them that get what they have missed in this turn, the first one first.
    served: VecDeque<ClientId>,
    /// How many waited after those that have disconnected were last removed.
    looked_through: usize,
    /// It is in the list of topics that are due.
    is_due: bool,
}

/// A client that is no member yet.
struct Waiting {
    id: ClientId,
    since: Since,
    /// It may know more than was known here, so the history was read again.
    was_read_again: bool,
}

impl KeptTopics {
    /// Notes that the handler of a route has asked something. Returns a number for it.
    pub(super) fn ask(&mut self, route: u16, token: u64) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket = (ticket + 1) % (1 << 56);
        self.asked.insert(ticket, (route, token));
        ticket
    }
}

/// What one client is to get before it becomes a member.
pub(crate) struct Replay {
    pub(crate) id: ClientId,
    /// Messages were lost: those up to this place.
    pub(crate) gap: Option<StreamPosition>,
    pub(crate) messages: Vec<Kept>,
    /// Where the topic ends.
    pub(crate) end: StreamPosition,
}

impl KeptTopic {
    pub(super) fn new(full: Arc<str>, history: History) -> KeptTopic {
        KeptTopic {
            full,
            history,
            log: Log::default(),
            arrived: VecDeque::new(),
            told: None,
            ended: VecDeque::new(),
            waiting: Vec::new(),
            served: VecDeque::new(),
            looked_through: 1,
            is_due: false,
        }
    }

    /// Returns whether it is needed for clients that are no members yet.
    fn is_awaited(&self) -> bool {
        !(self.waiting.is_empty() && self.served.is_empty())
    }

    /// Returns whether it is to be put into the list of topics that are due: clients may be served,
    /// and it is not there yet.
    pub(super) fn becomes_due(&mut self) -> bool {
        self.log.is_caught && !self.waiting.is_empty() && !std::mem::replace(&mut self.is_due, true)
    }

    /// A client begins to wait.
    pub(super) fn add(&mut self, id: ClientId, since: Since) {
        self.waiting.push(Waiting { id, since: self.with_place(since), was_read_again: false });
    }

    /// Returns whether a client waits.
    pub(super) fn has_waiting(&self, id: ClientId) -> bool {
        self.waiting.iter().any(|other| other.id == id) || self.served.contains(&id)
    }

    /// A client no longer waits. Returns whether it did.
    fn remove(&mut self, id: ClientId) -> bool {
        let place = self.waiting.iter().position(|other| other.id == id);
        place.map(|place| self.waiting.remove(place)).is_some() || self.end_service(id)
    }

    /// A client has been served, or is not to be served further. Returns whether it was. They are
    /// served in this order, so it is usually the first.
    fn end_service(&mut self, id: ClientId) -> bool {
        let place = self.served.iter().position(|other| *other == id);
        place.is_some_and(|place| self.served.remove(place).is_some())
    }

    /// Forgets clients that have disconnected, each time that twice as many wait as before.
    pub(super) fn forget_some(&mut self, is_connected: impl Fn(ClientId) -> bool) {
        if self.waiting.len() > 2 * self.looked_through + 64 {
            self.waiting.retain(|client| is_connected(client.id));
            self.looked_through = self.waiting.len();
        }
    }

    /// Notes what was reported. Returns whether the members are to be told.
    fn hear(&mut self, heard: &Heard, now: Tick) -> bool {
        let is_read = self.told.is_some();
        let mut is_news = false;
        match heard {
            Heard::Log { log, .. } => {
                self.log = log.clone();
                if log.is_caught {
                    self.told = self.told.or(log.end());
                }
                self.arrived = log.messages.iter().map(|_| now).collect();
            }
            Heard::Kept { kept, .. } => {
                self.log.push(kept.clone(), self.history);
                self.arrived.push_back(now);
                // After a gap, what was kept from before it comes as well.
                let StreamPosition { epoch, offset } = kept.position;
                is_news = self.told.is_some_and(|told| told.epoch != epoch || told.offset < offset);
                if is_news {
                    self.told = Some(kept.position);
                }
            }
            Heard::Caught { position, .. } => {
                self.log.caught(*position);
                self.told = self.told.or(Some(*position));
            }
            Heard::Gap { position, .. } => {
                self.log.gap(*position);
                self.arrived.clear();
                let before = self.told.filter(|told| position.is_some_and(|now| now.epoch != told.epoch));
                if let Some(before) = before {
                    self.end_epoch(before.epoch);
                }
                self.told = self.told.and(position.or(self.told));
                is_news = is_read;
            }
            Heard::Published { .. } | Heard::Members { .. } => {}
        }
        let dropped = self.arrived.len() - self.log.messages.len();
        self.arrived.drain(..dropped);
        if self.log.is_caught {
            for place in 0..self.waiting.len() {
                self.waiting[place].since = self.with_place(self.waiting[place].since);
            }
        }
        is_news
    }

    /// Notes that an epoch has ended. The history need not be read again for clients that know a
    /// place in it.
    fn end_epoch(&mut self, epoch: u64) {
        if !self.ended.contains(&epoch) {
            self.ended.truncate(MOST_ENDED - 1);
            self.ended.push_front(epoch);
        }
    }

    /// Turns [`Since::Now`] into a place, as soon as that is known: what comes until the client is
    /// served is for it as well.
    fn with_place(&self, since: Since) -> Since {
        match (since, self.log.end()) {
            (Since::Now, Some(end)) if self.log.is_caught => Since::After(end),
            _ => since,
        }
    }

    /// Drops messages that are too old.
    fn forget_old(&mut self, now: Tick) {
        while self.arrived.front().is_some_and(|arrived| arrived.after(self.history.age).is_due(now)) {
            self.arrived.pop_front();
            self.log.drop_first();
        }
    }

    /// Returns what a client gets from there on. `None` if it may know more than this server: a
    /// later place, or one of another epoch, which may have begun after this one.
    fn replay(&self, id: ClientId, since: Since) -> Option<Replay> {
        let (log, start, end) = (&self.log, self.log.start?, self.log.end()?);
        let all = log.messages.len();
        let (gap, skipped) = match since {
            Since::Now => (None, all),
            Since::Last(count) => (None, all.saturating_sub(count as usize)),
            Since::Oldest => (None, 0),
            Since::After(place) if self.ended.contains(&place.epoch) => (Some(start), 0),
            Since::After(place) if place.epoch != end.epoch || place.offset > end.offset => return None,
            Since::After(place) if place.offset < start.offset => (Some(start), 0),
            Since::After(place) => (None, (place.offset - start.offset) as usize),
        };
        Some(Replay { id, gap, messages: log.messages.iter().skip(skipped).cloned().collect(), end })
    }

    /// Returns what a client gets that knows a place which does not exist.
    fn replay_all(&mut self, id: ClientId, since: Since) -> Option<Replay> {
        let (gap, end) = (self.log.start, self.log.end()?);
        match since {
            Since::After(place) if place.epoch != end.epoch => self.end_epoch(place.epoch),
            _ => {}
        }
        Some(Replay { id, gap, messages: self.log.messages.iter().cloned().collect(), end })
    }

    /// Returns what clients get that have waited. Those are left for whom the history is to be read
    /// again, which is the second result, and those who are too many: clients and messages count up
    /// to `most`.
    fn replays(&mut self, most: usize, is_connected: impl Fn(ClientId) -> bool) -> (Vec<Replay>, bool) {
        let (mut replays, mut count, mut reads_again) = (Vec::new(), 0, false);
        for mut client in std::mem::take(&mut self.waiting).into_iter().filter(|client| is_connected(client.id)) {
            if count >= most || !self.log.is_caught {
                self.waiting.push(client);
                continue;
            }
            let replay = match self.replay(client.id, client.since) {
                None if client.was_read_again => self.replay_all(client.id, client.since),
                known => known,
            };
            let Some(replay) = replay else {
                (client.was_read_again, reads_again) = (true, true);
                self.waiting.push(client);
                continue;
            };
            count += 1 + replay.messages.len();
            replays.push(replay);
        }
        if reads_again {
            self.log.is_caught = false;
        }
        self.served = replays.iter().map(|replay| replay.id).collect();
        (replays, reads_again)
    }
}

impl<D: ClientData> Clients<D> {
    // ---- for the loop --------------------------------------------------------------------------

    /// Stops following a topic with a history, if nobody needs it here.
    pub(super) fn end_kept(&mut self, route: u16, topic: &str) {
        let number = self.loop_number();
        let has_members = !self.table.topics().members(route, topic).is_empty();
        let Some(beyond) = self.beyond.get_mut().filter(|_| !has_members) else { return };
        let kept = &mut beyond.kept;
        let key = (route, Arc::from(topic));
        if kept.topics.get(&key).is_none_or(KeptTopic::is_awaited) {
            return;
        }
        let (Some(ended), Some(peers)) = (kept.topics.remove(&key), self.hub_peers()) else { return };
        if let Some(hub) = peers.hub.get() {
            hub.unfollow(number, &ended.full, true);
        }
    }

    /// Notes what the backplane has reported. Returns what the handler of the current route is to
    /// be told of it.
    pub(crate) fn hear(&mut self, mut heard: Heard) -> Option<Heard> {
        if let Some(peers) = self.peers() {
            peers.note_heard(self.loop_number(), &heard);
        }
        let (route, now) = (self.route, self.table.now());
        if let Heard::Gap { has_history: false, topic, .. } = &heard {
            // A topic that has a history is told of a gap once.
            let has_history =
                self.beyond.get().is_some_and(|beyond| beyond.kept.topics.contains_key(&(route, Arc::clone(topic))));
            return (!has_history).then_some(heard);
        }
        let kept = &mut self.beyond.get_mut()?.kept;
        let topic = match &mut heard {
            Heard::Published { token, .. } | Heard::Members { token, .. } => {
                (self.route, *token) = kept.asked.remove(&*token)?;
                return Some(heard);
            }
            Heard::Log { topic, .. } | Heard::Kept { topic, .. } => Arc::clone(topic),
            Heard::Caught { topic, .. } | Heard::Gap { topic, .. } => Arc::clone(topic),
        };
        let key = (route, topic);
        let known = kept.topics.get_mut(&key)?;
        let is_news = known.hear(&heard, now);
        if known.becomes_due() {
            kept.due.push_back(key);
        }
        is_news.then_some(heard)
    }

    /// Returns whether clients may be served that wait for a topic with a history.
    #[inline]
    pub(crate) fn has_replays(&self) -> bool {
        BACKPLANE.is_used() && self.due_topics() > 0
    }

    /// Returns the number of topics with clients that may be served.
    pub(crate) fn due_topics(&self) -> usize {
        self.beyond.get().map_or(0, |beyond| beyond.kept.due.len())
    }

    /// Returns what clients get that have waited for a topic, at most so many messages and clients.
    /// Its route becomes the current one.
    pub(crate) fn next_replays(&mut self, most: usize) -> Option<(Arc<str>, Vec<Replay>)> {
        let (table, now) = (&self.table, self.table.now());
        let kept = &mut self.beyond.get_mut()?.kept;
        let key = kept.due.pop_front()?;
        let (mut replays, mut read_again) = (Vec::new(), None);
        if let Some(topic) = kept.topics.get_mut(&key) {
            topic.is_due = false;
            topic.forget_old(now);
            let reads_again;
            (replays, reads_again) = topic.replays(most, |id| table.find(id).is_some());
            if reads_again {
                read_again = Some(Arc::clone(&topic.full));
            } else if topic.becomes_due() {
                kept.due.push_back(key.clone());
            }
        }
        if let (Some(full), Some(peers)) = (read_again, self.hub_peers()) {
            peers.read_kept_again(&full);
        }
        let (route, topic) = key;
        self.route = route;
        Some((topic, replays))
    }

    /// Returns whether a client still gets what it has missed of a topic of the current route. It
    /// may not want it any more.
    pub(crate) fn is_served(&mut self, id: ClientId, topic: &Arc<str>) -> bool {
        self.kept_topic(self.route, topic).is_some_and(|known| known.served.contains(&id))
    }

    /// A client has got what it has missed: it becomes a member.
    pub(crate) fn replayed(&mut self, id: ClientId, topic: &Arc<str>) {
        if let Some(known) = self.kept_topic(self.route, topic) {
            known.end_service(id);
        }
        self.subscribe(id, topic);
    }

    /// All clients of a topic have got what they have missed.
    pub(crate) fn replays_are_over(&mut self, topic: &Arc<str>) {
        if let Some(known) = self.kept_topic(self.route, topic) {
            known.served.clear();
        }
        self.end_kept(self.route, topic);
    }

    /// A client no longer waits for a topic with a history. Returns whether it did.
    pub(super) fn wait_no_more(&mut self, index: usize, id: ClientId, topic: &str) -> bool {
        let route = self.table[index].route;
        let has_waited = self.kept_topic(route, &Arc::from(topic)).is_some_and(|known| known.remove(id));
        if has_waited {
            self.end_kept(route, topic);
        }
        has_waited
    }

    fn kept_topic(&mut self, route: u16, topic: &Arc<str>) -> Option<&mut KeptTopic> {
        self.beyond.get_mut()?.kept.topics.get_mut(&(route, Arc::clone(topic)))
    }
}
