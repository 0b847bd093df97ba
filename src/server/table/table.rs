//! All clients of a loop, and the queues in which they stand.
//!
//! The fields are private to this room. [`Clients`](crate::Clients) wraps a table and queues; what
//! writes to sockets and frees places takes the [`LoopKey`], which only the engine has.

use super::client::{Client, Extra};
use super::flags::Flags;
use super::gate::{Reason, Timed};
use super::key::{Locked, LoopKey};
use super::ready_queue::ReadyQueue;
use super::timers::{AppTimer, TimerExtra};
use super::topics::{Subscribers, Subscription, Topics};
use super::wheel::{Node, Wheel};
use crate::parts::TOPICS;
use crate::protocol::time::Tick;
use crate::protocol::{Connection, Shared, State};
use crate::server::id::ClientId;
use crate::server::net::Socket;
use crate::server::observe::{Aside, LoopCounters};
use slab::Slab;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// How many clients there is room for at first. Pages that nobody has been on take no memory, but
/// those of smaller tables would, which the allocator keeps when the table has grown out of them.
const PLACES: usize = 4_096;

/// All clients of a loop, by their places.
pub(crate) struct Table<D> {
    pub(super) slab: Slab<Client<D>>,
    /// Nobody has ever been at this place, nor behind it.
    places: usize,
    pub(super) shared: Shared,
    pub(super) now: Tick,
    counters: LoopCounters,
    /// Those that may have something to read, the longest waiting first.
    pub(super) readable: ReadyQueue,
    /// Those that have something to write, or a half to close.
    pub(super) writable: ReadyQueue,
    /// Those for which a connection is to be opened.
    connecting: Vec<u32>,
    /// Those that have ended.
    ended: Vec<u32>,
    pub(super) timed: Timed,
    pub(super) wheel: Wheel,
    pub(super) timers: Slab<AppTimer>,
    pub(super) timer_extras: HashMap<u32, TimerExtra>,
    topics: Topics,
    /// How many clients are [listed](Flags::LISTED).
    open: usize,
    /// The same by route; routes that nobody has been on may be missing.
    open_by_route: Vec<usize>,
    generation: u32,
}

/// A client, what its connection needs, and the queue for its output.
pub(crate) struct At<'t, D> {
    pub(crate) client: &'t mut Client<D>,
    pub(crate) shared: &'t mut Shared,
    pub(crate) counters: &'t mut LoopCounters,
    pub(crate) writable: &'t mut ReadyQueue,
    pub(crate) now: Tick,
}

/// One panic for all places where a client is looked up.
#[cold]
#[inline(never)]
fn nobody_at(index: usize) -> ! {
    panic!("there is no client at place {index}")
}

impl<D> Index<usize> for Table<D> {
    type Output = Client<D>;

    #[inline]
    fn index(&self, index: usize) -> &Client<D> {
        match self.slab.get(index) {
            Some(client) => client,
            None => nobody_at(index),
        }
    }
}

impl<D> IndexMut<usize> for Table<D> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut Client<D> {
        match self.slab.get_mut(index) {
            Some(client) => client,
            None => nobody_at(index),
        }
    }
}

impl<D> Subscribers for Slab<Client<D>> {
    fn subscriptions(&mut self, client: u32) -> &mut Vec<Subscription> {
        &mut self[client as usize].connection.extra_mut().subscriptions
    }
}

impl<D> Table<D> {
    /// An empty table, and the key to it.
    pub(crate) fn new(shared: Shared, now: Tick) -> (Table<D>, LoopKey) {
        let table = Table {
            slab: Slab::with_capacity(PLACES),
            places: 0,
            shared,
            now,
            counters: LoopCounters::default(),
            readable: ReadyQueue::default(),
            writable: ReadyQueue::default(),
            connecting: Vec::new(),
            ended: Vec::new(),
            timed: Timed::default(),
            wheel: Wheel::new(now),
            timers: Slab::new(),
            timer_extras: HashMap::new(),
            topics: Topics::default(),
            open: 0,
            open_by_route: Vec::new(),
            generation: 0,
        };
        (table, LoopKey::new())
    }

    // ---- who is here ---------------------------------------------------------------------------

    /// The place of a client that is still here.
    pub(crate) fn find(&self, id: ClientId) -> Option<usize> {
        let client = self.slab.get(id.index as usize)?;
        (client.generation == id.generation).then_some(id.index as usize)
    }

    /// The client at a place, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<&Client<D>> {
        self.slab.get(index)
    }

    /// The client at a place, and what its connection needs.
    #[inline]
    pub(crate) fn at(&mut self, index: usize) -> At<'_, D> {
        let Table { slab, shared, counters, writable, now, .. } = self;
        let client = match slab.get_mut(index) {
            Some(client) => client,
            None => nobody_at(index),
        };
        At { client, shared, counters, writable, now: *now }
    }

    /// The same, if there is a client.
    #[inline]
    pub(crate) fn get_at(&mut self, index: usize) -> Option<At<'_, D>> {
        let Table { slab, shared, counters, writable, now, .. } = self;
        Some(At { client: slab.get_mut(index)?, shared, counters, writable, now: *now })
    }

    /// All clients, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Client<D>)> {
        self.slab.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Client<D>)> {
        self.slab.iter_mut()
    }

    /// How many connections there are, open or not.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// A number of places beyond which nobody has ever been.
    pub(crate) const fn places(&self) -> usize {
        self.places
    }

    /// How many clients are [listed](Flags::LISTED).
    pub(crate) const fn open_len(&self) -> usize {
        self.open
    }

    /// How many of them are on a route.
    pub(crate) fn open_on(&self, route: u16) -> usize {
        self.open_by_route.get(usize::from(route)).copied().unwrap_or_default()
    }

    // ---- what all have in common ---------------------------------------------------------------

    pub(crate) const fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) const fn shared_mut(&mut self) -> &mut Shared {
        &mut self.shared
    }

    pub(crate) const fn counters(&self) -> &LoopCounters {
        &self.counters
    }

    pub(crate) const fn counters_mut(&mut self) -> &mut LoopCounters {
        &mut self.counters
    }

    pub(crate) const fn now(&self) -> Tick {
        self.now
    }

    /// Time has passed.
    pub(crate) const fn set_now(&mut self, now: Tick) {
        self.now = now;
    }

    // ---- coming, opening, going ----------------------------------------------------------------

    pub(super) fn next_generation(&mut self) -> NonZeroU32 {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        NonZeroU32::new(self.generation).unwrap_or(NonZeroU32::MIN)
    }

    /// A connection begins; returns its place.
    pub(crate) fn insert(&mut self, socket: Socket, connection: Connection<Extra>) -> usize
    where
        D: Default,
    {
        let generation = self.next_generation();
        self.shared.counters.begins();
        let index = self.slab.insert(Client {
            connection,
            socket: Locked::new(socket),
            deadline: Node::new(),
            generation,
            route: 0,
            flags: Flags::default(),
            data: D::default(),
        });
        self.places = self.places.max(index + 1);
        self.arm_deadline(index);
        index
    }

    /// The client is open now. `false`: it was open before.
    pub(crate) fn opened(&mut self, index: usize) -> bool {
        let opened = self[index].flags.raise(Flags::OPENED);
        if opened {
            self.counters.opened += 1;
            // Whoever answered the request may have closed at once.
            if self[index].connection.state() == State::Open {
                self.list(index);
            }
            // The handshake's deadline means nothing any more.
            self.disarm(index);
            self.arm_deadline(index);
        }
        opened
    }

    /// From now on, `len` counts a client and `iter` finds it.
    fn list(&mut self, index: usize) {
        self[index].flags.set(Flags::LISTED);
        let route = usize::from(self[index].route);
        if self.open_by_route.len() <= route {
            self.open_by_route.resize(route + 1, 0);
        }
        self.open_by_route[route] += 1;
        self.open += 1;
    }

    /// From now on, `len` does not count a client, and `iter` does not find it.
    fn unlist(&mut self, index: usize) {
        if self[index].flags.lower(Flags::LISTED) {
            let route = usize::from(self[index].route);
            self.open_by_route[route] -= 1;
            self.open -= 1;
        }
    }

    /// Frees a client's place.
    pub(crate) fn remove(&mut self, _: &LoopKey, index: usize) {
        self.disarm(index);
        self.forget_times(index);
        let has_topics = self[index].connection.extra().is_some_and(|extra| !extra.subscriptions.is_empty());
        if has_topics && TOPICS.is_used() {
            self.topics.leave_all(&mut self.slab, index as u32);
        }
        self.unlist(index);
        let client = self.slab.remove(index);
        self.shared.counters.ends(client.connection.state());
    }

    // ---- topics --------------------------------------------------------------------------------

    /// Makes a client a member of a topic of its route. `false` if it is one already.
    pub(crate) fn subscribe(&mut self, index: usize, topic: &str) -> bool {
        TOPICS.use_it();
        let route = self[index].route;
        self.topics.subscribe(&mut self.slab, index as u32, route, topic)
    }

    /// Ends a membership. `false` if there was none.
    pub(crate) fn unsubscribe(&mut self, index: usize, topic: &str) -> bool {
        let route = self[index].route;
        self.topics.unsubscribe(&mut self.slab, index as u32, route, topic)
    }

    /// All topics that have members.
    pub(crate) const fn topics(&self) -> &Topics {
        &self.topics
    }

    // ---- queues --------------------------------------------------------------------------------

    /// Whether somebody stands in a queue.
    pub(crate) fn has_work(&self) -> bool {
        let is_idle =
            self.readable.is_empty() && self.writable.is_empty() && self.ended.is_empty() && self.connecting.is_empty();
        !is_idle
    }

    /// Queues a client that has something to read.
    pub(crate) fn queue_read(&mut self, index: usize) {
        if self[index].flags.raise(Flags::READ_QUEUED) {
            self.readable.push(index as u32);
        }
    }

    /// Queues a client for writing, unless the kernel takes nothing from it now.
    #[inline]
    pub(crate) fn queue_write(&mut self, index: usize) {
        if self[index].flags.raise_to_write() {
            self.writable.push(index as u32);
        }
    }

    /// Queues a client for which a connection is to be opened.
    pub(crate) fn queue_connect(&mut self, index: usize) {
        self.connecting.push(index as u32);
    }

    /// Those that may have something to read.
    pub(crate) const fn readable(&mut self) -> &mut ReadyQueue {
        &mut self.readable
    }

    /// Those that have something to write, or a half to close.
    pub(crate) const fn writable(&mut self) -> &mut ReadyQueue {
        &mut self.writable
    }

    /// How many wait to be read, and to be written to.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.readable.len(), self.writable.len())
    }

    /// The next for which a connection is to be opened.
    pub(crate) fn next_connecting(&mut self) -> Option<usize> {
        self.connecting.pop().map(|index| index as usize)
    }

    /// The next that has ended.
    pub(crate) fn next_ended(&mut self) -> Option<usize> {
        self.ended.pop().map(|index| index as usize)
    }

    /// Whether anybody has ended.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Takes those out of the queues that do not stay; [`put_back`](Self::put_back) brings them
    /// back to their places.
    pub(crate) fn set_aside(&mut self, aside: &mut Aside, stays: impl Fn(u32) -> bool) {
        aside.readable.append(&mut self.readable.set_aside(&stays));
        aside.writable.append(&mut self.writable.set_aside(&stays));
        aside.connecting.append(&mut self.connecting);
    }

    pub(crate) fn put_back(&mut self, mut aside: Aside) {
        self.readable.put_back(aside.readable);
        self.writable.put_back(aside.writable);
        aside.connecting.append(&mut self.connecting);
        self.connecting = aside.connecting;
    }

    /// Bytes that the queues take.
    #[cfg(feature = "sim")]
    pub(crate) fn queue_memory(&self) -> usize {
        let places = [self.readable.capacity(), self.writable.capacity(), self.ended.capacity()];
        places.iter().sum::<usize>() * size_of::<u32>()
    }

    // ---- after a change ------------------------------------------------------------------------

    /// Brings the queues and the deadline of a client up to its state. To be called when something
    /// may have changed it.
    #[inline(always)]
    pub(crate) fn settle(&mut self, index: usize) {
        #[cfg(not(lariat_plain))]
        if self.settle_flowing(index) {
            return;
        }
        self.settle_state(index);
    }

    #[inline(never)]
    fn settle_state(&mut self, index: usize) {
        let state = self[index].connection.state();
        if state != State::Open {
            self.unlist(index);
        }
        match state {
            State::Closed => return self.settle_closed(index),
            State::Draining => self.open_to_the_end(index),
            // The peer's Close does not wait for a rate, nor for memory.
            State::Closing => {
                self.open(index, Reason::Rate);
                self.open(index, Reason::Memory);
            }
            State::Handshaking | State::Deciding | State::Open | State::Flushing => {}
        }
        let client = &self[index];
        let has_half_to_close = state == State::Draining && !client.flags.has(Flags::HALF_CLOSED);
        if client.connection.buffered_amount() > 0 || has_half_to_close {
            self.queue_write(index);
        }
        self.arm_deadline(index);
    }

    /// A client has ended: the end of the turn removes it.
    fn settle_closed(&mut self, index: usize) {
        self.forget_times(index);
        if self[index].flags.raise(Flags::REAP_QUEUED) {
            self.ended.push(index as u32);
        }
    }
}
