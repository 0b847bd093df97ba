//! The rooms of several servers: messages go through the engine between them, which numbers and
//! keeps them. Who is in a room is noted there as well.
//!
//! Memory: each room keeps at most [`HISTORY`] here, and in the engine.

use super::page::{Join, Said, ToPage};
use super::room::MAX_AGE;
use lariat::backplane::{History, Kept, StreamPosition};
use lariat::{Audience, ClientId, Clients, Since};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the engine keeps of a room.
pub(super) const HISTORY: History = History { messages: 500, age: Duration::from_secs(6 * 60 * 60) };

/// The messages that a new page gets.
const FOR_NEW_PAGES: u32 = 50;

/// A message as the engine keeps it.
#[derive(Deserialize, Serialize)]
pub(super) struct Stored<'a> {
    pub(super) id: Cow<'a, str>,
    name: Cow<'a, str>,
    text: Cow<'a, str>,
    /// Milliseconds since 1970, by the clock of the server that has stored it.
    at: u64,
}

/// What the engine was given.
pub(super) enum Given {
    /// What a page has said.
    Said { from: ClientId, id: String },
    /// What a script has said, and the answer to it.
    Posted { from: ClientId, answer: String },
}

/// Returns a message as the engine keeps it.
pub(super) fn stored(id: &str, name: &str, text: &str, age: Duration) -> String {
    let at = milliseconds_now().saturating_sub(age.min(MAX_AGE).as_millis() as u64);
    let stored = Stored { id: id.into(), name: name.into(), text: text.into(), at };
    // Text and a number: JSON can express it.
    serde_json::to_string(&stored).unwrap_or_default()
}

/// The last message that a page has seen. The page gets the history from this message on, which
/// shows whether the engine still has it. It may have lost it, and given its place to another.
pub(super) struct Seen {
    pub(super) position: StreamPosition,
    pub(super) id: String,
}

/// From where on a page gets messages that knows this, and the message that is to be the first. An
/// unknown place is a gap, and then all that is kept.
pub(super) fn since(join: &Join) -> (Since, Option<Seen>) {
    let Ok(epoch) = u64::from_str_radix(&join.server, 16) else { return (Since::Last(FOR_NEW_PAGES), None) };
    let position = StreamPosition { epoch, offset: join.after };
    match join.after.checked_sub(1).filter(|_| !join.last.is_empty()) {
        Some(offset) => {
            let seen = Seen { position, id: join.last.clone() };
            (Since::After(StreamPosition { epoch, offset }), Some(seen))
        }
        None => (Since::After(position), None),
    }
}

/// Reads a message that the engine keeps.
pub(super) fn read(kept: &Kept) -> Option<Stored<'_>> {
    let stored = serde_json::from_slice(kept.message.as_bytes()).ok();
    if stored.is_none() {
        log::debug!("a message of a room is none of the chat: {}", kept.position);
    }
    stored
}

/// Sends a message that the engine keeps.
pub(super) fn send(clients: &mut Clients<()>, kept: &Kept, stored: &Stored<'_>, to: Audience<'_>) {
    let Stored { id, name, text, at } = stored;
    let age = milliseconds_now().saturating_sub(*at);
    let server = format!("{:x}", kept.position.epoch);
    // Members know the epoch.
    let server = to.client().map(|_| server.as_str());
    let said = Said { n: kept.position.offset, id, name, text, age, server };
    to.send(clients, &ToPage::Message(said).to_json());
}

/// Returns the message that says where a page is.
pub(super) fn place(position: StreamPosition, lost: bool) -> String {
    ToPage::Place { server: &format!("{:x}", position.epoch), after: position.offset, lost }.to_json()
}

#[expect(clippy::disallowed_methods, reason = "several servers have only this clock in common")]
fn milliseconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
