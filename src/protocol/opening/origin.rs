//! Whether a request comes from a page of this server: the check against foreign pages.

use super::request::Request;
use http::uri::Authority;

impl Request<'_> {
    /// Returns whether the request comes from a page of this server, or from no page: `Origin` has
    /// the host and the port of `Host` (RFC 6455 §10.2, RFC 6454 §7). Check this for what a browser
    /// may do in its user's name. A page of another site can open a WebSocket to this server, and
    /// the browser sends the user's cookies with it.
    ///
    /// * **Without `Origin`**: `true`. Browsers send it with every opening handshake, and with
    ///   every other request that is not GET or HEAD. So the client is no browser, or only reads,
    ///   and a page of another site cannot see what it reads. A client that is no browser can send
    ///   any `Origin`: this check does not authenticate it.
    /// * **`null`**: `false`. It stands for a sandboxed page, a file, or a redirect from elsewhere.
    ///   A malformed `Origin`, more than one, and a scheme other than `http` and `https` are
    ///   `false` as well. So is an `Origin` without `Host` (HTTP/1.0).
    /// * **The scheme** is not compared, because a server behind a proxy that ends TLS does not
    ///   know it. It gives the port where there is none, 80 or 443: `https://a.example` agrees with
    ///   `a.example` and `a.example:443`, but not with `a.example:80`.
    /// * **Behind a proxy**, `Host` must be what the browser has sent. nginx needs
    ///   `proxy_set_header Host $http_host`. `X-Forwarded-Host` is not looked at. If the proxy
    ///   sends another name, compare [`origin`](Self::origin) with a list of your own.
    /// * **DNS rebinding** makes both headers agree. A server on a loopback address also needs
    ///   [`names_local_host`](Self::names_local_host).
    ///
    /// ```
    /// use lariat::http::StatusCode;
    /// use lariat::{Answer, ClientId, Clients, Handler, Request, Upgrade};
    ///
    /// struct Shop;
    ///
    /// impl Handler for Shop {
    ///     type Data = ();
    ///
    ///     fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, request: &Request<'_>) -> Answer {
    ///         if request.is_same_origin() || request.origin() == Some("https://app.example") {
    ///             return Upgrade::new().into();
    ///         }
    ///         StatusCode::FORBIDDEN.into()
    ///     }
    /// }
    /// ```
    pub fn is_same_origin(&self) -> bool {
        let mut origins = self.values("origin");
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => self.host().is_some_and(|host| is_at(origin, host)),
            (Some(_), Some(_)) => false,
        }
    }
}

/// Returns whether an origin has the host and the port of a value of `Host`.
fn is_at(origin: &[u8], host: &str) -> bool {
    let Some((scheme, origin)) = std::str::from_utf8(origin).ok().and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    let default_port = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => 80,
        _ if scheme.eq_ignore_ascii_case("https") => 443,
        _ => return false,
    };
    let (Some(origin), Some(host)) = (authority(origin), authority(host)) else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    // RFC 3986 §6.2.2.1: the letter case of a host does not matter.
    origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(&host)
}

/// Parses `host` or `host:port`. User information, a path, or a port that is not a number make it
/// malformed.
fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let (host, port) = (authority.host(), authority.port());
    let length = host.len() + port.as_ref().map_or(0, |port| port.as_str().len() + 1);
    let is_plain = !host.is_empty() && length == text.len() && authority.port_u16().is_some() == port.is_some();
    is_plain.then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same_origin(host: &str, origins: &[&str]) -> bool {
        let origins: String = origins.iter().map(|origin| format!("Origin: {origin}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{origins}\r\n");
        Request::parse(head.as_bytes()).expect("a request").is_same_origin()
    }

    #[test]
    fn pages_of_this_server_are_recognised() {
        for (host, origin) in [
            ("localhost:9998", "http://localhost:9998"),
            ("LocalHost:9998", "HTTP://localhost:9998"),
            ("127.0.0.1:9998", "http://127.0.0.1:9998"),
            ("[::1]:9998", "http://[::1]:9998"),
            ("[2001:DB8::1]", "https://[2001:db8::1]"),
            ("example.org", "http://example.org"),
            ("example.org:80", "http://example.org"),
            ("example.org", "http://example.org:80"),
            // Behind a proxy that ends TLS.
            ("example.org", "https://example.org"),
            ("example.org:443", "https://example.org"),
            ("example.org:8443", "https://example.org:8443"),
        ] {
            assert!(is_same_origin(host, &[origin]), "{origin} at {host}");
        }
    }

    #[test]
    fn pages_of_others_are_not() {
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
            ("null", "null"),
            ("localhost:9998", "file://"),
            ("localhost:9998", "ftp://localhost:9998"),
            ("localhost:9998", "ws://localhost:9998"),
            ("localhost:9998", "http://localhost:9998/"),
            ("localhost:9998", "http://localhost:9998, http://localhost:9998"),
            ("localhost", "http://localhost:"),
            ("localhost:x", "http://localhost:x"),
            ("localhost:99999", "http://localhost:99999"),
            ("localhost:9998", "http://"),
            ("localhost:9998", "localhost:9998"),
            ("localhost:9998", ""),
            ("", "http://"),
            ("", "http://localhost"),
        ] {
            assert!(!is_same_origin(host, &[origin]), "{origin} at {host}");
        }
        assert!(!is_same_origin("a.test", &["http://a.test", "http://a.test"]), "one Origin header, not two");
        let odd = b"GET / HTTP/1.1\r\nHost: a.test\r\nOrigin: http://a.test\xFF\r\n\r\n";
        assert!(!Request::parse(odd).expect("a request").is_same_origin());
        let old = b"GET / HTTP/1.0\r\nOrigin: http://a.test\r\n\r\n";
        assert!(!Request::parse(old).expect("a request").is_same_origin());
    }

    #[test]
    fn who_is_no_page_has_no_foreign_origin() {
        assert!(is_same_origin("a.test", &[]));
        assert!(Request::parse(b"GET / HTTP/1.0\r\n\r\n").expect("a request").is_same_origin());
    }
}
