//! What happens in one turn, after readiness is known?
//!
//! ```text
//!  read ──► deliver ──► Handler ──► Clients (only queues)
//!  expire ─────────────────┘           │
//!  flush ◄─────────────────────────────┘   one write per client
//!  reap                                    the only place that frees a slot
//! ```
//!
//! The engine knows no poller and reads no clock: [`event_loop`](super::event_loop) tells it what is ready
//! and what time it is.

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

/// How many entries of the timing wheel are looked at in one turn, so that a million deadlines at once do not
/// stop the loop.
const EXPIRIES_PER_TURN: usize = 2_048;

/// How many bytes are read in one turn, so that what they lead to is written before more is read.
const READ_PER_TURN: usize = 4 << 20;

/// What waits for a client that has just been read is written at once from this size on, in bytes: it is in the cache still,
/// and its buffer can serve the next one.
const WRITE_AT_ONCE: usize = 16 << 10;

/// How many times a client is read in one turn, while at least so many bytes are missing of what it has begun to say.
const READS_IN_A_ROW: usize = 4;
const WORTH_READING: usize = 16 << 10;

/// How many times a client is written to at once, while the kernel takes all that it is offered.
const WRITES_IN_A_ROW: usize = 4;

/// How many clients are written to in one turn, so that a message for a million does not stop the loop.
const WRITES_PER_TURN: usize = 1_024;

/// The application and its clients.
pub(crate) struct Engine<H: Handler> {
    pub(crate) handler: H,
    pub(crate) clients: Clients<H::Data>,
    pub(super) trust: Trust,
    read_buffer: Vec<u8>,
    read_share: usize,
}

impl<H: Handler> Engine<H> {
    pub(crate) fn new(handler: H, config: &Config, shared: Shared, now: Tick, remote: Remote<H::Data>) -> Engine<H> {
        let read_buffer = vec![0; config.read_buffer];
        let mut clients = Clients::new(config, shared, now, remote);
        if log::log_enabled!(log::Level::Trace) {
            clients.trace_all();
        }
        // What is read becomes output, which is written at the end of the turn.
        let read_share = READ_PER_TURN.min(config.memory_budget / 16);
        Engine { handler, clients, trust: Trust::new(config), read_buffer, read_share }
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

    /// The next of those for whom a connection is to be opened, with the address and the one that it is to be
    /// opened from.
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
    pub(crate) fn ready(&mut self, readiness: Readiness) {
        let index = readiness.client;
        let Some(client) = self.clients.slab.get_mut(index) else { return };
        if (readiness.readable || readiness.read_closed) && client.flags.raise(Flags::READ_QUEUED) {
            self.clients.readable.push(index as u32);
        }
        if readiness.writable && client.flags.lower(Flags::BLOCKED) && client.connection.buffered_amount() > 0 {
            self.clients.queue_write(index);
        }
        if readiness.read_closed {
            self.clients.note_read_closed(index);
        }
    }

    /// Lets everybody who was queued read once: a fair share each.
    pub(crate) fn read(&mut self) {
        // The buffer is taken out, so that a handler can borrow from it and from the engine at once.
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let (mut share, mut served) = (self.clients.read_share(self.read_share), 0);
        let batch = self.clients.readable.begin();
        for &index in &batch {
            served += 1;
            let size = self.clients.limited_read(self.clients.read_size(buffer.len()));
            share = share.saturating_sub(self.read_client(index as usize, &mut buffer[..size]));
            self.tell_traces();
            self.clients.relieve();
            if share == 0 {
                break;
            }
        }
        self.clients.readable.end(batch, served);
        self.read_buffer = buffer;
    }

    /// Reads from one client, and says how many bytes.
    #[inline]
    fn read_client(&mut self, index: usize, buffer: &mut [u8]) -> usize {
        let Some(client) = self.clients.slab.get_mut(index) else { return 0 };
        if !client.flags.lower(Flags::READ_QUEUED) {
            // Its slot has been freed since, and filled again.
            return 0;
        }
        let (count, may_have_more) = self.read_once(index, buffer);
        if may_have_more || count >= WRITE_AT_ONCE { self.go_on(index, buffer, count, may_have_more) } else { count }
    }

    /// Reads more from a client that has much to say, and writes what it is answered.
    #[inline(never)]
    fn go_on(&mut self, index: usize, buffer: &mut [u8], mut sum: usize, mut may_have_more: bool) -> usize {
        for _ in 1..READS_IN_A_ROW {
            let size = self.clients.slab[index].connection.missing().min(buffer.len());
            if !may_have_more || size < WORTH_READING {
                break;
            }
            let (count, more) = self.read_once(index, &mut buffer[..size]);
            (sum, may_have_more) = (sum + count, more);
        }
        if may_have_more {
            self.clients.queue_read(index);
        }
        if self.clients.slab[index].connection.buffered_amount() >= WRITE_AT_ONCE {
            self.write_client(index);
        }
        sum
    }

    /// Reads from one client, and says how many bytes, and whether there may be more.
    #[inline(always)]
    fn read_once(&mut self, index: usize, buffer: &mut [u8]) -> (usize, bool) {
        let high_water = self.clients.shared.limits.high_water;
        let is_near = self.clients.shared.is_near_budget();
        let client = &mut self.clients.slab[index];
        let is_carefree = !is_near && client.is_carefree(high_water);
        if !is_carefree && !self.may_read(index) {
            return (0, false);
        }
        self.clients.tally.reads += 1;
        let client = &mut self.clients.slab[index];
        let outcome = client.socket.read(buffer);
        let flags = client.flags;
        match outcome {
            Ok(count) if count > 0 => {
                self.clients.tally.bytes_read += count as u64;
                // A short read has emptied the socket, unless the peer's FIN or an error is behind it.
                let may_have_more = count == buffer.len() || flags.has(Flags::READ_CLOSED);
                if flags.has(Flags::PROXIED) {
                    self.receive_proxied(index, &buffer[..count]);
                } else {
                    self.deliver(index, &mut buffer[..count]);
                }
                self.clients.settle(index);
                (count, may_have_more)
            }
            outcome => {
                self.read_nothing(index, outcome);
                self.clients.settle(index);
                (0, false)
            }
        }
    }

    /// Whether a client may be read now. If not, it will be when that has changed.
    #[inline(never)]
    fn may_read(&mut self, index: usize) -> bool {
        if !self.clients.slab[index].flags.has(Flags::OPENED) {
            self.resume(index);
        }
        let client = &mut self.clients.slab[index];
        let may_read = match client.connection.state() {
            State::Closed => return false,
            State::Deciding => false,
            State::Open => {
                let waits = client.is_above(self.clients.shared.limits.high_water) || client.flags.has(Flags::WAITS);
                !waits && !self.clients.must_pause(index)
            }
            State::Closing => !client.is_above(self.clients.shared.limits.high_water),
            State::Handshaking => !client.flags.has(Flags::WAITS) && !self.clients.must_pause(index),
            State::Draining | State::Flushing => true,
        };
        if !may_read {
            self.clients.slab[index].flags.set(Flags::UNREAD);
        }
        may_read
    }

    /// The stream has ended, has nothing now, or is broken.
    #[inline(never)]
    fn read_nothing(&mut self, index: usize, outcome: io::Result<usize>) {
        let (shared, now) = (&mut self.clients.shared, self.clients.now);
        let client = &mut self.clients.slab[index];
        match outcome.map_err(|error| error.kind()) {
            Ok(_) => client.connection.receive_eof(shared, now),
            Err(io::ErrorKind::WouldBlock) => {
                client.flags.clear(Flags::READ_CLOSED);
                self.clients.tally.would_block += 1;
            }
            Err(io::ErrorKind::Interrupted) => self.clients.queue_read(index),
            Err(kind) => self.broke(index, kind),
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

    /// Does what could not be done while the application had not answered the request.
    fn resume(&mut self, index: usize) {
        let client = &mut self.clients.slab[index];
        // Whoever answered may have closed at once; it has been open nevertheless.
        let has_opened = matches!(client.connection.state(), State::Open | State::Closing);
        if !has_opened || client.flags.has(Flags::OPENED) {
            return;
        }
        self.open(index);
        let mut held = self.clients.slab[index].connection.take_held(&mut self.clients.shared);
        if !held.is_empty() {
            self.deliver(index, &mut held);
        }
    }

    /// Hands bytes to the conversation, and its events to the application.
    #[inline(always)]
    pub(super) fn deliver(&mut self, index: usize, bytes: &mut [u8]) {
        let length = bytes.len();
        let mut input = Input::new(bytes);
        let (connection, shared) = (&mut self.clients.slab[index].connection, &mut self.clients.shared);
        let messages = match connection.receive_only(shared, self.clients.now, &mut input) {
            Some(message) => {
                self.message(index, message);
                1
            }
            None => self.deliver_all(index, input),
        };
        self.clients.charge(index, messages, length);
    }

    /// The same, whatever there is; says how many events there were.
    #[inline(never)]
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
            clients.slab[index].connection.receive_bad_text(&mut clients.shared, clients.now);
        }
        messages as u64
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

    /// Calls the application on behalf of a client. If it panics, that client is closed and nobody else
    /// notices.
    #[inline(always)]
    fn call(&mut self, index: usize, callback: impl FnOnce(&mut H, &mut Clients<H::Data>, ClientId)) {
        let (handler, clients) = (&mut self.handler, &mut self.clients);
        let client = &clients.slab[index];
        let id = client.id(index);
        clients.route = client.route;
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

    /// Writes what has been queued: once for each client, the longest waiting first. What is queued meanwhile, and what
    /// is beyond the turn's share, goes out in the next turn.
    pub(crate) fn flush(&mut self) {
        let batch = self.clients.writable.begin();
        let share = batch.len().min(WRITES_PER_TURN);
        for &index in &batch[..share] {
            self.write_client(index as usize);
        }
        self.clients.writable.end(batch, share);
    }

    #[inline]
    fn write_client(&mut self, index: usize) {
        let (shared, now) = (&mut self.clients.shared, self.clients.now);
        let Some(client) = self.clients.slab.get_mut(index) else { return };
        if !client.flags.lower(Flags::WRITE_QUEUED) {
            return;
        }
        client.is_above(shared.limits.high_water);
        let mut writes = 0;
        while client.connection.buffered_amount() > 0 && writes < WRITES_IN_A_ROW && !client.flags.has(Flags::BLOCKED) {
            let output = client.connection.output(shared);
            let length = output.len();
            writes += 1;
            self.clients.tally.writes += 1;
            match client.socket.write(output) {
                Ok(count) => {
                    self.clients.tally.bytes_written += count as u64;
                    if count < length {
                        client.flags.set(Flags::BLOCKED);
                    }
                    client.connection.sent(shared, now, count);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        self.clients.tally.would_block += 1;
                        client.flags.set(Flags::BLOCKED);
                        client.connection.sent(shared, now, 0);
                    }
                    kind => {
                        self.broke(index, kind);
                        break;
                    }
                },
            }
        }
        let client = &self.clients.slab[index];
        if client.connection.buffered_amount() > 0
            || !client.connection.is_flowing()
            || client.flags.has(Flags::WATCHED)
        {
            self.wrote(index);
        }
    }

    /// What follows from a client's output having become less.
    fn wrote(&mut self, index: usize) {
        let high_water = self.clients.shared.limits.high_water;
        let client = &mut self.clients.slab[index];
        let buffered = client.connection.buffered_amount();
        let state = client.connection.state();
        if buffered == 0 && state == State::Draining && client.flags.raise(Flags::HALF_CLOSED) {
            // The peer may have closed already; then there is nothing to shut.
            let _ = client.socket.shutdown_write();
        }
        if buffered == 0 && state == State::Handshaking && self.clients.slab[index].connection.role() == Role::Client {
            self.call(index, |handler, clients, id| handler.on_connect(clients, id));
        }
        self.clients.resume_lighter(index);
        if buffered == 0 && self.clients.slab[index].flags.has(Flags::LATEST) {
            self.clients.catch_up(index);
        }
        let client = &mut self.clients.slab[index];
        if client.connection.buffered_amount() <= high_water && client.flags.lower(Flags::HIGH_WATER) {
            if client.flags.lower(Flags::UNREAD) {
                self.clients.queue_read(index);
            }
            // Before `on_open`, that was the response to an upgrade which was answered later.
            if state == State::Open && self.clients.slab[index].flags.has(Flags::OPENED) {
                self.call(index, |handler, clients, id| handler.on_drain(clients, id));
            }
        }
        self.clients.settle(index);
    }

    /// Removes those who have ended: the only place that frees a slot, so that nothing of this turn meets a
    /// stranger.
    pub(crate) fn reap(&mut self) {
        self.tell_traces();
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
