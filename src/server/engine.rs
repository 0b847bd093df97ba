//! What happens in one turn, after readiness is known?
//!
//! ```text
//!  read ──► deliver ──► Handler ──► Clients (only queues)
//!  expire ─────────────────┘           │
//!  flush ◄─────────────────────────────┘   one write per client
//!  reap                                    the only place that frees a slot
//! ```
//!
//! The engine knows no poller and reads no clock: [`event_loop`](super::event_loop) tells it what
//! is ready and what time it is.

mod reading;
mod writing;

use super::client::{ClientId, Extra, Flags};
use super::clients::{Clients, Expired};
use super::config::Config;
use super::handler::Handler;
use super::listener::Arrival;
use super::proxied::Trust;
use super::remote::Remote;
use super::socket::{Readiness, Socket};
use crate::protocol::time::Tick;
use crate::protocol::{
    Answer, CloseReason, Connection, Event, Gathered, Input, LONGEST_RUN, Message, Position, Rejection, Request, Role,
    Run, Shared, State, Ticket,
};
use http::StatusCode;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tungstenite::protocol::frame::coding::CloseCode;

/// How many entries of the timing wheel are looked at in one turn, so that a million deadlines at
/// once do not stop the loop.
const EXPIRIES_PER_TURN: usize = 2_048;

/// The application and its clients.
pub(crate) struct Engine<H: Handler> {
    pub(crate) handler: H,
    pub(crate) clients: Clients<H::Data>,
    pub(super) trust: Trust,
    read_share: usize,
}

impl<H: Handler> Engine<H> {
    pub(crate) fn new(handler: H, config: &Config, shared: Shared, now: Tick, remote: Remote<H::Data>) -> Engine<H> {
        let mut clients = Clients::new(config, shared, now, remote);
        if log::log_enabled!(log::Level::Trace) {
            clients.trace_all();
        }
        // What is read becomes output, which is written at the end of the turn.
        let read_share = reading::READ_PER_TURN.min(config.memory_budget / 16);
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

    /// A stream has failed: on to a server's next address, or the end.
    fn broke(&mut self, index: usize, kind: io::ErrorKind) {
        let client = &mut self.clients.slab[index];
        if client.connection.role() == Role::Client && self.clients.connect_to_next(index) {
            return;
        }
        self.clients.slab[index].connection.end(&mut self.clients.shared, CloseReason::Io(kind));
    }

    /// Hands bytes to the conversation, and its events to the application.
    pub(super) fn deliver(&mut self, index: usize, bytes: &mut [u8]) {
        let messages = self.deliver_all(index, Input::new(bytes));
        self.clients.charge(index, messages, bytes.len());
    }

    /// The same; says how many events there were.
    fn deliver_all(&mut self, index: usize, mut input: Input<'_>) -> u64 {
        let now = self.clients.now;
        let mut messages = 0;
        while !input.is_empty() {
            let connection = &mut self.clients.slab[index].connection;
            if let Some(run) = connection.receive_run(&self.clients.shared, now, &mut input, LONGEST_RUN) {
                messages += self.run_of_messages(index, run);
                continue;
            }
            let Some(event) = connection.receive_other(&mut self.clients.shared, now, &mut input) else { continue };
            messages += 1;
            match event {
                Event::Message(message) => self.message(index, message),
                Event::Gathered(gathered) => self.gathered(index, gathered),
                Event::Ping(payload) => {
                    self.call(index, |handler, clients, id| handler.on_ping(clients, id, &payload));
                }
                Event::Pong(payload) => {
                    self.call(index, |handler, clients, id| handler.on_pong(clients, id, &payload));
                }
                Event::Piece(gathered, position) => {
                    let piece = gathered.as_message();
                    self.clients.count_piece(piece, position);
                    self.call(index, |handler, clients, id| handler.on_piece(clients, id, piece, position));
                    self.clients.shared.recycle(gathered);
                }
                Event::Request(head) => self.request(index, &head),
                Event::Opened(subprotocol) => {
                    match (&mut connection.extra_mut().outgoing, subprotocol) {
                        (Some(outgoing), Some(chosen)) => outgoing.subprotocol = Some(chosen),
                        (outgoing, _) => *outgoing = None,
                    }
                    connection.release_extra(Extra::is_needed);
                    self.open(index);
                }
            }
        }
        messages
    }

    /// Short messages, for the application one by one; says how many.
    #[inline]
    fn run_of_messages(&mut self, index: usize, mut run: Run<'_>) -> u64 {
        let (mut messages, mut bytes) = (0, 0);
        self.call(index, |handler, clients, id| {
            for message in &mut run {
                let connection = &clients.slab[index].connection;
                let (is_open, takes_messages) = (connection.state() == State::Open, connection.takes_messages());
                if !is_open {
                    // Nobody listens any more, but text has to be text nevertheless.
                    continue;
                }
                messages += 1;
                bytes += message.as_bytes().len();
                if takes_messages {
                    handler.on_message(clients, id, message);
                } else {
                    handler.on_piece(clients, id, message, Position::Whole);
                }
            }
        });
        let clients = &mut self.clients;
        clients.count_run(&run, messages, bytes);
        if run.ends_badly() {
            self.bad_text(index);
        }
        messages as u64
    }

    /// A message is no text, though it says so.
    #[cold]
    fn bad_text(&mut self, index: usize) {
        let clients = &mut self.clients;
        clients.slab[index].connection.receive_bad_text(&mut clients.shared, clients.now);
        clients.settle(index);
    }

    /// A message has been put together.
    #[inline(never)]
    fn gathered(&mut self, index: usize, gathered: Gathered) {
        match self.clients.shared.lend(gathered) {
            Ok(lent) => {
                self.message(index, lent.as_message());
                self.clients.shared.take_back(lent);
            }
            Err(gathered) => {
                self.message(index, gathered.as_message());
                self.clients.shared.recycle(gathered);
            }
        }
    }

    #[inline(always)]
    fn message(&mut self, index: usize, message: Message<'_>) {
        self.clients.count_received(message);
        self.call(index, |handler, clients, id| handler.on_message(clients, id, message));
    }

    /// A request head is complete.
    #[inline(never)]
    fn request(&mut self, index: usize, head: &[u8]) {
        let (ticket, answer) = match Request::parse(head) {
            Ok(request) => {
                self.note_forwarded(index, &request);
                let ticket = Ticket::new(&request);
                let refused = match request.is_upgrade() {
                    true => self.refuses_origin(index).or_else(|| self.clients.refuse_upgrade()),
                    false => None,
                };
                match refused {
                    Some(rejection) => (ticket, Err(rejection)),
                    None => {
                        let mut answer = Answer::from(StatusCode::INTERNAL_SERVER_ERROR);
                        let was_traced = self.clients.slab[index].connection.is_traced();
                        self.call(index, |handler, clients, id| answer = handler.on_request(clients, id, &request));
                        if !was_traced {
                            self.clients.slab[index].connection.record_request(&mut self.clients.shared, head);
                        }
                        (ticket, Ok(answer))
                    }
                }
            }
            Err(rejection) => (Ticket::unreadable(), Err(rejection)),
        };
        let now = self.clients.now;
        let client = &mut self.clients.slab[index];
        let outcome = match answer {
            Ok(answer) => client.connection.answer(&mut self.clients.shared, now, ticket, answer),
            Err(rejection) => {
                client.connection.reject(&mut self.clients.shared, now, &ticket, rejection);
                Err(rejection)
            }
        };
        let id = client.id(index);
        match outcome {
            Ok(()) if client.connection.state() == State::Open => self.open(index),
            Ok(()) => {}
            Err(rejection @ Rejection::BadAnswer(_)) => log::error!("{id} was refused: {rejection}"),
            Err(rejection) => log::trace!("{id} was refused with {}: {rejection}", rejection.status()),
        }
    }

    #[inline(never)]
    fn open(&mut self, index: usize) {
        if self.clients.opened(index) {
            log::trace!("{} is open", self.clients.slab[index].id(index));
            self.call(index, |handler, clients, id| handler.on_open(clients, id));
        }
    }

    /// Calls the application on behalf of a client. If it panics, that client is closed and nobody
    /// else notices.
    #[inline(always)]
    fn call(&mut self, index: usize, callback: impl FnOnce(&mut H, &mut Clients<H::Data>, ClientId)) {
        let client = &self.clients.slab[index];
        let (id, route) = (client.id(index), client.route);
        self.call_for(index, id, route, callback);
    }

    /// The same, when it is known who that is.
    #[inline(always)]
    fn call_for(
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

    /// Does what is due.
    pub(crate) fn expire(&mut self) {
        for _ in 0..EXPIRIES_PER_TURN {
            match self.clients.next_expired() {
                None => break,
                Some(Expired::Nothing) => {}
                Some(Expired::Deadline(index)) => {
                    self.clients.tally.deadlines += 1;
                    let client = &mut self.clients.slab[index];
                    if client.flags.has(Flags::WAITS) {
                        client.connection.excuse_silence(self.clients.now);
                        self.clients.end_waits(index);
                    }
                    let connection = &mut self.clients.slab[index].connection;
                    connection.handle_timeout(&mut self.clients.shared, self.clients.now);
                    self.clients.settle(index);
                }
                Some(Expired::Timer { timer, token, route }) => {
                    let (handler, clients) = (&mut self.handler, &mut self.clients);
                    clients.tally.timers += 1;
                    clients.route = route;
                    if catch_unwind(AssertUnwindSafe(|| handler.on_timer(clients, timer, token))).is_err() {
                        log::error!("the handler panicked in on_timer");
                    }
                }
            }
        }
        self.close_due();
        self.clients.relieve();
        self.clients.review_pressure();
    }

    /// Calls something that is not on behalf of a client.
    pub(crate) fn run(&mut self, call: impl FnOnce(&mut Clients<H::Data>)) {
        let clients = &mut self.clients;
        clients.route = 0;
        if catch_unwind(AssertUnwindSafe(|| call(clients))).is_err() {
            log::error!("a remote call panicked");
        }
    }

    /// While the server stops: closes those whose turn has come.
    fn close_due(&mut self) {
        let now = self.clients.now;
        let Some(shutdown) = &mut self.clients.shutdown else { return };
        let due = shutdown.take_due(now);
        let (code, reason) = (shutdown.drain.code, shutdown.drain.reason.clone());
        for id in due {
            // Whoever is closing or gone already needs no Close.
            let _ = self.clients.close(id, code, &reason);
        }
    }

    /// Removes those who have ended: the only place that frees a slot, so that nothing of this turn
    /// meets a stranger.
    #[inline]
    pub(crate) fn reap(&mut self) {
        self.tell_traces();
        if !self.clients.ended.is_empty() {
            self.reap_all();
        }
    }

    #[inline(never)]
    fn reap_all(&mut self) {
        while let Some(index) = self.clients.ended.pop() {
            let index = index as usize;
            let client = &mut self.clients.slab[index];
            let reason = client.connection.take_close_reason().unwrap_or(CloseReason::Eof);
            log::debug!("{} is gone: {reason}", client.id(index));
            self.clients.tally.ended(&reason);
            let client = &self.clients.slab[index];
            if client.flags.has(Flags::OPENED) || client.connection.role() == Role::Client {
                self.call(index, |handler, clients, id| handler.on_close(clients, id, &reason));
            }
            self.clients.remove(index);
        }
    }

    /// Tells what has happened to those who are traced.
    #[inline]
    pub(crate) fn tell_traces(&mut self) {
        if self.clients.shared.has_traces() {
            self.tell_each_trace();
        }
    }

    #[cold]
    fn tell_each_trace(&mut self) {
        for (label, trace) in self.clients.shared.take_traces() {
            let Some(id) = ClientId::from_u64(label) else { continue };
            log::trace!("{id} {trace}");
            let Some(index) = self.clients.find(id) else { continue };
            for route in self.clients.listeners_to(index) {
                self.call(index, |handler, clients, id| {
                    clients.route = route;
                    handler.on_trace(clients, id, &trace);
                });
            }
        }
    }

    /// Whether a shutdown has come to its end, by itself or by its deadline.
    pub(crate) fn has_stopped(&self) -> bool {
        let Some(shutdown) = &self.clients.shutdown else { return false };
        let still_talks =
            || self.clients.slab.iter().any(|(_, client)| client.connection.state() != State::Handshaking);
        shutdown.is_over(self.clients.now) || (self.clients.is_empty() && !still_talks())
    }

    /// Ends everybody at once and returns how many had been open.
    pub(crate) fn drop_everybody(&mut self) -> usize {
        let dropped = self.clients.len();
        let indexes: Vec<usize> = self.clients.slab.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.clients.slab[index].connection.end(&mut self.clients.shared, CloseReason::Eof);
            self.clients.settle(index);
        }
        self.reap();
        dropped
    }
}
