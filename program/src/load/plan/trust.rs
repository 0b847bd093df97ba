//! Which servers are trusted, and which certificate they see.

use super::options::{Options, Usage};
use crate::terminal::tls_problem;
use lariat::tls::ClientTls;
use lariat::tls::rustls::client::Resumption;
use lariat::tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use lariat::tls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use lariat::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use lariat::tls::rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Returns the TLS of the connections. `None` if there is no `wss://` URL.
pub(super) fn trust(options: &Options) -> Result<Option<ClientTls>, Usage> {
    let is_secure = |url: &String| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss://"));
    if !options.urls.iter().any(is_secure) {
        let has_any = options.ca.is_some() || options.cert.is_some() || options.insecure || options.resume;
        return match has_any {
            true => Err(Usage("--ca, --cert, --key, --insecure and --resume are for wss:// URLs".to_owned())),
            false => Ok(None),
        };
    }
    let own = options.cert.as_deref().zip(options.key.as_deref());
    let files = [("--ca", &options.ca), ("--cert", &options.cert), ("--key", &options.key)];
    let files = files.into_iter().filter_map(|(option, file)| Some((option, file.as_deref()?)));
    let tls = match &options.ca {
        Some(ca) => ClientTls::from_files(ca, own),
        None => ClientTls::platform(own),
    }
    .map_err(|error| Usage(tls_problem(&error, files)))?;
    let mut config = tls.to_config();
    if options.insecure {
        config.dangerous().set_certificate_verifier(Arc::new(Anybody(ring::default_provider())));
    }
    if !options.resume {
        // Each connection stands for another client.
        config.resumption = Resumption::disabled();
    }
    Ok(Some(ClientTls::new(Arc::new(config))))
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
