//! `/arena`: a game. Riders close loops of rope around strays; [`world`] has the rules.
//!
//! The server is the authority: it asks where everybody wants to go, moves the world on 20 times a
//! second, and tells each rider what is near. A page shows its own rider where it will be when the
//! server hears of its wish, and the others where they were a tenth of a second ago, between two
//! snapshots. A page that does not read fast enough gets the last snapshot, never an old one late
//! ([`Clients::send_latest`]). While nobody is there, nothing ticks.
//!
//! | from the page | |
//! |---|---|
//! | `{"join":{"name"}}` | comes in, or has another name |
//! | `{"who":[7,12]}` | asks for names |
//! | 4 bytes: u16 number, i8 x, i8 y | a wish: where to go, from -127 to 127 as a share of the greatest speed; at least one each second |
//!
//! | to the page | |
//! |---|---|
//! | `{"welcome":7}` | it is in, as this rider |
//! | `{"names":[[7,"Ada"]]}` | who they are |
//! | `{"scores":[[7,"Ada",31]]}` | the best eight |
//! | `{"caught":{"strays","riders","points"}}` | its rope has caught so many strays, and these riders |
//! | `{"held":"Ada"}` | it has been caught |
//! | `{"round":["Ada",31]}` | a round is over: who has won, or null |
//! | `"full"` | there is no place |
//! | bytes | a snapshot: see [`snapshot`] |

use super::plane::Vec2;
use super::rider::{Rider, Steering};
use super::snapshot;
use super::world::{Event, RATE, World};
use lariat::{Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, TimerId, Upgrade};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1_000 / RATE as u64);

/// So many people can ride at a time.
const MAX_PEOPLE: usize = 2_000;

/// Characters of the longest name.
const MAX_NAME: usize = 20;

/// Names are told of so many at a time.
const MAX_ASKED: usize = 64;

/// So many are in the list of scores.
const SHOWN_SCORES: usize = 8;

/// The topic of all who ride.
const RIDERS: &str = "riders";

/// What replaces what for a page that does not read fast enough.
const SNAPSHOT: u64 = 0;
const SCORES: u64 = 1;

/// What a page says in text.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
    Join { name: String },
    Who(Vec<u16>),
}

/// What a page is told in text.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told<'a> {
    Welcome(u16),
    Names(Vec<(u16, &'a str)>),
    Scores(Vec<(u16, &'a str, u32)>),
    Caught { strays: usize, riders: Vec<&'a str>, points: u32 },
    Held(&'a str),
    Round(Option<(&'a str, u32)>),
    Full,
}

impl Told<'_> {
    fn to_json(&self) -> String {
        // Text, numbers and lists: nothing that JSON has not.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn send(&self, clients: &mut Clients<()>, to: ClientId) {
        // Whoever cannot be sent to is closed and comes back.
        let _ = clients.send(to, &self.to_json());
    }
}

/// One pasture for all.
pub struct Arena {
    world: World,
    seed: u64,
    /// The ids of those who ride.
    people: HashMap<ClientId, u16>,
    timer: Option<TimerId>,
    /// The last that was told.
    scores: String,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new(rand::random())
    }
}

impl Arena {
    /// An empty one, where chance begins with this number.
    pub fn new(seed: u64) -> Arena {
        Arena { world: World::new(seed), seed, people: HashMap::new(), timer: None, scores: String::new() }
    }

    /// How many people ride now.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, name: &str) {
        let name = tidy(name);
        if let Some(rider) = self.rider(id) {
            rider.name = name;
            return;
        }
        if self.people.len() >= MAX_PEOPLE {
            Told::Full.send(clients, id);
            return;
        }
        let steering = Steering::Person { client: id, heard_at: self.world.tick };
        let rider = self.world.add(name, steering);
        self.people.insert(id, rider);
        clients.subscribe(id, RIDERS);
        Told::Welcome(rider).send(clients, id);
        if !self.scores.is_empty() {
            let _ = clients.send(id, &self.scores);
        }
        self.timer.get_or_insert_with(|| clients.set_interval(TICK, 0));
    }

    fn rider(&mut self, id: ClientId) -> Option<&mut Rider> {
        let rider = *self.people.get(&id)?;
        self.world.riders.iter_mut().find(|other| other.id == rider)
    }

    fn tell_names(&self, clients: &mut Clients<()>, id: ClientId, asked: &[u16]) {
        let riders = self.world.riders.iter().filter(|rider| asked.contains(&rider.id));
        Told::Names(riders.map(|rider| (rider.id, rider.name.as_str())).collect()).send(clients, id);
    }

    /// Tells each what it sees.
    fn tell_snapshots(&self, clients: &mut Clients<()>) {
        let (mut near, mut bytes) = (Vec::new(), Vec::new());
        for rider in &self.world.riders {
            if let Some(client) = rider.client() {
                snapshot::write(&self.world, rider, &mut near, &mut bytes);
                let _ = clients.send_latest(client, SNAPSHOT, &bytes);
            }
        }
    }

    fn tell_scores(&mut self, clients: &mut Clients<()>) {
        let mut riders: Vec<&Rider> =
            self.world.riders.iter().filter(|rider| (1..=SHOWN_SCORES).contains(&rider.rank.into())).collect();
        riders.sort_by_key(|rider| rider.rank);
        let scores = riders.iter().map(|rider| (rider.id, rider.name.as_str(), rider.score)).collect();
        let scores = Told::Scores(scores).to_json();
        if scores != self.scores {
            clients.publish_latest(RIDERS, SCORES, &scores);
            self.scores = scores;
        }
    }

    fn tell_event(&self, clients: &mut Clients<()>, event: &Event) {
        let rider = |id: u16| self.world.riders.iter().find(|rider| rider.id == id);
        match event {
            Event::Caught { by, strays, held, points } => {
                let Some(by) = rider(*by) else { return };
                let held: Vec<&Rider> = held.iter().filter_map(|id| rider(*id)).collect();
                for client in held.iter().filter_map(|rider| rider.client()) {
                    Told::Held(&by.name).send(clients, client);
                }
                if let Some(client) = by.client() {
                    let riders = held.iter().map(|rider| rider.name.as_str()).collect();
                    Told::Caught { strays: *strays, riders, points: *points }.send(clients, client);
                }
            }
            Event::Round { winner } => {
                let winner = winner.as_ref().map(|(name, score)| (name.as_str(), *score));
                clients.publish(RIDERS, &Told::Round(winner).to_json());
            }
        }
    }
}

/// A name without what cannot be seen, and not too long.
fn tidy(name: &str) -> String {
    let visible = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = visible.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if tidy.is_empty() { "Guest".to_owned() } else { tidy }
}

impl Handler for Arena {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        // Few bytes, and new ones each time: compression would cost more than it saves.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let tick = self.world.tick;
        match message {
            Message::Binary(&[low, high, x, y]) => {
                let wish = Vec2::new(f32::from(x as i8), f32::from(y as i8)) * (1.0 / 127.0);
                // Whoever has not come in yet has no rider.
                if let Some(rider) = self.rider(id) {
                    rider.wish(u16::from_le_bytes([low, high]), wish, tick);
                }
            }
            Message::Text(text) => match serde_json::from_str(text) {
                Ok(Asked::Join { name }) => self.join(clients, id, &name),
                Ok(Asked::Who(asked)) if asked.len() <= MAX_ASKED => self.tell_names(clients, id, &asked),
                Ok(Asked::Who(_)) | Err(_) => not_understood(clients, id),
            },
            Message::Binary(_) => not_understood(clients, id),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, _: u64) {
        if self.people.is_empty() {
            clients.cancel_timer(timer);
            // Whoever comes next finds a new one.
            *self = Arena::new(self.seed.wrapping_add(1));
            return;
        }
        let events = self.world.step();
        self.tell_snapshots(clients);
        if self.world.tick % (RATE / 2) == 0 {
            self.tell_scores(clients);
        }
        events.iter().for_each(|event| self.tell_event(clients, event));
    }

    fn on_close(&mut self, _: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        if let Some(rider) = self.people.remove(&id) {
            self.world.riders.retain(|other| other.id != rider);
        }
    }
}

fn not_understood(clients: &mut Clients<()>, id: ClientId) {
    let _ = clients.close(id, CloseCode::Policy, "not understood");
}
