//! What is one turn, and how does a host run it?
//!
//! What is ready, and what time it is, says the poller: this is the only file that asks.

use crate::parts::{CONNECTING, WATCH};
use crate::protocol::Shared;
use crate::protocol::time::{Epoch, Moment, Tick};
use crate::server::app::Handler;
use crate::server::clients::{Clients, Outcome, Queue, Remote};
use crate::server::config::Config;
use crate::server::engine::Engine;
use crate::server::net::{Listener, LocalAddr, Poller, Ready, Resolver, SpareDescriptor, is_exhaustion};
#[cfg(all(unix, feature = "signals"))]
use crate::server::net::{Signalled, Signals};
use crate::server::observe::{Phase, Stats};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After descriptors have run out, accepting is tried again this much later.
const RETRY_ACCEPT: Duration = Duration::from_millis(100);

/// A server that is running: [`run`](Self::run) it, or [`turn`](Self::turn) it from a loop of your
/// own.
pub struct EventLoop<H: Handler> {
    pub(super) poller: Poller,
    pub(super) listeners: Vec<Listener>,
    /// Whether any of them is ready.
    has_newcomers: bool,
    pub(super) engine: Engine<H>,
    /// What is read from any client, one after the other.
    read_buffer: Box<[u8]>,
    pub(super) queue: Arc<Queue<H::Data>>,
    pub(super) epoch: Epoch,
    /// The time of the last turn.
    pub(super) now: Moment,
    spare: SpareDescriptor,
    /// Descriptors have run out; until then nothing is accepted.
    pub(super) accept_again: Option<Tick>,
    accepts_per_turn: usize,
    #[cfg(all(unix, feature = "signals"))]
    signals: Option<Signals>,
    outcome: Option<Outcome>,
}

/// Who has something to say before a turn begins.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    by_remote: bool,
    #[cfg(all(unix, feature = "signals"))]
    by_signal: bool,
}

/// The parts of a loop that exist before its handler does.
pub(crate) struct Parts<D> {
    pub(crate) poller: Poller,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) queue: Arc<Queue<D>>,
    pub(crate) config: Config,
    /// Of masking keys and whatever else nobody must foresee. `None`: from the operating system.
    pub(crate) seed: Option<u64>,
    /// `None`: a thread will be started when a name is to be looked up.
    pub(crate) resolver: Option<Resolver>,
    #[cfg(all(unix, feature = "signals"))]
    pub(crate) signals: Option<Signals>,
}

impl<H: Handler> EventLoop<H> {
    pub(crate) fn new(parts: Parts<H::Data>, handler: H) -> io::Result<EventLoop<H>> {
        let Parts { poller, mut listeners, queue, config, seed, .. } = parts;
        for (index, listener) in listeners.iter_mut().enumerate() {
            poller.watch_listener(listener, index)?;
        }
        let now = poller.now();
        let epoch = Epoch::default();
        let limits = config.limits.clone();
        let shared = match seed {
            Some(seed) => Shared::with_seed(limits, seed),
            None => Shared::new(limits),
        };
        let shared = shared.with_deflate(config.deflate.clone()).with_budget(config.memory_budget, config.reserve());
        let mut engine = Engine::new(handler, &config, shared, epoch.tick(now), Remote::new(Arc::clone(&queue)));
        engine.clients.resolver = parts.resolver;
        engine.start();
        Ok(EventLoop {
            poller,
            listeners,
            // Somebody may wait already.
            has_newcomers: true,
            engine,
            read_buffer: vec![0; config.read_buffer].into(),
            queue,
            epoch,
            now,
            spare: SpareDescriptor::new(),
            accept_again: None,
            accepts_per_turn: config.accepts_per_turn,
            #[cfg(all(unix, feature = "signals"))]
            signals: parts.signals,
            outcome: None,
        })
    }

    /// Turns until the server has been shut down, and says how that went.
    ///
    /// # Errors
    ///
    /// The poller has failed. No client's error ever comes here.
    pub fn run(&mut self) -> io::Result<Outcome> {
        let mut now = self.poller.now();
        loop {
            if let Some(outcome) = self.outcome {
                return Ok(outcome);
            }
            now = self.turn_from(now, None)?;
        }
    }

    /// One turn. Waits at most `timeout` for something to do (`None`: as long as it takes), and not
    /// at all while something is pending. Returns after the turn; [`outcome`](Self::outcome)
    /// tells whether it was the last.
    ///
    /// # Errors
    ///
    /// The poller has failed. No client's error ever comes here.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.outcome.is_some() {
            return Ok(());
        }
        let now = self.poller.now();
        self.turn_from(now, timeout).map(drop)
    }

    /// One turn from now on, and when it ended.
    fn turn_from(&mut self, now: Moment, timeout: Option<Duration>) -> io::Result<Moment> {
        let woken = self.wait(now, timeout)?;
        if self.engine.clients.is_watched() {
            self.watched_turn_begins();
        }
        self.begin(woken);
        self.accept();
        self.ended(Phase::Accept);
        self.connect();
        self.ended(Phase::Connect);
        self.engine.read(&mut self.read_buffer);
        self.ended(Phase::Read);
        self.engine.expire();
        self.ended(Phase::Expire);
        self.engine.flush();
        self.ended(Phase::Flush);
        self.engine.reap();
        self.stop_when_done();
        let end = self.poller.now();
        if self.engine.clients.is_watched() {
            self.watched_turn_ends(end);
        }
        self.engine.clients.table.counters_mut().turned(end.nanos_since(self.now));
        Ok(end)
    }

    /// When [`turn`](Self::turn) should be called at the latest, even if
    /// [`as_fd`](std::os::fd::AsFd::as_fd) does not become readable. In the past while
    /// something is pending; `None`: only readiness matters.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_moment().map(|due| self.poller.to_instant(due))
    }

    /// How long a host's own loop may wait before it calls [`turn`](Self::turn), as `poll(2)` wants
    /// it: zero while something is pending, `None` when only readiness matters.
    pub fn timeout(&self) -> Option<Duration> {
        self.next_moment().map(|due| due.since(self.poller.now()))
    }

    /// When the next turn should begin at the latest.
    pub(crate) fn next_moment(&self) -> Option<Moment> {
        let wait = if self.queue.has_calls() { Some(Duration::ZERO) } else { self.longest_wait(self.now) };
        wait.map(|wait| self.now.after(wait))
    }

    /// How the server stopped, once it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// What the server has done so far, and what it holds now.
    pub fn stats(&self) -> Stats {
        self.engine.clients.stats()
    }

    /// How long the loop has turned and waited.
    pub const fn uptime(&self) -> Duration {
        self.engine.clients.table.counters().uptime()
    }

    /// The application.
    pub const fn handler(&self) -> &H {
        &self.engine.handler
    }

    /// The application, to be changed.
    pub const fn handler_mut(&mut self) -> &mut H {
        &mut self.engine.handler
    }

    /// Both, for a host that has something to do between two turns that concerns the application,
    /// too. The clients are on the first route of a [`Router`](crate::Router).
    pub const fn parts_mut(&mut self) -> (&mut H, &mut Clients<H::Data>) {
        self.engine.clients.route = 0;
        (&mut self.engine.handler, &mut self.engine.clients)
    }

    #[cfg(feature = "sim")]
    pub(crate) const fn clients(&self) -> &Clients<H::Data> {
        &self.engine.clients
    }

    /// The clients, for a host that turns the loop itself and has something to say between two
    /// turns. They are on the first route of a [`Router`](crate::Router); see
    /// [`on_route`](Clients::on_route).
    pub const fn clients_mut(&mut self) -> &mut Clients<H::Data> {
        self.engine.clients.route = 0;
        &mut self.engine.clients
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote<H::Data> {
        Remote::new(Arc::clone(&self.queue))
    }

    /// Where the server listens.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// A phase of the turn has ended: nothing happens then, unless somebody watches and the turn is
    /// timed.
    #[inline(always)]
    fn ended(&mut self, phase: Phase) {
        if self.engine.clients.watch.as_ref().is_some_and(|watch| watch.is_timed) && WATCH.is_used() {
            self.note_end(phase);
        }
    }

    // ---- the steps of a turn -------------------------------------------------------------------

    /// Waits for readiness, the nearest deadline or a waker; not at all while somebody has work
    /// left.
    fn wait(&mut self, now: Moment, timeout: Option<Duration>) -> io::Result<Woken> {
        let timeout = self.longest_wait(now).into_iter().chain(timeout).min();
        let (engine, listeners, has_newcomers) = (&mut self.engine, &mut self.listeners, &mut self.has_newcomers);
        let (mut woken, mut events) = (Woken::default(), 0);
        self.poller.wait(timeout, |ready| match ready {
            Ready::Remote => woken.by_remote = true,
            #[cfg(all(unix, feature = "signals"))]
            Ready::Signal => woken.by_signal = true,
            Ready::Listener(index) => (listeners[index].ready, *has_newcomers) = (true, true),
            Ready::Client(readiness) => {
                events += 1;
                engine.ready(readiness);
            }
        })?;
        self.now = self.poller.now();
        let counters = engine.clients.table.counters_mut();
        counters.waited += self.now.nanos_since(now);
        counters.turn_events.record(events);
        Ok(woken)
    }

    /// The turn begins: what time it is, and what others want.
    fn begin(&mut self, woken: Woken) {
        self.engine.clients.table.set_now(self.epoch.tick(self.now));
        if woken.by_remote {
            for call in self.queue.take() {
                self.engine.run(call);
            }
        }
        #[cfg(all(unix, feature = "signals"))]
        if woken.by_signal {
            self.obey_signals();
        }
    }

    /// Accepts until there is nobody left, or the turn's share is used up.
    fn accept(&mut self) {
        if self.accept_again.is_some_and(|again| !again.is_due(self.engine.clients.table.now())) {
            return;
        }
        // If this one fails, too, another retry will be set.
        let is_retry = self.accept_again.take().is_some();
        if self.has_newcomers {
            self.accept_newcomers(is_retry);
            self.has_newcomers = self.listeners.iter().any(|listener| listener.ready);
        }
    }

    #[inline(never)]
    fn accept_newcomers(&mut self, is_retry: bool) {
        let mut share = self.accepts_per_turn;
        for index in 0..self.listeners.len() {
            while self.listeners[index].ready && share > 0 {
                share -= 1;
                match self.listeners[index].accept() {
                    Ok(socket) => {
                        let poller = &self.poller;
                        let watch = |socket: &mut _, client| poller.watch(socket, client);
                        self.engine.accept(socket, self.listeners[index].arrival, watch);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.listeners[index].ready = false,
                    Err(error) if is_exhaustion(&error) => {
                        self.exhausted(index, &error, is_retry);
                        return;
                    }
                    // The newcomer has gone again (ECONNABORTED and the like): on to the next.
                    Err(error) => {
                        self.engine.clients.table.counters_mut().accept_errors += 1;
                        log::debug!("accept: {error}");
                    }
                }
            }
        }
    }

    /// Descriptors or memory have run out: whoever waits is turned away, and accepting is tried
    /// again a little later.
    #[cold]
    fn exhausted(&mut self, index: usize, error: &io::Error, is_retry: bool) {
        if !is_retry {
            let clients = self.engine.clients.len_all();
            log::error!("newcomers are turned away, with {clients} clients open: {error}. `ulimit -n` sets the limit.");
        }
        let counters = self.engine.clients.table.counters_mut();
        counters.accept_errors += 1;
        for _ in 0..self.accepts_per_turn {
            if !self.spare.turn_away(&self.listeners[index]) {
                break;
            }
            counters.turned_away += 1;
        }
        self.accept_again = Some(self.engine.clients.table.now().after(RETRY_ACCEPT));
    }

    /// Opens the connections that the application has asked for.
    fn connect(&mut self) {
        if !CONNECTING.is_used() {
            return;
        }
        while let Some((index, address, source)) = self.engine.next_connecting() {
            let begun = self.poller.connect(address, source).and_then(|mut socket| {
                self.poller.watch(&mut socket, index)?;
                Ok(socket)
            });
            self.engine.connecting(index, begun);
        }
    }

    fn stop_when_done(&mut self) {
        if self.outcome.is_none() && self.engine.has_stopped() {
            self.stop(false);
        }
    }

    fn stop(&mut self, interrupted: bool) {
        let dropped = self.engine.drop_everybody();
        self.outcome = Some(Outcome { dropped, interrupted });
        self.queue.close();
        self.listeners.clear();
        self.has_newcomers = false;
    }

    /// The first signal shuts down, the second one does not wait.
    #[cfg(all(unix, feature = "signals"))]
    fn obey_signals(&mut self) {
        match self.signals.as_mut().map(Signals::take) {
            Some(Signalled::Once(drain)) => self.engine.clients.shutdown(drain),
            Some(Signalled::Again) => self.stop(true),
            Some(Signalled::No) | None => {}
        }
    }

    /// How long the next turn may wait; `None`: until something is ready.
    fn longest_wait(&self, now: Moment) -> Option<Duration> {
        let wait = match self.has_work() {
            true => Some(Duration::ZERO),
            false => self.next_due().map(|due| self.epoch.until(due, now)),
        };
        if self.engine.clients.is_watched() { self.watched_wait(now, wait) } else { wait }
    }

    /// Whether something is pending that waits for no event.
    fn has_work(&self) -> bool {
        let may_accept = self.accept_again.is_none() && self.has_newcomers;
        may_accept || self.engine.clients.table.has_work() || self.queue.has_silent_calls() || self.poller.has_more()
    }

    /// When something is due.
    fn next_due(&self) -> Option<Tick> {
        let clients = &self.engine.clients;
        let shutdown = clients.shutdown.as_ref().map(|shutdown| shutdown.next_due(clients.table.now()));
        let others = Tick::earliest(Tick::earliest(self.accept_again, shutdown), clients.pressure.next_due());
        Tick::earliest(clients.table.next_due(), others)
    }
}

/// Readable when [`EventLoop::turn`] has something to do: for a host's own epoll, kqueue, poll or
/// select.
///
/// The host may be edge-triggered (epoll with `EPOLLET`, mio, tokio's `AsyncFd`). One turn takes at
/// most [`events_per_turn`](crate::Config::events_per_turn) events, and no further edge comes for
/// the rest. [`timeout`](EventLoop::timeout) is zero until they are taken, so the host must ask for
/// it before every wait.
#[cfg(unix)]
impl<H: Handler> std::os::fd::AsFd for EventLoop<H> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

impl<H: Handler> Drop for EventLoop<H> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
