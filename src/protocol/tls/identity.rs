//! The certificates that a server or a client shows, and those that it accepts.

use super::ratchet::Recorder;
use super::traffic::can_extract;
use crate::protocol::wire::Escaped;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A server's or client's TLS cannot be set up.
#[derive(Debug)]
pub struct TlsSetupError {
    text: String,
    file: Option<PathBuf>,
}

impl TlsSetupError {
    fn new(text: impl Into<String>) -> TlsSetupError {
        TlsSetupError { text: text.into(), file: None }
    }

    fn of_file(path: &Path, error: impl fmt::Display) -> TlsSetupError {
        TlsSetupError { text: format!("{}: {error}", path.display()), file: Some(path.to_owned()) }
    }

    /// A PEM file cannot be read.
    fn of_pem(path: &Path, error: &pem::Error) -> TlsSetupError {
        let text = match error {
            pem::Error::MissingSectionEnd { end_marker } => {
                format!("no -----END {}----- line", Escaped(&String::from_utf8_lossy(end_marker)))
            }
            // The line may have a key.
            pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line that does not end with -----".to_owned(),
            pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => "there is no such file".to_owned(),
            pem::Error::Io(error) => error.to_string(),
            error => error.to_string(),
        };
        TlsSetupError::of_file(path, text)
    }

    /// Returns the file that cannot be used, if it is a file. The text begins with its path.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TlsSetupError {}

/// PEM files with certificates for [`ServerTls::from_files`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// Pairs of a file with a chain of certificates, the server's own first, and a file with its
    /// private key. If there are several, the first that is valid for the name that a client asks
    /// for is shown (SNI, RFC 6066 §3), or else the first of all.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// A file with the authorities that sign the certificates of clients. With it, clients are
    /// asked for a certificate. One that shows none is accepted as well, and
    /// [`TlsInfo::peer_certificates`](super::TlsInfo::peer_certificates) tells them apart. Default:
    /// none.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Names a certificate and its private key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsFiles {
        TlsFiles { pairs: vec![(certificate.into(), key.into())], client_ca: None }
    }

    /// Adds another one of the [`pairs`](#structfield.pairs).
    #[must_use]
    pub fn also(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsFiles {
        self.pairs.push((certificate.into(), key.into()));
        self
    }

    /// Sets [`client_ca`](#structfield.client_ca).
    #[must_use]
    pub fn client_ca(mut self, file: impl Into<PathBuf>) -> TlsFiles {
        self.client_ca = Some(file.into());
        self
    }
}

/// The TLS of listeners: which certificates they show, and which they accept.
///
/// Clones share it. [`replace`](Self::replace) and [`reload`](Self::reload) change it while the
/// server runs: handshakes that begin later use the new one, and nobody is disconnected.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Mutex<Arc<ServerConfig>>>);

impl ServerTls {
    /// Uses a configuration of rustls. WebSocket needs HTTP/1.1, so if it offers protocols (ALPN,
    /// RFC 7301), it should only offer `http/1.1`. Early data is not supported: leave
    /// `max_early_data_size` at 0.
    pub fn new(config: Arc<ServerConfig>) -> ServerTls {
        ServerTls(Arc::new(Mutex::new(with_names(config))))
    }

    /// Reads certificates and keys from PEM files. TLS 1.2 and 1.3, resumption by tickets, no
    /// early data, `http/1.1` by ALPN.
    ///
    /// # Errors
    ///
    /// A file cannot be read, has no certificate or key, or the key is not that of the certificate.
    /// The error names the file. Or there is no cryptography: enable the feature `tls-ring`, or
    /// install a default provider of rustls.
    pub fn from_files(files: &TlsFiles) -> Result<ServerTls, TlsSetupError> {
        Ok(ServerTls::new(Arc::new(config_of(files)?)))
    }

    /// Replaces the configuration.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = with_names(config);
    }

    /// Reads the files again, as [`from_files`](Self::from_files). If there is an error, all stays
    /// as it is.
    ///
    /// # Errors
    ///
    /// As [`from_files`](Self::from_files).
    pub fn reload(&self, files: &TlsFiles) -> Result<(), TlsSetupError> {
        self.replace(Arc::new(config_of(files)?));
        Ok(())
    }

    /// The configuration for a new session.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Two are equal if they are clones of one another.
impl PartialEq for ServerTls {
    fn eq(&self, other: &ServerTls) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ServerTls {}

/// The TLS of connections to servers: which of them are trusted, and which certificate they see.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Uses a configuration of rustls. Connections with clones of the same value resume earlier
    /// sessions by ticket, unless its `resumption` is disabled.
    pub const fn new(config: Arc<ClientConfig>) -> ClientTls {
        ClientTls(config)
    }

    /// Trusts the authorities that the platform trusts, and shows servers that ask for it a
    /// certificate of two PEM files: a chain, and its private key.
    ///
    /// # Errors
    ///
    /// The platform has none that can be read. Or there is no cryptography: see
    /// [`ServerTls::from_files`].
    pub fn platform(own: Option<(&Path, &Path)>) -> Result<ClientTls, TlsSetupError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
            return Err(TlsSetupError::new(format!("cannot read the certificates that this host trusts: {why}")));
        }
        ClientTls::with_roots(roots, own)
    }

    /// Trusts the authorities of a PEM file, and shows servers that ask for it a certificate of two
    /// other files: a chain, and its private key.
    ///
    /// # Errors
    ///
    /// As [`ServerTls::from_files`].
    pub fn from_files(ca: &Path, own: Option<(&Path, &Path)>) -> Result<ClientTls, TlsSetupError> {
        ClientTls::with_roots(roots_of(ca)?, own)
    }

    fn with_roots(roots: RootCertStore, own: Option<(&Path, &Path)>) -> Result<ClientTls, TlsSetupError> {
        let builder = ClientConfig::builder_with_provider(provider()?)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsSetupError::new(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(certificates(chain)?, private_key(key)?)
                .map_err(|error| TlsSetupError::of_file(key, error))?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(ClientTls(Arc::new(config)))
    }

    /// Returns a copy of the configuration, to be changed.
    pub fn to_config(&self) -> ClientConfig {
        (*self.0).clone()
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Returns the cryptography: the one that the program has installed, or ring.
fn provider() -> Result<Arc<CryptoProvider>, TlsSetupError> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Ok(Arc::clone(provider));
    }
    #[cfg(feature = "tls-ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(feature = "tls-ring"))]
    Err(TlsSetupError::new("no cryptography: enable the feature tls-ring, or install a provider of rustls"))
}

/// Which private keys the cryptography can use.
#[cfg(feature = "tls-ring")]
const USABLE: &str = ": usable are RSA with 2048 to 4096 bits, ECDSA with P-256 or P-384, and Ed25519";
#[cfg(not(feature = "tls-ring"))]
const USABLE: &str = "";

const ENCRYPTED: &str = "an encrypted one, which openssl pkey decrypts";

// ---- files --------------------------------------------------------------------------------------

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates = certificates.map_err(|error| TlsSetupError::of_pem(path, &error))?;
    match certificates.is_empty() {
        true => Err(TlsSetupError::of_file(path, "no certificate in it (-----BEGIN CERTIFICATE-----)")),
        false => Ok(certificates),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let why = format!("no private key in it (-----BEGIN PRIVATE KEY-----), or {ENCRYPTED}");
            TlsSetupError::of_file(path, why)
        }
        pem::Error::Base64Decode(why) => TlsSetupError::of_file(path, format!("not base64 ({why}), or {ENCRYPTED}")),
        error => TlsSetupError::of_pem(path, &error),
    })
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsSetupError::of_file(path, error))?;
    }
    Ok(roots)
}

fn config_of(files: &TlsFiles) -> Result<ServerConfig, TlsSetupError> {
    let provider = provider()?;
    let mut shown = Vec::new();
    for (chain, key) in &files.pairs {
        let certified = CertifiedKey::from_der(certificates(chain)?, private_key(key)?, &provider).map_err(
            |error| match error {
                Error::InconsistentKeys(_) => {
                    let why = format!("it is not the private key of the certificate in {}", chain.display());
                    TlsSetupError::of_file(key, why)
                }
                Error::General(why) => TlsSetupError::of_file(key, format!("{why}{USABLE}")),
                error => TlsSetupError::of_file(chain, format!("with the key in {}: {error}", key.display())),
            },
        )?;
        shown.push(Arc::new(certified));
    }
    if shown.is_empty() {
        return Err(TlsSetupError::new("a server needs a certificate"));
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsSetupError::new(error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots_of(path)?), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsSetupError::of_file(path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Shown(shown)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // An open session then takes an eighth of the memory, see `traffic`.
    config.enable_secret_extraction = can_extract(&config.crypto_provider().cipher_suites);
    // The server's order begins with AES-256, whose sessions take the least memory.
    config.ignore_client_order = true;
    // A WebSocket's client opens one connection at a time.
    config.send_tls13_tickets = 1;
    #[cfg(feature = "tls-ring")]
    {
        config.ticketer =
            rustls::crypto::ring::Ticketer::new().map_err(|error| TlsSetupError::new(error.to_string()))?;
    }
    Ok(config)
}

/// Certificates of a server, and which of them a client sees.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_for = |certified: &&Arc<CertifiedKey>| {
            let (Some(name), Some(own)) = (&name, certified.cert.first()) else { return false };
            ParsedCertificate::try_from(own).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
        };
        let found = if self.0.len() > 1 { self.0.iter().find(is_for) } else { None };
        found.or(self.0.first()).cloned()
    }
}

// ---- the name that a client asks for ------------------------------------------------------------

thread_local! {
    /// The name that the last client has asked for. rustls' sessions without buffers do not say it,
    /// but ask for a certificate in the step in which the name has come.
    static ASKED: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// Takes the name that a client has asked for since the last call.
pub(super) fn asked_name() -> Option<Box<str>> {
    ASKED.take()
}

/// Notes each name that a client asks for, and shows the certificate of another resolver.
#[derive(Debug)]
struct Names(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(Into::into));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

fn with_names(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    config.cert_resolver = Arc::new(Names(config.cert_resolver));
    if config.enable_secret_extraction {
        config.key_log = Arc::new(Recorder(config.key_log));
    }
    Arc::new(config)
}
