//! The secrets of an open session of TLS 1.3, and what follows from them: its keys (RFC 8446 §7.3),
//! and the secrets after a KeyUpdate (§7.2).
//!
//! rustls tells them to whoever logs keys, in the thread that does the handshake. [`Recorder`]
//! takes them there, and the session keeps them. So rustls' own state can go, and what stays is a
//! few bytes that can also go to another process.

use super::error::{TlsError, TlsFailure};
use rustls::crypto::cipher::{AeadKey, Iv, NONCE_LEN};
use rustls::crypto::tls13::{HkdfExpander, OkmBlock};
use rustls::{KeyLog, Tls13CipherSuite};
use std::cell::Cell;
use std::sync::Arc;

/// The bytes of a key that can be built from its bytes.
pub(super) const KEY: usize = 32;

/// The secret of each direction, as far as it is known. It is erased when it is dropped.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) receiving: Option<OkmBlock>,
    pub(super) sending: Option<OkmBlock>,
}

thread_local! {
    /// What was told since it was last taken.
    static TOLD: Cell<Secrets> = const { Cell::new(Secrets { receiving: None, sending: None }) };
}

/// Takes the secrets of a server's session that were told since the last call.
pub(super) fn told_secrets() -> Option<Box<Secrets>> {
    let told = TOLD.take();
    (told.receiving.is_some() && told.sending.is_some()).then(|| Box::new(told))
}

/// Takes the secrets that rustls tells, and passes them on to another log of keys.
#[derive(Debug)]
pub(super) struct Recorder(pub(super) Arc<dyn KeyLog>);

/// The labels of the first secrets for data (the format of `SSLKEYLOGFILE`).
const CLIENT: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVER: &str = "SERVER_TRAFFIC_SECRET_0";

impl KeyLog for Recorder {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if secret.len() <= OkmBlock::MAX_LEN {
            let mut told = TOLD.take();
            match label {
                CLIENT => told.receiving = Some(OkmBlock::new(secret)),
                SERVER => told.sending = Some(OkmBlock::new(secret)),
                _ => {}
            }
            TOLD.set(told);
        }
        if self.0.will_log(label) {
            self.0.log(label, client_random, secret);
        }
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, CLIENT | SERVER) || self.0.will_log(label)
    }
}

/// Returns the contents of HKDF-Expand-Label without a context (RFC 8446 §7.1).
fn with_label<T>(label: &[u8], length: usize, expand: impl FnOnce(&[&[u8]]) -> T) -> T {
    const PREFIX: &[u8] = b"tls13 ";
    let length = (length as u16).to_be_bytes();
    let label_length = [(PREFIX.len() + label.len()) as u8];
    expand(&[&length, &label_length, PREFIX, label, &[0]])
}

fn expand<const N: usize>(expander: &dyn HkdfExpander, label: &[u8]) -> Result<[u8; N], TlsError> {
    let mut bytes = [0; N];
    with_label(label, N, |info| expander.expand_slice(info, &mut bytes))
        .map_err(|_| TlsError::new(TlsFailure::Violation, "a key that cannot be derived"))?;
    Ok(bytes)
}

/// Returns the key of a secret, if the suite's keys can be built from bytes.
pub(super) fn key_of(suite: &Tls13CipherSuite, secret: &OkmBlock) -> Result<Option<(AeadKey, Iv)>, TlsError> {
    if suite.aead_alg.key_len() != KEY {
        return Ok(None);
    }
    let expander = suite.hkdf_provider.expander_for_okm(secret);
    let key = AeadKey::from(expand::<KEY>(&*expander, b"key")?);
    Ok(Some((key, Iv::from(expand::<NONCE_LEN>(&*expander, b"iv")?))))
}

/// Returns the secret after a KeyUpdate.
pub(super) fn next(suite: &Tls13CipherSuite, secret: &OkmBlock) -> OkmBlock {
    let expander = suite.hkdf_provider.expander_for_okm(secret);
    with_label(b"traffic upd", expander.hash_len(), |info| expander.expand_block(info))
}
