//! Reasons why TLS fails.

use crate::protocol::wire::Escaped;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use std::fmt;

/// The kind of a [`TlsError`], for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The peer does not speak TLS, or not one that is known here.
    NotTls,
    /// The two sides have no version, cipher suite or protocol in common.
    NothingInCommon,
    /// A certificate was not accepted here, or is missing.
    Certificate,
    /// The peer has ended the session with an alert.
    Alert,
    /// The peer has disconnected in the handshake, without an alert.
    Disconnected,
    /// The stream ended in the middle of something.
    Truncated,
    /// The peer broke a rule of TLS, or sent more than is allowed.
    Violation,
}

impl TlsFailure {
    /// The kind's name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            TlsFailure::NotTls => "not_tls",
            TlsFailure::NothingInCommon => "nothing_in_common",
            TlsFailure::Certificate => "certificate",
            TlsFailure::Alert => "alert",
            TlsFailure::Disconnected => "disconnected",
            TlsFailure::Truncated => "truncated",
            TlsFailure::Violation => "violation",
        }
    }
}

/// Why a TLS session has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    kind: TlsFailure,
    text: Box<str>,
    /// The peer has spoken plain HTTP.
    is_http: bool,
}

impl TlsError {
    pub(super) fn new(kind: TlsFailure, text: impl Into<Box<str>>) -> TlsError {
        TlsError { kind, text: text.into(), is_http: false }
    }

    /// The first bytes are no TLS record. Those of a client may be a request (RFC 9112 §3): a
    /// method, a space, and a path or an asterisk. The rest of the method may not have come.
    pub(super) fn not_tls(first: &[u8], of_client: bool) -> TlsError {
        let method = first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let is_request = match first.get(method..) {
            Some([b' ', b'/' | b'*', ..] | [b' '] | []) => method > 0,
            Some(_) | None => false,
        };
        let is_http = is_request && of_client;
        let text = if is_http { "the peer speaks plain HTTP, not TLS" } else { "the peer does not speak TLS" };
        TlsError { is_http, ..TlsError::new(TlsFailure::NotTls, text) }
    }

    /// The peer has begun a handshake and then disconnected. Clients that do not accept a
    /// certificate should send an alert (RFC 8446 §4.4.2.4), but some do this.
    pub(crate) fn disconnected(is_client: bool) -> TlsError {
        let text = match is_client {
            true => "the peer disconnected in the TLS handshake; it may not trust the certificate",
            false => "the peer disconnected in the TLS handshake",
        };
        TlsError::new(TlsFailure::Disconnected, text)
    }

    /// The stream ended without `close_notify` (RFC 8446 §6.1).
    pub(crate) fn truncated() -> TlsError {
        TlsError::new(
            TlsFailure::Truncated,
            "the stream was cut off: it ended inside a record or a message, without close_notify",
        )
    }

    /// The same error of a peer that has finished a handshake: it does speak TLS.
    pub(super) fn of_open_session(mut self) -> TlsError {
        if self.kind == TlsFailure::NotTls {
            self.kind = TlsFailure::Violation;
        }
        self
    }

    /// The kind of failure.
    pub const fn kind(&self) -> TlsFailure {
        self.kind
    }

    /// Returns whether the peer has sent a plain HTTP request.
    pub const fn is_http(&self) -> bool {
        self.is_http
    }
}

impl From<&Error> for TlsError {
    fn from(error: &Error) -> TlsError {
        let kind = match error {
            Error::AlertReceived(_) => TlsFailure::Alert,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented | Error::InvalidCertRevocationList(_) => {
                TlsFailure::Certificate
            }
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol | Error::UnsupportedNameType => {
                TlsFailure::NothingInCommon
            }
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                TlsFailure::NotTls
            }
            _ => TlsFailure::Violation,
        };
        let text = match error {
            Error::AlertReceived(alert) => alert_text(*alert),
            Error::NoCertificatesPresented => "the peer has shown no certificate".to_owned(),
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                "the peer's certificate is not signed by an authority that is trusted here".to_owned()
            }
            Error::NoApplicationProtocol => "no common ALPN protocol; this server speaks http/1.1".to_owned(),
            Error::PeerIncompatible(why) if is_old(why) => {
                "the peer's version of TLS is too old: 1.2 is needed at least".to_owned()
            }
            error => error.to_string(),
        };
        TlsError::new(kind, text)
    }
}

/// Returns whether a peer speaks only versions before TLS 1.2. rustls looks for the signature
/// algorithms, which came with TLS 1.2, before it looks at the version.
const fn is_old(why: &PeerIncompatible) -> bool {
    matches!(
        why,
        PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::Tls12NotOffered
    )
}

/// What a peer means by an alert, with the usual reason.
fn alert_text(alert: AlertDescription) -> String {
    let why = match alert {
        AlertDescription::UnknownCA => ": it does not trust the authority of our certificate",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            ": it does not accept our certificate"
        }
        AlertDescription::CertificateExpired => ": our certificate has expired",
        AlertDescription::CertificateRequired => ": it wants a certificate of ours",
        AlertDescription::UnrecognisedName => ": it does not know the name that we asked for",
        AlertDescription::ProtocolVersion => ": no common version of TLS",
        AlertDescription::NoApplicationProtocol => ": it does not speak http/1.1",
        AlertDescription::HandshakeFailure => ": nothing in common, such as a cipher suite",
        _ => "",
    };
    format!("the peer sent the alert {alert:?}{why}")
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS: {}", Escaped(&self.text))
    }
}

impl std::error::Error for TlsError {}
