//! A simulated server, and how its time passes.

use super::peer::Peer;
use crate::protocol::{Opening, OpeningError};
use crate::server::app::Handler;
use crate::server::clients::{Clients, ConnectOptions, Outcome, Queue, Remote};
use crate::server::config::Config;
use crate::server::event_loop::{EventLoop, Parts};
use crate::server::net::memory::{Backlog, Faults, NetworkRef, SERVER, Stays};
use crate::server::net::{Listener, Poller, Question, Resolver};
use crate::server::table::Client;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// After this many turns without time passing, the loop is considered stuck.
const TOO_MANY_TURNS: u64 = 1_000_000;

/// A server whose network and clock exist in memory only.
///
/// It stays in the thread in which it was made; there can be 256 at a time in each. It is not
/// `Send`, because its network belongs to the thread.
pub struct Simulation<H: Handler> {
    event_loop: EventLoop<H>,
    /// Names that the server wants to have looked up.
    questions: Receiver<Question>,
    turns: u64,
    // The last: sockets that are dropped look for their network.
    network: OwnNetwork,
    stays: Stays,
}

impl<H: Handler> fmt::Debug for Simulation<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("event_loop", &self.event_loop).finish_non_exhaustive()
    }
}

/// Ends with its simulation.
struct OwnNetwork(NetworkRef);

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
        if let Err(error) = config.validate() {
            panic!("{error}");
        }
        let network = OwnNetwork(NetworkRef::new(seed, &config));
        let (ask, questions) = channel();
        let queue = Arc::new(Queue::new(None, config.remote_queue));
        let parts = Parts {
            poller: Poller::Simulated(network.0),
            listeners: vec![Listener::simulated(Backlog(network.0))],
            queue,
            config,
            seed: Some(seed),
            resolver: Some(Resolver::by_hand(ask)),
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
        };
        let event_loop = EventLoop::new(parts, handler).expect("a simulated loop asks the system for nothing");
        Simulation { event_loop, questions, turns: 0, network, stays: PhantomData }
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
        self.network.0.with(|network| network.add_host(host, port));
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
        self.network.0.with(|network| network.advance());
    }

    /// Whether nothing happens without time passing.
    pub fn is_idle(&self) -> bool {
        let (is_busy, now) = self.network.0.with(|network| (network.is_busy(), network.now));
        let is_due = || self.event_loop.next_moment().is_some_and(|due| due <= now);
        self.outcome().is_some() || !(is_busy || is_due())
    }

    /// Time that has passed.
    pub fn elapsed(&self) -> Duration {
        self.clock().elapsed()
    }

    /// The clock.
    pub const fn clock(&self) -> Clock {
        Clock(self.network.0, PhantomData)
    }

    /// Turns that the loop has made.
    pub const fn turns(&self) -> u64 {
        self.turns
    }

    fn turn(&mut self, timeout: Option<Duration>) {
        self.turns += 1;
        self.answer_questions();
        self.event_loop.turn(timeout).expect("a simulated poller does not fail");
        self.answer_questions();
    }

    fn answer_questions(&mut self) {
        while let Ok(question) = self.questions.try_recv() {
            let found = self.network.0.with(|network| network.names.get(&question.name).copied());
            let addresses = found.map(|ip| SocketAddr::new(ip, question.port)).into_iter().collect();
            self.event_loop.clients_mut().resolved(question.id, addresses);
        }
    }

    // ---- the server ----------------------------------------------------------------------------

    /// Where the server listens.
    pub const fn address(&self) -> SocketAddr {
        SERVER
    }

    /// The application.
    pub const fn handler(&self) -> &H {
        self.event_loop.handler()
    }

    /// The application, to be changed.
    pub const fn handler_mut(&mut self) -> &mut H {
        self.event_loop.handler_mut()
    }

    /// The clients.
    pub const fn clients(&mut self) -> &mut Clients<H::Data> {
        self.event_loop.clients_mut()
    }

    /// A handle for other threads, or for an application that wants one.
    pub fn remote(&self) -> Remote<H::Data> {
        self.event_loop.remote()
    }

    /// How the server stopped, once it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.event_loop.outcome()
    }

    // ---- what can be known of a run ------------------------------------------------------------

    /// What the server holds in memory now.
    pub fn footprint(&self) -> Footprint {
        let clients = self.event_loop.clients();
        Footprint {
            connections: clients.table.len(),
            entry: size_of::<Client<H::Data>>(),
            buffers: clients.table.iter().map(|(_, client)| client.connection.memory()).sum(),
            rare: clients.table.iter().map(|(_, client)| client.connection.rare_memory()).sum(),
            shared: clients.shared_bytes(),
            contexts: clients.table.iter().map(|(_, client)| client.connection.context_bytes()).sum(),
            spares: clients.table.shared().memory(),
            held: clients.table.shared().held(),
            queues: clients.table.queue_memory(),
            simulation: self.network.0.with(|network| network.memory()),
        }
    }

    /// A number that depends on every byte that the server has read and written, and when: two runs
    /// of one seed have the same.
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
