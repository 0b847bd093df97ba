//! What may one conversation cost, in bytes and in time?

use std::time::Duration;

/// The limits and timeouts of one conversation. Safe by default; each says what it costs.
///
/// Timeouts count the time in which the loop runs. They stand still while it is absent for more
/// than 100 ms: its process is stopped, a handler takes long, or the host does not call it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message that is taken, in bytes, announced or real; larger ones fail the
    /// connection with 1009. Default 1 MiB: a client can make the server hold this much while
    /// its message arrives, never before its bytes come.
    pub max_message: usize,
    /// The most frames in which a message may come, empty ones included; more fail the connection
    /// with 1008. Default 131,072. Costs nothing to hold; bounds the work that a message can make.
    pub max_fragments: u32,
    /// The largest request head that is taken, in bytes; larger ones get 431. Default 8 KiB, held
    /// only while a head arrives in pieces. (The number of headers is limited to 64.)
    pub max_head: usize,
    /// The most bytes that may wait unsent for one client; a send beyond it is refused and the
    /// client closed as a slow consumer. Default 4 MiB, held only while a client reads more
    /// slowly than it is sent to.
    pub max_unsent: usize,
    /// With more unsent bytes than this, the client's own messages are not read until it has read
    /// ours; `on_drain` tells when it has. Default 64 KiB.
    pub high_water: usize,
    /// From accept to the last byte of the request, however slowly it trickles. Default 10 s.
    pub handshake_timeout: Duration,
    /// From our Close to the peer's answer, and from the last progress of a conversation's last
    /// bytes to its end. Default 5 s.
    pub close_timeout: Duration,
    /// A ping is sent after this much silence, and again after as much; `None`: never. Default 50
    /// s, a little less than the minute after which proxies and NATs drop silent connections.
    pub ping_interval: Option<Duration>,
    /// A client is closed after this much silence, any byte counting as life; `None`: never.
    /// Default 120 s: two pings without an answer. If a ping could not be sent in time, it is sent
    /// first. Silence does not count while the server does not read the client.
    pub idle_timeout: Option<Duration>,
    /// From a message's first byte to its last; `None`: no limit. Default 120 s. Time in which the
    /// server does not read the client does not count.
    pub message_timeout: Option<Duration>,
    /// A client is closed that takes nothing of what waits for it for this long; `None`: never.
    /// Default 30 s.
    pub write_timeout: Option<Duration>,
    /// A connection is closed with 1001 when it has lasted this long; `None`: never. Default
    /// `None`. Costs a small allocation for each connection, so that the 64 bytes of an idle
    /// one become about 250.
    pub max_lifetime: Option<Duration>,
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
            idle_timeout: Some(Duration::from_secs(120)),
            message_timeout: Some(Duration::from_secs(120)),
            write_timeout: Some(Duration::from_secs(30)),
            max_lifetime: None,
        }
    }
}
