//! A simulated server, and how its time passes.

use super::loops::{Order, Together};
use super::peer::Peer;
use super::turning::Turning;
use crate::protocol::{Opening, OpeningError};
use crate::server::app::Handler;
use crate::server::backplane::Backplane;
use crate::server::clients::{Clients, ConnectOptions, Outcome, Queue, Remote};
use crate::server::config::{Config, ListenOptions};
use crate::server::net::Listener;
use crate::server::net::memory::{Backlog, Faults, Layer, NetworkRef, SERVER, Stays};
use crate::server::table::Client;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// After this many turns without time passing, the loop is considered stuck.
const TOO_MANY_TURNS: u64 = 1_000_000;

/// A server whose network and clock exist in memory only.
///
/// It stays in the thread in which it was made; there can be 256 at a time in each. It is not
/// `Send`, because its network belongs to the thread.
pub struct Simulation<H: Handler> {
    pub(super) first: Turning<H>,
    /// The other loops, if there are several.
    pub(super) others: Vec<Turning<H>>,
    /// Which loop turns next.
    pub(super) order: Order,
    /// What the loops share, if there are several, or a backplane.
    pub(super) together: Option<Together<H::Data>>,
    pub(super) outcome: Option<Outcome>,
    turns: u64,
    /// That of the loop that runs now.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) seed: u64,
    // The last: sockets that are dropped look for their network.
    pub(super) network: OwnNetwork,
    stays: Stays,
}

impl<H: Handler> fmt::Debug for Simulation<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("event_loop", &self.first.event_loop).finish_non_exhaustive()
    }
}

pub(super) fn or_panic<T>(result: Result<T, impl fmt::Display>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// Ends with its simulation.
pub(super) struct OwnNetwork(pub(super) NetworkRef);

impl OwnNetwork {
    pub(super) fn new(seed: u64, config: &Config) -> OwnNetwork {
        OwnNetwork(NetworkRef::new(seed, config))
    }
}

impl Drop for OwnNetwork {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A simulation's clock, for handlers that need one.
#[derive(Clone, Copy, Debug)]
pub struct Clock(NetworkRef, Stays);

impl Clock {
    /// Time that has passed in the simulation.
    ///
    /// # Panics
    ///
    /// If the simulation is over.
    pub fn elapsed(self) -> Duration {
        self.0.with(|network| network.now.elapsed())
    }

    /// Lets time pass at once, while the loop does not turn. Called by a handler, it has taken so
    /// long; called between two steps, the server's process has been stopped for so long.
    ///
    /// # Panics
    ///
    /// If the simulation is over.
    pub fn advance(self, by: Duration) {
        self.0.pass_time(by);
    }
}

/// What a server holds in memory. The queues keep the room that they have once needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Connections, open or not.
    pub connections: usize,
    /// Bytes of one connection's entry.
    pub entry: usize,
    /// Bytes of buffers that connections hold: of what is incomplete or unsent.
    pub buffers: usize,
    /// Bytes for what few connections need: topics, a close reason.
    pub rare: usize,
    /// Bytes of messages that several connections share, each counted once, and of conflated
    /// messages ([`Clients::send_latest`]).
    pub shared: usize,
    /// Bytes that are set aside for compression contexts.
    pub contexts: usize,
    /// Bytes of spare buffers and of shared buffers.
    pub spares: usize,
    /// Bytes that the server itself counts against its [`memory_budget`](Config::memory_budget):
    /// those of `buffers`, `shared`, `contexts` and `spares`.
    pub held: usize,
    /// Bytes of the loop's queues.
    pub queues: usize,
    /// Bytes that the simulation itself takes for its network and peers: not the server's.
    pub simulation: usize,
}

impl<H: Handler> Simulation<H> {
    /// Creates a server at [`address`](Self::address), without clients and without [`Faults`].
    ///
    /// # Panics
    ///
    /// If the config is invalid, or with more than 256 simulations in one thread.
    pub fn new(seed: u64, config: Config, handler: H) -> Simulation<H> {
        Simulation::with_options(seed, config, &ListenOptions::default(), handler)
    }

    /// As [`new`](Self::new), with options of the listener, such as TLS. Peers then need a
    /// [`Layer`]: see [`Peer::wrap`]. Options that concern sockets have no effect.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn with_options(seed: u64, config: Config, options: &ListenOptions, handler: H) -> Simulation<H> {
        or_panic(config.validate());
        let (network, queue) = (OwnNetwork::new(seed, &config), Arc::new(Queue::new(None, config.remote_queue)));
        let listeners = vec![Listener::simulated(Backlog(network.0), options)];
        let first = Turning::new(0, network.0, listeners, queue, config, seed, handler);
        Simulation::begin(seed, network, first, Vec::new(), None)
    }

    /// As [`new`](Self::new), for a server that shares its topics with others
    /// ([`Loops::backplane`](crate::Loops::backplane)): simulations of the same thread that use the
    /// same [`MemoryEngine`](crate::backplane::MemoryEngine). Its
    /// [`NodeId`](crate::backplane::NodeId) is the seed, so each of them needs another one.
    ///
    /// A simulation has its own clock, and the engine one more. What one server publishes waits for
    /// the others, which are then not [idle](Self::is_idle), until their next turns. So let them
    /// turn one after the other, until all are idle. When a simulation is dropped, what the engine
    /// has not got is published nevertheless. A server that is killed loses that:
    /// [cut](crate::backplane::MemoryEngine::cut) its connection first.
    ///
    /// ```
    /// use lariat::backplane::MemoryEngine;
    /// use lariat::sim::Simulation;
    /// use lariat::{ClientId, Clients, Config, Handler, Message};
    ///
    /// struct Chat;
    ///
    /// impl Handler for Chat {
    ///     type Data = ();
    ///     fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
    ///         clients.subscribe(id, "lobby");
    ///     }
    ///     fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, message: Message<'_>) {
    ///         clients.publish("lobby", message);
    ///     }
    /// }
    ///
    /// let engine = MemoryEngine::with_seed(1);
    /// let mut servers = [1, 2].map(|seed| {
    ///     Simulation::with_backplane(seed, Config::default(), engine.backplane(), Chat)
    /// });
    /// let [anna, bert] = servers.each_mut().map(|server| server.connect("/"));
    /// servers.iter_mut().for_each(Simulation::run_until_idle);
    ///
    /// anna.send("hello");
    /// while servers.iter().any(|server| !server.is_idle()) {
    ///     servers.iter_mut().for_each(Simulation::run_until_idle);
    /// }
    /// assert_eq!(bert.received_text(), ["hello"]);
    /// ```
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new), or if the backplane cannot be started: another server of this seed
    /// uses the engine. The config needs the memory budget of a server with
    /// [one loop](Config::least_memory_budget_of_loops).
    pub fn with_backplane(seed: u64, config: Config, backplane: impl Backplane + 'static, handler: H) -> Simulation<H>
    where
        H::Data: 'static,
    {
        let mut handler = Some(handler);
        let make = || handler.take().expect("there is one loop");
        Simulation::with_loops_and_backplane(seed, config, 1, backplane, make)
    }

    pub(super) fn begin(
        seed: u64,
        network: OwnNetwork,
        first: Turning<H>,
        others: Vec<Turning<H>>,
        together: Option<Together<H::Data>>,
    ) -> Simulation<H> {
        let order = Order::new(seed);
        Simulation {
            first,
            others,
            order,
            together,
            outcome: None,
            turns: 0,
            #[cfg(all(unix, feature = "handover"))]
            seed,
            network,
            stays: PhantomData,
        }
    }

    /// From now on, these faults are committed.
    pub fn set_faults(&mut self, faults: Faults) {
        self.network.0.with(|network| network.faults = faults);
    }

    // ---- peers ---------------------------------------------------------------------------------

    /// A peer connects and requests a path.
    ///
    /// # Panics
    ///
    /// If the path is invalid.
    pub fn connect(&mut self, path: &str) -> Peer {
        self.connect_with(path, &ConnectOptions::new()).expect("a path")
    }

    /// As [`connect`](Self::connect), with subprotocols and headers.
    ///
    /// # Errors
    ///
    /// The path or the options make no sense.
    pub fn connect_with(&mut self, path: &str, options: &ConnectOptions) -> Result<Peer, OpeningError> {
        let (mut opening, _, _) = Opening::parse(&format!("ws://{SERVER}{path}"))?;
        options.apply(&mut opening)?;
        Ok(self.dial(Some(&opening), None))
    }

    /// As [`connect`](Self::connect), from an address of one's choice.
    ///
    /// # Panics
    ///
    /// If the path is none.
    pub fn connect_from(&mut self, ip: IpAddr, path: &str) -> Peer {
        let (opening, _, _) = Opening::parse(&format!("ws://{SERVER}{path}")).expect("a path");
        self.dial(Some(&opening), Some(ip))
    }

    /// As [`connect_with`](Self::connect_with), from an address of one's choice, and by a URL: the
    /// server is always this one, and sees in `Host` under which name it was asked.
    ///
    /// # Errors
    ///
    /// The URL or the options make no sense.
    pub fn connect_by(&mut self, ip: IpAddr, url: &str, options: &ConnectOptions) -> Result<Peer, OpeningError> {
        let (mut opening, _, _) = Opening::parse(url)?;
        options.apply(&mut opening)?;
        Ok(self.dial(Some(&opening), Some(ip)))
    }

    /// A peer connects and sends only what [`Peer::send_raw`] gives it.
    pub fn connect_raw(&mut self) -> Peer {
        self.dial(None, None)
    }

    fn dial(&mut self, opening: Option<&Opening>, ip: Option<IpAddr>) -> Peer {
        Peer::new(self.network.0, self.network.0.with(|network| network.dial(opening, ip)))
    }

    /// From now on, the server can connect there: to an IP address or a name, and a port. Elsewhere
    /// it is refused.
    pub fn listen(&mut self, host: &str, port: u16) {
        self.network.0.with(|network| network.add_host(host, port, None));
    }

    /// As [`listen`](Self::listen), with a layer for each peer there, such as a TLS session.
    pub fn listen_through<L: Layer + 'static>(&mut self, host: &str, port: u16, mut make: impl FnMut() -> L + 'static) {
        let make = Box::new(move || Box::new(make()) as Box<dyn Layer>);
        self.network.0.with(|network| network.add_host(host, port, Some(make)));
    }

    /// The next peer to which the server has connected. It accepts every upgrade.
    pub fn accept(&mut self) -> Option<Peer> {
        let line = self.network.0.with(|network| network.dialled.pop_front());
        line.map(|line| Peer::new(self.network.0, line))
    }

    // ---- time ----------------------------------------------------------------------------------

    /// One turn of the loop. If nothing is left to do, time goes on to the next deadline, if there
    /// is one.
    pub fn step(&mut self) {
        self.turn(None);
    }

    /// One turn of the loop, in which no time passes.
    pub fn step_at_once(&mut self) {
        self.turn(Some(Duration::ZERO));
    }

    /// Lets everything happen that happens without time passing.
    ///
    /// # Panics
    ///
    /// If it never comes to rest: two echoes that speak to one another, say.
    pub fn run_until_idle(&mut self) {
        let limit = self.turns + TOO_MANY_TURNS;
        while !self.is_idle() {
            assert!(self.turns < limit, "{TOO_MANY_TURNS} turns, and still no rest");
            self.turn(Some(Duration::ZERO));
        }
    }

    /// Lets time pass, and then everything happen that happens without. For a server that has
    /// stopped, no time passes.
    ///
    /// # Panics
    ///
    /// As [`run_until_idle`](Self::run_until_idle).
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.elapsed() + duration;
        let (mut before, mut limit) = (self.elapsed(), self.turns + TOO_MANY_TURNS);
        while before < end && self.outcome().is_none() {
            self.turn(Some(end - before));
            if self.elapsed() > before {
                limit = self.turns + TOO_MANY_TURNS;
            }
            assert!(self.turns < limit, "{TOO_MANY_TURNS} turns, and time stands still");
            before = self.elapsed();
        }
        self.run_until_idle();
    }

    /// Lets the network carry what it would carry while the loop waits in its next turn. For those
    /// who measure turns, and do not want to measure the network.
    pub fn carry(&mut self) {
        let count = 1 + self.others.len() as u8;
        self.network.0.with(|network| {
            network.advance();
            (0..count).for_each(|number| network.tell_loop(number));
        });
    }

    /// Whether nothing happens without time passing.
    pub fn is_idle(&self) -> bool {
        let (is_busy, now) = self.network.0.with(|network| (network.is_busy(), network.now));
        let is_due = || self.first.is_due(now) || self.others.iter().any(|turning| turning.is_due(now));
        self.outcome.is_some() || !(is_busy || is_due())
    }

    /// Time that has passed.
    pub fn elapsed(&self) -> Duration {
        self.clock().elapsed()
    }

    /// The clock.
    pub const fn clock(&self) -> Clock {
        Clock(self.network.0, PhantomData)
    }

    /// Turns that the loop has made, or all loops together.
    pub const fn turns(&self) -> u64 {
        self.turns
    }

    fn turn(&mut self, timeout: Option<Duration>) {
        self.turns += 1;
        if self.others.is_empty() {
            self.first.turn(self.network.0, timeout);
            self.outcome = self.first.event_loop.outcome();
        } else {
            self.turn_one_of_several(self.network.0, timeout);
        }
    }

    // ---- the server ----------------------------------------------------------------------------

    /// Where the server listens.
    pub const fn address(&self) -> SocketAddr {
        SERVER
    }

    /// The application, on the first loop.
    pub const fn handler(&self) -> &H {
        self.first.event_loop.handler()
    }

    /// The application, to be changed, on the first loop.
    pub const fn handler_mut(&mut self) -> &mut H {
        self.first.event_loop.handler_mut()
    }

    /// The clients of the first loop.
    pub const fn clients(&mut self) -> &mut Clients<H::Data> {
        self.first.event_loop.clients_mut()
    }

    /// A handle for other threads, or for an application that wants one.
    pub fn remote(&self) -> Remote<H::Data> {
        self.first.event_loop.remote()
    }

    /// How the server stopped, once it has: all its loops.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    // ---- what can be known of a run ------------------------------------------------------------

    /// What the server holds in memory now.
    pub fn footprint(&self) -> Footprint {
        let mut all = Footprint::default();
        for Turning { event_loop, .. } in std::iter::once(&self.first).chain(&self.others) {
            let clients = event_loop.clients();
            let sessions = clients.table.sessions();
            let buffers = |(index, client): (usize, &Client<_>)| client.connection.memory() + sessions.holds(index);
            all.connections += clients.table.len();
            all.buffers += clients.table.iter().map(buffers).sum::<usize>();
            all.rare += clients.table.iter().map(|(_, client)| client.connection.rare_memory()).sum::<usize>();
            all.shared += clients.shared_bytes();
            all.contexts += clients.table.iter().map(|(_, client)| client.connection.context_bytes()).sum::<usize>();
            all.spares += clients.table.shared().memory();
            all.held += clients.table.shared().held();
            all.queues += clients.table.queue_memory();
        }
        all.entry = size_of::<Client<H::Data>>();
        all.simulation = self.network.0.with(|network| network.memory());
        all
    }

    /// A number that depends on every byte that the server has read and written, and when: two runs
    /// of one seed have the same. For peers with a [`Layer`], it depends on every byte that they
    /// have said and heard, and on how many bytes the server has read and written, because what is
    /// encrypted is never the same.
    pub fn fingerprint(&self) -> u64 {
        self.network.0.with(|network| network.fingerprint())
    }

    /// From now on, what happens in the network is recorded, to be read by a human.
    pub fn record_story(&mut self) {
        self.network.0.with(|network| network.record_story());
    }

    /// Adds a line to the story, if it is recorded.
    pub fn remark(&mut self, what: &str) {
        self.network.0.with(|network| network.remark(what));
    }

    /// What has been recorded since this was asked last, a line for each event.
    pub fn take_story(&mut self) -> Vec<String> {
        self.network.0.with(|network| network.take_story())
    }
}
