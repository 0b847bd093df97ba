//! Chapter 12, an application.

use lariat::http::StatusCode;
use lariat::sim::{Faults, Simulation};
use lariat::{Answer, ClientId, Clients, CloseReason, Config, Handler, Message, Request, Upgrade};
use std::time::Duration;

/// Exercise 1. The name is taken when the request is answered, and not when the client has opened.
#[derive(Debug, Default)]
pub struct Names;

impl Handler for Names {
    type Data = String;

    fn on_request(&mut self, clients: &mut Clients<String>, id: ClientId, request: &Request<'_>) -> Answer {
        let name = request.query_value("name").unwrap_or_default().into_owned();
        if name.is_empty() {
            return StatusCode::BAD_REQUEST.into();
        }
        let is_taken = clients.iter().any(|other| other != id && clients.data(other) == Some(&name));
        if right!(is_taken, not false) {
            return StatusCode::CONFLICT.into();
        }
        let _ = clients.set_data(id, name);
        Upgrade::new().into()
    }

    fn on_message(&mut self, clients: &mut Clients<String>, id: ClientId, message: Message<'_>) {
        let (Some(name), Some(text)) = (clients.data(id), message.as_text()) else { return };
        let line = format!("{name}: {text}");
        clients.broadcast(&line);
    }
}

/// Exercise 2: the room is the topic.
#[derive(Debug, Default)]
pub struct Paths;

impl Handler for Paths {
    type Data = String;

    fn on_request(&mut self, clients: &mut Clients<String>, id: ClientId, request: &Request<'_>) -> Answer {
        let room = request.path().strip_prefix("/room/").unwrap_or_default();
        if room.is_empty() || right!(room.contains('/'), not false) {
            return StatusCode::NOT_FOUND.into();
        }
        let _ = clients.set_data(id, room.to_owned());
        Upgrade::new().into()
    }

    fn on_open(&mut self, clients: &mut Clients<String>, id: ClientId) {
        let Some(room) = clients.data(id).cloned() else { return };
        clients.subscribe(id, &room);
    }

    fn on_message(&mut self, clients: &mut Clients<String>, id: ClientId, message: Message<'_>) {
        let Some(room) = clients.data(id).cloned() else { return };
        clients.publish_except(&room, id, message);
    }

    fn on_close(&mut self, clients: &mut Clients<String>, id: ClientId, _: &CloseReason) {
        let Some(room) = clients.data(id).cloned() else { return };
        clients.publish_except(&room, id, "somebody has left");
    }
}

/// Exercise 3. What arrives must be the beginning of what was sent, and all of it if nothing broke.
pub fn first_broken<H: Handler<Data = ()>>(make: impl Fn() -> H) -> Option<u64> {
    (0..100).find(|seed| {
        let mut sim = Simulation::new(*seed, Config::default(), make());
        sim.set_faults(Faults::rough());
        let (speaker, listeners) = (sim.connect("/"), [sim.connect("/"), sim.connect("/")]);
        sim.run_for(Duration::from_secs(2));
        let said: Vec<String> = (0..60).map(|number| format!("text {number}")).collect();
        // Who has not come in by now is not one of those who must hear everything.
        let are_in = listeners.each_ref().map(|listener| listener.is_open());
        said.iter().for_each(|text| speaker.send(text));
        sim.run_for(Duration::from_secs(5));

        let is_wrong = |(listener, was_in): (&lariat::sim::Peer, bool)| {
            let heard = listener.received_text();
            let is_whole = was_in && listener.is_open() && speaker.is_open();
            if is_whole { heard != said } else { !said.starts_with(&heard) }
        };
        right!(!speaker.received_text().is_empty(), not false) || listeners.iter().zip(are_in).any(is_wrong)
    })
}
