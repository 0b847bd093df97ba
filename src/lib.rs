//! Lariat is a WebSocket server: one thread, one epoll/kqueue loop, a slab of connections that cost
//! 64 bytes each while they are idle.
//!
//! ```no_run
//! use lariat::{ClientId, Clients, Handler, Message, Server};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Data = ();
//!     fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
//!         let _ = clients.send(id, message);
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     Server::bind("127.0.0.1:9998")?.run(Echo)
//! }
//! ```
//!
//! # The map
//!
//! > **[`protocol`] turns bytes and time into events and bytes; `server` moves bytes between it and
//! > sockets.**
//!
//! ```text
//!  kernel -> readiness -> shared read buffer -> frame -> message -> Handler::on_message
//!    ^                                                                     |
//!    +--- one write per client <- pending writes <- outbox <- frame <- Clients::send / publish
//! ```
//!
//! Four things are true everywhere, and held by `tests/invariants.rs`:
//!
//! 1. *The protocol never sees a socket, a poller or a clock.* Time is an argument.
//! 2. *The loop never sees a frame.*
//! 3. *Handlers only queue. Only the end of a turn writes and removes.*
//! 4. *An idle connection owns no buffer.* All it costs is its slab entry: 56 bytes (release build,
//!    64-bit, `Data = ()`).
//!
//! # Reading order
//!
//! New to networking? The [`guide`] goes from "what is a WebSocket?" to "one turn of the loop" in
//! an afternoon.
//!
//! Part I, [`protocol`]: `frame`, `mask`, `utf8`, `message`, `close`, `request`, `response`,
//! `outbox`, `connection`. Part II, `server`: `event_loop` (one turn), `engine` (its steps),
//! `client` (the 56 bytes), `clients` (what an application can do), `timers`, `topics`, `remote`.
//!
//! # What an application says
//!
//! A [`Handler`] is told what happens; [`Clients`] is what it can do about it; a [`Router`]
//! composes one of several; a [`Remote`] reaches the loop from other threads; an [`EventLoop`] can
//! be turned by a host's own loop. [`Config`] has every limit and timeout. With the feature `sim`,
//! `lariat::sim` tests an application without sockets and sleeps.

#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(any(doc, doctest))]
pub mod guide;
mod parts;
pub mod protocol;
mod server;

pub use http;
pub use protocol::forwarded::{Block, BlockError, TrustedProxies};
pub use protocol::{
    Answer, CloseReason, Deflate, Flow, Limits, Message, Method, NotData, OpeningError, Position, ProtocolError,
    ReadyState, Rejection, Request, SendError, Side, State, Takeover, Timeout, Trace, Traffic, Unaccepted, Upgrade,
};
#[cfg(feature = "sim")]
pub use server::sim;
pub use server::{
    Cause, ClientId, Clients, ClosureServer, Closures, Config, ConfigError, ConnectOptions, Connections, Drain,
    EventLoop, Excess, ForwardedHeader, Glance, Handler, Histogram, ListenOptions, LocalAddr, Outcome, Pace, Phase,
    Rates, Remote, RemoteError, Router, Server, SlowConsumer, Stats, TimerId, Turn, Turns, Waiting,
};
pub use tungstenite::Message as OwnedMessage;
pub use tungstenite::protocol::CloseFrame;
pub use tungstenite::protocol::frame::coding::CloseCode;
