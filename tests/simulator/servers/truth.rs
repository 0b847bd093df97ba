//! What is known of all servers together: what stands where, and what has happened.

use super::room::KEPT;
use lariat::backplane::{History, StreamPosition};
use std::collections::{BTreeMap, BTreeSet};

/// A message of a topic without a history that a server has confirmed.
#[derive(Debug)]
pub struct Told {
    pub topic: usize,
    /// Its connection, and its number there.
    pub name: (u64, u64),
    /// The server.
    pub node: u64,
}

pub struct Truth {
    pub history: History,
    /// Messages become too old.
    pub is_aged: bool,
    pub has_forgotten: bool,
    names: [BTreeMap<(u64, u64), String>; 2],
    places: [BTreeMap<String, Vec<StreamPosition>>; 2],
    /// The last message of each epoch.
    ends: [BTreeMap<u64, u64>; 2],
    /// Places up to which messages are no longer kept, as clients have been told.
    claims: Vec<(usize, StreamPosition)>,
    /// What was told since all was quiet.
    pub told: Vec<Told>,
    /// The servers that have lost their connection since then.
    pub cut: BTreeSet<u64>,
    pub counts: BTreeMap<&'static str, u64>,
    pub wrongs: Vec<String>,
}

impl Truth {
    pub fn new(history: History, is_aged: bool) -> Truth {
        Truth {
            history,
            is_aged,
            has_forgotten: false,
            names: Default::default(),
            places: Default::default(),
            ends: Default::default(),
            claims: Vec::new(),
            told: Vec::new(),
            cut: BTreeSet::new(),
            counts: BTreeMap::new(),
            wrongs: Vec::new(),
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn check(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        if !is_right {
            self.wrongs.push(wrong());
        }
    }

    /// A message stands there. It is alone there, and stands nowhere else in that history.
    pub fn stands(&mut self, topic: usize, position: StreamPosition, name: &str) {
        let StreamPosition { epoch, offset } = position;
        let known = self.names[topic].entry((epoch, offset)).or_insert_with(|| name.to_owned()).clone();
        self.check(known == name, || format!("{known} and {name} stand at {position} of {}", KEPT[topic]));
        let end = self.ends[topic].entry(epoch).or_default();
        *end = offset.max(*end);
        let places = self.places[topic].entry(name.to_owned()).or_default();
        if !places.contains(&position) {
            places.push(position);
            let is_again = places.iter().filter(|other| other.epoch == epoch).count() > 1;
            let may_be_again = self.has_forgotten && !is_again || self.is_aged;
            let (is_right, places) = (places.len() == 1 || may_be_again, places.clone());
            self.check(is_right, || format!("{name} stands at {places:?}"));
        }
    }

    /// Returns where a message stands that was published now.
    pub fn place_of(&self, topic: usize, name: &str) -> Option<StreamPosition> {
        self.places[topic].get(name)?.last().copied()
    }

    /// A client was told that nothing is kept up to there.
    pub fn is_lost(&mut self, topic: usize, position: StreamPosition) {
        self.claims.push((topic, position));
    }

    /// A client was told of a gap that it has not caused itself.
    pub fn gap(&mut self, topic: usize, to: StreamPosition) {
        let may_be = self.history.messages < 1_000 || self.has_forgotten || self.is_aged;
        self.check(may_be, || format!("a gap without a reason: {} until {to}", KEPT[topic]));
    }

    /// Everything has arrived, and the histories end there: what was no longer kept has had to make
    /// room.
    pub fn judge_claims(&mut self, ends: [StreamPosition; 2]) {
        let messages = u64::from(self.history.messages);
        for (topic, place) in std::mem::take(&mut self.claims) {
            let is_lost = place.offset == 0 || place.offset + messages <= ends[topic].offset;
            let is_known = place.epoch == ends[topic].epoch && !self.is_aged;
            self.check(is_lost || !is_known, || {
                format!("{} until {place} was lost of {messages}, at {}", KEPT[topic], ends[topic])
            });
        }
    }
}
