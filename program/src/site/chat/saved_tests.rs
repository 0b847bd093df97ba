//! What the chat saves, and what it makes of it.

use super::handler::Chat;
use crate::site::carried_tests;
use lariat::sim::{Peer, Simulation};
use lariat::{Config, RestoreError};
use std::time::Duration;

fn restore(chat: &mut Chat, bytes: &[u8]) -> Result<(), RestoreError> {
    *chat = Chat::restored(bytes)?;
    Ok(())
}

fn say(peer: &Peer, what: &str) {
    peer.send(what);
}

fn join(sim: &mut Simulation<Chat>, name: &str, room: &str) -> Peer {
    let peer = sim.connect("/chat");
    say(&peer, &format!(r#"{{"join":{{"room":"{room}","name":"{name}","key":"{name}","server":"","after":0}}}}"#));
    sim.run_until_idle();
    peer
}

/// A chat with two rooms with people, one of them types, and a room that is empty.
fn chat() -> Simulation<Chat> {
    let mut sim = Simulation::new(1, Config::default(), Chat::new(7));
    let (ada, bob) = (join(&mut sim, "Ada", "lobby"), join(&mut sim, "Bob", "lobby"));
    let cy = join(&mut sim, "Cy", "attic");
    say(&ada, r#"{"say":{"id":"a1","text":"hello","age":0}}"#);
    sim.run_for(Duration::from_secs(1));
    say(&bob, r#"{"say":{"id":"ffffffffffffffffffffffffffffffff","text":"h\u00e9","age":99999999999}}"#);
    say(&cy, r#"{"join":{"room":"cellar","name":"Cy","key":"Cy","server":"","after":0}}"#);
    say(&bob, r#""typing""#);
    sim.run_until_idle();
    sim
}

#[test]
fn what_is_saved_is_restored_and_nothing_else() {
    let sim = chat();
    let bytes = sim.handler().saved().expect("it can be saved");
    let chat = carried_tests::check(&bytes, || Chat::new(0), restore, Chat::saved);
    assert_eq!(chat.places.len(), 3);
    assert_eq!(chat.rooms.keys().collect::<Vec<_>>(), ["attic", "cellar", "lobby"]);
    let (messages, missed) = chat.rooms["lobby"].since(None, true, chat.now);
    let told: Vec<_> = messages.iter().map(|said| (said.n, said.id, said.name, said.text)).collect();
    assert_eq!((told.len(), missed), (2, 0));
    assert_eq!(told[0], (1, "000000000000000000000000000000a1", "Ada", "hello"));
    assert_eq!((told[1].2, told[1].3), ("Bob", "hé"));
    assert!(chat.rooms["attic"].empty_since.is_some());
}

/// A person comes to what was restored, talks, and time passes.
#[test]
fn damage_causes_no_panic() {
    let bytes = chat().handler().saved().expect("it can be saved");
    let use_it = |mut chat: Chat| {
        chat.timer = None;
        let mut sim = Simulation::new(2, Config::default(), chat);
        let peer = join(&mut sim, "Dot", "lobby");
        say(&peer, r#"{"say":{"id":"b1","text":"hello","age":0}}"#);
        sim.run_for(Duration::from_millis(600));
        assert!(peer.is_open(), "a panic would end it");
    };
    carried_tests::damage(&bytes, || Chat::new(0), restore, use_it);
}
