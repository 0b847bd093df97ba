//! When clients of topics with a history become members, and what happens if they do not want it
//! any more.

use crate::common::{Wire, text};
use crate::kit::{Running, serve};
use lariat::backplane::{History, Kept, MemoryEngine, StreamPosition};
use lariat::{Audience, ClientId, Clients, Handler, Message, Since};
use std::time::Duration;

const HISTORY: History = History { messages: 20, age: Duration::from_secs(600) };

/// `join`, `leave`, `say TEXT`, `hello`. A text `kick` ends the subscription of everybody who has
/// joined, when it is replayed.
#[derive(Default)]
struct Room {
    joined: Vec<ClientId>,
}

impl Handler for Room {
    type Data = ();

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let said = message.as_text().unwrap_or_default();
        let answer = match said.split_once(' ') {
            Some(("say", text)) => format!("{:?}", clients.publish_kept("room", text, HISTORY, None, 0)),
            _ if said == "join" => {
                self.joined.push(id);
                clients.subscribe_from(id, "room", HISTORY, Since::Oldest).to_string()
            }
            _ if said == "leave" => clients.unsubscribe(id, "room").to_string(),
            _ => said.to_owned(),
        };
        let _ = clients.send(id, &answer);
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, topic: &str, kept: &Kept, to: Audience<'_>) {
        let text = String::from_utf8_lossy(kept.message.as_bytes()).into_owned();
        if text == "kick" && to.client().is_some() {
            for id in self.joined.drain(..) {
                clients.unsubscribe(id, topic);
            }
        }
        to.send(clients, &text);
    }

    fn on_caught(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str, position: StreamPosition) {
        let count = clients.subscribers(topic);
        let _ = clients.send(id, &format!("caught at {}, {count} members", position.offset));
    }
}

fn tell(wire: &mut Wire, what: &str, answer: &str) {
    wire.send(&text(what));
    wire.expect_text(answer);
}

fn open(server: &Running) -> Wire {
    Wire::open(server.addr)
}

#[test]
fn a_client_is_told_when_it_has_got_all_also_of_an_empty_topic() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 1, Room::default);
    let mut first = open(&server);
    tell(&mut first, "join", "true");
    first.expect_text("caught at 0, 1 members");
    tell(&mut first, "say a", "Ok(())");
    first.expect_text("a");
    let mut second = open(&server);
    tell(&mut second, "join", "true");
    second.expect_text("a");
    second.expect_text("caught at 1, 2 members");
}

#[test]
fn a_client_that_unsubscribes_while_it_waits_becomes_no_member() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 1, Room::default);
    let (mut one, mut speaker) = (open(&server), open(&server));
    engine.hold();
    tell(&mut one, "join", "true");
    tell(&mut one, "join", "false");
    tell(&mut one, "leave", "true");
    tell(&mut one, "leave", "false");
    engine.release();
    tell(&mut speaker, "say a", "Ok(())");
    tell(&mut speaker, "join", "true");
    speaker.expect_text("a");
    speaker.expect_text("caught at 1, 1 members");
    tell(&mut one, "hello", "hello");
}

#[test]
fn a_handler_may_end_a_subscription_while_its_history_is_replayed() {
    let engine = MemoryEngine::new();
    let server = serve(&engine, 1, Room::default);
    let (mut one, mut two, mut speaker) = (open(&server), open(&server), open(&server));
    for what in ["say a", "say kick", "say b"] {
        tell(&mut speaker, what, "Ok(())");
    }
    engine.hold();
    tell(&mut one, "join", "true");
    tell(&mut two, "join", "true");
    engine.release();
    // The second is removed while the first gets its messages.
    one.expect_text("a");
    one.expect_text("kick");
    tell(&mut one, "hello", "hello");
    tell(&mut two, "hello", "hello");
    // The topic is followed no longer, and can be followed again.
    tell(&mut one, "join", "true");
    for what in ["a", "kick"] {
        one.expect_text(what);
    }
    tell(&mut one, "hello", "hello");
}
