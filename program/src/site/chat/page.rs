//! The messages between a page and the server.
//!
//! A page gives each message a random id, and sends it again after each reconnection until it has
//! seen it come back. A room accepts each id once. A room numbers its messages. A page that comes
//! back sends the last number that it has seen, and gets what it has missed. After a restart the
//! server has another name. Pages then send again what they sent lately, and the ids show what is
//! known already. So nothing needs to be written to a disk.
//!
//! | from the page | meaning |
//! |---|---|
//! | `{"join":{"room","name","key","server","after"}}` | enters a room, or enters it again |
//! | `{"say":{"id","text","age"}}` | sends a message that was written `age` milliseconds ago |
//! | `"typing"` | the user is typing |
//!
//! `key` is a secret of the page. `server` and `after` are the last name of the server and the last
//! number of a message that the page has seen, or `""` and 0.
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"welcome":{"server","you","people","messages","missed"}}` | the page is in the room |
//! | `{"message":{"n","id","name","text","age"}}` | a message, perhaps the page's own |
//! | `{"said":"id"}` | the room has this message already |
//! | `{"people":{"came","left"}}` | who has entered and left |
//! | `{"typing":{"who","more"}}` | who is typing now |
//! | `{"rooms":[["lobby",3]]}` | all rooms, with the number of people in each |
//! | `{"refused":{"id","why"}}` | the request was refused |
//!
//! `missed` is the number of messages that the room no longer keeps. A refusal has an `id` if the
//! request was a message.

use super::room::Said;
use lariat::{ClientId, Clients};
use serde::{Deserialize, Serialize};

/// A message from a page.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FromPage {
    Join(Join),
    Say { id: String, text: String, age: u64 },
    Typing,
}

/// A page that enters a room.
#[derive(Deserialize)]
pub(super) struct Join {
    pub(super) room: String,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) server: String,
    pub(super) after: u64,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    Welcome { server: &'a str, you: u32, people: Vec<(u32, &'a str)>, messages: Vec<Said<'a>>, missed: u64 },
    Message(Said<'a>),
    Said(&'a str),
    People { came: Vec<(u32, &'a str)>, left: Vec<u32> },
    Typing { who: Vec<u32>, more: usize },
    Rooms(Vec<(&'a str, usize)>),
    Refused { id: Option<&'a str>, why: &'a str },
}

impl ToPage<'_> {
    pub(super) fn to_json(&self) -> String {
        // Text, numbers and lists: JSON can express all of it.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // If this fails, the client is closed. Its page comes back and sends the last number that
        // it has seen.
        let _ = clients.send(to, &self.to_json());
    }
}
