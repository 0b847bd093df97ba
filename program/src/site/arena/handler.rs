//! The handler of `/arena`: who rides, and what each page gets.
//!
//! A timer of the loop moves the world. While nobody is there, it does not run.

use super::page::{FromPage, ToPage};
use super::plane::Vec2;
use super::rider::{Rider, Steering};
use super::snapshot;
use super::world::{Event, RATE, World};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::{Answer, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, TimerId, Upgrade};
use std::collections::HashMap;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1_000 / RATE as u64);

/// The most people at a time.
pub(super) const MAX_PEOPLE: usize = 2_000;

/// The most characters of a name.
const MAX_NAME: usize = 20;

/// The most names in one request.
const MAX_ASKED: usize = 64;

/// The riders in the list of scores.
const SHOWN_SCORES: usize = 8;

/// The topic of everybody who rides.
const RIDERS: &str = "riders";

/// The keys of messages that replace each other for a slow page.
const SNAPSHOT: u64 = 0;
const SCORES: u64 = 1;

/// The handler of `/arena`: one world for everybody.
pub struct Arena {
    pub(super) world: World,
    pub(super) seed: u64,
    /// The rider of each client.
    pub(super) people: HashMap<ClientId, u16>,
    pub(super) timer: Option<TimerId>,
    /// The last scores that were sent.
    pub(super) scores: String,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new(rand::random())
    }
}

impl Arena {
    /// Returns an empty arena whose random numbers depend on this seed.
    pub fn new(seed: u64) -> Arena {
        Arena { world: World::new(seed), seed, people: HashMap::new(), timer: None, scores: String::new() }
    }

    /// Returns how many people ride now.
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
            ToPage::Full.send(clients, id);
            return;
        }
        let steering = Steering::Person { client: id, heard_at: self.world.tick };
        let rider = self.world.add(name, steering);
        self.people.insert(id, rider);
        clients.subscribe(id, RIDERS);
        ToPage::Welcome(rider).send(clients, id);
        if !self.scores.is_empty() {
            let _ = clients.send(id, &self.scores);
        }
        self.timer.get_or_insert_with(|| clients.set_interval(TICK, 0));
    }

    fn rider(&mut self, id: ClientId) -> Option<&mut Rider> {
        let rider = *self.people.get(&id)?;
        self.world.riders.iter_mut().find(|other| other.id == rider)
    }

    fn send_names(&self, clients: &mut Clients<()>, id: ClientId, asked: &[u16]) {
        let riders = self.world.riders.iter().filter(|rider| asked.contains(&rider.id));
        ToPage::Names(riders.map(|rider| (rider.id, rider.name.as_str())).collect()).send(clients, id);
    }

    /// Sends each page its snapshot.
    fn send_snapshots(&self, clients: &mut Clients<()>) {
        let (mut near, mut bytes) = (Vec::new(), Vec::new());
        for rider in &self.world.riders {
            if let Some(client) = rider.client() {
                snapshot::write(&self.world, rider, &mut near, &mut bytes);
                let _ = clients.send_latest(client, SNAPSHOT, &bytes);
            }
        }
    }

    fn send_scores(&mut self, clients: &mut Clients<()>) {
        let mut riders: Vec<&Rider> =
            self.world.riders.iter().filter(|rider| (1..=SHOWN_SCORES).contains(&rider.rank.into())).collect();
        riders.sort_by_key(|rider| rider.rank);
        let scores = riders.iter().map(|rider| (rider.id, rider.name.as_str(), rider.score)).collect();
        let scores = ToPage::Scores(scores).to_json();
        if scores != self.scores {
            clients.publish_latest(RIDERS, SCORES, &scores);
            self.scores = scores;
        }
    }

    fn send_event(&self, clients: &mut Clients<()>, event: &Event) {
        let rider = |id: u16| self.world.riders.iter().find(|rider| rider.id == id);
        match event {
            Event::Caught { by, strays, held, points } => {
                let Some(by) = rider(*by) else { return };
                let held: Vec<&Rider> = held.iter().filter_map(|id| rider(*id)).collect();
                for client in held.iter().filter_map(|rider| rider.client()) {
                    ToPage::Held(&by.name).send(clients, client);
                }
                if let Some(client) = by.client() {
                    let riders = held.iter().map(|rider| rider.name.as_str()).collect();
                    ToPage::Caught { strays: *strays, riders, points: *points }.send(clients, client);
                }
            }
            Event::Round { winner } => {
                let winner = winner.as_ref().map(|(name, score)| (name.as_str(), *score));
                clients.publish(RIDERS, &ToPage::Round(winner).to_json());
            }
        }
    }
}

/// Returns a name without invisible characters, cut to the longest length.
fn tidy(name: &str) -> String {
    let visible = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = visible.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if tidy.is_empty() { "Guest".to_owned() } else { tidy }
}

impl Handler for Arena {
    type Data = ();

    fn on_request(&mut self, _: &mut Clients<()>, _: ClientId, _: &Request<'_>) -> Answer {
        // Snapshots are short and always different: compression would cost more than it saves.
        Answer::Upgrade(Upgrade::new().uncompressed())
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        let tick = self.world.tick;
        match message {
            Message::Binary(&[low, high, x, y]) => {
                let wish = Vec2::new(f32::from(x as i8), f32::from(y as i8)) * (1.0 / 127.0);
                // A page that has not entered has no rider.
                if let Some(rider) = self.rider(id) {
                    rider.wish(u16::from_le_bytes([low, high]), wish, tick);
                }
            }
            Message::Text(text) => match serde_json::from_str(text) {
                Ok(FromPage::Join { name }) => self.join(clients, id, &name),
                Ok(FromPage::Who(asked)) if asked.len() <= MAX_ASKED => self.send_names(clients, id, &asked),
                Ok(FromPage::Who(_)) | Err(_) => not_understood(clients, id),
            },
            Message::Binary(_) => not_understood(clients, id),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, _: u64) {
        if self.people.is_empty() {
            clients.cancel_timer(timer);
            // The next page finds a new world.
            *self = Arena::new(self.seed.wrapping_add(1));
            return;
        }
        let events = self.world.step();
        self.send_snapshots(clients);
        if self.world.tick % (RATE / 2) == 0 {
            self.send_scores(clients);
        }
        events.iter().for_each(|event| self.send_event(clients, event));
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        self.restore_saved(saved)
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
