//! What can an application do with its clients?
//!
//! Everything here only queues: bytes into outboxes, clients into the queues of the loop. The end
//! of the turn writes and removes. That is why every method can be called from every callback.
//!
//! Here is what can be done with one client, and what the loop needs; `many` has topics and
//! broadcasts, `time` timers, `slow` what becomes of clients that do not read fast enough.

mod many;
mod slow;
mod time;

pub(crate) use slow::Behind;
pub use slow::SlowConsumer;
pub(crate) use time::Expired;
use time::TimerExtra;
pub use time::TimerId;

use super::admission::Admission;
use super::client::{AppTimer, Client, ClientId, Entries, Extra, Flags};
use super::config::Config;
use super::connect::Resolver;
use super::pressure::Pressure;
use super::remote::Remote;
use super::shutdown::{Drain, Shutdown};
use super::socket::Socket;
use super::stats::Tally;
use super::timers::{Armed, MAX_INDEX, Node, Wheel};
use super::topics::{Subscribers, Subscription, Topics};
use super::turnstile::Turnstile;
use super::watch::Watch;
use crate::protocol::time::Tick;
use crate::protocol::{Answer, CloseReason, Connection, Message, Position, ReadyState, Role, SendError, Shared, State};
use slab::Slab;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use tungstenite::protocol::frame::coding::CloseCode;

/// How many clients there is room for at first. Pages that nobody has been on take no memory, but
/// those of smaller tables would, which the allocator keeps when the table has grown out of them.
const PLACES: usize = 4_096;

/// All clients of a server, and what can be done with them.
pub struct Clients<D> {
    pub(crate) slab: Slab<Client<D>>,
    /// Nobody has ever been at this place, nor behind it.
    places: usize,
    pub(crate) shared: Shared,
    pub(crate) now: Tick,
    /// Those that may have something to read, the longest waiting first.
    pub(crate) readable: Turnstile,
    /// Those that have something to write, or a half to close.
    pub(crate) writable: Turnstile,
    /// Those that have ended.
    pub(crate) ended: Vec<u32>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) pressure: Pressure,
    pub(crate) admission: Admission,
    pub(crate) tally: Tally,
    pub(crate) watch: Option<Box<Watch>>,
    pub(crate) memory_budget: usize,
    pub(crate) max_connections: usize,
    open: usize,
    /// The same by route; routes that nobody has been on may be missing.
    pub(crate) open_by_route: Vec<usize>,
    generation: u32,
    wheel: Wheel,
    timers: Slab<AppTimer>,
    /// What few timers need: a period, a route.
    timer_extras: HashMap<u32, TimerExtra>,
    topics: Topics,
    /// Those for which a connection is to be opened.
    pub(crate) connecting: Vec<u32>,
    pub(crate) remote: Remote<D>,
    pub(crate) resolver: Option<Resolver>,
    /// Every new client is traced.
    traces_all: bool,
    /// The route whose handler is being called; `iter` and topics keep to it.
    pub(crate) route: u16,
    /// The patterns of a router's routes.
    pub(crate) route_patterns: Vec<String>,
}

impl<D> Subscribers for Slab<Client<D>> {
    fn subscriptions(&mut self, client: u32) -> &mut Vec<Subscription> {
        &mut self[client as usize].connection.extra_mut().subscriptions
    }
}

impl<D> Clients<D> {
    // ---- one client ----------------------------------------------------------------------------

    /// Queues a message: text for `&str`, binary for `&[u8]`, or what was received as it came.
    ///
    /// All that is queued for a client in one turn goes out in one write, in order.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`], [`SendError::NotOpen`]; [`SendError::Full`] if more than
    /// [`max_unsent`](crate::Limits::max_unsent) bytes would wait: the client is closed then, as a
    /// slow consumer. [`SendError::Dropped`] if [`SlowConsumer::DropNewest`] was chosen for it.
    #[inline]
    pub fn send<'m>(&mut self, id: ClientId, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        let message = message.into();
        let Some(client) = self.slab.get_mut(id.index as usize) else { return Err(SendError::Gone) };
        if client.generation != id.generation {
            return Err(SendError::Gone);
        }
        let is_usual = !client.flags.has(Flags::QUEUES_UNUSUALLY) && client.connection.is_usual(&self.shared, message);
        if !is_usual || !(client.flags.has(Flags::WRITE_QUEUED) || self.writable.push_if_there_is_room(id.index)) {
            return self.send_any(id.index as usize, message);
        }
        client.flags.set(Flags::WRITE_QUEUED);
        match client.connection.send_usual(&mut self.shared, message) {
            true => Ok(()),
            false => self.send_any(id.index as usize, message),
        }
    }

    /// The same, whatever is to be sent to whom.
    #[inline(never)]
    fn send_any(&mut self, index: usize, message: Message<'_>) -> Result<(), SendError> {
        if self.drops(index) {
            return self.drop_newest(index);
        }
        let outcome = self.slab[index].connection.send_any(&mut self.shared, message);
        self.queued(index, outcome)
    }

    /// Queues a piece of a message, for messages that are larger than one would like to have in
    /// memory: one fragment (§5.4). Between the first and the last piece, no other message can
    /// be sent to this client. [`on_drain`](crate::Handler::on_drain) tells when to go on.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Unfinished`] for a piece that does not fit to the
    /// last.
    pub fn send_piece<'m>(
        &mut self,
        id: ClientId,
        piece: impl Into<Message<'m>>,
        position: Position,
    ) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        if position.begins() && self.drops(index) {
            return self.drop_newest(index);
        }
        let outcome = self.slab[index].connection.send_piece(&mut self.shared, piece.into(), position);
        if outcome == Err(SendError::Full) && !position.begins() {
            // Half a message cannot be dropped.
            self.slab[index].flags.clear(Flags::DROPS);
        }
        self.queued(index, outcome)
    }

    /// From its next message on, this client's messages go to
    /// [`on_piece`](crate::Handler::on_piece) as they arrive, whatever their size, and not to
    /// `on_message`; to be called in `on_open`.
    pub fn receive_in_pieces(&mut self, id: ClientId) {
        if let Some(index) = self.find(id) {
            self.slab[index].connection.receive_in_pieces(true);
        }
    }

    /// Queues a ping with at most 125 bytes (RFC 6455 §5.5.2); `on_pong` tells of the answer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TooLong`].
    pub fn ping(&mut self, id: ClientId, payload: &[u8]) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let outcome = self.slab[index].connection.ping(&mut self.shared, payload);
        if outcome == Err(SendError::Full) && self.slab[index].flags.has(Flags::DROPS) {
            return outcome;
        }
        self.queued(index, outcome)
    }

    /// Begins the closing handshake (§7.1.2): what is queued is sent, then the Close frame;
    /// `on_close` is called when the peer has answered, or has not in time. Messages that come
    /// meanwhile are dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`], [`SendError::NotOpen`], [`SendError::InvalidCloseCode`], or
    /// [`SendError::TooLong`] for a reason of more than 123 bytes.
    pub fn close(&mut self, id: ClientId, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        if self.slab[index].flags.has(Flags::LATEST) {
            self.catch_up(index);
        }
        self.slab[index].connection.close(&mut self.shared, self.now, code, reason)?;
        self.settle(index);
        self.relieve();
        Ok(())
    }

    /// Answers a request for which [`Answer::Later`] was given.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] if the client's deadline has passed; [`SendError::NotOpen`] if no answer
    /// is due. A client that has hung up meanwhile is noticed afterwards: `on_open` and
    /// `on_close` follow one another then.
    pub fn answer(&mut self, id: ClientId, answer: impl Into<Answer>) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let connection = &mut self.slab[index].connection;
        let ticket = connection.take_ticket().ok_or(SendError::NotOpen)?;
        if let Err(rejection) = connection.answer(&mut self.shared, self.now, ticket, answer.into()) {
            log::error!("{id} was answered with {}: {rejection}", rejection.status());
        }
        self.settle(index);
        // What came behind the request waits to be handled, and `on_open` to be called.
        self.queue_read(index);
        self.relieve();
        Ok(())
    }

    /// Bytes that wait to be written to this client; 0 if it is gone.
    pub fn buffered_amount(&self, id: ClientId) -> usize {
        self.find(id).map_or(0, |index| self.slab[index].connection.buffered_amount())
    }

    /// In the browser's words; [`ReadyState::Closed`] if it is gone.
    pub fn ready_state(&self, id: ClientId) -> ReadyState {
        self.find(id).map_or(ReadyState::Closed, |index| self.slab[index].connection.state().ready_state())
    }

    /// What the application knows of this client; `None` if it is gone.
    pub fn data(&self, id: ClientId) -> Option<&D> {
        self.find(id).map(|index| &self.slab[index].data)
    }

    /// What the application knows of this client, to be changed; `None` if it is gone.
    pub fn data_mut(&mut self, id: ClientId) -> Option<&mut D> {
        self.find(id).map(|index| &mut self.slab[index].data)
    }

    /// Where the client is: the address that a trusted proxy gave, or the socket's. `None` for Unix
    /// sockets, and if it is gone.
    pub fn peer_addr(&self, id: ClientId) -> Option<SocketAddr> {
        let client = &self.slab[self.find(id)?];
        client.connection.extra().and_then(|extra| extra.proxied).or_else(|| client.socket.peer_addr())
    }

    /// Where its connection comes from, whatever a proxy says: the client itself, or the last proxy
    /// before us. `None` for Unix sockets, and if it is gone.
    pub fn direct_addr(&self, id: ClientId) -> Option<SocketAddr> {
        self.slab[self.find(id)?].socket.peer_addr()
    }

    /// The pattern of the [`Router`](crate::Router)'s route that it is on; `None` before its
    /// request, without a router, and if it is gone.
    pub fn route_of(&self, id: ClientId) -> Option<&str> {
        let client = &self.slab[self.find(id)?];
        let pattern = self.route_patterns.get(usize::from(client.route)).map(String::as_str);
        pattern.filter(|_| client.flags.has(Flags::OPENED))
    }

    /// Whether we have connected to it, rather than it to us.
    pub fn is_outgoing(&self, id: ClientId) -> bool {
        self.find(id).is_some_and(|index| self.slab[index].connection.role() == Role::Client)
    }

    /// From now on, [`on_trace`](crate::Handler::on_trace) of the handler that asks for it is told
    /// what happens on this client's connection, on whichever route that is; if it is asked for
    /// in [`on_request`](crate::Handler::on_request), from the request on. Short messages that
    /// have come in the same read as the one being handled are not told any more. `false`: it
    /// is gone.
    pub fn trace(&mut self, id: ClientId) -> bool {
        let (route, Some(index)) = (self.route, self.find(id)) else { return false };
        let connection = &mut self.slab[index].connection;
        connection.trace(Some(id.to_u64()));
        let traced_by = &mut connection.extra_mut().traced_by;
        if !traced_by.contains(&route) {
            traced_by.push(route);
        }
        true
    }

    /// Ends [`trace`](Self::trace), for the handler that asks. `false`: it is gone.
    pub fn untrace(&mut self, id: ClientId) -> bool {
        let (route, Some(index)) = (self.route, self.find(id)) else { return false };
        let connection = &mut self.slab[index].connection;
        let traced_by = &mut connection.extra_mut().traced_by;
        traced_by.retain(|other| *other != route);
        if traced_by.is_empty() && !self.traces_all {
            connection.trace(None);
        }
        true
    }

    /// Every client that comes from now on is traced, its opening handshake included, and the
    /// handler of its route is told.
    pub fn trace_all(&mut self) {
        self.traces_all = true;
    }

    /// Ends [`trace_all`](Self::trace_all) and every [`trace`](Self::trace), for those who are here
    /// as well.
    pub fn untrace_all(&mut self) {
        self.traces_all = false;
        for (_, client) in &mut self.slab {
            if client.connection.is_traced() {
                client.connection.trace(None);
                client.connection.extra_mut().traced_by.clear();
            }
        }
    }

    // ---- the end -------------------------------------------------------------------------------

    /// Begins to stop the server: upgrades get 503 from now on, clients are closed as `drain` says,
    /// and [`EventLoop::run`](crate::EventLoop::run) returns when the last is gone.
    pub fn shutdown(&mut self, drain: Drain) {
        if self.shutdown.is_none() {
            log::info!("stopping: {} clients are to be closed over {:?}", self.open, drain.over);
            let ids = self.iter_all().collect();
            self.shutdown = Some(Shutdown::new(drain, self.now, ids));
        }
    }

    /// Whether the server is about to stop.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    // ---- for the loop --------------------------------------------------------------------------

    /// The routes whose handlers are told the story of a client.
    pub(crate) fn listeners_to(&self, index: usize) -> Vec<u16> {
        let client = &self.slab[index];
        let mut routes = client.connection.extra().map_or_else(Vec::new, |extra| extra.traced_by.clone());
        if self.traces_all && !routes.contains(&client.route) {
            routes.push(client.route);
        }
        routes
    }

    pub(crate) fn new(config: &Config, shared: Shared, now: Tick, remote: Remote<D>) -> Clients<D> {
        Clients {
            slab: Slab::with_capacity(PLACES),
            places: 0,
            shared,
            now,
            readable: Turnstile::default(),
            writable: Turnstile::default(),
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

    fn next_generation(&mut self) -> NonZeroU32 {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        NonZeroU32::new(self.generation).unwrap_or(NonZeroU32::MIN)
    }

    /// The place of a client that is still here.
    pub(crate) fn find(&self, id: ClientId) -> Option<usize> {
        let client = self.slab.get(id.index as usize)?;
        (client.generation == id.generation).then_some(id.index as usize)
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
    fn queued(&mut self, index: usize, outcome: Result<(), SendError>) -> Result<(), SendError> {
        match outcome {
            Ok(()) => self.queue_write(index),
            Err(error) => return Err(self.not_queued(index, error)),
        }
        self.relieve();
        outcome
    }

    /// What follows from a message not having been queued, and what its sender is told.
    #[cold]
    fn not_queued(&mut self, index: usize, error: SendError) -> SendError {
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
        self.shared.counts.begins();
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
            self.open += 1;
            self.tally.opened += 1;
            let route = usize::from(self.slab[index].route);
            if self.open_by_route.len() <= route {
                self.open_by_route.resize(route + 1, 0);
            }
            self.open_by_route[route] += 1;
            // The handshake's deadline means nothing any more.
            let mut nodes = Entries { clients: &mut self.slab, timers: &mut self.timers };
            self.wheel.disarm(&mut nodes, Armed::Client(index as u32));
            self.arm_deadline(index);
        }
        opened
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
        let client = self.slab.remove(index);
        self.shared.counts.ends(client.connection.state());
        if client.flags.has(Flags::OPENED) {
            self.open -= 1;
            self.open_by_route[usize::from(client.route)] -= 1;
        }
    }
}

impl<D> Client<D> {
    /// Whether it is open, queued to be read, and nothing is unusual about it: it may be read, and
    /// nothing is known of more to come.
    #[inline]
    pub(crate) fn is_carefree(&self, high_water: usize) -> bool {
        let is_usual = self.flags.are(Flags::READS_USUALLY, Flags::UNUSUAL);
        is_usual && self.connection.state() == State::Open && self.connection.buffered_amount() <= high_water
    }

    /// Whether a message for it is to be dropped, if messages for it may be.
    #[cold]
    pub(crate) fn is_dropping(&mut self, high_water: usize) -> bool {
        self.connection.state() == State::Open && self.is_above(high_water)
    }

    /// Notes whether more than `high_water` bytes wait to be written to it, and says so.
    pub(crate) fn is_above(&mut self, high_water: usize) -> bool {
        if self.connection.buffered_amount() > high_water {
            self.flags.set(Flags::HIGH_WATER);
        }
        self.flags.has(Flags::HIGH_WATER)
    }

    pub(crate) fn id(&self, index: usize) -> ClientId {
        ClientId { index: index as u32, generation: self.generation }
    }
}
