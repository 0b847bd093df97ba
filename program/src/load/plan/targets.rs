//! The servers to connect to, and the addresses to connect from.

use super::options::{Options, Usage};
use crate::client::{Asking, Trust, is_secure, not_a_url, parse_url};
use crate::doctor::Host;
use lariat::{Config, ConnectOptions, Handler, Server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// A URL, and from where and how to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) url: String,
    pub(crate) options: ConnectOptions,
}

/// The ports of an address of 127.0.0.0/8, unless the host has another range.
const DEFAULT_PORTS: u32 = 28_232;

/// The source addresses on loopback for connections that are closed and opened again: the port of a
/// closed connection is not free for a minute.
const CHURN_SOURCES: u32 = 64;

/// Returns the address of a URL's server.
pub(crate) fn find(url: &str) -> Result<SocketAddr, Usage> {
    let wrong = || not_a_url(url);
    let uri = parse_url(url)?;
    let is_secure = is_secure(url);
    let host = uri.host().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let resolved = (host, port).to_socket_addrs().map_err(|error| {
        Usage(format!(
            "{host} has no address ({error}): check the name, or write an address like ws://127.0.0.1:{port}/"
        ))
    })?;
    let candidates: Vec<SocketAddr> = resolved.collect();
    // A name like localhost has several addresses, and the server may listen on one of them only.
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok();
    let chosen = if candidates.len() > 1 { candidates.iter().find(answers) } else { None };
    chosen.or_else(|| candidates.first()).copied().ok_or_else(wrong)
}

/// Returns whether an address belongs to this host.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    let unspecified: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    // Connecting a datagram socket sends nothing; it only looks up the route.
    let route = || {
        let socket = UdpSocket::bind((unspecified, 0))?;
        socket.connect(address)?;
        socket.local_addr()
    };
    address.ip().is_loopback() || route().is_ok_and(|local| local.ip() == address.ip())
}

/// Returns whether a client can connect from each address of 127.0.0.0/8 without configuration.
pub(crate) fn spreads(address: &SocketAddr) -> bool {
    cfg!(target_os = "linux") && address.is_ipv4() && address.ip().is_loopback()
}

/// Returns the source addresses. With `None`, the kernel chooses.
pub(crate) fn sources(
    options: &Options,
    host: &Host,
    addresses: &[SocketAddr],
    churns: bool,
) -> Result<Vec<Option<IpAddr>>, Usage> {
    for source in &options.source_ip {
        if std::net::TcpListener::bind((*source, 0)).is_err() {
            return Err(Usage(format!(
                "--source-ip {source} is not an address of this host; `ip addr` lists its addresses"
            )));
        }
        if addresses.iter().any(|address| address.is_ipv4() != source.is_ipv4()) {
            return Err(Usage(format!("--source-ip {source} cannot reach a server of the other IP version")));
        }
    }
    if !options.source_ip.is_empty() {
        return Ok(options.source_ip.iter().copied().map(Some).collect());
    }
    if !addresses.iter().all(spreads) {
        return Ok(vec![None]);
    }
    let ports = host.ports.map_or(DEFAULT_PORTS, |(first, last)| u32::from(last.saturating_sub(first)) + 1);
    // Linux takes long to find a free port once half of an address's ports are in use.
    let count = options.connections.div_ceil((ports / 4).max(1)).max(if churns { CHURN_SOURCES } else { 1 });
    let first = u32::from(Ipv4Addr::LOCALHOST);
    if count == 1 {
        Ok(vec![None])
    } else {
        Ok((first..first + count).map(|ip| Some(Ipv4Addr::from(ip).into())).collect())
    }
}

pub(crate) fn connect_options(options: &Options) -> Result<ConnectOptions, Usage> {
    let trust = Trust {
        ca: options.ca.as_deref(),
        cert: options.cert.as_deref(),
        key: options.key.as_deref(),
        insecure: options.insecure,
        resume: options.resume,
    };
    let is_secure = options.urls.iter().any(|url| is_secure(url));
    if !is_secure && trust.is_asked() {
        return Err(Usage("--ca, --cert, --key, --insecure and --resume are for wss:// URLs".to_owned()));
    }
    let asked = Asking {
        subprotocols: &options.subprotocol,
        headers: &options.header,
        origin: options.origin.as_deref(),
        deflate: options.deflate,
    };
    let built = asked.options()?;
    Ok(if is_secure { built.tls(trust.tls()?) } else { built })
}

/// Checks that the library accepts the URLs and options. No connection is begun.
pub(crate) fn try_out(routes: &[Route]) -> Result<(), Usage> {
    struct Nobody;
    impl Handler for Nobody {
        type Data = ();
    }
    let event_loop = Server::<()>::new(Config::default()).and_then(|server| server.start(Nobody));
    let mut event_loop =
        event_loop.map_err(|error| Usage(format!("cannot set up an event loop on this host: {error}")))?;
    for Route { url, options } in routes {
        event_loop.clients_mut().connect(url, options).map_err(|error| Usage(format!("{url}: {error}")))?;
    }
    Ok(())
}
