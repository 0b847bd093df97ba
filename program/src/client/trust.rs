//! Which servers are trusted, and which certificate they see.

use crate::terminal::{Usage, tls_problem};
use lariat::tls::ClientTls;
use lariat::tls::rustls::client::Resumption;
use lariat::tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use lariat::tls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use lariat::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use lariat::tls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// What the options say about `wss://`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust<'a> {
    pub(crate) ca: Option<&'a Path>,
    pub(crate) cert: Option<&'a Path>,
    pub(crate) key: Option<&'a Path>,
    pub(crate) insecure: bool,
    /// Earlier sessions are resumed.
    pub(crate) resume: bool,
}

impl Trust<'_> {
    /// Returns whether the options ask for anything that only `wss://` has.
    pub(crate) const fn is_asked(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.insecure || self.resume
    }

    /// Returns the TLS of connections to `wss://` URLs.
    pub(crate) fn tls(&self) -> Result<ClientTls, Usage> {
        let own = self.cert.zip(self.key);
        let files = [("--ca", self.ca), ("--cert", self.cert), ("--key", self.key)];
        let files = files.into_iter().filter_map(|(option, file)| Some((option, file?)));
        let made = match (self.ca, own) {
            (Some(ca), own) => ClientTls::from_files(ca, own),
            // The verifier is replaced below. So a host that trusts nobody will do.
            (None, None) if self.insecure => Ok(untrusting()?),
            (None, Some((chain, key))) if self.insecure => ClientTls::from_files(chain, Some((chain, key))),
            (None, own) => ClientTls::platform(own),
        };
        let tls = made.map_err(|error| Usage(tls_problem(&error, files)))?;
        let mut config = tls.to_config();
        if self.insecure {
            config.dangerous().set_certificate_verifier(Arc::new(Anybody(ring::default_provider())));
        }
        if !self.resume {
            // Each connection stands for another client.
            config.resumption = Resumption::disabled();
        }
        Ok(ClientTls::new(Arc::new(config)))
    }
}

/// Returns the TLS of a client that trusts nobody, and has no certificate.
fn untrusting() -> Result<ClientTls, Usage> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Usage(format!("there is no TLS: {error}")))?;
    let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    // As the library offers it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(ClientTls::new(Arc::new(config)))
}

/// Returns whether a URL begins with `wss://`.
pub(crate) fn is_secure(url: &str) -> bool {
    url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss://"))
}

/// Trusts every certificate. Signatures are checked nevertheless.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
