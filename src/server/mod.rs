//! Part II: sockets, readiness, time. Moves bytes between the protocol and the kernel.
//!
//! | file | the question that it answers |
//! |---|---|
//! | `event_loop` | what is one turn? |
//! | `poller` | who says what is ready, and what time it is? |
//! | `engine` | what happens in a turn, once readiness is known? |
//! | `client` | what does the server know of one connection? |
//! | `clients` | what can an application do with its clients? |
//! | `handler` | what does an application tell the server to do? |
//! | `closures` | how small can an application be? |
//! | `router` | how is an application composed of small ones? |
//! | `topics` | who gets what is published? |
//! | `turnstile` | whose turn is it? |
//! | `timers` | what is due, and when is the next thing due? |
//! | `pressure` | what if memory runs short? |
//! | `admission` | who may come in, and how much may they say? |
//! | `watch` | what does a turn do, and can it be slow enough to be watched? |
//! | `stats`, `prometheus` | what has the server done so far, and how is it? |
//! | `connect` | how does a loop connect to other servers? |
//! | `proxied` | where is a client that comes through proxies? |
//! | `socket`, `listener` | which streams, and where do they come from? |
//! | `remote` | how does another thread reach the loop? |
//! | `shutdown`, `signals` | how does a server end? |
//! | `sim` | does an application work, whatever its clients and the network do? |
//! | `config` | every limit, timeout and option |

mod admission;
mod client;
mod clients;
mod closures;
mod config;
mod connect;
mod engine;
mod event_loop;
mod handler;
mod listener;
mod poller;
mod pressure;
mod prometheus;
mod proxied;
mod remote;
mod router;
mod shutdown;
#[cfg(all(unix, feature = "signals"))]
mod signals;
#[cfg(feature = "sim")]
pub mod sim;
mod socket;
mod stats;
mod timers;
mod topics;
mod turnstile;
mod watch;

pub use client::ClientId;
pub use clients::{Clients, SlowConsumer, TimerId};
pub use closures::{ClosureServer, Closures};
pub use config::{Config, ConfigError, Excess, ForwardedHeader, ListenOptions, Rates};
pub use connect::ConnectOptions;
pub use event_loop::EventLoop;
pub use handler::Handler;
pub use listener::LocalAddr;
pub use remote::{Remote, RemoteError};
pub use router::Router;
pub use shutdown::{Drain, Outcome};
pub use stats::{Cause, Connections, Histogram, Stats};
pub use watch::{Glance, Pace, Phase, Turn, Turns, Waiting};

use event_loop::Parts;
use listener::Listener;
use poller::{Kernel, Poller};
use remote::Queue;
#[cfg(all(unix, feature = "signals"))]
use signals::Signals;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::sync::Arc;

/// A server that listens but does not run yet. `D` is the [`Data`](Handler::Data) of its handler.
pub struct Server<D = ()> {
    poller: Kernel,
    listeners: Vec<Listener>,
    queue: Arc<Queue<D>>,
    config: Config,
    options: ListenOptions,
    #[cfg(all(unix, feature = "signals"))]
    signals: Option<Signals>,
}

impl<D> Server<D> {
    /// Listens on an address, with the default [`Config`]. A name that stands for several addresses
    /// is listened to on all of them; port 0 means any free one
    /// ([`local_addrs`](Self::local_addrs) tells which).
    ///
    /// # Errors
    ///
    /// The address is malformed, in use, or not this host's.
    pub fn bind(addrs: impl ToSocketAddrs) -> io::Result<Server<D>> {
        Server::new(Config::default())?.listen(addrs)
    }

    /// A server that does not listen anywhere yet.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`], or the poller cannot be made.
    pub fn new(config: Config) -> io::Result<Server<D>> {
        config.validate()?;
        let poller = Kernel::new(config.events_per_turn)?;
        let queue = Arc::new(Queue::new(Some(poller.waker()?), config.remote_queue));
        Ok(Server {
            poller,
            listeners: Vec::new(),
            queue,
            config,
            options: ListenOptions::default(),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
        })
    }

    /// Options for the listening sockets that are added from now on.
    #[must_use]
    pub fn options(mut self, options: ListenOptions) -> Server<D> {
        self.options = options;
        self
    }

    /// Listens on an address, too.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn listen(mut self, addrs: impl ToSocketAddrs) -> io::Result<Server<D>> {
        self.listen_also(addrs)?;
        Ok(self)
    }

    /// As [`listen`](Self::listen), for addresses that the server can do without.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind); the server is as before then.
    pub fn listen_also(&mut self, addrs: impl ToSocketAddrs) -> io::Result<()> {
        let listeners = addrs.to_socket_addrs()?.map(|addr| Listener::tcp(addr, &self.options));
        self.listeners.append(&mut listeners.collect::<io::Result<Vec<Listener>>>()?);
        Ok(())
    }

    /// Listens on a Unix socket, too. Its file is made here and removed in the end.
    ///
    /// # Errors
    ///
    /// There is something at `path` already, or the file cannot be made.
    #[cfg(unix)]
    pub fn listen_unix(mut self, path: impl AsRef<std::path::Path>) -> io::Result<Server<D>> {
        self.listeners.push(Listener::unix(path.as_ref(), &self.options)?);
        Ok(self)
    }

    /// Takes over a socket that listens already, too: one that systemd has passed, say.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    pub fn listen_on(mut self, listener: TcpListener) -> io::Result<Server<D>> {
        self.listeners.push(Listener::from_tcp(listener, &self.options)?);
        Ok(self)
    }

    /// Takes over a Unix socket that listens already, too. Its file is not removed in the end.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    #[cfg(unix)]
    pub fn listen_on_unix(mut self, listener: std::os::unix::net::UnixListener) -> io::Result<Server<D>> {
        self.listeners.push(Listener::from_unix(listener, None, &self.options)?);
        Ok(self)
    }

    /// The first SIGINT or SIGTERM shuts the server down as `drain` says; the second one makes
    /// [`EventLoop::run`] return at once.
    ///
    /// # Errors
    ///
    /// The signal handlers cannot be installed.
    #[cfg(all(unix, feature = "signals"))]
    pub fn shutdown_on_signals(mut self, drain: Drain) -> io::Result<Server<D>> {
        self.signals = Some(Signals::new(self.poller.registry(), drain)?);
        Ok(self)
    }

    /// Where the server listens.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote<D> {
        Remote::new(Arc::clone(&self.queue))
    }

    /// The loop, for hosts that turn it themselves, or that want to know how it ended.
    ///
    /// # Errors
    ///
    /// The listening sockets cannot be watched.
    pub fn start<H: Handler<Data = D>>(self, handler: H) -> io::Result<EventLoop<H>> {
        let Server { poller, listeners, queue, config, .. } = self;
        let parts = Parts {
            poller: Poller::Kernel(poller),
            listeners,
            queue,
            config,
            seed: rand::random(),
            resolver: None,
            #[cfg(all(unix, feature = "signals"))]
            signals: self.signals,
        };
        EventLoop::new(parts, handler)
    }

    /// Serves until it is shut down: by [`Remote::shutdown`], [`Clients::shutdown`], or a signal.
    ///
    /// # Errors
    ///
    /// The poller has failed. No client's error ever comes here.
    pub fn run<H: Handler<Data = D>>(self, handler: H) -> io::Result<()> {
        self.start(handler)?.run().map(|_| ())
    }
}
