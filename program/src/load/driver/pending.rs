//! The messages that have not come back yet.
//!
//! Each connection has a list in the order of sending. All lists share one block of memory, so that
//! a connection that waits for nothing costs eight bytes.

use std::num::NonZeroU32;

/// The messages of all connections that have not come back.
#[derive(Debug)]
pub(crate) struct Pending {
    entries: Vec<Entry>,
    /// The first entry that is not in use; the others follow by `next`.
    free: Option<Place>,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    /// The intended time of the message.
    time: u64,
    next: Option<Place>,
}

/// The place of an entry. It is stored plus one, so that an `Option` takes no more than four bytes.
#[derive(Clone, Copy, Debug)]
struct Place(NonZeroU32);

impl Place {
    fn new(index: usize) -> Place {
        Place(NonZeroU32::MIN.saturating_add(index as u32))
    }

    const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The messages of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    ends: Option<Ends>,
}

/// The first and the last entry of a list that is not empty.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: Place,
    last: Place,
}

impl Pending {
    pub(crate) const fn new() -> Pending {
        Pending { entries: Vec::new(), free: None, len: 0 }
    }

    /// Returns the length of all lists together.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Appends a message to a list.
    #[inline]
    pub(crate) fn push(&mut self, list: &mut List, time: u64) {
        let place = self.insert(Entry { time, next: None });
        let first = match list.ends {
            Some(Ends { first, last }) => {
                self.entries[last.index()].next = Some(place);
                first
            }
            None => place,
        };
        list.ends = Some(Ends { first, last: place });
        self.len += 1;
    }

    #[inline]
    fn insert(&mut self, entry: Entry) -> Place {
        let Some(place) = self.free else {
            self.entries.push(entry);
            return Place::new(self.entries.len() - 1);
        };
        self.free = std::mem::replace(&mut self.entries[place.index()], entry).next;
        place
    }

    /// Removes the first message of a list, and returns its intended time.
    #[inline]
    pub(crate) fn pop(&mut self, list: &mut List) -> Option<u64> {
        let Ends { first, last } = list.ends?;
        let entry = &mut self.entries[first.index()];
        let time = entry.time;
        let next = std::mem::replace(&mut entry.next, self.free);
        self.free = Some(first);
        list.ends = next.map(|first| Ends { first, last });
        self.len -= 1;
        Some(time)
    }

    /// Empties a list, and returns how many messages were in it.
    pub(crate) fn clear(&mut self, list: &mut List) -> u64 {
        let mut count = 0;
        while self.pop(list).is_some() {
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn each_list_is_a_queue_and_memory_is_used_again() {
        let mut pending = Pending::new();
        let mut lists = [List::default(); 3];
        let mut model: [VecDeque<u64>; 3] = Default::default();
        for step in 0..10_000_u64 {
            let which = (step * 7 % 11 % 3) as usize;
            if step % 5 < 3 && model[which].len() < 20 {
                pending.push(&mut lists[which], step);
                model[which].push_back(step);
            } else {
                assert_eq!(pending.pop(&mut lists[which]), model[which].pop_front());
            }
            assert_eq!(pending.len(), model.iter().map(VecDeque::len).sum::<usize>());
        }
        assert!(pending.entries.len() <= 60, "{}", pending.entries.len());
        let left = model[0].len() as u64;
        assert_eq!(pending.clear(&mut lists[0]), left);
        assert_eq!(pending.pop(&mut lists[0]), None);
    }
}
