//! [`Clients`]: the table of a loop, and what belongs to all clients.

use super::admission::Admission;
use super::beyond::BeyondPlace;
use super::memberships::Memberships;
use super::pressure::Pressure;
use super::rates::RateLimits;
use super::remote::Remote;
use super::shutdown::Shutdown;
use crate::parts::RESERVE;
#[cfg(feature = "tls")]
use crate::protocol::tls::ClientTls;
use crate::protocol::{CloseReason, Connection, Limits, SendError, Shared};
use crate::server::config::Config;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::net::{Clock, Resolver, Socket};
use crate::server::observe::Watch;
use crate::server::table::{At, Extra, LoopKey, MAX_INDEX, Table};
use std::fmt;
use std::time::Duration;

/// [`Connection::trace`]. A pointer, so that programs that do not trace do without it.
type TraceNew = fn(&mut Connection<Extra>, Option<u64>);

/// All clients of a loop, and what an application can do with them. Most servers have one loop; see
/// [`Loops`](crate::Loops) for more.
///
/// Handlers get it as an argument of every callback. Other threads reach it through a
/// [`Remote`](crate::Remote), and a host that turns the loop itself through
/// [`EventLoop::clients_mut`](crate::EventLoop::clients_mut).
///
/// # What you can rely on
///
/// * **Every method only queues.** None writes to a socket, calls a handler or removes a client. So
///   every method may be called in every callback, for every client, including the one that the
///   callback is about.
/// * **Output keeps its order.** What is queued for a client is sent in the order of the calls,
///   control frames included. Only messages of [`send_latest`](Self::send_latest) may come later,
///   and [may be replaced](Self::send_latest).
/// * **Output is written at the end of the turn**, in one write per client where the kernel takes
///   it.
/// * **An accepted message is sent unless the connection ends first.** `Ok` means queued. It does
///   not mean that the peer has received the message: only an answer of the peer shows that.
/// * **Unsent bytes are bounded**: by [`max_unsent`](crate::Limits::max_unsent) for each client,
///   and by [`memory_budget`](crate::Config::memory_budget) for all.
/// * **Ids are not reused.** The [`ClientId`] of a client that has disconnected never means another
///   client. Methods return `false`, `None` or [`SendError::Gone`] for it. After 2³² clients and
///   timers, ids begin again.
/// * **A client stays until [`on_close`](crate::Handler::on_close) has returned.** Until then its
///   data can be read, also after it has been closed.
///
/// Not guaranteed:
///
/// * Calls may close *other* clients. When the memory budget is used up, the clients that hold most
///   are closed at once. They are still found until the end of the turn, but are no longer open.
/// * [`iter`](Self::iter) and [`publish`](Self::publish) visit clients in no particular order.
/// * [`buffered_amount`](Self::buffered_amount) counts bytes that the kernel has not taken. The
///   kernel may have more that the peer has not read.
///
/// It is not `Send`, because its buffers are counted without atomic operations. Other threads use a
/// [`Remote`](crate::Remote).
pub struct Clients<D: ClientData> {
    /// The [`LoopKey`] is not here, so no method can write to a socket or remove a client.
    pub(crate) table: Table<D>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) pressure: Pressure,
    pub(crate) admission: Admission,
    pub(super) rates: RateLimits,
    pub(crate) watch: Option<Box<Watch>>,
    pub(super) memory_budget: usize,
    pub(super) max_connections: usize,
    pub(super) remote: Remote<D>,
    pub(crate) resolver: Option<Resolver>,
    /// What the platform trusts, once a connection has needed it.
    #[cfg(feature = "tls")]
    pub(super) platform_tls: Option<ClientTls>,
    pub(super) beyond: BeyondPlace,
    /// If a handler watches topics.
    pub(super) memberships: Option<Box<Memberships>>,
    /// Traces each new client, if set.
    pub(super) trace_new: Option<TraceNew>,
    /// The route whose handler is being called. `iter`, topics and timers belong to it.
    pub(crate) route: u16,
    /// The patterns of a router's routes.
    pub(crate) route_patterns: Vec<String>,
    /// The most connections that are accepted, if memory is reserved.
    pub(super) places: usize,
}

impl<D: ClientData> fmt::Debug for Clients<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("connections", &self.table.len())
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

impl<D: ClientData> Clients<D> {
    /// Returns the clients of a new loop, and the key for its engine.
    pub(crate) fn new(config: &Config, shared: Shared, clock: Clock, remote: Remote<D>) -> (Clients<D>, LoopKey) {
        let max_connections = config.max_connections.unwrap_or(MAX_INDEX).min(MAX_INDEX);
        let (table, key) = Table::new(shared, clock, max_connections);
        let now = table.now();
        let mut clients = Clients {
            table,
            shutdown: None,
            pressure: Pressure::new(config.pause_timeout),
            admission: Admission::new(config, now),
            rates: RateLimits::new(config.rates.clone()),
            watch: None,
            memory_budget: config.memory_budget,
            max_connections,
            remote,
            resolver: None,
            #[cfg(feature = "tls")]
            platform_tls: None,
            beyond: BeyondPlace::default(),
            memberships: None,
            trace_new: None,
            route: 0,
            route_patterns: Vec::new(),
            places: usize::MAX,
        };
        if let Some(reserve) = config.reserve.as_ref().filter(|_| RESERVE.is_used()) {
            clients.reserve(reserve, config.read_buffer);
        }
        (clients, key)
    }

    /// The loop was absent, at least for `absent` and at most for `gap`. For the deadlines of
    /// clients, `absent` has not passed. What has arrived in `gap` did not arrive at once.
    pub(crate) fn lose_time(&mut self, absent: Duration, gap: Duration) {
        self.table.lose_time(absent);
        self.rates.lose_time(gap);
    }

    /// Returns the index of a client that is connected.
    pub(crate) fn find(&self, id: ClientId) -> Option<usize> {
        self.table.find(id)
    }

    /// Returns the limits of each connection.
    pub const fn limits(&self) -> &Limits {
        &self.table.shared().limits
    }

    /// Returns the first pattern of the handler's route, in a router.
    pub(crate) fn route_pattern(&self) -> Option<&str> {
        self.route_patterns.get(usize::from(self.route)).map(String::as_str)
    }

    /// A further route of a router, by its pattern; returns its number.
    pub(crate) fn add_route(&mut self, pattern: &str) -> u16 {
        let number = u16::try_from(self.route_patterns.len()).expect("at most 65,536 routes");
        self.route_patterns.push(pattern.to_owned());
        self.table.expect_route(number);
        number
    }

    pub(crate) fn set_route(&mut self, id: ClientId, route: u16) {
        if let Some(index) = self.find(id) {
            self.table[index].route = route;
        }
    }

    /// Adds a connection and returns its index.
    pub(crate) fn insert(&mut self, socket: Socket, connection: Connection<Extra>) -> usize {
        let index = self.table.insert(socket, connection);
        self.count_connection(true);
        if let Some(trace) = self.trace_new {
            let client = &mut self.table[index];
            let label = client.id(index).to_u64();
            trace(&mut client.connection, Some(label));
        }
        if log::log_enabled!(log::Level::Debug) {
            self.log_new(index);
        }
        index
    }

    /// Removes a client.
    pub(crate) fn remove(&mut self, key: &LoopKey, index: usize) {
        self.uncount_address(index);
        self.count_connection(false);
        self.leave_topics_of_loop(index);
        self.rates.forget(self.table[index].id(index));
        self.table.remove(key, index);
    }

    /// Ends a connection without a closing handshake.
    pub(crate) fn end(&mut self, index: usize, reason: CloseReason) {
        let At { client, shared, .. } = self.table.at(index);
        client.connection.end(shared, reason);
        self.table.settle(index);
    }

    /// Finishes a call that has queued something for a client, or has failed to.
    pub(super) fn queued(&mut self, index: usize, outcome: Result<(), SendError>) -> Result<(), SendError> {
        match outcome {
            Ok(()) => self.table.queue_write(index),
            Err(error) => return Err(self.not_queued(index, error)),
        }
        self.relieve();
        outcome
    }

    /// Handles a message that could not be queued. Returns the error for the caller.
    #[cold]
    pub(super) fn not_queued(&mut self, index: usize, error: SendError) -> SendError {
        if error != SendError::Full {
            return error;
        }
        if self.table[index].may_drop() {
            self.count_dropped(index);
            return SendError::Dropped;
        }
        self.end(index, CloseReason::SlowConsumer);
        error
    }
}
