//! The servers to connect to, and the addresses to connect from.

use super::options::{Options, Usage};
use crate::client::{RequestOptions, is_secure, not_a_url, parse_url};
use crate::doctor::Host;
use crate::load::content::{Names, Rows, Template, Who};
use lariat::http::{HeaderName, HeaderValue};
use lariat::tls::ClientTls;
use lariat::{Config, ConnectOptions, Handler, Server};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// A URL, and from where and how to connect to it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    url: Template,
    options: ConnectOptions,
    /// What differs from connection to connection.
    headers: Vec<(HeaderName, Template)>,
    subprotocols: Vec<Template>,
}

impl Route {
    /// Returns the URL for a connection.
    pub(crate) fn url<'a>(&'a self, buffer: &'a mut String, who: &Who<'_>) -> &'a str {
        self.url.fill_url(buffer, who)
    }

    /// Returns the options for a connection.
    ///
    /// # Errors
    ///
    /// The header whose value cannot be sent, with the value.
    pub(crate) fn options(&self, who: &Who<'_>) -> Result<Cow<'_, ConnectOptions>, String> {
        if self.headers.is_empty() && self.subprotocols.is_empty() {
            return Ok(Cow::Borrowed(&self.options));
        }
        let (mut options, mut buffer) = (self.options.clone(), String::new());
        for subprotocol in &self.subprotocols {
            options = options.subprotocol(subprotocol.fill(&mut buffer, who));
        }
        for (name, template) in &self.headers {
            let value = template.fill(&mut buffer, who);
            let wrong = |_| format!("{name}: {value:?} cannot be sent in a header");
            options = options.header(name.clone(), HeaderValue::from_str(value).map_err(wrong)?);
        }
        Ok(Cow::Owned(options))
    }

    fn is_same_for_all(&self) -> bool {
        self.url.plain().is_some() && self.headers.is_empty() && self.subprotocols.is_empty()
    }

    /// Returns the route to a URL from an address.
    pub(crate) fn new(
        url: &str,
        base: &Route,
        address: SocketAddr,
        source: Option<IpAddr>,
        names: Names<'_>,
    ) -> Result<Route, Usage> {
        let url = Template::new(url, names).map_err(|why| Usage(format!("{url}: {why}")))?;
        let options = base.options.clone().address(address);
        let options = source.map_or_else(|| options.clone(), |source| options.clone().source(source));
        Ok(Route { url, options, ..base.clone() })
    }
}

/// The ports of an address of 127.0.0.0/8, unless the host has another range.
const DEFAULT_PORTS: u32 = 28_232;

/// The source addresses on loopback for connections that are closed and opened again: the port of a
/// closed connection is not free for a minute.
const CHURN_SOURCES: u32 = 64;

/// Returns the address of a URL's server. With `is_unix`, the host need not have one.
pub(crate) fn find(url: &str, is_unix: bool) -> Result<SocketAddr, Usage> {
    let (host, port) = host_and_port(url)?;
    if is_unix {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let resolved = (&*host, port).to_socket_addrs().map_err(|error| {
        Usage(format!(
            "{host} has no address ({error}): check the name, or write an address like ws://127.0.0.1:{port}/"
        ))
    })?;
    let candidates: Vec<SocketAddr> = resolved.collect();
    // A name like localhost has several addresses, and the server may listen on one of them only.
    let answers = |address: &&SocketAddr| TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok();
    let chosen = if candidates.len() > 1 { candidates.iter().find(answers) } else { None };
    chosen.or_else(|| candidates.first()).copied().ok_or_else(|| not_a_url(url))
}

/// Returns all addresses of a URL's server that this host knows, without connecting to it.
pub(super) fn look_up(url: &str) -> Result<Vec<SocketAddr>, Usage> {
    let (host, port) = host_and_port(url)?;
    Ok((&*host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default())
}

fn host_and_port(url: &str) -> Result<(String, u16), Usage> {
    // What is filled in later does not change the host.
    let uri = parse_url(&url.replace(['{', '}'], "_"))?;
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest));
    if authority.contains('{') {
        return Err(Usage(format!("{url:?} has a name in braces in its host or port: these must be the same for all")));
    }
    let host = uri.host().ok_or_else(|| not_a_url(url))?.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(if is_secure(url) { 443 } else { 80 })))
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

/// Returns the TLS of the connections. `None` if there is no `wss://` URL.
pub(super) fn trust(options: &Options) -> Result<Option<ClientTls>, Usage> {
    match options.urls.iter().any(|url| is_secure(url)) {
        true => options.tls.tls(options.resume).map(Some),
        false if options.tls.is_asked() || options.resume => {
            Err(Usage("--ca, --cert, --key, --insecure and --resume are for wss:// URLs".to_owned()))
        }
        false => Ok(None),
    }
}

/// Returns how to connect, whatever the URL.
pub(crate) fn base(options: &Options, names: Names<'_>) -> Result<Route, Usage> {
    let read = |text: &str, of: &str| Template::new(text, names).map_err(|why| Usage(format!("{of} {text}: {why}")));
    let asked = &options.request;
    let subprotocols = asked.subprotocol.iter().map(|name| read(name, "--subprotocol"));
    let mut subprotocols = subprotocols.collect::<Result<Vec<_>, _>>()?;
    let differ = subprotocols.iter().any(|template| template.plain().is_none());
    let (mut plain, mut headers) = (Vec::new(), Vec::new());
    for header in &asked.header {
        let (name, value) = header.split_once(':').unwrap_or((header, ""));
        let template = read(value.trim(), "--header")?;
        match (template.plain(), name.trim().parse::<HeaderName>()) {
            (None, Ok(name)) => headers.push((name, template)),
            // What is wrong with a header is said where all others are read.
            _ => plain.push(header.clone()),
        }
    }
    let subprotocol = if differ { Vec::new() } else { asked.subprotocol.clone() };
    let built = RequestOptions { subprotocol, header: plain, ..asked.clone() }.options()?;
    let built = match trust(options)? {
        Some(tls) => built.tls(tls),
        None => built,
    };
    if !differ {
        subprotocols.clear();
    }
    Ok(Route { url: Template::literal(String::new()), options: built, headers, subprotocols })
}

/// Checks that the library accepts the URLs and options: of each connection whose row of `--data`
/// is another one. No connection is begun.
pub(crate) fn try_out(routes: &[Route], rows: &Rows, connections: u32) -> Result<(), Usage> {
    struct Nobody;
    impl Handler for Nobody {
        type Data = ();
    }
    let event_loop = Server::<()>::new(Config::default()).and_then(|server| server.start(Nobody));
    let mut event_loop =
        event_loop.map_err(|error| Usage(format!("cannot set up an event loop on this host: {error}")))?;
    let mut buffer = String::new();
    for route in routes {
        let differing = if route.is_same_for_all() { 1 } else { rows.len().clamp(1, connections as usize) as u32 };
        for id in 0..differing {
            let who = Who { id, seq: 0, time: 0, seed: 0, rows, variables: &[] };
            let of_row =
                || if rows.len() > 0 && differing > 1 { format!("--data, row {}: ", id + 1) } else { String::new() };
            let options = route.options(&who).map_err(|why| Usage(format!("{}{why}", of_row())))?;
            let url = route.url(&mut buffer, &who);
            let begun = event_loop.clients_mut().connect(url, &options);
            let id = begun.map_err(|error| Usage(format!("{}{url}: {error}", of_row())))?;
            event_loop.clients_mut().terminate(id);
            if differing > 1 {
                let _ = event_loop.turn(Some(Duration::ZERO));
            }
        }
    }
    Ok(())
}
