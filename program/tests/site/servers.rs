//! Several servers on one engine, in the simulator.

use lariat::backplane::{MemoryEngine, NodeId};
use lariat::sim::Simulation;
use lariat::{Config, Handler};
use rand::RngExt;
use rand::rngs::StdRng;
use std::time::Duration;

/// How often something went wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Troubles {
    pub kills: u32,
    pub cuts: u32,
    pub forgets: u32,
}

impl Troubles {
    /// Adds those of another run.
    pub fn add(&mut self, other: Troubles) {
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.forgets += other.forgets;
    }
}

pub struct Servers<H: Handler<Data = ()>> {
    engine: MemoryEngine,
    pub troubles: Troubles,
    running: Vec<(NodeId, Simulation<H>)>,
    next: u64,
    make: fn(u64) -> H,
}

impl<H: Handler<Data = ()>> Servers<H> {
    pub fn new(seed: u64, count: usize, make: fn(u64) -> H) -> Servers<H> {
        let engine = MemoryEngine::with_seed(seed);
        let mut servers = Servers { engine, troubles: Troubles::default(), running: Vec::new(), next: seed << 8, make };
        (0..count).for_each(|_| servers.start());
        servers
    }

    fn start(&mut self) {
        self.next += 1;
        // The upper bits are the part of the numbers of people that differs.
        let handler = (self.make)(self.next << 43);
        let sim = Simulation::with_backplane(self.next, Config::default(), self.engine.backplane(), handler);
        self.running.push((NodeId(self.next), sim));
    }

    /// A server dies without a word, and another one takes its place.
    fn kill(&mut self, place: usize) {
        let (node, server) = self.running.remove(place);
        drop(server);
        self.engine.cut(node);
        self.engine.expire(node);
        self.start();
    }

    /// All servers have a connection to the engine again.
    pub fn restore(&self) {
        self.running.iter().for_each(|(node, _)| self.engine.restore(*node));
    }

    pub fn at(&mut self, place: usize) -> &mut Simulation<H> {
        &mut self.running[place].1
    }

    pub fn any(&mut self, random: &mut StdRng) -> &mut Simulation<H> {
        let place = random.random_range(0..self.running.len());
        self.at(place)
    }

    /// One of the things that go wrong, or nothing.
    pub fn disturb(&mut self, random: &mut StdRng, may_forget: bool) {
        match random.random_range(0..8) {
            0 => {
                // What is in flight is lost.
                for _ in 0..random.random_range(0..20) {
                    self.any(random).step();
                }
                self.kill(random.random_range(0..self.running.len()));
                self.troubles.kills += 1;
            }
            1 => {
                self.engine.cut(self.running[random.random_range(0..self.running.len())].0);
                self.troubles.cuts += 1;
            }
            2..4 => self.restore(),
            4 if may_forget => {
                self.engine.forget();
                self.troubles.forgets += 1;
            }
            _ => {}
        }
    }

    pub fn run_for_half_a_second(&mut self) {
        for _ in 0..25 {
            for (_, sim) in &mut self.running {
                sim.run_for(Duration::from_millis(20));
            }
        }
    }
}
