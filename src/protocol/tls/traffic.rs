//! The record layer of an open session, in an eighth of the memory: TLS 1.3, in a server's role.
//!
//! When a handshake is over, rustls can hand out the keys and keep only what derives the next ones
//! (`rustls::kernel`). The [secrets](super::ratchet) do that in less memory. What is left to do is
//! RFC 8446 §5 and what may follow a handshake: data, alerts (§6) and KeyUpdate (§4.6.3). The
//! provider's cryptography protects one record at a time.
//!
//! A key is 32 bytes, but what the provider computes from it to use it is 560 (ring). So a
//! [`Traffic`] makes that when it reads or writes, and [`rest`](Traffic::rest) drops it. Keys of
//! AES-128 cannot be built from bytes with rustls 0.23: these sessions never rest.

#[cfg(feature = "handover")]
use super::carried::CarriedSession;
use super::error::{TlsError, TlsFailure};
use super::machine::Act;
use super::output::{HEADER, Output, RECORD};
use super::ratchet::{self, KEY, Secrets};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::crypto::tls13::OkmBlock;
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite,
    Tls13CipherSuite,
};

/// The most bytes behind the header (RFC 8446 §5.2).
const MOST_CIPHERTEXT: usize = RECORD + 256;
/// The handshake message KeyUpdate without its last byte, which says whether the other side is to
/// follow (RFC 8446 §4.6.3).
const KEY_UPDATE: [u8; 4] = [24, 0, 0, 1];
/// KeyUpdates in a row without data. More are an attack; BoringSSL and rustls have the same limit.
const MOST_KEY_UPDATES: u8 = 32;
/// KeyUpdates in one read, with or without data between them. Each takes as long as dozens of small
/// records.
const MOST_UPDATES_IN_READ: u8 = 64;
/// Warnings in the life of a session, as BoringSSL and rustls. They say nothing in TLS 1.3.
const MOST_WARNINGS: u8 = 4;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// An open session.
pub(super) struct Traffic {
    suite: &'static Tls13CipherSuite,
    next_keys: NextKeys,
    receiving: Direction<dyn MessageDecrypter>,
    sending: Direction<dyn MessageEncrypter>,
    /// The most plaintext in a record that we send.
    record: u16,
    /// Bytes of a KeyUpdate that has come in part.
    begun: u8,
    /// KeyUpdates since the last data, and in this read.
    key_updates: u8,
    updates_in_read: u8,
    warnings: u8,
    /// The peer has asked for a KeyUpdate.
    owes_update: bool,
}

/// What the next keys follow from.
enum NextKeys {
    Secrets {
        receiving: OkmBlock,
        sending: OkmBlock,
    },
    /// rustls knows. Keys of 16 bytes cannot be built.
    Kernel(Box<KernelConnection<ServerConnectionData>>),
}

/// One direction: how records are protected, and the number of the next one.
struct Direction<C: ?Sized> {
    key: Key<C>,
    number: u64,
}

enum Key<C: ?Sized> {
    /// A key of 32 bytes, and while the session is awake what works with it.
    Bytes(AeadKey, Iv, Option<Box<C>>),
    /// A key of which no copy can be made.
    Fixed(Box<C>),
}

/// What protects the records of one direction.
trait Cipher {
    fn new(suite: &Tls13CipherSuite, key: AeadKey, iv: Iv) -> Box<Self>;
}

impl Cipher for dyn MessageDecrypter {
    fn new(suite: &Tls13CipherSuite, key: AeadKey, iv: Iv) -> Box<Self> {
        suite.aead_alg.decrypter(key, iv)
    }
}

impl Cipher for dyn MessageEncrypter {
    fn new(suite: &Tls13CipherSuite, key: AeadKey, iv: Iv) -> Box<Self> {
        suite.aead_alg.encrypter(key, iv)
    }
}

/// A record that must end the session.
struct Fault {
    /// What to tell the peer. `None` if the peer has told us.
    alert: Option<AlertDescription>,
    error: TlsError,
}

impl Fault {
    fn new(alert: AlertDescription, text: &str) -> Fault {
        Fault { alert: Some(alert), error: TlsError::new(TlsFailure::Violation, text) }
    }

    const fn internal(error: TlsError) -> Fault {
        Fault { alert: Some(AlertDescription::InternalError), error }
    }

    fn of(error: &Error) -> Fault {
        let alert = match error {
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
            _ => AlertDescription::InternalError,
        };
        Fault { alert: Some(alert), error: TlsError::from(error) }
    }
}

/// Returns whether rustls may hand out the keys of a provider's suites.
pub(super) fn can_extract(suites: &[SupportedCipherSuite]) -> bool {
    let mut suites = suites.iter().filter_map(SupportedCipherSuite::tls13);
    suites.all(|suite| suite.aead_alg.extract_keys(AeadKey::from([0; 32]), Iv::from([0; 12])).is_ok())
}

/// Returns whether an open session can become a [`Traffic`], if its configuration allows to extract
/// keys.
pub(super) fn is_suitable(connection: &UnbufferedServerConnection) -> bool {
    connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        && !connection.wants_write()
        && connection.negotiated_cipher_suite().is_some_and(|suite| {
            matches!(
                suite.suite(),
                CipherSuite::TLS13_AES_128_GCM_SHA256
                    | CipherSuite::TLS13_AES_256_GCM_SHA384
                    | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            )
        })
}

impl Traffic {
    /// Takes over from rustls' state machine.
    ///
    /// # Errors
    ///
    /// rustls does not hand out the keys. The session has failed.
    pub(super) fn take_over(
        connection: UnbufferedServerConnection,
        record: u16,
        secrets: Option<Box<Secrets>>,
    ) -> Result<Traffic, TlsError> {
        let (extracted, kernel) =
            connection.dangerous_into_kernel_connection().map_err(|error| TlsError::from(&error))?;
        let suite = suite_of(&kernel)?;
        let receiving: Direction<dyn MessageDecrypter> = Direction::new(suite, extracted.rx)?;
        let sending: Direction<dyn MessageEncrypter> = Direction::new(suite, extracted.tx)?;
        let next_keys = match secrets.map(|secrets| (secrets.receiving, secrets.sending)) {
            // A session that has changed its keys already has other secrets.
            Some((Some(first), Some(second)))
                if receiving.follows(suite, &first)? && sending.follows(suite, &second)? =>
            {
                NextKeys::Secrets { receiving: first, sending: second }
            }
            _ => NextKeys::Kernel(Box::new(kernel)),
        };
        Ok(Traffic {
            suite,
            next_keys,
            receiving,
            sending,
            record,
            begun: 0,
            key_updates: 0,
            updates_in_read: 0,
            warnings: 0,
            owes_update: false,
        })
    }

    /// Describes it for another process, if its secrets are known.
    #[cfg(feature = "handover")]
    pub(super) fn carry(&self) -> Option<CarriedSession> {
        let NextKeys::Secrets { receiving, sending } = &self.next_keys else { return None };
        Some(CarriedSession {
            suite: self.suite.common.suite.into(),
            receiving: receiving.as_ref().to_vec(),
            sending: sending.as_ref().to_vec(),
            next_received: self.receiving.number,
            next_sent: self.sending.number,
            record: self.record,
            begun: self.begun,
            key_updates: self.key_updates,
            warnings: self.warnings,
            owes_update: self.owes_update,
            peer_has_closed: false,
            has_closed: false,
            ahead: 0,
            kept: None,
            unsent: None,
            server_name: None,
            resumed: false,
            certificates: None,
        })
    }

    /// Goes on with one of another process.
    #[cfg(feature = "handover")]
    pub(super) fn from_carried(
        suite: &'static Tls13CipherSuite,
        secrets: Secrets,
        carried: &CarriedSession,
    ) -> Option<Traffic> {
        let (receiving, sending) = (secrets.receiving?, secrets.sending?);
        let mut traffic = Traffic {
            suite,
            receiving: Direction::of_secret(suite, &receiving).ok()?,
            sending: Direction::of_secret(suite, &sending).ok()?,
            next_keys: NextKeys::Secrets { receiving, sending },
            record: carried.record,
            begun: carried.begun.min(KEY_UPDATE.len() as u8),
            key_updates: carried.key_updates.min(MOST_KEY_UPDATES),
            updates_in_read: 0,
            warnings: carried.warnings,
            owes_update: carried.owes_update,
        };
        (traffic.receiving.number, traffic.sending.number) = (carried.next_received, carried.next_sent);
        // A key is good for so many records, and the last one is a KeyUpdate.
        let limit = suite.common.confidentiality_limit;
        (carried.next_sent < limit && carried.next_received < u64::MAX / 2).then_some(traffic)
    }

    /// As [`Machine::run`](super::machine::Machine::run). The rest of the input is an incomplete
    /// record.
    pub(super) fn run(
        &mut self,
        input: &mut [u8],
        act: Act<'_>,
        plain: &mut Vec<u8>,
        output: &mut Output,
    ) -> (usize, Result<bool, TlsError>) {
        match act {
            Act::Nothing => self.receive(input, plain, output),
            Act::Encrypt(bytes) => (0, self.encrypt(bytes, output).map(|()| false)),
            Act::Close => (0, self.send_alert(WARNING, AlertDescription::CloseNotify, output).map(|()| false)),
        }
    }

    /// Drops what can be made again from the keys.
    pub(super) fn rest(&mut self) {
        self.receiving.rest();
        self.sending.rest();
    }

    /// Returns whether there is something that [`rest`](Self::rest) drops.
    pub(super) const fn is_awake(&self) -> bool {
        self.receiving.is_awake() || self.sending.is_awake()
    }

    /// Returns whether a message of the handshake is incomplete.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun > 0
    }

    // ---- receiving -----------------------------------------------------------------------------

    fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        output: &mut Output,
    ) -> (usize, Result<bool, TlsError>) {
        let mut used = 0;
        self.updates_in_read = 0;
        loop {
            let rest = &mut input[used..];
            let record = match record(rest) {
                Ok(None) => return (used, Ok(false)),
                Ok(Some(length)) => self.open(&mut rest[..length], plain).map(|closed| (length, closed)),
                Err(fault) => Err(fault),
            };
            match record {
                Ok((length, false)) => used += length,
                Ok((length, true)) => return (used + length, Ok(true)),
                Err(Fault { alert, error }) => {
                    if let Some(alert) = alert {
                        // The session fails anyway.
                        let _ = self.send_alert(FATAL, alert, output);
                    }
                    return (used, Err(error));
                }
            }
        }
    }

    /// Decrypts a record, and handles what is in it. Returns whether the peer has sent
    /// `close_notify`.
    fn open(&mut self, record: &mut [u8], plain: &mut Vec<u8>) -> Result<bool, Fault> {
        let payload = &mut record[HEADER..];
        let message = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload);
        let (cipher, number) = self.receiving.next(self.suite);
        let message = cipher.decrypt(message, number).map_err(|error| Fault::of(&error))?;
        match message.typ {
            ContentType::Handshake => self.handshake(message.payload).map(|()| false),
            // RFC 8446 §5.1.
            _ if self.begun > 0 => Err(unexpected("another record inside a message of the handshake")),
            ContentType::ApplicationData => {
                if !message.payload.is_empty() {
                    self.key_updates = 0;
                    plain.extend_from_slice(message.payload);
                }
                Ok(false)
            }
            ContentType::Alert => self.alert(message.payload),
            _ => Err(unexpected("a record of a type that must not come now")),
        }
    }

    /// Handles an alert (RFC 8446 §6). Returns whether it is `close_notify`.
    fn alert(&mut self, payload: &[u8]) -> Result<bool, Fault> {
        let &[level, description] = payload else {
            return Err(Fault::new(AlertDescription::DecodeError, "an alert that is not 2 bytes long"));
        };
        let description = AlertDescription::from(description);
        match (level, description) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => Ok(true),
            // An end follows, or nothing.
            (WARNING, AlertDescription::UserCanceled) if self.warnings < MOST_WARNINGS => {
                self.warnings += 1;
                Ok(false)
            }
            (WARNING, AlertDescription::UserCanceled) => Err(unexpected("too many warnings")),
            (level, description) => {
                // An end is not answered, unless its level is unknown.
                let is_known = matches!(level, WARNING | FATAL);
                let alert = (!is_known).then_some(AlertDescription::IllegalParameter);
                Err(Fault { alert, error: TlsError::from(&Error::AlertReceived(description)) })
            }
        }
    }

    /// Handles a record with messages of the handshake. Only KeyUpdate may follow a handshake. It
    /// is the last message in its record, because the next record has another key (RFC 8446 §5.1).
    fn handshake(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if payload.is_empty() {
            return Err(unexpected("an empty record of the handshake"));
        }
        for (place, byte) in payload.iter().enumerate() {
            match KEY_UPDATE.get(usize::from(self.begun)) {
                Some(expected) if byte == expected => self.begun += 1,
                Some(_) if self.begun == 0 => return Err(unexpected("a message of the handshake after its end")),
                Some(_) => return Err(Fault::new(AlertDescription::DecodeError, "a KeyUpdate of a wrong length")),
                None if place + 1 < payload.len() => return Err(unexpected("something behind a KeyUpdate")),
                None => {
                    self.begun = 0;
                    self.key_update(*byte)?;
                }
            }
        }
        Ok(())
    }

    /// The peer uses its next key from the next record on.
    fn key_update(&mut self, request: u8) -> Result<(), Fault> {
        if self.key_updates == MOST_KEY_UPDATES || self.updates_in_read == MOST_UPDATES_IN_READ {
            return Err(unexpected("too many KeyUpdates"));
        }
        self.key_updates += 1;
        self.updates_in_read += 1;
        match request {
            0 => {}
            // One answer is enough for all requests before it.
            1 => self.owes_update = true,
            _ => return Err(Fault::new(AlertDescription::IllegalParameter, "a KeyUpdate with a wrong request")),
        }
        let suite = self.suite;
        self.receiving = match &mut self.next_keys {
            NextKeys::Secrets { receiving, .. } => {
                *receiving = ratchet::next(suite, receiving);
                Direction::of_secret(suite, receiving).map_err(Fault::internal)?
            }
            NextKeys::Kernel(kernel) => {
                let keys = kernel.update_rx_secret().map_err(|error| Fault::of(&error))?;
                Direction::new(suite, keys).map_err(Fault::internal)?
            }
        };
        Ok(())
    }

    // ---- sending -------------------------------------------------------------------------------

    /// Returns whether the peer waits for a KeyUpdate.
    pub(super) const fn owes_update(&self) -> bool {
        self.owes_update
    }

    /// Uses the next key for what is sent, and tells the peer.
    pub(super) fn update(&mut self, output: &mut Output) -> Result<(), TlsError> {
        self.owes_update = false;
        let [kind, high, middle, low] = KEY_UPDATE;
        self.put(ContentType::Handshake, &[kind, high, middle, low, 0], output)?;
        let suite = self.suite;
        self.sending = match &mut self.next_keys {
            NextKeys::Secrets { sending, .. } => {
                *sending = ratchet::next(suite, sending);
                Direction::of_secret(suite, sending)?
            }
            NextKeys::Kernel(kernel) => {
                Direction::new(suite, kernel.update_tx_secret().map_err(|error| TlsError::from(&error))?)?
            }
        };
        Ok(())
    }

    fn encrypt(&mut self, bytes: &[u8], output: &mut Output) -> Result<(), TlsError> {
        if self.owes_update {
            self.update(output)?;
        }
        let suite = self.suite;
        for part in bytes.chunks(usize::from(self.record)) {
            // A key is good for so many records (RFC 8446 §5.5). KeyUpdate is the last of them.
            if self.sending.number + 1 >= suite.common.confidentiality_limit {
                self.update(output)?;
            }
            self.put(ContentType::ApplicationData, part, output)?;
        }
        Ok(())
    }

    fn send_alert(&mut self, level: u8, alert: AlertDescription, output: &mut Output) -> Result<(), TlsError> {
        self.put(ContentType::Alert, &[level, u8::from(alert)], output)
    }

    /// Appends a record.
    fn put(&mut self, typ: ContentType, contents: &[u8], output: &mut Output) -> Result<(), TlsError> {
        let payload = OutboundChunks::Single(contents);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let (cipher, number) = self.sending.next(self.suite);
        let record = cipher.encrypt(message, number).map_err(|error| TlsError::from(&error))?;
        output.put(&record.encode());
        Ok(())
    }
}

impl<C: Cipher + ?Sized> Direction<C> {
    fn new(
        suite: &Tls13CipherSuite,
        (number, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Direction<C>, TlsError> {
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            return Err(TlsError::new(TlsFailure::Violation, "keys of an unknown cipher"));
        };
        let key = match key.as_ref().len() {
            KEY => Key::Bytes(key, iv, None),
            _ => Key::Fixed(C::new(suite, key, iv)),
        };
        Ok(Direction { key, number })
    }

    /// Returns the direction after a KeyUpdate to this secret.
    fn of_secret(suite: &Tls13CipherSuite, secret: &OkmBlock) -> Result<Direction<C>, TlsError> {
        let key = ratchet::key_of(suite, secret)?;
        let (key, iv) = key.ok_or_else(|| TlsError::new(TlsFailure::Violation, "keys of an unknown cipher"))?;
        Ok(Direction { key: Key::Bytes(key, iv, None), number: 0 })
    }

    /// Returns whether its key is that of a secret.
    fn follows(&self, suite: &Tls13CipherSuite, secret: &OkmBlock) -> Result<bool, TlsError> {
        let Key::Bytes(key, iv, _) = &self.key else { return Ok(false) };
        let derived = ratchet::key_of(suite, secret)?;
        Ok(derived.is_some_and(|(other, other_iv)| key.as_ref() == other.as_ref() && iv.as_ref() == other_iv.as_ref()))
    }

    /// Returns what protects the next record, and the number of that record. 2^64 of them never
    /// come.
    fn next(&mut self, suite: &Tls13CipherSuite) -> (&mut C, u64) {
        let number = self.number;
        self.number += 1;
        let cipher = match &mut self.key {
            Key::Fixed(cipher) => cipher,
            Key::Bytes(key, iv, cipher) => cipher.get_or_insert_with(|| {
                let mut bytes = [0; KEY];
                bytes.copy_from_slice(key.as_ref());
                C::new(suite, AeadKey::from(bytes), Iv::copy(iv.as_ref()))
            }),
        };
        (cipher, number)
    }

    fn rest(&mut self) {
        if let Key::Bytes(_, _, cipher) = &mut self.key {
            *cipher = None;
        }
    }

    const fn is_awake(&self) -> bool {
        matches!(self.key, Key::Bytes(_, _, Some(_)))
    }
}

fn suite_of(kernel: &KernelConnection<ServerConnectionData>) -> Result<&'static Tls13CipherSuite, TlsError> {
    match kernel.negotiated_cipher_suite() {
        SupportedCipherSuite::Tls13(suite) => Ok(suite),
        _ => Err(TlsError::new(TlsFailure::Violation, "keys of TLS 1.2")),
    }
}

/// Returns the length of the record at the beginning of the input, `None` if it is incomplete.
fn record(input: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(&[kind, major, minor, high, low]) = input.first_chunk() else { return Ok(None) };
    if ContentType::from(kind) != ContentType::ApplicationData {
        return Err(unexpected("a record that is not encrypted"));
    }
    // It is protected as well, always as this value (RFC 8446 §5.2).
    if [major, minor] != [3, 3] {
        return Err(Fault::new(AlertDescription::BadRecordMac, "a record of another version"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_CIPHERTEXT {
        return Err(Fault::new(AlertDescription::RecordOverflow, "a record of more than 16,640 bytes"));
    }
    Ok((input.len() >= HEADER + length).then_some(HEADER + length))
}

fn unexpected(text: &str) -> Fault {
    Fault::new(AlertDescription::UnexpectedMessage, text)
}
