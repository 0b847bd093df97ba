//! Several loops that serve one server.

use super::server::Server;
use crate::server::app::Handler;
use crate::server::backplane::{Backplane, NodeId};
use crate::server::clients::{MOST_LOOPS, Outcome, Peers, Remote};
use crate::server::data::ClientData;
use crate::server::event_loop::EventLoop;
use crate::server::net::LocalAddr;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

/// A server with several loops, each in a thread of its own.
/// [`Server::loops`](crate::Server::loops) makes it.
///
/// Each loop has its own clients and its own handler, which a function makes in the loop's thread.
/// So a handler needs no lock, and nothing in it is shared. What crosses loops:
///
/// * **Topics.** [`publish`](crate::Clients::publish),
///   [`publish_except`](crate::Clients::publish_except) and
///   [`publish_latest`](crate::Clients::publish_latest) reach the members on all loops, and
///   [`broadcast`](crate::Clients::broadcast) reaches the clients of the route on all loops. What
///   one loop publishes arrives in order. Members on different loops may see the messages of two
///   loops in different orders. A message is framed, and compressed, once per loop. Only loops with
///   members of a topic are told.
/// * **Limits.** [`max_connections`](crate::Config::max_connections),
///   [`max_connections_per_address`](crate::Config::max_connections_per_address) and
///   [`handshakes_per_second`](crate::Config::handshakes_per_second) hold for all loops together.
///   The [`memory_budget`](crate::Config::memory_budget) is divided evenly, so it must be at least
///   [`least_memory_budget_of_loops`](crate::Config::least_memory_budget_of_loops).
/// * **Shutdown**, by a signal, a [`Remote`] or a handler, is that of all loops.
/// * **[`Remote`]s** reach the loop of the client that they name, or the
///   [loop that they are for](Remote::on_loop). So a handler sends to a client of another loop with
///   `clients.remote().send(id, message)`.
///
/// Everything else that a handler sees belongs to its loop: [`len`](crate::Clients::len),
/// [`iter`](crate::Clients::iter), [`subscribers`](crate::Clients::subscribers),
/// [`members`](crate::Clients::members), [`stats`](crate::Clients::stats), timers, and the counts
/// that `publish` and `broadcast` return. [`ask_loops`](crate::Clients::ask_loops) asks all loops,
/// and the [`Stats`](crate::Stats) of several can be summed. The id of a client of another loop is
/// treated like the id of a client that has disconnected. [`on_start`](Handler::on_start) is called
/// on each loop: a handler that does something once for the server does it on loop 0
/// ([`loop_number`](crate::Clients::loop_number)).
///
/// # State that clients share
///
/// **Clients that share state live on the loop that has the state**: a connection goes there with
/// its request, before that is answered. [`Handler::choose_loop`](Handler::choose_loop) names the
/// loop, from the room in the path for example, and
/// [`Router::on_loop`](crate::Router::on_loop) gives all clients of a route to one loop. So a
/// handler that keeps its rooms in a map needs no change and no lock. Everything else stays on the
/// loop that has the connection.
///
/// State without clients of its own can stay on one loop as well: the others
/// [`post`](Remote::post) to it, with `clients.remote().on_loop(0)`, and it publishes the result.
///
/// # Which loop gets a connection
///
/// The first loop accepts, and gives each connection to the loop that has the fewest. It also gets
/// the signals. So while one of its callbacks blocks, nothing is accepted and no signal is obeyed.
/// With [`ListenOptions::reuse_port`](crate::ListenOptions::reuse_port), each loop has a listening
/// socket of its own on the same address, and the kernel chooses: by a hash of the addresses, so
/// not evenly.
///
/// Connections that `choose_loop` sends to one loop make that loop fuller than the others. New
/// connections then go to the others first.
///
/// # Loops that are behind
///
/// Messages for another loop wait in a queue, which holds at most an eighth of that loop's share of
/// the budget. While the queue is full, messages for that loop are dropped. When the loop goes on,
/// the members of the topic there count as slow consumers. Those with the policy
/// [`DropNewest`](crate::SlowConsumer::DropNewest) have lost the messages: `on_drain` is called,
/// and `take_dropped` says how many. The others are closed without a Close frame
/// ([`CloseReason::SlowConsumer`](crate::CloseReason::SlowConsumer)). So no member misses a message
/// without notice.
///
/// ```
/// use lariat::{ClientId, Clients, Drain, Handler, Message, Server};
///
/// struct Chat;
///
/// impl Handler for Chat {
///     type Data = ();
///     fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
///         clients.subscribe(id, "lobby");
///     }
///     fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, message: Message<'_>) {
///         clients.publish("lobby", message); // to the members on all loops
///     }
/// }
///
/// let server = Server::<()>::bind("127.0.0.1:0")?.loops(2)?;
/// let (addr, remote) = (server.local_addrs().remove(0), server.remote());
/// println!("listening on {addr}");
/// # remote.shutdown(Drain::default())?;
/// let outcome = server.run(|| Chat)?;
/// assert!(!outcome.interrupted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loops<D: ClientData = ()> {
    /// One for each loop.
    servers: Vec<Server<D>>,
    peers: Arc<Peers<D>>,
}

impl<D: ClientData> fmt::Debug for Loops<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loops").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl<D: ClientData> Loops<D> {
    /// The most loops of a server.
    pub const MOST: usize = MOST_LOOPS;

    /// Adds loops to a server.
    pub(super) fn new(mut first: Server<D>, count: usize) -> io::Result<Loops<D>> {
        if !(1..=MOST_LOOPS).contains(&count) {
            let problem = format!("a server has 1 to {MOST_LOOPS} loops, not {count}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        if first.config.reserve.is_some() {
            let problem = "Config::reserve is for a server with one loop and without a backplane: set it to None";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let most_waiting = first.config.divide_memory_budget(count)?;
        let others = (1..count).map(|_| first.beside()).collect::<io::Result<Vec<_>>>()?;
        #[cfg(all(unix, feature = "handover"))]
        first.succession.add_others(others.iter().flat_map(|server| &server.listeners))?;
        let servers: Vec<Server<D>> = [first].into_iter().chain(others).collect();
        let queues = servers.iter().map(|server| Arc::clone(&server.queue));
        let peers = Peers::new(queues, &servers[0].config, most_waiting);
        Ok(Loops { servers, peers })
    }

    /// Shares topics with other servers, through an engine between them: what
    /// [`publish`](crate::Clients::publish), [`broadcast`](crate::Clients::broadcast) and their kin
    /// send reaches the members of the topic, or the clients of the route, on all servers, unless
    /// the handler [keeps them on its server](crate::Clients::isolate_topics). Routes must have the
    /// same first patterns on all servers. Topics with a history need a backplane as well: see
    /// [`Clients::subscribe_from`](crate::Clients::subscribe_from).
    ///
    /// The clients of this server get a message at once, whatever the state of the engine. Other
    /// servers get it at most once, and in the order of the publisher. When messages of a topic may
    /// have been lost, [`Handler::on_gap`] is called.
    ///
    /// One loop is enough: `server.loops(1)?`.
    /// [`Clients::backplane_status`](crate::Clients::backplane_status) says how the engine is.
    ///
    /// ```
    /// # struct Chat; impl lariat::Handler for Chat { type Data = (); }
    /// use lariat::Server;
    /// use lariat::backplane::MemoryEngine;
    ///
    /// let engine = MemoryEngine::new(); // or RedisBackplane::new("redis://10.0.0.1/")
    /// let server = Server::<()>::bind("127.0.0.1:0")?.loops(1)?.backplane(engine.backplane())?;
    /// # server.remote().shutdown(lariat::Drain::default())?;
    /// server.run(|| Chat)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The server has a backplane already, or it cannot be started: its options cannot be right. An
    /// engine that cannot be reached is no error.
    pub fn backplane(self, backplane: impl Backplane + 'static) -> io::Result<Loops<D>>
    where
        D: 'static,
    {
        self.peers.start_backplane(Box::new(backplane), NodeId(rand::random()))?;
        Ok(self)
    }

    /// Returns the loop, if there is only one, for hosts that turn it themselves.
    ///
    /// # Errors
    ///
    /// There are several loops ([`InvalidInput`](io::ErrorKind::InvalidInput)), or the listening
    /// sockets cannot be watched.
    pub fn start<H: Handler<Data = D>>(mut self, handler: H) -> io::Result<EventLoop<H>>
    where
        D: 'static,
    {
        match (self.servers.pop(), self.servers.is_empty()) {
            (Some(only), true) => {
                let mut event_loop = only.start_as(0, handler)?;
                event_loop.keep_alive(Box::new(self.peers));
                Ok(event_loop)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "several loops run in threads of their own")),
        }
    }

    /// Where the server listens.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        self.servers[0].local_addrs()
    }

    /// A handle for other threads. It belongs to the first loop;
    /// [`on_loop`](Remote::on_loop) returns one for another.
    pub fn remote(&self) -> Remote<D> {
        self.servers[0].remote()
    }

    /// Serves until the server is shut down, and all loops have ended. `make` makes the handler of
    /// each loop, in its thread: the first loop runs in the thread that calls, and the others in
    /// threads of their own.
    ///
    /// # Errors
    ///
    /// The operating system cannot start a thread, or a poller has failed. The other loops are then
    /// stopped at once.
    ///
    /// # Panics
    ///
    /// If `make` panics, after the other loops have been stopped.
    pub fn run<H, F>(self, make: F) -> io::Result<Outcome>
    where
        H: Handler<Data = D>,
        F: Fn() -> H + Send + Sync,
        D: 'static,
    {
        let guard = |number| Guard { peers: Arc::clone(&self.peers), number, is_well: false };
        let run = |number, server: Server<D>, mut guard: Guard<D>| {
            let outcome = server.start_as(number, make()).and_then(|mut event_loop| event_loop.run());
            guard.is_well = outcome.is_ok();
            outcome
        };
        thread::scope(|scope| {
            let mut servers = self.servers.into_iter().enumerate();
            let first = servers.next();
            // If a thread cannot be started, it stops those that have been.
            let first_guard = guard(0);
            let mut threads = Vec::new();
            for (number, server) in servers {
                let (run, guard) = (&run, guard(number));
                let thread = thread::Builder::new().name(format!("lariat {number}"));
                threads.push(thread.spawn_scoped(scope, move || run(number, server, guard))?);
            }
            let mut outcome = match first {
                Some((number, server)) => run(number, server, first_guard)?,
                None => Outcome { dropped: 0, interrupted: false, replaced: false, handed_over: 0 },
            };
            for thread in threads {
                outcome = outcome.with(thread.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(outcome)
        })
    }
}

/// Tells the other loops that one has ended, also by a panic or an error, which ends all.
struct Guard<D: ClientData> {
    peers: Arc<Peers<D>>,
    number: usize,
    is_well: bool,
}

impl<D: ClientData> Drop for Guard<D> {
    fn drop(&mut self) {
        if !self.is_well {
            self.peers.stop_others(self.number);
        }
        self.peers.stopped(self.number);
    }
}
