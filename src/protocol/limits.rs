//! The limits and timeouts of one connection.

use crate::parts::HTTP;
use std::time::Duration;

/// The limits and timeouts of one connection. The defaults are safe. Each field says what it costs.
///
/// Timeouts count the time in which the loop runs. They stand still while it is absent for more
/// than 100 ms: its process is stopped, a handler takes long, or the host does not call it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message that is accepted, in bytes. A larger one, or the announcement of one,
    /// fails the connection with 1009. Default 1 MiB. A client can make the server hold this much
    /// while its message arrives, but only as much as it has sent.
    pub max_message: usize,
    /// The most frames of a message, including empty ones. More fail the connection with 1008.
    /// Default 131,072. It costs no memory, and bounds the work that a message can cause.
    pub max_fragments: u32,
    /// The largest request head that is accepted, in bytes. Larger ones get 431. Default 8 KiB,
    /// which is held only while a head arrives in pieces. A head may have 64 headers
    /// ([`MAX_HEADERS`](crate::protocol::MAX_HEADERS)), 64 elements in a list
    /// ([`MAX_ELEMENTS`](crate::protocol::MAX_ELEMENTS)), and 256 cookies
    /// ([`MAX_COOKIES`](crate::protocol::MAX_COOKIES)).
    pub max_head: usize,
    /// The most unsent bytes of one client. A send beyond it is refused, and the client is closed
    /// as a slow consumer. Default 4 MiB, which is held only while a client reads more slowly than
    /// messages are sent to it.
    pub max_unsent: usize,
    /// The watermark of unsent bytes. Above it, the client's own messages are not read until it has
    /// read ours. `on_drain` is called then. Default 64 KiB.
    pub high_water: usize,
    /// The time from accepting a connection to the last byte of its request, however slowly the
    /// bytes arrive. Default 10 s.
    pub handshake_timeout: Duration,
    /// The time from our Close to the peer's answer, and from the last progress of a connection
    /// that is ending to its end. An HTTP response that the peer takes no byte of for this long is
    /// cut off with a reset; for a streamed one, [`write_timeout`](Self::write_timeout) applies
    /// until its body has ended. Default 5 s.
    pub close_timeout: Duration,
    /// The silence after which a ping is sent, and again after each further interval. `None` means
    /// never. Default 50 s, a little less than the minute after which proxies and NATs drop silent
    /// connections.
    pub ping_interval: Option<Duration>,
    /// Whether pings are answered at once, before [`on_ping`](crate::Handler::on_ping) is called.
    /// Default `true`. If it is `false`, the application must answer each ping itself, "as soon as
    /// is practical" (RFC 6455 §5.5.2), with [`Clients::pong`](crate::Clients::pong) and the
    /// payload of the ping. If several have come, it is enough to answer the last one (§5.5.3). A
    /// peer that gets no pong may close. It holds for the servers of
    /// [`Clients::connect`](crate::Clients::connect) as well. It costs nothing.
    pub answer_pings: bool,
    /// The silence after which a client is closed. Any byte ends the silence. `None` means
    /// never. Default 120 s: two pings without an answer. A ping that could not be sent in time is
    /// sent first. The silence of a client that the server does not read does not count.
    pub idle_timeout: Option<Duration>,
    /// The time from a message's first byte to its last. `None` means no limit. Default 120 s. Time
    /// in which the server does not read the client does not count.
    pub message_timeout: Option<Duration>,
    /// The time after which a client is closed that takes none of its unsent bytes. `None` means
    /// never. Default 30 s.
    pub write_timeout: Option<Duration>,
    /// The maximum lifetime of a connection, after which it is closed with 1001. Default
    /// `None`, no limit. It costs an allocation for each connection, so that an idle one takes
    /// about 250 bytes instead of 56.
    pub max_lifetime: Option<Duration>,
    /// HTTP beside WebSocket. Default `None`: each connection answers one request, which must have
    /// no body, and then closes or becomes a WebSocket.
    pub http: Option<Http>,
}

/// HTTP beside WebSocket: requests with a body, and several requests on one connection. The
/// application gets each request in [`on_request`](crate::Handler::on_request), with its whole
/// [body](crate::Request::body).
///
/// ```
/// use lariat::{Config, Http};
///
/// let mut config = Config::default();
/// let mut http = Http::default();
/// http.max_body = 1 << 20;
/// config.limits.http = Some(http);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http {
    /// The longest body of a request, in bytes. Longer ones get 413, which a page of another origin
    /// cannot read: the library's own responses have no CORS headers. Default 64 KiB, which a
    /// connection holds only while a body arrives. It must arrive within
    /// [`handshake_timeout`](Limits::handshake_timeout) from the first byte of its request.
    pub max_body: usize,
    /// The most requests of one connection. The last one closes it. Default 100. 1 closes each
    /// connection after its first response.
    pub max_requests: u32,
    /// The time that a connection waits for its next request. Default 5 s.
    pub keep_alive: Duration,
}

impl Default for Http {
    fn default() -> Http {
        HTTP.use_it();
        Http { max_body: 64 << 10, max_requests: 100, keep_alive: Duration::from_secs(5) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_message: 1 << 20,
            max_fragments: 1 << 17,
            max_head: 8 << 10,
            max_unsent: 4 << 20,
            high_water: 64 << 10,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            ping_interval: Some(Duration::from_secs(50)),
            answer_pings: true,
            idle_timeout: Some(Duration::from_secs(120)),
            message_timeout: Some(Duration::from_secs(120)),
            write_timeout: Some(Duration::from_secs(30)),
            max_lifetime: None,
            http: None,
        }
    }
}
