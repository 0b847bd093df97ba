//! The origins whose pages may open a socket (RFC 6455 §10.2).
//!
//! When a script opens a socket, the browser names the origin of its page in the header `Origin`.
//! Without this check, every web page that a visitor has open could connect, in the visitor's name,
//! to a server that only the visitor can reach.

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

impl Origin {
    /// Returns whether this is the origin of `host`, a value of the header `Host`.
    ///
    /// Behind a proxy that ends TLS, the scheme of the request is not known. A host without a port
    /// has the default port of this origin.
    fn is_at(&self, host: &str) -> bool {
        let default_port = if self.scheme == "https" { 443 } else { 80 };
        host_and_port(host).is_some_and(|(host, port)| host == self.host && port.unwrap_or(default_port) == self.port)
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
        let mut values = request.values("origin");
        let (Some(value), None) = (values.next(), values.next()) else {
            return request.values("origin").next().is_none();
        };
        // `null`, the value for a sandboxed page or a file, is not an origin.
        let origin: Option<Origin> = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        origin.is_some_and(|origin| self.0.contains(&origin) || request.host().is_some_and(|host| origin.is_at(host)))
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
    fn pages_from_here_are_accepted() {
        for (host, origin) in [
            ("localhost:9998", "http://localhost:9998"),
            ("LocalHost:9998", "HTTP://localhost:9998"),
            ("127.0.0.1:9998", "http://127.0.0.1:9998"),
            ("[::1]:9998", "http://[::1]:9998"),
            ("example.org", "http://example.org"),
            ("example.org:80", "http://example.org"),
            // Behind a proxy that ends TLS.
            ("example.org", "https://example.org"),
            ("example.org:443", "https://example.org"),
            ("example.org:8443", "https://example.org:8443"),
        ] {
            assert!(accepted(&[], host, &[origin]), "{origin} at {host}");
        }
    }

    #[test]
    fn pages_from_elsewhere_are_not() {
        for (host, origin) in [
            ("localhost:9998", "http://localhost"),
            ("localhost:9998", "http://localhost:9999"),
            ("localhost:9998", "http://127.0.0.1:9998"),
            ("localhost:9998", "http://localhost.example.org:9998"),
            ("localhost:9998", "http://example.org:9998@localhost:9998"),
            ("[::1]:9998", "http://[::2]:9998"),
            ("example.org", "http://example.org:8080"),
            ("example.org", "https://example.org:80"),
            ("example.org:80", "https://example.org"),
            ("localhost:9998", "null"),
            ("localhost:9998", "file://"),
            ("localhost:9998", "ftp://localhost:9998"),
            ("localhost:9998", "http://localhost:9998/"),
            ("localhost:9998", "http://localhost:x"),
            ("localhost:9998", "http://"),
            ("localhost:9998", ""),
            ("", "http://localhost"),
        ] {
            assert!(!accepted(&[], host, &[origin]), "{origin} at {host}");
        }
        assert!(!accepted(&[], "a.test", &["http://a.test", "http://a.test"]), "one Origin header, not two");
    }

    #[test]
    fn others_can_be_allowed_and_those_who_are_no_browser_may_always() {
        assert!(accepted(&["https://Example.org"], "localhost", &["https://example.org:443"]));
        assert!(!accepted(&["https://example.org"], "localhost", &["http://example.org"]));
        assert!(accepted(&[], "localhost", &[]));
        for wrong in ["example.org", "https://", "https://example.org/path", "*", "null", "ws://example.org"] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
