//! Somebody who follows topics, comes and goes, and knows what must come next.

use super::room::{KEPT, PLAIN};
use super::truth::{Told, Truth};
use lariat::backplane::StreamPosition;
use lariat::sim::Peer;
use std::collections::{BTreeMap, BTreeSet};

/// Whether somebody follows a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Out,
    /// The server has not confirmed yet that it begins.
    Asked,
    In,
    /// The server has not confirmed yet that it ends.
    Ending,
}

/// Where somebody wants to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Anywhere.
    #[default]
    Any,
    /// With all that is kept.
    Oldest,
    /// Where it was. What it has left does not come back.
    Last(StreamPosition),
    /// At a place that it has known once.
    Old(StreamPosition),
    /// At a place that does not exist.
    MadeUp,
}

/// What somebody knows of a topic with a history.
#[derive(Default)]
pub struct Course {
    pub phase: Phase,
    start: Start,
    pub last: Option<StreamPosition>,
    /// Its last places in the epochs that it has left.
    pub past: Vec<StreamPosition>,
    /// The epochs that must not come back.
    gone: BTreeSet<u64>,
    /// Nothing has come since it has begun.
    is_first: bool,
}

/// What somebody has heard of a topic without a history.
#[derive(Default)]
pub struct Listening {
    pub phase: Phase,
    /// It was a member when all was quiet.
    pub was_in: bool,
    newest: BTreeMap<u64, u64>,
    heard: BTreeSet<(u64, u64)>,
    gaps: u32,
}

pub struct Connection {
    pub peer: Peer,
    pub number: u64,
    /// The server.
    pub node: u64,
    pub is_leaving: bool,
    pub listening: [Listening; 2],
    /// The number of the last message without a history.
    pub told: u64,
}

/// A message whose place is not known yet.
pub struct Pending {
    pub topic: usize,
    pub name: String,
    /// How often it was published.
    pub asked: u32,
    /// An answer may come.
    pub is_asked: bool,
}

#[derive(Default)]
pub struct Person {
    pub connection: Option<Connection>,
    pub courses: [Course; 2],
    pub pending: Vec<Pending>,
    /// The server of the connection before.
    pub came_from: Option<u64>,
}

pub fn shown(place: Option<StreamPosition>) -> String {
    place.map_or_else(|| "nothing".to_owned(), |place| place.to_string())
}

impl Person {
    /// The connection is over.
    pub fn disconnected(&mut self) {
        self.came_from = self.connection.take().map(|connection| connection.node);
        self.courses.iter_mut().for_each(|course| course.phase = Phase::Out);
        self.pending.iter_mut().for_each(|pending| pending.is_asked = false);
    }

    /// Hears what its server says.
    pub fn hear(&mut self, line: &str, truth: &mut Truth) {
        let words: Vec<&str> = line.split(' ').collect();
        let place = |topic: &str, topics: [&str; 2]| topics.iter().position(|other| *other == topic);
        let (kept, plain) = (place(words[1], KEPT), place(words[1], PLAIN));
        let position = || words[2].parse::<StreamPosition>().expect("a position");
        match (words[0], kept, plain) {
            ("begun", Some(topic), _) => self.courses[topic].begin(truth),
            ("ended", Some(topic), _) => self.courses[topic].phase = Phase::Out,
            ("kept", Some(topic), _) => self.courses[topic].kept(topic, position(), words[3], truth),
            ("gap", Some(topic), _) => self.courses[topic].gap(topic, position(), truth),
            ("at", Some(topic), _) => self.stands(topic, words[2], words[3].parse().expect("a position"), truth),
            ("unknown" | "away", Some(topic), _) => {
                truth.count(if words[0] == "away" { "away" } else { "unknown" });
                let is_it = |pending: &&mut Pending| pending.topic == topic && pending.name == words[2];
                self.pending.iter_mut().filter(is_it).for_each(|pending| pending.is_asked = false);
            }
            (_, _, Some(topic)) => {
                if let Some(connection) = &mut self.connection {
                    connection.hear(topic, &words, truth);
                }
            }
            _ => truth.wrongs.push(format!("nobody understands {line:?}")),
        }
    }

    fn stands(&mut self, topic: usize, name: &str, position: StreamPosition, truth: &mut Truth) {
        truth.stands(topic, position, name);
        let is_it = |pending: &Pending| pending.topic == topic && pending.name == name;
        if let Some(found) = self.pending.iter().position(is_it) {
            truth.count(if self.pending.swap_remove(found).asked > 1 { "confirmed again" } else { "confirmed" });
        }
    }
}

impl Course {
    /// Asks for the topic.
    pub fn ask(&mut self, start: Start) {
        (self.phase, self.start) = (Phase::Asked, start);
    }

    fn begin(&mut self, truth: &mut Truth) {
        truth.check(self.phase == Phase::Asked, || "somebody who has not asked begins".to_owned());
        (self.phase, self.is_first) = (Phase::In, true);
        match self.start {
            Start::Last(_) => {}
            Start::Old(place) => self.last = Some(place),
            Start::Any | Start::Oldest | Start::MadeUp => self.last = None,
        }
        if !matches!(self.start, Start::Last(_)) {
            self.gone.clear();
        }
    }

    fn is_in(&self) -> bool {
        matches!(self.phase, Phase::In | Phase::Ending)
    }

    fn kept(&mut self, topic: usize, position: StreamPosition, name: &str, truth: &mut Truth) {
        truth.stands(topic, position, name);
        let (last, start, is_first) = (self.last, self.start, std::mem::take(&mut self.is_first));
        let expected = last.map_or(position, |last| StreamPosition { offset: last.offset + 1, ..last });
        truth.check(self.is_in(), || format!("{name} came to nobody"));
        truth.check(position == expected, || format!("{position} came behind {} ({start:?})", shown(last)));
        truth.check(!is_first || start != Start::MadeUp, || format!("{position}, and no gap, behind a made-up place"));
        if is_first && start == Start::Oldest {
            truth.is_lost(topic, StreamPosition { offset: position.offset - 1, ..position });
        }
        truth.count("kept");
        self.last = Some(position);
    }

    fn gap(&mut self, topic: usize, to: StreamPosition, truth: &mut Truth) {
        truth.check(self.is_in(), || format!("a gap until {to} came to nobody"));
        if std::mem::take(&mut self.is_first) && self.start == Start::MadeUp {
            truth.count("gaps, made up");
        } else {
            truth.gap(topic, to);
        }
        if let Some(last) = self.last {
            truth.count(if last.epoch == to.epoch { "gaps, lost" } else { "gaps, forgotten" });
            let is_forward = last.epoch != to.epoch || last.offset < to.offset;
            truth.check(is_forward, || format!("a gap from {last} back to {to}"));
            if last.epoch != to.epoch {
                self.past.push(last);
                self.gone.insert(last.epoch);
            }
            truth.check(!self.gone.contains(&to.epoch), || format!("from {last} back to {to}"));
        }
        truth.is_lost(topic, to);
        self.last = Some(to);
    }
}

impl Connection {
    fn hear(&mut self, topic: usize, words: &[&str], truth: &mut Truth) {
        let listening = &mut self.listening[topic];
        let is_in = matches!(listening.phase, Phase::In | Phase::Ending);
        let name = || (words[2].parse().expect("a connection"), words[3].parse().expect("a number"));
        match words[0] {
            "joined" => listening.phase = Phase::In,
            "left" => *listening = Listening::default(),
            "told" => truth.told.push(Told { topic, name: name(), node: self.node }),
            "gap" => {
                listening.gaps += 1;
                truth.count("plain gaps");
                truth.check(is_in, || "a gap for nobody".to_owned());
                let was_cut = truth.cut.contains(&self.node);
                truth.check(was_cut, || format!("a gap without a reason: {}", PLAIN[topic]));
            }
            "plain" => {
                let (connection, number) = name();
                truth.count("plain");
                let newest = listening.newest.insert(connection, number);
                truth.check(is_in, || format!("{words:?} came to nobody"));
                truth.check(newest < Some(number), || format!("{words:?} came after {newest:?}"));
                listening.heard.insert((connection, number));
            }
            _ => truth.wrongs.push(format!("nobody understands {words:?}")),
        }
    }

    /// All is quiet: whoever was a member all the time has got everything, or knows of a gap.
    pub fn judge(&mut self, truth: &mut Truth) {
        let was_cut = truth.cut.contains(&self.node);
        for (topic, listening) in self.listening.iter_mut().enumerate().filter(|(_, one)| one.phase == Phase::In) {
            let (gaps, heard) = (std::mem::take(&mut listening.gaps), std::mem::take(&mut listening.heard));
            if !std::mem::replace(&mut listening.was_in, true) {
                continue;
            }
            truth.check((gaps > 0) == was_cut, || format!("{gaps} gaps, and was cut off: {was_cut}"));
            let arrives = |told: &&Told| {
                told.node == self.node || !was_cut && !truth.cut.contains(&told.node) && told.topic == topic
            };
            let meant = truth.told.iter().filter(|told| told.topic == topic).filter(arrives);
            let missing: Vec<String> =
                meant.filter(|told| !heard.contains(&told.name)).map(|told| format!("{told:?}")).collect();
            truth.check(missing.is_empty(), || format!("on {:x}, these did not come: {missing:?}", self.node));
        }
    }
}
