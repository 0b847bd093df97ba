//! How many hostile clients there are, and what they need to reach a server.

use super::options::{Options, Usage};
use super::targets::trust;
use crate::terminal::units;
use lariat::http::Uri;
use lariat::tls::rustls::ClientConfig;
use lariat::tls::rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The number of hostile clients, as the option says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Share {
    /// A part of the connections, from 0 to 1.
    Part(f64),
    Number(u32),
}

impl Share {
    /// Returns how many there are beside so many connections: at least one, unless none are asked
    /// for.
    fn of(self, connections: u32) -> u32 {
        match self {
            Share::Number(number) => number,
            Share::Part(part) => (f64::from(connections) * part).ceil() as u32,
        }
    }
}

/// Parses a share like `0.1%`, or a number like `5`. 0 is allowed.
pub(crate) fn share(text: &str) -> Result<Share, String> {
    match text {
        "0" | "0%" => Ok(Share::Number(0)),
        _ if text.ends_with('%') => units::percent(text).map(Share::Part),
        _ => units::count_to::<50_000_000>(text).map(Share::Number),
    }
}

/// The hostile clients of a process.
#[derive(Clone, Debug)]
pub(crate) struct Hostiles {
    /// How many there are at a time.
    pub(crate) clients: u32,
    /// The servers, in turn.
    pub(crate) targets: Vec<Target>,
    /// The most time to connect and to open.
    pub(crate) timeout: Duration,
}

/// A server, and what a good request to it says.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// For wss://, the name of the server and the configuration of rustls.
    pub(crate) tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    /// The value of the header Host.
    pub(crate) host: String,
    pub(crate) path: String,
    /// The headers of the options, each with its end of line.
    pub(crate) headers: String,
}

/// Returns the hostile clients of all processes together. `None` if none are asked for.
pub(super) fn hostiles(options: &Options, addresses: &[SocketAddr]) -> Result<Option<Hostiles>, Usage> {
    let clients = options.malformed.map_or(0, |share| share.of(options.connections));
    if clients == 0 {
        return Ok(None);
    }
    let tls = trust(options)?.map(|tls| Arc::new(tls.to_config()));
    let targets = options.urls.iter().zip(addresses).map(|(url, address)| target(options, url, *address, tls.as_ref()));
    let targets = targets.collect::<Result<_, _>>()?;
    Ok(Some(Hostiles { clients, targets, timeout: options.timeout }))
}

fn target(options: &Options, url: &str, address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Target, Usage> {
    let wrong = || Usage(format!("{url:?} is not the URL of a WebSocket server"));
    // Hostile clients have no number, and no row of --data.
    let uri: Uri = url.replace(['{', '}'], "_").parse().map_err(|_| wrong())?;
    let is_secure = uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("wss"));
    let tls = match tls.filter(|_| is_secure) {
        None => None,
        Some(config) => {
            let name = uri.host().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']');
            Some((ServerName::try_from(name.to_owned()).map_err(|_| wrong())?, Arc::clone(config)))
        }
    };
    let mut headers = String::new();
    for header in &options.request.header {
        headers += &format!("{header}\r\n");
    }
    if let Some(origin) = &options.request.origin {
        headers += &format!("Origin: {origin}\r\n");
    }
    if !options.request.subprotocol.is_empty() {
        headers += &format!("Sec-WebSocket-Protocol: {}\r\n", options.request.subprotocol.join(", "));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let host = uri.authority().ok_or_else(wrong)?.to_string();
    Ok(Target { address, tls, host, path, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_or_a_number() {
        let clients = |text: &str, connections| share(text).map(|share| share.of(connections));
        assert_eq!(clients("0.1%", 10_000), Ok(10));
        assert_eq!(clients("0.1%", 3), Ok(1), "at least one");
        assert_eq!(clients("100%", 7), Ok(7));
        assert_eq!((clients("5", 2), clients("1k", 2)), (Ok(5), Ok(1_000)));
        assert_eq!((clients("0", 100), clients("0%", 100)), (Ok(0), Ok(0)));
        for bad in ["", "%", "-1%", "101%", "x", "1.5", "NaN%", "inf%", "1e1%", "-5"] {
            assert!(share(bad).is_err(), "{bad:?}");
        }
    }
}
