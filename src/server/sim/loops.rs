//! A simulated server with several loops, of which one turns at a time.

use super::simulation::{OwnNetwork, Simulation, or_panic};
use super::turning::Turning;
use crate::server::app::Handler;
use crate::server::backplane::{Backplane, NodeId};
use crate::server::clients::{Clients, MOST_LOOPS, Outcome, Peers, Queue};
use crate::server::config::{Config, ListenOptions};
use crate::server::data::ClientData;
use crate::server::net::Listener;
use crate::server::net::memory::{Backlog, NetworkRef};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// Decides which loop turns next.
pub(super) struct Order {
    random: StdRng,
    /// A loop that does not run while another one has something to do, and for how many turns.
    held: Option<(u8, u32)>,
}

impl Order {
    pub(super) fn new(seed: u64) -> Order {
        // The network has the same seed, and shall not decide the same.
        Order { random: StdRng::seed_from_u64(!seed), held: None }
    }

    /// Chooses one of these. As threads do, each may rest for long while others run.
    fn choose(&mut self, loops: &[u8]) -> u8 {
        if self.held.is_none() && self.random.random_bool(0.02) {
            let number = loops[self.random.random_range(0..loops.len())];
            self.held = Some((number, self.random.random_range(1..100)));
        }
        let held = self.held.map(|(number, _)| number);
        self.held = self.held.and_then(|(number, left)| Some((number, left.checked_sub(1)?)));
        let free: Vec<u8> = loops.iter().copied().filter(|number| Some(*number) != held).collect();
        let among = if free.is_empty() { loops } else { &free };
        among[self.random.random_range(0..among.len())]
    }
}

/// Keeps the loops of a server together.
pub(super) struct Together<D: ClientData>(Arc<Peers<D>>);

impl<D: ClientData> Drop for Together<D> {
    fn drop(&mut self) {
        // A `Remote` in another thread may hold them a little longer, but no socket of this one.
        (0..self.0.len()).for_each(|number| self.0.stopped(number));
    }
}

impl<H: Handler> Simulation<H> {
    /// As [`new`](Self::new), for a server with several loops
    /// ([`Server::loops`](crate::Server::loops)). `make` makes the handler of each of them, that of
    /// the first loop first.
    ///
    /// In each [step](Self::step), one loop turns. The seed decides which, so with another seed the
    /// loops come in another order. Now and then, a loop rests while others turn many times, as
    /// threads do. No time passes while any loop has something to do. A turn is never interrupted,
    /// so what threads do in the middle of one another's turns is not simulated.
    ///
    /// ```
    /// use lariat::sim::Simulation;
    /// use lariat::{ClientId, Clients, Config, Handler, Message, Request};
    ///
    /// /// Each room is on one loop. Each member of any room hears the news.
    /// struct Rooms;
    ///
    /// impl Handler for Rooms {
    ///     type Data = ();
    ///     fn choose_loop(&mut self, _: &mut Clients<()>, request: &Request<'_>) -> Option<usize> {
    ///         request.path().strip_prefix("/room/")?.parse().ok()
    ///     }
    ///     fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
    ///         clients.subscribe(id, "news");
    ///     }
    ///     fn on_message(&mut self, clients: &mut Clients<()>, _: ClientId, message: Message<'_>) {
    ///         clients.publish("news", message);
    ///     }
    /// }
    ///
    /// for seed in 0..10 {
    ///     let mut sim = Simulation::with_loops(seed, Config::default(), 3, || Rooms);
    ///     let [anna, bert] = ["/room/1", "/room/2"].map(|room| sim.connect(room));
    ///     sim.run_until_idle();
    ///     assert_eq!([0, 1, 2].map(|number| sim.clients_on_loop(number).len()), [0, 1, 1]);
    ///
    ///     anna.send("hello");
    ///     sim.run_until_idle();
    ///     assert_eq!(bert.received_text(), ["hello"]);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new). The number of loops must be possible, and the config needs the
    /// [memory budget](Config::least_memory_budget_of_loops) for them.
    pub fn with_loops(seed: u64, config: Config, count: usize, make: impl FnMut() -> H) -> Simulation<H> {
        Simulation::joined(seed, config, count, |_| {}, make)
    }

    /// As [`with_loops`](Self::with_loops), for a server that shares its topics with others, as
    /// [`with_backplane`](Self::with_backplane) makes it.
    ///
    /// # Panics
    ///
    /// As [`with_loops`](Self::with_loops) and [`with_backplane`](Self::with_backplane).
    pub fn with_loops_and_backplane(
        seed: u64,
        config: Config,
        count: usize,
        backplane: impl Backplane + 'static,
        make: impl FnMut() -> H,
    ) -> Simulation<H>
    where
        H::Data: 'static,
    {
        let start = |peers: &Arc<Peers<_>>| or_panic(peers.start_backplane(Box::new(backplane), NodeId(seed)));
        Simulation::joined(seed, config, count, start, make)
    }

    fn joined(
        seed: u64,
        mut config: Config,
        count: usize,
        start: impl FnOnce(&Arc<Peers<H::Data>>),
        mut make: impl FnMut() -> H,
    ) -> Simulation<H> {
        or_panic(config.validate());
        assert!((1..=MOST_LOOPS).contains(&count), "a server has 1 to {MOST_LOOPS} loops, not {count}");
        let most_waiting = or_panic(config.divide_memory_budget(count));
        let queues: Vec<_> = (0..count).map(|_| Arc::new(Queue::new(None, config.remote_queue))).collect();
        let peers = Peers::new(queues.iter().cloned(), &config, most_waiting);
        start(&peers);
        let network = OwnNetwork::new(seed, &config);
        network.0.with(|network| network.set_loops(count));
        let mut begin = |number: u8, listeners| {
            let queue = Arc::clone(&queues[usize::from(number)]);
            Turning::new(number, network.0, listeners, queue, config.clone(), seed, make())
        };
        let first = begin(0, vec![Listener::simulated(Backlog(network.0), &ListenOptions::default())]);
        let others = (1..count as u8).map(|number| begin(number, Vec::new())).collect();
        Simulation::begin(seed, network, first, others, Some(Together(peers)))
    }

    // ---- its loops -----------------------------------------------------------------------------

    /// The number of its loops.
    pub fn loops(&self) -> usize {
        1 + self.others.len()
    }

    /// The application on a loop. The loops count from 0 on.
    ///
    /// # Panics
    ///
    /// If there is no such loop.
    pub fn handler_on_loop(&self, number: usize) -> &H {
        self.turning(number).event_loop.handler()
    }

    /// As [`handler_on_loop`](Self::handler_on_loop), to be changed.
    ///
    /// # Panics
    ///
    /// If there is no such loop.
    pub fn handler_mut_on_loop(&mut self, number: usize) -> &mut H {
        self.turning_mut(number).event_loop.handler_mut()
    }

    /// The clients of a loop.
    ///
    /// # Panics
    ///
    /// If there is no such loop.
    pub fn clients_on_loop(&mut self, number: usize) -> &mut Clients<H::Data> {
        self.turning_mut(number).event_loop.clients_mut()
    }

    fn turning(&self, number: usize) -> &Turning<H> {
        if number == 0 { &self.first } else { &self.others[number - 1] }
    }

    fn turning_mut(&mut self, number: usize) -> &mut Turning<H> {
        if number == 0 { &mut self.first } else { &mut self.others[number - 1] }
    }

    /// Lets one of the loops turn. It waits no longer than until another one has something to do.
    pub(super) fn turn_one_of_several(&mut self, network: NetworkRef, timeout: Option<Duration>) {
        let now = network.now();
        let living = (0..self.loops() as u8).filter(|number| !self.turning(usize::from(*number)).has_stopped());
        let living: Vec<u8> = living.collect();
        if living.is_empty() {
            return;
        }
        let is_busy = |number: &u8| {
            self.turning(usize::from(*number)).is_due(now) || network.with(|network| network.is_loop_busy(*number))
        };
        let busy: Vec<u8> = living.iter().copied().filter(is_busy).collect();
        let number = self.order.choose(if busy.is_empty() { &living } else { &busy });
        let others = living.iter().filter(|other| **other != number);
        let others = others.filter_map(|other| self.turning(usize::from(*other)).next_moment());
        let until_others = others.min().map(|due| due.since(now));
        let timeout = timeout.into_iter().chain(until_others).min();
        network.with(|network| network.loop_turns(number));
        self.turning_mut(usize::from(number)).turn(network, timeout);
        if self.turning(usize::from(number)).has_stopped() {
            self.has_stopped(network, number);
        }
    }

    /// A loop has stopped. The first one waits for the others.
    fn has_stopped(&mut self, network: NetworkRef, number: u8) {
        network.with(|network| network.stop_loop(number));
        if let Some(Together(peers)) = &self.together {
            peers.stopped(number.into());
        }
        let outcomes = (0..self.loops()).map(|number| self.turning(number).event_loop.outcome());
        let outcomes: Option<Vec<Outcome>> = outcomes.collect();
        self.outcome = outcomes.and_then(|outcomes| outcomes.into_iter().reduce(Outcome::with));
    }
}
