//! What do requests do, and in which order do they and their answers arrive?

use super::history::Log;
use super::link::{Answer, Lane, Link, Live, Request};
use super::outbox::Outbox;
use crate::server::backplane::{Member, NodeId, Publication};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How often topics are looked through for what is too old.
const SWEEP: Duration = Duration::from_secs(60);

/// Who is present in a topic: data by server and name.
type Members = BTreeMap<(u64, String), Vec<u8>>;

/// All that the lock of the engine guards.
#[derive(Debug)]
pub(super) struct State {
    /// Whether links wait for [`State::step_one`].
    pub(super) is_held: bool,
    pub(super) links: BTreeMap<u64, Link>,
    /// The links that have something to report.
    pub(super) reporting: Vec<Arc<Outbox>>,
    random: StdRng,
    now: Duration,
    swept: Duration,
    logs: HashMap<Arc<str>, Log>,
    members: HashMap<Arc<str>, Members>,
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            is_held: false,
            links: BTreeMap::new(),
            reporting: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            swept: Duration::ZERO,
            logs: HashMap::new(),
            members: HashMap::new(),
        }
    }

    /// Time never goes back.
    pub(super) fn set_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.now.saturating_sub(self.swept) < SWEEP {
            return;
        }
        self.swept = self.now;
        let used: HashSet<&Arc<str>> = self.links.values().flat_map(|link| link.subscribed.keys()).collect();
        self.logs.retain(|topic, log| {
            log.trim(self.now);
            used.contains(topic) || !log.is_idle(self.now)
        });
    }

    /// Forgets everything. The links note again who is present on their servers.
    pub(super) fn forget(&mut self) {
        self.logs.clear();
        self.members.clear();
        self.links.values_mut().for_each(|link| link.ask(Request::Present));
    }

    /// Forgets who was present on a server, if it has no connection.
    pub(super) fn expire(&mut self, node: u64) {
        if self.links.get(&node).is_none_or(|link| !link.is_connected) {
            self.remove_members(node);
        }
    }

    /// A link ends. Its last messages are published. What is left of it has to be dropped without
    /// the lock: the function it reported to may own other links.
    pub(super) fn end(&mut self, node: u64) -> Option<Link> {
        let link = self.links.get_mut(&node)?;
        link.outbox.close();
        let (is_connected, requests) = (link.is_connected, std::mem::take(&mut link.requests));
        for request in requests {
            if let Request::Publish(publication) = request {
                self.publish(node, publication);
            }
        }
        if is_connected {
            self.remove_members(node);
        }
        self.links.remove(&node)
    }

    // ---- steps ----------------------------------------------------------------------------------

    /// Does the next step of one of the queues. Returns whether there was one.
    pub(super) fn step_one(&mut self, random: u64) -> bool {
        let lanes: Vec<(u64, Lane)> =
            self.links.iter().flat_map(|(node, link)| link.lanes().map(|lane| (*node, lane))).collect();
        let Some(count) = std::num::NonZeroU64::new(lanes.len() as u64) else { return false };
        let (node, lane) = lanes[(random % count) as usize];
        self.step(node, lane);
        true
    }

    /// Does all steps. What is sent first arrives first.
    pub(super) fn step_all(&mut self) {
        let next = |(node, link): (&u64, &Link)| link.lanes().next().map(|lane| (*node, lane));
        while let Some((node, lane)) = self.links.iter().find_map(next) {
            self.step(node, lane);
        }
    }

    fn step(&mut self, node: u64, lane: Lane) {
        let Some(link) = self.links.get_mut(&node) else { return };
        if lane != Lane::Requests {
            link.arrive(lane);
            self.reporting.push(Arc::clone(&link.outbox));
        } else if let Some(request) = link.requests.pop_front() {
            self.execute(node, request);
        }
    }

    fn execute(&mut self, node: u64, request: Request) {
        let fresh = self.random.random();
        let Some(link) = self.links.get_mut(&node) else { return };
        match request {
            Request::Publish(publication) => self.publish(node, publication),
            Request::Subscribe { topic, number } => {
                link.subscribed.insert(Arc::clone(&topic), number);
                link.send(&topic, Live::Confirmed);
            }
            Request::Unsubscribe(topic) => drop(link.subscribed.remove(&topic)),
            Request::Read { topic, number, history, read } => {
                let log = self.logs.entry(Arc::clone(&topic)).or_insert_with(|| Log::new(fresh));
                let page = log.read(self.now, history, read, fresh);
                link.answers.push_back(Answer::Page { topic, number, read: read.number, page });
            }
            Request::Enter { topic, name, data } => {
                self.members.entry(topic).or_default().insert((node, name), data);
            }
            Request::Leave { topic, name } => self.remove_member(node, &topic, name),
            Request::Present => self.replace_members(node),
            Request::Ask { topic, ticket } => {
                let members = self.members.get(&topic).into_iter().flatten().map(|((node, name), data)| Member {
                    node: NodeId(*node),
                    name: name.clone(),
                    data: data.clone(),
                });
                link.members(ticket, Ok(members.collect()));
            }
        }
    }

    fn publish(&mut self, node: u64, publication: Publication) {
        let Publication { topic, message, latest, history, once, ticket } = publication;
        let mut outcome = None;
        match history {
            None => {
                for (_, link) in self.links.iter_mut().filter(|(other, _)| **other != node) {
                    link.send(&topic, Live::Plain { message: Arc::clone(&message), latest });
                }
            }
            Some(history) => {
                let random = &mut self.random;
                let log = self.logs.entry(Arc::clone(&topic)).or_insert_with(|| Log::new(random.random()));
                let (position, entry) = log.publish(self.now, history, once, message);
                outcome = Some(position);
                for (link, entry) in self.links.values_mut().zip(std::iter::repeat(entry)) {
                    let Some(entry) = entry else { break };
                    link.send(&topic, Live::Kept { epoch: position.epoch, entry });
                }
            }
        }
        if let Some(link) = self.links.get_mut(&node) {
            link.published(ticket, Ok(outcome));
        }
    }

    // ---- presence -------------------------------------------------------------------------------

    fn remove_member(&mut self, node: u64, topic: &Arc<str>, name: String) {
        if let Some(members) = self.members.get_mut(topic) {
            members.remove(&(node, name));
            if members.is_empty() {
                self.members.remove(topic);
            }
        }
    }

    fn remove_members(&mut self, node: u64) {
        self.members.retain(|_, members| {
            members.retain(|(other, _), _| *other != node);
            !members.is_empty()
        });
    }

    fn replace_members(&mut self, node: u64) {
        self.remove_members(node);
        let Some(link) = self.links.get(&node) else { return };
        for ((topic, name), data) in &link.present {
            self.members.entry(Arc::clone(topic)).or_default().insert((node, name.clone()), data.clone());
        }
    }
}
