//! What people do at random.

use super::person::{Connection, Pending, Phase, Start};
use super::room::{KEPT, PLAIN};
use super::world::{Server, World};
use lariat::CloseCode;
use lariat::backplane::StreamPosition;
use rand::RngExt;

impl World {
    pub fn connect(&mut self, index: usize) {
        let Some(slot) = self.pick() else { return };
        let Some(Server { sim, node }) = &mut self.servers[slot] else { return };
        self.connections += 1;
        let (peer, number, node) = (sim.connect("/"), self.connections, *node);
        let listening = Default::default();
        self.people[index].connection = Some(Connection { peer, number, node, is_leaving: false, listening, told: 0 });
        self.say(|| format!("{index} connects to {slot} as {number}"));
        for topic in 0..2 {
            if self.random.random_bool(0.7) {
                self.subscribe(index, topic);
            }
            if self.random.random_bool(0.5) {
                self.join_or_leave(index, topic);
            }
        }
    }

    pub fn tell(&self, index: usize, what: &str) {
        if let Some(connection) = &self.people[index].connection {
            self.say(|| format!("{index} says {what}"));
            connection.peer.send(what);
        }
    }

    pub fn act(&mut self, index: usize) {
        let Some(connection) = &self.people[index].connection else { return self.connect(index) };
        if connection.is_leaving {
            return;
        }
        // Usually they meet in the first.
        let topic = usize::from(self.random.random_bool(0.25));
        match self.random.random_range(0..100) {
            0..30 => match self.people[index].courses[topic].phase {
                Phase::Out => self.subscribe(index, topic),
                Phase::In if self.random.random_bool(0.2) => self.unsubscribe(index, topic),
                // It may still wait.
                Phase::In | Phase::Asked | Phase::Ending => {}
            },
            30..55 => {
                let name = self.next_name();
                self.keep(index, topic, name);
            }
            55..65 => {
                let pending = &self.people[index].pending;
                if let Some(place) = pending.iter().position(|pending| !pending.is_asked) {
                    let Pending { topic, name, .. } = &pending[place];
                    self.keep(index, *topic, name.clone());
                }
            }
            65..75 => self.join_or_leave(index, topic),
            75..83 => self.publish(index, topic),
            83..92 => {
                self.leave(index, 0);
                self.listen();
                self.connect(index);
            }
            _ => {
                let how = self.random.random_range(0..4);
                self.leave(index, how);
            }
        }
    }

    fn subscribe(&mut self, index: usize, topic: usize) {
        let course = &self.people[index].courses[topic];
        let after = |place: StreamPosition| format!("after {place}");
        let (since, start) = match (self.random.random_range(0..20_u32), course.last) {
            (0, _) => ("now".to_owned(), Start::Any),
            (1, _) | (2.., None) => ("oldest".to_owned(), Start::Oldest),
            (2, _) => (format!("last {}", self.random.random_range(0..4)), Start::Any),
            (3, Some(last)) => {
                let offset = self.random.random_range(0..=last.offset);
                let place = StreamPosition { offset, ..last };
                (after(place), if place == last { Start::Last(place) } else { Start::Old(place) })
            }
            (4, Some(last)) => (after(StreamPosition { offset: last.offset + 1_000_000, ..last }), Start::MadeUp),
            (5, Some(last)) => (after(StreamPosition { epoch: last.epoch ^ 1, ..last }), Start::MadeUp),
            (6, Some(_)) if !course.past.is_empty() => {
                let place = course.past[self.random.random_range(0..course.past.len())];
                (after(place), Start::Old(place))
            }
            (_, Some(last)) => (after(last), Start::Last(last)),
        };
        let person = &mut self.people[index];
        person.courses[topic].ask(start);
        let node = person.connection.as_ref().map(|connection| connection.node);
        if matches!(start, Start::Last(_)) {
            let has_moved = person.came_from.is_some() && person.came_from != node;
            self.truth.count(if has_moved { "moved" } else { "came back" });
        }
        self.tell(index, &format!("since {} {since}", KEPT[topic]));
    }

    fn unsubscribe(&mut self, index: usize, topic: usize) {
        self.people[index].courses[topic].phase = Phase::Ending;
        self.tell(index, &format!("until {}", KEPT[topic]));
    }

    /// Returns a name that no message has.
    pub fn next_name(&mut self) -> String {
        self.names += 1;
        format!("m{}", self.names)
    }

    /// Publishes a message with a history, perhaps once more.
    pub fn keep(&mut self, index: usize, topic: usize, name: String) {
        self.tell(index, &format!("keep {} {name}", KEPT[topic]));
        let pending = &mut self.people[index].pending;
        match pending.iter_mut().find(|pending| pending.topic == topic && pending.name == name) {
            Some(pending) => (pending.is_asked, pending.asked) = (true, pending.asked + 1),
            None => pending.push(Pending { topic, name, asked: 1, is_asked: true }),
        }
    }

    fn join_or_leave(&mut self, index: usize, topic: usize) {
        let Some(connection) = &mut self.people[index].connection else { return };
        let listening = &mut connection.listening[topic];
        let what = match listening.phase {
            Phase::Out => {
                listening.phase = Phase::Asked;
                "join"
            }
            Phase::In => {
                listening.phase = Phase::Ending;
                "leave"
            }
            Phase::Asked | Phase::Ending => return,
        };
        self.tell(index, &format!("{what} {}", PLAIN[topic]));
    }

    fn publish(&mut self, index: usize, topic: usize) {
        let Some(connection) = &mut self.people[index].connection else { return };
        connection.told += 1;
        let what = format!("tell {} {} {}", PLAIN[topic], connection.number, connection.told);
        self.tell(index, &what);
    }

    fn leave(&mut self, index: usize, how: u32) {
        let Some(connection) = &mut self.people[index].connection else { return };
        match how {
            0 => connection.peer.reset(),
            1 => connection.peer.hang_up(),
            _ => {
                connection.is_leaving = true;
                connection.peer.close(CloseCode::Normal, "bye");
            }
        }
        self.truth.count("leaves");
        self.say(|| format!("{index} leaves: {how}"));
    }
}
