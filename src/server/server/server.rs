//! The builder of a server.

use super::loops::Loops;
#[cfg(all(unix, feature = "handover"))]
use super::succession::Succession;
use crate::protocol::{Answer, CloseReason, Message, Position, Request};
#[cfg(all(unix, feature = "handover"))]
use crate::server::app::RestoreError;
use crate::server::app::{Closures, Handler, for_each_callback};
use crate::server::clients::{Clients, Event, Outcome, Queue, Remote};
#[cfg(all(unix, feature = "signals"))]
use crate::server::config::Drain;
use crate::server::config::{Config, ListenOptions};
use crate::server::data::ClientData;
#[cfg(all(unix, feature = "handover"))]
use crate::server::event_loop::Predecession;
use crate::server::event_loop::{EventLoop, Parts};
use crate::server::id::{ClientId, TimerId};
#[cfg(all(unix, feature = "signals"))]
use crate::server::net::Signals;
use crate::server::net::{Kernel, Listener, LocalAddr, Poller};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
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
    #[cfg(all(unix, feature = "handover"))]
    pub(super) succession: Succession,
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
            #[cfg(all(unix, feature = "handover"))]
            succession: Succession::default(),
        })
    }

    /// Sets the options of the listening sockets that are added from now on.
    #[must_use]
    pub fn options(mut self, options: ListenOptions) -> Server<D> {
        self.set_options(options);
        self
    }

    /// As [`options`](Self::options), for a server that is kept.
    pub fn set_options(&mut self, options: ListenOptions) {
        self.options = options;
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
        let addrs: Vec<SocketAddr> = addrs.to_socket_addrs()?.collect();
        let listeners = addrs.into_iter().map(|addr| self.listen_tcp(addr));
        let mut listeners = listeners.collect::<io::Result<Vec<Listener>>>()?;
        self.listeners.append(&mut listeners);
        Ok(())
    }

    #[cfg(all(unix, feature = "handover"))]
    fn listen_tcp(&mut self, addr: SocketAddr) -> io::Result<Listener> {
        self.succession.listen_tcp(addr, &self.options)
    }

    #[cfg(not(all(unix, feature = "handover")))]
    fn listen_tcp(&mut self, addr: SocketAddr) -> io::Result<Listener> {
        Listener::tcp(addr, &self.options)
    }

    #[cfg(all(unix, feature = "handover"))]
    fn listen_at(&mut self, path: &std::path::Path) -> io::Result<Listener> {
        self.succession.listen_unix(path, &self.options)
    }

    #[cfg(all(unix, not(feature = "handover")))]
    fn listen_at(&mut self, path: &std::path::Path) -> io::Result<Listener> {
        Listener::unix(path, &self.options)
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
        self.listen_unix_also(path)?;
        Ok(self)
    }

    /// As [`listen_unix`](Self::listen_unix), and keeps the server if that fails.
    ///
    /// # Errors
    ///
    /// As [`listen_unix`](Self::listen_unix). The server is then unchanged.
    #[cfg(unix)]
    pub fn listen_unix_also(&mut self, path: impl AsRef<std::path::Path>) -> io::Result<()> {
        let listener = self.listen_at(path.as_ref())?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Also accepts from a socket that is already listening, for example one from systemd.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    pub fn listen_on(mut self, listener: TcpListener) -> io::Result<Server<D>> {
        self.listen_on_also(listener)?;
        Ok(self)
    }

    /// As [`listen_on`](Self::listen_on), and keeps the server if that fails.
    ///
    /// # Errors
    ///
    /// As [`listen_on`](Self::listen_on). The server is then unchanged.
    pub fn listen_on_also(&mut self, listener: TcpListener) -> io::Result<()> {
        self.listeners.push(Listener::from_tcp(listener, &self.options)?);
        Ok(())
    }

    /// Also accepts from a Unix socket that is already listening. Does not remove its file.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    #[cfg(unix)]
    pub fn listen_on_unix(mut self, listener: std::os::unix::net::UnixListener) -> io::Result<Server<D>> {
        self.listen_on_unix_also(listener)?;
        Ok(self)
    }

    /// As [`listen_on_unix`](Self::listen_on_unix), and keeps the server if that fails.
    ///
    /// # Errors
    ///
    /// As [`listen_on_unix`](Self::listen_on_unix). The server is then unchanged.
    #[cfg(unix)]
    pub fn listen_on_unix_also(&mut self, listener: std::os::unix::net::UnixListener) -> io::Result<()> {
        self.listeners.push(Listener::from_unix(listener, None, &self.options)?);
        Ok(())
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

    /// Takes over from the server that can be reached at a path, and lets the next one take over
    /// there: all open connections go on in this process, and their clients notice nothing. If no
    /// server is at the path, this one simply starts. Call it before every `listen`.
    ///
    /// ```no_run
    /// # struct Echo; impl lariat::Handler for Echo { type Data = (); }
    /// use lariat::{Config, Server};
    ///
    /// let server = Server::new(Config::default())?.take_over("/run/echo/handover")?;
    /// server.listen("0.0.0.0:9998")?.run(Echo)
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// Start the program a second time to replace it. What `listen` and `listen_unix` ask for is
    /// the old server's socket, if that listens there, so no connection attempt is refused.
    ///
    /// # What happens
    ///
    /// 1. **Prepare.** The processes agree on a version. The old one serves as before until this
    ///    one has its handlers: [`start`](Self::start) or [`run`](Self::run) has called
    ///    [`on_start`](Handler::on_start).
    /// 2. **Freeze**, at the end of a turn: no callback is called any more. Calls of a
    ///    [`Remote`] fail with [`RemoteError::Full`](crate::RemoteError::Full) meanwhile.
    /// 3. **Transfer.** [`Handler::save`] and [`Handler::save_client`] say what the handler keeps,
    ///    and [`Handler::restore`] and [`Handler::restore_client`] take it.
    /// 4. **Commit.** This process takes a token, which only one of the two can have. From then on
    ///    it serves, and the old server's `run` returns.
    ///
    /// Until the commit, everything can fail: this process ends, stalls for five seconds, has no
    /// descriptors left, or does not understand what it gets. The old one then goes on as if
    /// nothing had happened, and logs why.
    ///
    /// # What goes along
    ///
    /// Open and closing connections of both roles, with what is incomplete and unsent, compression,
    /// subprotocols, deadlines, pauses, rates, policies, topics and traces; [`ClientId`]s,
    /// timers with their [`TimerId`]s, [`Clients::now`], and the counters of
    /// [`Stats`](crate::Stats). Several [loops](Self::loops) hand over together, if both servers
    /// have as many.
    ///
    /// Sessions of TLS go along if this process was not the client, the version is 1.3, the keys
    /// have 32 bytes (AES-256, ChaCha20), and rustls may hand them out: that is what
    /// `ServerTls::from_files` gives with usual clients. The new server must have a listener with
    /// TLS and the same cipher suites.
    ///
    /// **What stays behind** ends in the old process within 15 seconds, WebSockets with 1012:
    /// requests that are not answered yet, HTTP responses, connections to servers that are not open
    /// yet, messages that are decompressed as they arrive, handshakes of TLS that are not over, and
    /// other sessions of TLS. The handler here is told of the end of those that were open
    /// ([`CloseReason::LeftBehind`]). What they still say reaches no handler. Options come from
    /// this process: limits, timeouts, the memory budget. A server with a
    /// [backplane](crate::Loops::backplane) does not hand over.
    ///
    /// # Who may take over
    ///
    /// The socket's file has the mode 0600, and on Linux each process checks that the other one
    /// belongs to the same user.
    ///
    /// # Errors
    ///
    /// The server at the path refuses, or speaks another version. Another file is at the path, or
    /// none can be created there. [`start`](Self::start) and [`run`](Self::run) return an error if
    /// the takeover fails later: a [`HandoverError`](crate::HandoverError) as the source.
    #[cfg(all(unix, feature = "handover"))]
    pub fn take_over(mut self, path: impl AsRef<std::path::Path>) -> io::Result<Server<D>> {
        self.succession = Succession::at(path.as_ref(), self.config.memory_budget)?;
        self.go_on_with_clock();
        Ok(self)
    }

    /// As [`take_over`](Self::take_over), from the server at the other end of a stream, which calls
    /// [`EventLoop::hand_over`]. For programs that have their own way to find it.
    ///
    /// # Errors
    ///
    /// As [`take_over`](Self::take_over).
    #[cfg(all(unix, feature = "handover"))]
    pub fn take_over_from(mut self, stream: std::os::unix::net::UnixStream) -> io::Result<Server<D>> {
        self.succession = Succession::from(stream, self.config.memory_budget)?;
        self.go_on_with_clock();
        Ok(self)
    }

    #[cfg(all(unix, feature = "handover"))]
    fn go_on_with_clock(&mut self) {
        if let Some(began) = self.succession.began() {
            self.poller.begin_at(began);
        }
    }

    /// Listens on every socket of the old server that no `listen` has asked for, in the same way as
    /// there. Those that nothing asks for are closed otherwise.
    ///
    /// # Errors
    ///
    /// A socket cannot be set up.
    #[cfg(all(unix, feature = "handover"))]
    pub fn listen_as_before(mut self) -> io::Result<Server<D>> {
        let mut listeners = self.succession.listen_on_rest(&self.options)?;
        self.listeners.append(&mut listeners);
        Ok(self)
    }

    /// Returns from which server this one takes over, if it does.
    #[cfg(all(unix, feature = "handover"))]
    pub fn predecessor(&self) -> Option<&crate::Predecessor> {
        self.succession.predecessor()
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
    pub(super) fn beside(&mut self) -> io::Result<Server<D>> {
        let poller = self.poller.beside(self.config.events_per_turn)?;
        Ok(Server {
            queue: Arc::new(Queue::new(Some(poller.waker()?), self.config.remote_queue)),
            poller,
            listeners: self.other_listeners().collect::<io::Result<_>>()?,
            config: self.config.clone(),
            options: self.options.clone(),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
            #[cfg(all(unix, feature = "handover"))]
            succession: self.succession.beside(&self.listeners),
        })
    }

    #[cfg(all(unix, feature = "handover"))]
    fn other_listeners(&mut self) -> impl Iterator<Item = io::Result<Listener>> {
        let Server { listeners, succession, options, .. } = self;
        let several = listeners.iter().filter(|listener| listener.is_one_of_several());
        several.filter_map(|listener| succession.another(listener, options).or_else(|| listener.another()))
    }

    #[cfg(not(all(unix, feature = "handover")))]
    fn other_listeners(&mut self) -> impl Iterator<Item = io::Result<Listener>> {
        self.listeners.iter().filter_map(Listener::another)
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
        #[cfg(all(unix, feature = "handover"))]
        let (handing, taking) = self.succession.into_parts(&listeners);
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
            #[cfg(all(unix, feature = "handover"))]
            handing,
            #[cfg(all(unix, feature = "handover"))]
            taking: taking.map(Predecession::Process),
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

#[cfg(all(unix, feature = "handover"))]
impl<D: ClientData> ClosureServer<D> {
    /// As [`Closures::saved_as`].
    #[must_use]
    pub fn saved_as<S, R>(mut self, save: S, restore: R) -> ClosureServer<D>
    where
        S: FnMut(&mut Clients<D>) -> Option<Vec<u8>> + 'static,
        R: FnMut(&mut Clients<D>, &[u8]) -> Result<(), RestoreError> + 'static,
    {
        self.closures = self.closures.saved_as(save, restore);
        self
    }

    /// As [`Closures::clients_saved_as`].
    #[must_use]
    pub fn clients_saved_as<S, R>(mut self, save: S, restore: R) -> ClosureServer<D>
    where
        S: FnMut(&mut Clients<D>, ClientId) -> Option<Vec<u8>> + 'static,
        R: FnMut(&mut Clients<D>, ClientId, &[u8]) -> Result<(), RestoreError> + 'static,
    {
        self.closures = self.closures.clients_saved_as(save, restore);
        self
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
