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
//! | `{"join":{"room","name","key","server","after","last"}}` | enters a room, or enters it again |
//! | `{"say":{"id","text","age"}}` | sends a message that was written `age` milliseconds ago |
//! | `"typing"` | the user is typing |
//!
//! `key` is a secret of the page. `server` and `after` are the last name of the server and the last
//! number of a message that the page has seen, or `""` and 0. `last` is the id of that message, if
//! the page knows it: it shows whether the history still is the one that the page has seen.
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"welcome":{"server","you","people","messages","missed"}}` | the page is in the room |
//! | `{"message":{"n","id","name","text","age"}}` | a message, perhaps the page's own |
//! | `{"said":"id"}` | the room has this message |
//! | `{"people":{"came","left"}}` | who has entered and left |
//! | `{"typing":{"who","more"}}` | who is typing now |
//! | `{"rooms":[["lobby",3]]}` | all rooms, with the number of people in each |
//! | `{"refused":{"id","why"}}` | the request was refused |
//!
//! `missed` is the number of messages that the room no longer keeps. A refusal has an `id` if the
//! request was a message.
//!
//! If several servers share the rooms, the engine between them numbers the messages and keeps them.
//! `server` is then the epoch of the room's history. The welcome has no messages. They follow one
//! by one, with their `server`. `typing` then says `on` which server. These come as well:
//!
//! | to the page | meaning |
//! |---|---|
//! | `{"place":{"server","after","lost"}}` | the next message is the one behind this one |
//! | `{"again":"id"}` | this message was not stored: the page soon repeats all that wait |
//!
//! With `lost`, messages before that place may be lost.

use lariat::{ClientId, Clients};
use serde::{Deserialize, Serialize};

/// The path of the page and of its sockets.
pub(in crate::site) const PATH: &str = "/chat";

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
    #[serde(default)]
    pub(super) last: String,
}

/// A message to a page.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ToPage<'a> {
    Welcome {
        server: &'a str,
        you: u64,
        people: Vec<(u64, &'a str)>,
        messages: Vec<Said<'a>>,
        missed: u64,
    },
    Message(Said<'a>),
    Said(&'a str),
    People {
        came: Vec<(u64, &'a str)>,
        left: Vec<u64>,
    },
    Typing {
        who: Vec<u64>,
        more: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        on: Option<&'a str>,
    },
    Rooms(Vec<(&'a str, usize)>),
    Refused {
        id: Option<&'a str>,
        why: &'a str,
    },
    Place {
        server: &'a str,
        after: u64,
        lost: bool,
    },
    Again(&'a str),
}

/// A message of a room as pages get it.
#[derive(Serialize)]
pub(super) struct Said<'a> {
    pub(super) n: u64,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// Milliseconds.
    pub(super) age: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<&'a str>,
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
