//! What must be true when everything has arrived.

use super::app::{Log, TOPICS};
use super::person::{Person, Stay};
use super::world::World;
use std::time::Duration;

impl World {
    /// Lets everything arrive, and judges.
    pub fn settle(&mut self) {
        // After descriptors have run out, the server waits before it accepts.
        self.sim.run_for(Duration::from_secs(1));
        self.listen();
        // Those who have heard Close frames have answered.
        self.sim.run_until_idle();
        self.listen();
        let held = self.sim.footprint().connections;
        let counted = self.sim.clients_on_loop(0).connections_of_all_loops();
        let mut log = self.log.borrow_mut();
        log.check(held == counted, || format!("{held} connections are counted as {counted}"));
        for person in &self.people {
            let name = person.connection;
            if person.is_over() {
                // Only tight loops drop messages, and do not tell those who have ended.
                if !self.is_tight {
                    judge_stays(person, &mut log, false);
                }
                let may_end = self.may_end || person.has_left || person.is_closing || person.was_refused;
                log.check(may_end, || format!("{name} has ended without a reason"));
                let may_be_refused = self.may_end
                    || self.config.max_connections.is_some_and(|most| {
                        usize::try_from(self.connections).is_ok_and(|connections| connections > most)
                    });
                log.check(!person.was_refused || may_be_refused, || format!("{name} was refused without a reason"));
                continue;
            }
            let (waiting, said, heard) = (person.waiting.len(), person.said, person.heard);
            log.check(waiting == 0, || format!("{name} waits for {waiting} answers"));
            if person.loses {
                judge_loss(person, &mut log);
                continue;
            }
            log.check(said == heard, || format!("{name} has said {said}, and heard {heard}"));
            judge_stays(person, &mut log, true);
            if !self.is_tight {
                let letters = log.letters.iter().filter(|to| **to == name).count();
                let came = person.letters.len();
                log.check(letters == came, || format!("{name} has got {came} of {letters} letters"));
            }
        }
        let missed: u64 = log.missed.values().sum();
        log.check(missed == 0 || self.is_tight, || format!("{missed} messages were missed"));
    }

    /// Many connect and say nothing: loops get equally many.
    pub fn connect_many(&mut self) {
        let count = self.range(1..9);
        let begun = self.people.len();
        (0..count).for_each(|_| self.connect());
        self.sim.run_until_idle();
        let loads: Vec<usize> = (0..self.sim.loops())
            .map(|number| self.sim.clients_on_loop(number).stats().connections)
            .map(|states| states.handshaking + states.deciding + states.open + states.draining + states.flushing)
            .collect();
        let (least, most) = (loads.iter().min().copied(), loads.iter().max().copied());
        let mut log = self.log.borrow_mut();
        let is_even = most <= least.map(|least| least + 1);
        log.check(is_even, || format!("{count} connections after {begun} are placed as {loads:?}"));
        log.count("phases of connects");
        if self.is_telling {
            println!("{count} connect: {loads:?}");
        }
    }

    /// All leave: nothing is left of them.
    pub fn part(&mut self) {
        self.people.clear();
        self.sim.run_for(Duration::from_secs(60));
        self.settle();
        let held = self.sim.footprint().connections;
        let mut members = 0;
        for number in 0..self.sim.loops() {
            let clients = self.sim.clients_on_loop(number);
            members += TOPICS.iter().map(|topic| clients.subscribers(topic)).sum::<usize>() + clients.len();
            TOPICS.iter().for_each(|topic| assert_eq!(clients.publish(topic, "nobody"), 0));
        }
        // Loops without members are not told.
        let is_quiet = self.sim.is_idle();
        let mut log = self.log.borrow_mut();
        log.check(held == 0 && members == 0, || format!("{held} connections and {members} members are left"));
        log.check(is_quiet, || "a loop without members was told".to_owned());
        let open = log.open.len();
        log.check(open == 0, || format!("{open} were opened and not closed"));
    }

    /// All have left, so loops take as many messages of others as they ever may: nothing waits.
    pub fn fill(&mut self) {
        let (loops, from) = (self.sim.loops(), self.range(0..self.sim.loops()));
        let most_waiting = self.config.memory_budget / loops / 8;
        // Those with even numbers may lose messages.
        self.connections += self.connections % 2;
        for number in (0..loops).filter(|number| *number != from).take(2) {
            self.connect();
            self.connections += 1;
            let Some(person) = self.people.last_mut() else { return };
            let bytes = [person.ask(&number.to_string(), 0, true), person.say("join 0")].concat();
            person.peer.send_raw(&bytes);
        }
        self.settle();
        let size = most_waiting - 500;
        self.sim.remote().on_loop(from).post((Some(0_usize), size)).expect("it runs");
        self.settle();
        let is_there = self.people.iter().all(|person| !person.is_over());
        let mut log = self.log.borrow_mut();
        log.check(is_there || self.is_breaking, || {
            "members of loops that had time for a message have ended".to_owned()
        });
        log.count("full queues");
    }

    /// The server shuts down, whatever is under way.
    pub fn shut_down(&mut self) {
        let number = self.range(0..self.sim.loops());
        let mut drain = lariat::Drain::default();
        drain.over = Duration::from_millis(self.range(0..500) as u64);
        self.sim.remote().on_loop(number).shutdown(drain).expect("it runs");
        for _ in 0..self.range(0..60) {
            self.sim.step_at_once();
            self.listen();
        }
        for _ in 0..20 {
            self.sim.run_for(Duration::from_millis(100));
            self.listen();
        }
        self.sim.run_for(Duration::from_secs(60));
        // The server has stopped, and the network goes on.
        (0..50).for_each(|_| self.sim.carry());
        self.listen();
        let (outcome, held) = (self.sim.outcome(), self.sim.footprint().connections);
        let mut log = self.log.borrow_mut();
        log.check(outcome.is_some(), || "the server has not stopped".to_owned());
        log.check(held == 0, || format!("{held} connections are left"));
        let dropped = outcome.map_or(0, |outcome| outcome.dropped);
        log.check(dropped == 0 || self.may_end, || format!("{dropped} were dropped"));
        let open = log.open.len();
        log.check(open == 0, || format!("{open} were opened and not closed"));
        for person in &self.people {
            let (name, heard_end) = (person.connection, person.is_over());
            log.check(heard_end, || format!("{name} has not heard the end"));
        }
        log.count("shutdowns");
    }
}

/// Compares what a member has heard with what it must hear.
fn judge_stays(person: &Person, log: &mut Log, is_there: bool) {
    let name = person.connection;
    for stay in &person.stays {
        let lacks = lacks(person, stay, log, is_there);
        log.check(lacks.is_empty(), || format!("{name} lacks {lacks:?} of {:?} on {:?}", stay.topic, person.place));
    }
}

/// Compares what a member that loses messages has not heard with what it was told.
fn judge_loss(person: &Person, log: &mut Log) {
    let (name, mut lost) = (person.connection, 0);
    let topics = log.members.get(&name).into_iter().flatten().map(|(topic, from)| (Some(*topic), *from));
    for (topic, from) in topics.chain(person.stays.iter().map(|stay| (None, stay.from))) {
        let stay = Stay { topic, from, until: None, heard: person.found.clone() };
        lost += lacks(person, &stay, log, true).len() as u64;
    }
    let missed = log.missed.get(&name).copied().unwrap_or_default();
    log.check(lost <= missed, || format!("{name} has lost {lost}, and was told of {missed}"));
    if lost > 0 {
        log.count("members that were told of a loss");
    }
}

/// Returns the messages that a member must have heard and has not. What other loops have published
/// right before the end of the stay may have come too late.
fn lacks(person: &Person, stay: &Stay, log: &Log, is_there: bool) -> Vec<usize> {
    let last = |origin: usize| stay.heard.iter().rfind(|message| log.published[**message].origin == origin).copied();
    let is_meant = |message: &usize| {
        let published = &log.published[*message];
        let is_certain = match (stay.until, is_there) {
            (None, true) => true,
            (Some(until), _) if person.place == Some(published.origin) => *message < until,
            _ => last(published.origin).is_some_and(|last| *message < last),
        };
        published.topic == stay.topic && published.except != Some(person.connection) && is_certain
    };
    (stay.from..log.published.len()).filter(is_meant).filter(|message| !stay.heard.contains(message)).collect()
}
