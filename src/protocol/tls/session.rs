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

#[cfg(feature = "handover")]
use super::carried::CarriedSession;
use super::error::{TlsError, TlsFailure};
use super::identity::{ClientTls, ServerTls, asked_name};
use super::info::TlsInfo;
use super::machine::{Act, Machine};
use super::output::{HEADER, Output, RECORD};
use super::ratchet::{Secrets, told_secrets};
use super::traffic::{self, Traffic};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use std::fmt;
use std::sync::Arc;

/// The most ciphertext that is kept of something incomplete: two records. A flight of the handshake
/// with more is refused; a chain of certificates has a tenth of it.
pub const MOST_KEPT: usize = 2 * (16 << 10) + 1_024;

/// The most plaintext to encrypt at once. What the kernel does not take of it must be kept.
pub(super) const MOST_AT_ONCE: usize = 64 << 10;

/// The content types of a record that can come first: an alert and a handshake.
const FIRST_TYPES: [u8; 2] = [21, 22];

/// A TLS session of a server or a client.
pub struct Session {
    layer: Layer,
    /// The most plaintext in a record, if the keys may be taken out of rustls, or 0
    /// (`enable_secret_extraction`).
    extract: u16,
    under_way: Option<Box<UnderWay>>,
    /// Bytes of the connection's output that are encrypted, but not taken by the kernel.
    ahead: u32,
    /// What was agreed, once the handshake is over.
    info: Option<Arc<TlsInfo>>,
    /// `close_notify` was sent.
    has_closed: bool,
    is_awake: bool,
    state: State,
    /// Bytes of memory that the budget has counted.
    pub counted: usize,
}

/// What a session has only while something is under way.
#[derive(Default)]
struct UnderWay {
    /// Ciphertext from the peer of something that is incomplete.
    kept: Vec<u8>,
    /// Ciphertext for the peer that the kernel has not taken, and how much of it it has.
    unsent: Vec<u8>,
    taken: usize,
    /// The name that the client has asked for, until the handshake is over.
    name: Option<Box<str>>,
    /// What the keys for data follow from, until they are used.
    secrets: Option<Box<Secrets>>,
}

/// Who does TLS.
enum Layer {
    Machine(Machine),
    /// Since the handshake is over.
    Traffic(Box<Traffic>),
    /// Nobody: the session has failed.
    None,
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

impl Session {
    /// Begins the session of a client that has connected.
    ///
    /// # Errors
    ///
    /// The configuration is invalid.
    pub fn accept(tls: &ServerTls) -> Result<Session, TlsError> {
        let config = tls.current();
        // rustls counts the header of a record, too.
        let record = config.max_fragment_size.map_or(RECORD, |size| size.saturating_sub(HEADER).clamp(1, RECORD));
        let extract = if config.enable_secret_extraction { record as u16 } else { 0 };
        let connection = UnbufferedServerConnection::new(config).map_err(|error| TlsError::from(&error))?;
        let session = Session::new(Machine::Server(Box::new(connection)));
        Ok(Session { extract, ..session })
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
        let mut session = Session::new(Machine::Client(Box::new(connection)));
        session.set_name(asked);
        output.clear();
        let (_, outcome) = session.run(&mut [], Act::Nothing, &mut Vec::new(), output);
        session.keep_unsent(output, 0);
        outcome.map(|_| session)
    }

    const fn new(machine: Machine) -> Session {
        Session {
            layer: Layer::Machine(machine),
            extract: 0,
            under_way: None,
            ahead: 0,
            info: None,
            has_closed: false,
            is_awake: false,
            state: State::New,
            counted: 0,
        }
    }

    // ---- from the peer -------------------------------------------------------------------------

    /// Copies what is kept of something incomplete to the front of a buffer, which must have room
    /// for [`MOST_KEPT`]. Returns its length. The next bytes of the peer belong right behind it.
    pub fn copy_kept(&self, buffer: &mut [u8]) -> usize {
        let kept = self.kept();
        buffer[..kept.len()].copy_from_slice(kept);
        kept.len()
    }

    /// Receives ciphertext: what was kept, and new bytes behind it. Appends the plaintext to
    /// `plain`, and what TLS itself has to say to `output`. Keeps what is incomplete. Returns
    /// whether the peer has sent `close_notify` now. Ignores what comes after either side has sent
    /// it.
    ///
    /// # Errors
    ///
    /// The session has failed. `output` may have an alert for the peer. What has become plaintext
    /// before the error is valid, and the handshake may be over.
    pub fn receive(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, output: &mut Output) -> Result<bool, TlsError> {
        // After our `close_notify`, rustls must not find an error: a second alert would break one
        // of its debug assertions (rustls#959).
        if self.has_closed || matches!(self.state, State::Failed | State::PeerClosed) {
            return Ok(false);
        }
        if self.state == State::New {
            self.check_first(bytes)?;
        }
        let (used, outcome) = self.run(bytes, Act::Nothing, plain, output);
        if self.info.is_none() {
            self.set_name(asked_name());
        }
        self.note_secrets();
        self.note_open();
        let closed = match outcome {
            Ok(closed) => closed,
            Err(error) => {
                self.fail(output);
                return Err(if self.info.is_some() { error.of_open_session() } else { error });
            }
        };
        if closed {
            self.state = State::PeerClosed;
        }
        let rest = if closed { &[][..] } else { &bytes[used..] };
        if rest.len() > MOST_KEPT {
            self.fail(output);
            return Err(TlsError::new(TlsFailure::Violation, "a message of the handshake is too long"));
        }
        self.set_kept(rest);
        Ok(closed)
    }

    /// The first byte of a peer that speaks TLS is that of a handshake or an alert.
    fn check_first(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        let Some(first) = bytes.first() else { return Ok(()) };
        if !FIRST_TYPES.contains(first) {
            self.state = State::Failed;
            return Err(TlsError::not_tls(bytes, matches!(self.layer, Layer::Machine(Machine::Server(_)))));
        }
        self.state = State::Handshaking;
        Ok(())
    }

    /// Gives ciphertext to whoever does TLS now, and what is to be done. Returns how many bytes it
    /// has used, and whether the peer has closed. The rest must come first the next time.
    fn run(
        &mut self,
        input: &mut [u8],
        act: Act<'_>,
        plain: &mut Vec<u8>,
        output: &mut Output,
    ) -> (usize, Result<bool, TlsError>) {
        match &mut self.layer {
            Layer::Machine(machine) => machine.run(input, act, plain, output),
            Layer::Traffic(traffic) => traffic.run(input, act, plain, output),
            Layer::None => (input.len(), Ok(false)),
        }
    }

    // ---- what is under way ---------------------------------------------------------------------

    fn kept(&self) -> &[u8] {
        self.under_way.as_ref().map_or(&[], |under_way| &under_way.kept)
    }

    fn set_kept(&mut self, bytes: &[u8]) {
        if self.under_way.is_some() || !bytes.is_empty() {
            self.under_way.get_or_insert_default().kept = Vec::from(bytes);
            self.tidy();
        }
    }

    fn set_name(&mut self, name: Option<Box<str>>) {
        if name.is_some() {
            self.under_way.get_or_insert_default().name = name;
        }
    }

    /// Keeps the secrets that rustls has just told.
    fn note_secrets(&mut self) {
        if self.extract > 0 && matches!(self.layer, Layer::Machine(_)) {
            let secrets = told_secrets();
            if secrets.is_some() {
                self.under_way.get_or_insert_default().secrets = secrets;
            }
        }
    }

    /// Drops the room for what is under way, if nothing is.
    fn tidy(&mut self) {
        let is_empty = |way: &UnderWay| {
            way.kept.is_empty() && way.unsent.is_empty() && way.name.is_none() && way.secrets.is_none()
        };
        if self.under_way.as_deref().is_some_and(is_empty) {
            self.under_way = None;
        }
    }

    // ---- how a session changes -----------------------------------------------------------------

    /// Notes what was agreed when the handshake is over.
    fn note_open(&mut self) {
        let Layer::Machine(machine) = &self.layer else { return };
        if self.info.is_some() || machine.common().is_handshaking() {
            return;
        }
        let name = self.under_way.as_mut().and_then(|under_way| under_way.name.take());
        self.info = Some(Arc::new(TlsInfo::of(machine.common(), name)));
        self.state = State::Open;
    }

    /// Drops what only a handshake needs, once nothing of it is left: neither input nor output.
    /// rustls may have an answer to a KeyUpdate that it adds to the next output, and it would be
    /// lost. So this is called right after some output was encrypted.
    fn shrink(&mut self) -> Result<(), TlsError> {
        let is_ready = self.extract > 0 && self.state == State::Open && !self.has_kept();
        let Layer::Machine(Machine::Server(connection)) = &self.layer else { return Ok(()) };
        if !is_ready || !traffic::is_suitable(connection) {
            return Ok(());
        }
        if let Layer::Machine(Machine::Server(connection)) = std::mem::replace(&mut self.layer, Layer::None) {
            // If it fails, nobody does TLS any more.
            self.state = State::Failed;
            let secrets = self.under_way.as_mut().and_then(|under_way| under_way.secrets.take());
            self.layer = Layer::Traffic(Box::new(Traffic::take_over(*connection, self.extract, secrets)?));
            self.state = State::Open;
            self.tidy();
        }
        Ok(())
    }

    /// Ends a session that has failed. There may be an alert for the peer.
    fn fail(&mut self, output: &mut Output) {
        self.state = State::Failed;
        self.set_kept(&[]);
        if let Layer::Machine(mut machine) = std::mem::replace(&mut self.layer, Layer::None) {
            machine.take_alert(output);
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
        self.ahead = part.len() as u32;
        self.shrink()
    }

    /// Says that nothing more will be sent (`close_notify`, RFC 8446 §6.1).
    ///
    /// # Errors
    ///
    /// The session has failed.
    pub fn close(&mut self, output: &mut Output) -> Result<(), TlsError> {
        self.has_closed = true;
        let closed = self.act(Act::Close, output);
        self.set_kept(&[]);
        closed
    }

    /// Returns whether `close_notify` is to be sent before the end of the stream.
    pub fn must_close(&self) -> bool {
        self.may_encrypt() && !self.has_closed
    }

    /// Returns whether TLS itself has to say something to the peer: an answer to a KeyUpdate (RFC
    /// 8446 §4.6.3).
    pub fn has_answer(&self) -> bool {
        self.must_close() && matches!(&self.layer, Layer::Traffic(traffic) if traffic.owes_update())
    }

    /// Says it.
    ///
    /// # Errors
    ///
    /// The session has failed.
    pub fn answer(&mut self, output: &mut Output) -> Result<(), TlsError> {
        match &mut self.layer {
            Layer::Traffic(traffic) => traffic.update(output),
            Layer::Machine(_) | Layer::None => Ok(()),
        }
    }

    fn act(&mut self, act: Act<'_>, output: &mut Output) -> Result<(), TlsError> {
        // rustls looks for the beginning of a message where it has seen it before.
        let mut kept = self.under_way.as_mut().map_or_else(Vec::new, |under_way| std::mem::take(&mut under_way.kept));
        let (used, outcome) = self.run(&mut kept, act, &mut Vec::new(), output);
        kept.drain(..used);
        if let Some(under_way) = &mut self.under_way {
            under_way.kept = kept;
            self.tidy();
        }
        outcome.map(drop)
    }

    /// Returns whether output of the connection can be encrypted now.
    pub fn may_encrypt(&self) -> bool {
        matches!(self.state, State::Open | State::PeerClosed) && self.unsent().is_empty()
    }

    /// Returns ciphertext that the kernel has not taken.
    pub fn unsent(&self) -> &[u8] {
        self.under_way.as_ref().map_or(&[], |under_way| &under_way.unsent[under_way.taken..])
    }

    /// Keeps what the kernel has not taken of new ciphertext.
    pub fn keep_unsent(&mut self, output: &Output, taken: usize) {
        let rest = &output.bytes()[taken..];
        if !rest.is_empty() {
            let unsent = &mut self.under_way.get_or_insert_default().unsent;
            unsent.reserve_exact(rest.len());
            unsent.extend_from_slice(rest);
        }
    }

    /// The kernel has taken so many of `length` bytes of ciphertext. Returns how many bytes of the
    /// connection's output these were, about; when it has taken all, the sum is exact.
    pub fn delivered(&mut self, taken: usize, length: usize) -> usize {
        let ahead = self.ahead as usize;
        let part = if taken == length { ahead } else { ahead * taken / length };
        self.ahead -= part as u32;
        part
    }

    /// The kernel has taken so many bytes of what was unsent.
    pub fn advance(&mut self, taken: usize) {
        let Some(under_way) = &mut self.under_way else { return };
        under_way.taken += taken;
        if under_way.taken == under_way.unsent.len() {
            (under_way.unsent, under_way.taken) = (Vec::new(), 0);
            self.tidy();
        }
    }

    /// Returns whether some output of the connection is encrypted, but has not reached the kernel.
    pub const fn is_ahead(&self) -> bool {
        self.ahead > 0
    }

    // ---- another process -----------------------------------------------------------------------

    /// Describes an open session for another process. Returns `None` if it stays behind.
    #[cfg(feature = "handover")]
    pub fn carry(&self) -> Option<CarriedSession> {
        let (Layer::Traffic(traffic), Some(info)) = (&self.layer, &self.info) else { return None };
        let peer_has_closed = match self.state {
            State::Open => false,
            State::PeerClosed => true,
            State::New | State::Handshaking | State::Failed => return None,
        };
        let mut carried = traffic.carry()?;
        let some = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
        (carried.peer_has_closed, carried.has_closed) = (peer_has_closed, self.has_closed);
        (carried.kept, carried.unsent) = (some(self.kept()), some(self.unsent()));
        carried.ahead = self.ahead;
        carried.set_info(info);
        Some(carried)
    }

    /// Puts an open session of another process together.
    #[cfg(feature = "handover")]
    pub(super) fn restored(traffic: Traffic, info: TlsInfo, carried: CarriedSession) -> Session {
        let under_way = UnderWay {
            kept: carried.kept.unwrap_or_default(),
            unsent: carried.unsent.unwrap_or_default(),
            ..UnderWay::default()
        };
        let mut session = Session {
            layer: Layer::Traffic(Box::new(traffic)),
            extract: carried.record,
            under_way: Some(Box::new(under_way)),
            ahead: carried.ahead,
            info: Some(Arc::new(info)),
            has_closed: carried.has_closed,
            is_awake: false,
            state: if carried.peer_has_closed { State::PeerClosed } else { State::Open },
            counted: 0,
        };
        session.tidy();
        session
    }

    // ---- questions -----------------------------------------------------------------------------

    /// Returns whether the handshake is not over.
    pub const fn is_handshaking(&self) -> bool {
        matches!(self.state, State::New | State::Handshaking)
    }

    /// Returns whether something has come from the peer.
    pub const fn has_heard(&self) -> bool {
        !matches!(self.state, State::New)
    }

    /// Returns whether the end of the stream is an end that the peer meant: it has sent
    /// `close_notify`, or the session has failed anyway.
    pub const fn may_end(&self) -> bool {
        matches!(self.state, State::PeerClosed | State::Failed)
    }

    /// Returns whether a record or a message of the handshake is incomplete.
    pub fn has_kept(&self) -> bool {
        !self.kept().is_empty() || matches!(&self.layer, Layer::Traffic(traffic) if traffic.has_begun())
    }

    /// Shares what was agreed with another session that has agreed on the same.
    pub fn share_info(&mut self, other: &mut Option<Arc<TlsInfo>>) {
        match (&self.info, &other) {
            (Some(own), Some(other)) if own == other => self.info = Some(Arc::clone(other)),
            (own, _) => *other = own.clone(),
        }
    }

    /// Returns what was agreed, once the handshake is over.
    pub const fn info(&self) -> Option<&Arc<TlsInfo>> {
        self.info.as_ref()
    }

    /// Returns whether the session has something that [`rest`](Self::rest) drops, and had not when
    /// this was asked last.
    pub const fn has_woken(&mut self) -> bool {
        let was_awake = self.is_awake;
        self.is_awake = matches!(&self.layer, Layer::Traffic(traffic) if traffic.is_awake());
        self.is_awake && !was_awake
    }

    /// Drops what can be made again when the peer or the connection speaks: the ciphers of an open
    /// session, about 1.1 KiB. Only their keys stay.
    pub fn rest(&mut self) {
        self.is_awake = false;
        if let Layer::Traffic(traffic) = &mut self.layer {
            traffic.rest();
        }
    }

    /// Returns the bytes of memory that the session holds because something is under way. Its state
    /// does not count: 430 bytes, 1.5 KiB with its ciphers, or 3.2 KiB of rustls.
    pub fn holds(&self) -> usize {
        self.under_way.as_ref().map_or(0, |under_way| under_way.kept.capacity() + under_way.unsent.capacity())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("state", &self.state).field("info", &self.info).finish_non_exhaustive()
    }
}
