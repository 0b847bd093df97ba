//! Lariat is a WebSocket server to embed: one thread, one epoll or kqueue loop, 56 bytes for an
//! idle connection, no async runtime, no `unsafe`.
//!
//! # Use it
//!
//! Add it to your `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! lariat = { path = "../lariat" }
//! ```
//!
//! Write a [`Handler`] and run it:
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
//! Then connect from a browser's console:
//!
//! ```js
//! const socket = new WebSocket("ws://localhost:9998/");
//! socket.onmessage = (event) => console.log(event.data);
//! socket.onopen = () => socket.send("hello");
//! ```
//!
//! | to do this | use |
//! |---|---|
//! | react to requests, messages, timers and ends | [`Handler`] |
//! | send, close, publish to topics, set timers, connect to other servers | [`Clients`] |
//! | use one client with its data | [`Clients::get`] |
//! | compose an application by path | [`Router`] |
//! | forward between two clients | [`Pipe`] |
//! | serve HTTP on the same port: bodies, further requests, streams | [`Http`], [`HttpResponse`] |
//! | speak TLS (`wss://`), as a server and as a client | `tls` (feature `tls-ring`) |
//! | start with a closure instead of a type | [`Server::on_message`] |
//! | run a server on a thread of its own | [`Server::spawn`] |
//! | reach the loop from other threads | [`Remote`] |
//! | talk to the handler from other threads | [`Remote::post`], [`Handler::on_event`] |
//! | turn the loop from a host's own loop | [`EventLoop`] |
//! | replace the process without disconnecting anybody | `Server::take_over` (feature `handover`) |
//! | use all cores; choose the loop of a room | [`Server::loops`], [`Handler::choose_loop`] |
//! | share topics between servers | [`Loops::backplane`] |
//! | keep the history of a topic | [`Clients::subscribe_from`] |
//! | set limits and timeouts | [`Config`] and [`Limits`] |
//! | know who joins and leaves a topic | [`Clients::watch_topics`] |
//! | know what the server has done | [`Stats`] |
//! | test a handler without sockets and sleeps | `sim` (feature of that name) |
//! | watch the loop turn | [`observe`] |
//!
//! New to networking? The [`guide`] goes from "what is a WebSocket?" to "one turn of the loop".
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `deflate` | yes | permessage-deflate (RFC 7692): the crates flate2 and zlib-rs |
//! | `handover` | no | `Server::take_over`: a new process takes over all connections. Unix only |
//! | `redis` | no | `lariat::backplane::RedisBackplane`: topics of several servers, through Redis |
//! | `serde` | no | `lariat::saved`: what handlers keep; ids as numbers. Includes `handover` |
//! | `signals` | no | `Server::shutdown_on_signals`: SIGTERM and others close all clients |
//! | `sim` | no | `lariat::sim`: the server over simulated sockets and time, driven by a seed |
//! | `tls` | no | `lariat::tls`: TLS with rustls, to which you give the cryptography |
//! | `tls-ring` | no | the feature `tls`, with ring as the cryptography |
//! | `tungstenite` | no | conversions to and from the types of tungstenite 0.30 |
//! | `urlencoded` | no | `Request::query_pairs`, `cookie_pairs`: queries and cookies, decoded |
//!
//! The program `lariat` is the package `lariat-cli`. It uses only what this page shows.
//!
//! # How it is built
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
//! Four things are true everywhere, and `tests/invariants.rs` holds them:
//!
//! 1. *The protocol never sees a socket, a poller or a clock.* Time is an argument.
//! 2. *The loop never sees a frame.*
//! 3. *Handlers only queue.* Only the end of a turn writes and removes.
//! 4. *An idle connection owns no buffer.* It costs its slab entry: 56 bytes (release build,
//!    64-bit, `Data = ()`).
//!
//! `ARCHITECTURE.md` says what is where. To read the code front to back, begin with [`protocol`]
//! (its rooms in the order of its table), then read `server`: `event_loop`, `engine`, `table`,
//! `clients`, `app`.

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/migrating.md")]
struct Migrating;

#[cfg(any(doc, doctest, feature = "guide"))]
pub mod guide;
mod parts;
pub mod protocol;
mod server;

/// What the loop does, turn by turn: for pages and tools that show it.
///
/// [`Clients::watch_turns`] asks for it, [`Handler::on_turns`] reports it, [`Clients::glances`]
/// lists the connections, and [`Clients::set_pace`] slows the loop down.
pub mod observe {
    #[doc(inline)]
    pub use crate::server::{Glance, Pace, Phase, Turn, Turns, Waiting};
}

/// Topics of several servers, joined by an engine between them.
pub mod backplane {
    pub use crate::server::BackplaneStatus;
    #[cfg(feature = "redis")]
    #[doc(inline)]
    pub use crate::server::backplane::RedisBackplane;
    #[doc(inline)]
    pub use crate::server::backplane::{
        Backplane, BackplaneEvent, BackplaneEvents, BackplaneLink, History, Kept, Member, MemoryBackplane,
        MemoryEngine, NoPosition, NodeId, Publication, PublishError, StreamPosition,
    };
}

/// TLS for listeners and connections to servers, with the feature `tls`.
///
/// A listener gets it by [`ListenOptions::tls`], a connection to a `wss://` URL by
/// [`ConnectOptions::tls`]. The cryptography is [`rustls`]'s; its configurations can be used as
/// they are, or made from PEM files ([`ServerTls::from_files`](tls::ServerTls::from_files)).
///
/// An idle secured connection costs 430 bytes more than one without TLS (3.4 KiB with TLS 1.2),
/// and no buffer.
#[cfg(feature = "tls")]
pub mod tls {
    #[doc(inline)]
    pub use crate::protocol::tls::{ClientTls, ServerTls, TlsError, TlsFailure, TlsFiles, TlsInfo, TlsSetupError};
    pub use rustls;
}

pub use http;
#[doc(inline)]
pub use http::Method;
#[cfg(feature = "tungstenite")]
#[doc(inline)]
pub use protocol::NotData;
#[doc(inline)]
pub use protocol::forwarded::{Block, BlockError, TrustedProxies};
#[doc(inline)]
pub use protocol::{
    Answer, CloseCode, CloseFrame, CloseReason, Deflate, Escaped, Flow, Http, HttpBody, HttpResponse, Limits, Message,
    OpeningError, OwnedMessage, OwnedRequest, Position, ProtocolError, ReadyState, Rejection, Request, SendError, Side,
    State, Takeover, Timeout, Trace, Traffic, Unaccepted, Upgrade,
};
#[cfg(feature = "handover")]
#[doc(inline)]
pub use server::Handovers;
#[cfg(all(unix, feature = "serde"))]
#[doc(inline)]
pub use server::saved;
#[cfg(feature = "sim")]
#[doc(inline)]
pub use server::sim;
#[doc(inline)]
pub use server::{
    Adopted, Always, Audience, Cause, ClientData, ClientHandle, ClientId, Clients, ClosureServer, Closures, Config,
    ConfigError, ConnectOptions, Connections, Drain, Event, EventLoop, Excess, ForwardedHeader, Handler, Histogram,
    ListenOptions, LocalAddr, Loops, NotPosted, NotRun, Outcome, Pipe, Rates, Remote, RemoteError, Reserve, Router,
    Server, Since, SlowConsumer, Stats, Stored, TimerId,
};
#[cfg(all(unix, feature = "handover"))]
#[doc(inline)]
pub use server::{HandoverError, Predecessor, RestoreError};
