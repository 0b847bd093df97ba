//! Where a connection is in its scenario.

use lariat::{ClientId, Message, OwnedMessage};
use std::collections::VecDeque;

/// Messages that have come before they are expected, at most for each connection; and their bytes.
const MOST_KEPT: usize = 256;
const MOST_BYTES: usize = 64 << 10;

/// A connection that walks through the scenario. It takes 112 bytes, more for loops and captured
/// values, and what it keeps of messages.
#[derive(Debug, Default)]
pub(super) struct Walker {
    pub(super) id: Option<ClientId>,
    /// The place of its step.
    pub(super) place: u32,
    pub(super) waits: Waits,
    /// When an answer is late, in milliseconds since the run began.
    pub(super) deadline: u32,
    /// When it goes on.
    pub(super) wake: u64,
    /// From when on its step counts.
    pub(super) since: u64,
    /// The messages that it has sent.
    pub(super) sent: u32,
    /// The number of the message that its last `send` has sent. Rules may have answered since.
    pub(super) asked: u32,
    /// The first message that it has passed over in this step.
    pub(super) first_passed: Option<Box<str>>,
    pub(super) laps: Box<[Lap]>,
    pub(super) values: Box<[Box<str>]>,
    kept: Option<Box<Kept>>,
}

/// For what a walker waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waits {
    /// It does not walk: it has not begun, or is over.
    #[default]
    Never,
    Nothing,
    Time,
    /// Its next turn.
    Turn,
    Message,
    Pong,
    /// The end of its connection.
    End,
    /// It has done all steps. Rules still answer.
    Over,
}

/// A loop in which a walker is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lap {
    pub(super) began: u64,
    pub(super) done: u32,
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<OwnedMessage>,
    bytes: usize,
}

impl Walker {
    /// Begins at the first step.
    pub(super) fn begin(&mut self, id: ClientId, now: u64, depth: usize, values: usize) {
        *self = Walker {
            id: Some(id),
            waits: Waits::Nothing,
            since: now,
            laps: vec![Lap::default(); depth].into(),
            values: vec![Box::default(); values].into(),
            ..Walker::default()
        };
    }

    pub(super) fn is_walking(&self) -> bool {
        !matches!(self.waits, Waits::Never | Waits::Over)
    }

    /// All steps are done.
    pub(super) fn finish(&mut self) {
        let (id, sent, values) = (self.id, self.sent, std::mem::take(&mut self.values));
        *self = Walker { id, sent, values, waits: Waits::Over, ..Walker::default() };
    }

    /// The walk is over. Its memory is freed.
    pub(super) fn end(&mut self) {
        *self = Walker::default();
    }

    /// Keeps a message for a later step. The oldest ones go if there are too many.
    pub(super) fn keep(&mut self, message: Message<'_>) {
        let kept = self.kept.get_or_insert_default();
        kept.bytes += message.as_bytes().len();
        kept.messages.push_back(message.into());
        while kept.messages.len() > MOST_KEPT || kept.bytes > MOST_BYTES && kept.messages.len() > 1 {
            let oldest = kept.messages.pop_front();
            kept.bytes -= oldest.map_or(0, |message| message.as_message().as_bytes().len());
        }
    }

    /// Takes the oldest of the kept messages.
    pub(super) fn next_kept(&mut self) -> Option<OwnedMessage> {
        let kept = self.kept.as_mut()?;
        let message = kept.messages.pop_front();
        match &message {
            Some(message) => kept.bytes -= message.as_message().as_bytes().len(),
            None => self.kept = None,
        }
        message
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Walker>() <= 112);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_messages_are_bounded_and_the_newest_stay() {
        let mut walker = Walker::default();
        for number in 0..1_000 {
            walker.keep(Message::Text(&number.to_string()));
        }
        let mut texts = std::iter::from_fn(|| walker.next_kept()).collect::<Vec<_>>();
        assert_eq!((texts.len(), texts.pop()), (MOST_KEPT, Some(OwnedMessage::Text("999".to_owned()))));
        walker.keep(Message::Binary(&vec![0; MOST_BYTES]));
        walker.keep(Message::Binary(&vec![1; 2 * MOST_BYTES]));
        assert_eq!(walker.next_kept().map(|message| message.as_message().as_bytes().len()), Some(2 * MOST_BYTES));
        assert!(walker.next_kept().is_none() && walker.kept.is_none());
    }
}
