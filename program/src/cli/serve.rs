//! `lariat serve`: serves the site until a signal comes.

use super::certificates::Certificates;
#[cfg(unix)]
use super::handover;
use super::status::StatusLine;
use super::{listen, socket_file};
use crate::doctor::raise_descriptor_limit;
use crate::site::{self, MoreMetrics};
use crate::terminal::{Failure, Log, units};
use lariat::backplane::RedisBackplane;
use lariat::tls::TlsFiles;
use lariat::{Block, Config, Drain, Excess, Http, ListenOptions, LocalAddr, Loops, Outcome, Server, Takeover};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Listen on this address: IP:PORT, HOST:PORT (all addresses of the host) or unix:PATH. With
    /// --tls-cert, clients speak TLS there, unless the address begins with plain: as in
    /// plain:IP:PORT. May be repeated [default: 127.0.0.1:9998 and [::1]:9998]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// The mode of the Unix sockets of --listen, in octal digits like 660: who may write to one may
    /// connect [default: as the umask says]
    #[arg(long, value_name = "MODE", value_parser = socket_file::mode)]
    socket_mode: Option<u32>,
    /// The group of the Unix sockets of --listen, a name or a number [default: the process's own]
    #[arg(long, value_name = "GROUP", value_parser = socket_file::group)]
    socket_group: Option<u32>,
    /// Speak TLS (https:// and wss://) with this certificate, a PEM file with its chain. It is read
    /// again at SIGHUP and when the file changes. May be repeated, with one --tls-key each: clients
    /// see the first that is valid for the name they ask for. `lariat cert` writes one to try
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Vec<PathBuf>,
    /// The private key of the --tls-cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Vec<PathBuf>,
    /// Ask clients for a certificate of the authorities in this PEM file, and verify those that
    /// have one
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Serve with this many event loops, each in a thread of its own; auto means as many as there
    /// are cores. Connections go to the loop that has the fewest. Those of chat, editor, arena,
    /// ticker and console all go to the first loop, because they share state
    #[arg(long, value_name = "N", default_value = "1", value_parser = loops)]
    loops: usize,
    /// With several loops, give each a listening socket of its own (SO_REUSEPORT), so that the
    /// kernel distributes the connections
    #[arg(long)]
    reuse_port: bool,
    /// Share /broadcast, /chat and /editor with all servers that use this Redis:
    /// redis://HOST[:PORT][/DB], or rediss:// for TLS. Repeat it to name others with the same data,
    /// such as replicas, for the case that one fails. A URL with a password does not belong on a
    /// command line, which others can read: write it into LARIAT_REDIS instead
    #[arg(long, value_name = "URL")]
    redis: Vec<String>,
    /// What all keys and channels in Redis begin with. Servers share with those of the same prefix
    #[arg(long, value_name = "TEXT", default_value = DEFAULT_PREFIX)]
    redis_prefix: String,
    /// How much may wait to be published while Redis cannot be reached; with 0, it is dropped
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = units::size)]
    redis_buffer: usize,
    /// The largest message that is accepted, like 65536 or 64KiB
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = units::size)]
    max_message: usize,
    /// The largest head of a request, with all its cookies; larger ones get 431
    #[arg(long, value_name = "SIZE", default_value = "8KiB", value_parser = units::size)]
    max_head: usize,
    /// The most connections at a time; others are refused with 503 [default: as many as there are
    /// descriptors]
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// The memory of all clients together. Near this limit, the server stops reading from the
    /// clients that hold most of it; at the limit, it closes them with 1013
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size)]
    memory_budget: usize,
    /// The most connections from one address at a time (IPv6: from one /64 network); others are
    /// refused with 429
    #[arg(long, value_name = "N")]
    max_connections_per_address: Option<u32>,
    /// The most opening handshakes per second; others are refused with 503
    #[arg(long, value_name = "N")]
    max_handshakes_per_second: Option<u32>,
    /// The most messages per second from one client; a client that sends more is delayed
    #[arg(long, value_name = "N")]
    max_messages_per_second: Option<u32>,
    /// The most bytes per second from one client; a client that sends more is delayed
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    max_bytes_per_second: Option<usize>,
    /// Close clients that exceed their rate with 1008, instead of delaying them
    #[arg(long)]
    close_excess: bool,
    /// Never compress messages, even if clients offer it
    #[arg(long)]
    no_deflate: bool,
    /// Let compressed messages refer to earlier ones. This takes up to 420 KiB per connection, and
    /// at most SIZE in total
    #[arg(long, value_name = "SIZE", value_parser = units::size, conflicts_with = "no_deflate")]
    deflate_contexts: Option<usize>,
    /// Trust X-Forwarded-For from these proxies: an address, or a block like 10.0.0.0/8. May be
    /// repeated
    #[arg(long, value_name = "BLOCK")]
    trust_proxy: Vec<Block>,
    /// Require a header of the PROXY protocol (v1 or v2) at the start of each connection, from one
    /// of --trust-proxy
    #[arg(long, requires = "trust_proxy")]
    proxy_protocol: bool,
    /// Let pages of this origin (scheme://host:port) open the sockets of the site's apps. May be
    /// repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<site::Origin>,
    /// Answer requests for this host that arrive on a loopback address, as from a proxy on this
    /// machine, besides those for localhost and IP addresses. Others get 421, so that no foreign
    /// page can point its own name to this server. May be repeated; * is every host
    #[arg(long, value_name = "HOST", value_parser = host)]
    allow_host: Vec<String>,
    /// Let the next `lariat serve` with this option take over all connections, and take them over
    /// from the one that runs. PATH is a Unix socket for that, with the mode 600. SIGUSR2 starts
    /// the program's file again with the same options, which takes over
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    handover: Option<PathBuf>,
    /// For teaching: let the page /loop, opened on this host, slow down or stop the event loop and
    /// read the messages of other clients
    #[arg(long)]
    teach: bool,
    /// For a class, with --teach: learners enter a name at /learn. The page /learn/class, opened on
    /// this host, shows what each of them answers, and holds the loop for all
    #[arg(long, requires = "teach")]
    classroom: bool,
}

/// Reads a host of `--allow-host`.
fn host(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text == "*" || (!text.is_empty() && text.bytes().all(is_name)) {
        return Ok(text.to_owned());
    }
    Err("a host has no scheme, no port and no path; write one like app.example, or *".to_owned())
}

/// Reads a number of `--loops`.
fn loops(text: &str) -> Result<usize, String> {
    let most = Loops::<()>::MOST;
    if text == "auto" {
        // Where that is not known, one loop works.
        return Ok(std::thread::available_parallelism().map_or(1, usize::from).min(most));
    }
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("write a number from 1 to {most}, or auto"))
}

/// The bytes that may wait for a client, besides one message of the largest size.
const SLACK: usize = 4 << 20;

/// The prefix of keys and channels in Redis.
const DEFAULT_PREFIX: &str = "lariat";

/// The longest body of a request, in bytes: a message to the chat.
const LONGEST_BODY: usize = 8 << 10;

impl Options {
    fn config(&self) -> Config {
        let mut config = Config::default();
        config.limits.max_message = self.max_message;
        config.limits.max_unsent = self.max_message.saturating_add(SLACK);
        config.limits.max_head = self.max_head;
        // The chat takes messages of scripts. Each response closes its connection.
        let mut http = Http::default();
        (http.max_body, http.max_requests) = (LONGEST_BODY, 1);
        config.limits.http = Some(http);
        config.memory_budget = self.memory_budget;
        config.max_connections = self.max_connections;
        config.max_connections_per_address = self.max_connections_per_address;
        config.handshakes_per_second = self.max_handshakes_per_second;
        config.rates.messages_per_second = self.max_messages_per_second;
        config.rates.bytes_per_second = self.max_bytes_per_second.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        config.rates.excess = if self.close_excess { Excess::Close } else { Excess::Delay };
        if self.no_deflate {
            config.deflate = None;
        }
        if let (Some(size), Some(deflate)) = (self.deflate_contexts, &mut config.deflate) {
            deflate.context_takeover = Takeover::Both;
            deflate.max_context_bytes = size;
        }
        config.trusted_proxies = self.trust_proxy.iter().copied().collect();
        config
    }

    /// Returns the Redis that servers share, if there is one. URLs in the environment are separated
    /// by spaces.
    fn backplane(&self) -> Option<RedisBackplane> {
        let from_environment = std::env::var("LARIAT_REDIS").unwrap_or_default();
        let in_environment = from_environment.split_whitespace().map(str::to_owned);
        let mut urls = self.redis.iter().cloned().chain(in_environment);
        let first = RedisBackplane::new(urls.next()?);
        let all = urls.fold(first, RedisBackplane::also);
        Some(all.prefix(&self.redis_prefix).buffer(self.redis_buffer))
    }

    /// Returns whether processes hand over to one another.
    #[cfg(unix)]
    const fn is_handed_over(&self) -> bool {
        self.handover.is_some()
    }

    #[cfg(not(unix))]
    const fn is_handed_over(&self) -> bool {
        false
    }

    /// Returns the files with certificates, if there are any.
    fn tls_files(&self) -> Option<TlsFiles> {
        if self.tls_cert.is_empty() {
            return None;
        }
        let mut files = TlsFiles::default();
        files.pairs = self.tls_cert.iter().cloned().zip(self.tls_key.iter().cloned()).collect();
        files.client_ca.clone_from(&self.tls_client_ca);
        Some(files)
    }

    /// Checks the options against each other, and names them as the command line does.
    fn check(&self, config: &Config) -> Result<(), Failure> {
        let has_file = self.socket_mode.is_some() || self.socket_group.is_some();
        let is_unix = |address: &String| address.strip_prefix("plain:").unwrap_or(address).starts_with("unix:");
        if has_file && !self.listen.iter().any(is_unix) {
            let problem = "--socket-mode and --socket-group are for the file of a Unix socket: add --listen unix:PATH";
            return Err(Failure(problem.to_owned()));
        }
        if self.backplane().is_none() && (self.redis_prefix != DEFAULT_PREFIX || self.redis_buffer > 0) {
            let problem = "--redis-prefix and --redis-buffer need a Redis: add --redis, or set LARIAT_REDIS";
            return Err(Failure(problem.to_owned()));
        }
        if self.tls_cert.len() != self.tls_key.len() {
            let (certs, keys) = (self.tls_cert.len(), self.tls_key.len());
            return Err(Failure(format!("each --tls-cert needs its own --tls-key: there are {certs} and {keys}")));
        }
        if self.tls_cert.is_empty() && self.listen.iter().any(|address| address.starts_with("plain:")) {
            return Err(Failure(
                "plain: is for addresses beside others with TLS: add --tls-cert, or leave it out".to_owned(),
            ));
        }
        let mut roomy = config.clone();
        roomy.memory_budget = usize::MAX;
        roomy.validate().map_err(|error| Failure(error.to_string()))?;
        let (budget, message) = (units::Size(self.memory_budget), units::Size(self.max_message));
        let (least, most_loops) = match self.loops {
            1 if self.backplane().is_none() => (config.least_memory_budget(), String::new()),
            count => (config.least_memory_budget_of_loops(count), format!(" and --loops {count}")),
        };
        if self.memory_budget < least {
            return Err(Failure(format!(
                "--memory-budget {budget} is too small for --max-message {message}{most_loops}, which needs {}. Raise the first or lower the second",
                units::Size(least)
            )));
        }
        Ok(())
    }
}

pub(crate) fn run(options: &Options, log: &Log) -> Result<ExitCode, Failure> {
    raise_descriptor_limit();
    let config = options.config();
    options.check(&config)?;
    let mut listen_options = ListenOptions::default();
    (listen_options.proxy_protocol, listen_options.reuse_port) = (options.proxy_protocol, options.reuse_port);
    (listen_options.unix_mode, listen_options.unix_group) = (options.socket_mode, options.socket_group);
    let certificates = options.tls_files().map(Certificates::load).transpose()?;
    listen_options.tls = certificates.as_ref().map(|certificates| certificates.tls.clone());
    let failed = |error| Failure(format!("cannot start: {error}"));
    let server = Server::new(config).map_err(failed)?;
    #[cfg(unix)]
    let server = match &options.handover {
        Some(path) => handover::take_over(server, path)?,
        None => server,
    };
    let (server, are_secured) = listen::listen(server, listen_options, &options.listen)?;
    #[cfg(unix)]
    let server = match &certificates {
        // SIGHUP reads the certificates again.
        Some(_) => server.shutdown_on_signals_except_hangup(Drain::default()),
        None => server.shutdown_on_signals(Drain::default()),
    }
    .map_err(failed)?;
    let addresses = server.local_addrs();
    let mut site_options = site::Options::default();
    site_options.allowed_origins.clone_from(&options.allow_origin);
    site_options.allowed_hosts.clone_from(&options.allow_host);
    site_options.teach = options.teach;
    site_options.classroom = options.classroom;
    site_options.more_metrics = certificates.as_ref().map(|certificates| MoreMetrics::new(certificates.metrics()));
    let status = StatusLine::on_terminal(log, server.remote())?;
    let redis = options.backplane();
    let redis = redis.as_ref().map(|redis| (redis, &*options.redis_prefix));
    if redis.is_some() && options.is_handed_over() {
        log::warn!("no other process will be able to take over: a server with --redis cannot hand over");
    }
    let mut lines = announcement(&addresses, &are_secured, redis);
    if options.classroom {
        lines += &class_lines(&addresses, are_secured.first() == Some(&true));
    }
    let is_main = options.is_handed_over();
    let outcome = serve(server, options, &site_options, move || announce(&lines, is_main))?;
    drop(status);
    if outcome.replaced {
        log::info!("connections that another process has taken over: {}", outcome.handed_over);
    }
    if outcome.interrupted {
        return Err(Failure(format!("interrupted; connections that were still open: {}", outcome.dropped)));
    }
    if outcome.dropped > 0 {
        log::warn!("connections that did not close in time and were dropped: {}", outcome.dropped);
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves the site, until the server has stopped. Calls `announce` when this process serves.
fn serve(
    server: Server<()>,
    options: &Options,
    site_options: &site::Options,
    announce: impl FnOnce() + Send + 'static,
) -> Result<Outcome, Failure> {
    let make = || site::Site::new(site_options);
    let (loops, redis) = (options.loops, options.backplane());
    let cannot_start = |error: io::Error| Failure(format!("cannot start: {error}"));
    let failed = |error: io::Error| match is_handover(&error) {
        true => cannot_start(error),
        false => Failure(format!("the event loop has failed: {error}")),
    };
    if loops == 1 && redis.is_none() {
        let mut event_loop = server.start(make()).map_err(cannot_start)?;
        announce();
        return event_loop.run().map_err(failed);
    }
    let mut server = server.loops(loops).map_err(cannot_start)?;
    if let Some(redis) = redis {
        server = server.backplane(redis).map_err(cannot_start)?;
    }
    // In the first turn.
    server.remote().run(|_| announce()).map_err(|error| Failure(format!("cannot start: {error}")))?;
    server.run(make).map_err(failed)
}

/// Returns whether the server could not take over.
#[cfg(unix)]
fn is_handover(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<lariat::HandoverError>())
}

#[cfg(not(unix))]
const fn is_handover(_: &io::Error) -> bool {
    false
}

/// Says that this process serves: to the reader of the terminal, and to systemd. After a handover,
/// it `is_main` instead of the one before.
fn announce(lines: &str, is_main: bool) {
    // The reader may have gone.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{lines}").and_then(|()| stdout.flush());
    #[cfg(unix)]
    handover::ready(is_main);
}

/// Returns the addresses, and one to open in a browser. With TLS, a line says who speaks it. With a
/// Redis, the last line says which.
fn announcement(addresses: &[LocalAddr], are_secured: &[bool], redis: Option<(&RedisBackplane, &str)>) -> String {
    let listed = |addresses: &mut dyn Iterator<Item = &LocalAddr>| {
        addresses.map(LocalAddr::to_string).collect::<Vec<_>>().join(" and ")
    };
    let mut line = format!("Lariat listens on {}", listed(&mut addresses.iter()));
    if let Some(host) = browser_host(addresses) {
        let first = addresses.iter().zip(are_secured).find(|(address, _)| matches!(address, LocalAddr::Tcp(_)));
        let scheme = if first.is_some_and(|(_, is_secured)| *is_secured) { "https" } else { "http" };
        line += &format!(": open {scheme}://{host}/ in a browser");
    }
    let with = |tls: bool| {
        let with = addresses.iter().zip(are_secured).filter(move |(_, is_secured)| **is_secured == tls);
        listed(&mut with.map(|(address, _)| address))
    };
    match (with(true), with(false)) {
        (secured, _) if secured.is_empty() => {}
        (secured, plain) if plain.is_empty() => line += &format!("\nWith TLS: {secured}"),
        (secured, plain) => line += &format!("\nWith TLS: {secured}. Without TLS: {plain}"),
    }
    if let Some((redis, prefix)) = redis {
        line += &format!("\nWith other servers: through Redis at {}, prefix {prefix}", redis.addresses().join(" or "));
    }
    line
}

/// Returns the URLs for a class and for its teacher.
fn class_lines(addresses: &[LocalAddr], is_secured: bool) -> String {
    let scheme = if is_secured { "https" } else { "http" };
    let tcp = |address: &LocalAddr| match address {
        LocalAddr::Tcp(address) => Some(*address),
        _ => None,
    };
    let all: Vec<SocketAddr> = addresses.iter().filter_map(tcp).collect();
    let class = match all.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) => {
            let ip = if address.ip().is_unspecified() { own_address(address.is_ipv6()) } else { Some(address.ip()) };
            let host = ip.map_or_else(
                || format!("HOST:{}", address.port()),
                |ip| SocketAddr::new(ip, address.port()).to_string(),
            );
            format!("For the class: {scheme}://{host}/learn")
        }
        None => "For the class: other hosts cannot connect; add --listen 0.0.0.0:9998".to_owned(),
    };
    // The teacher's page must come from a loopback address.
    let teacher = match all.iter().find(|address| address.ip().is_loopback() || address.ip().is_unspecified()) {
        Some(address) => format!("For the teacher, on this host: {scheme}://localhost:{}/learn/class", address.port()),
        None => "For the teacher: no page can be on this host; add --listen 127.0.0.1:9998".to_owned(),
    };
    format!("\n{class}\n{teacher}")
}

/// Returns the address that this host uses towards others. Nothing is sent for it.
fn own_address(is_ipv6: bool) -> Option<IpAddr> {
    // These are addresses for documentation.
    let (any, other) = if is_ipv6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(other).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Returns `localhost` if both of its addresses are served, or else the first address.
fn browser_host(addresses: &[LocalAddr]) -> Option<String> {
    let tcp: Vec<SocketAddr> = addresses
        .iter()
        .filter_map(|address| match address {
            LocalAddr::Tcp(address) => Some(*address),
            _ => None,
        })
        .collect();
    let first = tcp.first()?;
    let serves = |v6| tcp.iter().any(|a| a.port() == first.port() && a.is_ipv6() == v6 && a.ip().is_loopback());
    if serves(false) && serves(true) {
        return Some(format!("localhost:{}", first.port()));
    }
    Some(if first.ip().is_unspecified() { format!("localhost:{}", first.port()) } else { first.to_string() })
}
