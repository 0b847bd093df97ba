//! Memberships: who joins and leaves topics, for handlers that ask for it.
//!
//! A call of an application only notes what has changed. The loop tells the handler before it
//! flushes, and before a client's `on_close`.

use super::clients::Clients;
use crate::parts::MEMBERSHIPS;
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::collections::VecDeque;

/// A client has joined or left a topic.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) id: ClientId,
    pub(crate) topic: Box<str>,
    pub(crate) has_joined: bool,
}

/// The changes that no handler was told of yet, and the routes that want to know.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    routes: Vec<u16>,
    changes: VecDeque<Change>,
}

impl<D: ClientData> Clients<D> {
    /// Calls [`on_subscribe`](crate::Handler::on_subscribe) and
    /// [`on_unsubscribe`](crate::Handler::on_unsubscribe) of the handler that asks, for every client
    /// of its route that joins or leaves a topic from now on. Nothing is noted without this call.
    ///
    /// A client that disconnects then leaves its topics before its
    /// [`on_close`](crate::Handler::on_close): [`topics`](Self::topics) is empty there, and
    /// [`members`](Self::members) no longer has the client. A topic that it joins in its `on_close`
    /// is not reported. A client that joined before this call has an `on_unsubscribe` alone.
    ///
    /// ```
    /// use lariat::{ClientId, Clients, Handler};
    ///
    /// struct Presence;
    ///
    /// impl Handler for Presence {
    ///     type Data = ();
    ///
    ///     fn on_start(&mut self, clients: &mut Clients<()>) {
    ///         clients.watch_topics();
    ///     }
    ///
    ///     fn on_open(&mut self, clients: &mut Clients<()>, id: ClientId) {
    ///         clients.subscribe(id, "lobby");
    ///     }
    ///
    ///     fn on_subscribe(&mut self, clients: &mut Clients<()>, _: ClientId, topic: &str) {
    ///         clients.publish(topic, &format!("{} people are here", clients.subscribers(topic)));
    ///     }
    ///
    ///     fn on_unsubscribe(&mut self, clients: &mut Clients<()>, _: ClientId, topic: &str) {
    ///         clients.publish(topic, &format!("{} people are here", clients.subscribers(topic)));
    ///     }
    /// }
    /// ```
    pub fn watch_topics(&mut self) {
        MEMBERSHIPS.use_it();
        let memberships = self.memberships.get_or_insert_default();
        if !memberships.routes.contains(&self.route) {
            memberships.routes.push(self.route);
        }
    }

    /// Ends [`watch_topics`](Self::watch_topics) for the handler that asks. What was noted before is
    /// still reported.
    pub fn unwatch_topics(&mut self) {
        if let Some(memberships) = &mut self.memberships {
            memberships.routes.retain(|route| *route != self.route);
        }
    }

    /// Notes that a client has joined or left a topic, if the handler of its route wants to know.
    pub(super) fn note_membership(&mut self, index: usize, topic: &str, has_joined: bool) {
        if !MEMBERSHIPS.is_used() {
            return;
        }
        let client = &self.table[index];
        let (id, route) = (client.id(index), client.route);
        if let Some(memberships) = self.memberships.as_mut().filter(|all| all.routes.contains(&route)) {
            memberships.changes.push_back(Change { id, topic: topic.into(), has_joined });
        }
    }

    // ---- for the loop --------------------------------------------------------------------------

    /// Returns the number of changes that no handler was told of yet.
    #[inline]
    pub(crate) fn membership_changes(&self) -> usize {
        if !MEMBERSHIPS.is_used() {
            return 0;
        }
        self.memberships.as_ref().map_or(0, |memberships| memberships.changes.len())
    }

    /// Takes the first change that no handler was told of yet.
    pub(crate) fn next_membership_change(&mut self) -> Option<Change> {
        self.memberships.as_mut()?.changes.pop_front()
    }

    /// Lets a client leave its topics, if the handler of its route wants to know.
    pub(crate) fn leave_watched_topics(&mut self, index: usize) {
        let route = self.table[index].route;
        if self.memberships.as_ref().is_some_and(|memberships| memberships.routes.contains(&route)) {
            self.leave_all_topics(index);
        }
    }

    /// Lets a client leave its topics, one by one.
    pub(super) fn leave_all_topics(&mut self, index: usize) {
        let id = self.table[index].id(index);
        let topics: Vec<Box<str>> = self.topics(id).map(Box::from).collect();
        for topic in topics {
            self.unsubscribe(id, &topic);
        }
    }
}
