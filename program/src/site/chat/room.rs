//! A room: the people in it, and its messages.

use super::page::{Said, ToPage};
use lariat::ClientId;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A room keeps the last messages for those who come back: at most so many,
const MAX_KEPT: usize = 1_000;

/// and so many bytes of text and names.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// The messages that a new page gets.
const FOR_NEW_PAGES: usize = 50;

/// The ids of so many messages are remembered, to recognise repetitions.
const MAX_IDS: usize = 3_500;

/// A page that is still typing must repeat it within this time.
const TYPES_FOR: Duration = Duration::from_secs(4);

/// The most people who are named as typing.
const MAX_TYPING: usize = 5;

/// The greatest age of a message.
pub(super) const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A message as a room keeps it.
pub(super) struct Kept {
    pub(super) n: u64,
    /// 32 hexadecimal digits.
    pub(super) id: Box<str>,
    pub(super) name: Box<str>,
    pub(super) text: Box<str>,
    pub(super) at: Duration,
    /// How old it was when it arrived.
    pub(super) age: Duration,
}

impl Kept {
    fn as_said(&self, now: Duration) -> Said<'_> {
        let age = (now.saturating_sub(self.at) + self.age).as_millis() as u64;
        Said { n: self.n, id: &self.id, name: &self.name, text: &self.text, age, server: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.name.len() + self.text.len()
    }
}

pub(super) struct Person {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) client: ClientId,
}

/// One room.
#[derive(Default)]
pub(super) struct Room {
    /// By number.
    pub(super) people: BTreeMap<u64, Person>,
    /// Numbers by key and by name.
    pub(super) keys: HashMap<String, u64>,
    pub(super) names: HashMap<String, u64>,
    /// Who is here over other servers, by number.
    pub(super) elsewhere: BTreeMap<u64, String>,
    /// Who has entered and left since pages were last told.
    pub(super) came: Vec<u64>,
    pub(super) left: Vec<u64>,
    /// Who is typing, and until when unless it is repeated.
    pub(super) typing: Vec<(u64, Duration)>,
    pub(super) typing_changed: bool,
    pub(super) kept: VecDeque<Kept>,
    pub(super) kept_bytes: usize,
    pub(super) said: u64,
    pub(super) ids: HashSet<u128>,
    pub(super) ids_in_order: VecDeque<u128>,
    /// Since when nobody has been here; `None` if somebody is.
    pub(super) empty_since: Option<Duration>,
}

impl Room {
    pub(super) fn len(&self) -> usize {
        self.people.len()
    }

    /// Returns who is here, over all servers.
    pub(super) fn people(&self) -> Vec<(u64, &str)> {
        let here = self.people.iter().map(|(number, person)| (*number, person.name.as_str()));
        here.chain(self.elsewhere.iter().map(|(number, name)| (*number, name.as_str()))).collect()
    }

    /// Returns the name of somebody who is here over this server.
    pub(super) fn name(&self, person: u64) -> Option<&str> {
        self.people.get(&person).map(|person| person.name.as_str())
    }

    /// Notes who is here over other servers. Returns the message about what has changed, and for
    /// whom it is.
    pub(super) fn set_elsewhere(&mut self, now: BTreeMap<u64, String>) -> Option<(String, Vec<ClientId>)> {
        let before = std::mem::replace(&mut self.elsewhere, now);
        let came = self.elsewhere.iter().filter(|(number, name)| before.get(number) != Some(*name));
        let came: Vec<(u64, &str)> = came.map(|(number, name)| (*number, name.as_str())).collect();
        let left: Vec<u64> = before.into_keys().filter(|number| !self.elsewhere.contains_key(number)).collect();
        let has_changed = !(came.is_empty() && left.is_empty());
        let to = self.people.values().map(|person| person.client).collect();
        has_changed.then(|| (ToPage::People { came, left }.to_json(), to))
    }

    /// Adds a person, and returns the person's number. The same key as somebody who is here means
    /// the same person over another connection; the client that is replaced is returned too. (The
    /// server may not have noticed yet that its connection is broken.)
    pub(super) fn enter(&mut self, new: u64, client: ClientId, name: &str, key: &str) -> (u64, Option<ClientId>) {
        self.empty_since = None;
        let known = self.keys.get(key).copied();
        let number = known.unwrap_or(new);
        let replaced = known.and_then(|number| self.remove(number)).map(|person| person.client);
        // Two people of the same name get different names.
        let is_free = !self.names.contains_key(name);
        let name = if is_free { name.to_owned() } else { format!("{name} #{}", number as u32) };
        self.keys.insert(key.to_owned(), number);
        self.names.insert(name.clone(), number);
        self.people.insert(number, Person { name, key: key.to_owned(), client });
        self.left.retain(|left| *left != number);
        if !self.came.contains(&number) {
            self.came.push(number);
        }
        (number, replaced)
    }

    /// Removes a person.
    pub(super) fn leave(&mut self, number: u64, now: Duration) {
        if self.remove(number).is_none() {
            return;
        }
        self.came.retain(|came| *came != number);
        self.left.push(number);
        self.stops_typing(number);
        if self.people.is_empty() {
            self.empty_since = Some(now);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Person> {
        let person = self.people.remove(&number)?;
        self.keys.remove(&person.key);
        self.names.remove(&person.name);
        Some(person)
    }

    /// Adds a message. Returns `None` if the room has had a message with this id.
    pub(super) fn say(&mut self, person: u64, id: u128, text: &str, now: Duration, age: Duration) -> Option<Said<'_>> {
        let name = self.people.get(&person)?.name.clone();
        if !self.ids.insert(id) {
            return None;
        }
        self.stops_typing(person);
        self.keep(name, id, text, now, age)
    }

    /// Adds a message of a script, with the first new id from `id` on.
    pub(super) fn post(&mut self, name: String, mut id: u128, text: &str, now: Duration) -> Option<Said<'_>> {
        while !self.ids.insert(id) {
            id = id.wrapping_add(1);
        }
        self.is_used(now);
        self.keep(name, id, text, now, Duration::ZERO)
    }

    /// Something was said here. An empty room is kept for another while.
    pub(super) fn is_used(&mut self, now: Duration) {
        if self.people.is_empty() {
            self.empty_since = Some(now);
        }
    }

    /// Keeps a message whose id is new.
    fn keep(&mut self, name: String, id: u128, text: &str, now: Duration, age: Duration) -> Option<Said<'_>> {
        self.ids_in_order.push_back(id);
        if self.ids_in_order.len() > MAX_IDS {
            self.ids_in_order.pop_front().map(|oldest| self.ids.remove(&oldest));
        }
        self.said += 1;
        let (n, id, age) = (self.said, format!("{id:032x}").into(), age.min(MAX_AGE));
        let added = Kept { n, id, name: name.into(), text: text.into(), at: now, age };
        self.kept_bytes += added.bytes();
        self.kept.push_back(added);
        while self.kept.len() > MAX_KEPT || self.kept_bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= oldest.bytes();
        }
        self.kept.back().map(|kept| kept.as_said(now))
    }

    /// Returns the messages after number `known`, and how many of them are not kept any more. With
    /// `None`, the page has seen nothing of this server: a new page gets the last few messages, any
    /// other page all that are kept.
    pub(super) fn since(&self, known: Option<u64>, is_new: bool, now: Duration) -> (Vec<Said<'_>>, u64) {
        let first = self.kept.front().map_or(self.said + 1, |kept| kept.n);
        let missed = known.map_or(0, |known| first.saturating_sub(known.saturating_add(1)));
        let skipped = match known {
            Some(known) => known.saturating_add(1).saturating_sub(first) as usize,
            None if is_new => self.kept.len().saturating_sub(FOR_NEW_PAGES),
            None => 0,
        };
        (self.kept.iter().skip(skipped).map(|kept| kept.as_said(now)).collect(), missed)
    }

    /// Notes that a person is typing.
    pub(super) fn types(&mut self, person: u64, now: Duration) {
        let until = now + TYPES_FOR;
        match self.typing.iter_mut().find(|(other, _)| *other == person) {
            Some((_, known)) => *known = until,
            None => {
                self.typing.push((person, until));
                self.typing_changed = true;
            }
        }
    }

    pub(super) fn stops_typing(&mut self, person: u64) {
        let before = self.typing.len();
        self.typing.retain(|(other, _)| *other != person);
        self.typing_changed |= self.typing.len() < before;
    }

    /// Returns the message about who has come and left since the last call.
    pub(super) fn people_changes(&mut self) -> Option<String> {
        let (came, left) = (std::mem::take(&mut self.came), std::mem::take(&mut self.left));
        let has_changed = !(came.is_empty() && left.is_empty());
        let came = came.iter().filter_map(|number| Some((*number, self.people.get(number)?.name.as_str())));
        has_changed.then(|| ToPage::People { came: came.collect(), left }.to_json())
    }

    /// Returns the message about who is typing, if that has changed since the last call. `on` is
    /// the server, if there are several.
    pub(super) fn typing_changes(&mut self, now: Duration, on: Option<&str>) -> Option<String> {
        let before = self.typing.len();
        self.typing.retain(|(_, until)| now < *until);
        let has_changed = std::mem::take(&mut self.typing_changed) || self.typing.len() < before;
        let who: Vec<u64> = self.typing.iter().take(MAX_TYPING).map(|(person, _)| *person).collect();
        let more = self.typing.len() - who.len();
        has_changed.then(|| ToPage::Typing { who, more, on }.to_json())
    }
}
