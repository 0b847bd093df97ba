//! A page that talks as the real one does.

use lariat::sim::{Peer, Simulation};
use lariat_cli::site::Chat;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Deserialize)]
pub struct Said {
    n: u64,
    id: String,
    name: String,
    text: String,
    age: u64,
    server: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    Welcome { server: String, you: u64, people: Vec<(u64, String)>, messages: Vec<Said>, missed: u64 },
    Message(Said),
    Said(String),
    People { came: Vec<(u64, String)>, left: Vec<u64> },
    Typing { who: Vec<u64>, more: usize },
    Rooms(Vec<(String, usize)>),
    Refused { id: Option<String>, why: String },
    Place { server: String, after: u64, lost: bool },
    Again(String),
}

/// A page, which does what `conversation.js` does.
pub struct Page {
    pub room: &'static str,
    pub name: String,
    pub key: String,
    pub peer: Option<Peer>,
    pub is_in: bool,
    pub server: String,
    pub last: u64,
    pub last_id: String,
    pub pending: Vec<(String, String)>,
    pub own: BTreeMap<String, String>,
    /// Own messages that the server has, and that have not come back.
    pub taken: Vec<(String, String)>,
    /// The ids of messages, in the order in which they were shown.
    pub shown: Vec<String>,
    pub shown_set: BTreeSet<String>,
    /// The ids that came from this server.
    pub from_server: BTreeSet<String>,
    pub texts: Vec<String>,
    pub ages: Vec<u64>,
    pub missed: u64,
    pub you: u64,
    pub people: BTreeMap<u64, String>,
    pub typing: (Vec<u64>, usize),
    pub rooms: Vec<(String, usize)>,
    pub refused: Vec<(Option<String>, String)>,
    /// Messages to send again after a while.
    later: Vec<String>,
    /// How often the page was told that it has missed an unknown number.
    pub lost: usize,
}

impl Page {
    pub fn new(number: usize, room: &'static str) -> Page {
        Page {
            room,
            name: format!("user {number}"),
            key: format!("key {number}"),
            peer: None,
            is_in: false,
            server: String::new(),
            last: 0,
            last_id: String::new(),
            pending: Vec::new(),
            own: BTreeMap::new(),
            taken: Vec::new(),
            shown: Vec::new(),
            shown_set: BTreeSet::new(),
            from_server: BTreeSet::new(),
            texts: Vec::new(),
            ages: Vec::new(),
            missed: 0,
            you: 0,
            people: BTreeMap::new(),
            typing: (Vec::new(), 0),
            rooms: Vec::new(),
            refused: Vec::new(),
            later: Vec::new(),
            lost: 0,
        }
    }

    pub fn send(&self, what: &serde_json::Value) {
        if let Some(peer) = &self.peer {
            peer.send(&what.to_string());
        }
    }

    pub fn connect(&mut self, sim: &mut Simulation<Chat>) {
        self.peer = Some(sim.connect("/chat"));
        self.is_in = false;
        self.join();
    }

    pub fn join(&self) {
        let (room, name, key) = (self.room, &self.name, &self.key);
        let (server, after, last) = (&self.server, self.last, &self.last_id);
        self.send(
            &json!({"join": {"room": room, "name": name, "key": key, "server": server, "after": after, "last": last}}),
        );
    }

    pub fn is_connected(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::is_open)
    }

    pub fn say(&mut self, random: &mut StdRng, text: &str) {
        let id = format!("{:032x}", random.random::<u128>());
        self.pending.push((id.clone(), text.to_owned()));
        if self.is_in {
            self.tell(&id, text);
        }
    }

    pub fn tell(&self, id: &str, text: &str) {
        self.send(&json!({"say": {"id": id, "text": text, "age": 0}}));
    }

    /// Handles the received messages.
    pub fn listen(&mut self) {
        let received = self.peer.as_ref().map(Peer::received_text).unwrap_or_default();
        for text in received {
            match serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")) {
                Told::Welcome { server, you, people, messages, missed } => {
                    self.missed += missed;
                    self.welcome(server, messages);
                    (self.you, self.people) = (you, people.into_iter().collect());
                }
                Told::Message(said) => self.show(said),
                Told::Said(id) => self.said(&id),
                Told::People { came, left } => {
                    left.iter().for_each(|number| drop(self.people.remove(number)));
                    self.people.extend(came);
                }
                Told::Typing { who, more } => self.typing = (who, more),
                Told::Rooms(rooms) => self.rooms = rooms,
                Told::Refused { id, why } => self.refused.push((id, why)),
                Told::Place { server, after, lost } => self.place(server, after, lost),
                Told::Again(id) => self.later.push(id),
            }
        }
    }

    pub fn welcome(&mut self, server: String, messages: Vec<Said>) {
        let is_restarted = !self.server.is_empty() && self.server != server;
        if self.server != server {
            self.last = 0;
            self.last_id.clear();
            self.from_server.clear();
        }
        (self.server, self.is_in) = (server, true);
        if is_restarted {
            self.take_back();
        }
        messages.into_iter().for_each(|said| self.show(said));
        self.pending.iter().for_each(|(id, text)| self.tell(id, text));
    }

    /// Own messages of late are pending again. Returns their number.
    fn take_back(&mut self) -> usize {
        let lately = &self.shown[self.shown.len().saturating_sub(100)..];
        let own = lately.iter().filter_map(|id| Some((id.clone(), self.own.remove(id)?)));
        let mut own: Vec<_> = own.collect();
        own.append(&mut self.taken);
        let count = own.len();
        self.pending.splice(0..0, own);
        count
    }

    fn said(&mut self, id: &str) {
        if let Some(at) = self.pending.iter().position(|(pending, _)| pending == id) {
            let message = self.pending.remove(at);
            match self.shown_set.contains(id) {
                true => drop(self.own.insert(message.0, message.1)),
                false => self.taken.push(message),
            }
        }
    }

    fn place(&mut self, server: String, after: u64, lost: bool) {
        let (is_same, known) = (self.server == server, self.last);
        (self.server, self.last) = (server, after);
        if !is_same || after != known {
            self.last_id.clear();
        }
        if !lost {
            // All that the room has was shown. It does not have these.
            let mut taken = std::mem::take(&mut self.taken);
            taken.iter().for_each(|(id, text)| self.tell(id, text));
            self.pending.append(&mut taken);
            return;
        }
        if is_same && after > known {
            self.missed += after - known;
            return;
        }
        self.lost += 1;
        self.from_server.clear();
        let count = self.take_back();
        self.pending[..count].iter().for_each(|(id, text)| self.tell(id, text));
    }

    /// Sends again what the server could not store.
    pub fn send_again(&mut self) {
        for id in std::mem::take(&mut self.later) {
            if let Some((id, text)) = self.pending.iter().find(|(pending, _)| *pending == id && self.is_in) {
                self.tell(id, text);
            }
        }
    }

    pub fn show(&mut self, said: Said) {
        if said.server.as_ref().is_some_and(|server| *server != self.server) {
            (self.server, self.last) = (said.server.clone().unwrap_or_default(), 0);
            self.from_server.clear();
        }
        if said.n <= self.last {
            return;
        }
        assert!(self.last == 0 || said.n == self.last + 1 || self.missed > 0, "{} follows {}", said.n, self.last);
        (self.last, self.last_id) = (said.n, said.id.clone());
        assert!(self.from_server.insert(said.id.clone()), "{} is told {:?} twice by one server", self.name, said.text);
        if let Some(at) = self.taken.iter().position(|(id, _)| *id == said.id) {
            let (id, text) = self.taken.remove(at);
            self.own.insert(id, text);
        }
        if let Some(at) = self.pending.iter().position(|(id, _)| *id == said.id) {
            assert!(said.name.starts_with(&self.name), "{} has said what {} did", said.name, self.name);
            let (id, text) = self.pending.remove(at);
            self.own.insert(id, text);
        }
        if self.shown_set.insert(said.id.clone()) {
            self.shown.push(said.id);
            self.texts.push(said.text);
            self.ages.push(said.age);
        }
    }
}
