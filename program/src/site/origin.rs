//! The origins whose pages may open a socket (RFC 6455 §10.2).
//!
//! When a script opens a socket, the browser names the origin of its page in the header `Origin`.
//! Without this check, every web page that a visitor has open could connect, in the visitor's name,
//! to a server that only the visitor can reach. `Request::is_same_origin` compares it with `Host`.
//! Here are the origins that are allowed besides.

use lariat::Request;
use lariat::http::uri::Authority;
use std::fmt;
use std::str::FromStr;

/// An origin as browsers write it (RFC 6454 §6.2): `https://example.org`, `http://localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: &'static str,
    host: String,
    port: u16,
}

/// A text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError(String);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an origin; write one like https://example.org or http://localhost:8080", self.0)
    }
}

impl std::error::Error for OriginError {}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Origin, OriginError> {
        let parse = || {
            let (scheme, authority) = text.split_once("://")?;
            let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
                "http" => ("http", 80),
                "https" => ("https", 443),
                _ => return None,
            };
            let (host, port) = host_and_port(authority)?;
            Some(Origin { scheme, host, port: port.unwrap_or(default_port) })
        };
        parse().ok_or_else(|| OriginError(text.to_owned()))
    }
}

/// Splits `host` or `host:port`, and returns `None` for anything else. The host is in lower case
/// (RFC 3986 §6.2.2.1).
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let port = authority.port_u16();
    let host = authority.host();
    // User information, or a port that is not a number, is not allowed.
    let is_plain = authority.as_str().len() == host.len() + authority.port().map_or(0, |port| port.as_str().len() + 1);
    (!host.is_empty() && is_plain && port.is_some() == authority.port().is_some())
        .then(|| (host.to_ascii_lowercase(), port))
}

/// The origins whose pages may open sockets: this site, and some others.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// Allows the pages of this site and of `others`.
    pub fn new(others: impl IntoIterator<Item = Origin>) -> Origins {
        Origins(others.into_iter().collect())
    }

    /// Returns whether a request may open a socket: it comes from an allowed page, or from a client
    /// that is not a browser and sends no `Origin`.
    pub fn accept(&self, request: &Request<'_>) -> bool {
        request.is_same_origin() || self.allow(request)
    }

    /// Returns whether a request comes from a page of the other sites.
    fn allow(&self, request: &Request<'_>) -> bool {
        let is_only_one = request.values("origin").count() == 1;
        let origin: Option<Origin> = request.origin().and_then(|origin| origin.parse().ok());
        origin.is_some_and(|origin| is_only_one && self.0.contains(&origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(others: &[&str], host: &str, origins: &[&str]) -> bool {
        let others = others.iter().map(|other| other.parse::<Origin>().expect("an origin"));
        let origins: String = origins.iter().map(|origin| format!("Origin: {origin}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{origins}\r\n");
        Origins::new(others).accept(&Request::parse(head.as_bytes()).expect("a request"))
    }

    #[test]
    fn pages_from_here_are_accepted_and_those_from_elsewhere_are_not() {
        assert!(accepted(&[], "localhost:9998", &["http://localhost:9998"]));
        // Behind a proxy that ends TLS.
        assert!(accepted(&[], "example.org", &["https://example.org"]));
        for origin in ["http://localhost", "http://example.org", "null", ""] {
            assert!(!accepted(&[], "localhost:9998", &[origin]), "{origin}");
        }
    }

    #[test]
    fn others_can_be_allowed_and_those_who_are_no_browser_may_always() {
        assert!(accepted(&["https://Example.org"], "localhost", &["https://example.org:443"]));
        assert!(!accepted(&["https://example.org"], "localhost", &["http://example.org"]));
        let twice = ["https://example.org", "https://example.org"];
        assert!(!accepted(&["https://example.org"], "localhost", &twice), "one Origin header, not two");
        assert!(accepted(&[], "localhost", &[]));
        for wrong in ["example.org", "https://", "https://example.org/path", "*", "null", "ws://example.org"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
