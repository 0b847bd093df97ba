//! A fixed number of connections, whose memory is reserved at the start.

use crate::parts::RESERVE;
use crate::protocol::{Limits, reserved_memory};

/// A fixed number of connections. Their memory is reserved when the server starts, and the server
/// allocates nothing for them later. Further connections get 503.
///
/// The limits determine how much a connection can need: [`max_message`](Limits::max_message) or
/// [`max_head`](Limits::max_head), [`max_unsent`](Limits::max_unsent) and
/// [`read_buffer`](crate::Config::read_buffer). All of it is reserved for each connection, so set
/// them first, or begin with [`Config::small`](crate::Config::small).
/// [`Config::reserved_memory`](crate::Config::reserved_memory) returns the sum. The pages are
/// touched: they are in memory from the start.
///
/// These need no further memory: opening handshakes and their refusals, messages in one or several
/// frames, pings, [`send`](crate::Clients::send), [`broadcast`](crate::Clients::broadcast), closing
/// and broken connections, deadlines, pauses, as many timers as are reserved, and
/// [`subscribe`](crate::Clients::subscribe) and [`publish`](crate::Clients::publish) with topics
/// that the handler [keeps](crate::Clients::keep_topic).
///
/// These still allocate: what the handler does itself, a subprotocol, headers of an answer, plain
/// HTTP responses, TLS, [`connect`](crate::Clients::connect), messages that a slow consumer's
/// policy keeps, [`watch_topics`](crate::Clients::watch_topics), calls of a
/// [`Remote`](crate::Remote), a shutdown, traces and the log.
///
/// The memory budget has no effect: the reserved memory is the bound. Compression and HTTP beside
/// WebSocket must be off, and the server has one loop.
///
/// ```
/// use lariat::{Config, Reserve};
///
/// let mut config = Config::default();
/// config.deflate = None;
/// config.limits.max_message = 4 << 10;
/// config.limits.max_unsent = 16 << 10;
/// config.limits.high_water = 8 << 10;
/// config.read_buffer = 4 << 10;
/// config.reserve = Some(Reserve::new(100));
/// assert!(config.validate().is_ok());
/// assert!(config.reserved_memory() < 4 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reserve {
    /// The most connections at a time, in any state. Memory is reserved for a sixteenth more, at
    /// least 4, so that further connections can get their 503. Others wait in the kernel's queue
    /// until one of them has been answered.
    pub connections: usize,
    /// Of how many topics one client can be a member without an allocation. Default 1.
    pub topics_per_client: usize,
    /// How many timers the handler can have without an allocation
    /// ([`set_timer`](crate::Clients::set_timer) and `set_interval`). Default 16.
    pub timers: usize,
    /// How many timers a client can have without an allocation
    /// ([`set_client_timer`](crate::Clients::set_client_timer) and `set_client_interval`). Default 1.
    pub timers_per_client: usize,
}

impl Reserve {
    /// One that is valid, for a configuration without any.
    pub(crate) const NONE: Reserve = Reserve { connections: 1, topics_per_client: 0, timers: 0, timers_per_client: 0 };

    /// Reserves memory for so many connections.
    pub fn new(connections: usize) -> Reserve {
        RESERVE.use_it();
        Reserve { connections, topics_per_client: 1, timers: 16, timers_per_client: 1 }
    }

    /// The most connections in the table, with those that get 503.
    pub(crate) const fn places(&self) -> usize {
        let sixteenth = self.connections / 16;
        self.connections.saturating_add(if sixteenth > 4 { sixteenth } else { 4 })
    }

    /// The timers of the handler and of all clients.
    pub(crate) const fn all_timers(&self) -> usize {
        self.timers.saturating_add(self.places().saturating_mul(self.timers_per_client))
    }

    pub(crate) const fn buffers(&self, limits: &Limits, read_buffer: usize) -> usize {
        reserved_memory(limits, self.places(), read_buffer)
    }
}
