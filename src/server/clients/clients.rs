//! What is there for all clients, and how does the loop keep it up to date?

use super::time::TimerExtra;

use super::admission::Admission;
use super::pressure::Pressure;
use super::remote::Remote;
use super::shutdown::Shutdown;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, Connection, SendError, Shared, State};
use crate::server::config::Config;
use crate::server::id::ClientId;
use crate::server::net::{Resolver, Socket};
use crate::server::observe::{Tally, Watch};
use crate::server::table::{
    AppTimer, Armed, Client, Entries, Extra, Flags, MAX_INDEX, Node, ReadyQueue, Topics, Wheel,
};
use slab::Slab;
use std::collections::HashMap;
use std::num::NonZeroU32;

/// How many clients there is room for at first. Pages that nobody has been on take no memory, but
/// those of smaller tables would, which the allocator keeps when the table has grown out of them.
const PLACES: usize = 4_096;

/// All clients of a server, and what can be done with them.
pub struct Clients<D> {
    pub(crate) slab: Slab<Client<D>>,
    /// Nobody has ever been at this place, nor behind it.
    pub(super) places: usize,
    pub(crate) shared: Shared,
    pub(crate) now: Tick,
    /// Those that may have something to read, the longest waiting first.
    pub(crate) readable: ReadyQueue,
    /// Those that have something to write, or a half to close.
    pub(crate) writable: ReadyQueue,
    /// Those that have ended.
    pub(crate) ended: Vec<u32>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) pressure: Pressure,
    pub(crate) admission: Admission,
    pub(crate) tally: Tally,
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) memory_budget: usize,
    pub(crate) max_connections: usize,
    /// How many clients are [listed](Flags::LISTED).
    pub(super) open: usize,
    /// The same by route; routes that nobody has been on may be missing.
    pub(crate) open_by_route: Vec<usize>,
    pub(super) generation: u32,
    pub(super) wheel: Wheel,
    pub(super) timers: Slab<AppTimer>,
    /// What few timers need: a period, a route.
    pub(super) timer_extras: HashMap<u32, TimerExtra>,
    pub(super) topics: Topics,
    /// Those for which a connection is to be opened.
    pub(crate) connecting: Vec<u32>,
    pub(crate) remote: Remote<D>,
    pub(crate) resolver: Option<Resolver>,
    /// Every new client is traced.
    pub(super) traces_all: bool,
    /// The route whose handler is being called; `iter` and topics keep to it.
    pub(crate) route: u16,
    /// The patterns of a router's routes.
    pub(crate) route_patterns: Vec<String>,
}

impl<D> Clients<D> {
    // ---- for the loop --------------------------------------------------------------------------

    pub(crate) fn new(config: &Config, shared: Shared, now: Tick, remote: Remote<D>) -> Clients<D> {
        Clients {
            slab: Slab::with_capacity(PLACES),
            places: 0,
            shared,
            now,
            readable: ReadyQueue::default(),
            writable: ReadyQueue::default(),
            ended: Vec::new(),
            shutdown: None,
            pressure: Pressure::new(config.pause_timeout),
            admission: Admission::new(config, now),
            tally: Tally::default(),
            watch: None,
            memory_budget: config.memory_budget,
            max_connections: config.max_connections.unwrap_or(MAX_INDEX).min(MAX_INDEX),
            open: 0,
            open_by_route: Vec::new(),
            generation: 0,
            wheel: Wheel::new(now),
            timers: Slab::new(),
            timer_extras: HashMap::new(),
            topics: Topics::default(),
            connecting: Vec::new(),
            remote,
            resolver: None,
            traces_all: false,
            route: 0,
            route_patterns: Vec::new(),
        }
    }

    /// Time has passed.
    pub(crate) fn set_now(&mut self, now: Tick) {
        self.now = now;
    }

    pub(super) fn next_generation(&mut self) -> NonZeroU32 {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        NonZeroU32::new(self.generation).unwrap_or(NonZeroU32::MIN)
    }

    /// The place of a client that is still here.
    pub(crate) fn find(&self, id: ClientId) -> Option<usize> {
        let client = self.slab.get(id.index as usize)?;
        (client.generation == id.generation).then_some(id.index as usize)
    }

    /// A further route of a router, by its pattern; returns its number.
    pub(crate) fn add_route(&mut self, pattern: &str) -> u16 {
        let number = u16::try_from(self.route_patterns.len()).expect("at most 65,536 routes");
        self.route_patterns.push(pattern.to_owned());
        number
    }

    pub(crate) fn set_route(&mut self, id: ClientId, route: u16) {
        if let Some(index) = self.find(id) {
            self.slab[index].route = route;
        }
    }

    /// Queues a client that has something to read.
    pub(crate) fn queue_read(&mut self, index: usize) {
        if self.slab[index].flags.raise(Flags::READ_QUEUED) {
            self.readable.push(index as u32);
        }
    }

    /// Queues a client for writing, unless the kernel takes nothing from it now.
    pub(crate) fn queue_write(&mut self, index: usize) {
        if self.slab[index].flags.raise_to_write() {
            self.writable.push(index as u32);
        }
    }

    /// Something was queued for a client, or could not be.
    pub(super) fn queued(&mut self, index: usize, outcome: Result<(), SendError>) -> Result<(), SendError> {
        match outcome {
            Ok(()) => self.queue_write(index),
            Err(error) => return Err(self.not_queued(index, error)),
        }
        self.relieve();
        outcome
    }

    /// What follows from a message not having been queued, and what its sender is told.
    #[cold]
    pub(super) fn not_queued(&mut self, index: usize, error: SendError) -> SendError {
        if error != SendError::Full {
            return error;
        }
        if self.slab[index].flags.has(Flags::DROPS) {
            self.count_dropped(index);
            return SendError::Dropped;
        }
        self.slab[index].connection.end(&mut self.shared, CloseReason::SlowConsumer);
        self.settle(index);
        error
    }

    /// Brings the queues and the deadline of a client up to its state. To be called when something
    /// may have changed it.
    #[inline(always)]
    pub(crate) fn settle(&mut self, index: usize) {
        let client = &mut self.slab[index];
        if client.deadline.due().is_none() || !client.connection.is_flowing() {
            self.settle_state(index);
        } else if client.connection.buffered_amount() > 0 && client.flags.raise_to_write() {
            // All of its deadlines move away with each byte that it hears.
            self.writable.push(index as u32);
        }
    }

    #[inline(never)]
    fn settle_state(&mut self, index: usize) {
        let client = &mut self.slab[index];
        let state = client.connection.state();
        // What is left unread when the socket is closed makes the kernel send a reset; and the
        // peer's Close does not wait for a rate, nor for memory.
        let reads_on = match state {
            State::Draining => true,
            State::Closing => client.flags.lower(Flags::WAITS),
            State::Handshaking | State::Deciding | State::Open | State::Flushing | State::Closed => false,
        };
        if reads_on && client.flags.lower(Flags::UNREAD) {
            self.queue_read(index);
        }
        if state != State::Open {
            self.unlist(index);
        }
        let client = &mut self.slab[index];
        match state {
            State::Closed => {
                if client.flags.raise(Flags::REAP_QUEUED) {
                    self.ended.push(index as u32);
                }
                return;
            }
            State::Draining if !client.flags.has(Flags::HALF_CLOSED) => self.queue_write(index),
            State::Handshaking | State::Deciding | State::Open | State::Closing | State::Draining | State::Flushing => {
                if client.connection.buffered_amount() > 0 {
                    self.queue_write(index);
                }
            }
        }
        self.arm_deadline(index);
    }

    /// Arms a client's deadline, if it comes before the one that is armed.
    fn arm_deadline(&mut self, index: usize) {
        let deadline = self.slab[index].connection.deadline(&self.shared.limits, self.now);
        if let Some(due) = deadline.into_iter().chain(self.waits_until(index)).reduce(Tick::earlier) {
            self.arm(index, due);
        }
    }

    /// Something is due for a client then, if nothing is due before.
    pub(crate) fn arm(&mut self, index: usize, due: Tick) {
        let client = &self.slab[index];
        if client.deadline.due().is_none_or(|armed| due.is_before(armed)) {
            let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
            self.wheel.arm(&mut nodes, Armed::Client(index as u32), due, self.now);
        }
    }

    /// A connection that begins.
    pub(crate) fn insert(&mut self, socket: Socket, connection: Connection<Extra>) -> usize
    where
        D: Default,
    {
        let generation = self.next_generation();
        self.shared.counters.begins();
        let index = self.slab.insert(Client {
            connection,
            socket,
            deadline: Node::new(),
            generation,
            route: 0,
            flags: Flags::default(),
            data: D::default(),
        });
        self.places = self.places.max(index + 1);
        if self.traces_all {
            let label = self.slab[index].id(index).to_u64();
            self.slab[index].connection.trace(Some(label));
        }
        self.arm_deadline(index);
        index
    }

    /// The client is open now.
    pub(crate) fn opened(&mut self, index: usize) -> bool {
        let opened = self.slab[index].flags.raise(Flags::OPENED);
        if opened {
            self.tally.opened += 1;
            // Whoever answered the request may have closed at once.
            if self.slab[index].connection.state() == State::Open {
                self.list(index);
            }
            // The handshake's deadline means nothing any more.
            let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
            self.wheel.disarm(&mut nodes, Armed::Client(index as u32));
            self.arm_deadline(index);
        }
        opened
    }

    /// From now on, `len` counts a client and `iter` finds it.
    fn list(&mut self, index: usize) {
        let client = &mut self.slab[index];
        client.flags.set(Flags::LISTED);
        let route = usize::from(client.route);
        if self.open_by_route.len() <= route {
            self.open_by_route.resize(route + 1, 0);
        }
        self.open_by_route[route] += 1;
        self.open += 1;
    }

    /// From now on, `len` does not count a client any more, and `iter` does not find it.
    fn unlist(&mut self, index: usize) {
        let client = &mut self.slab[index];
        if client.flags.lower(Flags::LISTED) {
            self.open_by_route[usize::from(client.route)] -= 1;
            self.open -= 1;
        }
    }

    /// Frees a client's place. Only the end of a turn does.
    pub(crate) fn remove(&mut self, index: usize) {
        let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
        self.wheel.disarm(&mut nodes, Armed::Client(index as u32));
        self.leaves(index);
        self.pressure.forget(index as u32);
        if self.slab[index].connection.extra().is_some_and(|extra| !extra.subscriptions.is_empty()) {
            self.topics.leave_all(&mut self.slab, index as u32);
        }
        self.unlist(index);
        let client = self.slab.remove(index);
        self.shared.counters.ends(client.connection.state());
    }
}
