//! What was agreed in the TLS handshake of a connection, as pages get it.
//!
//! ```text
//! {"version":"TLS 1.3","cipher":"TLS13_AES_128_GCM_SHA256","name":"localhost","resumed":false}
//! ```
//!
//! `name` is the server's name that the client has asked for (SNI), or null.

use lariat::tls::TlsInfo;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Secured<'a> {
    version: &'static str,
    cipher: &'static str,
    name: Option<&'a str>,
    resumed: bool,
}

impl<'a> From<&'a TlsInfo> for Secured<'a> {
    fn from(info: &'a TlsInfo) -> Secured<'a> {
        let TlsInfo { version, cipher, resumed, .. } = *info;
        Secured { version, cipher, name: info.server_name.as_deref(), resumed }
    }
}
