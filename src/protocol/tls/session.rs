//! One TLS session, without buffers of its own.
//!
//! ```text
//!  socket ─► ciphertext ─► receive ─► plaintext ─► Connection
//!  socket ◄─ ciphertext ◄─ encrypt ◄─ plaintext ◄─ Connection
//! ```
//!
//! Both pieces of ciphertext lie in buffers that all sessions of a loop share. A session keeps
//! bytes of its own only while a record is incomplete, and while the kernel has not taken all of
//! its ciphertext.

use super::error::{TlsError, TlsFailure};
use super::identity::{ClientTls, ServerTls, asked_name};
use super::info::TlsInfo;
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use std::fmt;
use std::sync::Arc;

/// The most ciphertext that is kept of something incomplete: two records. A flight of the handshake
/// with more is refused; a chain of certificates has a tenth of it.
pub const MOST_KEPT: usize = 2 * (16 << 10) + 1_024;

/// The most plaintext to encrypt at once. What the kernel does not take of it must be kept.
const MOST_AT_ONCE: usize = 64 << 10;

/// Room for what a record adds to its contents (RFC 8446 §5.2, RFC 5246 §6.2.3).
const OVERHEAD: usize = 5 + 256;
/// The most plaintext in a record (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;

/// The content types of a record that can come first: an alert and a handshake.
const FIRST_TYPES: [u8; 2] = [21, 22];

/// A TLS session of a server or a client.
pub struct Session {
    side: Side,
    /// Ciphertext from the peer of something that is incomplete.
    kept: Vec<u8>,
    /// Ciphertext for the peer that the kernel has not taken, and how much of it it has.
    unsent: Vec<u8>,
    taken: usize,
    /// Bytes of the connection's output that are encrypted in `unsent`.
    ahead: usize,
    /// The name that the client has asked for, until the handshake is over.
    name: Option<Box<str>>,
    /// What was agreed, once the handshake is over.
    info: Option<Arc<TlsInfo>>,
    /// `close_notify` was sent.
    has_closed: bool,
    state: State,
    /// Bytes of memory that the budget has counted.
    pub counted: usize,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come from the peer yet.
    New,
    Handshaking,
    Open,
    /// The peer has sent `close_notify`.
    PeerClosed,
    /// The session has failed. What still comes is ignored.
    Failed,
}

/// What has come of received bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The handshake is over now.
    pub opened: bool,
    /// The peer has sent `close_notify` now: no more data follows.
    pub closed: bool,
}

/// A buffer for ciphertext that all sessions of a loop share. It only grows.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
    length: usize,
}

impl Output {
    /// Returns the ciphertext.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    /// Empties the buffer.
    pub const fn clear(&mut self) {
        self.length = 0;
    }

    /// Returns room for at least `size` more bytes.
    fn room(&mut self, size: usize) -> &mut [u8] {
        if self.buffer.len() - self.length < size {
            self.buffer.resize(self.length + size, 0);
        }
        &mut self.buffer[self.length..]
    }
}

/// What a session is to do as soon as it can.
#[derive(Clone, Copy)]
enum Act<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    Close,
}

/// What follows a step of rustls.
enum Step {
    /// Another step.
    Continue,
    /// Bytes from the peer, or from the connection.
    Wait,
    /// Nothing more comes from the peer.
    PeerClosed,
    /// The act is done.
    Done,
    Failed(TlsError),
}

/// Handles one step of rustls. Returns how many bytes of the input it has used.
fn handle<D>(
    UnbufferedStatus { mut discard, state, .. }: UnbufferedStatus<'_, '_, D>,
    act: Act<'_>,
    plain: &mut Vec<u8>,
    output: &mut Output,
) -> (usize, Step) {
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Step::Continue,
                Some(Err(error)) => break Step::Failed(TlsError::from(&error)),
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let mut size = 0;
            loop {
                match data.encode(output.room(size)) {
                    Ok(count) => {
                        output.length += count;
                        break Step::Continue;
                    }
                    Err(EncodeError::InsufficientSize(needed)) => size = needed.required_size,
                    Err(EncodeError::AlreadyEncoded) => break Step::Continue,
                }
            }
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Continue
        }
        Ok(ConnectionState::PeerClosed) => Step::PeerClosed,
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let encrypted = match act {
                Act::Nothing => return (discard, Step::Wait),
                Act::Encrypt(bytes) => {
                    let records = bytes.len() / RECORD + 2;
                    traffic.encrypt(bytes, output.room(bytes.len() + records * OVERHEAD))
                }
                Act::Close => traffic.queue_close_notify(output.room(OVERHEAD)),
            };
            match encrypted {
                Ok(count) => {
                    output.length += count;
                    Step::Done
                }
                Err(error) => Step::Failed(TlsError::new(TlsFailure::Violation, error.to_string())),
            }
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Step::Wait,
        // There is no early data (RFC 8446 §2.3): no configuration here allows it.
        Ok(_) => Step::Failed(TlsError::new(TlsFailure::Violation, "early data")),
        Err(error) => Step::Failed(TlsError::from(&error)),
    };
    (discard, step)
}

impl Side {
    fn step(&mut self, input: &mut [u8], act: Act<'_>, plain: &mut Vec<u8>, output: &mut Output) -> (usize, Step) {
        match self {
            Side::Server(connection) => handle(connection.process_tls_records(input), act, plain, output),
            Side::Client(connection) => handle(connection.process_tls_records(input), act, plain, output),
        }
    }

    fn common(&self) -> &CommonState {
        match self {
            Side::Server(connection) => connection,
            Side::Client(connection) => connection,
        }
    }
}

impl Session {
    /// Begins the session of a client that has connected.
    ///
    /// # Errors
    ///
    /// The configuration is invalid.
    pub fn accept(tls: &ServerTls) -> Result<Session, TlsError> {
        let connection = UnbufferedServerConnection::new(tls.current()).map_err(|error| TlsError::from(&error))?;
        Ok(Session::new(Side::Server(connection)))
    }

    /// Begins a session with a server. Its first message is queued.
    ///
    /// # Errors
    ///
    /// The configuration is invalid.
    pub fn connect(tls: &ClientTls, name: ServerName<'static>, output: &mut Output) -> Result<Session, TlsError> {
        let asked = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().into()),
            _ => None,
        };
        let connection = UnbufferedClientConnection::new(tls.config(), name).map_err(|error| TlsError::from(&error))?;
        let mut session = Session::new(Side::Client(connection));
        session.name = asked;
        output.clear();
        let (_, outcome) = session.run(&mut [], Act::Nothing, &mut Vec::new(), output);
        session.keep_unsent(output, 0);
        outcome.map(|_| session)
    }

    const fn new(side: Side) -> Session {
        Session {
            side,
            kept: Vec::new(),
            unsent: Vec::new(),
            taken: 0,
            ahead: 0,
            name: None,
            info: None,
            has_closed: false,
            state: State::New,
            counted: 0,
        }
    }

    // ---- from the peer -------------------------------------------------------------------------

    /// Copies what is kept of something incomplete to the front of a buffer, which must have room
    /// for [`MOST_KEPT`]. Returns its length. The next bytes of the peer belong right behind it.
    pub fn copy_kept(&self, buffer: &mut [u8]) -> usize {
        buffer[..self.kept.len()].copy_from_slice(&self.kept);
        self.kept.len()
    }

    /// Receives ciphertext: what was kept, and new bytes behind it. Appends the plaintext to
    /// `plain`, and what TLS itself has to say to `output`. Keeps what is incomplete.
    ///
    /// # Errors
    ///
    /// The session has failed. `output` may have an alert for the peer. What has become plaintext
    /// before the error is valid.
    pub fn receive(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        output: &mut Output,
    ) -> Result<Received, TlsError> {
        if matches!(self.state, State::Failed | State::PeerClosed) {
            return Ok(Received::default());
        }
        if self.state == State::New {
            self.check_first(bytes)?;
        }
        let was_open = self.info.is_some();
        let (used, outcome) = self.run(bytes, Act::Nothing, plain, output);
        if !was_open {
            self.name = asked_name().or(self.name.take());
        }
        let closed = match outcome {
            Ok(closed) => closed,
            Err(error) => {
                self.fail(output);
                return Err(error);
            }
        };
        if !was_open && !self.side.common().is_handshaking() {
            self.info = Some(Arc::new(TlsInfo::of(self.side.common(), self.name.take())));
            self.state = State::Open;
        }
        if closed {
            self.state = State::PeerClosed;
        }
        let rest = if closed { &[][..] } else { &bytes[used..] };
        if rest.len() > MOST_KEPT {
            self.fail(output);
            return Err(TlsError::new(TlsFailure::Violation, "a message of the handshake is too long"));
        }
        self.kept = Vec::from(rest);
        Ok(Received { opened: !was_open && self.info.is_some(), closed })
    }

    /// The first byte of a peer that speaks TLS is that of a handshake or an alert.
    fn check_first(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        if !bytes.first().is_none_or(|first| FIRST_TYPES.contains(first)) {
            self.state = State::Failed;
            return Err(TlsError::not_tls(bytes, matches!(self.side, Side::Server(_))));
        }
        self.state = State::Handshaking;
        Ok(())
    }

    /// Runs rustls until it waits. Returns how many bytes of the input it has used, and whether the
    /// peer has closed. rustls remembers positions in the rest, which must come first the next
    /// time.
    fn run(
        &mut self,
        input: &mut [u8],
        act: Act<'_>,
        plain: &mut Vec<u8>,
        output: &mut Output,
    ) -> (usize, Result<bool, TlsError>) {
        let (mut used, mut closed) = (0, false);
        loop {
            let (count, step) = self.side.step(&mut input[used..], act, plain, output);
            used += count;
            match step {
                Step::Continue => {}
                Step::PeerClosed => closed = true,
                Step::Wait | Step::Done => return (used, Ok(closed)),
                Step::Failed(error) => return (used, Err(error)),
            }
        }
    }

    /// Ends a session that has failed. rustls may have an alert for the peer.
    fn fail(&mut self, output: &mut Output) {
        self.state = State::Failed;
        self.kept = Vec::new();
        // It must not look at its input again.
        while self.side.common().wants_write() {
            if !matches!(self.side.step(&mut [], Act::Nothing, &mut Vec::new(), output), (0, Step::Continue)) {
                break;
            }
        }
    }

    // ---- to the peer ---------------------------------------------------------------------------

    /// Encrypts the beginning of a connection's output. The kernel must have taken all that was
    /// encrypted before.
    ///
    /// # Errors
    ///
    /// The session has failed.
    pub fn encrypt(&mut self, plain: &[u8], output: &mut Output) -> Result<(), TlsError> {
        let part = &plain[..plain.len().min(MOST_AT_ONCE)];
        self.act(Act::Encrypt(part), output)?;
        self.ahead = part.len();
        Ok(())
    }

    /// Says that nothing more will be sent (`close_notify`, RFC 8446 §6.1).
    ///
    /// # Errors
    ///
    /// The session has failed.
    pub fn close(&mut self, output: &mut Output) -> Result<(), TlsError> {
        self.has_closed = true;
        self.act(Act::Close, output)
    }

    /// Returns whether `close_notify` is to be sent before the end of the stream.
    pub fn must_close(&self) -> bool {
        self.may_encrypt() && !self.has_closed
    }

    fn act(&mut self, act: Act<'_>, output: &mut Output) -> Result<(), TlsError> {
        // rustls looks for the beginning of a message where it has seen it before.
        let mut kept = std::mem::take(&mut self.kept);
        let (used, outcome) = self.run(&mut kept, act, &mut Vec::new(), output);
        kept.drain(..used);
        self.kept = kept;
        outcome.map(drop)
    }

    /// Returns whether output of the connection can be encrypted now.
    pub fn may_encrypt(&self) -> bool {
        matches!(self.state, State::Open | State::PeerClosed) && self.unsent.is_empty()
    }

    /// Returns ciphertext that the kernel has not taken.
    pub fn unsent(&self) -> &[u8] {
        &self.unsent[self.taken..]
    }

    /// Keeps what the kernel has not taken of new ciphertext.
    pub fn keep_unsent(&mut self, output: &Output, taken: usize) {
        let rest = &output.bytes()[taken..];
        self.unsent.reserve_exact(rest.len());
        self.unsent.extend_from_slice(rest);
    }

    /// The kernel has taken so many of `length` bytes of ciphertext. Returns how many bytes of the
    /// connection's output these were, about; when it has taken all, the sum is exact.
    pub fn delivered(&mut self, taken: usize, length: usize) -> usize {
        let part = if taken == length { self.ahead } else { self.ahead * taken / length };
        self.ahead -= part;
        part
    }

    /// The kernel has taken so many bytes of what was unsent.
    pub fn advance(&mut self, taken: usize) {
        self.taken += taken;
        if self.taken == self.unsent.len() {
            self.unsent = Vec::new();
            self.taken = 0;
        }
    }

    /// Returns whether some output of the connection is encrypted, but has not reached the kernel.
    pub const fn is_ahead(&self) -> bool {
        self.ahead > 0
    }

    // ---- questions -----------------------------------------------------------------------------

    /// Returns whether the handshake is not over.
    pub const fn is_handshaking(&self) -> bool {
        matches!(self.state, State::New | State::Handshaking)
    }

    /// Returns whether the end of the stream is an end that the peer meant: it has sent
    /// `close_notify`, or the session has failed anyway.
    pub const fn may_end(&self) -> bool {
        matches!(self.state, State::PeerClosed | State::Failed)
    }

    /// Returns whether a record or a message of the handshake is incomplete.
    pub fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Returns what was agreed, once the handshake is over.
    pub const fn info(&self) -> Option<&Arc<TlsInfo>> {
        self.info.as_ref()
    }

    /// Returns the bytes of memory that the session holds because something is under way. Its state
    /// does not count: about 3 KiB of rustls.
    pub fn holds(&self) -> usize {
        self.kept.capacity() + self.unsent.capacity()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("state", &self.state).field("info", &self.info).finish_non_exhaustive()
    }
}
