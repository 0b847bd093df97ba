//! What about clients that read more slowly than they are sent to?
//!
//! | policy | what happens |
//! |---|---|
//! | [`SlowConsumer::Close`], the default | it is closed when [`max_unsent`](crate::Limits::max_unsent) bytes wait for it |
//! | [`SlowConsumer::DropNewest`] | above [`high_water`](crate::Limits::high_water), messages for it are dropped and counted |
//! | [`send_latest`](Clients::send_latest) | while it is behind, a message replaces the last one of the same key |

use super::clients::Clients;
use crate::parts::SLOW_CONSUMERS;
use crate::protocol::{CloseReason, Message, Prepared, SendError, SharedBytes, State};
use crate::server::id::ClientId;
use crate::server::table::{At, Flags, Latest};

/// What happens to a client that reads more slowly than it is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowConsumer {
    /// It is closed when more than [`max_unsent`](crate::Limits::max_unsent) bytes would wait for
    /// it: whoever is here has got everything.
    #[default]
    Close,
    /// A message for it is dropped while more than [`high_water`](crate::Limits::high_water) bytes
    /// wait for it. [`Clients::take_dropped`] tells how many were, and `on_drain` when it is up
    /// again: the time to tell it of the gap.
    DropNewest,
}

impl<D> Clients<D> {
    /// From now on, this happens when the client does not read fast enough; to be called in
    /// `on_open`. `false`: it is gone.
    pub fn set_slow_consumer(&mut self, id: ClientId, policy: SlowConsumer) -> bool {
        let Some(index) = self.find(id) else { return false };
        match policy {
            SlowConsumer::Close => self.table[index].flags.clear(Flags::DROPS),
            SlowConsumer::DropNewest => {
                SLOW_CONSUMERS.use_it();
                self.table[index].flags.set(Flags::DROPS);
            }
        }
        true
    }

    /// How many messages have been dropped for this client since this was asked last.
    pub fn take_dropped(&mut self, id: ClientId) -> u64 {
        let behind = self.find(id).and_then(|index| self.table[index].behind_mut());
        behind.map_or(0, |behind| std::mem::take(&mut behind.dropped))
    }

    /// As [`send`](Self::send), for one of those messages of which only the last one matters: a
    /// price, a position. If the client is behind, this message waits apart from the others
    /// until all that is queued has been written, and takes the place of the last one with the
    /// same key, which is never sent (and counted in [`Stats`](crate::Stats)). It is
    /// never dropped, whatever [`SlowConsumer`] says. A client is behind when the kernel takes
    /// nothing for it, or more than [`high_water`](crate::Limits::high_water) bytes wait for
    /// it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`SendError::Full`] if those that wait apart take more than
    /// [`max_unsent`](crate::Limits::max_unsent) bytes of memory, about 100 for each key counted
    /// with them: the client is closed.
    pub fn send_latest<'m>(
        &mut self,
        id: ClientId,
        key: u64,
        message: impl Into<Message<'m>>,
    ) -> Result<(), SendError> {
        let index = self.find(id).ok_or(SendError::Gone)?;
        let message = message.into();
        if !self.is_behind(index, message) {
            return self.send(id, message);
        }
        let payload = self.table.shared_mut().share(message.as_bytes().to_vec());
        self.replace_latest(index, key, Latest { is_text: message.as_text().is_some(), payload })
    }

    /// [`send_latest`](Self::send_latest) to all members that a topic of the handler's route has
    /// now. Returns how many accepted it.
    pub fn publish_latest<'m>(&mut self, topic: &str, key: u64, message: impl Into<Message<'m>>) -> usize {
        let message = message.into();
        let prepared = Prepared::new(message);
        let mut kept: Option<SharedBytes> = None;
        let mut accepted = 0;
        let Some(topic) = self.table.topics().find(self.route, topic) else { return 0 };
        let mut place = 0;
        while let Some(index) = self.table.topics().member(topic, place) {
            place += 1;
            let outcome = if self.is_behind(index, message) {
                let payload =
                    kept.get_or_insert_with(|| self.table.shared_mut().share(message.as_bytes().to_vec())).clone();
                self.replace_latest(index, key, Latest { is_text: message.as_text().is_some(), payload })
            } else {
                self.send_prepared(index, &prepared)
            };
            accepted += usize::from(outcome.is_ok());
        }
        accepted
    }

    /// Whether the kernel takes nothing for it now, much waits for it, or something waits apart
    /// already.
    fn is_behind(&self, index: usize, message: Message<'_>) -> bool {
        let (client, limits) = (&self.table[index], &self.table.shared().limits);
        let buffered = client.connection.buffered_amount();
        let has_room = buffered.saturating_add(message.as_bytes().len()) <= limits.max_unsent;
        client.flags.has(Flags::BEHIND) || buffered > limits.high_water || !has_room
    }

    fn replace_latest(&mut self, index: usize, key: u64, latest: Latest) -> Result<(), SendError> {
        let At { client, shared, counters, .. } = self.table.at(index);
        if client.connection.state() != State::Open {
            return Err(SendError::NotOpen);
        }
        SLOW_CONSUMERS.use_it();
        let behind = client.connection.extra_mut().behind.get_or_insert_default();
        let place = behind.places.get(&key).copied();
        let before = place.map_or(0, |place| behind.latest[place].payload.memory());
        let bytes = behind.bytes - before + latest.payload.memory();
        if bytes > shared.limits.max_unsent {
            self.end(index, CloseReason::SlowConsumer);
            return Err(SendError::Full);
        }
        behind.bytes = bytes;
        match place {
            Some(place) => {
                behind.latest[place] = latest;
                counters.conflated += 1;
            }
            None => {
                behind.places.insert(key, behind.latest.len());
                behind.latest.push(latest);
            }
        }
        client.flags.set(Flags::LATEST);
        self.relieve();
        Ok(())
    }

    /// All that was queued for a client has been written, or is to be before the end: what has
    /// waited apart follows.
    pub(crate) fn catch_up(&mut self, index: usize) {
        let client = &mut self.table[index];
        if client.connection.is_sending_pieces() {
            return;
        }
        client.flags.clear(Flags::LATEST);
        let Some(behind) = client.behind_mut() else { return };
        for latest in behind.take() {
            let At { client, shared, .. } = self.table.at(index);
            let outcome = client.connection.send(shared, latest.as_message());
            // If it is closing, nothing is sent any more, and `on_close` will say so.
            let _ = self.queued(index, outcome);
        }
    }

    /// Bytes of memory of what waits apart for a client.
    pub(crate) fn waits_apart(&self, index: usize) -> usize {
        let behind = self.table[index].connection.extra().and_then(|extra| extra.behind.as_deref());
        behind.filter(|_| SLOW_CONSUMERS.is_used()).map_or(0, |behind| behind.bytes)
    }

    /// Bytes of frames that wait for several clients, each counted once, and of messages that wait
    /// apart.
    #[cfg(feature = "sim")]
    pub(crate) fn shared_bytes(&self) -> usize {
        let mut found = std::collections::BTreeMap::new();
        for (_, client) in self.table.iter() {
            let behind = client.connection.extra().and_then(|extra| extra.behind.as_deref());
            let apart = behind.into_iter().flat_map(|behind| behind.latest.iter().map(|latest| &latest.payload));
            let shared = client.connection.shared_frames().chain(apart);
            found.extend(shared.map(|bytes| (bytes.place(), bytes.memory())));
        }
        found.into_values().sum()
    }

    /// Nothing of it is sent any more.
    pub(crate) fn forget_latest(&mut self, index: usize) {
        if let Some(behind) = self.table[index].behind_mut() {
            behind.take();
        }
    }

    /// Whether a message for this client is to be dropped.
    #[inline]
    pub(crate) fn drops(&self, index: usize) -> bool {
        let client = &self.table[index];
        client.may_drop() && client.is_dropping(self.table.shared().limits.high_water)
    }

    /// A message for this client is dropped.
    #[cold]
    pub(crate) fn drop_newest(&mut self, index: usize) -> Result<(), SendError> {
        self.count_dropped(index);
        Err(SendError::Dropped)
    }

    pub(crate) fn count_dropped(&mut self, index: usize) {
        self.table[index].connection.extra_mut().behind.get_or_insert_default().dropped += 1;
        self.table.counters_mut().dropped += 1;
    }
}
