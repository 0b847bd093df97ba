//! The table of all clients of a loop, with its queues.
//!
//! The fields are private to this room. [`Clients`](crate::Clients) wraps a table and only queues.
//! Reading, writing and removing take the [`LoopKey`], which only the engine has.

use super::client::{Client, Extra};
use super::clock::LoopClock;
use super::flags::Flags;
use super::gate::{Reason, Timed};
use super::key::{Locked, LoopKey};
use super::ready_queue::ReadyQueue;
use super::reserved::ReservedExtras;
use super::sessions::Sessions;
use super::timers::{AppTimer, TimerExtra};
use super::topics::{Subscribers, Subscription, Topics};
use super::wheel::{Node, Wheel};
use crate::parts::{CLIENT_TIMERS, LOOPS, RESERVE, TOPICS};
use crate::protocol::time::{Moment, Tick};
#[cfg(feature = "tls")]
use crate::protocol::tls::Session;
use crate::protocol::{Connection, Shared, State};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::net::{Clock, Socket};
use crate::server::observe::LoopCounters;
use slab::Slab;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};
use std::time::Duration;

/// The capacity of a table with its first client, if there may be so many. Pages that were never
/// touched take no memory. A smaller table would leave its old blocks behind in the allocator as it
/// grows.
const PLACES: usize = 4_096;

/// Places beyond [`max_connections`](crate::Config::max_connections), for connections that are
/// refused or have not asked yet.
const UNCOUNTED: usize = 64;

/// All clients of a loop, by index.
pub(crate) struct Table<D: ClientData> {
    pub(super) slab: Slab<Client<D>>,
    /// The capacity that the slab gets with its first client.
    pub(super) first_capacity: usize,
    /// All clients that ever were have had an index below this one.
    pub(super) places: usize,
    pub(super) shared: Shared,
    /// The [clients' time](LoopClock) at the beginning of the turn.
    pub(super) now: Tick,
    pub(super) clock: LoopClock,
    counters: LoopCounters,
    /// Clients that may have something to read, the longest waiting first.
    pub(super) readable: ReadyQueue,
    /// Clients that have output, or whose half of the stream is to be closed.
    pub(super) writable: ReadyQueue,
    /// Clients for which a connection is to be opened.
    pub(super) connecting: Vec<u32>,
    /// Clients whose streams were adopted, and are not watched yet.
    pub(super) adopted: Vec<ClientId>,
    /// Clients that have ended.
    pub(super) ended: Vec<u32>,
    pub(super) timed: Timed,
    pub(super) wheel: Wheel,
    pub(super) timers: Slab<AppTimer>,
    pub(super) timer_extras: HashMap<u32, TimerExtra>,
    pub(super) topics: Topics,
    /// The chosen subprotocols, by the clients' indexes. Those beyond its end have none.
    subprotocols: Vec<Option<Box<str>>>,
    sessions: Sessions,
    /// What is reserved for connections that come.
    pub(super) reserved: ReservedExtras,
    /// How many clients are [listed](Flags::LISTED).
    listed: usize,
    /// `listed` by route. Routes beyond its end have no clients.
    listed_by_route: Vec<usize>,
    pub(super) generation: u32,
    /// What comes after the last generation, and the distance of two generations: the number of the
    /// server's loops. Ids of different loops differ in their generations.
    first_generation: u32,
    loops: u32,
}

/// Mutable borrows of a client and of what its connection needs.
pub(crate) struct At<'t, D: ClientData> {
    pub(crate) client: &'t mut Client<D>,
    pub(crate) shared: &'t mut Shared,
    pub(crate) counters: &'t mut LoopCounters,
    pub(crate) writable: &'t mut ReadyQueue,
    pub(crate) now: Tick,
}

/// The one panic of all lookups.
#[cold]
#[inline(never)]
fn no_client_at(index: usize) -> ! {
    panic!("there is no client at index {index}")
}

impl<D: ClientData> Index<usize> for Table<D> {
    type Output = Client<D>;

    #[inline]
    fn index(&self, index: usize) -> &Client<D> {
        match self.slab.get(index) {
            Some(client) => client,
            None => no_client_at(index),
        }
    }
}

impl<D: ClientData> IndexMut<usize> for Table<D> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut Client<D> {
        match self.slab.get_mut(index) {
            Some(client) => client,
            None => no_client_at(index),
        }
    }
}

impl<D: ClientData> Subscribers for Slab<Client<D>> {
    fn subscriptions(&mut self, client: u32) -> &mut Vec<Subscription> {
        &mut self[client as usize].connection.extra_mut().subscriptions
    }
}

impl<D: ClientData> Table<D> {
    /// Returns an empty table for at most so many counted connections, and its only key.
    pub(crate) fn new(shared: Shared, clock: Clock, most: usize) -> (Table<D>, LoopKey) {
        let clock = LoopClock::new(clock);
        let table = Table {
            slab: Slab::new(),
            first_capacity: most.saturating_add(UNCOUNTED).min(PLACES),
            places: 0,
            shared,
            now: clock.client_now(),
            counters: LoopCounters::default(),
            readable: ReadyQueue::default(),
            writable: ReadyQueue::default(),
            connecting: Vec::new(),
            adopted: Vec::new(),
            ended: Vec::new(),
            timed: Timed::default(),
            wheel: Wheel::new(clock.now()),
            clock,
            timers: Slab::new(),
            timer_extras: HashMap::new(),
            topics: Topics::default(),
            subprotocols: Vec::new(),
            sessions: Sessions::default(),
            reserved: ReservedExtras::default(),
            listed: 0,
            listed_by_route: Vec::new(),
            generation: 0,
            first_generation: 1,
            loops: 1,
        };
        (table, LoopKey::new())
    }

    // ---- lookup --------------------------------------------------------------------------------

    /// Returns the index of a client that is connected.
    pub(crate) fn find(&self, id: ClientId) -> Option<usize> {
        let client = self.slab.get(id.index as usize)?;
        (client.generation == id.generation).then_some(id.index as usize)
    }

    /// Returns the client at an index, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<&Client<D>> {
        self.slab.get(index)
    }

    /// Borrows the client at an index, which must exist.
    #[inline]
    pub(crate) fn at(&mut self, index: usize) -> At<'_, D> {
        let Table { slab, shared, counters, writable, now, .. } = self;
        let client = match slab.get_mut(index) {
            Some(client) => client,
            None => no_client_at(index),
        };
        At { client, shared, counters, writable, now: *now }
    }

    /// Borrows the client at an index, if there is one.
    #[inline]
    pub(crate) fn get_at(&mut self, index: usize) -> Option<At<'_, D>> {
        let Table { slab, shared, counters, writable, now, .. } = self;
        Some(At { client: slab.get_mut(index)?, shared, counters, writable, now: *now })
    }

    /// Iterates over all clients, by index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Client<D>)> {
        self.slab.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Client<D>)> {
        self.slab.iter_mut()
    }

    /// Returns the number of connections in any state.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Returns an index below which all clients are.
    pub(crate) const fn places(&self) -> usize {
        self.places
    }

    /// Returns the number of [listed](Flags::LISTED) clients.
    pub(crate) const fn open_len(&self) -> usize {
        self.listed
    }

    /// Returns the number of such clients on a route.
    pub(crate) fn open_on(&self, route: u16) -> usize {
        self.listed_by_route.get(usize::from(route)).copied().unwrap_or_default()
    }

    // ---- shared state -------------------------------------------------------------------------

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

    /// Borrows all counters.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) const fn counting(&mut self) -> (&mut LoopCounters, &mut crate::protocol::Counters) {
        (&mut self.counters, &mut self.shared.counters)
    }

    /// Returns the [clients' time](LoopClock) at the beginning of the turn.
    pub(crate) const fn now(&self) -> Tick {
        self.now
    }

    pub(crate) const fn clock(&self) -> &LoopClock {
        &self.clock
    }

    pub(crate) const fn clock_mut(&mut self) -> &mut LoopClock {
        &mut self.clock
    }

    /// Begins a turn.
    pub(crate) const fn begin_turn(&mut self, turn: Moment) {
        self.clock.begin_turn(turn);
        self.now = self.clock.client_now();
    }

    /// The loop was absent. For clients, that time has not passed.
    pub(crate) fn lose_time(&mut self, absent: Duration) {
        self.clock.lose(absent);
        self.now = self.clock.client_now();
    }

    // ---- life of a client ----------------------------------------------------------------------

    pub(super) fn next_generation(&mut self) -> NonZeroU32 {
        let (first, step) = if LOOPS.is_used() { (self.first_generation, self.loops) } else { (1, 1) };
        self.generation = self.generation.checked_add(step).unwrap_or(first);
        NonZeroU32::new(self.generation).unwrap_or(NonZeroU32::MIN)
    }

    /// Adds a connection and returns its index.
    pub(crate) fn insert(&mut self, socket: Socket, mut connection: Connection<Extra>) -> usize {
        if RESERVE.is_used() {
            self.reserved.give(&mut connection);
        }
        let generation = self.next_generation();
        self.shared.counters.begins();
        if self.slab.capacity() == 0 {
            self.slab.reserve_exact(self.first_capacity);
        }
        let index = self.slab.insert(Client {
            connection,
            socket: Locked::new(socket),
            deadline: Node::new(),
            generation,
            route: 0,
            flags: Flags::default(),
            data: D::Stored::default(),
        });
        self.places = self.places.max(index + 1);
        self.arm_deadline(index);
        index
    }

    /// Notes that a client is open. Returns `false` if that was known.
    pub(crate) fn opened(&mut self, index: usize) -> bool {
        let opened = self[index].flags.raise(Flags::OPENED);
        if opened {
            self.counters.opened += 1;
            // The application may have closed the client right after its answer.
            if self[index].connection.state() == State::Open {
                self.list(index);
            }
            // The deadline of the handshake no longer applies.
            self.disarm(index);
            self.arm_deadline(index);
        }
        opened
    }

    /// Makes room for the count of a route's clients.
    pub(crate) fn expect_route(&mut self, route: u16) {
        let routes = usize::from(route) + 1;
        if self.listed_by_route.len() < routes {
            self.listed_by_route.resize(routes, 0);
        }
    }

    /// Lists a client: `len` counts it, and `iter` returns it.
    pub(super) fn list(&mut self, index: usize) {
        self[index].flags.set(Flags::LISTED);
        let route = self[index].route;
        self.expect_route(route);
        self.listed_by_route[usize::from(route)] += 1;
        self.listed += 1;
    }

    /// Undoes [`list`](Self::list).
    fn unlist(&mut self, index: usize) {
        if self[index].flags.lower(Flags::LISTED) {
            let route = usize::from(self[index].route);
            self.listed_by_route[route] -= 1;
            self.listed -= 1;
        }
    }

    /// Removes a client and drops its socket. Only the end of a turn does that.
    pub(crate) fn remove(&mut self, _: &LoopKey, index: usize) {
        self.disarm(index);
        self.forget_times(index);
        if CLIENT_TIMERS.is_used() {
            self.end_timers(index);
        }
        if let Some(subprotocol) = self.subprotocols.get_mut(index) {
            *subprotocol = None;
        }
        let has_topics = self[index].connection.extra().is_some_and(|extra| !extra.subscriptions.is_empty());
        if has_topics && TOPICS.is_used() {
            self.topics.leave_all(&mut self.slab, index as u32);
        }
        self.unlist(index);
        self.remove_session(index);
        let mut client = self.slab.remove(index);
        self.shared.counters.ends(client.connection.state());
        if RESERVE.is_used() {
            self.reserved.take_back(&mut client.connection);
        }
    }

    // ---- subprotocols --------------------------------------------------------------------------

    /// Returns the subprotocol that was chosen for a client, once it is open.
    pub(crate) fn subprotocol(&self, index: usize) -> Option<&str> {
        let chosen = self.subprotocols.get(index)?.as_deref();
        chosen.filter(|_| self[index].flags.has(Flags::OPENED))
    }

    /// Returns the subprotocol that was chosen for a client, whether it is open or not.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) fn chosen_subprotocol(&self, index: usize) -> Option<&str> {
        self.subprotocols.get(index)?.as_deref()
    }

    /// Notes the subprotocol that is chosen for a client. If its handshake fails, nobody sees it.
    #[inline(never)]
    pub(crate) fn set_subprotocol(&mut self, index: usize, name: &str) {
        while self.subprotocols.len() <= index {
            self.subprotocols.push(None);
        }
        self.subprotocols[index] = Some(name.into());
    }

    // ---- TLS -----------------------------------------------------------------------------------

    pub(crate) const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Takes a client's session out, to use it together with the client.
    #[cfg(feature = "tls")]
    pub(crate) fn take_session(&mut self, index: usize) -> Option<Box<Session>> {
        self.sessions.take(index)
    }

    /// Puts a client's session in, or back.
    #[cfg(feature = "tls")]
    pub(crate) fn put_session(&mut self, index: usize, session: Box<Session>) {
        self.sessions.put(&mut self.shared, index, session);
    }

    /// Lets a client's session rest, if it has one.
    #[cfg(feature = "tls")]
    pub(crate) fn rest_session(&mut self, index: usize) {
        self.sessions.rest(index);
    }

    /// Drops a client's session, if it has one.
    pub(crate) fn remove_session(&mut self, index: usize) {
        self.sessions.remove(&mut self.shared, index);
    }

    /// Takes out the session of a client that leaves with it.
    #[cfg(feature = "tls")]
    pub(crate) fn give_session_away(&mut self, index: usize) -> Option<Box<Session>> {
        let mut session = self.sessions.take(index)?;
        self.shared.recount(&mut session.counted, 0);
        session.rest();
        Some(session)
    }

    // ---- several loops -------------------------------------------------------------------------

    /// Makes the table that of one of several loops. It must have no clients and no timers.
    pub(crate) fn join_loops(&mut self, number: usize, loops: usize) {
        let (number, loops) = (number as u32, loops as u32);
        (self.generation, self.loops) = (number, loops);
        self.first_generation = if number == 0 { loops } else { number };
    }

    /// Returns the number of this loop among those of its server.
    pub(crate) const fn loop_number(&self) -> usize {
        (self.first_generation % self.loops) as usize
    }

    // ---- topics --------------------------------------------------------------------------------

    /// Makes a client a member of a topic of its route. Returns `false` if it is one already.
    pub(crate) fn subscribe(&mut self, index: usize, topic: &str) -> bool {
        TOPICS.use_it();
        let route = self[index].route;
        self.topics.subscribe(&mut self.slab, index as u32, route, topic)
    }

    /// Ends a membership. Returns `false` if there was none.
    pub(crate) fn unsubscribe(&mut self, index: usize, topic: &str) -> bool {
        let route = self[index].route;
        self.topics.unsubscribe(&mut self.slab, index as u32, route, topic)
    }

    /// Returns the index of topics.
    pub(crate) const fn topics(&self) -> &Topics {
        &self.topics
    }

    // ---- settling ------------------------------------------------------------------------------

    /// Brings a client's queues and deadline up to its state. Must be called after each call that
    /// may have changed the state, its output or what it has received.
    #[inline(never)]
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
            // Neither rate, memory nor a pause delays the peer's Close.
            State::Closing => {
                self.resume(index);
                self.open(index, Reason::Rate);
                self.open(index, Reason::Memory);
            }
            State::Handshaking | State::Deciding | State::Open | State::Flushing | State::Responding => {}
        }
        let client = &self[index];
        let has_half_to_close = state == State::Draining && !client.flags.has(Flags::HALF_CLOSED);
        if client.connection.buffered_amount() > 0 || has_half_to_close {
            self.queue_write(index);
        }
        self.arm_deadline(index);
    }

    /// Queues a client that has ended. The end of the turn removes it.
    fn settle_closed(&mut self, index: usize) {
        self.forget_times(index);
        if self[index].flags.raise(Flags::REAP_QUEUED) {
            self.ended.push(index as u32);
        }
    }
}
