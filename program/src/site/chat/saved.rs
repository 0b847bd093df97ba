//! What the chat keeps, for the process that takes over.
//!
//! Times are milliseconds since the first room began. Rooms of several servers are in the engine
//! between them; such servers do not hand over.

use super::handler::{Chat, MAX_POSTS, Place};
use super::room::{Kept, MAX_AGE, Person, Room};
use crate::site::carried::{MOST, check};
use lariat::{ClientId, RestoreError, TimerId, saved};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// The handler. In which room a client is follows from the people of the rooms.
#[derive(Deserialize, Serialize)]
struct SavedChat<'a> {
    server: u64,
    people: u64,
    now: u64,
    timer: Option<TimerId>,
    rooms_changed: bool,
    next_post: u128,
    posts: u32,
    rooms: BTreeMap<Cow<'a, str>, SavedRoom<'a>>,
}

#[derive(Deserialize, Serialize)]
struct SavedRoom<'a> {
    people: Vec<SavedPerson<'a>>,
    came: Vec<u64>,
    left: Vec<u64>,
    typing: Vec<(u64, u64)>,
    typing_changed: bool,
    said: u64,
    /// The ids of the last messages, the latest last.
    ids: Vec<u128>,
    /// The messages that are kept. The last ids are theirs.
    messages: Vec<SavedMessage<'a>>,
    empty_since: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct SavedPerson<'a> {
    number: u64,
    name: Cow<'a, str>,
    key: Cow<'a, str>,
    client: ClientId,
}

/// The name, the text, when it came, and how old it was then. A list, because there are many.
#[derive(Deserialize, Serialize)]
struct SavedMessage<'a>(Cow<'a, str>, Cow<'a, str>, u64, u64);

const fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

impl Chat {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        saved::to_bytes(&SavedChat {
            server: self.number,
            people: self.people,
            now: millis(self.now),
            timer: self.timer,
            rooms_changed: self.rooms_changed,
            next_post: self.next_post,
            posts: self.posts,
            rooms: self.rooms.iter().map(|(name, room)| (name.into(), room.saved())).collect(),
        })
    }

    pub(super) fn restored(bytes: &[u8]) -> Result<Chat, RestoreError> {
        let saved: SavedChat<'_> = saved::from_bytes(bytes)?;
        // The lower half counts.
        check(saved.people < MOST && (saved.next_post as u64) < MOST, "a number of the chat")?;
        let mut chat = Chat::new(saved.server);
        (chat.people, chat.now, chat.timer) = (saved.people, Duration::from_millis(saved.now), saved.timer);
        (chat.rooms_changed, chat.next_post) = (saved.rooms_changed, saved.next_post);
        chat.posts = saved.posts.min(MAX_POSTS);
        for (name, room) in saved.rooms {
            let room = Room::restored(room)?;
            for (number, person) in &room.people {
                let place = Place { room: name.to_string(), person: *number };
                check(chat.places.insert(person.client, place).is_none(), "a client in two rooms")?;
            }
            chat.rooms.insert(name.into_owned(), room);
        }
        Ok(chat)
    }
}

impl Room {
    fn saved(&self) -> SavedRoom<'_> {
        let people = self.people.iter().map(|(number, Person { name, key, client })| SavedPerson {
            number: *number,
            name: name.into(),
            key: key.into(),
            client: *client,
        });
        let messages = self.kept.iter().map(|Kept { name, text, at, age, .. }| {
            SavedMessage((&**name).into(), (&**text).into(), millis(*at), millis(*age))
        });
        SavedRoom {
            people: people.collect(),
            came: self.came.clone(),
            left: self.left.clone(),
            typing: self.typing.iter().map(|(person, until)| (*person, millis(*until))).collect(),
            typing_changed: self.typing_changed,
            said: self.said,
            ids: self.ids_in_order.iter().copied().collect(),
            messages: messages.collect(),
            empty_since: self.empty_since.map(millis),
        }
    }

    fn restored(saved: SavedRoom<'_>) -> Result<Room, RestoreError> {
        let (messages, ids) = (saved.messages.len(), saved.ids.len());
        check(messages <= ids && messages as u64 <= saved.said && saved.said < MOST, "the messages of a room")?;
        check(saved.people.is_empty() == saved.empty_since.is_some(), "since when a room is empty")?;
        let mut room = Room {
            came: saved.came,
            left: saved.left,
            typing: saved.typing.into_iter().map(|(person, until)| (person, Duration::from_millis(until))).collect(),
            typing_changed: saved.typing_changed,
            said: saved.said,
            ids: saved.ids.iter().copied().collect(),
            empty_since: saved.empty_since.map(Duration::from_millis),
            ..Room::default()
        };
        check(room.ids.len() == ids, "a message that is there twice")?;
        room.admit(saved.people)?;
        let first = saved.said - messages as u64 + 1;
        for ((n, id), message) in (first..).zip(&saved.ids[ids - messages..]).zip(saved.messages) {
            let SavedMessage(name, text, at, age) = message;
            let (at, age) = (Duration::from_millis(at), Duration::from_millis(age).min(MAX_AGE));
            let (id, name, text) = (format!("{id:032x}").into(), name.into(), text.into());
            let kept = Kept { n, id, name, text, at, age };
            room.kept_bytes += kept.bytes();
            room.kept.push_back(kept);
        }
        room.ids_in_order = saved.ids.into();
        Ok(room)
    }

    fn admit(&mut self, people: Vec<SavedPerson<'_>>) -> Result<(), RestoreError> {
        let count = people.len();
        for SavedPerson { number, name, key, client } in people {
            let (name, key) = (name.into_owned(), key.into_owned());
            self.keys.insert(key.clone(), number);
            self.names.insert(name.clone(), number);
            self.people.insert(number, Person { name, key, client });
        }
        let counts = [self.people.len(), self.keys.len(), self.names.len()];
        check(counts == [count; 3], "a person who is there twice")
    }
}
