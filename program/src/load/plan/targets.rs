//! Which servers are connected to, from which addresses?

use super::options::{Options, Usage};
use crate::doctor::Host;
use lariat::http::{HeaderName, HeaderValue, Uri};
use lariat::{Config, ConnectOptions, Handler, Server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// One way to a server.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) url: String,
    pub(crate) options: ConnectOptions,
}

/// Of 127.0.0.0/8, as long as the host says nothing else.
const USUAL_PORTS: u32 = 28_232;

/// Sources on loopback for connections that come and go: the port of a closed one is not free for a
/// minute.
const CHURN_SOURCES: u32 = 64;

/// Where a URL's server is.
pub(crate) fn find(url: &str) -> Result<SocketAddr, Usage> {
    let wrong = || Usage(format!("{url:?} is no URL of a server: write ws://host:port/path"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("ws") => {}
        Some("wss") => {
            return Err(Usage(format!(
                "{url}: wss:// (TLS) is not there yet; connect to the port behind the TLS proxy with ws://"
            )));
        }
        _ => return Err(wrong()),
    }
    let host = uri.host().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(80);
    let resolved = (host, port).to_socket_addrs().map_err(|error| {
        Usage(format!("{host} has no address ({error}): check the name, or write the address, ws://127.0.0.1:{port}/"))
    })?;
    let candidates: Vec<SocketAddr> = resolved.collect();
    // A name like localhost stands for several, and the server need not listen on all.
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok();
    let chosen = if candidates.len() > 1 { candidates.iter().find(answers) } else { None };
    chosen.or_else(|| candidates.first()).copied().ok_or_else(wrong)
}

/// Whether an address is one of this host's.
pub(crate) fn is_local(address: SocketAddr) -> bool {
    let unspecified: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    // Connecting a datagram socket sends nothing; it only finds the way.
    let way = || {
        let socket = UdpSocket::bind((unspecified, 0))?;
        socket.connect(address)?;
        socket.local_addr()
    };
    address.ip().is_loopback() || way().is_ok_and(|local| local.ip() == address.ip())
}

/// Whether each address of 127.0.0.0/8 is one to connect from, without being configured.
pub(crate) fn spreads(address: &SocketAddr) -> bool {
    cfg!(target_os = "linux") && address.is_ipv4() && address.ip().is_loopback()
}

/// Where to connect from; `None`: the kernel chooses.
pub(crate) fn sources(
    options: &Options,
    host: &Host,
    addresses: &[SocketAddr],
    churns: bool,
) -> Result<Vec<Option<IpAddr>>, Usage> {
    for source in &options.source_ip {
        if std::net::TcpListener::bind((*source, 0)).is_err() {
            return Err(Usage(format!(
                "--source-ip {source} is no address of this host; `ip addr` lists those it has"
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
    let ports = host.ports.map_or(USUAL_PORTS, |(first, last)| u32::from(last.saturating_sub(first)) + 1);
    // Linux takes long to find a free port once half of an address's are taken.
    let count = options.connections.div_ceil((ports / 4).max(1)).max(if churns { CHURN_SOURCES } else { 1 });
    let first = u32::from(Ipv4Addr::LOCALHOST);
    if count == 1 {
        Ok(vec![None])
    } else {
        Ok((first..first + count).map(|ip| Some(Ipv4Addr::from(ip).into())).collect())
    }
}

pub(crate) fn connect_options(options: &Options) -> Result<ConnectOptions, Usage> {
    let mut built = ConnectOptions::new();
    if !options.deflate {
        built = built.uncompressed();
    }
    for name in &options.subprotocol {
        built = built.subprotocol(name);
    }
    let origin = options.origin.iter().map(|origin| ("Origin", origin.as_str()));
    let headers = options.header.iter().map(|header| header.split_once(':').unwrap_or((header, "")));
    for (name, value) in headers.chain(origin) {
        let wrong = || Usage(format!("{name:?}: {value:?} is no header: write --header \"Name: value\""));
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        built = built.header(name, value);
    }
    Ok(built)
}

/// Whether connections can be asked for like this. They are never begun.
pub(crate) fn try_out(routes: &[Route]) -> Result<(), Usage> {
    struct Nobody;
    impl Handler for Nobody {
        type Data = ();
    }
    let event_loop = Server::<()>::new(Config::default()).and_then(|server| server.start(Nobody));
    let mut event_loop = event_loop.map_err(|error| Usage(format!("this host lets nobody wait: {error}")))?;
    for Route { url, options } in routes {
        event_loop.clients_mut().connect(url, options).map_err(|error| Usage(format!("{url}: {error}")))?;
    }
    Ok(())
}
