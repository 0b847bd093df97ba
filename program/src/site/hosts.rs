//! The hosts that a request may name, if it arrives on a loopback address.
//!
//! A foreign page can let its own name resolve to 127.0.0.1 (DNS rebinding). Its scripts then reach
//! this server in the visitor's name, with an `Origin` that agrees with `Host`.

use lariat::http::header::{CONTENT_TYPE, HeaderValue};
use lariat::http::{Response, StatusCode};
use lariat::{Answer, ClientId, Clients, Escaped, Request};

/// The hosts besides `localhost` and IP addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    names: Vec<String>,
    /// The log has named the option. Anybody can cause more of these requests.
    is_reported: bool,
}

impl Hosts {
    pub(super) const fn new(names: Vec<String>) -> Hosts {
        Hosts { names, is_reported: false }
    }

    /// Returns 421 if a request arrived on a loopback address and names another host. A browser
    /// cannot reach a Unix socket, so hosts are not checked there.
    pub(super) fn refuse(&mut self, clients: &Clients<()>, id: ClientId, request: &Request<'_>) -> Option<Answer> {
        // The name is compared first: a look at the address is a call of the kernel.
        if request.names_local_host(&self.names) || !clients.local_addr(id)?.ip().to_canonical().is_loopback() {
            return None;
        }
        let host = request.host().unwrap_or_default();
        let sentence = format!(
            "421 Misdirected Request: on a loopback address, this server answers for localhost and for IP \
             addresses, and the Host is {}. To serve another host, behind a proxy for example: \
             lariat serve --allow-host HOST",
            Escaped(host)
        );
        let level = if self.is_reported { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "refused a request: {sentence}");
        self.is_reported = true;
        let mut response = Response::new(format!("{sentence}\n").into_bytes());
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Some(response.into())
    }
}
