//! What is kept of a topic?

use crate::protocol::OwnedMessage;
use crate::server::backplane::follow::{Item, Page, Read};
use crate::server::backplane::{History, StreamPosition};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A topic without messages is forgotten after this, and twice the history's age.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// A message that is kept, or on its way to a link.
pub(super) type Entry = Item<Arc<OwnedMessage>>;

/// The last messages of a topic.
#[derive(Debug)]
pub(super) struct Log {
    epoch: u64,
    /// The offset of the last message.
    end: u64,
    /// Messages up to this offset were published in an earlier epoch.
    base: u64,
    /// With the times of their publication, in the order of offsets.
    entries: VecDeque<(Duration, Entry)>,
    /// Messages that have names.
    names: HashMap<Box<str>, StreamPosition>,
    /// When the names were used, in that order.
    named: VecDeque<(Duration, Box<str>)>,
    age: Duration,
    used: Duration,
}

impl Log {
    pub(super) fn new(epoch: u64) -> Log {
        Log {
            epoch,
            end: 0,
            base: 0,
            entries: VecDeque::new(),
            names: HashMap::new(),
            named: VecDeque::new(),
            age: Duration::ZERO,
            used: Duration::ZERO,
        }
    }

    /// Appends a message. Returns its entry too, unless its name has been used.
    pub(super) fn publish(
        &mut self,
        now: Duration,
        history: History,
        once: Option<Box<str>>,
        message: Arc<OwnedMessage>,
    ) -> (StreamPosition, Option<Entry>) {
        self.touch(now, history);
        if let Some(first) = once.as_ref().and_then(|name| self.names.get(name)) {
            return (*first, None);
        }
        self.end += 1;
        let position = StreamPosition { epoch: self.epoch, offset: self.end };
        if let Some(name) = once {
            self.named.push_back((now, name.clone()));
            self.names.insert(name, position);
        }
        // Nothing is lost but all of it, so one message never takes the place of another.
        let entry = Item { offset: self.end, mark: 0, message };
        self.entries.push_back((now, entry.clone()));
        while self.entries.len() > history.messages.max(1) as usize {
            self.entries.pop_front();
        }
        (position, Some(entry))
    }

    /// Reads messages. `fresh` is the new epoch if the history needs one.
    pub(super) fn read(&mut self, now: Duration, history: History, read: Read, fresh: u64) -> Page<Arc<OwnedMessage>> {
        self.touch(now, history);
        if read.renew && read.from.is_some_and(|from| from.epoch == self.epoch) {
            (self.epoch, self.base) = (fresh, self.end);
        }
        let start = match read.from {
            None => 0,
            Some(from) if from.epoch == self.epoch => from.offset,
            Some(_) => self.base + 1,
        };
        let first = self.entries.partition_point(|(_, entry)| entry.offset < start);
        let items = self.entries.range(first..).map(|(_, entry)| entry.clone()).collect();
        Page { epoch: self.epoch, end: self.end, through: self.end, items }
    }

    fn touch(&mut self, now: Duration, history: History) {
        (self.age, self.used) = (history.age, now);
        self.trim(now);
    }

    /// Removes what is too old.
    pub(super) fn trim(&mut self, now: Duration) {
        let is_old = |time: Duration| now.saturating_sub(time) > self.age;
        while self.entries.front().is_some_and(|(time, _)| is_old(*time)) {
            self.entries.pop_front();
        }
        while self.named.front().is_some_and(|(time, _)| is_old(*time)) {
            if let Some((_, name)) = self.named.pop_front() {
                self.names.remove(&name);
            }
        }
    }

    /// Whether nobody has used it for so long that it may be forgotten.
    pub(super) fn is_idle(&self, now: Duration) -> bool {
        now.saturating_sub(self.used) > self.age.saturating_mul(2).saturating_add(IDLE)
    }
}
