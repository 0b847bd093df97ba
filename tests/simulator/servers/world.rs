//! Several servers, their engine and their clients: what happens to them at random.

use super::person::Person;
use super::room::Room;
use super::truth::Truth;
use lariat::backplane::{History, MemoryEngine, NodeId};
use lariat::sim::{Faults, Simulation};
use lariat::{Config, ReadyState};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::time::Duration;

pub struct Server {
    pub sim: Simulation<Room>,
    pub node: u64,
}

pub struct World {
    pub random: StdRng,
    pub engine: MemoryEngine,
    /// `None` for a server that is dead.
    pub servers: Vec<Option<Server>>,
    pub people: Vec<Person>,
    pub truth: Truth,
    /// Depends on every line that anybody has heard, and on all that servers have read and written.
    pub fingerprint: u64,
    faults: Faults,
    /// The engine loses everything now and then.
    forgets: bool,
    tells: bool,
    first_node: u64,
    nodes: u64,
    pub connections: u64,
    pub names: u64,
    now: Duration,
}

impl World {
    pub fn new(seed: u64, tells: bool) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let engine = MemoryEngine::with_seed(random.next_u64());
        let is_aged = random.random_bool(0.1);
        let messages = if random.random_bool(0.3) { 1_000 } else { random.random_range(1..6) };
        let history = History { messages, age: Duration::from_secs(if is_aged { 20 } else { 1_000_000 }) };
        let mut faults = Faults::none();
        if random.random_bool(0.4) {
            (faults.short_read, faults.short_write, faults.would_block) = (0.1, 0.1, 0.05);
            (faults.delay, faults.reset, faults.half_close) = (0.2, 0.0005, 0.0005);
        }
        let (forgets, first_node) = (random.random_bool(0.5), random.next_u64());
        let (servers, people) = ([2, 2, 3, 3, 4][random.random_range(0..5)], random.random_range(3..=5));
        let mut world = World {
            random,
            engine,
            servers: (0..servers).map(|_| None).collect(),
            people: (0..people).map(|_| Person::default()).collect(),
            truth: Truth::new(history, is_aged),
            fingerprint: 0xcbf2_9ce4_8422_2325,
            faults,
            forgets,
            tells,
            first_node,
            nodes: 0,
            connections: 0,
            names: 0,
            now: Duration::ZERO,
        };
        world.say(|| format!("seed {seed}: {history:?}, forgets: {forgets}, {:?}", world.faults));
        (0..servers).for_each(|slot| world.start(slot));
        // All begin connected; what is said from here on takes its time.
        world.engine.hold();
        world
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.tells {
            println!("{}", what());
        }
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fingerprint = (self.fingerprint ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    // ---- servers -------------------------------------------------------------------------------

    pub fn start(&mut self, slot: usize) {
        self.nodes += 1;
        let node = self.first_node.wrapping_add(self.nodes);
        let mut config = Config::default();
        (config.read_buffer, config.deflate) = (4 << 10, None);
        let room = Room::new(self.truth.history);
        let mut sim = Simulation::with_backplane(node, config, self.engine.backplane(), room);
        sim.set_faults(self.faults.clone());
        self.servers[slot] = Some(Server { sim, node });
        self.truth.count("starts");
        self.say(|| format!("server {slot} starts as {node:x}"));
    }

    /// Ends a server at once. Half of them lose what they have not published.
    fn kill(&mut self, slot: usize) {
        let Some(Server { sim, node }) = self.servers[slot].take() else { return };
        let is_cut = self.random.random_bool(0.5);
        if is_cut {
            self.engine.cut(NodeId(node));
            self.truth.cut.insert(node);
        }
        self.mix(&sim.fingerprint().to_le_bytes());
        drop(sim);
        self.truth.count("kills");
        self.say(|| format!("server {slot} is killed; it was cut off first: {is_cut}"));
    }

    pub fn living(&self) -> Vec<usize> {
        (0..self.servers.len()).filter(|slot| self.servers[*slot].is_some()).collect()
    }

    pub fn pick(&mut self) -> Option<usize> {
        let living = self.living();
        (!living.is_empty()).then(|| living[self.random.random_range(0..living.len())])
    }

    // ---- turns ---------------------------------------------------------------------------------

    pub fn turn(&mut self) {
        match self.random.random_range(0..1_000) {
            0..250 => {
                for _ in 0..self.random.random_range(1..12) {
                    self.engine.deliver_one(self.random.next_u64());
                }
            }
            250..500 => {
                let turning = self.random.random_range(1..16_u32);
                let is_turning = |(slot, _): &(usize, _)| turning & (1 << slot) != 0;
                let servers = self.servers.iter_mut().enumerate().filter(is_turning);
                servers.filter_map(|(_, server)| server.as_mut()).for_each(|server| server.sim.step_at_once());
            }
            500..920 => {
                let index = self.random.random_range(0..self.people.len());
                self.act(index);
            }
            920..990 => self.fail(),
            _ => self.pass_time(),
        }
        self.listen();
    }

    fn pass_time(&mut self) {
        let by = Duration::from_millis(self.random.random_range(1..4_000));
        self.now += by;
        self.engine.set_time(self.now);
        self.servers.iter_mut().flatten().for_each(|server| server.sim.run_for(by));
        self.say(|| format!("{by:?} pass"));
    }

    /// Something goes wrong, or becomes right again.
    fn fail(&mut self) {
        let slot = self.random.random_range(0..self.servers.len());
        let Some(node) = self.servers[slot].as_ref().map(|server| server.node) else { return self.start(slot) };
        let what = match self.random.random_range(0..70) {
            0..16 => {
                self.engine.cut(NodeId(node));
                self.truth.cut.insert(node);
                "cuts"
            }
            16..36 => {
                self.engine.restore(NodeId(node));
                "restores"
            }
            36..43 => {
                self.engine.lose(NodeId(node));
                "loses"
            }
            43..50 => {
                self.engine.double(NodeId(node));
                "doubles"
            }
            50..54 => return self.kill(slot),
            54..64 if self.forgets => {
                self.engine.forget();
                self.truth.has_forgotten = true;
                "forgets"
            }
            _ => return,
        };
        self.truth.count(what);
        self.say(|| format!("{what}: {slot}"));
    }

    /// Everybody hears what has come.
    pub fn listen(&mut self) {
        for index in 0..self.people.len() {
            let Some(connection) = &self.people[index].connection else { continue };
            let (lines, state) = (connection.peer.received_text(), connection.peer.ready_state());
            for line in lines {
                self.mix(line.as_bytes());
                self.say(|| format!("{index} hears {line}"));
                self.people[index].hear(&line, &mut self.truth);
            }
            if state == ReadyState::Closed {
                self.say(|| format!("{index} is disconnected"));
                self.people[index].disconnected();
            }
        }
    }
}
