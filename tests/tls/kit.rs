//! Certificates, and a client of rustls' own.

use crate::common::{WAIT, Wire, request};
use lariat::tls::rustls::crypto::{CryptoProvider, ring};
use lariat::tls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use lariat::tls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion, version,
};
use lariat::tls::{ClientTls, ServerTls};
use lariat::{Config, ListenOptions, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// An authority for all tests.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// Returns a certificate with its key, both in DER, for these names.
    pub fn certificate(&self, names: &[&str]) -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "a certificate of tests");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()))
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        roots
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }
}

/// Returns a configuration of a server with a certificate for `localhost` and `127.0.0.1`.
pub fn server_config() -> ServerConfig {
    server_config_with(ring::default_provider())
}

/// The same with some cipher suites.
pub fn server_config_with(provider: CryptoProvider) -> ServerConfig {
    let (certificate, key) = authority().certificate(&["localhost", "127.0.0.1"]);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate");
    // As files are read.
    config.enable_secret_extraction = true;
    config
}

pub fn server_tls() -> ServerTls {
    ServerTls::new(Arc::new(server_config()))
}

/// Returns options of a listener with TLS.
pub fn options(tls: ServerTls) -> ListenOptions {
    let mut options = ListenOptions::default();
    options.tls = Some(tls);
    options
}

/// Returns a server with TLS on a free port.
pub fn server(config: Config, tls: ServerTls) -> Server<()> {
    let server = Server::new(config).expect("a server").options(options(tls));
    server.listen("127.0.0.1:0").expect("a free port")
}

/// Returns a configuration of a client that trusts the authority, for some versions.
pub fn client_config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    client_config_with(ring::default_provider(), versions)
}

/// The same with some cipher suites.
pub fn client_config_with(provider: CryptoProvider, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(authority().roots())
        .with_no_client_auth()
}

pub fn client_tls(versions: &[&'static SupportedProtocolVersion]) -> ClientTls {
    ClientTls::new(Arc::new(client_config(versions)))
}

pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// Connects with rustls' own client.
pub fn connect(addr: SocketAddr, config: ClientConfig) -> Secured {
    connect_to(addr, "localhost", config)
}

/// Connects with rustls' own client, to a server of this name.
pub fn connect_to(addr: SocketAddr, name: &'static str, config: ClientConfig) -> Secured {
    let name = ServerName::try_from(name).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    stream.set_write_timeout(Some(WAIT)).expect("a timeout");
    StreamOwned::new(connection, stream)
}

/// Opens a WebSocket with rustls' own client.
pub fn open(addr: SocketAddr) -> Wire<Secured> {
    open_with(addr, client_config(&VERSIONS))
}

pub fn open_with(addr: SocketAddr, config: ClientConfig) -> Wire<Secured> {
    let mut wire = Wire::new(connect(addr, config));
    wire.send(request("/").as_bytes());
    assert_eq!(wire.response().status(), 101);
    wire
}
