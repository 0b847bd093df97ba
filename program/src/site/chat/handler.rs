//! The handler of `/chat`: the rooms, and which client is in which.
//!
//! Memory: at most [`MAX_ROOMS`] rooms of about 0.5 MiB each, and the names of the people. With
//! other servers, a room has what [`HISTORY`] says, at most 4 MiB.

use super::page::{FromPage, Join, ToPage};
use super::room::Room;
use super::script::{self, Post};
use super::shared::{self, Given, HISTORY, Seen};
use crate::site::others::{Asked, Others, company, first_person, topic, unsubscribe};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::backplane::{Kept, Member, PublishError, StreamPosition};
use lariat::http::StatusCode;
use lariat::{
    Answer, Audience, ClientId, Clients, CloseCode, CloseReason, Handler, Message, Request, Since, TimerId, Upgrade,
};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The most rooms at a time.
const MAX_ROOMS: usize = 64;

/// An empty room is removed after this time.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);

/// How often pages learn who came, left and is typing.
const PERIOD: Duration = Duration::from_millis(250);

/// Bytes of the longest message.
const MAX_TEXT: usize = 8 << 10;

/// Characters of the longest name of a person or room.
const MAX_NAME: usize = 32;

/// Bytes of the longest secret of a page.
const MAX_KEY: usize = 64;

/// The close code for a page that has entered again over another connection.
const REPLACED: u16 = 4000;

/// The most messages of scripts in a period of [`PERIOD`]. A script can open a connection for each
/// message, so they count together.
pub(super) const MAX_POSTS: u32 = 25;

/// Where a client is.
pub(super) struct Place {
    pub(super) room: String,
    pub(super) person: u64,
}

/// The handler of `/chat`: all rooms, and who is in them.
pub struct Chat {
    /// Different after each start.
    pub(super) number: u64,
    /// The number as pages know it.
    pub(super) server: String,
    /// The topic of everybody in a room of this server.
    pub(super) everybody: String,
    /// The other servers, if there is a backplane.
    pub(super) others: Option<Others<Given>>,
    /// What pages have seen that wait for what they have missed.
    pub(super) seen: HashMap<ClientId, Seen>,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) places: HashMap<ClientId, Place>,
    /// The number of the person who has come last. Those of different servers have different high
    /// parts.
    pub(super) people: u64,
    /// Time since the first room began.
    pub(super) now: Duration,
    pub(super) timer: Option<TimerId>,
    pub(super) rooms_changed: bool,
    /// The first id for the next message of a script.
    pub(super) next_post: u128,
    /// The messages of scripts in this period.
    pub(super) posts: u32,
}

impl Default for Chat {
    fn default() -> Chat {
        Chat::new(rand::random())
    }
}

impl Chat {
    /// Returns a chat without rooms. `server` must be a different number for each start of the
    /// server.
    pub fn new(server: u64) -> Chat {
        Chat {
            number: server,
            server: format!("{server:016x}"),
            everybody: format!("everybody {server:016x}"),
            others: None,
            seen: HashMap::new(),
            rooms: BTreeMap::new(),
            places: HashMap::new(),
            people: 0,
            now: Duration::ZERO,
            timer: None,
            rooms_changed: false,
            next_post: u128::from(server) << 64,
            posts: 0,
        }
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, asked: &Join) {
        let (name, room_name) = (tidy(&asked.name, "Guest"), tidy(&asked.room, "lobby"));
        if !self.rooms.contains_key(&room_name) && !self.has_place(id) {
            // The page stays where it is.
            ToPage::Refused { id: None, why: "rooms" }.send(clients, id);
            return;
        }
        self.leave(clients, id);
        if !self.rooms.contains_key(&room_name) {
            self.make_place();
        }
        let room = self.rooms.entry(room_name.clone()).or_default();
        self.people += 1;
        let (person, replaced) = room.enter(self.people, id, &name, &asked.key);
        if let Some(ghost) = replaced {
            self.places.remove(&ghost);
            unsubscribe(clients, self.others.as_ref(), ghost, &room_name);
            // It may be closing already.
            let _ = clients.close(ghost, CloseCode::from(REPLACED), "this page has opened another connection");
        }
        clients.subscribe(id, &self.everybody);
        clients.subscribe(id, &company(&room_name));
        let (you, people) = (person, room.people());
        if let Some(others) = &mut self.others {
            clients.subscribe(id, &others.here(&room_name));
            let (server, messages) = (&*asked.server, Vec::new());
            ToPage::Welcome { server, you, people, messages, missed: 0 }.send(clients, id);
            let name = room.name(person).unwrap_or_default();
            clients.enter_presence(&topic(&room_name), &person.to_string(), name.as_bytes());
            let (since, seen) = shared::since(asked);
            self.seen.extend(seen.map(|seen| (id, seen)));
            clients.subscribe_from(id, &topic(&room_name), HISTORY, since);
            others.asks_soon = true;
        } else {
            clients.subscribe(id, &topic(&room_name));
            let known = (asked.server == self.server).then_some(asked.after);
            let (messages, missed) = room.since(known, asked.server.is_empty(), self.now);
            ToPage::Welcome { server: &self.server, you, people, messages, missed }.send(clients, id);
        }
        self.places.insert(id, Place { room: room_name, person });
        self.rooms_changed = true;
        self.begin_periods(clients);
        self.send_rooms(clients, Some(id));
    }

    fn begin_periods(&mut self, clients: &mut Clients<()>) {
        if self.timer.is_none() {
            self.timer = Some(clients.set_interval(PERIOD, 0));
        }
    }

    /// Says what a script wants to say.
    fn post(&mut self, clients: &mut Clients<()>, from: ClientId, post: &Post<'_>) -> Answer {
        let name = tidy(&post.room, "lobby");
        if self.posts == MAX_POSTS {
            return script::answer(StatusCode::TOO_MANY_REQUESTS, "scripts have sent too many messages lately");
        }
        if !self.rooms.contains_key(&name) && self.rooms.len() >= MAX_ROOMS {
            return script::answer(StatusCode::SERVICE_UNAVAILABLE, "there are too many rooms already");
        }
        let sender = tidy(&post.name, "");
        let sender = if sender.is_empty() { "script".to_owned() } else { format!("{sender} (script)") };
        self.posts += 1;
        self.next_post += 1;
        self.rooms_changed |= !self.rooms.contains_key(&name);
        self.begin_periods(clients);
        let room = self.rooms.entry(name.clone()).or_default();
        let people = match room.people().len() {
            0 => "nobody is".to_owned(),
            1 => "1 person is".to_owned(),
            count => format!("{count} people are"),
        };
        let answer = format!("said in #{name}, where {people}");
        let Some(others) = &mut self.others else {
            if let Some(said) = room.post(sender, self.next_post, post.text, self.now) {
                clients.publish(&topic(&name), &ToPage::Message(said).to_json());
            }
            return script::answer(StatusCode::OK, &answer);
        };
        room.is_used(self.now);
        let id = format!("{:032x}", self.next_post);
        let message = shared::stored(&id, &sender, post.text, Duration::ZERO);
        let token = others.ask(Asked::Published(Given::Posted { from, answer }));
        if clients.publish_kept(&topic(&name), &message, HISTORY, Some(&id), token).is_err() {
            others.answered(token);
            return script::unstored();
        }
        Answer::Later
    }

    /// Returns whether one more room fits when this client has left its own: there are fewer than
    /// the most, or one of them is empty.
    fn has_place(&self, id: ClientId) -> bool {
        let is_alone_in =
            |name: &str, room: &Room| room.len() == 1 && self.places.get(&id).is_some_and(|place| place.room == name);
        self.rooms.len() < MAX_ROOMS
            || self.rooms.iter().any(|(name, room)| room.empty_since.is_some() || is_alone_in(name, room))
    }

    /// Makes place for one more room, if need be by removing the one that has been empty longest.
    fn make_place(&mut self) {
        if self.rooms.len() < MAX_ROOMS {
            return;
        }
        let empty = self.rooms.iter().filter_map(|(name, room)| Some((room.empty_since?, name)));
        if let Some(longest) = empty.min().map(|(_, name)| name.clone()) {
            self.rooms.remove(&longest);
        }
    }

    fn leave(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.seen.remove(&id);
        let Some(place) = self.places.remove(&id) else { return };
        unsubscribe(clients, self.others.as_ref(), id, &place.room);
        if self.others.is_some() {
            clients.leave_presence(&topic(&place.room), &place.person.to_string());
        }
        if let Some(room) = self.rooms.get_mut(&place.room) {
            room.leave(place.person, self.now);
        }
        self.rooms_changed = true;
    }

    fn say(&mut self, clients: &mut Clients<()>, from: ClientId, id: &str, text: &str, age: Duration) {
        let refused = |clients: &mut Clients<()>, why| ToPage::Refused { id: Some(id), why }.send(clients, from);
        let Some(place) = self.places.get(&from) else { return refused(clients, "outside") };
        let Some(room) = self.rooms.get_mut(&place.room) else { return };
        let Ok(number) = u128::from_str_radix(id, 16) else {
            return refused(clients, "id");
        };
        if text.trim().is_empty() || text.len() > MAX_TEXT {
            return refused(clients, "length");
        }
        if let Some(others) = &mut self.others {
            let Some(name) = room.name(place.person) else { return };
            let id = format!("{number:032x}");
            let message = shared::stored(&id, name, text, age);
            room.stops_typing(place.person);
            let token = others.ask(Asked::Published(Given::Said { from, id: id.clone() }));
            if clients.publish_kept(&topic(&place.room), &message, HISTORY, Some(&id), token).is_err() {
                others.answered(token);
                ToPage::Again(&id).send(clients, from);
            }
            return;
        }
        match room.say(place.person, number, text, self.now, age) {
            Some(said) => {
                clients.publish(&topic(&place.room), &ToPage::Message(said).to_json());
            }
            None => ToPage::Said(id).send(clients, from),
        }
    }

    /// Sends the list of rooms to one page, or to all.
    fn send_rooms(&self, clients: &mut Clients<()>, to: Option<ClientId>) {
        let mut rooms: BTreeMap<&str, usize> =
            self.rooms.iter().map(|(name, room)| (name.as_str(), room.len())).collect();
        if let Some(others) = &self.others {
            others.add_to(&mut rooms);
        }
        let list = ToPage::Rooms(rooms.into_iter().collect());
        match to {
            Some(id) => list.send(clients, id),
            None => {
                clients.publish(&self.everybody, &list.to_json());
            }
        }
    }

    /// Asks other servers what has changed, and tells them.
    fn share(&mut self, clients: &mut Clients<()>) {
        let Some(others) = &mut self.others else { return };
        let with_people = self.rooms.iter().filter(|(_, room)| room.len() > 0);
        others.ask_again(clients, &with_people.map(|(name, _)| name.as_str()).collect::<Vec<_>>());
        if self.rooms_changed {
            let rooms = self.rooms.iter().map(|(name, room)| (name.clone(), room.len())).collect();
            others.note(clients, rooms);
        }
    }
}

/// Returns a name without invisible characters, cut to the longest length.
fn tidy(name: &str, default: &str) -> String {
    let visible = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = visible.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if tidy.is_empty() { default.to_owned() } else { tidy }
}

impl Handler for Chat {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        if clients.backplane_status().is_some() {
            self.others = Some(Others::new(self.number));
            self.people = first_person(self.number);
        }
    }

    fn on_request(&mut self, clients: &mut Clients<()>, id: ClientId, request: &Request<'_>) -> Answer {
        if !script::is_room(request.path()) {
            return Upgrade::new().into();
        }
        match script::read(request, MAX_TEXT) {
            Ok(post) => self.post(clients, id, &post),
            Err((status, why)) => script::answer(status, why),
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromPage::Join(join)) if join.key.len() <= MAX_KEY => self.join(clients, id, &join),
            Some(FromPage::Say { id: message, text, age }) => {
                self.say(clients, id, &message, &text, Duration::from_millis(age));
            }
            Some(FromPage::Typing) => {
                let place = self.places.get(&id);
                if let Some((room, place)) = place.and_then(|place| Some((self.rooms.get_mut(&place.room)?, place))) {
                    room.types(place.person, self.now);
                }
            }
            Some(FromPage::Join(_)) | None => {
                let _ = clients.close(id, CloseCode::Policy, "not understood");
            }
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, timer: TimerId, _: u64) {
        self.now += PERIOD;
        self.posts = 0;
        let on = self.others.is_some().then_some(&*self.server);
        for (name, room) in &mut self.rooms {
            if let Some(message) = room.people_changes() {
                let here = self.others.as_ref().map_or_else(|| company(name), |others| others.here(name));
                clients.publish(&here, &message);
            }
            if let Some(message) = room.typing_changes(self.now, on) {
                clients.publish(&company(name), &message);
            }
        }
        let before = self.rooms.len();
        let is_over = |since: Duration| self.now > since + FORGET_AFTER;
        self.rooms.retain(|_, room| !room.empty_since.is_some_and(is_over));
        self.rooms_changed |= self.rooms.len() < before;
        self.share(clients);
        if std::mem::take(&mut self.rooms_changed) {
            self.send_rooms(clients, None);
        }
        if self.rooms.is_empty() {
            clients.cancel_timer(timer);
            self.timer = None;
        }
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, _: &str, kept: &Kept, to: Audience<'_>) {
        let Some(stored) = shared::read(kept) else { return };
        let seen = to.client().and_then(|id| self.seen.get(&id)).filter(|seen| seen.position == kept.position);
        match seen {
            Some(seen) if seen.id == stored.id => return,
            // Another message has the place of the one that the page has seen.
            Some(_) => {
                let before = StreamPosition { offset: kept.position.offset.saturating_sub(1), ..kept.position };
                to.send(clients, &shared::place(before, true));
            }
            None => {}
        }
        shared::send(clients, kept, &stored, to);
    }

    fn on_gap(&mut self, clients: &mut Clients<()>, _: &str, to: Audience<'_>, position: Option<StreamPosition>) {
        let seen = to.client().and_then(|id| self.seen.get(&id));
        // What the page has seen is no longer kept, but all that follows is.
        let is_known = seen.is_some_and(|seen| Some(seen.position) == position);
        // Of who came and left, servers ask again and again.
        if let Some(position) = position.filter(|_| !is_known) {
            to.send(clients, &shared::place(position, true));
        }
    }

    fn on_caught(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str, position: StreamPosition) {
        let seen = self.seen.remove(&id).map(|seen| seen.position);
        match seen.filter(|seen| seen.epoch == position.epoch && seen.offset > position.offset) {
            // This server may be behind. It reads the history again, or the page is told of a gap.
            Some(seen) => {
                clients.unsubscribe(id, topic);
                clients.subscribe_from(id, topic, HISTORY, Since::After(seen));
            }
            None => {
                let _ = clients.send(id, &shared::place(position, false));
            }
        }
    }

    fn on_published(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<StreamPosition, PublishError>) {
        match self.others.as_mut().and_then(|others| others.answered(token)) {
            Some(Asked::Published(Given::Said { from, id })) => {
                let told = if outcome.is_ok() { ToPage::Said(&id) } else { ToPage::Again(&id) };
                told.send(clients, from);
            }
            Some(Asked::Published(Given::Posted { from, answer })) => {
                let answer = if outcome.is_ok() { script::answer(StatusCode::OK, &answer) } else { script::unstored() };
                // The script may not wait any more.
                let _ = clients.answer(from, answer);
            }
            Some(Asked::People(_) | Asked::Places) | None => {}
        }
    }

    fn on_members(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<Vec<Member>, PublishError>) {
        let Some(others) = &mut self.others else { return };
        match (others.answered(token), outcome) {
            (Some(Asked::People(name)), Ok(members)) => {
                let elsewhere = others.people(members);
                let changed = self.rooms.get_mut(&name).and_then(|room| room.set_elsewhere(elsewhere));
                for (message, id) in changed.iter().flat_map(|(message, to)| to.iter().map(move |id| (message, *id))) {
                    let _ = clients.send(id, message);
                }
            }
            (Some(Asked::Places), Ok(members)) => self.rooms_changed |= others.set_places(&members),
            _ => {}
        }
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        *self = Chat::restored(saved)?;
        Ok(())
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.leave(clients, id);
    }
}
