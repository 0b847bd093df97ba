//! The last messages of a topic with a history, as far as this server knows them.

use crate::server::backplane::{History, Kept, StreamPosition};
use std::collections::VecDeque;

/// The last messages of a topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) messages: VecDeque<Kept>,
    /// The place before the first of them. `None` until something is known of the topic.
    pub(crate) start: Option<StreamPosition>,
    /// All that was kept when the topic was subscribed has arrived.
    pub(crate) is_caught: bool,
    /// The bytes of the messages.
    pub(crate) bytes: usize,
}

impl Log {
    /// Returns the place of the last message, or of that before the first.
    pub(crate) fn end(&self) -> Option<StreamPosition> {
        self.messages.back().map(|kept| kept.position).or(self.start)
    }

    /// Adds a message. If it is not the next one, those before it were late ones of an earlier
    /// subscription of the topic, whose end the engine had not noticed yet. They are dropped: this
    /// subscription begins with its oldest message.
    pub(crate) fn push(&mut self, kept: Kept, history: History) {
        let before = kept.position.before();
        if self.end() != Some(before) {
            self.clear(before);
        }
        self.bytes += kept.message.as_bytes().len();
        self.messages.push_back(kept);
        while self.messages.len() > history.messages as usize {
            self.drop_first();
        }
    }

    /// Drops the first message.
    pub(crate) fn drop_first(&mut self) {
        if let Some(first) = self.messages.pop_front() {
            self.bytes -= first.message.as_bytes().len();
            self.start = Some(first.position);
        }
    }

    /// Drops all messages. The next one is behind a place.
    fn clear(&mut self, place: StreamPosition) {
        self.messages.clear();
        (self.bytes, self.start) = (0, Some(place));
    }

    /// Notes that messages are missing before a place. What is kept is read again.
    pub(crate) fn gap(&mut self, position: Option<StreamPosition>) {
        *self = Log { start: position.or(self.start), ..Log::default() };
    }

    /// Notes where the history ends. Messages that end elsewhere were late ones of an earlier
    /// subscription, and are dropped.
    pub(crate) fn caught(&mut self, position: StreamPosition) {
        self.is_caught = true;
        if self.messages.back().is_none_or(|last| last.position != position) {
            self.clear(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedMessage;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn late_messages_of_an_earlier_subscription_are_dropped() {
        let history = History { messages: 10, age: Duration::from_secs(60) };
        let mut log = Log::default();
        let offsets = |log: &Log| log.messages.iter().map(|kept| kept.position.offset).collect::<Vec<_>>();
        let mut push = |offset| {
            let position = StreamPosition { epoch: 1, offset };
            log.push(Kept { position, message: Arc::new(OwnedMessage::Text("x".into())) }, history);
            (offsets(&log), log.start.map(|start| start.offset))
        };
        assert_eq!((push(8).1, push(9)), (Some(7), (vec![8, 9], Some(7))));
        assert_eq!(push(1), (vec![1], Some(0)));
        assert_eq!(push(2), (vec![1, 2], Some(0)));
        // The new one has no message at all.
        let end = StreamPosition { epoch: 2, offset: 0 };
        log.caught(end);
        assert_eq!((offsets(&log), log.end(), log.is_caught), (vec![], Some(end), true));
    }
}
