//! Slow consumers: clients that read more slowly than they are sent to.
//!
//! | policy | what happens to a slow consumer |
//! |---|---|
//! | `SlowConsumer::Close`, the default | it is closed above `max_unsent` unsent bytes |
//! | `SlowConsumer::DropNewest` | above `high_water`, its messages are dropped and counted |
//! | `send_latest` | while it is behind, a message replaces the last one of its key |

use super::clients::Clients;
use crate::parts::SLOW_CONSUMERS;
use crate::protocol::{CloseReason, Message, Prepared, SendError, SharedBytes, State};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::table::{At, Flags, Latest};

/// The policy for a client that reads more slowly than it is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// Closes the client when more than [`max_unsent`](crate::Limits::max_unsent) bytes would be
    /// unsent. So a client that is open has missed nothing.
    #[default]
    Close,
    /// Drops new messages while more than [`high_water`](crate::Limits::high_water) bytes are
    /// unsent. `on_drain` reports that the client has caught up, and [`Clients::take_dropped`]
    /// returns how many messages it has missed.
    DropNewest,
}

impl<D: ClientData> Clients<D> {
    /// Sets the policy for a client. Call it in `on_open`. Returns `false` if the client has
    /// disconnected.
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

    /// Returns how many messages were dropped for this client since the last call.
    pub fn take_dropped(&mut self, id: ClientId) -> u64 {
        let behind = self.find(id).and_then(|index| self.table[index].behind_mut());
        behind.map_or(0, |behind| std::mem::take(&mut behind.dropped))
    }

    /// Sends a message of which only the latest matters, such as a price or a position. If the
    /// client is behind, the message waits until everything else has been written. It replaces the
    /// last waiting message of the same key, which is never sent and counts as conflated in
    /// [`Stats`](crate::Stats). [`SlowConsumer::DropNewest`] does not apply to it.
    ///
    /// A client is behind when the kernel takes no bytes for it, or when more than
    /// [`high_water`](crate::Limits::high_water) bytes are unsent.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). [`SendError::Full`] if the waiting messages would take more than
    /// [`max_unsent`](crate::Limits::max_unsent) bytes of memory, which closes the client. Each key
    /// takes about 100 bytes beside its message.
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

    /// [`send_latest`](Self::send_latest) to all current members of a topic of the handler's route.
    /// Returns the number of clients for which it was queued.
    pub fn publish_latest<'m>(&mut self, topic: &str, key: u64, message: impl Into<Message<'m>>) -> usize {
        let message = message.into();
        self.publish_elsewhere(topic, Some(key), message);
        self.publish_latest_to(topic, key, message)
    }

    /// [`publish_latest`](Self::publish_latest), to the members of this loop.
    pub(super) fn publish_latest_to(&mut self, topic: &str, key: u64, message: Message<'_>) -> usize {
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

    /// Returns whether a client is behind, or has no room for this message.
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
        client.flags.set(Flags::CONFLATES);
        self.relieve();
        Ok(())
    }

    /// Queues the conflated messages of a client, after everything else.
    pub(crate) fn catch_up(&mut self, index: usize) {
        let client = &mut self.table[index];
        if client.connection.is_sending_pieces() {
            return;
        }
        client.flags.clear(Flags::CONFLATES);
        let Some(behind) = client.behind_mut() else { return };
        for latest in behind.take() {
            let At { client, shared, .. } = self.table.at(index);
            let outcome = client.connection.send(shared, latest.as_message());
            // A client that is closing is sent nothing more, and `on_close` reports that.
            let _ = self.queued(index, outcome);
        }
    }

    /// Returns the bytes of memory of a client's conflated messages.
    pub(crate) fn conflated_bytes(&self, index: usize) -> usize {
        let behind = self.table[index].connection.extra().and_then(|extra| extra.behind.as_deref());
        behind.filter(|_| SLOW_CONSUMERS.is_used()).map_or(0, |behind| behind.bytes)
    }

    /// Returns the bytes of frames that several clients share and of conflated messages. Each
    /// counts once.
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

    /// Drops a client's conflated messages.
    pub(crate) fn forget_latest(&mut self, index: usize) {
        if let Some(behind) = self.table[index].behind_mut() {
            behind.take();
        }
    }

    /// Returns whether a message for this client is to be dropped.
    #[inline]
    pub(crate) fn drops(&self, index: usize) -> bool {
        let client = &self.table[index];
        client.may_drop() && client.is_dropping(self.table.shared().limits.high_water)
    }

    /// Drops a message for this client.
    #[cold]
    pub(crate) fn drop_newest(&mut self, index: usize) -> Result<(), SendError> {
        self.count_dropped(index);
        Err(SendError::Dropped)
    }

    pub(crate) fn count_dropped(&mut self, index: usize) {
        self.count_many_dropped(index, 1);
    }

    pub(super) fn count_many_dropped(&mut self, index: usize, count: u64) {
        self.table[index].connection.extra_mut().behind.get_or_insert_default().dropped += count;
        self.table.counters_mut().dropped += count;
    }
}
