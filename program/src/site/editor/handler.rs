//! The handler of `/editor`: the documents, and which client is in which.
//!
//! Memory: at most [`MAX_DOCUMENTS`] documents of at most 1 MiB each, and the names of the people.

use super::document::{Catch, Document, Edit, Kept, MAX_LIVES, MAX_REVISION, Person, Refusal, Selection};
use super::feed::Entry;
use super::page::{Caught, FromPage, Join, ToPage};
use super::shared::Shared;
use crate::site::others::{company, first_person, topic, unsubscribe};
#[cfg(unix)]
use lariat::RestoreError;
use lariat::backplane::{Kept as KeptEntry, Member, PublishError, StreamPosition};
use lariat::{Audience, ClientId, Clients, CloseCode, CloseReason, Handler, Message, TimerId};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The most documents at a time.
const MAX_DOCUMENTS: usize = 64;

/// An empty document is removed after so many minutes.
pub(super) const FORGET_AFTER_MINUTES: u32 = 60;

/// The most characters of the name of a person or document.
const MAX_NAME: usize = 32;

/// The time after a change until pages learn who has come, left and changed the selection.
const SEND_AFTER: Duration = Duration::from_millis(100);

/// The most selections in one message. The others follow in the next one.
const MAX_MOVED: usize = 32;

/// The close code for a page that has entered again over another connection.
const REPLACED: u16 = 4000;

/// The timer tokens: changes are to be sent; a minute has passed; other servers are to be asked.
const SEND: u64 = 0;
const MINUTE: u64 = 1;
pub(super) const ASK: u64 = 2;

/// Where a client is.
pub(super) struct Place {
    pub(super) join: Join,
    pub(super) person: u64,
}

/// The handler of `/editor`: all documents, and who is in them.
pub struct Editor {
    pub(super) documents: BTreeMap<String, Document>,
    pub(super) places: HashMap<ClientId, Place>,
    /// The pages that were asked for their copy.
    pub(super) asked: HashMap<ClientId, Join>,
    /// What several servers need, if there is a backplane.
    pub(super) shared: Option<Shared>,
    /// The topic of everybody in a document of this server.
    pub(super) everybody: String,
    /// A random number, different after each start.
    pub(super) server: u64,
    /// The number of the person who has come last. Those of different servers have different high
    /// parts.
    pub(super) people: u64,
    /// Different for each document that begins or is restored.
    pub(super) life: u64,
    /// Set while changes are to be sent.
    pub(super) sending: Option<TimerId>,
    /// Runs every minute, while there are documents.
    pub(super) ticking: Option<TimerId>,
    pub(super) documents_changed: bool,
}

impl Default for Editor {
    fn default() -> Editor {
        Editor::new(rand::random())
    }
}

impl Editor {
    /// Returns an editor without documents. `server` must be a different number for each start of
    /// the server.
    pub fn new(server: u64) -> Editor {
        Editor {
            documents: BTreeMap::new(),
            places: HashMap::new(),
            asked: HashMap::new(),
            shared: None,
            everybody: format!("everybody {server:016x}"),
            server,
            people: 0,
            life: server % MAX_REVISION,
            sending: None,
            ticking: None,
            documents_changed: false,
        }
    }

    fn join(&mut self, clients: &mut Clients<()>, id: ClientId, mut join: Join) {
        self.leave(clients, id);
        (join.name, join.document) = (tidy(&join.name, "Guest"), tidy(&join.document, "notes"));
        if !self.documents.contains_key(&join.document) && !self.make_place() {
            return ToPage::Full("documents").send(clients, id);
        }
        join.lineage.drain(..join.lineage.len().saturating_sub(MAX_LIVES));
        if self.shared.is_some() {
            return self.open(clients, id, join);
        }
        self.admit(clients, id, join);
    }

    /// Lets a page enter a document that is known, or asks it for its copy.
    pub(super) fn admit(&mut self, clients: &mut Clients<()>, id: ClientId, join: Join) {
        let is_untouched = self.documents.get(&join.document).is_none_or(Document::is_untouched);
        // A page at revision 0 has nothing to restore.
        if is_untouched && join.lineage.last().is_some_and(|(_, revision)| *revision > 0) {
            self.asked.insert(id, join);
            return ToPage::Lost.send(clients, id);
        }
        self.enter(clients, id, join);
    }

    fn restore(&mut self, clients: &mut Clients<()>, id: ClientId, kept: Kept) {
        self.life += 1;
        if self.shared.is_some() {
            let Some(join) = self.asked.get(&id) else { return not_understood(clients, id) };
            let (document, lineage) = (join.document.clone(), join.lineage.clone());
            if let Err(why) = Document::new(0).restore(self.life, lineage.clone(), kept.clone()) {
                return ToPage::Full(why).send(clients, id);
            }
            return self.add(clients, id, &document, &Entry::Restore { life: self.life, lineage, kept });
        }
        let Some(join) = self.asked.remove(&id) else { return not_understood(clients, id) };
        if self.documents.len() >= MAX_DOCUMENTS && !self.documents.contains_key(&join.document) {
            return ToPage::Full("documents").send(clients, id);
        }
        let document = self.documents.entry(join.document.clone()).or_insert_with(|| Document::new(self.life));
        // Another page may have been faster.
        if document.is_untouched() {
            if let Err(why) = document.restore(self.life, join.lineage.clone(), kept) {
                return ToPage::Full(why).send(clients, id);
            }
            self.all_enter_again(clients, &join.document);
        }
        self.enter(clients, id, join);
    }

    /// Gives all pages of a document the present text.
    fn all_enter_again(&self, clients: &mut Clients<()>, document: &str) {
        let people = self.documents.get(document).into_iter().flat_map(|document| document.people.values());
        people.for_each(|person| self.enter_again(clients, person.client));
    }

    /// Gives a page the present text.
    fn enter_again(&self, clients: &mut Clients<()>, id: ClientId) {
        let Some(place) = self.places.get(&id) else { return };
        let Some(document) = self.documents.get(&place.join.document) else { return };
        // From revision 0 on. Mostly those edits are not kept any more, and the page gets the whole
        // text.
        let lineage: Vec<_> = document.lineage().into_iter().map(|(life, _)| (life, 0)).collect();
        welcome(clients, id, document, place.person, &lineage);
    }

    fn enter(&mut self, clients: &mut Clients<()>, id: ClientId, join: Join) {
        self.life += 1;
        let document = self.documents.entry(join.document.clone()).or_insert_with(|| Document::new(self.life));
        self.people += 1;
        let person = Person { name: join.name.clone(), author: join.author, client: id, selection: None };
        if let Some(ghost) = document.enter(self.people, person) {
            let place = self.places.remove(&ghost);
            place.filter(|_| self.shared.is_some()).inspect(|place| place.leave_presence(clients));
            unsubscribe(clients, self.shared.as_ref().map(|shared| &shared.others), ghost, &join.document);
            // It may be closing already.
            let _ = clients.close(ghost, CloseCode::from(REPLACED), "this page has opened another connection");
        }
        clients.subscribe(id, &self.everybody);
        clients.subscribe(id, &company(&join.document));
        match &self.shared {
            Some(shared) => clients.subscribe(id, &shared.others.here(&join.document)),
            None => clients.subscribe(id, &topic(&join.document)),
        };
        welcome(clients, id, document, self.people, &join.lineage);
        self.places.insert(id, Place { join, person: self.people });
        self.ticking.get_or_insert_with(|| clients.set_interval(Duration::from_secs(60), MINUTE));
        self.send_soon(clients);
        self.documents_changed = true;
        ToPage::Documents(self.list()).send(clients, id);
        self.note_person(clients, id);
    }

    /// Makes place for one more document, if need be by removing the one that has been empty
    /// longest. Returns `false` if there is none to remove.
    fn make_place(&mut self) -> bool {
        if self.documents.len() < MAX_DOCUMENTS || self.shared.is_some() {
            return self.documents.len() < MAX_DOCUMENTS;
        }
        let empty = self.documents.iter().filter(|(_, document)| document.people.is_empty());
        let longest = empty.max_by_key(|(_, document)| document.empty_for).map(|(name, _)| name.clone());
        longest.is_some_and(|name| self.documents.remove(&name).is_some())
    }

    fn leave(&mut self, clients: &mut Clients<()>, id: ClientId) {
        self.leave_shared(clients, id);
        self.asked.remove(&id);
        let Some(place) = self.places.remove(&id) else { return };
        unsubscribe(clients, self.shared.as_ref().map(|shared| &shared.others), id, &place.join.document);
        if let Some(document) = self.documents.get_mut(&place.join.document) {
            document.leave(place.person);
        }
        self.documents_changed = true;
        self.send_soon(clients);
    }

    fn edit(
        &mut self,
        clients: &mut Clients<()>,
        id: ClientId,
        edit: Edit,
        revision: u64,
        selection: Option<Selection>,
    ) {
        // A page that is not in a document is about to enter one, and will send this again.
        let Some(Place { join, person }) = self.places.get(&id) else { return };
        let Some(document) = self.documents.get_mut(&join.document) else { return };
        let (by, n, who) = (edit.by, edit.n, *person);
        if self.shared.is_some() {
            let (life, name) = (document.life(), join.document.clone());
            let entry = Entry::Edit { edit, life, revision, who, selection, on: self.server };
            return self.add(clients, id, &name, &entry);
        }
        match document.edit(edit, revision, selection) {
            Ok((edit, selection)) => {
                clients.publish(&topic(&join.document), &ToPage::Edit { edit, who, selection }.to_json());
                if selection.is_some() {
                    document.place(who, selection);
                }
            }
            Err(Refusal::Late) => self.enter_again(clients, id),
            Err(Refusal::Foreign) => {
                let why = "foreign";
                ToPage::Refused { by, n, why }.send(clients, id);
            }
            Err(Refusal::Unfit(why)) => ToPage::Refused { by, n, why }.send(clients, id),
        }
    }

    pub(super) fn send_soon(&mut self, clients: &mut Clients<()>) {
        self.sending.get_or_insert_with(|| clients.set_timer(SEND_AFTER, SEND));
    }

    fn list(&self) -> Vec<(&str, usize)> {
        let here = self.documents.iter().map(|(name, document)| (name.as_str(), document.people.len()));
        let mut list: BTreeMap<&str, usize> = here.collect();
        if let Some(shared) = &self.shared {
            shared.others.add_to(&mut list);
        }
        list.into_iter().collect()
    }

    /// Sends who has come, left and changed the selection, and the list of documents.
    fn send_changes(&mut self, clients: &mut Clients<()>) {
        let mut is_more = false;
        for (name, document) in &mut self.documents {
            let came = std::mem::take(&mut document.came);
            let left = std::mem::take(&mut document.left).into_iter().collect::<Vec<_>>();
            let some = document.moved.len().min(MAX_MOVED);
            let moved: Vec<u64> = document.moved.drain(..some).collect();
            is_more |= !document.moved.is_empty();
            if came.is_empty() && left.is_empty() && moved.is_empty() {
                continue;
            }
            let people = &document.people;
            let came = came.iter().filter_map(|number| people.get_key_value(number));
            let came = came.map(|(number, person)| (*number, person.name.as_str(), person.selection)).collect();
            let moved: Vec<_> =
                moved.iter().filter_map(|number| Some((*number, people.get(number)?.selection?))).collect();
            let Some(shared) = &self.shared else {
                clients.publish(&company(name), &ToPage::People { came, left, moved }.to_json());
                continue;
            };
            clients.publish(&shared.others.here(name), &ToPage::People { came, left, moved: Vec::new() }.to_json());
            if !moved.is_empty() {
                let message = ToPage::People { came: Vec::new(), left: Vec::new(), moved };
                clients.publish(&company(name), &message.to_json());
            }
        }
        if std::mem::take(&mut self.documents_changed) {
            clients.publish(&self.everybody, &ToPage::Documents(self.list()).to_json());
            self.note_documents(clients);
        }
        self.sending = None;
        if is_more {
            self.send_soon(clients);
        }
    }

    /// Removes documents that have been empty for long.
    fn forget(&mut self, clients: &mut Clients<()>) {
        self.add_states(clients);
        let before = self.documents.len();
        self.documents.retain(|_, document| {
            document.empty_for += u32::from(document.people.is_empty());
            document.empty_for < FORGET_AFTER_MINUTES
        });
        if self.documents.len() < before {
            self.documents_changed = true;
            self.send_soon(clients);
        }
        if self.documents.is_empty() {
            self.ticking.take().map(|timer| clients.cancel_timer(timer));
        }
    }
}

/// Tells a page the present text, and how it gets there from its own.
pub(super) fn welcome(clients: &mut Clients<()>, id: ClientId, document: &Document, you: u64, lineage: &[(u64, u64)]) {
    let catch = match document.catch_up(lineage) {
        Catch::Edits(since, edits) => Caught::Edits { since, edits },
        Catch::Text(text, kin, authors) => Caught::Text { text, kin, authors },
    };
    ToPage::Welcome { you, people: document.everybody(), lineage: document.lineage(), catch }.send(clients, id);
}

/// Returns a name without invisible characters, cut to the longest length.
fn tidy(name: &str, default: &str) -> String {
    let visible = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let tidy: String = visible.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    if tidy.is_empty() { default.to_owned() } else { tidy }
}

fn not_understood(clients: &mut Clients<()>, id: ClientId) {
    let _ = clients.close(id, CloseCode::Policy, "not understood");
}

impl Handler for Editor {
    type Data = ();

    fn on_start(&mut self, clients: &mut Clients<()>) {
        if clients.backplane_status().is_some() {
            self.shared = Some(Shared::new(self.server));
            self.people = first_person(self.server);
        }
    }

    fn on_message(&mut self, clients: &mut Clients<()>, id: ClientId, message: Message<'_>) {
        match message.as_text().and_then(|text| serde_json::from_str(text).ok()) {
            Some(FromPage::Join(join)) => self.join(clients, id, join),
            Some(FromPage::Restore(kept)) => self.restore(clients, id, kept),
            Some(FromPage::Edit { edit, revision, selection }) => self.edit(clients, id, edit, revision, selection),
            Some(FromPage::Select { revision, selection }) => {
                let Some(Place { join, person }) = self.places.get(&id) else { return };
                if let Some(document) = self.documents.get_mut(&join.document) {
                    document.select(*person, revision, selection);
                    self.send_soon(clients);
                }
            }
            None => not_understood(clients, id),
        }
    }

    fn on_timer(&mut self, clients: &mut Clients<()>, _: TimerId, token: u64) {
        match token {
            SEND => self.send_changes(clients),
            ASK => self.ask_others(clients),
            _ => self.forget(clients),
        }
    }

    fn on_client_timer(&mut self, clients: &mut Clients<()>, id: ClientId, _: TimerId, _: u64) {
        self.ask_again(clients, id);
    }

    fn on_kept(&mut self, clients: &mut Clients<()>, topic: &str, kept: &KeptEntry, to: Audience<'_>) {
        self.hear(clients, topic, kept, to);
    }

    fn on_gap(&mut self, clients: &mut Clients<()>, topic: &str, _: Audience<'_>, position: Option<StreamPosition>) {
        if position.is_some() {
            self.lose(clients, topic);
        }
    }

    fn on_caught(&mut self, clients: &mut Clients<()>, id: ClientId, topic: &str, position: StreamPosition) {
        self.caught(clients, id, topic, position);
    }

    fn on_published(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<StreamPosition, PublishError>) {
        self.published(clients, token, outcome.is_ok());
    }

    fn on_members(&mut self, clients: &mut Clients<()>, token: u64, outcome: Result<Vec<Member>, PublishError>) {
        self.members(clients, token, outcome);
    }

    #[cfg(unix)]
    fn save(&mut self, _: &mut Clients<()>) -> Option<Vec<u8>> {
        self.saved()
    }

    #[cfg(unix)]
    fn restore(&mut self, _: &mut Clients<()>, saved: &[u8]) -> Result<(), RestoreError> {
        *self = Editor::restored(saved)?;
        Ok(())
    }

    fn on_close(&mut self, clients: &mut Clients<()>, id: ClientId, _: &CloseReason) {
        self.leave(clients, id);
    }
}
