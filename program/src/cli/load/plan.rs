//! What follows from the options: whom to connect to, from where, and what to send when?

use super::super::doctor::{self, Ask, Finding, Host, Side};
use super::expect::Bound;
use super::message::Payload;
use super::options::Options;
use super::report::Asked;
use lariat::http::{HeaderName, HeaderValue, Uri};
use lariat::{Config, ConnectOptions, Handler, Server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// The options make no sense; what would.
#[derive(Debug)]
pub(super) struct Usage(pub(super) String);

/// A run, before it begins.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether all servers are on this host.
    pub(super) is_local: bool,
    /// For each URL and source.
    pub(super) routes: Vec<Route>,
    /// Of this process.
    pub(super) connections: u32,
    /// The number of this process's first connection.
    pub(super) first_number: u32,
    pub(super) opening: Opening,
    pub(super) hold: Duration,
    pub(super) duration: Option<Duration>,
    pub(super) timeout: Duration,
    pub(super) ping: Option<Duration>,
    pub(super) mode: Mode,
    pub(super) pace: Pace,
    pub(super) payload: Payload,
    pub(super) churn: Option<Churn>,
    pub(super) until: Option<Bound>,
    pub(super) deflate: bool,
    pub(super) seed: u64,
    pub(super) asked: Asked,
}

/// One way to a server.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) url: String,
    pub(super) options: ConnectOptions,
}

/// How connections are begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Opening {
    /// As fast as the server takes them, so many under way.
    AtOnce(u32),
    /// Per second.
    Rate(f64),
}

/// What is done with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Hold,
    Send,
    Echo,
    Subscribe,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// When the last has come back, so many on the way.
    Depth(u32),
    /// Per second, whatever comes back.
    Rate(f64),
}

/// How connections come and go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Churn {
    /// Per second.
    Rate(f64),
    /// Each as soon as it is open.
    Max,
}

/// Of 127.0.0.0/8, as long as the host says nothing else.
const USUAL_PORTS: u32 = 28_232;

/// Sources on loopback for connections that come and go: the port of a closed one is not free for a
/// minute.
const CHURN_SOURCES: u32 = 64;

impl Plan {
    /// Looks names up, too.
    pub(super) fn new(options: &Options, host: &Host) -> Result<Plan, Usage> {
        let addresses = options.urls.iter().map(|url| find(url)).collect::<Result<Vec<_>, _>>()?;
        let (part, parts) = worker(options)?;
        let churn = options.churn.as_deref().map(churn).transpose()?;
        let sources = sources(options, host, &addresses, churn.is_some())?;
        let base = connect_options(options)?;
        let route = |(url, address): (&String, &SocketAddr), source: &Option<IpAddr>| {
            let options = base.clone().address(*address);
            let options = source.map_or_else(|| options.clone(), |source| options.clone().source(source));
            Route { url: url.clone(), options }
        };
        let targets = || options.urls.iter().zip(&addresses);
        let routes: Vec<Route> =
            sources.iter().flat_map(|source| targets().map(move |target| route(target, source))).collect();
        try_out(&routes)?;
        let mode = mode(options);
        let payload = payload(options)?;
        let pace = pace(options, mode)?;
        let hold = options.hold.unwrap_or(Duration::from_secs(if options.until.is_some() { 3 } else { 10 }));
        check(options, mode, churn)?;
        let share = |all: u32, part: u32| (u64::from(all) * u64::from(part) / u64::from(parts)) as u32;
        let (first_number, end) = (share(options.connections, part), share(options.connections, part + 1));
        let each = |rate: f64| rate / f64::from(parts);
        let opening = match (options.rate, options.ramp) {
            (Some(rate), _) => Opening::Rate(each(rate)),
            (None, Some(ramp)) => Opening::Rate(each(f64::from(options.connections) / ramp.as_secs_f64())),
            (None, None) => Opening::AtOnce(options.at_once.div_ceil(parts)),
        };
        let asked = asked(options, mode, pace, &payload, hold);
        Ok(Plan {
            is_local: addresses.iter().all(|address| is_local(*address)),
            addresses,
            routes,
            connections: end - first_number,
            first_number,
            opening,
            hold,
            duration: options.duration,
            timeout: options.timeout,
            ping: options.ping,
            mode,
            pace: match pace {
                Pace::Rate(rate) => Pace::Rate(each(rate)),
                Pace::Depth(depth) => Pace::Depth(depth),
            },
            payload,
            churn: churn.map(|churn| match churn {
                Churn::Rate(rate) => Churn::Rate(each(rate)),
                Churn::Max => Churn::Max,
            }),
            until: options.until,
            deflate: options.deflate,
            seed: options.seed,
            asked,
        })
    }

    /// What the host says to so many connections.
    pub(super) fn findings(&self, options: &Options, host: &Host) -> Vec<Finding> {
        let spreads = options.source_ip.is_empty() && self.addresses.iter().all(spreads);
        let ask = Ask {
            connections: Some(options.connections.into()),
            side: if self.is_local { Side::Both } else { Side::Client },
            routes: (!spreads).then_some(self.routes.len() as u64),
            processes: options.processes.into(),
        };
        doctor::findings(host, &ask)
    }
}

/// Where a URL's server is.
fn find(url: &str) -> Result<SocketAddr, Usage> {
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
fn is_local(address: SocketAddr) -> bool {
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
fn spreads(address: &SocketAddr) -> bool {
    cfg!(target_os = "linux") && address.is_ipv4() && address.ip().is_loopback()
}

/// Where to connect from; `None`: the kernel chooses.
fn sources(
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

fn connect_options(options: &Options) -> Result<ConnectOptions, Usage> {
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
fn try_out(routes: &[Route]) -> Result<(), Usage> {
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

const fn mode(options: &Options) -> Mode {
    match (options.echo, options.subscribe, &options.messages_per_second, options.until) {
        (true, _, _, _) => Mode::Echo,
        (_, true, _, _) => Mode::Subscribe,
        (_, _, Some(_), None) => Mode::Send,
        // A bound needs something that comes back.
        (_, _, _, Some(_)) => Mode::Echo,
        (_, _, None, None) => Mode::Hold,
    }
}

fn pace(options: &Options, mode: Mode) -> Result<Pace, Usage> {
    let Some(text) = &options.messages_per_second else {
        // A search begins somewhere.
        let start = if mode == Mode::Subscribe { 1.0 } else { 1_000.0 };
        return Ok(if options.until.is_some() { Pace::Rate(start) } else { Pace::Depth(options.depth) });
    };
    let (number, factor) = match text.strip_suffix("/connection") {
        Some(number) => (number, f64::from(options.connections)),
        None => (text.as_str(), 1.0),
    };
    let rate =
        super::super::units::rate(number).map_err(|why| Usage(format!("--messages-per-second {text}: {why}")))?;
    Ok(Pace::Rate(rate * factor))
}

fn churn(text: &str) -> Result<Churn, Usage> {
    if text == "max" {
        return Ok(Churn::Max);
    }
    let rate = super::super::units::rate(text).map_err(|why| Usage(format!("--churn {text}: {why}, or max")))?;
    Ok(Churn::Rate(rate))
}

fn payload(options: &Options) -> Result<Payload, Usage> {
    let Some(message) = &options.message else {
        return Ok(Payload::random(options.size, options.binary, options.seed));
    };
    let path = std::path::Path::new(message);
    let content = if path.is_file() {
        std::fs::read(path).map_err(|error| Usage(format!("cannot read {message}: {error}")))?
    } else {
        message.clone().into_bytes()
    };
    Payload::new(content, options.binary).map_err(Usage)
}

/// What cannot be combined.
fn check(options: &Options, mode: Mode, churn: Option<Churn>) -> Result<(), Usage> {
    let several = options.processes > 1;
    let wrong = [
        (mode == Mode::Subscribe && churn.is_some(), "--subscribe and --churn: who receives would not be known"),
        (mode == Mode::Subscribe && several, "--subscribe and --processes: one process has to see all receivers"),
        (options.until.is_some() && several, "--until and --processes: one process has to judge each rate"),
        (options.until.is_some() && churn.is_some(), "--until and --churn: search with steady connections"),
        (churn == Some(Churn::Max) && mode != Mode::Hold, "--churn max and messages: no connection lives long enough"),
        (mode == Mode::Subscribe && options.connections < 2, "--subscribe needs at least --connections 2"),
        (options.processes > options.connections, "there are more --processes than --connections"),
    ];
    match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, why)) => Err(Usage(format!("cannot be done: {why}"))),
        None => Ok(()),
    }
}

/// Which of how many processes this is.
fn worker(options: &Options) -> Result<(u32, u32), Usage> {
    let Some(text) = &options.worker else { return Ok((0, 1)) };
    let parts = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    parts.filter(|(part, parts)| part < parts).ok_or_else(|| Usage(format!("--worker {text} is not I/K")))
}

fn asked(options: &Options, mode: Mode, pace: Pace, payload: &Payload, hold: Duration) -> Asked {
    let sends = mode != Mode::Hold;
    let ramp = options.ramp.map(|ramp| f64::from(options.connections) / ramp.as_secs_f64());
    Asked {
        urls: options.urls.clone(),
        connections: options.connections.into(),
        mode: match mode {
            Mode::Hold => "hold",
            Mode::Send => "send",
            Mode::Echo => "echo",
            Mode::Subscribe => "subscribe",
        },
        rate: options.rate.or(ramp),
        hold_s: hold.as_secs_f64(),
        messages_per_second: match pace {
            Pace::Rate(rate) if sends && options.until.is_none() => Some(rate),
            _ => None,
        },
        depth: match pace {
            Pace::Depth(depth) if sends => Some(depth),
            _ => None,
        },
        message_bytes: if sends { payload.len() as u64 } else { 0 },
        binary: payload.is_binary(),
        deflate: options.deflate,
        churn: options.churn.clone(),
        until: options.until.map(|bound| bound.to_string()),
        processes: options.processes,
        seed: options.seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn plan(arguments: &[&str]) -> Result<Plan, String> {
        let line = ["load"].iter().chain(arguments).chain(&["ws://127.0.0.1:9/"]).copied();
        let options = Line::try_parse_from(line).map_err(|error| error.to_string())?.options;
        let host = Host { ports: Some((30_000, 39_999)), ..Host::default() };
        Plan::new(&options, &host).map_err(|Usage(why)| why)
    }

    fn refusal(arguments: &[&str]) -> String {
        plan(arguments).map(|_| ()).expect_err("it makes no sense")
    }

    #[test]
    fn options_become_a_plan() {
        let hold = plan(&[]).expect("it makes sense");
        assert_eq!((hold.mode, hold.connections, hold.opening), (Mode::Hold, 100, Opening::AtOnce(128)));
        let echo = plan(&["--echo", "--pipeline", "32", "-c", "4"]).expect("it makes sense");
        assert_eq!((echo.mode, echo.pace), (Mode::Echo, Pace::Depth(32)));
        let send = plan(&["-m", "0.5/connection", "-c", "10", "--ramp", "5s"]).expect("it makes sense");
        assert_eq!((send.mode, send.pace, send.opening), (Mode::Send, Pace::Rate(5.0), Opening::Rate(2.0)));
        let churn = plan(&["--churn", "30/m"]).expect("it makes sense");
        assert_eq!((churn.churn, churn.routes.len()), (Some(Churn::Rate(0.5)), 64));
        let until = plan(&["--until", "p99<5ms"]).expect("it makes sense");
        assert_eq!((until.mode, until.pace), (Mode::Echo, Pace::Rate(1_000.0)));
    }

    #[test]
    fn what_makes_no_sense_is_explained() {
        assert!(refusal(&["wss://example.org/"]).contains("not there yet"));
        assert!(refusal(&["http://127.0.0.1/"]).contains("ws://host:port/path"));
        assert!(refusal(&["--subscribe", "--churn", "5"]).contains("who receives"));
        assert!(refusal(&["--subscribe", "-c", "1"]).contains("--connections 2"));
        assert!(refusal(&["--churn", "often"]).contains("or max"));
        assert!(refusal(&["--echo", "-m", "x"]).contains("500/s"));
        assert!(refusal(&["--echo", "--subscribe"]).contains("cannot be used with"));
        assert!(refusal(&["--header", "a b"]).contains("Name: value"));
        assert!(refusal(&["--source-ip", "192.0.2.1"]).contains("no address of this host"));
        assert!(refusal(&["--processes", "8", "-c", "4"]).contains("more --processes"));
    }

    #[test]
    fn the_connections_of_all_processes_are_those_that_were_asked_for() {
        for (connections, processes) in [(10, 3), (7, 7), (100_001, 6)] {
            let mut next = 0;
            for part in 0..processes {
                let (count, worker) = (format!("{connections}"), format!("{part}/{processes}"));
                let plan = plan(&["-c", &count, "--worker", &worker]).expect("it makes sense");
                assert_eq!(plan.first_number, next);
                next += plan.connections;
            }
            assert_eq!(next, connections);
        }
    }

    #[test]
    fn loopback_has_as_many_addresses_as_it_takes() {
        let sources = |count: &str| plan(&["-c", count]).expect("it makes sense").routes.len();
        let expected = if cfg!(target_os = "linux") { [1, 1, 2, 40] } else { [1; 4] };
        assert_eq!(["1", "2500", "2501", "100000"].map(sources), expected);
    }
}
