//! The loops of a server, as seen from one of them.
//!
//! Loops share no client and no handler. What they share is here: their queues, how many
//! connections each has, which topics have members where, and the limits that hold for all of them
//! together.

use super::admission::SharedLimits;
use super::clients::Clients;
use super::handed::Handed;
use super::hub::Hub;
use super::queue::{Act, Queue, Route, lock};
use super::servers::Channel;
use crate::parts::LOOPS;
use crate::protocol::{Message, OwnedMessage, SendError};
use crate::server::config::{Config, Drain};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::table::{Client, Flags, Reason, Spread};
use std::cell::LazyCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// The most loops of a server.
pub(crate) const MOST_LOOPS: usize = 64;

/// The loops of a server.
pub(crate) struct Peers<D: ClientData> {
    pub(super) loops: Vec<Peer<D>>,
    /// The topics of each loop.
    spread: Spread,
    limits: SharedLimits,
    /// What other servers are told, if there are any.
    pub(super) hub: OnceLock<Hub>,
    /// The most bytes of messages and requests of others that wait for a loop.
    pub(super) most_waiting: usize,
}

pub(super) struct Peer<D: ClientData> {
    pub(super) queue: Arc<Queue<D>>,
    /// Its connections, with those that are on their way to it.
    pub(super) connections: AtomicUsize,
    /// Connections that others have accepted for it.
    pub(super) handed: Mutex<Vec<Handed>>,
    /// Bytes of messages and requests of others that wait for it.
    pub(super) waiting: AtomicUsize,
    /// The topics of which messages were dropped because too many waited, and how many. It is to be
    /// told.
    missed: Mutex<Vec<(Topic, u64)>>,
    pub(super) has_stopped: AtomicBool,
    must_stop: AtomicBool,
}

/// A route and the name of a topic. Without a name: all clients of the route.
pub(super) type Topic = (u16, Option<Box<str>>);

/// A message for the clients of other loops.
pub(super) struct Published {
    pub(super) topic: Topic,
    /// The key, if the message replaces an earlier one.
    pub(super) key: Option<u64>,
    pub(super) message: Arc<OwnedMessage>,
}

impl Published {
    /// Returns about how much memory it takes.
    fn memory(&self) -> usize {
        let topic = self.topic.1.as_ref().map_or(0, |name| name.len());
        size_of::<Published>() + topic + Message::from(&*self.message).as_bytes().len()
    }
}

impl<D: ClientData> Peer<D> {
    fn new(queue: Arc<Queue<D>>) -> Peer<D> {
        Peer {
            queue,
            connections: AtomicUsize::new(0),
            handed: Mutex::default(),
            waiting: AtomicUsize::new(0),
            missed: Mutex::default(),
            has_stopped: AtomicBool::new(false),
            must_stop: AtomicBool::new(false),
        }
    }

    /// Lets the loop turn, and look at what has changed.
    pub(super) fn wake(&self) {
        self.run(|_| {});
    }

    fn run(&self, call: impl FnOnce(&mut Clients<D>) + Send + 'static) {
        self.queue.push_always(Route::FIRST, Act::Run(Box::new(call)));
    }
}

impl<D: ClientData> Peers<D> {
    /// Joins the loops of these queues. For each of them, at most so many bytes of messages of the
    /// others wait.
    pub(crate) fn new(
        queues: impl Iterator<Item = Arc<Queue<D>>>,
        config: &Config,
        most_waiting: usize,
    ) -> Arc<Peers<D>> {
        LOOPS.use_it();
        let (loops, limits) = (queues.map(Peer::new).collect(), SharedLimits::new(config));
        let (spread, hub) = (Spread::default(), OnceLock::new());
        let peers = Arc::new(Peers { loops, spread, limits, hub, most_waiting });
        for peer in &peers.loops {
            peer.queue.join_loops(&peers);
        }
        peers
    }

    pub(super) fn queue(&self, number: usize) -> Option<&Arc<Queue<D>>> {
        self.loops.get(number).map(|peer| &peer.queue)
    }

    /// Returns the queue of the loop to which a client belongs: its generation says that.
    pub(super) fn queue_of(&self, id: ClientId) -> &Arc<Queue<D>> {
        &self.loops[id.generation.get() as usize % self.loops.len()].queue
    }

    pub(crate) fn len(&self) -> usize {
        self.loops.len()
    }

    /// Returns the connections of all loops.
    fn connections(&self) -> usize {
        self.loops.iter().map(|peer| peer.connections.load(Ordering::Relaxed)).sum()
    }

    pub(super) const fn limits(&self) -> &SharedLimits {
        &self.limits
    }

    /// A loop has ended, or has never begun. The first one may wait for that. What was on its way
    /// to it is dropped: calls, and connections that it has not got.
    pub(crate) fn stopped(&self, number: usize) {
        let peer = &self.loops[number];
        peer.has_stopped.store(true, Ordering::Release);
        peer.queue.close();
        let handed = std::mem::take(&mut *lock(&peer.handed));
        peer.connections.fetch_sub(handed.len(), Ordering::Relaxed);
        drop(handed);
        self.loops[0].wake();
    }

    /// Stops all loops but one at once.
    pub(crate) fn stop_others(&self, number: usize) {
        for (_, peer) in self.loops.iter().enumerate().filter(|(other, _)| *other != number) {
            peer.must_stop.store(true, Ordering::Release);
            peer.wake();
        }
    }

    /// Runs something on a loop.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) fn run_on(&self, number: usize, call: impl FnOnce(&mut Clients<D>) + Send + 'static) {
        self.loops[number].run(call);
    }

    /// Gives a message to a loop. If too many wait there, the message is dropped, and the loop is
    /// told.
    pub(super) fn publish(self: &Arc<Self>, number: usize, published: &Arc<Published>) {
        let (peer, memory) = (&self.loops[number], published.memory());
        let waiting = peer.waiting.fetch_add(memory, Ordering::Relaxed);
        let peers = Arc::clone(self);
        if waiting.saturating_add(memory) <= self.most_waiting {
            let published = Arc::clone(published);
            peer.run(move |clients| {
                peers.loops[number].waiting.fetch_sub(memory, Ordering::Relaxed);
                clients.publish_here(&published);
            });
            return;
        }
        peer.waiting.fetch_sub(memory, Ordering::Relaxed);
        let mut missed = lock(&peer.missed);
        if let Some((_, count)) = missed.iter_mut().find(|(topic, _)| *topic == published.topic) {
            *count += 1;
            return;
        }
        missed.push((published.topic.clone(), 1));
        drop(missed);
        // The message itself must not wait.
        let topic = published.topic.clone();
        peer.run(move |clients| {
            let mut missed = lock(&peers.loops[number].missed);
            let found = missed.iter().position(|(other, _)| *other == topic);
            let found = found.map(|place| missed.swap_remove(place));
            drop(missed);
            if let Some((topic, count)) = found {
                clients.missed(&topic, count);
            }
        });
    }
}

impl<D: ClientData> Clients<D> {
    /// Returns the loops of the server, if there are several.
    #[inline(always)]
    pub(super) fn peers(&self) -> Option<Arc<Peers<D>>> {
        if LOOPS.is_used() { self.remote.peers() } else { None }
    }

    /// Returns the number of the loop that calls, from 0 on. See
    /// [`Server::loops`](crate::Server::loops).
    pub fn loop_number(&self) -> usize {
        self.table.loop_number()
    }

    /// Returns the number of the server's loops.
    pub fn loops(&self) -> usize {
        self.peers().map_or(1, |peers| peers.len())
    }

    /// Returns the connections of all loops of the server, in any state.
    pub fn connections_of_all_loops(&self) -> usize {
        self.peers().map_or(self.table.len(), |peers| peers.connections())
    }

    // ---- for the loop --------------------------------------------------------------------------

    /// Makes the loop one of several.
    pub(crate) fn join_loops(&mut self, number: usize) {
        if let Some(peers) = self.peers() {
            self.table.join_loops(number, peers.len());
        }
    }

    /// Counts a connection that was added or removed.
    pub(super) fn count_connection(&self, is_new: bool) {
        if let Some(peers) = self.peers() {
            let connections = &peers.loops[self.loop_number()].connections;
            match is_new {
                true => connections.fetch_add(1, Ordering::Relaxed),
                false => connections.fetch_sub(1, Ordering::Relaxed),
            };
        }
    }

    /// Returns whether this loop may end: the first one waits for the others, because it gets the
    /// signals.
    pub(crate) fn may_end(&self) -> bool {
        let Some(peers) = self.peers() else { return true };
        self.loop_number() > 0 || peers.loops[1..].iter().all(|peer| peer.has_stopped.load(Ordering::Acquire))
    }

    /// Returns whether this loop has been told to stop at once.
    pub(crate) fn must_stop(&self) -> bool {
        self.peers().is_some_and(|peers| peers.loops[self.loop_number()].must_stop.load(Ordering::Acquire))
    }

    /// Stops all other loops at once.
    #[cfg(all(unix, feature = "signals"))]
    pub(crate) fn stop_other_loops(&self) {
        if let Some(peers) = self.peers() {
            peers.stop_others(self.loop_number());
        }
    }

    // ---- topics --------------------------------------------------------------------------------

    /// A client has joined a topic. The other loops are told if it is the first one here.
    pub(super) fn joined_on_loop(&self, index: usize, topic: &str) {
        let Some(peers) = self.peers() else { return };
        let route = self.table[index].route;
        if self.table.topics().members(route, topic).len() == 1 {
            peers.spread.begin(self.loop_number(), route, topic);
            self.follow_topic(route, topic);
        }
    }

    /// A client has left a topic. The other loops are told if it was the last one here.
    pub(super) fn left_on_loop(&mut self, index: usize, topic: &str) {
        let Some(peers) = self.peers() else { return };
        let route = self.table[index].route;
        if self.table.topics().members(route, topic).is_empty() {
            peers.spread.end(self.loop_number(), route, topic);
            self.unfollow_topic(route, topic);
        }
    }

    /// A client that ends leaves all its topics.
    pub(super) fn leave_topics_of_loop(&mut self, index: usize) {
        if self.peers().is_some() {
            self.leave_all_topics(index);
        }
    }

    // ---- messages for other loops --------------------------------------------------------------

    /// Gives a message to the other loops that have members of a topic, and to other servers. It is
    /// copied once, if anybody gets it.
    pub(super) fn publish_elsewhere(&self, topic: &str, key: Option<u64>, message: Message<'_>) {
        let Some(peers) = self.peers() else { return };
        let copy = LazyCell::new(|| Arc::new(OwnedMessage::from(message)));
        self.give_to_servers(&peers, Channel::Topic(topic), key, || Arc::clone(&copy));
        let mut others = peers.spread.others(self.loop_number(), self.route, topic).peekable();
        if others.peek().is_some() {
            let published = Published { topic: (self.route, Some(topic.into())), key, message: Arc::clone(&copy) };
            let published = Arc::new(published);
            others.for_each(|number| peers.publish(number, &published));
        }
    }

    /// Gives a message to all other loops, and to other servers.
    pub(super) fn broadcast_elsewhere(&self, message: Message<'_>) {
        let Some(peers) = self.peers() else { return };
        let copy = LazyCell::new(|| Arc::new(OwnedMessage::from(message)));
        self.give_to_servers(&peers, Channel::Broadcasts, None, || Arc::clone(&copy));
        if peers.len() > 1 {
            let published = Arc::new(Published { topic: (self.route, None), key: None, message: Arc::clone(&copy) });
            let others = (0..peers.len()).filter(|number| *number != self.loop_number());
            others.for_each(|number| peers.publish(number, &published));
        }
    }

    /// Queues what another loop has published.
    fn publish_here(&mut self, published: &Published) {
        let Published { topic: (route, name), key, message } = published;
        self.route = *route;
        let message = Message::from(&**message);
        match (name, key) {
            (None, _) => self.broadcast_to(message),
            (Some(name), None) => self.publish_to(name, None, message),
            (Some(name), Some(key)) => self.publish_latest_to(name, *key, message),
        };
    }

    /// This loop was so far behind that messages of other loops were dropped. Its members of the
    /// topic count as slow consumers: those with a policy that drops messages lose them, and
    /// `on_drain` follows. The others are closed.
    fn missed(&mut self, (route, name): &Topic, count: u64) {
        log::warn!("loop {} is behind: {count} messages for the topic {name:?} were dropped", self.loop_number());
        let members = |name| self.table.topics().members(*route, name).iter().map(|member| member.client as usize);
        let is_meant = |client: &Client<D>| client.route == *route && client.flags.has(Flags::LISTED);
        let meant: Vec<usize> = match name {
            Some(name) => members(name).collect(),
            None => self.table.iter().filter(|(_, client)| is_meant(client)).map(|(index, _)| index).collect(),
        };
        for index in meant {
            if !self.table[index].may_drop() {
                self.not_queued(index, SendError::Full);
                continue;
            }
            self.count_many_dropped(index, count);
            // As if the client had been above the watermark.
            self.table.close(index, Reason::Watermark);
            self.table.queue_write(index);
        }
    }

    /// Begins the shutdown of the other loops.
    pub(super) fn shut_others_down(&self, drain: &Drain) {
        let Some(peers) = self.peers() else { return };
        for number in (0..peers.len()).filter(|number| *number != self.loop_number()) {
            let drain = drain.clone();
            peers.loops[number].run(move |clients| clients.shut_down(drain));
        }
    }
}

impl<D: ClientData> fmt::Debug for Peers<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("loops", &self.loops.len()).finish_non_exhaustive()
    }
}
