//! Peers that speak TLS, and what goes wrong with it. Keys are random in each run; lengths are not,
//! and so nothing else is.

use lariat::sim::{Layer, Peer};
use lariat::tls::rustls::client::Resumption;
use lariat::tls::rustls::crypto::ring;
use lariat::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use lariat::tls::rustls::{
    ClientConfig, ClientConnection, Connection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};
use lariat::tls::{ClientTls, ServerTls};
use lariat::{ListenOptions, Stats};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// The names of the simulated hosts, and the one that peers ask for.
const NAMES: [&str; 3] = ["203.0.113.1", "somewhere.test", "here.test"];

/// The TLS of one run.
pub struct Tls {
    random: StdRng,
    server: Arc<ServerConfig>,
    /// The configurations of peers: TLS 1.2 and 1.3.
    peers: [Arc<ClientConfig>; 2],
    /// The TLS of outgoing connections.
    pub outgoing: ClientTls,
    /// Of peers to which the server has connected, the first of them first.
    dialled: Rc<RefCell<VecDeque<Rc<Talk>>>>,
    key_updates: Rc<Cell<u64>>,
}

/// What a test tells a peer's session, and what that tells the test.
#[derive(Debug, Default)]
pub struct Talk {
    wants_new_keys: Cell<bool>,
    damage: Cell<Option<Damage>>,
    /// The peer closes its half without `close_notify`.
    ends_silently: Cell<bool>,
    /// The peer has ended the session itself.
    has_given_up: Cell<bool>,
    is_changed: Cell<bool>,
    /// Some of the peer's ciphertext was not sent.
    pub has_lost: Cell<bool>,
    is_mute: Cell<bool>,
    has_heard_close: Cell<bool>,
    failure: RefCell<Option<String>>,
}

/// What goes wrong with a peer's ciphertext.
#[derive(Clone, Copy, Debug)]
struct Damage {
    /// After so many flights.
    after: u32,
    kind: Kind,
    /// Where in that flight.
    at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A byte is another one.
    Change,
    /// Nothing follows.
    Cut,
    /// Nothing follows but FIN.
    CutAndLeave,
}

/// A peer's session: rustls' own, with buffers.
#[derive(Debug)]
pub struct Session {
    rustls: Connection,
    talk: Rc<Talk>,
    key_updates: Rc<Cell<u64>>,
    has_sent: bool,
}

impl Talk {
    /// Whether a byte was changed that the peer has sent. The server then hears nothing more of it.
    pub fn is_changed(&self) -> bool {
        self.is_changed.get()
    }

    /// Whether the peer's ciphertext was cut off.
    pub fn is_mute(&self) -> bool {
        self.is_mute.get()
    }

    /// Whether something is wrong with the peer's ciphertext, or will be.
    pub fn is_damaged(&self) -> bool {
        self.damage.get().is_some() || self.is_changed() || self.is_mute()
    }

    /// Whether the server may find the peer's ciphertext wrong: a byte was changed, or the peer has
    /// ended the session itself. It closes its half in the handshake, and the server may be in a
    /// state in which `close_notify` must be encrypted, while the peer cannot know that yet. Or it
    /// renews its keys while a message of TLS is incomplete, which rustls answers with an alert.
    pub fn is_at_fault(&self) -> bool {
        self.is_changed() || self.has_given_up.get()
    }

    pub fn has_heard_close(&self) -> bool {
        self.has_heard_close.get()
    }

    /// Returns why the peer has not understood the server.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Renews the keys of the peer, and with its answer those of the server (RFC 8446 §4.6.3).
    pub fn renew_keys(&self, peer: &Peer) {
        self.wants_new_keys.set(true);
        peer.send_raw(b"");
    }

    /// Changes a byte of what the peer sends next.
    pub fn change(&self, at: usize) {
        self.damage.set(Some(Damage { after: 0, kind: Kind::Change, at }));
    }

    /// Nothing will go wrong. After the peer's end, it would have no effect.
    pub fn forget_damage(&self) {
        self.damage.set(None);
    }

    /// Cuts off what the peer sends next.
    pub fn cut(&self, at: usize) {
        self.damage.set(Some(Damage { after: 0, kind: Kind::Cut, at }));
    }
}

impl Tls {
    /// The TLS of a run, if it has some: one of four has.
    pub fn of(seed: u64) -> Option<Tls> {
        (seed % 4 == 3).then(|| Tls::new(seed))
    }

    pub fn new(seed: u64) -> Tls {
        let mut random = StdRng::seed_from_u64(seed);
        let resumes = random.random_bool(0.7);
        // Records of at most so many bytes, also in handshakes.
        let mut sizes = || [None, None, Some(64), Some(900)][random.random_range(0..4)];
        let parts = parts();
        let mut server = parts.server.clone();
        (server.max_fragment_size, server.send_tls13_tickets) = (sizes(), 1);
        let size = sizes();
        // Open sessions then have another record layer.
        server.enable_secret_extraction = random.random_bool(0.7);
        let client = |versions: &[_]| {
            let mut config = client_config(versions);
            config.max_fragment_size = size;
            config.resumption = if resumes { Resumption::in_memory_sessions(16) } else { Resumption::disabled() };
            Arc::new(config)
        };
        let outgoing = ClientTls::new(client([&VERSIONS[..], &VERSIONS[..1]][random.random_range(0..2)]));
        Tls {
            server: Arc::new(server),
            peers: [client(&VERSIONS[..1]), client(&VERSIONS[1..])],
            outgoing,
            dialled: Rc::default(),
            key_updates: Rc::default(),
            random,
        }
    }

    /// The options of the listener.
    pub fn options(&self) -> ListenOptions {
        let mut options = ListenOptions::default();
        options.tls = Some(ServerTls::new(Arc::clone(&self.server)));
        options
    }

    /// Gives a new peer its session. Some hostile peers get none: they do not speak TLS.
    pub fn secure(&mut self, peer: &Peer, is_hostile: bool) -> Option<Rc<Talk>> {
        if is_hostile && self.random.random_bool(0.3) {
            return None;
        }
        let talk = new_talk(&mut self.random);
        self.wrap(peer, &talk);
        Some(talk)
    }

    /// Gives a new peer a session in which nothing goes wrong.
    pub fn secure_well(&mut self, peer: &Peer) {
        self.wrap(peer, &Rc::default());
    }

    fn wrap(&mut self, peer: &Peer, talk: &Rc<Talk>) {
        let config = Arc::clone(&self.peers[usize::from(self.random.random_bool(0.7))]);
        let name = ServerName::try_from(NAMES[2]).expect("a name");
        let client = ClientConnection::new(config, name).expect("a client");
        peer.wrap(Session::new(client.into(), talk, &self.key_updates));
    }

    /// Returns what makes the sessions of peers to which the server connects.
    pub fn host(&mut self) -> impl FnMut() -> Session + use<> {
        let mut random = StdRng::seed_from_u64(self.random.random());
        let (server, dialled) = (Arc::clone(&self.server), Rc::clone(&self.dialled));
        let key_updates = Rc::clone(&self.key_updates);
        move || {
            let (server, talk) = (ServerConnection::new(Arc::clone(&server)), new_talk(&mut random));
            dialled.borrow_mut().push_back(Rc::clone(&talk));
            Session::new(server.expect("a server").into(), &talk, &key_updates)
        }
    }

    /// The session of the next peer to which the server has connected.
    pub fn accepted(&mut self) -> Option<Rc<Talk>> {
        self.dialled.borrow_mut().pop_front()
    }

    pub const fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }
}

/// What was tested of TLS. All of it is 0 without.
pub fn facts(tls: Option<&Tls>, stats: &Stats) -> [(&'static str, u64); 8] {
    let opened = |version, resumed| {
        let is_meant = |kind: &(&str, &str, bool)| kind.0 == version && kind.2 == resumed;
        stats.tls_handshakes.iter().filter(|(kind, _)| is_meant(kind)).map(|(_, count)| count).sum()
    };
    let closed = |detail| {
        let is_meant = |cause: &lariat::Cause| cause.reason == "tls" && cause.detail == detail;
        stats.closed.iter().filter(|(cause, _)| is_meant(cause)).map(|(_, count)| count).sum()
    };
    [
        ("TLS 1.2", opened("TLS 1.2", false)),
        ("TLS 1.3", opened("TLS 1.3", false)),
        ("TLS 1.2, resumed", opened("TLS 1.2", true)),
        ("TLS 1.3, resumed", opened("TLS 1.3", true)),
        ("TLS, new keys", tls.map_or(0, |tls| tls.key_updates.get())),
        ("TLS, cut off", closed("truncated")),
        ("TLS, changed", closed("violation")),
        ("not TLS", closed("not_tls")),
    ]
}

/// A few sessions fail in their handshakes.
fn new_talk(random: &mut StdRng) -> Rc<Talk> {
    let talk = Talk::default();
    talk.ends_silently.set(random.random_bool(0.3));
    if random.random_bool(0.15) {
        let kind = [Kind::Change, Kind::Cut, Kind::CutAndLeave][random.random_range(0..3)];
        talk.damage.set(Some(Damage { after: random.random_range(0..4), kind, at: random.random_range(0..1 << 20) }));
    }
    Rc::new(talk)
}

// ---- sessions ----------------------------------------------------------------------------------

impl Session {
    fn new(mut rustls: Connection, talk: &Rc<Talk>, key_updates: &Rc<Cell<u64>>) -> Session {
        rustls.set_buffer_limit(None);
        let (talk, key_updates) = (Rc::clone(talk), Rc::clone(key_updates));
        Session { rustls, talk, key_updates, has_sent: false }
    }

    /// Takes what rustls has to send. Returns whether the peer goes on.
    fn flush(&mut self, wire: &mut Vec<u8>) -> bool {
        let mut flight = Vec::new();
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut flight).expect("a vector takes all");
        }
        if flight.is_empty() || self.talk.is_mute() {
            return true;
        }
        let is_first = !std::mem::replace(&mut self.has_sent, true);
        let mut goes_on = true;
        match self.talk.damage.get() {
            Some(damage) if damage.after > 0 => {
                self.talk.damage.set(Some(Damage { after: damage.after - 1, ..damage }));
            }
            Some(Damage { kind: Kind::Change, at, .. }) => {
                change(&mut flight, is_first, at);
                self.talk.damage.set(None);
                self.talk.is_changed.set(true);
            }
            Some(Damage { kind, at, .. }) => {
                flight.truncate(at % flight.len());
                self.talk.is_mute.set(true);
                goes_on = !matches!(kind, Kind::CutAndLeave);
            }
            None => {}
        }
        wire.append(&mut flight);
        goes_on
    }

    fn process(&mut self, plain: &mut Vec<u8>) -> bool {
        match self.rustls.process_new_packets() {
            Ok(state) => {
                let before = plain.len();
                plain.resize(before + state.plaintext_bytes_to_read(), 0);
                self.rustls.reader().read_exact(&mut plain[before..]).expect("so many bytes");
                self.talk.has_heard_close.set(state.peer_has_closed());
                true
            }
            Err(error) => {
                *self.talk.failure.borrow_mut() = Some(error.to_string());
                false
            }
        }
    }

    fn may_renew_keys(&self) -> bool {
        !self.rustls.is_handshaking() && self.rustls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }
}

impl Layer for Session {
    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        if self.talk.wants_new_keys.take() && self.may_renew_keys() {
            match self.rustls.refresh_traffic_keys() {
                Ok(()) => self.key_updates.set(self.key_updates.get() + 1),
                Err(_) => self.talk.has_given_up.set(true),
            }
        }
        // A session that has failed takes nothing.
        let _ = self.rustls.writer().write_all(plain);
        self.flush(wire);
    }

    fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>, wire: &mut Vec<u8>) -> bool {
        let mut goes_on = true;
        // A peer that has ended in the handshake ignores the rest of it: an error would be a second
        // alert, which breaks a debug assertion of rustls (rustls#959).
        let has_left = self.talk.has_given_up.get() && self.rustls.is_handshaking();
        // After `close_notify`, nothing is read.
        while goes_on && !has_left && !bytes.is_empty() && !self.talk.has_heard_close() {
            self.rustls.read_tls(&mut bytes).expect("it takes bytes");
            goes_on = self.process(plain);
        }
        self.flush(wire) && goes_on
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        self.talk.has_given_up.set(self.talk.has_given_up.get() || self.rustls.is_handshaking());
        if !self.talk.ends_silently.get() {
            self.rustls.send_close_notify();
            self.flush(wire);
        }
        self.talk.forget_damage();
    }
}

/// Changes a byte of a flight. The change is one that cannot stay unnoticed, and that has the same
/// effect in each run: not in the header of a record, of which TLS ignores some, and of the first
/// message only in its random part, because the order of what follows is random.
fn change(flight: &mut [u8], is_first: bool, at: usize) {
    let places: Vec<usize> = if is_first { (11..43).collect() } else { bodies(flight) };
    let place = places[at % places.len()];
    flight[place] ^= 1 + (at % 255) as u8;
}

/// Returns the places of the bytes that are not in headers of records.
fn bodies(flight: &[u8]) -> Vec<usize> {
    let (mut places, mut at) = (Vec::new(), 0);
    while at < flight.len() {
        let end = at + 5 + usize::from(u16::from_be_bytes([flight[at + 3], flight[at + 4]]));
        places.extend(at + 5..end);
        at = end;
    }
    places
}

// ---- certificates ------------------------------------------------------------------------------

struct Static {
    server: ServerConfig,
    roots: RootCertStore,
}

/// Returns what does not depend on the run. The lengths of an Ed25519 key and its signatures are
/// always the same.
fn parts() -> &'static Static {
    static PARTS: OnceLock<Static> = OnceLock::new();
    PARTS.get_or_init(|| {
        let (certificate, key) = certificate();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&VERSIONS)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate");
        server.ticketer = ring::Ticketer::new().expect("random bytes");
        Static { server, roots }
    })
}

fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned)).expect("names");
    // Otherwise, it comes from the key.
    params.serial_number = Some(SerialNumber::from(1));
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(parts().roots.clone())
        .with_no_client_auth()
}
