//! What a server knows of the others with which it shares rooms or documents: who is there, and
//! which there are. The engine between the servers notes it (presence).

use lariat::backplane::Member;
use lariat::{ClientId, Clients};
use std::collections::{BTreeMap, HashMap};

/// The topic in which each server notes its places.
const PLACES: &str = "places";

/// After so many calls of [`Others::ask_again`], the engine is asked who is where.
const ASK_EVERY: u32 = 4;

/// What was asked of the engine.
pub(super) enum Asked<A> {
    /// What has become of a publication?
    Published(A),
    /// Who is in this place?
    People(String),
    /// Which places are there?
    Places,
}

/// What a server knows of the others, and what it has asked. A place is a room or a document.
pub(super) struct Others<A> {
    /// A number that the people of this server have in common: see [`first_person`].
    own: u64,
    asked: HashMap<u64, Asked<A>>,
    last_token: u64,
    /// The places that have people on other servers.
    pub(super) places: BTreeMap<String, usize>,
    /// The places of this server that the engine knows of.
    noted: BTreeMap<String, usize>,
    calls: u32,
    /// Somebody has entered, and does not know the others yet.
    pub(super) asks_soon: bool,
}

/// The topic of what is said or written in a place. With other servers, it has a history.
pub(super) fn topic(place: &str) -> String {
    format!("#{place}")
}

/// The topic of what else happens in a place, such as typing.
pub(super) fn company(place: &str) -> String {
    format!("~{place}")
}

/// A client leaves the topics of a place.
pub(super) fn unsubscribe<A>(clients: &mut Clients<()>, others: Option<&Others<A>>, id: ClientId, place: &str) {
    clients.unsubscribe(id, &topic(place));
    clients.unsubscribe(id, &company(place));
    if let Some(others) = others {
        clients.unsubscribe(id, &others.here(place));
    }
}

/// Returns the number before that of the first person of a server. Different servers have different
/// numbers, which JSON can represent. Names of people who are called alike end in the lower half.
pub(super) const fn first_person(server: u64) -> u64 {
    server >> 43 << 32
}

impl<A> Others<A> {
    /// `server` is the random number of this one.
    pub(super) fn new(server: u64) -> Others<A> {
        Others {
            own: first_person(server),
            asked: HashMap::new(),
            last_token: 0,
            places: BTreeMap::new(),
            noted: BTreeMap::new(),
            calls: 0,
            asks_soon: false,
        }
    }

    /// The topic of those who are in a place over this server. Who comes and leaves is told to them
    /// alone: they hear of people on other servers when this server does. So nobody stays in a list
    /// whose server has died.
    pub(super) fn here(&self, place: &str) -> String {
        format!("@{} {place}", self.own)
    }

    /// Notes a question. Returns its token.
    pub(super) fn ask(&mut self, what: Asked<A>) -> u64 {
        self.last_token += 1;
        self.asked.insert(self.last_token, what);
        self.last_token
    }

    /// Returns what was asked with this token.
    pub(super) fn answered(&mut self, token: u64) -> Option<Asked<A>> {
        self.asked.remove(&token)
    }

    /// To be called in regular intervals. Asks who is in these places, and which places there are,
    /// if it is time.
    pub(super) fn ask_again(&mut self, clients: &mut Clients<()>, places: &[&str]) {
        self.calls += 1;
        self.asks_soon |= self.calls % ASK_EVERY == 0;
        // The answers to the last questions come first.
        if self.asked.values().any(|asked| matches!(asked, Asked::People(_) | Asked::Places)) {
            return;
        }
        if !std::mem::take(&mut self.asks_soon) {
            return;
        }
        for place in places {
            let token = self.ask(Asked::People((*place).to_owned()));
            clients.ask_members(&topic(place), token);
        }
        let token = self.ask(Asked::Places);
        clients.ask_members(PLACES, token);
    }

    /// Tells the engine how many people are in each place of this server.
    pub(super) fn note(&mut self, clients: &mut Clients<()>, places: BTreeMap<String, usize>) {
        for gone in self.noted.keys().filter(|name| !places.contains_key(*name)) {
            clients.leave_presence(PLACES, gone);
        }
        for (name, count) in places.iter().filter(|(name, count)| self.noted.get(*name) != Some(count)) {
            clients.enter_presence(PLACES, name, format!("{count} {}", self.own).as_bytes());
        }
        self.noted = places;
    }

    /// Returns those who are in a place on other servers, by number.
    pub(super) fn people(&self, members: Vec<Member>) -> BTreeMap<u64, String> {
        let is_own = |number: u64| number >> 32 == self.own >> 32;
        let parsed = members.into_iter().filter_map(|member| {
            let number = member.name.parse().ok().filter(|number| !is_own(*number))?;
            Some((number, String::from_utf8(member.data).ok()?))
        });
        parsed.collect()
    }

    /// Notes the places of other servers. Returns whether there are others than before.
    pub(super) fn set_places(&mut self, members: &[Member]) -> bool {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for member in members {
            let data = std::str::from_utf8(&member.data).unwrap_or_default();
            let Some((count, server)) = data.split_once(' ') else { continue };
            if let (Ok(count), true) = (count.parse::<usize>(), server.parse() != Ok(self.own)) {
                *places.entry(member.name.clone()).or_default() += count;
            }
        }
        let has_changed = self.places != places;
        self.places = places;
        has_changed
    }

    /// Adds the places of other servers to those of this one, by name.
    pub(super) fn add_to<'a>(&'a self, places: &mut BTreeMap<&'a str, usize>) {
        for (name, count) in &self.places {
            *places.entry(name).or_default() += count;
        }
    }
}
