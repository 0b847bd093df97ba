//! Which messages have not come back yet?
//!
//! A list for each connection, in the order of sending; all of them share one memory, so that a
//! connection which waits for nothing costs eight bytes.

/// No entry.
const NONE: u32 = u32::MAX;

/// The messages of all connections that have not been answered.
#[derive(Debug)]
pub(super) struct Pending {
    entries: Vec<Entry>,
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Entry {
    /// When it was meant to be sent.
    time: u64,
    next: u32,
}

/// The messages of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> List {
        List { first: NONE, last: NONE }
    }
}

impl Pending {
    pub(super) const fn new() -> Pending {
        Pending { entries: Vec::new(), free: NONE, len: 0 }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends a message.
    #[inline]
    pub(super) fn push(&mut self, list: &mut List, time: u64) {
        let entry = Entry { time, next: NONE };
        let place = self.free;
        let place = if place == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            self.free = std::mem::replace(&mut self.entries[place as usize], entry).next;
            place
        };
        match list.last {
            NONE => list.first = place,
            last => self.entries[last as usize].next = place,
        }
        list.last = place;
        self.len += 1;
    }

    /// Takes the one that was sent first, and says when it was meant to be.
    #[inline]
    pub(super) fn pop(&mut self, list: &mut List) -> Option<u64> {
        let place = list.first;
        let entry = self.entries.get_mut(place as usize)?;
        let (time, next) = (entry.time, entry.next);
        entry.next = self.free;
        self.free = place;
        list.first = next;
        if next == NONE {
            list.last = NONE;
        }
        self.len -= 1;
        Some(time)
    }

    /// Takes all of a connection's and says how many there were.
    pub(super) fn clear(&mut self, list: &mut List) -> u64 {
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
