//! `/chat`: rooms in which nothing is lost and nothing said twice.
//!
//! A page that says something gives it an id by chance, and says it again after each reconnection
//! until it has seen it come back; a room says nothing twice that has the same id. A room numbers
//! what it says, and a page that comes back tells the last number that it has seen, so it gets what
//! it has missed. When the server has been restarted (it has another name then), pages offer again
//! what they had said lately, and the ids tell what is known already: nothing needs to be written
//! to a disk.
//!
//! | from the page | |
//! |---|---|
//! | `{"join":{"room","name","key","server","after"}}` | comes in, perhaps again: `key` is a secret of the page, `server` and `after` are what it has seen last, or `""` and 0 |
//! | `{"say":{"id","text","age"}}` | says something, `age` milliseconds ago |
//! | `"typing"` | is about to |
//!
//! | to the page | |
//! |---|---|
//! | `{"welcome":{"server","you","people","messages","missed"}}` | it is in the room; `missed` messages are not there any more |
//! | `{"message":{"n","id","name","text","age"}}` | somebody says something, perhaps the page itself |
//! | `{"said":"id"}` | the page has said this before |
//! | `{"people":{"came","left"}}` | who has come and gone |
//! | `{"typing":{"who","more"}}` | who is typing now |
//! | `{"rooms":[["lobby",3]]}` | what rooms there are, with how many people |
//! | `{"refused":{"id","why"}}` | something cannot be done; `id` if it was a message |
//!
//! Memory: at most [`MAX_ROOMS`] rooms of about 0.5 MiB each, and what people are called.

mod room;

use lariat::{ClientId, Clients, CloseCode, CloseReason, Handler, Message, TimerId};
use room::{Room, Said};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// More rooms than this there are not at a time.
const MAX_ROOMS: usize = 64;

/// An empty room is forgotten after this.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);

/// How often it is told who came, went and is typing.
const PERIOD: Duration = Duration::from_millis(250);

/// Bytes of the longest text that can be said.
const MAX_TEXT: usize = 8 << 10;

/// Characters of the longest name of a person or room.
const MAX_NAME: usize = 32;

/// Bytes of the longest secret of a page.
const MAX_KEY: usize = 64;

/// The topic of all who are in some room; those of rooms begin with `#`.
const EVERYBODY: &str = "everybody";

/// A page is told under this code that it has come in elsewhere.
const REPLACED: u16 = 4000;

/// What a page says.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Join { room: String, name: String, key: String, server: String, after: u64 },
    Say { id: String, text: String, age: u64 },
    Typing,
}

/// What a page is told.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Welcome { server: &'a str, you: u32, people: Vec<(u32, &'a str)>, messages: Vec<Said<'a>>, missed: u64 },
    Message(Said<'a>),
    Said(&'a str),
    People { came: Vec<(u32, &'a str)>, left: Vec<u32> },
    Typing { who: Vec<u32>, more: usize },
    Rooms(Vec<(&'a str, usize)>),
    Refused { id: Option<&'a str>, why: &'a str },
}

impl Told<'_> {
    fn to_json(&self) -> String {
        // Text, numbers and lists: nothing that JSON has not.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // Whoever cannot be sent to is closed and comes back, with the number of the last that it has seen.
        let _ = clients.send(to, &self.to_json());
    }
}

/// Where a client is.
struct Place {
    room: String,
    person: u32,
}

/// Rooms, and who is in them.
pub struct Chat {
    /// Another one after each start.
    server: String,
    rooms: BTreeMap<String, Room>,
    places: HashMap<ClientId, Place>,
    people: u32,
    /// Time since the first room began.
    now: Duration,
    timer: Option<TimerId>,
    rooms_changed: bool,
}

impl Default for Chat {
    fn default() -> Chat {
        Chat::new(rand::random())
    }
}

impl Chat {
    /// Without rooms. `server` must be another number for each start of the server.
    pub fn new(server: u64) -> Chat {
        Chat {
            server: format!("{server:016x}"),
            rooms: BTreeMap::new(),
            places: HashMap::new(),
            people: 0,
            now: Duration::ZERO,
            timer: None,
            rooms_changed: false,
        }
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, asked: Join<'_>) {
        self.leave(clients, id);
        let (name, room_name) = (tidy(asked.name, "Guest"), tidy(asked.room, "lobby"));
        if !self.rooms.contains_key(&room_name) && !self.make_place() {
            Told::Refused { id: None, why: "There are too many rooms already." }.send(clients, id);
            return;
        }
        let room = self.rooms.entry(room_name.clone()).or_default();
        self.people += 1;
        let (person, replaced) = room.enter(self.people, id, &name, asked.key);
        if let Some(ghost) = replaced {
            self.places.remove(&ghost);
            clients.unsubscribe(ghost, &topic(&room_name));
            // It may be closing already.
            let _ = clients.close(ghost, CloseCode::from(REPLACED), "this page has come in again");
        }
        clients.subscribe(id, EVERYBODY);
        clients.subscribe(id, &topic(&room_name));
        let known = (asked.server == self.server).then_some(asked.after);
        let (messages, missed) = room.since(known, asked.server.is_empty(), self.now);
        let welcome = Told::Welcome { server: &self.server, you: person, people: room.people(), messages, missed };
        welcome.send(clients, id);
        self.places.insert(id, Place { room: room_name, person });
        self.rooms_changed = true;
        if self.timer.is_none() {
            self.timer = Some(clients.set_interval(PERIOD, 0));
        }
        self.tell_rooms(clients, Some(id));
    }

    /// Whether there is room for one more, perhaps because one that is empty has been forgotten.
    fn make_place(&mut self) -> bool {
        if self.rooms.len() < MAX_ROOMS {
            return true;
        }
        let empty = self.rooms.iter().filter_map(|(name, room)| Some((room.empty_since?, name)));
        let Some(longest) = empty.min().map(|(_, name)| name.clone()) else { return false };
        self.rooms.remove(&longest).is_some()
    }

    fn leave(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some(place) = self.places.remove(&id) else { return };
        clients.unsubscribe(id, &topic(&place.room));
        if let Some(room) = self.rooms.get_mut(&place.room) {
            room.leave(place.person, self.now);
        }
        self.rooms_changed = true;
    }

    fn say(&mut self, clients: &mut Clients<()>, from: ClientId, id: &str, text: &str, age: Duration) {
        let refused = |clients: &mut Clients<()>, why| Told::Refused { id: Some(id), why }.send(clients, from);
        let Some(place) = self.places.get(&from) else { return refused(clients, "Come in first.") };
        let Some(room) = self.rooms.get_mut(&place.room) else { return };
        let Ok(number) = u128::from_str_radix(id, 16) else {
            return refused(clients, "An id is a hexadecimal number.");
        };
        if text.trim().is_empty() || text.len() > MAX_TEXT {
            return refused(clients, "A message has a text, of at most 8 KiB.");
        }
        match room.say(place.person, number, text, self.now, age) {
            Some(said) => {
                clients.publish(&topic(&place.room), &Told::Message(said).to_json());
            }
            None => Told::Said(id).send(clients, from),
        }
    }

    /// Tells which rooms there are: one page, or all.
    fn tell_rooms(&self, clients: &mut Clients<()>, to: Option<ClientId>) {
        let rooms = self.rooms.iter().map(|(name, room)| (name.as_str(), room.len())).collect();
        let told = Told::Rooms(rooms);
        match to {
            Some(id) => told.send(clients, id),
            None => {
                clients.publish(EVERYBODY, &told.to_json());
            }
        }
    }
}

/// [`Asked::Join`], borrowed.
#[derive(Clone, Copy)]
struct Join<'a> {
    room: &'a str,
    name: &'a str,
    key: &'a str,
    server: &'a str,
    after: u64,
}

fn topic(room: &str) -> String {
    format!("#{room}")
}

/// A name without what cannot be seen, and not too long.
fn tidy(name: &str, default: &str) -> String {
    let visible = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = visible.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if tidy.is_empty() { default.to_owned() } else { tidy }
}

impl Handler for Chat {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(Asked::Join { room, name, key, server, after }) if key.len() <= MAX_KEY => {
                self.join(clients, id, Join { room: &room, name: &name, key: &key, server: &server, after });
            }
            Some(Asked::Say { id: message, text, age }) => {
                self.say(clients, id, &message, &text, Duration::from_millis(age));
            }
            Some(Asked::Typing) => {
                let place = self.places.get(&id);
                if let Some((room, place)) = place.and_then(|place| Some((self.rooms.get_mut(&place.room)?, place))) {
                    room.types(place.person, self.now);
                }
            }
            Some(Asked::Join { .. }) | None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, _: u64) {
        self.now += PERIOD;
        for (name, room) in &mut self.rooms {
            for told in room.changes(self.now) {
                clients.publish(&topic(name), &told);
            }
        }
        let before = self.rooms.len();
        let is_over = |since: Duration| self.now > since + FORGET_AFTER;
        self.rooms.retain(|_, room| !room.empty_since.is_some_and(is_over));
        if std::mem::take(&mut self.rooms_changed) || self.rooms.len() < before {
            self.tell_rooms(clients, None);
        }
        if self.rooms.is_empty() {
            clients.cancel_timer(timer);
            self.timer = None;
        }
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.leave(clients, id);
    }
}
