//! Which parts of Lariat does this program use?
//!
//! A part that a program never asks for should not be in it. Some parts can be reached from every
//! turn of the loop, and the compiler cannot see that nothing ever leads there: a flag of a
//! connection, a list that is always empty. So each of them has a switch here. Its door (the
//! constructor or method through which an application asks for the part) turns it on, and the
//! loop asks it before it goes there. In a program without the door, link-time optimisation finds
//! a switch that nobody turns on, and drops all that lies behind it. `benches/size.py` measures
//! that.
//!
//! A switch is no option: it is on before anything exists that could need the part, and never off
//! again. `tests/parts.rs` opens each door in a process of its own, so a door that forgets its
//! switch fails there.

use std::sync::atomic::{AtomicBool, Ordering};

/// A part that a program may do without.
pub(crate) struct Part(AtomicBool);

impl Part {
    const fn new() -> Part {
        Part(AtomicBool::new(false))
    }

    /// The program asks for it.
    #[inline]
    pub(crate) fn use_it(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the program has asked for it.
    #[inline(always)]
    pub(crate) fn is_used(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Streams of the application's own. The door: [`Clients::adopt`](crate::Clients::adopt).
pub(crate) static ADOPTING: Part = Part::new();

/// Timers that end with a client. The door:
/// [`Clients::set_client_timer`](crate::Clients::set_client_timer) and its kin.
pub(crate) static CLIENT_TIMERS: Part = Part::new();

/// Topics of several servers, and their histories. The door:
/// [`Loops::backplane`](crate::Loops::backplane), or that of a simulation.
pub(crate) static BACKPLANE: Part = Part::new();

/// Connections that we begin, to other servers. The door:
/// [`Clients::connect`](crate::Clients::connect).
pub(crate) static CONNECTING: Part = Part::new();

/// Events of other threads. The door: [`Remote::post`](crate::Remote::post).
pub(crate) static EVENTS: Part = Part::new();

/// Data that an answer gives to its client. The door:
/// [`Upgrade::with_data`](crate::Upgrade::with_data).
pub(crate) static GIVEN_DATA: Part = Part::new();

/// HTTP beyond one request without a body: bodies, further requests, streamed responses. The doors:
/// [`Http::default`](crate::Http) and
/// [`HttpResponse::streamed`](crate::HttpResponse::streamed).
pub(crate) static HTTP: Part = Part::new();

/// Several loops. The door: [`Server::loops`](crate::Server::loops).
pub(crate) static LOOPS: Part = Part::new();

/// Changes of memberships in topics, told to handlers. The door:
/// [`Clients::watch_topics`](crate::Clients::watch_topics).
pub(crate) static MEMBERSHIPS: Part = Part::new();

/// Clients with rates of their own. The door: [`Clients::set_rates`](crate::Clients::set_rates).
pub(crate) static OWN_RATES: Part = Part::new();

/// Clients that the application pauses. The door: [`Clients::pause`](crate::Clients::pause).
pub(crate) static PAUSES: Part = Part::new();

/// Messages in pieces, as they arrive. The door:
/// [`Clients::receive_in_pieces`](crate::Clients::receive_in_pieces).
pub(crate) static PIECES: Part = Part::new();

/// The PROXY protocol and forwarded addresses. The door: proxies that are
/// [trusted](crate::TrustedProxies).
pub(crate) static PROXIES: Part = Part::new();

/// Memory that is reserved at the start. The door: [`Reserve::new`](crate::Reserve::new).
pub(crate) static RESERVE: Part = Part::new();

/// Calls of other threads that name their route. The door:
/// [`Remote::on_route`](crate::Remote::on_route).
pub(crate) static ROUTE_PATTERNS: Part = Part::new();

/// Clients for which messages are dropped or replaced. The doors:
/// [`SlowConsumer::DropNewest`](crate::SlowConsumer::DropNewest) and
/// [`Clients::send_latest`](crate::Clients::send_latest).
pub(crate) static SLOW_CONSUMERS: Part = Part::new();

/// The application's timers. The door: [`Clients::set_timer`](crate::Clients::set_timer).
pub(crate) static TIMERS: Part = Part::new();

/// Topics. The door: [`Clients::subscribe`](crate::Clients::subscribe).
pub(crate) static TOPICS: Part = Part::new();

/// The story of a connection. The door: [`Clients::trace`](crate::Clients::trace).
pub(crate) static TRACES: Part = Part::new();

/// Unix sockets. The door: [`Server::listen_unix`](crate::Server::listen_unix) and its kin.
#[cfg(unix)]
pub(crate) static UNIX_SOCKETS: Part = Part::new();

/// The loop, watched turn by turn. The door: [`Clients::watch_turns`](crate::Clients::watch_turns).
pub(crate) static WATCH: Part = Part::new();
