//! The builder of a server.

use super::loops::Loops;
use crate::protocol::{Answer, CloseReason, Message, Position, Request};
use crate::server::app::{Closures, Handler, for_each_callback};
use crate::server::clients::{Clients, Event, Outcome, Queue, Remote};
#[cfg(all(unix, feature = "signals"))]
use crate::server::config::Drain;
use crate::server::config::{Config, ListenOptions};
use crate::server::data::ClientData;
use crate::server::event_loop::{EventLoop, Parts};
use crate::server::id::{ClientId, TimerId};
#[cfg(all(unix, feature = "signals"))]
use crate::server::net::Signals;
use crate::server::net::{Kernel, Listener, LocalAddr, Poller};
use std::fmt;
use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A server that listens but does not run yet. `D` is the [`Data`](Handler::Data) of its handler.
///
/// # Threads
///
/// It is `Send`. What runs is not: an [`EventLoop`] and its [`Clients`] stay in one thread, and
/// their buffers are counted without atomic operations. A [`Router`](crate::Router),
/// [`Closures`] and a [`ClosureServer`] are not `Send` either, because the handlers and closures
/// in them need not be. So make the server where its errors are wanted, and everything else in the
/// thread that runs it. [`spawn`](Self::spawn) takes a function that makes the handler there:
///
/// ```
/// use lariat::{Closures, Drain, Router, Server};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// let server = Server::<()>::bind("127.0.0.1:0")?;
/// let (addrs, remote) = (server.local_addrs(), server.remote());
/// let thread = server.spawn(|| {
///     // An `Rc` cannot be sent, so two handlers that share one are made here.
///     let visits = Rc::new(Cell::new(0));
///     let counted = Rc::clone(&visits);
///     let count = Closures::new().on_open(move |_, _| counted.set(counted.get() + 1));
///     let tell = Closures::new().on_open(move |clients, id| {
///         let _ = clients.send(id, &visits.get().to_string());
///     });
///     Router::new().route("/count", count).route("/tell", tell)
/// })?;
/// println!("listening on {}", addrs[0]);
///
/// remote.shutdown(Drain::default())?;
/// let outcome = thread.join().expect("no panic")?;
/// assert!(!outcome.interrupted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server<D: ClientData = ()> {
    poller: Kernel,
    pub(super) listeners: Vec<Listener>,
    pub(super) queue: Arc<Queue<D>>,
    pub(super) config: Config,
    options: ListenOptions,
    #[cfg(all(unix, feature = "signals"))]
    signals: Option<Signals>,
}

impl<D: ClientData> fmt::Debug for Server<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { listeners, config, options, .. } = self;
        let mut text = f.debug_struct("Server");
        text.field("listeners", listeners).field("config", config).field("options", options).finish_non_exhaustive()
    }
}

impl<D: ClientData> Server<D> {
    /// Listens on an address, with the default [`Config`]. If a name has several addresses, the
    /// server listens on all of them. Port 0 means any free port;
    /// [`local_addrs`](Self::local_addrs) returns it.
    ///
    /// # Errors
    ///
    /// The address is malformed, in use, or does not belong to this host.
    pub fn bind(addrs: impl ToSocketAddrs) -> io::Result<Server<D>> {
        Server::new(Config::default())?.listen(addrs)
    }

    /// Creates a server that does not listen anywhere yet.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`](crate::ConfigError), or the poller cannot be made.
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

    /// Sets the options of the listening sockets that are added from now on.
    #[must_use]
    pub fn options(mut self, options: ListenOptions) -> Server<D> {
        self.options = options;
        self
    }

    /// Listens on one more address.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn listen(mut self, addrs: impl ToSocketAddrs) -> io::Result<Server<D>> {
        self.listen_also(addrs)?;
        Ok(self)
    }

    /// Listens on one more address, and keeps the server if that fails.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind). The server is then unchanged.
    pub fn listen_also(&mut self, addrs: impl ToSocketAddrs) -> io::Result<()> {
        let listeners = addrs.to_socket_addrs()?.map(|addr| Listener::tcp(addr, &self.options));
        self.listeners.append(&mut listeners.collect::<io::Result<Vec<Listener>>>()?);
        Ok(())
    }

    /// Also listens on a Unix socket. Creates its file now and removes it at the end. The mode and
    /// the group of the file come from the [`options`](Self::options).
    ///
    /// Replaces a socket file that a killed server left behind, and logs that. Two servers must not
    /// start at the same time on the same path.
    ///
    /// # Errors
    ///
    /// Another file or server is at `path`, or the file cannot be created. The error names the
    /// path.
    #[cfg(unix)]
    pub fn listen_unix(mut self, path: impl AsRef<std::path::Path>) -> io::Result<Server<D>> {
        self.listeners.push(Listener::unix(path.as_ref(), &self.options)?);
        Ok(self)
    }

    /// Also accepts from a socket that is already listening, for example one from systemd.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    pub fn listen_on(mut self, listener: TcpListener) -> io::Result<Server<D>> {
        self.listeners.push(Listener::from_tcp(listener, &self.options)?);
        Ok(self)
    }

    /// Also accepts from a Unix socket that is already listening. Does not remove its file.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    #[cfg(unix)]
    pub fn listen_on_unix(mut self, listener: std::os::unix::net::UnixListener) -> io::Result<Server<D>> {
        self.listeners.push(Listener::from_unix(listener, None, &self.options)?);
        Ok(self)
    }

    /// Shuts the server down as `drain` says at the first SIGINT, SIGTERM, SIGQUIT or SIGHUP. A
    /// second SIGINT, SIGTERM or SIGQUIT makes [`EventLoop::run`] return at once. On Linux, SIGHUP
    /// stays ignored if it was ignored when the program started (`nohup`).
    ///
    /// # Errors
    ///
    /// The signal handlers cannot be installed.
    #[cfg(all(unix, feature = "signals"))]
    pub fn shutdown_on_signals(mut self, drain: Drain) -> io::Result<Server<D>> {
        self.signals = Some(Signals::new(self.poller.registry(), drain, true)?);
        Ok(self)
    }

    /// As [`shutdown_on_signals`](Self::shutdown_on_signals), but SIGHUP is left to the program,
    /// which may want to read its files again.
    ///
    /// # Errors
    ///
    /// The signal handlers cannot be installed.
    #[cfg(all(unix, feature = "signals"))]
    pub fn shutdown_on_signals_except_hangup(mut self, drain: Drain) -> io::Result<Server<D>> {
        self.signals = Some(Signals::new(self.poller.registry(), drain, false)?);
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

    /// Returns a server with several loops, each in a thread of its own, for more than one core.
    /// See [`Loops`] for what they share. Call it after every `listen` and after
    /// `shutdown_on_signals`.
    ///
    /// # Errors
    ///
    /// The number is 0 or more than 64, or the [`memory_budget`](Config::memory_budget) is too
    /// small for so many ([`InvalidInput`](io::ErrorKind::InvalidInput)). A poller cannot be made,
    /// or with [`reuse_port`](ListenOptions::reuse_port) a listening socket.
    pub fn loops(self, count: usize) -> io::Result<Loops<D>> {
        Loops::new(self, count)
    }

    /// Returns a server for another loop of the same server, with the same clock. It listens where
    /// this one does, if the kernel is to choose between them.
    pub(super) fn beside(&self) -> io::Result<Server<D>> {
        let poller = self.poller.beside(self.config.events_per_turn)?;
        Ok(Server {
            queue: Arc::new(Queue::new(Some(poller.waker()?), self.config.remote_queue)),
            poller,
            listeners: self.listeners.iter().filter_map(Listener::another).collect::<io::Result<_>>()?,
            config: self.config.clone(),
            options: self.options.clone(),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
        })
    }

    /// Returns the loop, for hosts that turn it themselves or need to know how it ended.
    ///
    /// # Errors
    ///
    /// The listening sockets cannot be watched.
    pub fn start<H: Handler<Data = D>>(self, handler: H) -> io::Result<EventLoop<H>> {
        self.start_as(0, handler)
    }

    /// [`start`](Self::start), as the loop with this number.
    pub(super) fn start_as<H: Handler<Data = D>>(self, number: usize, handler: H) -> io::Result<EventLoop<H>> {
        let Server { poller, listeners, queue, config, .. } = self;
        let parts = Parts {
            poller: Poller::Kernel(poller),
            listeners,
            queue,
            config,
            seed: None,
            resolver: None,
            number,
            #[cfg(all(unix, feature = "signals"))]
            signals: self.signals,
        };
        EventLoop::new(parts, handler)
    }

    /// Serves until it is shut down: by [`Remote::shutdown`], [`Clients::shutdown`], or a signal.
    ///
    /// # Errors
    ///
    /// The poller has failed. Errors of clients are never returned here.
    pub fn run<H: Handler<Data = D>>(self, handler: H) -> io::Result<()> {
        self.start(handler)?.run().map(|_| ())
    }

    /// Serves in a thread of its own, until the server is shut down. `make` makes the handler
    /// there, so the handler need not be `Send`. The thread returns how the server stopped, or
    /// that its poller has failed. If `make` panics, so does the thread. Take a
    /// [`remote`](Self::remote) before, to reach the server. If the result is dropped, the thread
    /// goes on.
    ///
    /// # Errors
    ///
    /// The operating system cannot start a thread.
    pub fn spawn<H, F>(self, make: F) -> io::Result<JoinHandle<io::Result<Outcome>>>
    where
        H: Handler<Data = D>,
        F: FnOnce() -> H + Send + 'static,
        D: 'static,
    {
        std::thread::Builder::new().name("lariat".to_owned()).spawn(move || self.start(make())?.run())
    }
}

/// A server whose handler consists of closures, with data of the type `D` for each client. They can
/// be set in any order.
///
/// ```no_run
/// use std::time::Duration;
///
/// lariat::Server::bind("127.0.0.1:9998")?
///     .on_start(|clients| {
///         clients.set_interval(Duration::from_secs(60), 0);
///     })
///     .on_timer(|clients, _, _| {
///         clients.broadcast("a minute has passed");
///     })
///     .run()
/// # ; Ok::<(), std::io::Error>(())
/// ```
///
/// [`Server::closures`] makes one whose clients have data:
///
/// ```no_run
/// use lariat::Server;
///
/// Server::<u32>::bind("127.0.0.1:9998")?
///     .closures()
///     .on_message(|clients, id, _| {
///         let Some(mut client) = clients.get(id) else { return };
///         *client.data_mut() += 1;
///         let _ = client.send(&client.data().to_string());
///     })
///     .run()
/// # ; Ok::<(), std::io::Error>(())
/// ```
///
/// It is not `Send`, because closures need not be. Make it in the thread that runs it, from a
/// [`Server`], which is `Send`. Or give [`Server::spawn`] a function that makes [`Closures`].
pub struct ClosureServer<D: ClientData = ()> {
    server: Server<D>,
    closures: Closures<D>,
}

impl<D: ClientData> fmt::Debug for ClosureServer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosureServer").field("server", &self.server).field("closures", &self.closures).finish()
    }
}

/// Defines the methods that set the closures.
macro_rules! setters {
    ($($name:ident: $kind:ident = ($($argument:ty),*) $(-> $result:ty)?;)*) => {
        impl<D: ClientData> ClosureServer<D> {
            $(
                #[doc = concat!("As [`Handler::", stringify!($name), "`].")]
                #[must_use]
                pub fn $name<F>(mut self, call: F) -> ClosureServer<D>
                where
                    F: FnMut($($argument),*) $(-> $result)? + 'static,
                {
                    self.closures = self.closures.$name(call);
                    self
                }
            )*
        }
    };
}

/// Defines the methods that set the first closure.
macro_rules! starters {
    ($($name:ident: $kind:ident = ($($argument:ty),*) $(-> $result:ty)?;)*) => {
        impl Server<D> {
            $(
                #[doc = concat!("Sets the closure for [`Handler::", stringify!($name), "`].")]
                /// [`ClosureServer`] takes more closures.
                pub fn $name<F>(self, call: F) -> ClosureServer
                where
                    F: FnMut($($argument),*) $(-> $result)? + 'static,
                {
                    self.closures().$name(call)
                }
            )*
        }
    };
}

/// The data of a client of a server that goes on with a closure at once.
type D = ();

for_each_callback!(setters);
for_each_callback!(starters);

impl<D: ClientData> Server<D> {
    /// Returns a server whose handler consists of closures. Without data for each client, any of
    /// the closures can be set right away: [`on_message`](Server::on_message) and its kin.
    pub fn closures(self) -> ClosureServer<D> {
        ClosureServer { server: self, closures: Closures::new() }
    }
}

impl<D: ClientData> ClosureServer<D> {
    /// Where the server listens.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        self.server.local_addrs()
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote<D> {
        self.server.remote()
    }

    /// As [`Server::start`].
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub fn start(self) -> io::Result<EventLoop<Closures<D>>> {
        self.server.start(self.closures)
    }

    /// As [`Server::run`].
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    pub fn run(self) -> io::Result<()> {
        self.server.run(self.closures)
    }
}
