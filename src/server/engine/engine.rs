//! The engine: new connections, readiness, and calls of the application.

use super::proxied::Trust;
use super::reading::READ_PER_TURN;
#[cfg(feature = "tls")]
use super::secured::Secured;
use crate::parts::{BACKPLANE, EVENTS};
use crate::protocol::{CloseCode, CloseReason, Connection, Role, Shared, State};
use crate::server::app::Handler;
use crate::server::clients::{Act, Call, Clients, Event, Heard, Remote};
use crate::server::config::Config;
use crate::server::id::ClientId;
use crate::server::net::{Arrival, Clock, Readiness, Socket};
use crate::server::observe::{Refusals, Reports};
use crate::server::table::{At, Flags, LoopKey};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The application, its clients, and the key to their sockets.
pub(crate) struct Engine<H: Handler> {
    pub(crate) handler: H,
    pub(crate) clients: Clients<H::Data>,
    /// Only the engine has the key, so only its steps read, write and remove.
    pub(super) key: LoopKey,
    pub(super) trust: Trust,
    /// Responses that were cut off.
    pub(super) cut_off: Reports,
    /// Requests that were refused.
    pub(super) refusals: Refusals,
    pub(super) read_share: usize,
    /// Clients that get a last look, while deadlines are handled.
    pub(super) looked_at: Vec<usize>,
    #[cfg(feature = "tls")]
    pub(super) secured: Secured,
}

/// More statuses than those with which the server refuses requests.
const STATUSES: usize = 16;

impl<H: Handler> Engine<H> {
    pub(crate) fn new(handler: H, config: &Config, shared: Shared, clock: Clock, remote: Remote<H::Data>) -> Engine<H> {
        let (mut clients, key) = Clients::new(config, shared, clock, remote);
        if log::log_enabled!(log::Level::Trace) {
            clients.trace_all();
        }
        // What is read becomes output, which stays in memory until the end of the turn.
        let read_share = READ_PER_TURN.min(config.memory_budget / 16);
        let (mut refusals, mut looked_at) = (Refusals::default(), Vec::new());
        if let Some(reserve) = &config.reserve {
            refusals.reserve(STATUSES);
            looked_at.reserve_exact(reserve.places());
        }
        Engine {
            handler,
            clients,
            key,
            trust: Trust::new(config),
            cut_off: Reports::default(),
            refusals,
            read_share,
            looked_at,
            #[cfg(feature = "tls")]
            secured: Secured::default(),
        }
    }

    /// Calls `on_start`, before the first turn.
    pub(crate) fn start(&mut self) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        if catch_unwind(AssertUnwindSafe(|| handler.on_start(clients))).is_err() {
            log::error!("the handler panicked in on_start");
        }
    }

    // ---- new connections -----------------------------------------------------------------------

    /// Adds a connection that was accepted. `watch` registers its socket with the poller.
    pub(crate) fn accept(
        &mut self,
        socket: Socket,
        arrival: &Arrival,
        watch: impl FnOnce(&mut Socket, usize) -> io::Result<()>,
    ) {
        let index = self.clients.insert(socket, Connection::new(Role::Server, self.clients.table.now()));
        let At { client, counters, .. } = self.clients.table.at(index);
        if arrival.is_proxied {
            client.flags.set(Flags::WRAPPED);
        }
        counters.accepted += 1;
        let id = client.id(index);
        log::debug!("{id} connected from {}", self.clients.shown_address(index));
        self.limit_new_connection(index, arrival);
        self.secure(index, arrival);
        if let Err(error) = watch(self.clients.table[index].socket.open(&self.key), index) {
            log::error!("cannot register a new connection with the poller: {error}");
            self.abandon(index);
        }
    }

    /// Watches adopted streams, with `watch`. What was received before is handled in this turn.
    #[inline(never)]
    pub(crate) fn watch_adopted(&mut self, watch: impl Fn(&mut Socket, usize) -> io::Result<()>) {
        while let Some(index) = self.clients.table.next_adopted() {
            self.clients.table.queue_read(index);
            let Err(error) = watch(self.clients.table[index].socket.open(&self.key), index) else {
                if self.clients.table[index].connection.role() == Role::Client {
                    self.secure_outgoing(index);
                }
                continue;
            };
            log::error!("cannot register an adopted stream with the poller: {error}");
            if self.clients.table[index].connection.state() == State::Open {
                // The application knows it, so it is told of the end.
                self.open(index);
            }
            self.broke(index, error.kind());
            self.clients.table.settle(index);
        }
    }

    /// Removes a connection that cannot be served.
    pub(super) fn abandon(&mut self, index: usize) {
        let At { client, shared, .. } = self.clients.table.at(index);
        client.connection.end(shared, CloseReason::Eof);
        self.clients.remove(&self.key, index);
    }

    /// Takes the next client whose connection is to be opened, with the remote and the local
    /// address.
    pub(crate) fn next_connecting(&mut self) -> Option<(usize, SocketAddr, Option<IpAddr>)> {
        loop {
            let index = self.clients.table.next_connecting()?;
            let Some(At { client, .. }) = self.clients.table.get_at(index) else { continue };
            if client.connection.state() != State::Handshaking {
                // The application has ended it meanwhile.
                continue;
            }
            let Some(outgoing) = &mut client.connection.extra_mut().outgoing else { continue };
            if let Some(address) = outgoing.addresses.pop_front() {
                outgoing.trying = Some(address);
                return Some((index, address, outgoing.source));
            }
        }
    }

    /// Notes that a connection has begun to open, or that it could not.
    pub(crate) fn connecting(&mut self, index: usize, begun: io::Result<Socket>) {
        match begun {
            Ok(socket) => {
                *self.clients.table[index].socket.open(&self.key) = socket;
                self.secure_outgoing(index);
            }
            Err(error) => {
                self.broke(index, error.kind());
                self.clients.table.settle(index);
            }
        }
    }

    // ---- readiness -----------------------------------------------------------------------------

    /// Notes what the poller reports of a client's socket.
    #[inline]
    pub(crate) fn ready(&mut self, readiness: Readiness) {
        #[cfg(not(lariat_plain))]
        if self.ready_to_be_read(readiness) {
            return;
        }
        self.ready_for_all(readiness);
    }

    /// [`ready`](Self::ready), for any readiness.
    #[cold]
    fn ready_for_all(&mut self, Readiness { client: index, readable, writable, read_closed }: Readiness) {
        let table = &mut self.clients.table;
        if table.get(index).is_none() {
            return;
        }
        if readable || read_closed {
            table.queue_read(index);
        }
        let client = &mut table[index];
        if writable && client.flags.lower(Flags::BLOCKED) && client.has_output() {
            table.queue_write(index);
        }
        if read_closed {
            self.clients.note_read_closed(index);
        }
    }

    /// Handles a stream that has failed: tries a server's next address if it was not connected yet,
    /// or ends the connection.
    pub(super) fn broke(&mut self, index: usize, kind: io::ErrorKind) {
        let reason = match self.clients.connecting_to(index) {
            Some(_) if self.clients.connect_to_next(index) => {
                *self.clients.table[index].socket.open(&self.key) = Socket::Unconnected;
                return;
            }
            Some(address) => CloseReason::Unreachable { address, kind },
            None => CloseReason::Io(kind),
        };
        let At { client, shared, .. } = self.clients.table.at(index);
        client.connection.end(shared, reason);
    }

    // ---- calls of the application --------------------------------------------------------------

    /// Calls the application on behalf of a client. If the application panics, only that client is
    /// closed.
    #[inline(always)]
    pub(super) fn call(&mut self, index: usize, callback: impl FnOnce(&mut H, &mut Clients<H::Data>, ClientId)) {
        let client = &self.clients.table[index];
        let (id, route) = (client.id(index), client.route);
        self.call_for(index, id, route, callback);
    }

    /// [`call`](Self::call), when the id and the route are known.
    #[inline(always)]
    pub(super) fn call_for(
        &mut self,
        index: usize,
        id: ClientId,
        route: u16,
        callback: impl FnOnce(&mut H, &mut Clients<H::Data>, ClientId),
    ) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        clients.route = route;
        if catch_unwind(AssertUnwindSafe(|| callback(handler, clients, id))).is_err() {
            self.panicked(index, id);
        }
    }

    #[cold]
    fn panicked(&mut self, index: usize, id: ClientId) {
        log::error!("the handler panicked on behalf of client {id}, which is closed with 1011");
        let At { client, shared, now, .. } = self.clients.table.at(index);
        let connection = &mut client.connection;
        if connection.state() == State::Open {
            connection.close_and_drain(shared, now, CloseCode::Error, "internal error", CloseReason::HandlerPanicked);
        } else if connection.is_streaming() {
            connection.end(shared, CloseReason::HandlerPanicked);
        }
        self.clients.table.settle(index);
    }

    /// Does what another thread has asked for.
    pub(crate) fn obey(&mut self, Call { route, act }: Call<H::Data>) {
        let Some(route) = self.clients.route_of_call(&route) else { return };
        self.clients.route = route;
        match act {
            Act::Run(call) => self.run(call),
            Act::Tell(event) if BACKPLANE.is_used() && event.is::<Heard>() => self.hear(event),
            Act::Tell(event) if EVENTS.is_used() => self.tell(event),
            Act::Tell(_) => {}
        }
    }

    /// Runs a call of a [`Remote`].
    fn run(&mut self, call: impl FnOnce(&mut Clients<H::Data>)) {
        let clients = &mut self.clients;
        if catch_unwind(AssertUnwindSafe(|| call(clients))).is_err() {
            log::error!("a call of a Remote panicked");
        }
    }

    /// Tells the application of an event.
    #[inline(never)]
    fn tell(&mut self, event: Event) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        let type_name = event.type_name();
        if catch_unwind(AssertUnwindSafe(|| handler.on_event(clients, event))).is_err() {
            log::error!("the handler panicked in on_event, for an event of the type {type_name}");
        }
    }
}
