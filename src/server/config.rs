//! Every limit, timeout and option of a server, in one place.

use super::reserve::Reserve;
use crate::parts::RESERVE;
use crate::protocol::forwarded::TrustedProxies;
use crate::protocol::time::LONGEST;
#[cfg(feature = "tls")]
use crate::protocol::tls::ServerTls;
use crate::protocol::{CloseCode, Deflate, JOINED, Limits, MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use std::fmt;
use std::io;
use std::time::Duration;

/// The most bytes that the shared compressors (one for each window) and decompressor can take.
const COMPRESSORS: usize = 2 << 20;

/// The most connections whose memory can be reserved.
const MOST_RESERVED: usize = 1 << 20;

/// The most bytes that an allocation can have, and so a process.
const MOST_BYTES: usize = usize::MAX / 2;

/// The limits, timeouts and options of a server. The defaults are safe.
///
/// ```
/// let mut config = lariat::Config::default();
/// config.limits.max_message = 64 << 10;
/// config.max_connections = Some(5_000);
/// assert!(config.validate().is_ok());
/// ```
///
/// [`small`](Config::small) is for hosts with little memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The limits and timeouts of each connection.
    pub limits: Limits,
    /// How messages are compressed for clients that support it. `None` turns compression off.
    /// Default: without context takeover, which costs no memory per connection; `None` in a build
    /// without the feature `deflate`.
    pub deflate: Option<Deflate>,
    /// The most bytes that all clients together may hold: incomplete messages, unsent bytes (HTTP
    /// responses included), request heads, compression contexts and spare buffers. Near the budget,
    /// the server stops reading from the clients that hold the most memory. At the budget, it
    /// refuses upgrades with 503 and closes the clients that hold the most memory with 1013.
    /// Default 64 MiB, at least [`least_memory_budget`](Self::least_memory_budget). Nothing is
    /// reserved. A broadcast takes about 150 bytes for each client until it is written, with the
    /// copy of a short message included, so a server with more than 300,000 clients needs a larger
    /// budget. The budget does not cover the slab's entries (56 bytes each), topics, the read
    /// buffer, the queue of [`Remote`](crate::Remote)s and the kernel's buffers.
    pub memory_budget: usize,
    /// How long a client may be left unread because memory is short. Then it is closed with 1013.
    /// Default 10 s.
    pub pause_timeout: Duration,
    /// The most bytes of one read from a socket, and so the share of one client in one turn (four
    /// times as much while a large frame is incomplete). Default 64 KiB, once for each loop, from
    /// its first connection on.
    pub read_buffer: usize,
    /// The most connections at a time. Beyond it, upgrades and streamed responses get 503. Plain
    /// requests are still answered. A connection counts once its request has arrived; those of
    /// other [loops](crate::Server::loops) count from the start. Default `None`: only the number of
    /// descriptors is a limit.
    pub max_connections: Option<usize>,
    /// The most connections of one address at a time. For IPv6, a network of 64 bits counts as one
    /// address. Behind [`trusted_proxies`](Self::trusted_proxies), the client that they name
    /// counts. Further connections get 429; beyond twice the limit, they are dropped without a
    /// response. Default `None`, no limit. Costs about 10 bytes per connection and 50 per address.
    pub max_connections_per_address: Option<u32>,
    /// The most opening handshakes in a second. A burst may use a second's worth at once. Further
    /// upgrades get 503. Default `None`, no limit.
    pub handshakes_per_second: Option<u32>,
    /// How fast each client may send. Default: no limit.
    pub rates: Rates,
    /// The most connections that are accepted in one turn, so that a storm of new connections does
    /// not delay the open ones. Default 256.
    pub accepts_per_turn: usize,
    /// The most readiness events that are taken from the kernel in one turn. Default 1,024, at 12
    /// to 32 bytes each.
    pub events_per_turn: usize,
    /// The proxies whose statements about a client's address are trusted. Default: none.
    pub trusted_proxies: TrustedProxies,
    /// The header in which trusted HTTP proxies name the client. Only one counts: a proxy forwards
    /// the other one as the client wrote it. Default `X-Forwarded-For`.
    pub forwarded_header: ForwardedHeader,
    /// How many calls of [`Remote`](crate::Remote)s may wait for the loop. Default 65,536.
    pub remote_queue: usize,
    /// A fixed number of connections, whose memory is reserved at the start. Default `None`.
    pub reserve: Option<Reserve>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            limits: Limits::default(),
            deflate: cfg!(feature = "deflate").then(Deflate::default),
            memory_budget: 64 << 20,
            pause_timeout: Duration::from_secs(10),
            read_buffer: 64 << 10,
            max_connections: None,
            max_connections_per_address: None,
            handshakes_per_second: None,
            rates: Rates::default(),
            accepts_per_turn: 256,
            events_per_turn: 1_024,
            trusted_proxies: TrustedProxies::new(),
            forwarded_header: ForwardedHeader::XForwardedFor,
            remote_queue: 1 << 16,
            reserve: None,
        }
    }
}

/// How fast a client may send. Each limit allows a second's worth at once.
///
/// With a limit, 4 KiB are read at a time, so that a client cannot overdraw by much, and 40 bytes
/// are kept for each client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rates {
    /// Messages, pings and pongs per second. Default `None`, no limit.
    pub messages_per_second: Option<u32>,
    /// Bytes per second, as read from the socket. Default `None`, no limit.
    pub bytes_per_second: Option<u32>,
    /// What happens to a client that sends more. Default: it is delayed.
    pub excess: Excess,
}

impl Rates {
    pub(crate) const fn are_off(&self) -> bool {
        self.messages_per_second.is_none() && self.bytes_per_second.is_none()
    }

    pub(crate) fn messages(&self) -> Option<f32> {
        self.messages_per_second.map(|rate| rate as f32)
    }

    pub(crate) fn bytes(&self) -> Option<f32> {
        self.bytes_per_second.map(|rate| rate as f32)
    }
}

/// What happens to a client that sends more than its [`Rates`] allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// The client is not read for a while, so TCP makes it wait. Nothing is lost.
    #[default]
    Delay,
    /// The client is closed with 1008.
    Close,
}

/// The header in which an HTTP proxy names the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, which most proxies use.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Options of a listening socket. The sockets that it accepts inherit them.
///
/// ```
/// let mut options = lariat::ListenOptions::default();
/// options.keepalive = Some(std::time::Duration::from_secs(60));
/// let server = lariat::Server::<()>::new(lariat::Config::default())?.options(options).listen("127.0.0.1:0")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Connections that the kernel completes before they are accepted (`listen(2)`; `somaxconn`
    /// caps it). Default 4,096.
    pub backlog: u32,
    /// Several sockets may listen on the same address (`SO_REUSEPORT`): one for each process, or
    /// for each [loop](crate::Loops) of a server. Only TCP. Default `false`.
    pub reuse_port: bool,
    /// The unspecified IPv6 address also accepts IPv4 connections (`IPV6_V6ONLY` is off). Default
    /// `false`.
    pub dual_stack: bool,
    /// TCP keepalive probes begin after this much silence. Default `None`, no probes, because pings
    /// of the WebSocket protocol do the same and more.
    pub keepalive: Option<Duration>,
    /// A connection breaks when what was written has not been acknowledged for this long
    /// (`TCP_USER_TIMEOUT`; on Linux alone). Default `None`, the kernel's own, about 15
    /// minutes.
    pub user_timeout: Option<Duration>,
    /// Every connection must begin with a header of the PROXY protocol, version 1 or 2, from one of
    /// [`trusted_proxies`](Config::trusted_proxies). Default `false`.
    pub proxy_protocol: bool,
    /// The permission bits of a Unix socket's file, at most `0o777`. Who may write to the file may
    /// connect. `0o660` admits the owner and the group. Default `None`, from the process's umask.
    pub unix_mode: Option<u32>,
    /// The group of a Unix socket's file, by its number. Default `None`, the process's own, or the
    /// folder's.
    pub unix_group: Option<u32>,
    /// Connections begin with TLS, after a header of the PROXY protocol if there is one. Default
    /// `None`.
    #[cfg(feature = "tls")]
    pub tls: Option<ServerTls>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: 4_096,
            reuse_port: false,
            dual_stack: false,
            keepalive: None,
            user_timeout: None,
            proxy_protocol: false,
            unix_mode: None,
            unix_group: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// How clients are closed when the server stops.
///
/// ```
/// use lariat::{CloseCode, Drain};
///
/// let drain = Drain::default().code(CloseCode::Restart).reason("a new version starts");
/// assert_eq!(drain.deadline.as_secs(), 5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drain {
    /// The time over which the Close frames are spread evenly, so that the clients do not all
    /// reconnect at once. Default: zero, all at once.
    pub over: Duration,
    /// The code of the Close frames. Default 1001, going away.
    pub code: CloseCode,
    /// The reason in the Close frames, at most 123 bytes. Default: none.
    pub reason: String,
    /// Clients that have not disconnected this long after the last Close frame are dropped. Default
    /// 5 s.
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain { over: Duration::ZERO, code: CloseCode::Away, reason: String::new(), deadline: Duration::from_secs(5) }
    }
}

impl Drain {
    /// Sets [`over`](#structfield.over).
    #[must_use]
    pub const fn over(mut self, over: Duration) -> Drain {
        self.over = over;
        self
    }

    /// Sets [`code`](#structfield.code).
    #[must_use]
    pub const fn code(mut self, code: CloseCode) -> Drain {
        self.code = code;
        self
    }

    /// Sets [`reason`](#structfield.reason).
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Drain {
        self.reason = reason.into();
        self
    }

    /// Sets [`deadline`](#structfield.deadline).
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Drain {
        self.deadline = deadline;
        self
    }
}

/// The error of a [`Config`] whose fields do not make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    problem: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config::{} {}", self.field, self.problem)
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for std::io::Error {
    fn from(error: ConfigError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
    }
}

impl Config {
    /// Returns a configuration for hosts with 8 to 64 MB of memory: small messages, small buffers,
    /// no compression. All other fields are those of the [default](Config::default).
    ///
    /// | field | value | reason |
    /// |---|--:|---|
    /// | [`limits.max_message`](Limits::max_message) | 16 KiB | commands, sensor values, some JSON |
    /// | [`limits.max_head`](Limits::max_head) | 4 KiB | a browser's request with a few cookies |
    /// | [`limits.max_unsent`](Limits::max_unsent) | 64 KiB | four of the largest messages |
    /// | [`limits.high_water`](Limits::high_water) | 16 KiB | one of them |
    /// | [`deflate`](Config::deflate) | `None` | a compressor takes 420 KiB |
    /// | [`memory_budget`](Config::memory_budget) | 1 MiB | an eighth of the smallest host |
    /// | [`read_buffer`](Config::read_buffer) | 4 KiB | one page, which all clients share |
    /// | [`max_connections`](Config::max_connections) | 1,000 | 56 KiB of entries |
    /// | [`accepts_per_turn`](Config::accepts_per_turn) | 32 | a slower processor |
    /// | [`events_per_turn`](Config::events_per_turn) | 64 | 768 bytes |
    /// | [`remote_queue`](Config::remote_queue) | 256 | no other thread can fill the memory |
    ///
    /// # The worst case
    ///
    /// Whatever clients do, one loop holds at most the memory budget (1 MiB), an entry of 56 bytes
    /// for each connection, the read buffer, and what 256 calls of [`Remote`](crate::Remote)s hold.
    /// With 1,000 clients and no data of the application, that is less than 1.1 MiB beyond the
    /// memory at the start, which is at most 128 KiB in a small program. The allocator's gaps come
    /// on top: an echo server that 1,000 clients attacked grew to 1.7 MiB with glibc (`python3
    /// benches/small.py --attack`). Connections that are not open yet have entries too, and only
    /// the limit of descriptors bounds them (`ulimit -n`).
    ///
    /// The kernel's memory is not in these figures: about 3,700 bytes for an idle TCP socket, and
    /// what is in its buffers (`net.ipv4.tcp_rmem`, `tcp_wmem` and `tcp_mem`). On a host with 8 MB,
    /// choose fewer connections and a smaller [backlog](ListenOptions::backlog):
    ///
    /// ```
    /// use lariat::{Config, ListenOptions, Server};
    ///
    /// let mut config = Config::small();
    /// config.max_connections = Some(100);
    /// let mut options = ListenOptions::default();
    /// options.backlog = 16;
    /// let server = Server::<()>::new(config)?.options(options).listen("127.0.0.1:0")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// The budget has room for larger messages, if there are fewer at a time:
    ///
    /// ```
    /// let mut config = lariat::Config::small();
    /// config.limits.max_message = 128 << 10;
    /// config.limits.max_unsent = 256 << 10;
    /// assert!(config.memory_budget >= config.least_memory_budget());
    /// ```
    ///
    /// With several [loops](crate::Server::loops), each has a share of the budget, and a read
    /// buffer and a thread of its own.
    #[must_use]
    pub fn small() -> Config {
        let limits = Limits {
            max_message: 16 << 10,
            max_head: 4 << 10,
            max_unsent: 64 << 10,
            high_water: 16 << 10,
            ..Limits::default()
        };
        Config {
            limits,
            deflate: None,
            memory_budget: 1 << 20,
            read_buffer: 4 << 10,
            max_connections: Some(1_000),
            accepts_per_turn: 32,
            events_per_turn: 64,
            remote_queue: 256,
            ..Config::default()
        }
    }

    /// Returns how many bytes one step can add: a message that the application holds, and what one
    /// read becomes.
    pub(crate) const fn step_reserve(&self) -> usize {
        self.limits.max_message.saturating_add(self.read_buffer.saturating_mul(2))
    }

    /// Returns the smallest [`memory_budget`](Self::memory_budget) that makes sense with the other
    /// fields, in bytes. It has room for what one step can add (a message that the application
    /// holds, and what one read becomes), for one client that uses its limits, and for the shared
    /// buffers and compressors.
    pub const fn least_memory_budget(&self) -> usize {
        let max_body = match &self.limits.http {
            Some(http) => http.max_body,
            None => 0,
        };
        let largest = if self.limits.max_message > max_body { self.limits.max_message } else { max_body };
        let one_client = largest.saturating_add(self.limits.max_unsent);
        let compressors = if self.deflate.is_some() { COMPRESSORS } else { 0 };
        let all = self.step_reserve().saturating_add(one_client).saturating_add(JOINED + compressors);
        // A sixteenth is for spare buffers.
        all.saturating_add(all / 15 + 1)
    }

    /// Returns the smallest [`memory_budget`](Self::memory_budget) for so many
    /// [loops](crate::Server::loops), in bytes: an equal share for each, of which an eighth is for
    /// messages of the others.
    pub const fn least_memory_budget_of_loops(&self, loops: usize) -> usize {
        let least = self.least_memory_budget();
        (least + least / 7 + 8).saturating_mul(loops)
    }

    /// Divides the memory budget between so many loops, and keeps one loop's share. Returns how
    /// many bytes of others' messages may wait for each.
    ///
    /// # Errors
    ///
    /// The budget is too small for so many.
    pub(crate) fn divide_memory_budget(&mut self, loops: usize) -> io::Result<usize> {
        let (budget, least) = (self.memory_budget, self.least_memory_budget_of_loops(loops));
        let share = budget / loops;
        let most_waiting = share / 8;
        self.memory_budget = share - most_waiting;
        if self.validate().is_err() {
            let problem = format!("{loops} loops need a Config::memory_budget of at least {least} bytes, not {budget}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(most_waiting)
    }

    /// Checks whether the fields make sense together.
    ///
    /// # Errors
    ///
    /// Names the first field that does not, and the reason.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let timeouts = [
            ("limits.handshake_timeout", Some(limits.handshake_timeout)),
            ("limits.close_timeout", Some(limits.close_timeout)),
            ("limits.ping_interval", limits.ping_interval),
            ("limits.idle_timeout", limits.idle_timeout),
            ("limits.message_timeout", limits.message_timeout),
            ("limits.write_timeout", limits.write_timeout),
            ("limits.max_lifetime", limits.max_lifetime),
            ("limits.http.keep_alive", limits.http.as_ref().map(|http| http.keep_alive)),
            ("pause_timeout", Some(self.pause_timeout)),
        ];
        for (field, timeout) in timeouts {
            if timeout.is_some_and(|timeout| timeout < Duration::from_millis(1) || timeout > LONGEST) {
                return Err(ConfigError { field, problem: "must lie between a millisecond and 12 days" });
            }
        }
        let checks = [
            ("limits.max_message", limits.max_message == 0, "must be at least 1 byte"),
            ("limits.max_fragments", limits.max_fragments == 0, "must be at least 1 frame"),
            ("limits.max_head", limits.max_head < 256, "must be at least 256 bytes: a handshake takes about 200"),
            (
                "limits.high_water",
                limits.high_water > limits.max_unsent,
                "must not be above limits.max_unsent: a slow client would be closed before it is paused",
            ),
            ("read_buffer", !(1_024..=1 << 30).contains(&self.read_buffer), "must lie between 1 KiB and 1 GiB"),
            (
                "memory_budget",
                self.reserve.is_none() && self.memory_budget < self.least_memory_budget(),
                "is smaller than Config::least_memory_budget(): raise it, or lower limits.max_message and limits.max_unsent",
            ),
            (
                "limits.http.max_requests",
                limits.http.as_ref().is_some_and(|http| http.max_requests == 0),
                "must be at least 1",
            ),
            ("max_connections_per_address", self.max_connections_per_address == Some(0), "must be at least 1"),
            ("handshakes_per_second", self.handshakes_per_second == Some(0), "must be at least 1"),
            ("rates.messages_per_second", self.rates.messages_per_second == Some(0), "must be at least 1"),
            ("rates.bytes_per_second", self.rates.bytes_per_second == Some(0), "must be at least 1"),
            ("accepts_per_turn", self.accepts_per_turn == 0, "must be at least 1"),
            ("events_per_turn", !(1..=1 << 20).contains(&self.events_per_turn), "must lie between 1 and 1,048,576"),
            ("remote_queue", self.remote_queue == 0, "must be at least 1"),
        ];
        let checks = self.check_reserve().into_iter().chain(checks);
        let deflate = self.deflate.iter().flat_map(check_deflate);
        match checks.chain(deflate).find(|(_, wrong, _)| *wrong) {
            Some((field, _, problem)) => Err(ConfigError { field, problem }),
            None => Ok(()),
        }
    }
}

impl Config {
    /// Returns about how many bytes [`reserve`](Self::reserve) takes at the start: the buffers of
    /// all connections. What else a connection has is about 600 bytes. 0 without a reserve.
    pub const fn reserved_memory(&self) -> usize {
        match &self.reserve {
            Some(reserve) => reserve.buffers(&self.limits, self.read_buffer),
            None => 0,
        }
    }

    /// Fields, whether they are wrong, and why.
    fn check_reserve(&self) -> [(&'static str, bool, &'static str); 7] {
        const MANY: &str = "must be at most 65,536";
        let reserve = self.reserve.as_ref().filter(|_| RESERVE.is_used());
        let is_reserved = reserve.is_some();
        let Reserve { connections, topics_per_client, timers, timers_per_client } = *reserve.unwrap_or(&Reserve::NONE);
        [
            ("reserve.connections", !(1..=MOST_RESERVED).contains(&connections), "must lie between 1 and 1,048,576"),
            ("reserve.topics_per_client", topics_per_client > 1 << 16, MANY),
            ("reserve.timers", timers > MOST_RESERVED, "must be at most 1,048,576"),
            ("reserve.timers_per_client", timers_per_client > 1 << 16, MANY),
            ("deflate", is_reserved && self.deflate.is_some(), "must be None with a reserve: compressors allocate"),
            ("limits.http", is_reserved && self.limits.http.is_some(), "must be None with a reserve: bodies allocate"),
            (
                "reserve",
                is_reserved && self.reserved_memory() > MOST_BYTES,
                "needs more memory than a process can have: lower the limits",
            ),
        ]
    }
}

/// Fields, whether they are wrong, and why.
fn check_deflate(deflate: &Deflate) -> [(&'static str, bool, &'static str); 3] {
    let is_window = (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&deflate.max_window_bits);
    [
        ("deflate", !cfg!(feature = "deflate"), "needs a build with the feature of that name: enable it, or set None"),
        ("deflate.level", deflate.level > 9, "must lie between 0 and 9"),
        ("deflate.max_window_bits", !is_window, "must lie between 9 and 15"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_one_is_valid_and_has_room() {
        let config = Config::small();
        assert_eq!(config.validate(), Ok(()));
        let least = config.least_memory_budget();
        assert!(2 * least <= config.memory_budget, "{least}: messages may be larger");
        assert!(config.least_memory_budget_of_loops(4) <= config.memory_budget, "four loops");
    }

    #[test]
    fn the_default_is_valid_and_contradictions_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let mut config = Config::default();
        config.limits.max_unsent = 1_000;
        assert!(config.validate().unwrap_err().to_string().contains("high_water"));
        let mut config = Config::default();
        config.limits.idle_timeout = Some(Duration::ZERO);
        assert!(config.validate().unwrap_err().to_string().contains("idle_timeout"));
        let mut config = Config { deflate: Some(Deflate::default()), ..Config::default() };
        assert_eq!(config.validate().is_ok(), cfg!(feature = "deflate"));
        config.deflate.iter_mut().for_each(|deflate| deflate.max_window_bits = 8);
        assert!(config.validate().unwrap_err().to_string().contains("deflate"));
    }
}
