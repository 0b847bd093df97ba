//! An open session that goes to another process: its secrets, the numbers of its next records, and
//! what is under way.
//!
//! Only sessions whose keys follow from [secrets](super::ratchet) go. The others stay behind:
//! handshakes, TLS 1.2, suites with keys of 16 bytes, and sessions of clients.

use super::identity::ServerTls;
use super::info::TlsInfo;
use super::output::RECORD;
use super::ratchet::{KEY, Secrets};
use super::session::{MOST_AT_ONCE, MOST_KEPT, Session};
use super::traffic::Traffic;
use minicbor_derive::{Decode, Encode};
use rustls::crypto::tls13::OkmBlock;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, SupportedCipherSuite};
use std::fmt;

/// The most ciphertext that the kernel has not taken: what is encrypted at once, in the smallest
/// records.
const MOST_UNSENT: usize = 300 * MOST_AT_ONCE;

/// What a session is, for another process.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct CarriedSession {
    /// The number of the suite (RFC 8446 §B.4).
    #[n(0)]
    pub(super) suite: u16,
    #[cbor(n(1), with = "crate::protocol::byte_string")]
    pub(super) receiving: Vec<u8>,
    #[cbor(n(2), with = "crate::protocol::byte_string")]
    pub(super) sending: Vec<u8>,
    /// The numbers of the next records.
    #[n(3)]
    pub(super) next_received: u64,
    #[n(4)]
    pub(super) next_sent: u64,
    /// The most plaintext in a record that is sent.
    #[n(5)]
    pub(super) record: u16,
    /// Bytes of a KeyUpdate that has come in part.
    #[n(6)]
    pub(super) begun: u8,
    #[n(7)]
    pub(super) key_updates: u8,
    #[n(8)]
    pub(super) warnings: u8,
    #[n(9)]
    pub(super) owes_update: bool,
    #[n(10)]
    pub(super) peer_has_closed: bool,
    #[n(11)]
    pub(super) has_closed: bool,
    /// Bytes of the connection's output that are encrypted, but not taken by the kernel.
    #[n(12)]
    pub(super) ahead: u32,
    #[cbor(n(13), with = "crate::protocol::byte_string")]
    pub(super) kept: Option<Vec<u8>>,
    #[cbor(n(14), with = "crate::protocol::byte_string")]
    pub(super) unsent: Option<Vec<u8>>,
    #[n(15)]
    pub(super) server_name: Option<String>,
    #[n(16)]
    pub(super) resumed: bool,
    #[n(17)]
    pub(super) certificates: Option<Vec<minicbor::bytes::ByteVec>>,
}

/// Without the secrets.
impl fmt::Debug for CarriedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarriedSession").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl CarriedSession {
    /// Describes what both sides have agreed on.
    pub(super) fn set_info(&mut self, info: &TlsInfo) {
        self.server_name = info.server_name.as_deref().map(str::to_owned);
        self.resumed = info.resumed;
        let certificates = info.peer_certificates.as_deref();
        self.certificates = certificates.map(|all| all.iter().map(|one| one.to_vec().into()).collect());
    }

    fn info(&self, cipher: &'static str) -> TlsInfo {
        let certificates = self.certificates.as_ref();
        TlsInfo {
            version: "TLS 1.3",
            cipher,
            server_name: self.server_name.as_deref().map(Into::into),
            resumed: self.resumed,
            peer_certificates: certificates
                .map(|all| all.iter().map(|one| CertificateDer::from(one.to_vec())).collect()),
        }
    }
}

impl CarriedSession {
    /// Returns how many bytes of the connection's output are encrypted already.
    pub fn ahead(&self) -> usize {
        self.ahead as usize
    }
}

impl Session {
    /// Goes on with a session of another process. Returns `None` if that makes no sense, or if
    /// `tls` has no such suite.
    pub fn from_carried(tls: &ServerTls, carried: CarriedSession) -> Option<Session> {
        let config = tls.current();
        let mut suites = config.crypto_provider().cipher_suites.iter().filter_map(SupportedCipherSuite::tls13);
        let meant = CipherSuite::from(carried.suite);
        let suite = suites.find(|suite| suite.common.suite == meant && suite.aead_alg.key_len() == KEY)?;
        let most = carried.kept.as_ref().map_or(0, Vec::len);
        let is_sensible = [&carried.receiving, &carried.sending].iter().all(|secret| secret.len() == suite_hash(suite));
        let unsent = carried.unsent.as_ref().map_or(0, Vec::len);
        let is_bounded = most <= MOST_KEPT && unsent <= MOST_UNSENT && usize::from(carried.record) <= RECORD;
        if !is_sensible || !is_bounded || carried.record == 0 || (carried.ahead > 0 && unsent == 0) {
            return None;
        }
        let secrets = Secrets {
            receiving: Some(OkmBlock::new(&carried.receiving)),
            sending: Some(OkmBlock::new(&carried.sending)),
        };
        let info = carried.info(meant.as_str().unwrap_or("unknown"));
        let traffic = Traffic::from_carried(suite, secrets, &carried)?;
        Some(Session::restored(traffic, info, carried))
    }
}

fn suite_hash(suite: &rustls::Tls13CipherSuite) -> usize {
    suite.common.hash_provider.output_len()
}
