//! A peer that finishes a handshake with rustls and then makes every record itself.
//!
//! For TLS 1.3, it derives its keys from the traffic secrets by itself (RFC 8446 §7.1 to §7.3). It
//! decrypts what it receives in the same way. So an answer with a key out of order fails the test.

use crate::common::{WAIT, request};
use crate::kit::{client_config_with, server_config_with};
use lariat::tls::rustls::crypto::CryptoProvider;
use lariat::tls::rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use lariat::tls::rustls::crypto::ring::{cipher_suite, default_provider};
use lariat::tls::rustls::crypto::tls13::OkmBlock;
use lariat::tls::rustls::pki_types::ServerName;
use lariat::tls::rustls::{
    ClientConnection, Connection, ConnectionTrafficSecrets, ContentType, KeyLog, ProtocolVersion, ServerConnection,
    SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const CHANGE_CIPHER_SPEC: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;

/// Messages of the handshake (RFC 8446 §4, RFC 5246 §7.4).
pub mod message {
    pub const HELLO_REQUEST: u8 = 0;
    pub const CLIENT_HELLO: u8 = 1;
    pub const NEW_SESSION_TICKET: u8 = 4;
    pub const END_OF_EARLY_DATA: u8 = 5;
    pub const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub const CERTIFICATE: u8 = 11;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const SERVER_HELLO_DONE: u8 = 14;
    pub const FINISHED: u8 = 20;
    pub const KEY_UPDATE: u8 = 24;
    /// No message has this number.
    pub const UNKNOWN: u8 = 99;
}

/// The most plaintext in a record.
pub const MOST: usize = 1 << 14;

/// Suites with keys of 32 bytes: rustls makes its `AeadKey` from no other length.
pub const TLS13: [SupportedCipherSuite; 2] =
    [cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
pub const TLS12: [SupportedCipherSuite; 2] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A peer with an open WebSocket whose records are its own.
pub struct Forger {
    pub stream: BufReader<TcpStream>,
    is_client: bool,
    sealer: Keys<dyn MessageEncrypter>,
    opener: Keys<dyn MessageDecrypter>,
    /// Application data that was received, but not looked at.
    plain: Vec<u8>,
    /// The alerts that were received: level and description.
    pub alerts: Vec<[u8; 2]>,
    /// How many KeyUpdates were received.
    pub updates: usize,
}

/// The keys of one direction.
struct Keys<C: ?Sized> {
    cipher: Box<C>,
    sequence: u64,
    /// There is none in TLS 1.2.
    secret: Option<Secret>,
}

/// A traffic secret.
struct Secret {
    suite: &'static Tls13CipherSuite,
    bytes: Vec<u8>,
}

impl Secret {
    /// HKDF-Expand-Label with an empty context (RFC 8446 §7.1).
    fn expand(&self, label: &str, output: &mut [u8]) {
        let length = (output.len() as u16).to_be_bytes();
        let label = [b"tls13 ", label.as_bytes()].concat();
        let info: [&[u8]; 4] = [&length, &[label.len() as u8], &label, &[0]];
        let expander = self.suite.hkdf_provider.expander_for_okm(&OkmBlock::new(&self.bytes));
        expander.expand_slice(&info, output).expect("a length");
    }

    fn key(&self) -> (AeadKey, Iv) {
        let (mut key, mut iv) = ([0; 32], [0; 12]);
        self.expand("key", &mut key);
        self.expand("iv", &mut iv);
        (AeadKey::from(key), Iv::from(iv))
    }

    /// The secret that follows (RFC 8446 §7.2).
    fn next(&self) -> Secret {
        let mut bytes = vec![0; self.bytes.len()];
        self.expand("traffic upd", &mut bytes);
        Secret { suite: self.suite, bytes }
    }

    fn sealer(self) -> Keys<dyn MessageEncrypter> {
        let (key, iv) = self.key();
        Keys { cipher: self.suite.aead_alg.encrypter(key, iv), sequence: 0, secret: Some(self) }
    }

    fn opener(self) -> Keys<dyn MessageDecrypter> {
        let (key, iv) = self.key();
        Keys { cipher: self.suite.aead_alg.decrypter(key, iv), sequence: 0, secret: Some(self) }
    }
}

/// Collects the secrets of a handshake.
#[derive(Debug, Default)]
struct Secrets(Mutex<HashMap<String, Vec<u8>>>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        self.0.lock().expect("no panic").insert(label.to_owned(), secret.to_owned());
    }
}

impl Secrets {
    fn take(&self, suite: &'static Tls13CipherSuite, whose: &str) -> Secret {
        let bytes = self.0.lock().expect("no panic").remove(&format!("{whose}_TRAFFIC_SECRET_0"));
        Secret { suite, bytes: bytes.expect("a secret") }
    }
}

/// Returns the key of a session with TLS 1.2, and the parts of its nonce (RFC 5288 §3, RFC 7905
/// §2).
fn parts(suite: &Tls12CipherSuite, secrets: ConnectionTrafficSecrets) -> (AeadKey, Vec<u8>, Vec<u8>) {
    let (ConnectionTrafficSecrets::Aes256Gcm { key, iv } | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) =
        secrets
    else {
        panic!("another suite")
    };
    let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
    (key, fixed.to_vec(), explicit.to_vec())
}

fn only(suite: SupportedCipherSuite) -> CryptoProvider {
    CryptoProvider { cipher_suites: vec![suite], ..default_provider() }
}

// ---- the beginning -----------------------------------------------------------------------------

impl Forger {
    /// Opens a WebSocket with a server.
    pub fn open(addr: SocketAddr, suite: SupportedCipherSuite) -> Forger {
        let log = Arc::new(Secrets::default());
        let mut config = client_config_with(only(suite), &[suite.version()]);
        (config.key_log, config.enable_secret_extraction) = (log.clone(), true);
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect(addr).expect("the server listens");
        let mut forger = Forger::shake_hands(stream, connection.into(), suite, &log);
        forger.give(DATA, request("/").as_bytes());
        let head = forger.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        forger
    }

    /// Accepts a client that opens a WebSocket.
    pub fn accept(listener: &TcpListener, suite: SupportedCipherSuite) -> Forger {
        let log = Arc::new(Secrets::default());
        let mut config = server_config_with(only(suite));
        (config.key_log, config.enable_secret_extraction) = (log.clone(), true);
        config.send_tls13_tickets = 0;
        let connection = ServerConnection::new(Arc::new(config)).expect("a server");
        let (stream, _) = listener.accept().expect("a client");
        let mut forger = Forger::shake_hands(stream, connection.into(), suite, &log);
        let head = forger.head();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        forger.give(DATA, answer.as_bytes());
        forger
    }

    fn shake_hands(stream: TcpStream, mut tls: Connection, suite: SupportedCipherSuite, log: &Secrets) -> Forger {
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        stream.set_write_timeout(Some(WAIT)).expect("a timeout");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let mut stream = BufReader::new(stream);
        while tls.is_handshaking() || tls.wants_write() {
            while tls.wants_write() {
                tls.write_tls(stream.get_mut()).expect("the peer reads");
            }
            if tls.is_handshaking() {
                // Nothing of what follows the handshake.
                let record = record(&mut stream).expect("a record");
                tls.read_tls(&mut &*record).expect("all of it");
                tls.process_new_packets().expect("a handshake");
            }
        }
        let is_client = matches!(tls, Connection::Client(_));
        let (sealer, opener) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                let (ours, theirs) = if is_client { ("CLIENT", "SERVER") } else { ("SERVER", "CLIENT") };
                (log.take(suite, ours).sealer(), log.take(suite, theirs).opener())
            }
            SupportedCipherSuite::Tls12(suite) => {
                let secrets = tls.dangerous_extract_secrets().expect("secrets");
                let (key, fixed, explicit) = parts(suite, secrets.tx.1);
                let cipher = suite.aead_alg.encrypter(key, &fixed, &explicit);
                let sealer = Keys { cipher, sequence: secrets.tx.0, secret: None };
                let (key, fixed, _) = parts(suite, secrets.rx.1);
                let cipher = suite.aead_alg.decrypter(key, &fixed);
                (sealer, Keys { cipher, sequence: secrets.rx.0, secret: None })
            }
        };
        Forger { stream, is_client, sealer, opener, plain: Vec::new(), alerts: Vec::new(), updates: 0 }
    }
}

// ---- what it sends -----------------------------------------------------------------------------

/// Returns a message of the handshake.
pub fn handshake(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], &(content.len() as u32).to_be_bytes()[1..], content].concat()
}

/// Returns a ClientHello of TLS 1.2.
pub fn client_hello() -> Vec<u8> {
    handshake(message::CLIENT_HELLO, &[&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 2, 1, 0, 0, 0]].concat())
}

/// Returns a KeyUpdate that asks for one or not.
pub fn key_update(requested: u8) -> Vec<u8> {
    handshake(message::KEY_UPDATE, &[requested])
}

impl Forger {
    /// Returns an encrypted record.
    pub fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(content);
        let message = OutboundPlainMessage { typ: ContentType::from(kind), version: ProtocolVersion::TLSv1_2, payload };
        let record = self.sealer.cipher.encrypt(message, self.sealer.sequence).expect("a record");
        self.sealer.sequence += 1;
        record.encode()
    }

    /// Returns an encrypted record of TLS 1.3 with zeros behind its content type.
    pub fn seal_padded(&mut self, kind: u8, content: &[u8], zeros: usize) -> Vec<u8> {
        match zeros {
            0 => self.seal(kind, content),
            // The last zero stands where its own type would.
            _ => self.seal(0, &[content, &[kind], &vec![0; zeros - 1]].concat()),
        }
    }

    /// Returns an encrypted KeyUpdate, and takes the next keys.
    pub fn update(&mut self, requested: u8) -> Vec<u8> {
        let record = self.seal(HANDSHAKE, &key_update(requested));
        self.take_next_keys();
        record
    }

    pub fn take_next_keys(&mut self) {
        self.sealer = self.sealer.secret.as_ref().expect("TLS 1.3").next().sealer();
    }

    /// Returns a frame as this side sends it.
    pub fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        if self.is_client {
            return crate::common::frame(first, payload);
        }
        assert!(payload.len() < 126, "short frames only");
        [&[first, payload.len() as u8], payload].concat()
    }

    /// Returns so many bytes of pongs that nobody has asked for. They are ignored.
    pub fn pongs(&self, mut length: usize) -> Vec<u8> {
        let header = self.frame(0x8a, &[]).len();
        let mut frames = Vec::new();
        while length > 0 {
            // What is left has room for a header.
            let next = match length {
                0..=100 => length,
                101..=200 => length / 2,
                _ => 100,
            };
            frames.append(&mut self.frame(0x8a, &vec![0; next - header]));
            length -= next;
        }
        frames
    }

    /// Returns an encrypted record with a text message.
    pub fn text(&mut self, text: &str) -> Vec<u8> {
        let frame = self.frame(0x81, text.as_bytes());
        self.seal(DATA, &frame)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the peer reads");
    }

    pub fn give(&mut self, kind: u8, content: &[u8]) {
        let record = self.seal(kind, content);
        self.send(&record);
    }
}

// ---- what it receives --------------------------------------------------------------------------

/// Reads a record with its header.
fn record(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record)?;
    record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
    stream.read_exact(&mut record[5..])?;
    Ok(record)
}

impl Forger {
    /// Receives a record. Returns whether there was one before the end.
    fn receive(&mut self) -> bool {
        let mut record = match record(&mut self.stream) {
            Ok(record) => record,
            Err(error) => {
                let is_end = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
                assert!(is_end, "{error}");
                return false;
            }
        };
        let (header, payload) = record.split_at_mut(5);
        // §5.1, §5.2 of RFC 8446.
        assert_eq!(header[1..3], [3, 3]);
        assert!(self.opener.secret.is_none() || header[0] == DATA, "a record of type {}", header[0]);
        let message = InboundOpaqueMessage::new(ContentType::from(header[0]), ProtocolVersion::TLSv1_2, payload);
        let message = self.opener.cipher.decrypt(message, self.opener.sequence).expect("a record with the right keys");
        assert!((1..=MOST).contains(&message.payload.len()), "a record of {} bytes", message.payload.len());
        self.opener.sequence += 1;
        match u8::from(message.typ) {
            DATA => self.plain.extend_from_slice(message.payload),
            ALERT => self.alerts.push(message.payload.try_into().expect("an alert")),
            HANDSHAKE if message.payload == key_update(0) => {
                self.updates += 1;
                self.opener = self.opener.secret.as_ref().expect("TLS 1.3").next().opener();
            }
            // Tickets.
            HANDSHAKE => assert_eq!(message.payload[0], self::message::NEW_SESSION_TICKET, "{:?}", message.payload),
            kind => panic!("a record of type {kind}"),
        }
        true
    }

    /// Receives so much application data.
    #[track_caller]
    pub fn data(&mut self, length: usize) -> Vec<u8> {
        while self.plain.len() < length {
            assert!(self.receive(), "the end, and the alerts {:?}", self.alerts);
        }
        self.plain.drain(..length).collect()
    }

    /// Receives the head of a request or a response.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.append(&mut self.data(1));
        }
        String::from_utf8(head).expect("a head")
    }

    /// Receives a frame of less than 64 KiB: its first byte and its payload.
    #[track_caller]
    pub fn receive_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.data(2);
        let mut length = usize::from(head[1] & 0x7f);
        if length == 126 {
            length = self.data(2).into_iter().fold(0, |length, byte| length << 8 | usize::from(byte));
        }
        let mask = if self.is_client { vec![0; 4] } else { self.data(4) };
        let mut payload = self.data(length);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        (head[0], payload)
    }

    /// Returns the text messages that were received, but not looked at.
    pub fn echoed(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        while !self.plain.is_empty() {
            let (first, payload) = self.receive_frame();
            if first == 0x81 {
                messages.push(String::from_utf8(payload).expect("text"));
            }
        }
        messages
    }

    /// Sends a message and checks its echo: the session goes on.
    #[track_caller]
    pub fn echo(&mut self, text: &str) {
        let record = self.text(text);
        self.send(&record);
        let (first, payload) = self.receive_frame();
        assert_eq!((first, payload), (0x81, text.as_bytes().to_vec()));
    }

    /// Sends a message and looks for its echo behind any number of pongs.
    #[track_caller]
    pub fn echo_behind_pongs(&mut self, text: &str) {
        let record = self.text(text);
        self.send(&record);
        loop {
            match self.receive_frame() {
                (0x8a, _) => {}
                (first, payload) => return assert_eq!((first, payload), (0x81, text.as_bytes().to_vec())),
            }
        }
    }

    /// Receives until the end, and ends as well. Returns the alerts of the whole session.
    pub fn rest(&mut self) -> &[[u8; 2]] {
        while self.receive() {}
        // The other side may have sent a reset.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        &self.alerts
    }
}
