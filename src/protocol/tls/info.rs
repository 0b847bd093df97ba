//! What both sides of a session have agreed on.

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use std::fmt;

/// What the two sides of a TLS session have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite, with rustls' name for it. Those of TLS 1.3 begin with `TLS13_`, such as
    /// `TLS13_AES_128_GCM_SHA256`, which is `TLS_AES_128_GCM_SHA256` in the registry of IANA.
    pub cipher: &'static str,
    /// The name that the client has asked for (SNI, RFC 6066 §3). An address is no such name.
    pub server_name: Option<Box<str>>,
    /// Whether the session continues an earlier one by a ticket (RFC 8446 §2.2).
    pub resumed: bool,
    /// The certificates that the peer has shown and that were verified, its own first. A server
    /// sees some only if it asks for them.
    pub peer_certificates: Option<Box<[CertificateDer<'static>]>>,
}

impl TlsInfo {
    pub(super) fn of(state: &CommonState, server_name: Option<Box<str>>) -> TlsInfo {
        let version = match state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "an unknown version",
        };
        TlsInfo {
            version,
            cipher: state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown"),
            server_name,
            resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            peer_certificates: state.peer_certificates().map(Into::into),
        }
    }
}

/// `TLS 1.3 TLS13_AES_128_GCM_SHA256, resumed, for localhost`.
impl fmt::Display for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.resumed { "resumed" } else { "full" };
        let name = self.server_name.as_deref().unwrap_or("no name");
        write!(f, "{} {}, {how}, for {name}", self.version, self.cipher)
    }
}
