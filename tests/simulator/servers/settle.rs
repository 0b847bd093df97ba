//! Everything becomes right again, and is compared with what must be.

use super::person::{Phase, shown};
use super::room::KEPT;
use super::world::{Server, World};
use crate::seeds::Verdict;
use lariat::backplane::{NodeId, StreamPosition};
use rand::{Rng, RngExt};

const NOWHERE: StreamPosition = StreamPosition { epoch: 0, offset: 0 };

pub fn run(seed: u64, tells: bool) -> Verdict {
    let mut world = World::new(seed, tells);
    let turns = world.random.random_range(20..220);
    for turn in 0..turns {
        world.turn();
        if turn % 60 == 59 && world.random.random_bool(0.5) {
            world.settle();
        }
        if !world.truth.wrongs.is_empty() {
            break;
        }
    }
    if world.truth.wrongs.is_empty() {
        world.settle();
    }
    let rest = world.servers.iter().flatten().map(|server| server.sim.fingerprint());
    let fingerprint = rest.fold(world.fingerprint, |all, one| all.rotate_left(7) ^ one);
    Verdict { fingerprint, counts: world.truth.counts, wrongs: world.truth.wrongs }
}

impl World {
    /// Lets everything arrive that is on its way.
    fn quieten(&mut self) {
        loop {
            let mut is_quiet = true;
            while self.engine.deliver_one(self.random.next_u64()) {
                is_quiet = false;
            }
            for Server { sim, .. } in self.servers.iter_mut().flatten() {
                is_quiet &= sim.is_idle();
                sim.run_until_idle();
            }
            self.listen();
            if is_quiet {
                return;
            }
        }
    }

    /// Gives everything that is broken back, lets everything arrive, and judges.
    pub fn settle(&mut self) {
        self.say(|| "everything becomes right".to_owned());
        if self.living().is_empty() {
            self.start(0);
        }
        self.servers.iter().flatten().for_each(|server| self.engine.restore(NodeId(server.node)));
        self.quieten();
        self.confirm_all();
        let ends = self.level();
        let World { people, truth, .. } = self;
        truth.judge_claims(ends);
        for (index, person) in people.iter_mut().enumerate() {
            for (topic, course) in person.courses.iter().enumerate().filter(|(_, course)| course.phase != Phase::Out) {
                let (phase, last) = (course.phase, course.last);
                truth.check(phase == Phase::In && last == Some(ends[topic]), || {
                    let (last, topic, end) = (shown(last), KEPT[topic], ends[topic]);
                    format!("{index} ({phase:?}) is at {last} of {topic}, which ends at {end}")
                });
            }
            if let Some(connection) = &mut person.connection {
                connection.judge(truth);
            }
        }
        truth.cut.clear();
        truth.told.clear();
        self.say(|| "all is quiet".to_owned());
    }

    /// Everybody publishes what has no place yet, until it has one.
    fn confirm_all(&mut self) {
        for _ in 0..20 {
            let is_over = self.people.iter().all(|person| person.pending.is_empty());
            if is_over {
                return;
            }
            for index in 0..self.people.len() {
                if self.people[index].connection.is_none() {
                    self.connect(index);
                }
                let waiting = self.people[index].pending.iter().filter(|pending| !pending.is_asked);
                let waiting: Vec<_> = waiting.map(|pending| (pending.topic, pending.name.clone())).collect();
                waiting.into_iter().for_each(|(topic, name)| self.keep(index, topic, name));
            }
            self.quieten();
        }
        self.truth.wrongs.push("a message is never confirmed".to_owned());
    }

    /// Publishes until everybody knows the end of both topics: a message that is lost is noticed
    /// when the next one comes. Returns the ends.
    fn level(&mut self) -> [StreamPosition; 2] {
        let mut ends = [NOWHERE; 2];
        for round in 0..200 {
            ends = self.publish_last();
            let is_level = |world: &World, topic: usize| {
                let mut courses = world.people.iter().map(|person| &person.courses[topic]);
                courses.all(|course| course.phase != Phase::In || course.last == Some(ends[topic]))
            };
            if round > 0 && is_level(self, 0) && is_level(self, 1) {
                break;
            }
        }
        ends
    }

    /// Publishes a message to each topic, until they have places.
    fn publish_last(&mut self) -> [StreamPosition; 2] {
        if self.people[0].connection.is_none() {
            self.connect(0);
        }
        let names = [0, 1].map(|topic| {
            let name = self.next_name();
            self.keep(0, topic, name.clone());
            (topic, name)
        });
        self.quieten();
        self.confirm_all();
        names.map(|(topic, name)| self.truth.place_of(topic, &name).unwrap_or(NOWHERE))
    }
}
