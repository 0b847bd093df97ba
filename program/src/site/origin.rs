//! Which pages may open a socket here? (RFC 6455 §10.2)
//!
//! A browser sends no page's script anywhere without saying in `Origin` where the page came from.
//! Without this check any page of the web that a visitor has open could speak, in the visitor's
//! name, to a server that only the visitor reaches.

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

/// What should be an origin is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError(String);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no origin; write it like https://example.org or http://localhost:8080", self.0)
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
    /// Whether a page from here that connects to `host`, a value of the `Host` header, connects to
    /// where it came from.
    ///
    /// A proxy that ends TLS hides from us under which scheme it was reached: a host without a port
    /// is compared with the origin's own default.
    fn is_at(&self, host: &str) -> bool {
        let default_port = if self.scheme == "https" { 443 } else { 80 };
        host_and_port(host).is_some_and(|(host, port)| host == self.host && port.unwrap_or(default_port) == self.port)
    }
}

/// `None` if it is not `host` or `host:port`. Hosts are compared in lower case (RFC 3986 §6.2.2.1).
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let port = authority.port_u16();
    let host = authority.host();
    // Neither user information nor a port that is no number.
    let is_plain = authority.as_str().len() == host.len() + authority.port().map_or(0, |port| port.as_str().len() + 1);
    (!host.is_empty() && is_plain && port.is_some() == authority.port().is_some())
        .then(|| (host.to_ascii_lowercase(), port))
}

/// The pages of this site, and those of some other origins.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// This site's own pages, and pages from `others`.
    pub fn new(others: impl IntoIterator<Item = Origin>) -> Origins {
        Origins(others.into_iter().collect())
    }

    /// Whether whoever asks may have a socket: a page from here, or a client that is no browser and
    /// sends no `Origin`.
    pub fn accept(&self, request: &Request<'_>) -> bool {
        let mut values = request.values("origin");
        let (Some(value), None) = (values.next(), values.next()) else {
            return request.values("origin").next().is_none();
        };
        // `null`, which is what a page in a sandbox or from a file says, is no origin.
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
