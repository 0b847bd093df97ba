//! The index of topics and their members.
//!
//! A topic has a list of its members, and a client has a list of its topics. Each entry of one list
//! knows its index in the other, so joining and leaving are O(1) in the number of members. A client
//! without topics has no list.

use std::collections::HashMap;

/// A client's membership in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    topic: u32,
    /// The index in the topic's list of members.
    place: u32,
}

/// A topic's member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// The client's index in the table.
    pub(crate) client: u32,
    /// The index in the client's list of topics.
    place: u32,
}

impl Subscription {
    /// Returns the number of the topic.
    #[cfg(feature = "handover")]
    pub(crate) const fn topic(self) -> u32 {
        self.topic
    }
}

#[derive(Debug)]
struct Topic {
    route: u16,
    name: Box<str>,
    members: Vec<Member>,
    /// It stays when its last member leaves.
    is_kept: bool,
}

/// All topics that have members or are kept.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// By route, then by name.
    names: HashMap<u16, HashMap<Box<str>, u32>>,
    topics: slab::Slab<Topic>,
}

/// The owner of the clients' lists.
pub(crate) trait Subscribers {
    fn subscriptions(&mut self, client: u32) -> &mut Vec<Subscription>;
}

impl Topics {
    /// Returns the members of a topic.
    pub(crate) fn members(&self, route: u16, name: &str) -> &[Member] {
        self.find(route, name).map_or(&[], |topic| &self.topics[topic as usize].members)
    }

    /// Returns the name of a topic that a client has in its list.
    pub(crate) fn name(&self, subscription: Subscription) -> &str {
        &self.topics[subscription.topic as usize].name
    }

    /// Iterates over all topics: numbers, routes and names.
    #[cfg(feature = "handover")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u16, &str)> {
        self.topics.iter().map(|(number, topic)| (number as u32, topic.route, &*topic.name))
    }

    /// Finds a topic. The result is valid until a member joins or leaves.
    pub(crate) fn find(&self, route: u16, name: &str) -> Option<u32> {
        self.names.get(&route)?.get(name).copied()
    }

    /// Returns the client at an index in a topic's list of members.
    #[inline]
    pub(crate) fn member(&self, topic: u32, place: usize) -> Option<usize> {
        let member = self.topics.get(topic as usize)?.members.get(place)?;
        Some(member.client as usize)
    }

    /// Adds a member. Returns `false` if the client is one already.
    pub(crate) fn subscribe(&mut self, clients: &mut impl Subscribers, client: u32, route: u16, name: &str) -> bool {
        let topic = self.find_or_insert(route, name);
        let subscriptions = clients.subscriptions(client);
        if subscriptions.iter().any(|subscription| subscription.topic == topic) {
            return false;
        }
        let members = &mut self.topics[topic as usize].members;
        subscriptions.push(Subscription { topic, place: members.len() as u32 });
        members.push(Member { client, place: subscriptions.len() as u32 - 1 });
        true
    }

    fn find_or_insert(&mut self, route: u16, name: &str) -> u32 {
        self.find(route, name).unwrap_or_else(|| {
            let topic = Topic { route, name: name.into(), members: Vec::new(), is_kept: false };
            let topic = self.topics.insert(topic) as u32;
            self.names.entry(route).or_default().insert(name.into(), topic);
            topic
        })
    }

    /// Keeps a topic, with room for so many members.
    pub(super) fn keep(&mut self, route: u16, name: &str, members: usize) {
        let topic = self.find_or_insert(route, name) as usize;
        let topic = &mut self.topics[topic];
        topic.is_kept = true;
        topic.members.reserve_exact(members.saturating_sub(topic.members.len()));
    }

    /// Removes a member. Returns `false` if the client is none.
    pub(crate) fn unsubscribe(&mut self, clients: &mut impl Subscribers, client: u32, route: u16, name: &str) -> bool {
        let Some(topic) = self.find(route, name) else { return false };
        let place = clients.subscriptions(client).iter().position(|subscription| subscription.topic == topic);
        let Some(place) = place else { return false };
        self.leave(clients, client, place);
        true
    }

    /// Removes a client from all its topics.
    pub(crate) fn leave_all(&mut self, clients: &mut impl Subscribers, client: u32) {
        while let Some(last) = clients.subscriptions(client).len().checked_sub(1) {
            self.leave(clients, client, last);
        }
    }

    /// Removes a subscription from both lists. Their last entries move into the gaps.
    fn leave(&mut self, clients: &mut impl Subscribers, client: u32, place: usize) {
        let subscriptions = clients.subscriptions(client);
        let left = subscriptions.swap_remove(place);
        if let Some(moved) = subscriptions.get(place) {
            self.topics[moved.topic as usize].members[moved.place as usize].place = place as u32;
        }
        let members = &mut self.topics[left.topic as usize].members;
        members.swap_remove(left.place as usize);
        if let Some(moved) = members.get(left.place as usize) {
            clients.subscriptions(moved.client)[moved.place as usize].place = left.place;
        }
        if members.is_empty() && !self.topics[left.topic as usize].is_kept {
            let topic = self.topics.remove(left.topic as usize);
            if let Some(names) = self.names.get_mut(&topic.route) {
                names.remove(&topic.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::BTreeSet;

    impl Subscribers for Vec<Vec<Subscription>> {
        fn subscriptions(&mut self, client: u32) -> &mut Vec<Subscription> {
            &mut self[client as usize]
        }
    }

    #[test]
    fn members_agree_with_a_model_after_random_joins_and_leaves() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut topics, mut clients) = (Topics::default(), vec![Vec::new(); 50]);
        let mut model: BTreeSet<(u16, u32, u32)> = BTreeSet::new();
        for _ in 0..20_000 {
            let (client, route) = (random.random_range(0..50_u32), random.random_range(0..2_u16));
            let number = random.random_range(0..12_u32);
            let name = number.to_string();
            match random.random_range(0..10) {
                0 => {
                    topics.leave_all(&mut clients, client);
                    model.retain(|(_, _, other)| *other != client);
                }
                1..=4 => {
                    let left = topics.unsubscribe(&mut clients, client, route, &name);
                    assert_eq!(left, model.remove(&(route, number, client)));
                }
                _ => {
                    let joined = topics.subscribe(&mut clients, client, route, &name);
                    assert_eq!(joined, model.insert((route, number, client)));
                }
            }
            let mut members: Vec<u32> = topics.members(route, &name).iter().map(|member| member.client).collect();
            members.sort_unstable();
            let expected = model.range((route, number, 0)..=(route, number, u32::MAX)).map(|(_, _, client)| *client);
            assert!(members.into_iter().eq(expected));
        }
        for client in 0..50 {
            topics.leave_all(&mut clients, client);
        }
        assert!(topics.topics.is_empty(), "topics without members must not stay");
    }
}
