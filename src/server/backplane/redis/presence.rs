//! Who is present on this server, and what does Redis not know of it yet?

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A change that Redis has to be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub(super) topic: Arc<str>,
    pub(super) name: String,
}

/// Who is present here, by topic and name.
#[derive(Debug, Default)]
pub(super) struct Presence {
    members: HashMap<Arc<str>, BTreeMap<String, Vec<u8>>>,
    /// What has changed since Redis was told. Whether somebody is present is looked up when it is
    /// told.
    changes: BTreeSet<Change>,
}

impl Presence {
    pub(super) fn enter(&mut self, topic: Arc<str>, name: String, data: Vec<u8>) {
        self.members.entry(Arc::clone(&topic)).or_default().insert(name.clone(), data);
        self.changes.insert(Change { topic, name });
    }

    pub(super) fn leave(&mut self, topic: Arc<str>, name: String) {
        if let Some(members) = self.members.get_mut(&topic) {
            members.remove(&name);
            if members.is_empty() {
                self.members.remove(&topic);
            }
        }
        self.changes.insert(Change { topic, name });
    }

    /// The data of a member, if it is present.
    pub(super) fn data(&self, change: &Change) -> Option<&[u8]> {
        Some(self.members.get(&change.topic)?.get(&change.name)?)
    }

    /// Takes out changes, at most so many.
    pub(super) fn take(&mut self, most: usize) -> Vec<Change> {
        std::iter::from_fn(|| self.changes.pop_first()).take(most).collect()
    }

    /// Redis may not have got this change.
    pub(super) fn put_back(&mut self, change: Change) {
        self.changes.insert(change);
    }

    /// Redis may know nothing any more: everything has to be told again.
    pub(super) fn repeat(&mut self) {
        for (topic, members) in &self.members {
            let changes = members.keys().map(|name| Change { topic: Arc::clone(topic), name: name.clone() });
            self.changes.extend(changes);
        }
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_until_it_has_arrived() {
        let (mut presence, topic) = (Presence::default(), Arc::<str>::from("t"));
        presence.enter(Arc::clone(&topic), "a".to_owned(), vec![1]);
        presence.enter(Arc::clone(&topic), "b".to_owned(), vec![2]);
        let taken = presence.take(10);
        assert_eq!(taken.len(), 2);
        assert!(!presence.has_changes());
        presence.leave(topic, "a".to_owned());
        presence.put_back(taken[1].clone());
        presence.repeat();
        let taken = presence.take(10);
        let data: Vec<_> = taken.iter().map(|change| (&*change.name, presence.data(change))).collect();
        assert_eq!(data, [("a", None), ("b", Some(&[2][..]))]);
    }
}
