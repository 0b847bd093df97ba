//! Calls for many clients: broadcasts and topics.
//!
//! A message for many clients is framed once, and compressed once for all that can share it.

use super::clients::Clients;
use crate::parts::BACKPLANE;
use crate::protocol::{Message, Prepared, SendError};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use crate::server::table::{At, Client, Flags};

impl<D: ClientData> Clients<D> {
    /// Returns the number of open clients of the handler's route: those that [`iter`](Self::iter)
    /// returns.
    ///
    /// A client is open from [`on_open`](crate::Handler::on_open) on, until either side begins to
    /// close it or its connection breaks. So it is not counted in its
    /// [`on_close`](crate::Handler::on_close).
    pub fn len(&self) -> usize {
        self.table.open_on(self.route)
    }

    /// Returns the number of open clients of all routes: those that [`iter_all`](Self::iter_all)
    /// returns.
    pub const fn len_all(&self) -> usize {
        self.table.open_len()
    }

    /// Returns whether the handler's route has no open clients.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over the open clients of the handler's route, as many as [`len`](Self::len).
    pub fn iter(&self) -> impl Iterator<Item = ClientId> + '_ {
        let route = self.route;
        self.iter_all().filter(move |id| self.table[id.index as usize].route == route)
    }

    /// Iterates over the open clients of all routes, as many as [`len_all`](Self::len_all).
    pub fn iter_all(&self) -> impl Iterator<Item = ClientId> + '_ {
        let is_listed = |client: &Client<D>| client.flags.has(Flags::LISTED);
        self.table.iter().filter(move |(_, client)| is_listed(client)).map(|(index, client)| client.id(index))
    }

    /// Queues a message for every open client of the handler's route, on all [loops](crate::Loops)
    /// and [servers](crate::Loops::backplane). The message is framed once per loop. Returns the
    /// number of clients of this loop for which it was queued.
    pub fn broadcast<'m>(&mut self, message: impl Into<Message<'m>>) -> usize {
        let message = message.into();
        self.broadcast_elsewhere(message);
        self.broadcast_to(message)
    }

    /// [`broadcast`](Self::broadcast), to the clients of this loop.
    pub(super) fn broadcast_to(&mut self, message: Message<'_>) -> usize {
        let prepared = Prepared::new(message);
        let mut accepted = 0;
        for index in 0..self.table.places() {
            let is_meant = |client: &Client<D>| client.route == self.route && client.flags.has(Flags::LISTED);
            if self.table.get(index).is_some_and(is_meant) {
                accepted += usize::from(self.send_prepared(index, &prepared).is_ok());
            }
        }
        accepted
    }

    /// Makes a client a member of a topic of its route. Returns `false` if it is one already, or
    /// has disconnected. [`watch_topics`](Self::watch_topics) tells the handler who joins and
    /// leaves.
    pub fn subscribe(&mut self, id: ClientId, topic: &str) -> bool {
        let Some(index) = self.find(id) else { return false };
        let has_joined = self.table.subscribe(index, topic);
        if has_joined {
            self.joined_on_loop(index, topic);
            self.note_membership(index, topic, true);
        }
        has_joined
    }

    /// Ends a membership, or the wait for one ([`subscribe_from`](Self::subscribe_from)). Returns
    /// `false` if there was none.
    pub fn unsubscribe(&mut self, id: ClientId, topic: &str) -> bool {
        let Some(index) = self.find(id) else { return false };
        let has_left = self.table.unsubscribe(index, topic);
        if has_left {
            self.left_on_loop(index, topic);
            self.note_membership(index, topic, false);
            return true;
        }
        BACKPLANE.is_used() && self.wait_no_more(index, id, topic)
    }

    /// Returns the number of members of a topic of the handler's route, on this
    /// [loop](crate::Loops).
    pub fn subscribers(&self, topic: &str) -> usize {
        self.table.topics().members(self.route, topic).len()
    }

    /// Iterates over the members of a topic of the handler's route, in no particular order, as many
    /// as [`subscribers`](Self::subscribers). A client stays a member until its
    /// [`on_close`](crate::Handler::on_close) has returned, unless the handler
    /// [watches topics](Self::watch_topics).
    pub fn members(&self, topic: &str) -> impl Iterator<Item = ClientId> + '_ {
        let members = self.table.topics().members(self.route, topic).iter();
        members.map(|member| self.table[member.client as usize].id(member.client as usize))
    }

    /// Iterates over the topics of which a client is a member, in no particular order. In
    /// [`on_close`](crate::Handler::on_close), they are those that it leaves. For a handler that
    /// [watches topics](Self::watch_topics), it has left them.
    ///
    /// ```
    /// # use lariat::{ClientId, Clients, CloseReason, Handler};
    /// # struct Rooms;
    /// # impl Handler for Rooms {
    /// # type Data = ();
    /// fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
    ///     let rooms: Vec<String> = clients.topics(id).map(str::to_owned).collect();
    ///     for room in rooms {
    ///         clients.publish_except(&room, id, &format!("{id} has left"));
    ///     }
    /// }
    /// # }
    /// ```
    pub fn topics(&self, id: ClientId) -> impl Iterator<Item = &str> + '_ {
        let extra = self.find(id).and_then(|index| self.table[index].connection.extra());
        let subscriptions = extra.map_or(&[][..], |extra| &extra.subscriptions);
        subscriptions.iter().map(|subscription| self.table.topics().name(*subscription))
    }

    /// Queues a message for all current members of a topic of the handler's route, on all
    /// [loops](crate::Loops) and [servers](crate::Loops::backplane). The message is framed once per
    /// loop. All messages of one turn are sent to a member in one write. Returns the number of
    /// clients of this loop for which it was queued.
    pub fn publish<'m>(&mut self, topic: &str, message: impl Into<Message<'m>>) -> usize {
        let message = message.into();
        self.publish_elsewhere(topic, None, message);
        self.publish_to(topic, None, message)
    }

    /// [`publish`](Self::publish), except to one client, such as the sender of the message.
    pub fn publish_except<'m>(&mut self, topic: &str, except: ClientId, message: impl Into<Message<'m>>) -> usize {
        let message = message.into();
        self.publish_elsewhere(topic, None, message);
        self.publish_to(topic, Some(except), message)
    }

    /// Runs a call on another route of the [`Router`](crate::Router), given by its first pattern.
    /// The call then uses the topics, timers and clients of that route. Returns `None` if there is
    /// no such route. A [`Remote`](crate::Remote) has its own
    /// [`on_route`](crate::Remote::on_route).
    ///
    /// ```
    /// # fn example(clients: &mut lariat::Clients<()>) {
    /// clients.on_route("/chat", |clients| clients.publish("room", "from another route"));
    /// # }
    /// ```
    pub fn on_route<R>(&mut self, pattern: &str, call: impl FnOnce(&mut Clients<D>) -> R) -> Option<R> {
        let route = self.route_patterns.iter().position(|known| known == pattern)?;
        let before = std::mem::replace(&mut self.route, route as u16);
        let outcome = call(self);
        self.route = before;
        Some(outcome)
    }

    /// [`publish`](Self::publish), to the members of this loop.
    pub(super) fn publish_to(&mut self, topic: &str, except: Option<ClientId>, message: Message<'_>) -> usize {
        let except = except.and_then(|id| self.find(id));
        let Some(topic) = self.table.topics().find(self.route, topic) else { return 0 };
        let prepared = Prepared::new(message);
        let (mut accepted, mut place) = (0, 0);
        // Queueing removes no member: clients are removed at the end of the turn.
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
