//! A hierarchical timing wheel.
//!
//! It holds the protocol's deadlines and the application's timers. Arming and disarming are O(1),
//! and nothing is swept. A slot is a doubly linked list. Its links lie in the entries: 12 of a
//! client's 56 bytes, and of a timer's 24.
//!
//! ```text
//!  level 0   64 slots of   1 ms   ── expire
//!  level 1   64 slots of  64 ms   ── when a slot is due, its entries move down a level
//!  level 2   64 slots of 4.1 s
//!  ...       up to 2³² ms
//! ```
//!
//! An entry lies on the level of the highest bit in which its deadline differs from now. The wheel
//! advances one [`step`](Wheel::step) at a time, so that its driver can bound the work of a turn.

#[cfg(not(lariat_plain))]
use super::fast::NextSlot;
use crate::protocol::time::Tick;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;

/// What can be armed, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    /// A client's deadline.
    Client(u32),
    /// A timer of the application.
    Timer(u32),
}

/// A reference to a neighbour in a list: two bits for its kind, thirty for its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

impl Link {
    const NONE: Link = Link(u32::MAX);
    const TIMER: u32 = 1 << 31;
    const SLOT: u32 = 3 << 30;

    const fn new(armed: Armed) -> Link {
        match armed {
            Armed::Client(index) => Link(index),
            Armed::Timer(index) => Link(index | Link::TIMER),
        }
    }

    const fn slot(slot: usize) -> Link {
        Link(slot as u32 | Link::SLOT)
    }

    const fn armed(self) -> Option<Armed> {
        match self.0 & Link::SLOT {
            0 => Some(Armed::Client(self.0)),
            Link::TIMER => Some(Armed::Timer(self.0 & !Link::TIMER)),
            _ => None,
        }
    }
}

/// The highest index that can be armed.
pub(crate) const MAX_INDEX: usize = (1 << 30) - 1;

/// The links of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// The previous entry, or the slot. `Link::NONE` while not armed.
    previous: Link,
    next: Link,
    due: Tick,
}

impl Node {
    /// A node that is not armed.
    pub(crate) const fn new() -> Node {
        Node { previous: Link::NONE, next: Link::NONE, due: Tick::from_millis(0) }
    }

    /// Returns when the entry is due, if it is armed.
    pub(crate) fn due(&self) -> Option<Tick> {
        (self.previous != Link::NONE).then_some(self.due)
    }
}

/// The owner of the nodes.
pub(crate) trait Nodes {
    /// Returns a node, which must exist.
    fn node(&mut self, armed: Armed) -> &mut Node;
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This was due. It is no longer armed.
    Expired(Armed),
    /// An entry moved down a level.
    Moved,
    /// Nothing is due.
    Idle,
}

/// The timing wheel.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: [Link; SLOTS * LEVELS],
    /// A bit for each slot that has entries.
    occupied: [u64; LEVELS],
    now: Tick,
    #[cfg(not(lariat_plain))]
    next: NextSlot,
}

impl Wheel {
    pub(crate) const fn new(now: Tick) -> Wheel {
        Wheel {
            heads: [Link::NONE; SLOTS * LEVELS],
            occupied: [0; LEVELS],
            now,
            #[cfg(not(lariat_plain))]
            next: NextSlot::new(),
        }
    }

    /// Arms an entry, which may be armed already. A time in the past is due at once.
    pub(crate) fn arm(&mut self, nodes: &mut impl Nodes, armed: Armed, due: Tick, now: Tick) {
        if self.occupied == [0; LEVELS] {
            // The last time may be so long ago that it seems to be in the future.
            self.now = now;
        }
        self.place(nodes, armed, due);
    }

    fn place(&mut self, nodes: &mut impl Nodes, armed: Armed, due: Tick) {
        self.disarm(nodes, armed);
        let place = if due.is_before(self.now) { self.now } else { due };
        let differing = (self.now.millis() ^ place.millis()) | (SLOTS as u32 - 1);
        let level = (differing.ilog2() / SLOT_BITS) as usize;
        let slot = (place.millis() >> (level as u32 * SLOT_BITS)) as usize % SLOTS;
        let head = level * SLOTS + slot;
        let next = std::mem::replace(&mut self.heads[head], Link::new(armed));
        if let Some(next) = next.armed() {
            nodes.node(next).previous = Link::new(armed);
        }
        *nodes.node(armed) = Node { previous: Link::slot(head), next, due };
        self.occupied[level] |= 1 << slot;
        self.has_changed();
    }

    /// Disarms an entry, which may be disarmed already.
    pub(crate) fn disarm(&mut self, nodes: &mut impl Nodes, armed: Armed) {
        let Node { previous, next, .. } = std::mem::replace(nodes.node(armed), Node::new());
        if previous == Link::NONE {
            return;
        }
        if let Some(next) = next.armed() {
            nodes.node(next).previous = previous;
        }
        match previous.armed() {
            Some(previous) => nodes.node(previous).next = next,
            None => {
                let head = (previous.0 & !Link::SLOT) as usize;
                self.heads[head] = next;
                if next == Link::NONE {
                    self.occupied[head / SLOTS] &= !(1 << (head % SLOTS));
                    self.has_changed();
                }
            }
        }
    }

    /// Advances towards `to` by one entry.
    pub(crate) fn step(&mut self, nodes: &mut impl Nodes, to: Tick) -> Step {
        let Some((level, at)) = self.next_slot().filter(|(_, at)| at.is_due(to)) else {
            if self.now.is_before(to) {
                self.now = to;
            }
            return Step::Idle;
        };
        self.now = at;
        self.has_changed();
        let slot = (at.millis() >> (level as u32 * SLOT_BITS)) as usize % SLOTS;
        let Some(armed) = self.heads[level * SLOTS + slot].armed() else { return Step::Idle };
        if level == 0 {
            self.disarm(nodes, armed);
            return Step::Expired(armed);
        }
        let due = nodes.node(armed).due;
        self.place(nodes, armed, due);
        Step::Moved
    }

    /// Returns when [`step`](Self::step) must be called at the latest.
    pub(crate) fn next_due(&self) -> Option<Tick> {
        self.next_slot().map(|(_, at)| at)
    }

    /// Returns the level of the next slot, and when it is due. It changes only when an entry is
    /// armed or disarmed.
    #[inline]
    fn next_slot(&self) -> Option<(usize, Tick)> {
        #[cfg(not(lariat_plain))]
        return self.next.get_or(|| self.find_next_slot());
        #[cfg(lariat_plain)]
        self.find_next_slot()
    }

    /// Notes that the next slot may be another one.
    const fn has_changed(&mut self) {
        #[cfg(not(lariat_plain))]
        self.next.forget();
    }

    /// If two slots are due at the same time, the one on the higher level comes first.
    fn find_next_slot(&self) -> Option<(usize, Tick)> {
        let mut first: Option<(usize, Tick)> = None;
        for level in (0..LEVELS).filter(|level| self.occupied[*level] != 0) {
            let shift = level as u32 * SLOT_BITS;
            let slot = self.now.millis() >> shift;
            let distance = self.occupied[level].rotate_right(slot % SLOTS as u32).trailing_zeros();
            let at = match distance {
                0 => self.now,
                _ => Tick::from_millis((slot.wrapping_add(distance)) << shift),
            };
            if first.is_none_or(|(_, earliest)| !earliest.is_before(at)) {
                first = Some((level, at));
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeMap;
    use std::time::Duration;

    struct Table(Vec<Node>, Vec<Node>);

    impl Nodes for Table {
        fn node(&mut self, armed: Armed) -> &mut Node {
            match armed {
                Armed::Client(index) => &mut self.0[index as usize],
                Armed::Timer(index) => &mut self.1[index as usize],
            }
        }
    }

    /// Compares the wheel with a model: each entry expires exactly at its tick, in order. Entries
    /// are armed again and disarmed at random. Half of the clocks start just before the
    /// wrap-around.
    #[test]
    fn everything_expires_once_and_on_time() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut now = Tick::from_millis(if seed % 2 == 0 { 0 } else { u32::MAX - 100_000 });
            let (mut wheel, mut table) = (Wheel::new(now), Table(vec![Node::new(); 64], vec![Node::new(); 64]));
            let mut model: BTreeMap<u32, Tick> = BTreeMap::new();
            let armed_of = |key: u32| if key < 64 { Armed::Client(key) } else { Armed::Timer(key - 64) };
            for _ in 0..2_000 {
                let key = random.random_range(0..128_u32);
                match random.random_range(0..4) {
                    0 => {
                        wheel.disarm(&mut table, armed_of(key));
                        model.remove(&key);
                    }
                    1 | 2 => {
                        let exponent = random.random_range(0..30);
                        let due = now.after(Duration::from_millis(random.random_range(0..1_u64 << exponent)));
                        wheel.arm(&mut table, armed_of(key), due, now);
                        model.insert(key, due);
                    }
                    _ => {
                        let exponent = random.random_range(0..25);
                        let to = now.after(Duration::from_millis(random.random_range(0..1_u64 << exponent)));
                        let first = model.values().copied().reduce(Tick::earlier);
                        match (first, wheel.next_due()) {
                            (Some(first), Some(due)) => assert!(!first.is_before(due)),
                            (first, due) => assert_eq!(first, due),
                        }
                        loop {
                            match wheel.step(&mut table, to) {
                                Step::Expired(armed) => {
                                    let key = match armed {
                                        Armed::Client(index) => index,
                                        Armed::Timer(index) => index + 64,
                                    };
                                    let due = model.remove(&key).expect("armed");
                                    assert!(due.is_due(to));
                                    let late = model.values().any(|other| other.is_before(due));
                                    assert!(!late, "seed {seed}: something earlier is still armed");
                                }
                                Step::Moved => {}
                                Step::Idle => break,
                            }
                        }
                        assert!(!model.values().any(|due| due.is_due(to)), "seed {seed}: forgotten");
                        now = to;
                    }
                }
            }
        }
    }
}
