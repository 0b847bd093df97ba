//! Who has work, and how is the application called?

use super::proxied::Trust;
use crate::protocol::time::Tick;
use crate::protocol::{CloseReason, Connection, Role, Shared, State};
use crate::server::app::Handler;
use crate::server::clients::{Clients, Remote};
use crate::server::config::Config;
use crate::server::id::ClientId;
use crate::server::net::{Arrival, Readiness, Socket};
use crate::server::table::Flags;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tungstenite::protocol::frame::coding::CloseCode;

/// The application and its clients.
pub(crate) struct Engine<H: Handler> {
    pub(crate) handler: H,
    pub(crate) clients: Clients<H::Data>,
    pub(crate) trust: Trust,
    pub(super) read_share: usize,
}

impl<H: Handler> Engine<H> {
    pub(crate) fn new(handler: H, config: &Config, shared: Shared, now: Tick, remote: Remote<H::Data>) -> Engine<H> {
        let mut clients = Clients::new(config, shared, now, remote);
        if log::log_enabled!(log::Level::Trace) {
            clients.trace_all();
        }
        // What is read becomes output, which is written at the end of the turn.
        let read_share = super::reading::READ_PER_TURN.min(config.memory_budget / 16);
        Engine { handler, clients, trust: Trust::new(config), read_share }
    }

    /// The first turn is near.
    pub(crate) fn start(&mut self) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        if catch_unwind(AssertUnwindSafe(|| handler.on_start(clients))).is_err() {
            log::error!("the handler panicked in on_start");
        }
    }

    /// Whether something is pending that waits for no event.
    pub(crate) fn has_work(&self) -> bool {
        let clients = &self.clients;
        let is_idle = clients.readable.is_empty()
            && clients.writable.is_empty()
            && clients.ended.is_empty()
            && clients.connecting.is_empty();
        !is_idle
    }

    /// A new connection; returns its place.
    pub(crate) fn accept(&mut self, socket: Socket, arrival: Arrival) -> usize {
        let index = self.clients.insert(socket, Connection::new(Role::Server, self.clients.now));
        if arrival == Arrival::Proxied {
            self.clients.slab[index].flags.set(Flags::PROXIED);
        }
        self.clients.tally.accepted += 1;
        log::trace!("{} connected", self.clients.slab[index].id(index));
        self.judge_newcomer(index);
        index
    }

    /// The next of those for whom a connection is to be opened, with the address and the one that
    /// it is to be opened from.
    pub(crate) fn next_connecting(&mut self) -> Option<(usize, SocketAddr, Option<IpAddr>)> {
        loop {
            let index = self.clients.connecting.pop()? as usize;
            let Some(client) = self.clients.slab.get_mut(index) else { continue };
            let Some(outgoing) = &mut client.connection.extra_mut().outgoing else { continue };
            if let Some(address) = outgoing.addresses.pop_front() {
                outgoing.trying = Some(address);
                return Some((index, address, outgoing.source));
            }
        }
    }

    /// A connection could not even be begun.
    pub(crate) fn cannot_connect(&mut self, index: usize, error: &io::Error) {
        self.broke(index, error.kind());
        self.clients.settle(index);
    }

    /// A new connection cannot be served after all.
    pub(crate) fn abandon(&mut self, index: usize) {
        self.clients.slab[index].connection.end(&mut self.clients.shared, CloseReason::Eof);
        self.clients.remove(index);
    }

    /// The poller has said something.
    #[inline]
    pub(crate) fn ready(&mut self, Readiness { client: index, readable, writable, read_closed }: Readiness) {
        let Some(client) = self.clients.slab.get_mut(index) else { return };
        let is_only_readable = readable && !read_closed && !client.flags.has(Flags::READY_UNUSUALLY);
        if is_only_readable && self.clients.readable.push_if_there_is_room(index as u32) {
            client.flags.set(Flags::READ_QUEUED);
        } else {
            self.ready_for_more(index, readable, writable, read_closed);
        }
    }

    /// The same, when it is not only that there is something to read.
    #[cold]
    fn ready_for_more(&mut self, index: usize, readable: bool, writable: bool, read_closed: bool) {
        if readable || read_closed {
            self.clients.queue_read(index);
        }
        let client = &mut self.clients.slab[index];
        if writable && client.flags.lower(Flags::BLOCKED) && client.connection.buffered_amount() > 0 {
            self.clients.queue_write(index);
        }
        if read_closed {
            self.clients.note_read_closed(index);
        }
    }

    /// A stream has failed: on to a server's next address, if it was not connected yet, or the end.
    pub(super) fn broke(&mut self, index: usize, kind: io::ErrorKind) {
        let reason = match self.clients.connecting_to(index) {
            Some(_) if self.clients.connect_to_next(index) => return,
            Some(address) => CloseReason::Unreachable { address, kind },
            None => CloseReason::Io(kind),
        };
        self.clients.slab[index].connection.end(&mut self.clients.shared, reason);
    }

    /// Calls the application on behalf of a client. If it panics, that client is closed and nobody
    /// else notices.
    #[inline(always)]
    pub(super) fn call(&mut self, index: usize, callback: impl FnOnce(&mut H, &mut Clients<H::Data>, ClientId)) {
        let client = &self.clients.slab[index];
        let (id, route) = (client.id(index), client.route);
        self.call_for(index, id, route, callback);
    }

    /// The same, when it is known who that is.
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
        log::error!("the handler panicked on behalf of {id}, which is closed with 1011");
        let (shared, now) = (&mut self.clients.shared, self.clients.now);
        let connection = &mut self.clients.slab[index].connection;
        if connection.state() == State::Open {
            connection.close_and_drain(shared, now, CloseCode::Error, "internal error", CloseReason::HandlerPanicked);
        }
        self.clients.settle(index);
    }

    /// Calls something that is not on behalf of a client.
    pub(crate) fn run(&mut self, call: impl FnOnce(&mut Clients<H::Data>)) {
        let clients = &mut self.clients;
        clients.route = 0;
        if catch_unwind(AssertUnwindSafe(|| call(clients))).is_err() {
            log::error!("a remote call panicked");
        }
    }
}
