//! The documents of several servers: edits go through the engine between them (`feed`).

use super::document::{Document, Refusal};
use super::feed::{Change, Entry, Feed, HISTORY};
use super::handler::{ASK, Editor, Place, welcome};
use super::page::{Join, ToPage};
use crate::site::others::{Asked, Others, topic, unsubscribe};
use lariat::backplane::{Kept, Member, PublishError, StreamPosition};
use lariat::{Audience, ClientId, Clients, CloseCode, Since, TimerId};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How often the engine may be asked who is where.
const ASK_AFTER: Duration = Duration::from_millis(250);

/// A page sends an edit that was not taken again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The close code for pages whose document is read anew. They come back at once.
const READ_ANEW: u16 = 4001;

/// A client that has asked to enter a document.
struct Joining {
    join: Join,
    /// It has become a member of the document's topic.
    is_member: bool,
}

/// What a server needs to share documents.
pub(super) struct Shared {
    server: u64,
    pub(super) others: Others<ClientId>,
    feeds: BTreeMap<String, Feed>,
    joining: HashMap<ClientId, Joining>,
    /// Runs while there are documents.
    asking: Option<TimerId>,
}

impl Shared {
    pub(super) fn new(server: u64) -> Shared {
        let (feeds, joining) = (BTreeMap::new(), HashMap::new());
        Shared { server, others: Others::new(server), feeds, joining, asking: None }
    }
}

impl Place {
    /// Tells other servers that somebody is not there any more.
    pub(super) fn leave_presence(&self, clients: &mut Clients<()>) {
        clients.leave_presence(&topic(&self.join.document), &self.person.to_string());
    }
}

impl Editor {
    // ---- entering ------------------------------------------------------------------------------

    /// A page wants to enter. It waits until it is a member of the topic and the document is known.
    pub(super) fn open(&mut self, clients: &mut Clients<()>, id: ClientId, join: Join) {
        let Some(shared) = &mut self.shared else { return };
        let feed = shared.feeds.entry(join.document.clone()).or_default();
        let since = feed.applied().map_or(Since::Oldest, Since::After);
        let name = topic(&join.document);
        self.documents.entry(join.document.clone()).or_insert_with(|| Document::new(0));
        shared.joining.insert(id, Joining { join, is_member: false });
        shared.asking.get_or_insert_with(|| clients.set_interval(ASK_AFTER, ASK));
        clients.subscribe_from(id, &name, HISTORY, since);
    }

    pub(super) fn caught(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str, position: StreamPosition) {
        let Some((shared, document, name)) = self.of(topic) else { return };
        if let Some(joining) = shared.joining.get_mut(&id) {
            joining.is_member = true;
        }
        let reset = shared.feeds.entry(name.clone()).or_default().caught(document, position);
        if let Some(reset) = reset {
            self.add(clients, id, &name, &reset);
        }
        self.admit_members(clients, &name);
    }

    /// Lets those enter who are members of the topic, if the document is known.
    fn admit_members(&mut self, clients: &mut Clients<()>, name: &str) {
        let Some(shared) = &mut self.shared else { return };
        if !shared.feeds.get(name).is_some_and(Feed::is_begun) {
            return;
        }
        let joining = std::mem::take(&mut shared.joining);
        let is_admitted = |joining: &Joining| joining.is_member && joining.join.document == name;
        let (admitted, others) = joining.into_iter().partition(|(_, joining)| is_admitted(joining));
        shared.joining = others;
        for (id, Joining { join, .. }) in in_order(admitted) {
            self.admit(clients, id, join);
        }
    }

    /// Tells other servers that somebody is here.
    pub(super) fn note_person(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let (Some(shared), Some(Place { join, person })) = (&mut self.shared, self.places.get(&id)) else { return };
        clients.enter_presence(&topic(&join.document), &person.to_string(), join.name.as_bytes());
        shared.others.asks_soon = true;
    }

    /// A client leaves. A document that nobody has open here is forgotten here.
    pub(super) fn leave_shared(&mut self, clients: &mut Clients<()>, id: ClientId) {
        let Some(shared) = &mut self.shared else { return };
        let joining = shared.joining.remove(&id).map(|joining| joining.join.document);
        let asked = self.asked.get(&id).map(|join| join.document.clone());
        let place = self.places.get(&id);
        place.inspect(|place| place.leave_presence(clients));
        let Some(name) = joining.or(asked).or(place.map(|place| place.join.document.clone())) else { return };
        unsubscribe(clients, Some(&shared.others), id, &name);
        let is_open = shared.joining.values().map(|joining| &joining.join.document).any(|other| *other == name)
            || self.asked.iter().any(|(other, join)| *other != id && join.document == name)
            || self.places.iter().any(|(other, place)| *other != id && place.join.document == name);
        if !is_open {
            shared.feeds.remove(&name);
            self.documents.remove(&name);
            self.documents_changed = true;
            self.send_soon(clients);
        }
    }

    // ---- entries -------------------------------------------------------------------------------

    /// Adds an entry to a document's history, for a client.
    pub(super) fn add(&mut self, clients: &mut Clients<()>, id: ClientId, document: &str, entry: &Entry) {
        let Some(shared) = &mut self.shared else { return };
        let token = shared.others.ask(Asked::Published(id));
        let (json, name) = (entry.to_json(), entry.name());
        if clients.publish_kept(&topic(document), &json, HISTORY, name.as_deref(), token).is_err() {
            self.published(clients, token, false);
        }
    }

    pub(super) fn published(&mut self, clients: &mut Clients<()>, token: u64, is_ok: bool) {
        let Some(Asked::Published(id)) = self.shared.as_mut().and_then(|shared| shared.others.answered(token)) else {
            return;
        };
        if is_ok {
            return;
        }
        if self.places.contains_key(&id) {
            clients.set_client_timer(id, AGAIN_AFTER, 0);
        } else {
            // Its page comes back with its copy.
            let _ = clients.close(id, CloseCode::Again, "what servers share cannot be reached");
        }
    }

    /// The next entry of a document has come.
    pub(super) fn hear(&mut self, clients: &mut Clients<()>, topic: &str, kept: &Kept, to: Audience<'_>) {
        let Some((shared, document, name)) = self.of(topic) else { return };
        let own = shared.server;
        let entry = serde_json::from_slice(kept.message.as_bytes()).ok();
        let changes = shared.feeds.entry(name.clone()).or_default().hear(document, kept.position, entry);
        let mut is_own = false;
        for change in changes {
            match change {
                Change::Edit { edit, who, selection, on } => {
                    is_own = on == own;
                    if let Some(document) = self.documents.get_mut(&name).filter(|_| selection.is_some()) {
                        document.place(who, selection);
                    }
                    // A client that catches up is welcomed with all of it.
                    if to.client().is_none() {
                        to.send(clients, &ToPage::Edit { edit: &edit, who, selection }.to_json());
                    }
                }
                Change::Refused { edit, who, on, why } if on == own => self.refuse(clients, &name, who, edit, why),
                Change::Refused { .. } => {}
                Change::Anew => self.send_back(clients, &name),
                Change::Begun => self.admit_members(clients, &name),
                Change::Lost => return self.lose(clients, topic),
            }
        }
        self.admit_asked(clients, &name);
        let shared = self.shared.as_ref().and_then(|shared| shared.feeds.get(&name));
        let state = shared.zip(self.documents.get(&name)).and_then(|(feed, document)| feed.state(document, is_own));
        if let Some(state) = state {
            self.add_state(clients, &name, &state);
        }
    }

    /// An edit of a page was not taken. The page rebases it over what it has received until then,
    /// and sends it again.
    pub(super) fn ask_again(&self, clients: &mut Clients<()>, id: ClientId) {
        let Some(Place { join, person }) = self.places.get(&id) else { return };
        let Some(document) = self.documents.get(&join.document) else { return };
        // It has received all edits.
        welcome(clients, id, document, *person, &[(document.life(), document.revision())]);
    }

    /// Somebody has restored or begun the document: pages that were asked for their copy enter.
    fn admit_asked(&mut self, clients: &mut Clients<()>, name: &str) {
        if self.asked.is_empty() || self.documents.get(name).is_none_or(Document::is_untouched) {
            return;
        }
        let (asked, others) = std::mem::take(&mut self.asked).into_iter().partition(|(_, join)| join.document == name);
        self.asked = others;
        for (id, join) in in_order(asked) {
            self.admit(clients, id, join);
        }
    }

    /// An edit of a page here was not applied.
    fn refuse(&self, clients: &mut Clients<()>, name: &str, who: u64, (by, n): (u64, u64), why: Refusal) {
        let person = self.documents.get(name).and_then(|document| document.people.get(&who));
        match (person, why) {
            (Some(person), Refusal::Late) => self.ask_again(clients, person.client),
            (Some(person), Refusal::Unfit(why)) => ToPage::Refused { by, n, why }.send(clients, person.client),
            // The engine has lost the edits that it was made of. The page takes this text, and puts
            // its own aside.
            (Some(person), Refusal::Foreign) => {
                if let Some(document) = self.documents.get(name) {
                    welcome(clients, person.client, document, who, &[]);
                }
            }
            (None, _) => {}
        }
    }

    /// Entries were lost. The pages come back, and the document is read anew.
    pub(super) fn lose(&mut self, clients: &mut Clients<()>, topic: &str) {
        let Some(name) = topic.strip_prefix('#') else { return };
        self.send_back(clients, name);
        let Some((shared, _, name)) = self.of(topic) else { return };
        // Those who do not have it yet read all that is kept.
        for (id, joining) in shared.joining.iter_mut().filter(|(_, joining)| joining.join.document == name) {
            joining.is_member = false;
            clients.unsubscribe(*id, topic);
            clients.subscribe_from(*id, topic, HISTORY, Since::Oldest);
        }
        shared.feeds.insert(name, Feed::default());
    }

    /// Lets the pages of a document come back, with what they know.
    fn send_back(&self, clients: &mut Clients<()>, name: &str) {
        for person in self.documents.get(name).into_iter().flat_map(|document| document.people.values()) {
            let _ = clients.close(person.client, CloseCode::from(READ_ANEW), "the document is read anew");
        }
    }

    /// Adds the states that are due.
    pub(super) fn add_states(&mut self, clients: &mut Clients<()>) {
        let Some(shared) = &mut self.shared else { return };
        let mut due = Vec::new();
        for (name, feed) in &mut shared.feeds {
            feed.minute();
            due.extend(
                self.documents.get(name).and_then(|document| Some((name.clone(), feed.state(document, false)?))),
            );
        }
        due.iter().for_each(|(name, state)| self.add_state(clients, name, state));
    }

    /// Adds a state. If that fails, the next edit or minute tries again.
    fn add_state(&self, clients: &mut Clients<()>, name: &str, state: &Entry) {
        let _ = clients.publish_kept(&topic(name), &state.to_json(), HISTORY, state.name().as_deref(), 0);
    }

    // ---- others --------------------------------------------------------------------------------

    pub(super) fn ask_others(&mut self, clients: &mut Clients<()>) {
        let Some(shared) = &mut self.shared else { return };
        let names: Vec<&str> = shared.feeds.keys().map(String::as_str).collect();
        shared.others.ask_again(clients, &names);
        if shared.feeds.is_empty() {
            shared.asking.take().map(|timer| clients.cancel_timer(timer));
        }
    }

    pub(super) fn note_documents(&mut self, clients: &mut Clients<()>) {
        let Some(shared) = &mut self.shared else { return };
        let documents = self.documents.iter().map(|(name, document)| (name.clone(), document.people.len()));
        shared.others.note(clients, documents.collect());
    }

    pub(super) fn members(
        &mut self,
        clients: &mut Clients<()>,
        token: u64,
        outcome: Result<Vec<Member>, PublishError>,
    ) {
        let Some(shared) = &mut self.shared else { return };
        match (shared.others.answered(token), outcome) {
            (Some(Asked::People(name)), Ok(members)) => {
                let people = shared.others.people(members);
                let Some(document) = self.documents.get_mut(&name) else { return };
                let to: Vec<ClientId> = document.people.values().map(|person| person.client).collect();
                let (came, left) = document.set_elsewhere(people);
                if !(came.is_empty() && left.is_empty()) {
                    let came = came.into_iter().map(|(number, name)| (number, name, None)).collect();
                    let message = ToPage::People { came, left, moved: Vec::new() }.to_json();
                    for id in to {
                        let _ = clients.send(id, &message);
                    }
                }
            }
            (Some(Asked::Places), Ok(members)) if shared.others.set_places(&members) => {
                self.documents_changed = true;
                self.send_soon(clients);
            }
            _ => {}
        }
    }

    /// Returns what there is for the topic of a document.
    fn of(&mut self, topic: &str) -> Option<(&mut Shared, &mut Document, String)> {
        let name = topic.strip_prefix('#')?;
        Some((self.shared.as_mut()?, self.documents.get_mut(name)?, name.to_owned()))
    }
}

/// The order of hash maps is another one in each run.
fn in_order<T>(map: HashMap<ClientId, T>) -> BTreeMap<ClientId, T> {
    map.into_iter().collect()
}
