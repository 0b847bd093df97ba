//! Which loops of a server have members of a topic.
//!
//! The only thing that loops look up in one another. A loop notes when it gets the first member of
//! a topic and when the last one leaves, so a message goes only to loops with members.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// By route, then by name: a bit for each loop with members.
type Names = HashMap<u16, HashMap<Box<str>, u64>>;

/// The topics of all loops, of which there are at most 64.
#[derive(Debug, Default)]
pub(crate) struct Spread(RwLock<Names>);

impl Spread {
    /// A loop has the first member of a topic.
    pub(crate) fn begin(&self, number: usize, route: u16, name: &str) {
        let mut names = self.write();
        let topics = names.entry(route).or_default();
        match topics.get_mut(name) {
            Some(loops) => *loops |= 1 << number,
            None => drop(topics.insert(name.into(), 1 << number)),
        }
    }

    /// The last member of a topic on a loop has left.
    pub(crate) fn end(&self, number: usize, route: u16, name: &str) {
        let mut names = self.write();
        let Some(topics) = names.get_mut(&route) else { return };
        if let Some(loops) = topics.get_mut(name) {
            *loops &= !(1 << number);
            if *loops == 0 {
                topics.remove(name);
            }
        }
    }

    /// Returns the numbers of the loops that have members of a topic, except one.
    pub(crate) fn others(&self, number: usize, route: u16, name: &str) -> impl Iterator<Item = usize> + use<> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let loops = names.get(&route).and_then(|topics| topics.get(name)).copied();
        let mut left = loops.unwrap_or_default() & !(1 << number);
        std::iter::from_fn(move || {
            let next = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(next)
        })
    }

    fn write(&self) -> RwLockWriteGuard<'_, Names> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loops_with_members_are_found() {
        let spread = Spread::default();
        let others = |number, name: &str| spread.others(number, 0, name).collect::<Vec<_>>();
        assert!(others(0, "a").is_empty());
        [0, 1, 63].iter().for_each(|number| spread.begin(*number, 0, "a"));
        spread.begin(63, 0, "b");
        assert_eq!((others(0, "a"), others(1, "a")), (vec![1, 63], vec![0, 63]));
        assert_eq!((others(1, "b"), others(63, "b")), (vec![63], vec![]));
        assert_eq!(spread.others(0, 1, "b").count(), 0, "another route has topics of its own");
        spread.end(63, 0, "a");
        assert_eq!(others(0, "a"), [1]);
        spread.end(0, 0, "a");
        spread.end(1, 0, "a");
        assert!(!spread.0.read().expect("no panic")[&0].contains_key("a"), "topics without members must not stay");
    }
}
