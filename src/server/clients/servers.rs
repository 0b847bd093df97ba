//! What an application can do with the topics of several servers.

use super::clients::Clients;
use super::hub::{Asker, BackplaneStatus, Hub, KeepAlive};
use super::kept::{KeptTopic, Since};
use super::peers::Peers;
use crate::parts::BACKPLANE;
use crate::protocol::{Message, OwnedMessage};
use crate::server::backplane::{History, Publication, PublishError};
use crate::server::data::ClientData;
use crate::server::id::ClientId;
use std::sync::Arc;

/// What servers share.
#[derive(Clone, Copy)]
pub(super) enum Channel<'a> {
    /// What the clients of a route get.
    Broadcasts,
    Topic(&'a str),
    /// A topic with a history. It is another topic than that of the same name without one.
    Kept(&'a str),
}

impl<D: ClientData> Clients<D> {
    /// Returns the loops of the server, if it has a backplane.
    #[inline(always)]
    pub(super) fn hub_peers(&self) -> Option<Arc<Peers<D>>> {
        if !BACKPLANE.is_used() {
            return None;
        }
        self.peers().filter(|peers| peers.hub.get().is_some())
    }

    /// Uses the server's hub, if it has a backplane.
    fn with_hub<T>(&self, call: impl FnOnce(&Hub) -> T) -> Option<T> {
        self.hub_peers()?.hub.get().map(call)
    }

    /// The loop keeps its peers alive.
    pub(crate) fn keep_alive(&mut self, peers: KeepAlive) {
        self.beyond.get_or_default().keep_alive = Some(peers);
    }

    /// Returns how the connection to the backplane is. `None` without a
    /// [backplane](crate::Loops::backplane).
    pub fn backplane_status(&self) -> Option<BackplaneStatus> {
        self.with_hub(Hub::status)
    }

    /// Keeps the topics and broadcasts of the handler's route within this server, if it has a
    /// [backplane](crate::Loops::backplane). Call it in [`on_start`](crate::Handler::on_start), on
    /// each loop, if messages are about state that other servers do not have.
    pub fn isolate_topics(&mut self) {
        let route = self.route;
        let isolated = &mut self.beyond.get_or_default().isolated;
        if !isolated.contains(&route) {
            isolated.push(route);
        }
    }

    fn is_isolated(&self, route: u16) -> bool {
        self.beyond.get().is_some_and(|beyond| beyond.isolated.contains(&route))
    }

    /// Returns the name of something on the backplane. A pattern has no spaces.
    fn name_of(&self, route: u16, channel: Channel<'_>) -> Arc<str> {
        let pattern = self.route_patterns.get(usize::from(route)).map_or("", String::as_str);
        match channel {
            Channel::Broadcasts => format!("all {pattern}"),
            Channel::Topic(topic) => format!("topic {pattern} {topic}"),
            Channel::Kept(topic) => format!("kept {pattern} {topic}"),
        }
        .into()
    }

    /// Makes a client a member of a topic with a history of its route, after it has got what it has
    /// missed. [`Handler::on_kept`](crate::Handler::on_kept) is called for each of these messages,
    /// and for each later one. If some were lost, [`on_gap`](crate::Handler::on_gap) comes first.
    ///
    /// The history comes from the [backplane](crate::Loops::backplane), once for all clients of the
    /// server. If it cannot be reached, the client waits. What is sent for a message counts against
    /// [`max_unsent`](crate::Limits::max_unsent) as any other. All servers and all calls must give
    /// the same `history` for a topic.
    ///
    /// When the client has got it all, it is a member, and
    /// [`on_caught`](crate::Handler::on_caught) is called. [`unsubscribe`](Self::unsubscribe) ends
    /// the membership, or the wait for it.
    ///
    /// Returns `false` if the server has no backplane, or if the client is a member or waits
    /// already, or has disconnected.
    pub fn subscribe_from(&mut self, id: ClientId, topic: &str, history: History, since: Since) -> bool {
        let Some(peers) = self.hub_peers() else {
            log::error!("the topic {topic:?} has no history: the server has no backplane");
            return false;
        };
        let Some(index) = self.find(id) else { return false };
        let route = self.table[index].route;
        let is_member = self.topics(id).any(|known| known == topic);
        let name: Arc<str> = topic.into();
        let (number, full) = (self.loop_number(), self.name_of(route, Channel::Kept(topic)));
        let table = &self.table;
        let kept = &mut self.beyond.get_or_default().kept;
        let key = (route, Arc::clone(&name));
        if is_member || kept.topics.get(&key).is_some_and(|known| known.has_waiting(id)) {
            return false;
        }
        let is_new = !kept.topics.contains_key(&key);
        let topic = kept.topics.entry(key.clone()).or_insert_with(|| KeptTopic::new(Arc::clone(&full), history));
        topic.add(id, since);
        if topic.becomes_due() {
            kept.due.push_back(key);
        } else {
            topic.forget_some(|id| table.find(id).is_some());
        }
        if is_new {
            peers.follow_kept(number, route, full, name, history);
        }
        true
    }

    /// Publishes a message to a topic with a history of the handler's route, on all servers. It
    /// gets its place in the topic, and then comes back to all servers, this one included, through
    /// [`Handler::on_kept`](crate::Handler::on_kept).
    /// [`on_published`](crate::Handler::on_published) reports the outcome with this `token`.
    ///
    /// The outcome may be reported before or after `on_kept`.
    ///
    /// `once` names the message within its topic: a second one of the same name is not published
    /// within the history's age, and its outcome is the place of the first. The engine keeps each
    /// name for that time. So publish it again with the same
    /// name after [`PublishError::Unknown`].
    ///
    /// # Errors
    ///
    /// The message was not taken: [`PublishError::Away`], [`PublishError::Full`]. `on_published` is
    /// then not called.
    pub fn publish_kept<'m>(
        &mut self,
        topic: &str,
        message: impl Into<Message<'m>>,
        history: History,
        once: Option<&str>,
        token: u64,
    ) -> Result<(), PublishError> {
        if self.hub_peers().is_none() {
            return Err(PublishError::Away);
        }
        let (route, number, full) = (self.route, self.loop_number(), self.name_of(self.route, Channel::Kept(topic)));
        // The outcome may be reported at once, so it is noted before.
        let ticket = self.beyond.get_or_default().kept.ask(route, token);
        let publication = Publication {
            topic: full,
            message: Arc::new(OwnedMessage::from(message.into())),
            latest: None,
            history: Some(history),
            once: once.map(Box::from),
            ticket: Some(Asker { number, token: ticket }.ticket()),
        };
        let outcome = self.with_hub(|hub| hub.publish(publication)).unwrap_or(Err(PublishError::Away));
        if outcome.is_err() {
            self.beyond.get_or_default().kept.asked.remove(&ticket);
        }
        outcome
    }

    /// Notes on the backplane that somebody is present in a topic of the handler's route, with this
    /// data, or has other data now. `name` must be unique on this server. The backplane forgets the
    /// members of a server that it has not heard for a while. Without a backplane, nothing happens.
    pub fn enter_presence(&mut self, topic: &str, name: &str, data: &[u8]) {
        self.with_hub(|hub| {
            hub.link().map(|link| link.enter(&self.name_of(self.route, Channel::Kept(topic)), name, data))
        });
    }

    /// Ends a presence.
    pub fn leave_presence(&mut self, topic: &str, name: &str) {
        self.with_hub(|hub| hub.link().map(|link| link.leave(&self.name_of(self.route, Channel::Kept(topic)), name)));
    }

    /// Asks who is present in a topic of the handler's route, on all servers.
    /// [`Handler::on_members`](crate::Handler::on_members) answers with this `token`. Returns
    /// `false` without a backplane.
    pub fn ask_members(&mut self, topic: &str, token: u64) -> bool {
        if self.hub_peers().is_none() {
            return false;
        }
        let (route, number) = (self.route, self.loop_number());
        let name = self.name_of(route, Channel::Kept(topic));
        let ticket = Asker { number, token: self.beyond.get_or_default().kept.ask(route, token) }.ticket();
        self.with_hub(|hub| hub.link().map(|link| link.ask_members(&name, ticket)));
        true
    }

    // ---- topics without a history --------------------------------------------------------------

    /// This loop has the first member of a topic.
    pub(super) fn follow_topic(&self, route: u16, topic: &str) {
        self.follow_channel(route, Channel::Topic(topic), Some(topic));
    }

    /// This loop has no member of a topic any more.
    pub(super) fn unfollow_topic(&mut self, route: u16, topic: &str) {
        if BACKPLANE.is_used() {
            self.with_hub(|hub| hub.unfollow(self.loop_number(), &self.name_of(route, Channel::Topic(topic)), false));
            self.end_kept(route, topic);
        }
    }

    /// This loop gets the broadcasts of other servers, for each route.
    pub(crate) fn follow_broadcasts(&self) {
        (0..self.route_patterns.len().max(1) as u16)
            .for_each(|route| self.follow_channel(route, Channel::Broadcasts, None));
    }

    fn follow_channel(&self, route: u16, channel: Channel<'_>, name: Option<&str>) {
        if BACKPLANE.is_used() && !self.is_isolated(route) {
            self.with_hub(|hub| hub.follow(self.loop_number(), route, self.name_of(route, channel), name));
        }
    }

    /// Gives a message to other servers.
    pub(super) fn give_to_servers(
        &self,
        peers: &Peers<D>,
        channel: Channel<'_>,
        key: Option<u64>,
        message: impl FnOnce() -> Arc<OwnedMessage>,
    ) {
        if !BACKPLANE.is_used() || self.is_isolated(self.route) {
            return;
        }
        let Some(hub) = peers.hub.get() else { return };
        let outcome = hub.publish(Publication {
            topic: self.name_of(self.route, channel),
            message: message(),
            latest: key,
            history: None,
            once: None,
            ticket: None,
        });
        if let Err(error) = outcome {
            log::debug!("a message did not reach other servers: {error}");
        }
    }
}
