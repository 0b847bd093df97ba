//! The application of each server: it does what its clients say, and tells them all that it hears.

use lariat::backplane::{History, Kept, PublishError, StreamPosition};
use lariat::{Audience, ClientId, Clients, Handler, Message, Since};
use std::collections::BTreeMap;

/// The topics with a history.
pub const KEPT: [&str; 2] = ["first", "second"];
/// The topics without one.
pub const PLAIN: [&str; 2] = ["news", "gossip"];

/// | a client says | and hears |
/// |---|---|
/// | `since TOPIC now`, `oldest`, `last N` or `after PLACE` | `begun TOPIC` |
/// | | then `kept TOPIC PLACE NAME` and `gap TOPIC PLACE` |
/// | `until TOPIC` | `ended TOPIC` |
/// | `keep TOPIC NAME` | `at TOPIC NAME PLACE`, `unknown TOPIC NAME` or `away TOPIC NAME` |
/// | `join TOPIC` | `joined TOPIC`, then `plain TOPIC CONNECTION NUMBER` and `gap TOPIC -` |
/// | `leave TOPIC` | `left TOPIC` |
/// | `tell TOPIC CONNECTION NUMBER` | `told TOPIC CONNECTION NUMBER` |
pub struct Room {
    history: History,
    /// Who has published what, by token.
    askers: BTreeMap<u64, (ClientId, String)>,
    next: u64,
}

impl Room {
    pub const fn new(history: History) -> Room {
        Room { history, askers: BTreeMap::new(), next: 0 }
    }

    fn keep(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str, name: &str) {
        self.next += 1;
        self.askers.insert(self.next, (id, format!("{topic} {name}")));
        let outcome = clients.publish_kept(topic, name, self.history, Some(name), self.next);
        if let Err(error) = outcome {
            self.on_published(clients, self.next, Err(error));
        }
    }
}

impl Handler for Room {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let words: Vec<&str> = message.as_text().unwrap_or_default().split(' ').collect();
        let answer = match words[..] {
            ["since", topic, ref since @ ..] => {
                let since = match since {
                    ["now"] => Since::Now,
                    ["oldest"] => Since::Oldest,
                    ["last", count] => Since::Last(count.parse().expect("a number")),
                    ["after", place] => Since::After(place.parse().expect("a position")),
                    _ => panic!("{words:?}"),
                };
                let is_new = clients.subscribe_from(id, topic, self.history, since);
                format!("{} {topic}", if is_new { "begun" } else { "known" })
            }
            ["until", topic] => {
                clients.unsubscribe(id, topic);
                format!("ended {topic}")
            }
            ["keep", topic, name] => return self.keep(clients, id, topic, name),
            ["join", topic] => {
                clients.subscribe(id, topic);
                format!("joined {topic}")
            }
            ["leave", topic] => {
                clients.unsubscribe(id, topic);
                format!("left {topic}")
            }
            ["tell", topic, connection, number] => {
                clients.publish(topic, &format!("plain {topic} {connection} {number}"));
                format!("told {topic} {connection} {number}")
            }
            _ => panic!("{words:?}"),
        };
        let _ = clients.send(id, &answer);
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, topic: &str, kept: &Kept, to: Audience<'_>) {
        let name = String::from_utf8_lossy(kept.message.as_bytes()).into_owned();
        to.send(clients, &format!("kept {topic} {} {name}", kept.position));
    }

    fn on_gap(&mut self, clients: &mut Clients<()>, topic: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        let position = position.map_or_else(|| "-".to_owned(), |position| position.to_string());
        to.send(clients, &format!("gap {topic} {position}"));
    }

    fn on_published(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<StreamPosition, PublishError>) {
        let Some((id, what)) = self.askers.remove(&token) else { return };
        let _ = match outcome {
            Ok(position) => clients.send(id, &format!("at {what} {position}")),
            Err(PublishError::Unknown) => clients.send(id, &format!("unknown {what}")),
            Err(PublishError::Away) => clients.send(id, &format!("away {what}")),
            Err(error) => panic!("{error}"),
        };
    }
}
