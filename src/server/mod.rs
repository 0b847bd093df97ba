//! Part II: sockets, readiness, time. Moves bytes between the protocol and the kernel.
//!
//! A folder is a room. Each row imports only from the rows above it, and from
//! [`protocol`](crate::protocol); `tests/invariants.rs` holds that.
//!
//! | room | question |
//! |---|---|
//! | `reserve` | which memory is reserved at the start? |
//! | `config` | which limits, timeouts and options are there? |
//! | `id` | which client, which timer? |
//! | `data` | what does an application keep for each client? |
//! | `backplane` | how do several servers share topics? |
//! | `handover` | what does a process tell the next one? |
//! | `net` | where do bytes come from and go to, what is ready, and what time is it? |
//! | `observe` | what has the server done, and how is that shown? |
//! | `table` | what does the server know of each client, and who is next? |
//! | `clients` | what can an application do with its clients? |
//! | `app` | what is an application? |
//! | `engine` | what happens in a turn, once readiness is known? |
//! | `event_loop` | what is one turn? |
//! | `sim` | how is an application run without sockets and without a clock? |
//! | `server` | how is a server put together? |

mod app;
pub(crate) mod backplane;
mod clients;
mod config;
mod data;
mod engine;
mod event_loop;
#[cfg(all(unix, feature = "handover"))]
mod handover;
mod id;
mod net;
mod observe;
mod reserve;
mod server;
#[cfg(feature = "sim")]
pub mod sim;
mod table;

#[cfg(all(unix, feature = "handover"))]
pub use app::RestoreError;
#[cfg(all(unix, feature = "serde"))]
pub use app::saved;
pub use app::{Closures, Handler, Pipe, Router};
pub use clients::{
    Adopted, Audience, BackplaneStatus, ClientHandle, Clients, ConnectOptions, Event, NotPosted, NotRun, Outcome,
    Remote, RemoteError, Since, SlowConsumer,
};
pub use config::{Config, ConfigError, Drain, Excess, ForwardedHeader, ListenOptions, Rates};
pub use data::{Always, ClientData, Stored};
pub use event_loop::EventLoop;
#[cfg(all(unix, feature = "handover"))]
pub use handover::{HandoverError, Predecessor};
pub use id::{ClientId, TimerId};
pub use net::LocalAddr;
#[cfg(feature = "handover")]
pub use observe::Handovers;
pub use observe::{Cause, Connections, Glance, Histogram, Pace, Phase, Stats, Turn, Turns, Waiting};
pub use reserve::Reserve;
pub use server::{ClosureServer, Loops, Server};
