//! Whether a request means this host: the check against DNS rebinding.

use super::request::Request;
use std::net::{Ipv4Addr, Ipv6Addr};

impl Request<'_> {
    /// Returns whether the `Host` header names the local host: `localhost` or a name below it, an
    /// IP address, or one of `others`. An entry `*` stands for every host. Ports do not matter. A
    /// request without `Host` (HTTP/1.0) is accepted, because browsers do not send one.
    ///
    /// Check this for connections that arrive on a loopback address. A web page that the user has
    /// open can let its own name resolve to 127.0.0.1 (DNS rebinding). Its scripts then reach a
    /// server that only this host should reach, and `Origin` agrees with `Host`. But the browser
    /// still sends the page's name as the host.
    ///
    /// ```
    /// use lariat::http::StatusCode;
    /// use lariat::{Answer, ClientId, Clients, Handler, Request, Upgrade};
    ///
    /// struct Local;
    ///
    /// impl Handler for Local {
    ///     type Data = ();
    ///
    ///     fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
    ///         let is_loopback = || clients.local_addr(id).is_some_and(|addr| addr.ip().to_canonical().is_loopback());
    ///         if !request.names_local_host(&["app.example"]) && is_loopback() {
    ///             return StatusCode::MISDIRECTED_REQUEST.into();
    ///         }
    ///         Upgrade::new().into()
    ///     }
    /// }
    /// ```
    pub fn names_local_host<S: AsRef<str>>(&self, others: &[S]) -> bool {
        if others.iter().any(|other| other.as_ref() == "*") {
            return true;
        }
        let Some(value) = self.values("host").next() else { return true };
        let Some(host) = std::str::from_utf8(value).ok().and_then(without_port) else { return false };
        let is_named = |name: &str| host.eq_ignore_ascii_case(name.strip_suffix('.').unwrap_or(name));
        is_address(host) || is_localhost(host) || others.iter().any(|other| is_named(other.as_ref()))
    }
}

/// Returns the host of `host` or `host:port`, without the dot that a full name may end in.
fn without_port(value: &str) -> Option<&str> {
    let end = if value.starts_with('[') { value.find(']')? + 1 } else { value.find(':').unwrap_or(value.len()) };
    let (host, rest) = value.split_at(end);
    let port = rest.strip_prefix(':').unwrap_or(rest);
    let is_port = rest.len() != port.len() || rest.is_empty();
    let host = host.strip_suffix('.').unwrap_or(host);
    (is_port && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// Names below `localhost` belong to this host as well (RFC 6761 §6.3).
fn is_localhost(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_local_host(host: &str, others: &[&str]) -> bool {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        Request::parse(head.as_bytes()).expect("a request").names_local_host(others)
    }

    #[test]
    fn localhost_and_addresses_are_this_host() {
        for host in [
            "localhost",
            "LocalHost:9998",
            "localhost.",
            "app.localhost:80",
            "127.0.0.1",
            "127.0.0.1:9998",
            "192.0.2.7:1",
            "[::1]",
            "[::1]:9998",
            "[2001:db8::1]:9998",
        ] {
            assert!(names_local_host(host, &[]), "{host}");
        }
        let old = Request::parse(b"GET / HTTP/1.0\r\n\r\n").expect("a request");
        assert!(old.names_local_host::<&str>(&[]), "no browser leaves it out");
    }

    #[test]
    fn other_names_are_not_unless_they_are_listed() {
        let foreign = [
            "evil.example",
            "evil.example:9998",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "localhost:80@evil.example",
            "localhost:x",
            "[::1]evil.example",
            "[::1",
            "::1",
            "127.1",
            "0x7f000001",
            "",
        ];
        for host in foreign {
            assert!(!names_local_host(host, &[]), "{host}");
            assert!(!names_local_host(host, &["app.example"]), "{host}");
            assert!(names_local_host(host, &["*"]), "{host}");
        }
        for host in ["app.example", "APP.example.:443"] {
            assert!(names_local_host(host, &["other.example", "App.Example"]), "{host}");
        }
        assert!(!names_local_host("sub.app.example", &["app.example"]));
    }
}
