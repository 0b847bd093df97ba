//! A server with several loops and its clients: what happens to them at random.

use super::app::{App, Log};
use super::person::{Person, frame};
use crate::seeds::Verdict;
use lariat::sim::{Faults, Simulation};
use lariat::{Config, Http};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

pub struct World {
    random: StdRng,
    pub sim: Simulation<App>,
    pub log: Rc<RefCell<Log>>,
    pub people: Vec<Person>,
    pub config: Config,
    /// Little memory is there for messages that wait.
    pub is_tight: bool,
    /// Connections may end by faults.
    pub is_breaking: bool,
    /// Connections may end by faults or for lack of memory.
    pub may_end: bool,
    /// So far.
    pub connections: u32,
    pub is_telling: bool,
}

pub fn run(seed: u64, is_telling: bool) -> Verdict {
    let mut world = World::new(seed, is_telling);
    world.connect_many();
    for turn in 0..world.range(10..90) {
        world.act();
        world.listen();
        if turn % 32 == 31 {
            world.settle();
        }
        if !world.log.borrow().wrongs.is_empty() {
            break;
        }
    }
    let may_go_on = |world: &World| world.log.borrow().wrongs.is_empty();
    if may_go_on(&world) && world.random.random_bool(0.7) {
        world.settle();
        world.part();
        if world.is_tight {
            world.fill();
            world.part();
        }
        world.connect_many();
    }
    if may_go_on(&world) {
        world.shut_down();
    }
    world.say(|| "the end".to_owned());
    let log = world.log.borrow();
    let fingerprint = world.sim.fingerprint();
    Verdict { fingerprint, counts: log.counts.clone(), wrongs: log.wrongs.clone() }
}

fn configure(random: &mut StdRng, loops: usize, is_tight: bool) -> Config {
    let mut config = Config::default();
    (config.read_buffer, config.deflate) = (4 << 10, None);
    let hour = Duration::from_secs(3_600);
    let limits = &mut config.limits;
    (limits.ping_interval, limits.idle_timeout, limits.message_timeout) = (None, None, None);
    (limits.handshake_timeout, limits.write_timeout) = (hour, None);
    let mut http = Http::default();
    (http.max_body, http.max_requests, http.keep_alive) = (8 << 10, 1_000, hour);
    limits.http = Some(http);
    if is_tight {
        (limits.max_message, limits.max_unsent, limits.high_water) = (8 << 10, 64 << 10, 16 << 10);
        config.memory_budget = config.least_memory_budget_of_loops(loops);
    }
    if random.random_bool(0.3) {
        config.max_connections = Some(random.random_range(2..12));
    }
    config.events_per_turn = [1, 2, 1_024][random.random_range(0..3)];
    config
}

fn faults(random: &mut StdRng) -> (Faults, bool) {
    let mut faults = Faults::none();
    if random.random_bool(0.6) {
        faults = Faults::rough();
        let may_end = random.random_bool(0.5);
        if !may_end {
            (faults.reset, faults.half_close, faults.exhaustion, faults.aborted) = (0.0, 0.0, 0.0, 0.0);
        }
        return (faults, may_end);
    }
    (faults, false)
}

impl World {
    fn new(seed: u64, is_telling: bool) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let (loops, is_tight) = (random.random_range(2..=4), random.random_bool(0.25));
        let config = configure(&mut random, loops, is_tight);
        let (faults, may_end) = faults(&mut random);
        let log = Rc::new(RefCell::new(Log::default()));
        let make = || App { log: Rc::clone(&log), loses: is_tight };
        let mut sim = Simulation::with_loops(random.next_u64(), config.clone(), loops, make);
        sim.set_faults(faults);
        if is_telling {
            sim.record_story();
        }
        let mut world = World {
            random,
            sim,
            log,
            people: Vec::new(),
            config,
            is_tight,
            is_breaking: may_end,
            may_end: may_end || is_tight,
            connections: 0,
            is_telling,
        };
        world.say(|| format!("seed {seed}: {loops} loops, tight: {is_tight}, breaking: {may_end}"));
        world
    }

    /// Tells what has happened so far, and this.
    pub fn say(&mut self, what: impl FnOnce() -> String) {
        if self.is_telling {
            self.sim.take_story().iter().for_each(|line| println!("{line}"));
            println!("{}", what());
        }
    }

    pub fn range(&mut self, range: Range<usize>) -> usize {
        self.random.random_range(range)
    }

    // ---- what happens --------------------------------------------------------------------------

    fn act(&mut self) {
        match self.range(0..100) {
            0..6 => self.connect(),
            6..50 => self.person_acts(),
            50..56 => {
                let (number, topic) = (self.range(0..self.sim.loops()), self.topic());
                for _ in 0..self.range(1..if self.is_tight { 16 } else { 3 }) {
                    let size = self.size();
                    self.sim.remote().on_loop(number).post((topic, size)).expect("it runs");
                    self.say(|| format!("posted to {number}: {topic:?}, {size}"));
                }
            }
            56..58 => self.sim.run_for(Duration::from_millis(self.random.random_range(1..3_000))),
            _ => {
                for _ in 0..self.range(1..12) {
                    if self.sim.is_idle() {
                        break;
                    }
                    self.sim.step_at_once();
                }
                self.check_limit();
            }
        }
    }

    fn check_limit(&mut self) {
        let Some(most) = self.config.max_connections else { return };
        let open: usize = (0..self.sim.loops()).map(|number| self.sim.clients_on_loop(number).len()).sum();
        let mut log = self.log.borrow_mut();
        log.check(open <= most, || format!("{open} are open, and {most} may be"));
        if open == most {
            log.count("full");
        }
    }

    pub fn connect(&mut self) {
        self.connections += 1;
        let (peer, number) = (self.sim.connect_raw(), self.connections);
        let loses = self.is_tight && number % 2 == 0;
        self.people.push(Person::new(peer, number, loses));
        self.say(|| format!("{number} connects"));
    }

    fn topic(&mut self) -> Option<usize> {
        let topic = self.range(0..3);
        (topic < 2).then_some(topic)
    }

    fn size(&mut self) -> usize {
        if self.is_tight && self.random.random_bool(0.7) { self.range(1_000..8_000) } else { self.range(0..50) }
    }

    fn person_acts(&mut self) {
        if self.people.is_empty() {
            return self.connect();
        }
        let index = self.range(0..self.people.len());
        if self.people[index].is_over() || self.people[index].is_closing {
            return;
        }
        if self.random.random_bool(0.08) {
            return self.leave(index);
        }
        let mut bytes = Vec::new();
        if !self.people[index].has_upgraded {
            for _ in 0..self.range(0..3) {
                let body = if self.random.random_bool(0.3) { self.range(1..3_000) } else { 0 };
                bytes.extend(self.ask(index, body, false));
            }
            if self.random.random_bool(0.6) {
                bytes.extend(self.ask(index, 0, true));
            }
        }
        if self.people[index].has_upgraded {
            for _ in 0..self.range(0..4) {
                let what = self.what();
                bytes.extend(self.people[index].say(&what));
            }
        }
        let (peer, name) = (&self.people[index].peer, self.people[index].connection);
        // In two pieces, between which loops may turn.
        let cut = self.random.random_range(0..=bytes.len());
        peer.send_raw(&bytes[..cut]);
        if self.random.random_bool(0.3) {
            (0..4).for_each(|_| self.sim.step_at_once());
        }
        peer.send_raw(&bytes[cut..]);
        self.say(|| format!("{name} says {}", bytes.escape_ascii()));
    }

    fn ask(&mut self, index: usize, body: usize, is_upgrade: bool) -> Vec<u8> {
        let name = match self.range(0..6) {
            0 => "any".to_owned(),
            1 => "next".to_owned(),
            _ => self.range(0..self.sim.loops()).to_string(),
        };
        self.people[index].ask(&name, body, is_upgrade)
    }

    fn what(&mut self) -> String {
        let topic = self.range(0..2);
        match self.range(0..10) {
            0..3 => format!("join {topic}"),
            3 => format!("leave {topic}"),
            4..7 => format!("publish {topic} {}", self.size()),
            7 => format!("except {topic} {}", self.size()),
            8 => format!("all {}", self.size()),
            _ => format!("letter {}", self.range(0..100)),
        }
    }

    fn leave(&mut self, index: usize) {
        let how = self.range(0..4);
        let person = &mut self.people[index];
        match how {
            0 => person.peer.reset(),
            1 => person.peer.hang_up(),
            2 if person.has_upgraded => {
                person.peer.send_raw(&frame(8, &1_000_u16.to_be_bytes()));
                person.is_closing = true;
            }
            _ => person.peer.half_close(),
        }
        person.has_left = how != 2 || !person.has_upgraded;
        let name = person.connection;
        self.log.borrow_mut().count(["resets", "hang-ups", "closes", "half-closes"][how]);
        self.say(|| format!("{name} leaves: {how}"));
    }

    /// Everybody hears what has come.
    pub fn listen(&mut self) {
        for index in 0..self.people.len() {
            let lines = self.people[index].hear(&mut self.log.borrow_mut());
            let name = self.people[index].connection;
            for line in lines {
                self.say(|| format!("{name} hears {line:.60}"));
            }
        }
    }
}
