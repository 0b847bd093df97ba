//! When is which message of a topic with a history reported, if the history and live messages
//! arrive side by side?
//!
//! A pure state machine: no sockets, no time, no engine. An engine tells it what has arrived, and
//! does the [`Step`]s that come out, in order:
//!
//! ```text
//!            connected            last page
//!    Away ─────────────► Reading ──────────► Live
//!     ▲                   │  ▲  ▲             │ a hole, another epoch
//!     └─── lost ──────────┘  │  └─────────────┘
//!                            └─ live messages are held
//! ```
//!
//! Each message is reported exactly once and in the order of offsets, or a gap says that some were
//! lost.

use super::seam::{History, StreamPosition};
use std::collections::VecDeque;

/// How many bytes of live messages are held while the history is read. What is beyond is read from
/// the history instead. A single message may be larger.
const MOST_HELD: usize = 4 << 20;
/// How many messages are held.
const MOST_HELD_MESSAGES: usize = 4096;

/// A topic that a link has subscribed.
#[derive(Debug)]
pub(crate) struct Subscription<M> {
    /// Tells it from an earlier one of the same topic.
    pub(crate) number: u64,
    pub(crate) kind: Kind<M>,
}

/// What a subscription is of.
#[derive(Debug)]
pub(crate) enum Kind<M> {
    Plain {
        /// Whether messages have ever been received, so that a loss is a gap.
        was_confirmed: bool,
    },
    Kept {
        history: History,
        follow: Follow<M>,
    },
}

impl<M> Subscription<M> {
    pub(crate) fn new(number: u64, history: Option<History>, after: Option<StreamPosition>) -> Subscription<M> {
        let kind = match history {
            None => Kind::Plain { was_confirmed: false },
            Some(history) => Kind::Kept { history, follow: Follow::new(after) },
        };
        Subscription { number, kind }
    }
}

/// What a message that is held takes beside its bytes.
pub(crate) const OVERHEAD: usize = 64;

/// A message at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item<M> {
    pub(crate) offset: u64,
    /// A random number that its publisher has given it. It tells two messages apart that stand at
    /// the same place, because an engine has lost the first of them.
    pub(crate) mark: u64,
    pub(crate) message: M,
}

/// A part of a history, from one moment.
#[derive(Clone, Debug)]
pub(crate) struct Page<M> {
    pub(crate) epoch: u64,
    /// The offset of the last message at that moment.
    pub(crate) end: u64,
    /// All messages up to this offset that are kept and were asked for are here. It is `end` on
    /// the last page.
    pub(crate) through: u64,
    /// In the order of offsets.
    pub(crate) items: Vec<Item<M>>,
}

/// Which part of a history is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    /// Comes back with the page.
    pub(crate) number: u64,
    /// From this message on, which is included. If it is of another epoch than the history, from
    /// the beginning of the history's epoch on. Without it, all that is kept.
    pub(crate) from: Option<StreamPosition>,
    /// The engine has lost messages. If the history still has the epoch of `from`, it gets a new
    /// one first.
    pub(crate) renew: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<M> {
    /// Report the message.
    Kept(StreamPosition, M),
    /// Report that the history has been reported.
    Caught(StreamPosition),
    /// Report a gap.
    Gap(StreamPosition),
    /// Read a page, and call [`Follow::page`].
    Read(Read),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no subscription.
    Away,
    /// The page of this number is awaited. Live messages are held.
    Reading(u64),
    /// Everything has been read, and live messages are reported at once.
    Live,
}

/// A live message that waits for the history.
#[derive(Debug)]
struct Held<M> {
    /// The number of the read that was under way when it came.
    during: u64,
    epoch: u64,
    item: Item<M>,
    cost: usize,
}

/// Follows one topic.
#[derive(Debug)]
pub(crate) struct Follow<M> {
    phase: Phase,
    /// The last position that was reported, or from where the subscriber wants to go on.
    last: Option<StreamPosition>,
    /// Whether the engine has said that `last` exists. A subscriber may claim any position.
    is_seen: bool,
    /// The mark of the message at `last`, if it was reported.
    mark: Option<u64>,
    held: VecDeque<Held<M>>,
    held_bytes: usize,
    /// Whether a message was not held, because there were too many.
    has_overflowed: bool,
    is_caught: bool,
    reads: u64,
}

impl<M> Follow<M> {
    /// Begins after a position, or with all that is kept.
    pub(crate) const fn new(after: Option<StreamPosition>) -> Follow<M> {
        Follow {
            phase: Phase::Away,
            last: after,
            is_seen: false,
            mark: None,
            held: VecDeque::new(),
            held_bytes: 0,
            has_overflowed: false,
            is_caught: false,
            reads: 0,
        }
    }

    /// The engine sends live messages from now on.
    pub(crate) fn connected(&mut self, steps: &mut Vec<Step<M>>) {
        self.drop_held();
        self.read(false, steps);
    }

    /// The engine sends no more live messages, and answers no read that is under way.
    pub(crate) fn lost(&mut self) {
        self.phase = Phase::Away;
        self.drop_held();
    }

    /// A live message has come. It takes so many bytes.
    pub(crate) fn live(&mut self, epoch: u64, item: Item<M>, cost: usize, steps: &mut Vec<Step<M>>) {
        match self.phase {
            Phase::Away => {}
            Phase::Reading(number) => self.hold(number, epoch, item, cost),
            Phase::Live => match self.last {
                Some(last) if last.epoch == epoch && item.offset <= last.offset => {}
                Some(last) if last.epoch == epoch && item.offset - 1 == last.offset => self.report(epoch, item, steps),
                _ => {
                    // It comes before the read, so the page is younger than it.
                    self.hold(self.reads, epoch, item, cost);
                    self.read(false, steps);
                }
            },
        }
    }

    /// A page has been read.
    pub(crate) fn page(&mut self, number: u64, page: Page<M>, steps: &mut Vec<Step<M>>) {
        if self.phase != Phase::Reading(number) {
            return;
        }
        if self.is_seen && self.contradicts(&page) {
            self.read(true, steps);
            return;
        }
        let (epoch, end, through) = (page.epoch, page.end, page.through);
        let mut next = self.start(&page, steps);
        for item in page.items {
            if item.offset <= next {
                continue;
            }
            if item.offset - 1 != next {
                steps.push(Step::Gap(StreamPosition { epoch, offset: item.offset - 1 }));
            }
            next = item.offset;
            self.report(epoch, item, steps);
        }
        if next < through {
            steps.push(Step::Gap(StreamPosition { epoch, offset: through }));
            (next, self.mark) = (through, None);
        }
        self.last = Some(StreamPosition { epoch, offset: next });
        self.is_seen = true;
        if through < end {
            self.read(false, steps);
        } else {
            self.caught_up(number, steps);
        }
    }

    /// Whether the engine has lost the message at `last`.
    fn contradicts(&self, page: &Page<M>) -> bool {
        let Some(last) = self.last.filter(|last| last.epoch == page.epoch) else { return false };
        let other = page.items.iter().find(|item| item.offset == last.offset);
        last.offset > page.end || other.is_some_and(|other| self.mark.is_some_and(|mark| mark != other.mark))
    }

    /// Returns after which offset of the page's epoch to go on, and reports a gap if that is not
    /// where the last message was.
    fn start(&mut self, page: &Page<M>, steps: &mut Vec<Step<M>>) -> u64 {
        let start = page.items.first().map_or(page.through, |item| item.offset.saturating_sub(1));
        match self.last {
            None => start,
            Some(last) if last.epoch == page.epoch && last.offset <= page.end => last.offset,
            // Another epoch, or a position that has never existed.
            Some(_) => {
                steps.push(Step::Gap(StreamPosition { epoch: page.epoch, offset: start }));
                self.mark = None;
                start
            }
        }
    }

    /// The last page has been reported: reports what is held.
    fn caught_up(&mut self, number: u64, steps: &mut Vec<Step<M>>) {
        self.phase = Phase::Live;
        let Some(mut last) = self.last else { return };
        if !std::mem::replace(&mut self.is_caught, true) {
            steps.push(Step::Caught(last));
        }
        while let Some(held) = self.held.pop_front() {
            self.held_bytes = self.held_bytes.saturating_sub(held.cost);
            let offset = held.item.offset;
            if held.epoch == last.epoch && offset <= last.offset {
                continue;
            }
            if held.epoch == last.epoch && offset - 1 == last.offset {
                last.offset = offset;
                self.report(held.epoch, held.item, steps);
            } else if held.during >= number {
                // It came after the page was read, perhaps. A second look decides.
                self.held_bytes += held.cost;
                self.held.push_front(held);
                self.read(false, steps);
                return;
            }
            // Otherwise it is of an earlier epoch: the page is younger than it.
        }
        if std::mem::take(&mut self.has_overflowed) {
            self.read(false, steps);
        }
    }

    fn report(&mut self, epoch: u64, item: Item<M>, steps: &mut Vec<Step<M>>) {
        let position = StreamPosition { epoch, offset: item.offset };
        (self.last, self.mark, self.is_seen) = (Some(position), Some(item.mark), true);
        steps.push(Step::Kept(position, item.message));
    }

    fn read(&mut self, renew: bool, steps: &mut Vec<Step<M>>) {
        self.reads += 1;
        self.phase = Phase::Reading(self.reads);
        steps.push(Step::Read(Read { number: self.reads, from: self.last, renew }));
    }

    fn hold(&mut self, during: u64, epoch: u64, item: Item<M>, cost: usize) {
        let is_full = self.held_bytes + cost > MOST_HELD || self.held.len() >= MOST_HELD_MESSAGES;
        if is_full && !self.held.is_empty() || self.has_overflowed {
            self.has_overflowed = true;
            return;
        }
        self.held_bytes += cost;
        self.held.push_back(Held { during, epoch, item, cost });
    }

    fn drop_held(&mut self) {
        self.held = VecDeque::new();
        (self.held_bytes, self.has_overflowed) = (0, false);
    }
}
