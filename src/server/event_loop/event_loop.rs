//! The event loop: one turn, and how a host runs it.
//!
//! Only this file asks the poller what is ready, and only this room what time it is.

#[cfg(all(unix, feature = "handover"))]
use super::handover::{Handing, Predecession};
use crate::parts::{ADOPTING, BACKPLANE, CONNECTING, LOOPS, RESERVE, WATCH};
use crate::protocol::Shared;
use crate::protocol::time::{Moment, Tick};
use crate::server::app::Handler;
use crate::server::clients::{Clients, KeepAlive, Outcome, Queue, Remote};
use crate::server::config::Config;
use crate::server::data::ClientData;
use crate::server::engine::Engine;
use crate::server::net::{Clock, Listener, LocalAddr, Poller, Ready, Resolver, SpareDescriptor};
#[cfg(all(unix, feature = "signals"))]
use crate::server::net::{Signalled, Signals};
use crate::server::observe::{Phase, Stats};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A loop that takes no longer than this for a turn, and comes no later, is not absent, in
/// nanoseconds.
const SHORT: u64 = 100_000_000;

/// After an absence of which the beginning is not known, clients have this much more time.
const GRACE: Duration = Duration::from_secs(1);

/// A server that is ready to run: [`run`](Self::run) it, or [`turn`](Self::turn) it from the host's
/// own loop.
///
/// # What you can rely on
///
/// * **A turn has a fixed order**: wait, run calls of [`Remote`]s, accept, connect, read, expire,
///   flush, reap. Callbacks are called only in a turn, on the thread that calls it.
/// * **Readiness is enough.** A host that calls [`turn`](Self::turn) when the descriptor
///   ([`AsFd`](std::os::fd::AsFd)) is readable, and at [`next_deadline`](Self::next_deadline) at
///   the latest, misses nothing. A turn that has nothing to do does no harm.
/// * **Pending work is announced.** While something is left for the next turn,
///   [`timeout`](Self::timeout) is zero and `next_deadline` is in the past. That includes what is
///   queued through [`clients_mut`](Self::clients_mut) between two turns, so ask for the timeout
///   after that.
/// * **The work of a turn is bounded** for each phase: connections accepted, bytes read, deadlines,
///   clients written to. What is beyond waits in order for the next turn, so no client starves
///   another.
/// * **No client's error ends the loop.** [`turn`](Self::turn) fails only if the poller does.
/// * **Time does not run backwards**, and each turn has one time: all its deadlines and timers are
///   judged by it.
/// * **The loop's own absence closes no client.** If its process is stopped, a callback takes long
///   or the host does not call it, the deadlines of clients stand still. Before a deadline ends a
///   connection, the loop reads it and writes to it once more. Timers keep the real time.
/// * **Dropping the loop closes all sockets at once**, without Close frames and without `on_close`.
///   Use [`Clients::shutdown`] to close them properly.
///
/// Not guaranteed:
///
/// * The duration of a turn: a callback that blocks stops all clients.
/// * That deadlines and timers are exact: they come when their turn comes, never earlier.
/// * Which clients of a turn are served first when many become ready at once.
///
/// It is not `Send`: its handler stays in one thread, and so do its buffers, which are counted
/// without atomic operations. Make the [`Server`](crate::Server), which is `Send`, anywhere, and
/// call [`start`](crate::Server::start) or [`run`](crate::Server::run) in the thread that runs it.
/// [`spawn`](crate::Server::spawn) does that. A [`Remote`](crate::Remote) reaches it from other
/// threads.
pub struct EventLoop<H: Handler> {
    pub(super) poller: Poller,
    pub(super) listeners: Vec<Listener>,
    /// Whether any listener may have new connections.
    pub(super) has_new_connections: bool,
    /// In a box, so that a loop can be moved without leaving copies of five kilobytes on the stack.
    pub(super) engine: Box<Engine<H>>,
    /// The buffer for reads from all clients. It comes with the first connection.
    read_buffer: Box<[u8]>,
    /// Its size.
    read_size: usize,
    pub(super) queue: Arc<Queue<H::Data>>,
    /// The time of the last turn.
    pub(super) now: Moment,
    /// When the last turn ended.
    ended_at: Moment,
    /// The poller may have left events.
    pub(super) has_more: bool,
    pub(super) spare: SpareDescriptor,
    /// Nothing is accepted until then, because descriptors have run out.
    pub(super) accept_again: Option<Tick>,
    pub(super) accepts_per_turn: usize,
    #[cfg(all(unix, feature = "signals"))]
    signals: Option<Signals>,
    #[cfg(all(unix, feature = "handover"))]
    pub(super) handing: Handing,
    outcome: Option<Outcome>,
}

/// What has woken the loop, beside clients and listeners.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    by_remote: bool,
    #[cfg(all(unix, feature = "signals"))]
    by_signal: bool,
    #[cfg(all(unix, feature = "handover"))]
    by_handover: bool,
}

/// The parts of a loop that do not depend on its handler.
pub(crate) struct Parts<D: ClientData> {
    pub(crate) poller: Poller,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) queue: Arc<Queue<D>>,
    pub(crate) config: Config,
    /// The seed of masking keys and other values that must not be predictable. If it is `None`, it
    /// comes from the operating system.
    pub(crate) seed: Option<u64>,
    /// If it is `None`, a thread is started when a name must be looked up.
    pub(crate) resolver: Option<Resolver>,
    /// The loop's number among those of its server.
    pub(crate) number: usize,
    #[cfg(all(unix, feature = "signals"))]
    pub(crate) signals: Option<Signals>,
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) handing: Handing,
    /// From which process this one takes over.
    #[cfg(all(unix, feature = "handover"))]
    pub(crate) taking: Option<Predecession>,
}

/// Not inline: it needs several kilobytes of the stack, and what the loop does next should not lie
/// below them.
#[inline(never)]
fn make_engine<H: Handler>(
    handler: H,
    config: &Config,
    seed: Option<u64>,
    clock: Clock,
    remote: Remote<H::Data>,
) -> Box<Engine<H>> {
    let shared = Shared::seeded(config.limits.clone(), seed)
        .with_deflate(config.deflate.clone())
        .with_budget(config.memory_budget, config.step_reserve());
    Box::new(Engine::new(handler, config, shared, clock, remote))
}

impl<H: Handler> EventLoop<H> {
    /// Not inline: what it has on the stack would stay there while the loop runs.
    #[inline(never)]
    pub(crate) fn new(parts: Parts<H::Data>, handler: H) -> io::Result<EventLoop<H>> {
        let Parts { poller, mut listeners, queue, config, seed, .. } = parts;
        if RESERVE.is_used() {
            // A buffer that cannot be allocated later would end the process.
            let bytes = config.reserved_memory();
            let why = |_| io::Error::new(io::ErrorKind::OutOfMemory, format!("{bytes} bytes cannot be reserved"));
            Vec::<u8>::new().try_reserve_exact(bytes).map_err(why)?;
        }
        for (index, listener) in listeners.iter_mut().enumerate() {
            poller.watch_listener(listener, index)?;
        }
        let now = poller.now();
        let mut engine = make_engine(handler, &config, seed, poller.clock(), Remote::new(Arc::clone(&queue)));
        engine.clients.resolver = parts.resolver;
        if LOOPS.is_used() {
            engine.clients.join_loops(parts.number);
        }
        engine.start();
        if BACKPLANE.is_used() {
            engine.clients.follow_broadcasts();
        }
        #[cfg(all(unix, feature = "handover"))]
        let handing = parts.handing;
        let event_loop = EventLoop {
            poller,
            listeners,
            // Connections may already wait.
            has_new_connections: true,
            engine,
            read_buffer: if config.reserve.is_some() { vec![0; config.read_buffer].into() } else { Box::default() },
            read_size: config.read_buffer,
            queue,
            now,
            ended_at: now,
            has_more: false,
            spare: SpareDescriptor::new(),
            accept_again: None,
            accepts_per_turn: config.accepts_per_turn,
            #[cfg(all(unix, feature = "signals"))]
            signals: parts.signals,
            #[cfg(all(unix, feature = "handover"))]
            handing,
            outcome: None,
        };
        #[cfg(all(unix, feature = "handover"))]
        let event_loop = event_loop.began(parts.taking)?;
        Ok(event_loop)
    }

    /// Turns until the server has shut down. Returns how it stopped.
    ///
    /// # Errors
    ///
    /// The poller has failed. Errors of clients are never reported here.
    pub fn run(&mut self) -> io::Result<Outcome> {
        let mut now = self.poller.now();
        loop {
            if let Some(outcome) = self.outcome {
                return Ok(outcome);
            }
            now = self.turn_from(now, None)?;
        }
    }

    /// Runs one turn. Waits at most `timeout` for something to do, or without a limit if it is
    /// `None`, and does not wait while something is pending. [`outcome`](Self::outcome) reports
    /// whether the turn was the last.
    ///
    /// # Errors
    ///
    /// The poller has failed. Errors of clients are never reported here.
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.outcome.is_some() {
            return Ok(());
        }
        let now = self.poller.now();
        if now.nanos_since(self.ended_at) > SHORT {
            let was_stopped = self.poller.was_stopped();
            self.note_absence(self.ended_at, now, was_stopped);
        }
        self.turn_from(now, timeout).map(drop)
    }

    /// Runs one turn, and returns when it ended.
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
        self.read();
        self.ended(Phase::Read);
        self.engine.expire();
        self.engine.tell_memberships();
        self.engine.replay();
        self.ended(Phase::Expire);
        self.engine.flush();
        self.ended(Phase::Flush);
        self.engine.let_leave(|socket| self.poller.unwatch(socket));
        self.engine.reap();
        self.engine.clients.trim_spares();
        self.stop_when_done();
        #[cfg(all(unix, feature = "handover"))]
        self.hand_over_if_asked();
        let end = self.poller.now();
        if self.engine.clients.is_watched() {
            self.watched_turn_ends(end);
        }
        let took = end.nanos_since(self.now);
        self.engine.clients.table.counters_mut().turned(took);
        self.ended_at = end;
        if took > SHORT {
            self.turn_was_long(took);
        }
        Ok(end)
    }

    /// Returns when [`turn`](Self::turn) must be called at the latest, even if
    /// [`as_fd`](std::os::fd::AsFd::as_fd) does not become readable. While something is pending,
    /// that is in the past. `None` if only readiness matters.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.next_moment().map(|due| self.poller.to_instant(due))
    }

    /// Returns how long a host's own loop may wait before it calls [`turn`](Self::turn), as a
    /// timeout for `poll(2)`: zero while something is pending, `None` if only readiness matters.
    pub fn timeout(&self) -> Option<Duration> {
        self.next_moment().map(|due| due.since(self.poller.now()))
    }

    /// Returns when the next turn must begin at the latest.
    pub(crate) fn next_moment(&self) -> Option<Moment> {
        let wait = if self.queue.has_calls() { Some(Duration::ZERO) } else { self.longest_wait(self.now) };
        wait.map(|wait| self.now.after(wait))
    }

    /// Returns how the server stopped, once it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Returns what the server has done so far, and what it holds now.
    pub fn stats(&self) -> Stats {
        self.engine.clients.stats()
    }

    /// Returns the time that the loop has turned and waited.
    pub const fn uptime(&self) -> Duration {
        self.engine.clients.table.counters().uptime()
    }

    /// Returns the handler.
    pub const fn handler(&self) -> &H {
        &self.engine.handler
    }

    /// The loop keeps its peers alive, because nothing else does.
    pub(crate) fn keep_alive(&mut self, peers: KeepAlive) {
        self.engine.clients.keep_alive(peers);
    }

    /// Returns the handler, mutably.
    pub const fn handler_mut(&mut self) -> &mut H {
        &mut self.engine.handler
    }

    /// Returns the handler and the clients, so that a host can use both between two turns. The
    /// clients are on the first route of a [`Router`](crate::Router).
    pub const fn parts_mut(&mut self) -> (&mut H, &mut Clients<H::Data>) {
        self.engine.clients.route = 0;
        (&mut self.engine.handler, &mut self.engine.clients)
    }

    #[cfg(feature = "sim")]
    pub(crate) const fn clients(&self) -> &Clients<H::Data> {
        &self.engine.clients
    }

    /// Returns the clients, so that a host can use them between two turns. They are on the first
    /// route of a [`Router`](crate::Router); see [`on_route`](Clients::on_route).
    pub const fn clients_mut(&mut self) -> &mut Clients<H::Data> {
        self.engine.clients.route = 0;
        &mut self.engine.clients
    }

    /// Returns a handle for other threads.
    pub fn remote(&self) -> Remote<H::Data> {
        Remote::new(Arc::clone(&self.queue))
    }

    /// Returns the addresses at which the server listens.
    pub fn local_addrs(&self) -> Vec<LocalAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Notes the end of a phase, if the turn is timed.
    #[inline(always)]
    fn ended(&mut self, phase: Phase) {
        if self.engine.clients.watch.as_ref().is_some_and(|watch| watch.is_timed) && WATCH.is_used() {
            self.note_end(phase);
        }
    }

    // ---- the steps of a turn -------------------------------------------------------------------

    /// Waits for readiness, the next deadline or a waker. Does not wait while something is pending.
    fn wait(&mut self, now: Moment, timeout: Option<Duration>) -> io::Result<Woken> {
        let timeout = self.longest_wait(now).into_iter().chain(timeout).min();
        let (engine, listeners, has_new_connections) =
            (&mut self.engine, &mut self.listeners, &mut self.has_new_connections);
        let (mut woken, mut events) = (Woken::default(), 0);
        let waited = self.poller.wait(timeout, |ready| match ready {
            Ready::Remote => woken.by_remote = true,
            #[cfg(all(unix, feature = "signals"))]
            Ready::Signal => woken.by_signal = true,
            #[cfg(all(unix, feature = "handover"))]
            Ready::Handover => woken.by_handover = true,
            Ready::Listener(index) => (listeners[index].ready, *has_new_connections) = (true, true),
            Ready::Client(readiness) => {
                events += 1;
                engine.ready(readiness);
            }
        })?;
        self.now = self.poller.now();
        let counters = engine.clients.table.counters_mut();
        let gap = self.now.nanos_since(now);
        counters.waited += gap;
        counters.turn_events.record(events);
        self.has_more = waited.has_more;
        if gap > SHORT {
            self.note_absence(now, self.now, waited.was_interrupted);
        }
        Ok(woken)
    }

    /// A turn has taken this long, in nanoseconds. The loop was absent for most of it.
    #[cold]
    fn turn_was_long(&mut self, took: u64) {
        let absent = Duration::from_nanos(took - SHORT);
        if self.is_time_passing() {
            self.engine.clients.lose_time(absent, absent);
        }
    }

    /// The loop has not turned from one moment to another. If a deadline passed between them, it
    /// came too late: its process was stopped, or its host was busy. The moment at which that began
    /// is unknown. So the absence counts as twice the delay and a little more.
    #[cold]
    fn note_absence(&mut self, from: Moment, to: Moment, was_interrupted: bool) {
        let Some(due) = self.next_due().filter(|_| self.is_time_passing()) else { return };
        let (gap, short) = (to.since(from), Duration::from_nanos(SHORT));
        let late = gap.saturating_sub(self.engine.clients.table.clock().until(due, from));
        if late > short || was_interrupted {
            let absent = (2 * late + GRACE).min(gap);
            self.engine.clients.lose_time(absent - short, gap);
        }
    }

    /// Begins a turn: sets its time, runs the calls of other threads, and obeys signals.
    fn begin(&mut self, woken: Woken) {
        self.engine.clients.table.begin_turn(self.now);
        // With more events pending, that of the waker may be among them.
        if woken.by_remote || self.has_more {
            for call in self.queue.take() {
                self.engine.obey(call);
            }
            if LOOPS.is_used() {
                self.accept_handed();
                if self.outcome.is_none() && self.engine.clients.must_stop() {
                    self.stop(true);
                }
            }
        }
        #[cfg(all(unix, feature = "signals"))]
        if woken.by_signal {
            self.obey_signals();
        }
        #[cfg(all(unix, feature = "handover"))]
        if woken.by_handover {
            self.meet_successors();
        }
    }

    /// Begins the connections that the application has asked for, and watches the streams that it
    /// has brought.
    fn connect(&mut self) {
        if ADOPTING.is_used() {
            let poller = &self.poller;
            self.engine.watch_adopted(|socket, client| poller.watch(socket, client));
        }
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

    /// Reads the clients that have something.
    #[inline(always)]
    fn read(&mut self) {
        if self.read_buffer.is_empty() && self.engine.clients.table.waiting().0 > 0 {
            self.make_read_buffer();
        }
        self.engine.read(&mut self.read_buffer);
    }

    /// Makes the buffer for reads, unless it exists.
    #[cold]
    pub(super) fn make_read_buffer(&mut self) {
        if self.read_buffer.is_empty() {
            self.read_buffer = vec![0; self.read_size].into();
        }
    }

    /// The last turn ends now.
    #[cfg(all(unix, feature = "handover"))]
    pub(super) fn ended_now(&mut self) {
        self.ended_at = self.poller.now();
    }

    /// Whether another process has taken over, and how many connections.
    #[cfg(not(all(unix, feature = "handover")))]
    const fn replaced(&self) -> (bool, usize) {
        (false, 0)
    }

    pub(super) fn stop_when_done(&mut self) {
        if self.outcome.is_none() && self.engine.has_stopped() && self.engine.clients.may_end() {
            self.stop(false);
        }
    }

    fn stop(&mut self, interrupted: bool) {
        let dropped = self.engine.end_all();
        let (replaced, handed_over) = self.replaced();
        self.outcome = Some(Outcome { dropped, interrupted, replaced, handed_over });
        #[cfg(all(unix, feature = "handover"))]
        self.handing.stop();
        self.queue.close();
        self.listeners.clear();
        self.has_new_connections = false;
    }

    /// Begins a shutdown at the first signal, and stops at once at the second.
    #[cfg(all(unix, feature = "signals"))]
    fn obey_signals(&mut self) {
        match self.signals.as_mut().map(Signals::take) {
            Some(Signalled::Once(drain)) => self.engine.clients.shutdown(drain),
            Some(Signalled::Again) => {
                self.stop(true);
                self.engine.clients.stop_other_loops();
            }
            Some(Signalled::No) | None => {}
        }
    }

    /// Returns how long the next turn may wait. Returns `None` if it may wait until something is
    /// ready.
    fn longest_wait(&self, now: Moment) -> Option<Duration> {
        let wait = match self.has_work() {
            true => Some(Duration::ZERO),
            false => self.next_due().map(|due| self.engine.clients.table.clock().until(due, now)),
        };
        if self.engine.clients.is_watched() { self.watched_wait(now, wait) } else { wait }
    }

    /// Returns whether something is pending that needs no event.
    fn has_work(&self) -> bool {
        let may_accept = self.accept_again.is_none() && self.has_new_connections && self.engine.clients.has_place();
        let is_told = self.engine.clients.membership_changes() == 0;
        may_accept
            || self.engine.clients.table.has_work()
            || self.queue.has_silent_calls()
            || self.has_more
            || !is_told
            || self.engine.clients.has_replays()
    }

    /// Returns when the next deadline is, in the loop's time.
    #[inline(always)]
    fn next_due(&self) -> Option<Tick> {
        let clients = &self.engine.clients;
        let shutdown = clients.shutdown.as_ref().map(|shutdown| shutdown.next_due(clients.table.now()));
        let others = Tick::earliest(Tick::earliest(self.accept_again, shutdown), clients.pressure.next_due());
        let others = others.map(|due| clients.table.clock().of_client(due));
        Tick::earliest(clients.table.next_due(), others)
    }
}

impl<H: Handler> fmt::Debug for EventLoop<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = &self.engine.clients;
        f.debug_struct("EventLoop")
            .field("listeners", &self.listeners)
            .field("clients", clients)
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Drop for EventLoop<H> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
