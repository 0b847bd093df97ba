//! What there is for all clients of a loop, beside the [`Table`].

use super::admission::Admission;
use super::pressure::Pressure;
use super::remote::Remote;
use super::shutdown::Shutdown;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, Connection, SendError, Shared};
use crate::server::config::Config;
use crate::server::id::ClientId;
use crate::server::net::{Resolver, Socket};
use crate::server::observe::Watch;
use crate::server::table::{At, Extra, LoopKey, MAX_INDEX, Table};

/// Records a connection's story under a label, or stops to.
type Trace = fn(&mut Connection<Extra>, Option<u64>);

/// All clients of a server, and what can be done with them.
pub struct Clients<D> {
    /// Its [`LoopKey`] is not here, so nothing here writes to a socket or frees a place.
    pub(crate) table: Table<D>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) pressure: Pressure,
    pub(crate) admission: Admission,
    pub(crate) watch: Option<Box<Watch>>,
    pub(super) memory_budget: usize,
    pub(super) max_connections: usize,
    pub(super) remote: Remote<D>,
    pub(crate) resolver: Option<Resolver>,
    /// How each new client is traced, if they are: [`Connection::trace`].
    pub(super) trace_new: Option<Trace>,
    /// The route whose handler is being called; `iter` and topics keep to it.
    pub(crate) route: u16,
    /// The patterns of a router's routes.
    pub(crate) route_patterns: Vec<String>,
}

impl<D> Clients<D> {
    /// No clients yet, and the key for the engine.
    pub(crate) fn new(config: &Config, shared: Shared, now: Tick, remote: Remote<D>) -> (Clients<D>, LoopKey) {
        let (table, key) = Table::new(shared, now);
        let clients = Clients {
            table,
            shutdown: None,
            pressure: Pressure::new(config.pause_timeout),
            admission: Admission::new(config, now),
            watch: None,
            memory_budget: config.memory_budget,
            max_connections: config.max_connections.unwrap_or(MAX_INDEX).min(MAX_INDEX),
            remote,
            resolver: None,
            trace_new: None,
            route: 0,
            route_patterns: Vec::new(),
        };
        (clients, key)
    }

    /// The place of a client that is still here.
    pub(crate) fn find(&self, id: ClientId) -> Option<usize> {
        self.table.find(id)
    }

    /// A further route of a router, by its pattern; returns its number.
    pub(crate) fn add_route(&mut self, pattern: &str) -> u16 {
        let number = u16::try_from(self.route_patterns.len()).expect("at most 65,536 routes");
        self.route_patterns.push(pattern.to_owned());
        number
    }

    pub(crate) fn set_route(&mut self, id: ClientId, route: u16) {
        if let Some(index) = self.find(id) {
            self.table[index].route = route;
        }
    }

    /// A connection begins; returns its place.
    pub(crate) fn insert(&mut self, socket: Socket, connection: Connection<Extra>) -> usize
    where
        D: Default,
    {
        let index = self.table.insert(socket, connection);
        if let Some(trace) = self.trace_new {
            let client = &mut self.table[index];
            let label = client.id(index).to_u64();
            trace(&mut client.connection, Some(label));
        }
        index
    }

    /// Frees a client's place.
    pub(crate) fn remove(&mut self, key: &LoopKey, index: usize) {
        self.leaves(index);
        self.table.remove(key, index);
    }

    /// Ends a client's connection at once.
    pub(crate) fn end(&mut self, index: usize, reason: CloseReason) {
        let At { client, shared, .. } = self.table.at(index);
        client.connection.end(shared, reason);
        self.table.settle(index);
    }

    /// Something was queued for a client, or could not be.
    pub(super) fn queued(&mut self, index: usize, outcome: Result<(), SendError>) -> Result<(), SendError> {
        match outcome {
            Ok(()) => self.table.queue_write(index),
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
        if self.table[index].may_drop() {
            self.count_dropped(index);
            return SendError::Dropped;
        }
        self.end(index, CloseReason::SlowConsumer);
        error
    }
}
