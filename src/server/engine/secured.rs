//! TLS: the steps between a socket and a connection.
//!
//! A client with a session has the flag [`WRAPPED`](Flags::WRAPPED), so no fast path reads from it
//! or writes to it. All clients of a loop share the buffers here: one for ciphertext from a socket,
//! one for what it becomes, one for ciphertext to a socket.
//!
//! Output of a connection counts as sent when the kernel has taken its ciphertext. So a connection
//! knows nothing of TLS: its backpressure, its deadlines and its end work as without.

use super::engine::Engine;
use super::writing::WRITES_IN_A_ROW;
use crate::protocol::tls::{MOST_KEPT, Output, ServerTls, Session, TlsError, TlsInfo};
use crate::protocol::{CloseReason, Rejection, Role, State, Ticket};
use crate::server::app::Handler;
use crate::server::net::Arrival;
use crate::server::table::{At, Flags};
use std::sync::Arc;

/// The most ciphertext to read at once.
const READ: usize = 64 << 10;

/// The most steps of handshakes in one turn, so that a turn takes less than 5 ms. A connection with
/// its whole handshake takes about 0.2 ms of CPU with P-256, and 1.1 ms with RSA of 2,048 bits
/// (`lariat load wss://.. -c 3000`); nearly all of that is one step. The other clients wait for the
/// next turn, in order.
const HANDSHAKES_PER_TURN: usize = 4;

/// The most sessions with ciphers at hand, which take 1.1 KiB each. All others make theirs when
/// they read or write, which takes 0.3 µs for each direction with ring.
const MOST_AWAKE: usize = 128;

/// What the sessions of a loop share.
#[derive(Debug, Default)]
pub(crate) struct Secured {
    /// Ciphertext from a socket. Empty until there is the first session.
    input: Vec<u8>,
    /// What it has become.
    plain: Vec<u8>,
    /// Ciphertext for a socket.
    output: Output,
    /// Steps of handshakes in this turn.
    handshakes: usize,
    awake: Awake,
    /// What the last session has agreed on. The next one mostly agrees on the same.
    last_info: Option<Arc<TlsInfo>>,
}

/// The clients whose sessions may be awake: the last that have woken. The others rest.
#[derive(Debug, Default)]
struct Awake {
    clients: Vec<usize>,
    /// The place of the one that is replaced next.
    next: usize,
}

impl Awake {
    /// Notes a client whose session has woken. Returns another one whose session is to rest.
    fn note(&mut self, index: usize) -> Option<usize> {
        if self.clients.len() < MOST_AWAKE {
            self.clients.push(index);
            return None;
        }
        let other = std::mem::replace(&mut self.clients[self.next], index);
        self.next = (self.next + 1) % MOST_AWAKE;
        Some(other)
    }
}

impl<H: Handler> Engine<H> {
    /// Begins the reads of a turn.
    pub(super) const fn begin_secured(&mut self) {
        self.secured.handshakes = 0;
    }

    // ---- new sessions --------------------------------------------------------------------------

    /// Begins the session of a new connection, if its listener has TLS. A header of the PROXY
    /// protocol comes before it.
    pub(super) fn secure(&mut self, index: usize, arrival: &Arrival) {
        let Some(tls) = &arrival.tls else { return };
        if self.clients.table[index].connection.state() != State::Handshaking {
            // It was refused.
            return;
        }
        if arrival.is_proxied {
            let client = &mut self.clients.table[index];
            client.connection.extra_mut().tls_after_header = Some(tls.clone());
        } else {
            self.begin_session(index, tls);
        }
    }

    /// Begins a session behind a PROXY header, with the bytes that have followed it.
    pub(super) fn secure_after_header(&mut self, index: usize, bytes: &mut [u8]) -> bool {
        let extra = self.clients.table[index].connection.extra_mut();
        let Some(tls) = extra.tls_after_header.take() else { return false };
        self.begin_session(index, &tls);
        self.receive_secured(index, bytes);
        true
    }

    fn begin_session(&mut self, index: usize, tls: &ServerTls) {
        self.clients.table[index].flags.set(Flags::WRAPPED);
        match Session::accept(tls) {
            Ok(session) => self.clients.table.put_session(index, Box::new(session)),
            Err(error) => self.session_failed(index, error),
        }
    }

    /// Begins a session with a server, if the application has asked for one. Its first message is
    /// written when the stream is connected.
    pub(super) fn secure_outgoing(&mut self, index: usize) {
        let extra = self.clients.table[index].connection.extra_mut();
        let Some((tls, name)) = extra.outgoing.as_ref().and_then(|outgoing| outgoing.tls.clone()) else { return };
        self.clients.table[index].flags.set(Flags::WRAPPED);
        match Session::connect(&tls, name, &mut self.secured.output) {
            Ok(session) => self.clients.table.put_session(index, Box::new(session)),
            Err(error) => self.session_failed(index, error),
        }
    }

    // ---- reading -------------------------------------------------------------------------------

    /// [`read_client`](Self::read_client) for a client with a session. Returns `None` if it has
    /// none.
    pub(super) fn read_secured(&mut self, index: usize) -> Option<usize> {
        let session = self.clients.table.sessions().get(index)?;
        if session.is_handshaking() && self.secured.handshakes >= HANDSHAKES_PER_TURN {
            self.clients.table.queue_read(index);
            return Some(0);
        }
        let size = self.clients.limited_read(index, self.clients.read_size(READ));
        let mut input = std::mem::take(&mut self.secured.input);
        input.resize(MOST_KEPT + READ, 0);
        let kept = session.copy_kept(&mut input);
        let count = self.read_if_open(index, &mut input[kept..kept + size]);
        if count > 0 {
            let plain = self.receive_secured(index, &mut input[..kept + count]);
            // What TLS adds counts against the rates as well.
            self.clients.charge(index, 0, count.saturating_sub(plain));
            let client = &self.clients.table[index];
            // A short read has emptied the socket, unless FIN or an error follows.
            if count == size || client.flags.has(Flags::READ_CLOSED) {
                self.clients.table.queue_read(index);
            }
            self.report_refusal(index);
            self.clients.table.settle(index);
            self.write_much(index, count);
            self.deliver_traces();
            self.clients.relieve();
        }
        self.secured.input = input;
        Some(count)
    }

    /// Lets the session of a client of another process share what was agreed, if it has one.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) fn share_info(&mut self, index: usize) {
        if let Some(mut session) = self.clients.table.take_session(index) {
            session.share_info(&mut self.secured.last_info);
            self.put_back(index, session);
        }
    }

    /// Decrypts what a client has sent, and delivers it. Returns the number of bytes of plaintext.
    fn receive_secured(&mut self, index: usize, bytes: &mut [u8]) -> usize {
        let Some(mut session) = self.clients.table.take_session(index) else { return 0 };
        self.secured.handshakes += usize::from(session.is_handshaking());
        if session.unsent().is_empty() {
            // Not the kernel, but the handshake may have stood in the way of output.
            self.clients.table[index].flags.clear(Flags::BLOCKED);
        }
        let mut plain = std::mem::take(&mut self.secured.plain);
        plain.clear();
        self.secured.output.clear();
        let was_open = session.info().is_some();
        let outcome = session.receive(bytes, &mut plain, &mut self.secured.output);
        let has_opened = !was_open && session.info().is_some();
        if has_opened {
            session.share_info(&mut self.secured.last_info);
        }
        session.keep_unsent(&self.secured.output, 0);
        let has_unsent = !session.unsent().is_empty() || session.has_answer();
        self.put_back(index, session);
        if has_opened {
            self.session_opened(index);
        }
        if has_unsent {
            self.clients.table.queue_write(index);
        }
        if !plain.is_empty() {
            self.deliver(index, &mut plain);
        }
        let length = plain.len();
        self.secured.plain = plain;
        match outcome {
            Ok(true) => match self.cut_off(index) {
                Some(reason) => {
                    let At { client, shared, .. } = self.clients.table.at(index);
                    client.connection.end(shared, reason);
                }
                None => self.receive_end(index),
            },
            Ok(false) => {}
            Err(error) => self.session_failed(index, error),
        }
        length
    }

    /// Puts a session back that has worked. If it is awake now, another one may have to rest.
    fn put_back(&mut self, index: usize, mut session: Box<Session>) {
        let other = if session.has_woken() { self.secured.awake.note(index) } else { None };
        if let Some(other) = other {
            self.clients.table.rest_session(other);
        }
        self.clients.table.put_session(index, session);
    }

    /// Notes that a handshake is over.
    fn session_opened(&mut self, index: usize) {
        let Some(info) = self.clients.table.sessions().info(index).cloned() else { return };
        let At { client, counters, .. } = self.clients.table.at(index);
        counters.tls_opened(&info);
        let is_outgoing = client.connection.role() == Role::Client;
        log::debug!("{} secured with {info}", client.id(index));
        self.clients.record_secured(index);
        if is_outgoing {
            self.call(index, |handler, clients, id| handler.on_secured(clients, id));
        }
    }

    /// Handles a session that has failed. The peer gets an alert if there is one, or a readable
    /// answer if it speaks HTTP.
    #[cold]
    fn session_failed(&mut self, index: usize, error: TlsError) {
        let has_alert = self.clients.table.sessions().get(index).is_some_and(|session| !session.unsent().is_empty());
        let At { client, shared, now, .. } = self.clients.table.at(index);
        let is_new = client.connection.role() == Role::Server && client.connection.state() == State::Handshaking;
        if error.is_http() && is_new {
            client.flags.clear(Flags::WRAPPED);
            client.connection.reject(shared, now, &Ticket::unreadable(), Rejection::BadRequest(HTTP_ON_TLS));
            self.clients.table.remove_session(index);
        } else if has_alert {
            client.connection.break_off(shared, now, CloseReason::Tls(error));
        } else {
            client.connection.end(shared, CloseReason::Tls(error));
        }
        self.clients.table.settle(index);
    }

    /// Returns why the end of a client's stream is no end like any other: the handshake has begun
    /// and is not over, or the peer has not sent `close_notify` and something is incomplete (RFC
    /// 8446 §6.1).
    pub(super) fn cut_off(&self, index: usize) -> Option<CloseReason> {
        let session = self.clients.table.sessions().get(index)?;
        let client = &self.clients.table[index];
        if session.info().is_none() {
            let is_new = client.connection.state() == State::Handshaking && session.has_heard();
            let is_client = client.connection.role() == Role::Server;
            return is_new.then(|| CloseReason::Tls(TlsError::disconnected(is_client)));
        }
        let is_under_way = matches!(client.connection.state(), State::Open | State::Responding | State::Deciding);
        let is_incomplete = session.has_kept() || client.connection.is_receiving();
        let is_cut_off = is_under_way && is_incomplete && !session.may_end();
        is_cut_off.then(|| CloseReason::Tls(TlsError::truncated()))
    }

    /// Returns whether a client has a session and has sent something to it.
    pub(super) fn has_begun_session(&self, index: usize) -> bool {
        self.clients.table.sessions().get(index).is_some_and(Session::has_heard)
    }

    // ---- writing -------------------------------------------------------------------------------

    /// [`write`](Self::write) for a client with a session. Returns `false` if it has none.
    pub(super) fn write_secured(&mut self, index: usize) -> bool {
        let Some(mut session) = self.clients.table.take_session(index) else { return false };
        let mut output = std::mem::take(&mut self.secured.output);
        let mut is_broken = false;
        for _ in 0..WRITES_IN_A_ROW {
            match self.write_ciphertext(index, &mut session, &mut output) {
                Wrote::Nothing => break,
                Wrote::Some => {}
                Wrote::Broken => {
                    is_broken = true;
                    break;
                }
            }
        }
        let has_said_all = self.clients.table[index].has_said_all();
        let has_unsent = !session.unsent().is_empty() || session.has_answer() || has_said_all && session.must_close();
        if !has_unsent && !session.may_encrypt() {
            // Output waits for the handshake.
            self.clients.table[index].flags.set(Flags::BLOCKED);
        }
        self.secured.output = output;
        self.put_back(index, session);
        if has_unsent && !is_broken {
            // Nothing follows before the kernel has taken it. But there may be room for more.
            self.clients.table.queue_write(index);
            self.open_watermark(index);
            self.clients.table.settle(index);
        } else {
            self.wrote(index);
        }
        true
    }

    /// Writes ciphertext once: what the kernel has not taken before, the next output of the
    /// connection, or at the end `close_notify`.
    fn write_ciphertext(&mut self, index: usize, session: &mut Session, output: &mut Output) -> Wrote {
        let At { client, shared, counters, .. } = self.clients.table.at(index);
        if client.flags.has(Flags::BLOCKED) {
            return Wrote::Nothing;
        }
        let is_new = session.unsent().is_empty();
        if is_new {
            output.clear();
            let has_said_all = client.has_said_all();
            let next = client.connection.output(shared);
            let made = if !next.is_empty() && session.may_encrypt() {
                session.encrypt(next, output)
            } else if session.has_answer() {
                session.answer(output)
            } else if has_said_all && session.must_close() {
                session.close(output)
            } else {
                return Wrote::Nothing;
            };
            if let Err(error) = made {
                client.connection.end(shared, CloseReason::Tls(error));
                return Wrote::Broken;
            }
        }
        let bytes = if is_new { output.bytes() } else { session.unsent() };
        let length = bytes.len();
        counters.writes += 1;
        let outcome = client.socket.open(&self.key).write(bytes);
        let delivered = |taken| {
            let delivered = session.delivered(taken, length);
            match is_new {
                true => session.keep_unsent(output, taken),
                false => session.advance(taken),
            }
            delivered
        };
        if !self.note_written(index, length, outcome, delivered) {
            return Wrote::Broken;
        }
        if self.clients.table[index].connection.state() == State::Closed {
            // The peer had closed its half before this was sent.
            self.write_end(index, session, output);
        }
        Wrote::Some
    }

    /// Receives the end of a peer's half. If that ends the connection and nothing else is left to
    /// send, `close_notify` is the answer (RFC 8446 §6.1).
    pub(super) fn receive_end(&mut self, index: usize) {
        let At { client, shared, now, .. } = self.clients.table.at(index);
        let is_all_sent = client.connection.buffered_amount() == 0;
        client.connection.receive_eof(shared, now);
        if !is_all_sent || client.connection.state() != State::Closed {
            return;
        }
        let Some(mut session) = self.clients.table.take_session(index) else { return };
        let mut output = std::mem::take(&mut self.secured.output);
        self.write_end(index, &mut session, &mut output);
        self.secured.output = output;
        self.clients.table.put_session(index, session);
    }

    /// Writes `close_notify` as the last bytes, if it was not sent. A peer whose kernel does not
    /// take it now goes without it.
    fn write_end(&mut self, index: usize, session: &mut Session, output: &mut Output) {
        output.clear();
        if session.must_close() && session.close(output).is_ok() {
            let At { client, counters, .. } = self.clients.table.at(index);
            counters.writes += 1;
            if let Ok(count) = client.socket.open(&self.key).write(output.bytes()) {
                counters.bytes_written += count as u64;
            }
        }
    }
}

/// What has come of a write.
enum Wrote {
    /// There was nothing to write, or the kernel takes nothing now.
    Nothing,
    Some,
    /// The stream or the session has failed.
    Broken,
}

/// The answer to a plain request on a port with TLS.
const HTTP_ON_TLS: &str = "this port speaks TLS: use https:// or wss://";
