//! What can be done with many clients at once?
//!
//! A message for many is framed once, and compressed once for all who can share it.

use super::clients::Clients;
use crate::protocol::{Message, Prepared, SendError};
use crate::server::id::ClientId;
use crate::server::table::{At, Client, Flags};

impl<D> Clients<D> {
    /// Returns how many open clients the handler's route has: those that [`iter`](Self::iter)
    /// returns.
    ///
    /// A client is open from [`on_open`](crate::Handler::on_open) on, until either side begins to
    /// close it or its connection breaks. So it is not counted in its
    /// [`on_close`](crate::Handler::on_close).
    pub fn len(&self) -> usize {
        self.table.open_on(self.route)
    }

    /// Returns how many open clients all routes have: those that [`iter_all`](Self::iter_all)
    /// returns.
    pub const fn len_all(&self) -> usize {
        self.table.open_len()
    }

    /// Returns whether the handler's route has no open clients.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the open clients of the handler's route, as many as [`len`](Self::len).
    pub fn iter(&self) -> impl Iterator<Item = ClientId> + '_ {
        let route = self.route;
        self.iter_all().filter(move |id| self.table[id.index as usize].route == route)
    }

    /// Returns the open clients of all routes, as many as [`len_all`](Self::len_all).
    pub fn iter_all(&self) -> impl Iterator<Item = ClientId> + '_ {
        let is_listed = |client: &Client<D>| client.flags.has(Flags::LISTED);
        self.table.iter().filter(move |(_, client)| is_listed(client)).map(|(index, client)| client.id(index))
    }

    /// Queues a message for every open client of the handler's route. It is framed once. Returns
    /// how many accepted it.
    pub fn broadcast<'m>(&mut self, message: impl Into<Message<'m>>) -> usize {
        let prepared = Prepared::new(message.into());
        let mut accepted = 0;
        for index in 0..self.table.places() {
            let is_meant = |client: &Client<D>| client.route == self.route && client.flags.has(Flags::LISTED);
            if self.table.get(index).is_some_and(is_meant) {
                accepted += usize::from(self.send_prepared(index, &prepared).is_ok());
            }
        }
        accepted
    }

    /// Makes a client a member of a topic of its route. `false` if it is one already, or gone.
    pub fn subscribe(&mut self, id: ClientId, topic: &str) -> bool {
        self.find(id).is_some_and(|index| self.table.subscribe(index, topic))
    }

    /// Ends a membership. `false` if there was none.
    pub fn unsubscribe(&mut self, id: ClientId, topic: &str) -> bool {
        self.find(id).is_some_and(|index| self.table.unsubscribe(index, topic))
    }

    /// How many members a topic of the handler's route has.
    pub fn subscribers(&self, topic: &str) -> usize {
        self.table.topics().members(self.route, topic).len()
    }

    /// Queues a message for all members that a topic of the handler's route has now. It is framed
    /// once, and what is published in one turn goes out in one write to each. Returns how many
    /// accepted it.
    pub fn publish<'m>(&mut self, topic: &str, message: impl Into<Message<'m>>) -> usize {
        self.publish_to(topic, None, message.into())
    }

    /// As [`publish`](Self::publish), but not to `except`: mostly the one whose message it is.
    pub fn publish_except<'m>(&mut self, topic: &str, except: ClientId, message: impl Into<Message<'m>>) -> usize {
        self.publish_to(topic, Some(except), message.into())
    }

    /// Does something on another route of the [`Router`](crate::Router), named as it was when it
    /// was added: publishes to its topics, sets its timers, iterates over its clients. Calls of
    /// a [`Remote`](crate::Remote) are on the first route otherwise. `None`: there is no such
    /// route.
    ///
    /// ```
    /// # fn example(remote: &lariat::Remote<()>) -> Result<(), lariat::RemoteError> {
    /// remote.run(|clients| {
    ///     clients.on_route("/chat", |clients| clients.publish("room", "from another thread"));
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_route<R>(&mut self, pattern: &str, call: impl FnOnce(&mut Clients<D>) -> R) -> Option<R> {
        let route = self.route_patterns.iter().position(|known| known == pattern)?;
        let before = std::mem::replace(&mut self.route, route as u16);
        let outcome = call(self);
        self.route = before;
        Some(outcome)
    }

    fn publish_to(&mut self, topic: &str, except: Option<ClientId>, message: Message<'_>) -> usize {
        let except = except.and_then(|id| self.find(id));
        let Some(topic) = self.table.topics().find(self.route, topic) else { return 0 };
        let prepared = Prepared::new(message);
        let (mut accepted, mut place) = (0, 0);
        // To queue something makes nobody leave: that happens at the end of the turn.
        while let Some(index) = self.table.topics().member(topic, place) {
            place += 1;
            if Some(index) != except {
                accepted += usize::from(self.send_prepared(index, &prepared).is_ok());
            }
        }
        accepted
    }

    #[inline]
    pub(crate) fn send_prepared(&mut self, index: usize, prepared: &Prepared<'_>) -> Result<(), SendError> {
        let At { client, shared, writable, .. } = self.table.at(index);
        if client.flags.has(Flags::DROPS) && client.is_dropping(shared.limits.high_water) {
            return self.drop_newest(index);
        }
        match client.connection.send_prepared(shared, prepared) {
            Ok(()) if client.flags.raise_to_write() => writable.push(index as u32),
            Ok(()) => {}
            Err(error) => return Err(self.not_queued(index, error)),
        }
        self.relieve();
        Ok(())
    }
}
