//! Which servers are trusted, and which certificate they see.

use crate::terminal::{Usage, tls_problem};
use lariat::tls::ClientTls;
use lariat::tls::rustls::client::Resumption;
use lariat::tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use lariat::tls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use lariat::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use lariat::tls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;

// Documentation here would replace that of the commands in --help.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TlsOptions {
    /// For wss://, trust the authorities in this PEM file [default: those that this host trusts]
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// Show a server that asks for it this certificate, a PEM file with its chain
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "TLS")]
    cert: Option<PathBuf>,
    /// The private key of --cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    key: Option<PathBuf>,
    /// Accept every certificate of the server
    #[arg(long, help_heading = "TLS")]
    insecure: bool,
}

impl TlsOptions {
    /// Returns whether the options ask for anything that only `wss://` has.
    pub(crate) const fn is_asked(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.insecure
    }

    /// Returns the TLS of connections to `wss://` URLs. With `resumes`, earlier sessions are
    /// resumed.
    pub(crate) fn tls(&self, resumes: bool) -> Result<ClientTls, Usage> {
        let [ca, cert, key] = [&self.ca, &self.cert, &self.key].map(Option::as_deref);
        let own = cert.zip(key);
        let files = [("--ca", ca), ("--cert", cert), ("--key", key)];
        let files = files.into_iter().filter_map(|(option, file)| Some((option, file?)));
        let made = match (ca, own) {
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
        if !resumes {
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
