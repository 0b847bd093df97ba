//! Is each message reported exactly once and in order, or a gap, whatever happens on the way?
//!
//! A simulated engine publishes, trims, forgets and loses messages. What it sends is delayed,
//! dropped and doubled.

use super::StreamPosition;
use super::follow::{Follow, Item, Page, Read, Step};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{HashMap, HashSet, VecDeque};

fn item(offset: u64, mark: u64) -> Item<u64> {
    Item { offset, mark, message: mark }
}

fn at(epoch: u64, offset: u64) -> StreamPosition {
    StreamPosition { epoch, offset }
}

fn page_of(epoch: u64, end: u64, items: &[u64]) -> Page<u64> {
    let items = items.iter().map(|offset| item(*offset, *offset)).collect();
    Page { epoch, end, through: end, items }
}

/// Does this and returns what comes out.
fn steps(act: impl FnOnce(&mut Vec<Step<u64>>)) -> Vec<Step<u64>> {
    let mut steps = Vec::new();
    act(&mut steps);
    steps
}

fn read(number: u64, from: Option<StreamPosition>) -> Step<u64> {
    Step::Read(Read { number, from, renew: false })
}

/// A topic whose history of `end` messages has been reported.
fn caught_up(end: u64) -> Follow<u64> {
    let mut follow = Follow::new(None);
    let offsets: Vec<u64> = (1..=end).collect();
    steps(|steps| follow.connected(steps));
    steps(|steps| follow.page(1, page_of(7, end, &offsets), steps));
    follow
}

#[test]
fn history_comes_first_then_what_was_held_then_live_messages() {
    let mut follow = Follow::new(Some(at(7, 1)));
    assert_eq!(steps(|out| follow.connected(out)), [read(1, Some(at(7, 1)))]);
    assert_eq!(steps(|out| follow.live(7, item(3, 3), 1, out)), []);
    assert_eq!(steps(|out| follow.live(7, item(4, 4), 1, out)), []);
    let expected = [Step::Kept(at(7, 2), 2), Step::Kept(at(7, 3), 3), Step::Caught(at(7, 3)), Step::Kept(at(7, 4), 4)];
    assert_eq!(steps(|out| follow.page(1, page_of(7, 3, &[1, 2, 3]), out)), expected);
    assert_eq!(steps(|out| follow.live(7, item(5, 5), 1, out)), [Step::Kept(at(7, 5), 5)]);
    assert_eq!(steps(|out| follow.live(7, item(5, 5), 1, out)), [], "a double");
}

#[test]
fn a_hole_is_filled_from_the_history_or_is_a_gap() {
    let mut follow = caught_up(2);
    assert_eq!(steps(|out| follow.live(7, item(5, 5), 1, out)), [read(2, Some(at(7, 2)))]);
    let filled = [Step::Kept(at(7, 3), 3), Step::Kept(at(7, 4), 4), Step::Kept(at(7, 5), 5)];
    assert_eq!(steps(|out| follow.page(2, page_of(7, 5, &[2, 3, 4, 5]), out)), filled);
    steps(|out| follow.live(7, item(9, 9), 1, out));
    let gap = [Step::Gap(at(7, 8)), Step::Kept(at(7, 9), 9)];
    assert_eq!(steps(|out| follow.page(3, page_of(7, 9, &[9]), out)), gap);
    steps(|out| follow.live(7, item(11, 11), 1, out));
    assert_eq!(steps(|out| follow.page(4, page_of(7, 11, &[]), out)), [Step::Gap(at(7, 11))]);
}

#[test]
fn a_hole_that_shows_while_the_history_is_read_is_filled() {
    let mut follow = Follow::new(None);
    steps(|out| follow.connected(out));
    // The page was read before the third message, which is lost on its way.
    steps(|out| follow.live(7, item(4, 4), 1, out));
    let out = steps(|out| follow.page(1, page_of(7, 2, &[1, 2]), out));
    let expected = [Step::Kept(at(7, 1), 1), Step::Kept(at(7, 2), 2), Step::Caught(at(7, 2)), read(2, Some(at(7, 2)))];
    assert_eq!(out, expected);
    let out = steps(|out| follow.page(2, page_of(7, 4, &[2, 3, 4]), out));
    assert_eq!(out, [Step::Kept(at(7, 3), 3), Step::Kept(at(7, 4), 4)]);
}

#[test]
fn an_engine_that_has_lost_messages_gets_a_new_epoch() {
    for (end, items) in [(3, vec![item(3, 3)]), (5, vec![item(4, 40), item(5, 50)])] {
        let mut follow = caught_up(4);
        follow.lost();
        assert_eq!(steps(|out| follow.connected(out)), [read(2, Some(at(7, 4)))]);
        let renew = Step::Read(Read { number: 3, from: Some(at(7, 4)), renew: true });
        let page = Page { items, ..page_of(7, end, &[]) };
        assert_eq!(steps(|out| follow.page(2, page, out)), [renew]);
        let page = page_of(8, end + 1, &[end + 1]);
        let expected = [Step::Gap(at(8, end)), Step::Kept(at(8, end + 1), end + 1)];
        assert_eq!(steps(|out| follow.page(3, page, out)), expected);
    }
}

#[test]
fn a_position_that_never_existed_is_a_gap_and_no_new_epoch() {
    let mut follow = Follow::new(Some(at(7, 1000)));
    steps(|out| follow.connected(out));
    let expected = [Step::Gap(at(7, 2)), Step::Caught(at(7, 2))];
    assert_eq!(steps(|out| follow.page(1, page_of(7, 2, &[]), out)), expected);
}

#[test]
fn a_forged_live_message_stops_nothing() {
    let mut follow = caught_up(2);
    assert_eq!(steps(|out| follow.live(7, item(u64::MAX, 0), 1, out)).len(), 1);
    assert_eq!(steps(|out| follow.page(2, page_of(7, 2, &[2]), out)), []);
    assert_eq!(steps(|out| follow.live(9, item(1, 0), 1, out)).len(), 1);
    assert_eq!(steps(|out| follow.page(3, page_of(7, 2, &[2]), out)), []);
    assert_eq!(steps(|out| follow.live(7, item(0, 0), 1, out)), []);
    assert_eq!(steps(|out| follow.live(7, item(3, 3), 1, out)), [Step::Kept(at(7, 3), 3)]);
}

#[test]
fn more_than_can_be_held_is_read_instead() {
    let mut follow = Follow::new(None);
    steps(|out| follow.connected(out));
    for offset in 1..=10 {
        steps(|out| follow.live(7, item(offset, offset), 1 << 20, out));
    }
    let out = steps(|out| follow.page(1, page_of(7, 1, &[1]), out));
    assert_eq!(out.last(), Some(&read(2, Some(at(7, 4)))));
    assert_eq!(out.len(), 6, "{out:?}");
}

/// What the engine has.
#[derive(Default)]
struct Engine {
    epoch: u64,
    end: u64,
    base: u64,
    /// In the order of offsets.
    log: VecDeque<Item<u64>>,
    marks: u64,
    /// All of them, also those that are no longer kept.
    all: Vec<u64>,
    /// The message before each, if there was one.
    before: HashMap<u64, Option<u64>>,
}

impl Engine {
    fn publish(&mut self) -> (u64, Item<u64>) {
        self.marks += 1;
        self.end += 1;
        self.before.insert(self.marks, self.all.last().copied());
        self.all.push(self.marks);
        self.log.push_back(item(self.end, self.marks));
        (self.epoch, item(self.end, self.marks))
    }

    fn read(&mut self, read: Read, most: usize) -> Page<u64> {
        if read.renew && read.from.is_some_and(|from| from.epoch == self.epoch) {
            self.epoch += 1000;
            self.base = self.end;
        }
        let from = match read.from {
            None => 0,
            Some(from) if from.epoch == self.epoch => from.offset,
            Some(_) => self.base + 1,
        };
        let items: Vec<_> = self.log.iter().filter(|item| item.offset >= from).take(most).cloned().collect();
        let through = match items.last() {
            Some(last) if items.len() == most => last.offset,
            _ => self.end,
        };
        Page { epoch: self.epoch, end: self.end, through, items }
    }
}

/// One topic, its engine, and what lies between them.
struct World {
    rng: StdRng,
    engine: Engine,
    follow: Follow<u64>,
    is_connected: bool,
    live: VecDeque<(u64, Item<u64>)>,
    asked: VecDeque<Read>,
    answered: VecDeque<(u64, Page<u64>)>,
    last: Option<(StreamPosition, Option<u64>)>,
    seen: HashSet<u64>,
    caught: u32,
    /// Whether the engine has lost messages that were reported, perhaps, and the topic has not read
    /// since. Trimming would hide that.
    may_differ: bool,
    gaps: u32,
    /// Whether a live message was dropped, so that only the next one shows a hole.
    has_dropped: bool,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            rng: StdRng::seed_from_u64(seed),
            engine: Engine { epoch: 1, ..Engine::default() },
            follow: Follow::new(None),
            is_connected: false,
            live: VecDeque::new(),
            asked: VecDeque::new(),
            answered: VecDeque::new(),
            last: None,
            seen: HashSet::new(),
            caught: 0,
            may_differ: false,
            gaps: 0,
            has_dropped: false,
        }
    }

    fn take(&mut self, steps: Vec<Step<u64>>) {
        for step in steps {
            match step {
                Step::Read(read) => self.asked.push_back(read),
                Step::Caught(position) => {
                    self.caught += 1;
                    self.last.get_or_insert((position, None));
                }
                Step::Gap(position) => {
                    assert!(
                        self.last.is_none_or(|(last, _)| last.epoch != position.epoch || last.offset < position.offset)
                    );
                    self.last = Some((position, None));
                    self.gaps += 1;
                }
                Step::Kept(position, mark) => {
                    assert!(self.seen.insert(mark), "{position} twice");
                    if let Some((last, before)) = self.last {
                        assert_eq!(position, at(last.epoch, last.offset + 1), "a hole without a gap");
                        if let Some(before) = before {
                            assert_eq!(self.engine.before[&mark], Some(before), "{position}: one was lost");
                        }
                    }
                    self.last = Some((position, Some(mark)));
                }
            }
        }
    }

    fn connect(&mut self) {
        if !self.is_connected {
            self.is_connected = true;
            let steps = steps(|out| self.follow.connected(out));
            self.take(steps);
        }
    }

    fn disconnect(&mut self) {
        self.is_connected = false;
        self.follow.lost();
        self.live.clear();
        self.asked.clear();
        self.answered.clear();
    }

    fn deliver(&mut self) {
        if let Some((epoch, item)) = self.live.pop_front() {
            let cost = self.rng.random_range(1..1 << 20);
            let steps = steps(|out| self.follow.live(epoch, item, cost, out));
            self.take(steps);
        }
    }

    fn answer(&mut self) {
        if let Some((number, page)) = self.answered.pop_front() {
            let steps = steps(|out| self.follow.page(number, page, out));
            self.take(steps);
            self.may_differ &= !self.asked.is_empty();
        }
    }

    fn turn(&mut self) {
        match self.rng.random_range(0..100) {
            0..30 => {
                let message = self.engine.publish();
                if self.is_connected {
                    self.live.push_back(message);
                }
            }
            30..60 => self.deliver(),
            60..75 => self.execute(),
            75..90 => self.answer(),
            90..92 => self.has_dropped |= self.live.pop_front().is_some(),
            92..93 => self.live.extend(self.live.front().cloned()),
            93..95 => self.connect(),
            95 => self.disconnect(),
            96 if !self.may_differ => drop(self.engine.log.pop_front()),
            97 => match self.rng.random::<bool>() {
                // Too old, all of them.
                true if !self.may_differ => self.engine.log.clear(),
                // Another server has found that messages were lost.
                _ => {
                    self.engine.epoch += 1000;
                    self.engine.base = self.engine.end;
                }
            },
            98 => {
                self.disconnect();
                let marks = self.engine.marks;
                let (epoch, before) = (self.engine.epoch + 1, std::mem::take(&mut self.engine.before));
                self.engine = Engine { epoch, marks, before, ..Engine::default() };
            }
            99 => {
                self.disconnect();
                self.may_differ = true;
                for _ in 0..self.rng.random_range(0..4) {
                    // What is left keeps its offsets.
                    if self.engine.log.len() > 1 && self.engine.end > self.engine.base {
                        self.engine.log.pop_back();
                        self.engine.all.pop();
                        self.engine.end -= 1;
                    }
                }
            }
            _ => {}
        }
    }

    fn execute(&mut self) {
        if let Some(read) = self.asked.pop_front() {
            let most = self.rng.random_range(2..6);
            self.answered.push_back((read.number, self.engine.read(read, most)));
        }
    }

    /// Lets everything arrive.
    fn settle(&mut self) {
        self.connect();
        for round in 0..200 {
            if round == 100 && std::mem::take(&mut self.has_dropped) {
                let message = self.engine.publish();
                self.live.push_back(message);
            }
            self.deliver();
            self.execute();
            self.answer();
        }
        let (last, _) = self.last.expect("a position");
        // A new epoch is seen with its first message.
        let is_quiet = self.engine.base == self.engine.end && last.offset == self.engine.end;
        assert!(is_quiet || last == at(self.engine.epoch, self.engine.end), "{last}");
        assert_eq!(self.caught, 1);
    }
}

#[test]
fn each_message_comes_exactly_once_and_in_order_or_a_gap_does() {
    let (mut seen, mut gaps) = (0, 0);
    for seed in 0..3000 {
        let mut world = World::new(seed);
        for turn in 0..world.rng.random_range(10..400) {
            world.turn();
            if turn % 100 == 99 && world.rng.random::<bool>() {
                world.settle();
            }
        }
        world.settle();
        seen += world.seen.len();
        gaps += world.gaps;
    }
    assert!(seen > 50_000 && gaps > 1000, "{seen} messages, {gaps} gaps");
}
